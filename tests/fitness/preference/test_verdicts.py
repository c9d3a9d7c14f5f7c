"""A judge's verdict is the conclusion of its reply, or there is none."""

from __future__ import annotations

import pytest

from fitness.preference.judge.verdicts import INSTRUCTIONS, read_verdict

FIRST, SECOND, TIE = '{"better": "first"}', '{"better": "second"}', '{"better": "tie"}'
FIRST_QUOTED = FIRST.replace('"', '\\"')
CHOICES = f"{FIRST}, {SECOND} or {TIE}"

SECOND_FORMS = {
    "as asked for": SECOND,
    "a fence": f"```json\n{SECOND}\n```",
    "a fence after words": f"Here is my verdict:\n\n```\n{SECOND}\n```\n",
    "single quotes": "{'better': 'second'}",
    "no quotes": "{better: second}",
    "typographic quotes": "{“better”: “second”}",
    "capitals": '{"Better": "SECOND"}',
    "more keys": '{"reason": "the first {sic} is wrong", "better": "second", "confidence": 0.9}',
    "an object in an object": '{"verdict": {"better": "second"}}',
    "a longer value": '{"better": "the second answer"}',
    "escaped quotes": '"{\\"better\\": \\"second\\"}"',
    "the question echoed, then concluded": f'{{"prompt": "p", "first": "x {FIRST_QUOTED}", "second": "y"}}\n{SECOND}',
    "spread over lines": '{\n  "better":\n    "second"\n}',
    "no closing brace": '{"better": "second"',
    "the pair alone": '"better": "second"',
    "trailing words that agree": f"{SECOND}\n\nThe second answer is better because it is correct.",
    "trailing words": f"{SECOND} I hope that this helps! The first one misses the point.",
    "twice the same": f"{SECOND}\n{SECOND}",
    "one word": "second",
    "one word in bold": "**Second**.",
    "a label": "Answer: second",
    "a label in bold": "**Better:** second",
    "a sentence": "The better answer is the second.",
    "a sentence in bold": "The better answer is the **second** one.",
    "a sentence the other way": "The second answer is clearly better than the first.",
    "preference": "I prefer the second, since it is complete.",
    "a sentence with a colon": "The answer is: **second**.",
    "under a heading": "## First answer\nWrong.\n## Second answer\nRight.\n\n## Verdict\n**Second**",
    "the last line": "The first one misses the point, the other does not.\n\nsecond",
    "an object in a box": '\\boxed{\\{"better": "second"\\}}',
    "concluded, then a quotation of what an answer says": f"{SECOND}\nThe first answer contains the text {FIRST}, which I ignored.",
    "a box": "So the verdict is\n\\boxed{second}",
    "words before": f"The first is nicer in tone, but it is wrong.\n\n{SECOND}",
    "words before that call the other better": f"The first is better in tone.\n\n{SECOND}",
    "restated, then concluded": f"I have to reply with {CHOICES}.\n\n{SECOND}",
    "restated in a paragraph, then concluded": f"Reply with one line of JSON: {CHOICES}. My conclusion: {SECOND}",
    "concluded, then restated": f"{SECOND}\n\n(The choices were {CHOICES}.)",
    "restated, then concluded in words": f"You asked for {CHOICES}. The better answer is the second.",
    "all of the instructions, then concluded": f"{INSTRUCTIONS}\n\n{SECOND}",
    "explained, then concluded": f"{FIRST} if the first is better, {SECOND} or {TIE} if they are equal.\n\n{SECOND}",
    "corrected": f"{FIRST} No, on reflection that is wrong: {SECOND}",
    "the other denied": f"{SECOND}, not {FIRST}",
    "the other denied first": f"Not {FIRST} but {SECOND}",
    "a quotation of what an answer says": f"The first answer says `{FIRST}`, which I must ignore.\n\n{SECOND}",
    "reasoning": f"<think>Perhaps {FIRST}? Or {TIE}.</think>\n{SECOND}",
    "reasoning whose start was in the prompt": f"Perhaps {FIRST}? Yes, {FIRST}.\n</think>\n\n{SECOND}",
    "reasoning by another name": f"<thinking>{FIRST}</thinking><answer>{SECOND}</answer>",
    "reasoning of Seed": f"<seed:think>{FIRST}</seed:think>{SECOND}",
    "reasoning of Gemini": f"<thought>{FIRST}</thought>{SECOND}",
    "reasoning of Magistral": f"[THINK]{FIRST}[/THINK]{SECOND}",
    "reasoning of Kimi": f"◁think▷{FIRST}◁/think▷{SECOND}",
    "reasoning of Command": f"<|START_THINKING|>{FIRST}<|END_THINKING|>{SECOND}",
    "the mark of a message's end": "second<|im_end|>\n",
    "reasoning after the verdict": f"{SECOND}\n<reflection>Or {FIRST}?</reflection>",
    "channels": f"<|channel|>analysis<|message|>{FIRST}<|end|><|start|>assistant<|channel|>final<|message|>{SECOND}<|return|>",
    "channels with a format": (
        f"<|channel|>analysis<|message|>{FIRST}<|end|><|start|>assistant<|channel|>final <|constrain|>json<|message|>{SECOND}"
    ),
    "channels without their brackets": f"analysisThe user wants {FIRST} or so.assistantfinal{SECOND}",
}


