"""Templates of the judge's prompts: one for each form, evopo's own or those of a file in the format of judge_prompts.jsonl.

A template is filled in one pass, so that braces in the texts of questions and answers, which are untrusted, stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fitness.benchmarks.protocol import BenchmarkError
from fitness.benchmarks.rows import placed_rows
from fitness.chat.request import Message

KEY = "mt-bench.templates"
_FIELD = re.compile(r"\{([a-z]\w*)\}")
EXPECTED = 'expected {"name": "single-v1", "system_prompt": "...", "prompt_template": "..."}'


@dataclass(frozen=True)
class Form:
    """A form of prompt: what it asks about."""

    pair: bool
    referenced: bool
    turn: int

    @property
    def name(self) -> str:
        """As it is recorded, for example `single-reference-turn-2`."""
        parts = ("pair" if self.pair else "single", "reference" if self.referenced else "", f"turn-{self.turn}")
        return "-".join(part for part in parts if part and part != "turn-1")

    @property
    def published(self) -> str:
        """Its name in the published file, for example `single-math-v1-multi-turn`."""
        kinds = {
            (False, False): "single-v1", (False, True): "single-math-v1",
            (True, False): "pair-v2", (True, True): "pair-math-v1",
        }  # fmt: skip
        return kinds[self.pair, self.referenced] + ("-multi-turn" if self.turn == 2 else "")

    @property
    def fields(self) -> frozenset[str]:
        """What its template must have, each in braces, as in the published file."""
        texts = ("question", "answer_a", "answer_b") if self.pair else ("question", "answer")
        shown = {f"{text}{number}" for text in texts for number in (("",) if self.turn == 1 else ("_1", "_2"))}
        references = {f"ref_answer_{turn}" for turn in range(1, self.turn + 1)} if self.referenced else set()
        return frozenset(shown | references)


FORMS = tuple(Form(pair, referenced, turn) for pair in (False, True) for referenced in (False, True) for turn in (1, 2))


@dataclass(frozen=True)
class Template:
    """The texts of a prompt. `system` may be empty."""

    system: str
    prompt: str

    @property
    def text(self) -> str:
        """All of it: what identifies the prompt."""
        return f"{self.system}\n\n{self.prompt}" if self.system else self.prompt

    @property
    def fields(self) -> frozenset[str]:
        """Names in braces."""
        return frozenset(_FIELD.findall(self.prompt))

    def filled(self, values: Mapping[str, str]) -> tuple[Message, ...]:
        """The messages of a request. `values` has a text for each of `fields`."""
        user = Message("user", _FIELD.sub(lambda match: values[match[1]], self.prompt))
        return (Message("system", self.system), user) if self.system else (user,)


def read_templates(path: Path) -> dict[Form, Template]:
    """The templates of a file in the published format, by form; other prompts in it are not read. Raises BenchmarkError."""
    if not path.is_file():
        raise BenchmarkError(f"{KEY}: there is no file {path}")
    wanted = {form.published: form for form in FORMS}
    found: dict[Form, Template] = {}
    for place, row in placed_rows(str(path), KEY, EXPECTED):
        if isinstance(name := row.get("name"), str) and (form := wanted.get(name)):
            found[form] = _template(f"{KEY}: {place}", form, row)
    if missing := [form.published for form in FORMS if form not in found]:
        raise BenchmarkError(f"{KEY}: {path} lacks the prompts {', '.join(missing)}: give a file that has all of them")
    return found


def _template(place: str, form: Form, row: Mapping[str, Any]) -> Template:
    system, prompt = row.get("system_prompt"), row.get("prompt_template")
    if not isinstance(system, str) or not isinstance(prompt, str):
        raise BenchmarkError(f"{place}: system_prompt and prompt_template should be texts: {EXPECTED}")
    template = Template(system, prompt)
    missing, unknown = form.fields - template.fields, template.fields - form.fields
    if missing or unknown:
        named = "; ".join(
            f"{words} {', '.join(f'{{{name}}}' for name in sorted(names))}"
            for words, names in (("lacks", missing), ("has the unknown", unknown))
            if names
        )
        fields = ", ".join(f"{{{name}}}" for name in sorted(form.fields))
        raise BenchmarkError(f"{place}: the prompt_template of {form.published} {named}: expected {fields}")
    return template
