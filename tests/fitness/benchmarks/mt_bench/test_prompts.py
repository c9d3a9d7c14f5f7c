"""The judge's prompts: evopo's own, and those of a file in the published format."""

import json
from pathlib import Path
from typing import Any

import pytest

from fitness.benchmarks.mt_bench.prompts import OWN
from fitness.benchmarks.mt_bench.templates import FORMS, Form, Template, read_templates
from fitness.benchmarks.protocol import BenchmarkError

FIELDS = {
    "single-v1": {"question", "answer"},
    "single-math-v1": {"question", "answer", "ref_answer_1"},
    "single-v1-multi-turn": {"question_1", "answer_1", "question_2", "answer_2"},
    "single-math-v1-multi-turn": {"question_1", "answer_1", "question_2", "answer_2", "ref_answer_1", "ref_answer_2"},
    "pair-v2": {"question", "answer_a", "answer_b"},
    "pair-math-v1": {"question", "answer_a", "answer_b", "ref_answer_1"},
    "pair-v2-multi-turn": {"question_1", "question_2", "answer_a_1", "answer_a_2", "answer_b_1", "answer_b_2"},
    "pair-math-v1-multi-turn": {
        "question_1", "question_2", "answer_a_1", "answer_a_2", "answer_b_1", "answer_b_2", "ref_answer_1", "ref_answer_2",
    },
}  # fmt: skip
"""The published prompts, and what each shows."""


def published(path: Path, **changes: Any) -> Path:
    """A file in the published format; a change to None leaves that prompt out."""
    rows = [{"name": "an-older-prompt", "system_prompt": "", "prompt_template": "{anything}"}]
    for name, fields in FIELDS.items():
        prompt = "Judge: " + " ".join(f"<{{{field}}}>" for field in sorted(fields))
        row = {"name": name, "type": "single", "system_prompt": "You judge.\n\n", "prompt_template": prompt}
        change = changes.get(name.replace("-", "_"), {})
        if change is not None:
            rows.append(row | change)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_own_prompts_show_what_the_published_ones_show() -> None:
    assert {form.published: set(template.fields) for form, template in OWN.items()} == FIELDS


def test_own_prompts_ask_for_the_published_forms_of_a_grade() -> None:
    for form, template in OWN.items():
        marks = ("[[A]]", "[[B]]", "[[C]]") if form.pair else ("[[rating]]", "Rating: [[5]]")
        assert all(mark in template.system for mark in marks), form.name
        assert ("reference answer" in template.system) == form.referenced
        assert ("second" in template.system) == (form.turn == 2)


def test_names_of_the_forms_differ() -> None:
    assert [form.name for form in FORMS[:4]] == [
        "single", "single-turn-2", "single-reference", "single-reference-turn-2",
    ]  # fmt: skip
    assert len({form.name for form in FORMS}) == len({template.text for template in OWN.values()}) == 8


def test_braces_in_an_answer_stay_as_they_are() -> None:
    (user,) = Template("", "Q {question} A {answer}").filled({"question": "{answer} {0}", "answer": "{question}{{}}"})
    assert user.content == "Q {answer} {0} A {question}{{}}"


def test_published_prompts_are_sent_as_they_are(tmp_path: Path) -> None:
    templates = read_templates(published(tmp_path / "judge_prompts.jsonl"))
    assert set(templates) == set(FORMS)
    system, user = templates[Form(False, False, 1)].filled({"question": "Q?", "answer": "A."})
    assert (system.role, system.content) == ("system", "You judge.\n\n")
    assert (user.role, user.content) == ("user", "Judge: <A.> <Q?>")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"pair_v2": None, "single_v1": None},
            "lacks the prompts single-v1, pair-v2: give a file that has all of them",
        ),
        (
            {"single_v1": {"prompt_template": "Judge {question}"}},
            "line 2 of {}: the prompt_template of single-v1 lacks {{answer}}: expected {{answer}}, {{question}}",
        ),
        (
            {"single_v1": {"prompt_template": "{question} {answer} {score}"}},
            "line 2 of {}: the prompt_template of single-v1 has the unknown {{score}}",
        ),
        ({"single_v1": {"system_prompt": 3}}, "line 2 of {}: system_prompt and prompt_template should be texts"),
    ],
)
def test_faults_of_a_file_of_prompts(tmp_path: Path, changes: Any, said: str) -> None:
    path = published(tmp_path / "judge_prompts.jsonl", **changes)
    with pytest.raises(BenchmarkError) as caught:
        read_templates(path)
    assert said.format(path) in str(caught.value)


def test_a_missing_file_of_prompts(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"mt-bench.templates: there is no file"):
        read_templates(tmp_path / "none.jsonl")