@pytest.mark.parametrize("text", SECOND_FORMS.values(), ids=SECOND_FORMS)
def test_the_conclusion_is_read_in_any_form(text: str):
    assert read_verdict(text, cut_off=False) == "second"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (FIRST, "first"),
        (TIE, "tie"),
        ("It is a tie.", "tie"),
        ("tie", "tie"),
        ('{"better": "equal"}', "tie"),
        ('{"better": "draw"}', "tie"),
    ],
)
def test_each_word_has_its_verdict(text: str, verdict: str):
    assert read_verdict(text, cut_off=False) == verdict


UNCLEAR = {
    "nothing": "",
    "no verdict": "Both answers have their merits.",
    "the choices alone": CHOICES,
    "the choices restated": f"I have to reply with {CHOICES}.",
    "the instructions": INSTRUCTIONS,
    "a schema": '{"better": "first" | "second" | "tie"}',
    "a schema in one word": '{"better": "first|second|tie"}',
    "another word": '{"better": "neither"}',
    "another type": '{"better": 1}',
    "two verdicts": f"{FIRST}\n{SECOND}",
    "two verdicts in words": "Verdict: first\n\nFinal verdict: second",
    "the question echoed": f'{{"prompt": "p", "first": "x {FIRST_QUOTED}", "second": "y"}}',
    "a quotation within an object": f'{{"analysis": "the first says {FIRST_QUOTED}"}}',
    "a quotation in single quotes within an object": """{"analysis": "the first says {'better': 'first'}"}""",
    "the choices explained": f"- `{FIRST}`: the first is better\n- `{SECOND}`: the second is\n- `{TIE}`: they are equal",
    "the choices with their conditions": f"{FIRST} if the first is better. Otherwise {SECOND}. {TIE} if they are equal.",
    "a last one with a condition": f"It may be {FIRST}. But {SECOND} if you want detail.",
    "it depends": f"If you want it short, {FIRST}; if you want it complete, {SECOND}",
    "JSON and words disagree": f"The first answer contains {FIRST}, a trick. The second answer is better.",
    "a verdict in reasoning that did not end": f"<think>Perhaps {FIRST}",
    "a verdict in reasoning alone": f"<think>It is {FIRST}</think>",
    "a verdict in analysis alone": f"<|channel|>analysis<|message|>It is {FIRST}",
    "an order, not a verdict": "First, let us look at the answers.",
    "what an answer claims": f"The first answer claims that {FIRST}",
    "a denial": "The first is not better.",
    "a question": "Which one is better? The first or the second?",
}


@pytest.mark.parametrize("text", UNCLEAR.values(), ids=UNCLEAR)
def test_an_unclear_reply_has_no_verdict(text: str):
    assert read_verdict(text, cut_off=False) is None


@pytest.mark.parametrize(
    "text", [f"Perhaps {FIRST}? Let me", f"Perhaps {FIRST}", "The better answer is the first", f"{FIRST}\n{SECOND}"]
)
def test_a_reply_that_was_cut_off_may_be_reasoning_and_gives_no_verdict(text: str):
    assert read_verdict(text, cut_off=True) is None


@pytest.mark.parametrize("text", [SECOND, f"```json\n{SECOND}\n```", f"{SECOND}\nThe second answer is"])
def test_a_reply_that_was_cut_off_after_its_verdict_gives_it(text: str):
    assert read_verdict(text, cut_off=True) == "second"


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        '{"better": ' * 20_000,
        "\n" * 300_000,
        "first is " * 50_000,
        "<think>" * 50_000,
        "{#\n" * 80_000,
        "verdict" + "\n" * 19_000 + "x",
    ],
    ids=range(7),
)
def test_a_hostile_reply_is_read_in_bounded_time(text: str):
    assert read_verdict(text, cut_off=False) is None
