"""TL;DR reads the comparisons format and TRL's, shows the judge post and summaries, and ends a summary with its paragraph."""

from __future__ import annotations

import json

import pytest
from compared_answers import shown_in

from fitness.benchmarks.protocol import BenchmarkError, Shown
from fitness.benchmarks.tldr.benchmark import Tldr
from fitness.benchmarks.tldr.options import TldrOptions


def compared(post, *summaries, choice=0, **more):
    info = {"id": "t3_1", "post": post, "title": "My title", "subreddit": "AskDocs", **more}
    return {
        "info": info,
        "summaries": [{"text": text, "policy": policy, "note": None} for policy, text in summaries],
        "choice": choice,
        "worker": "w",
        "split": "valid1",
    }


def benchmark(tmp_path, rows, name="posts.jsonl", **options):
    path = tmp_path / name
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return Tldr(TldrOptions(posts=str(path), **options))


def test_the_comparisons_format_gives_each_post_once_with_the_humans_summary(tmp_path) -> None:
    found = benchmark(
        tmp_path,
        [
            compared("I fell.", ("sup4", " he fell"), ("ref", " I fell, it hurt.")),
            compared("I fell.", ("ref", " I fell, it hurt."), ("ppo", " ouch"), choice=1),
            compared("I ran.", ("sup4", " run"), ("ppo", " ran")),
            compared(None, ("ref", " news"), article="A long article.", site="cnndm"),
        ],
    )
    (question,) = found.questions()
    assert question.turns == ("SUBREDDIT: r/AskDocs\n\nTITLE: My title\n\nPOST: I fell.\n\nTL;DR:",)
    assert question.references == ("I fell, it hurt.",)
    assert found.notes == (
        "TL;DR leaves out 1 posts without a person's summary.",
        "TL;DR leaves out 1 rows about news articles.",
    )


@pytest.mark.parametrize("column", ["completion", "chosen"])
def test_trls_formats_are_read(tmp_path, column) -> None:
    row = {"prompt": "SUBREDDIT: r/x\n\nPOST: I fell.\n\nTL;DR:", column: " I fell.", "rejected": " no"}
    other = {"prompt": "POST: I ran.", column: "TL;DR:  I ran.", "rejected": "no"}  # as CarperAI stores them
    first, second = benchmark(tmp_path, [row, other]).questions()
    assert (first.turns[0], first.references) == (row["prompt"], ("I fell.",))
    assert (second.turns[0], second.references) == ("POST: I ran.\n\nTL;DR:", ("I ran.",))


def test_the_judge_sees_post_and_summaries_without_the_mark(tmp_path) -> None:
    found = benchmark(tmp_path, [{"prompt": "POST: I fell.\n\nTL;DR:", "completion": " I fell."}])
    (question,) = found.questions()
    asked = list(found.requests(question, [Shown(3, ("TL;DR: ouch\n",))], None))
    assert [shown_in(r) for r in asked] == [("POST: I fell.", "ouch", "I fell."), ("POST: I fell.", "I fell.", "ouch")]
    assert "precise and concise" in asked[0].messages[-1].content


def test_a_summary_ends_with_its_paragraph_unless_told_otherwise(tmp_path) -> None:
    row = {"prompt": "POST: I fell.\n\nTL;DR:", "completion": " I fell."}
    assert "\n\n" in benchmark(tmp_path, [row]).sampling.stop
    assert benchmark(tmp_path, [row], stop=["###"]).sampling.stop == ("###",)


GOOD = compared("I fell.", ("ref", "fell"))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (compared("I ran.", ("ref", "ran"), choice=2), "line 2 of .* has the choice 2 among 1 summaries"),
        (compared("I ran.", ("ref", "ran"), choice=None), "choice None"),
        (compared(" ", ("ref", "ran")), "line 2 of .* has no post"),
        ({**compared("I ran."), "summaries": []}, "line 2 of .* has no list of summaries"),
        ({**compared("I ran."), "summaries": [{"policy": "ref"}]}, "line 2 of .* a summary without text"),
        ({"prompt": "POST: x", "text": "y"}, "line 2 of .* no prompt and chosen as texts"),
        ({"prompt": "POST: x", "completion": " "}, "line 2 of .* no prompt and completion as texts"),
        ("{'info': 1}", "line 2 .* is not valid JSON.*summaries"),
    ],
)
def test_rows_of_another_form_are_refused_with_their_number(tmp_path, row, words) -> None:
    with pytest.raises(BenchmarkError, match=words):
        benchmark(tmp_path, [GOOD, row]).questions()


def test_data_without_any_human_summary_are_refused(tmp_path) -> None:
    with pytest.raises(BenchmarkError, match=r"no post with a person's summary \(1 posts without"):
        benchmark(tmp_path, [compared("I ran.", ("ppo", "ran"))]).questions()
