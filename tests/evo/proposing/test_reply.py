"""Reading a model's reply: the shapes that models write, the ones that attackers write, and any text at all."""

from __future__ import annotations

import ast
import json
import textwrap
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evo.proposing.reply.reply import (
    MAX_CODE,
    MAX_NAME,
    MAX_REPLY,
    MAX_THOUGHT,
    FailureKind,
    ParsedReply,
    ParseFailure,
    clean_name,
    clean_thought,
    parse_reply,
    printable,
)
from sandbox.contracts.contract import contract_named

CODE = "def my_loss(a, b):\n    return a - b\n"
OTHER = "def other(a, b):\n    return b - a\n"


def as_json(code: object = CODE, thought: object = "Because.", name: object = "mine", **more: object) -> str:
    return json.dumps({"thought": thought, "name": name, "code": code, **more})


def fenced(code: str = CODE, mark: str = "```", language: str = "python") -> str:
    return f"{mark}{language}\n{code}{mark}"


def parsed(text: str) -> ParsedReply:
    reply = parse_reply(text)
    assert isinstance(reply, ParsedReply), reply
    return reply


def failed(text: str) -> ParseFailure:
    reply = parse_reply(text)
    assert isinstance(reply, ParseFailure), reply
    return reply


@pytest.mark.parametrize(
    "text",
    [
        as_json(),
        "\ufeff" + as_json(),
        "\n\n" + as_json() + "\n",
        f"Here is my proposal:\n{as_json()}\nI hope that it helps {{sincerely}}.",
        f"```json\n{as_json()}\n```",
        f"```\n{as_json()}\n```",
        json.dumps({"code": CODE, "name": "mine", "thought": "Because."}, indent=4),
        as_json(more="unasked", score=3),
        as_json(fenced()),
        as_json(fenced(language="")),
        as_json(CODE.splitlines()),
        as_json().replace("\\n", "\n"),
        as_json(CODE.replace("\n", "\r\n")),
        f"<think>Perhaps {as_json(OTHER)}?</think>{as_json()}",
        f"Perhaps {as_json(OTHER)}?</think>\n{as_json()}",
        f"<thinking>{as_json(OTHER)}</thinking>{as_json()}",
        f"{as_json()}\n<reflection>{as_json(OTHER)}</reflection>",
        f"<|channel|>analysis<|message|>{as_json(OTHER)}<|end|><|start|>assistant<|channel|>final<|message|>{as_json()}<|return|>",
        f'The format is {{"thought": "...", "name": "...", "code": "..."}}.\n{as_json()}',
        f"{as_json(OTHER)}\nOn reflection:\n{as_json()}",
        json.dumps(as_json()),
        as_json(thought=None)[:-1].replace("null", '"Because."') + "}",
        f'{{thought: "Because.", name: "mine", code: {json.dumps(CODE)}}}',
        f'{{"Thought": "-", "thought": "Because.", "name": "mine", "Code": {json.dumps(CODE)}}}',
        f"{{“thought”: “Because.”, “name”: “mine”, “code”: “{CODE}”}}",
        f'{{"thought": "Because."\n "name": "mine"\n "code": {json.dumps(CODE)}}}',
        as_json({"language": "python", "source": CODE}),
        as_json().replace('"code"', '"function"'),
        as_json("python\n" + CODE),
        as_json(f"`{CODE}`"),
        as_json("    " + CODE.replace("\n    ", "\n        ")),
        as_json().replace("my_loss", "my\\_loss"),
    ],
    ids=range(32),
)
def test_json_is_found_however_it_is_wrapped(text: str):
    assert parsed(text) == ParsedReply("Because.", "mine", CODE)


@pytest.mark.parametrize(
    "text",
    [
        f"Thought: Because.\nName: mine\n\n{fenced()}",
        f"**Thought:** Because.\n**Name:** mine\n\n{fenced()}",
        f"## Thought: Because.\n- name: `mine`\n{fenced(mark='~~~~')}",
        f"thought:\nBecause.\n\nname: mine\n{fenced(language='')}\nThis should work.",
        f"Name: mine\nThought: Because.\n{fenced()}\n",
        f"Thought: Because.\nName: mine\n{CODE}",
        f"Thought: Because.\r\nName: mine\r\n\r\n{fenced()}".replace("\n", "\r\n"),
    ],
    ids=range(7),
)
def test_labelled_prose_with_a_code_block_is_read(text: str):
    reply = parsed(text)
    assert (reply.name, reply.code) == ("mine", CODE)
    assert reply.thought.startswith("Because.")


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is: ```python\n{CODE}```",
        f"```python\n{CODE.rstrip()}```",
        f"```python\n{CODE}```This is the loss.",
        f"{fenced()[:-3]}```<|eot_id|>",
        "- The loss:\n" + textwrap.indent(fenced(), "    "),
        "1. The loss:\n\n" + textwrap.indent(fenced(), "   "),
        textwrap.indent(fenced(), "> "),
        "Here:\n\n" + textwrap.indent(CODE, "    "),
        f"Here:\n{CODE}\nThis loss is robust.\n",
        f"<code>\n{CODE}</code>",
        f"from what we saw,\nthis follows:\n{CODE}",
        f"````markdown\n{fenced()}\n````",
        fenced(textwrap.indent(CODE, "+"), language="diff"),
        fenced(
            "--- a/x.py\n+++ b/x.py\n@@ -1,2 +1,2 @@\n def my_loss(a, b):\n-    return b\n+    return a - b\n",
            language="diff",
        ),
        fenced(">>> def my_loss(a, b):\n...     return a - b\n"),
        fenced(CODE.replace("    ", "\u00a0" * 4)),
        "\ufeff" + fenced(),
        f"{fenced()}\nIn general:\n{fenced('def my_loss(a, b):' + chr(10) + '    ...' + chr(10))}",
    ],
    ids=range(18),
)
def test_code_is_found_however_it_is_set(text: str):
    assert parsed(text).code.strip() == CODE.strip()


def test_of_several_functions_within_prose_the_one_that_takes_the_arguments_counts():
    reply = parse_reply(f"{LOSS}\nA test:\n\n{TEST}\nDone.", contract=PREFERENCE)
    assert isinstance(reply, ParsedReply) and reply.code.strip() == LOSS.strip()


def test_marks_of_reasoning_within_an_objects_strings_are_part_of_it():
    assert parsed(as_json(thought="<think>Hm.</think> Because.")).code == CODE


def test_a_fence_in_a_docstring_does_not_end_the_block_around_it():
    code = 'def my_loss(a):\n    """Use:\n\n    ```\n    my_loss(1)\n    ```\n    """\n    return a\n'
    assert parsed(fenced(code)).code == code


def test_latex_in_a_comment_breaks_no_line():
    code = CODE.replace("return", "# \\rho\n    return")
    assert parsed(as_json(code).replace("\\\\rho", "\\rho")).code == code


def test_unlabelled_prose_is_the_thought_and_the_function_gives_the_name():
    assert parsed(f"Margins saturate.\n\n{fenced()}") == ParsedReply("Margins saturate.", "my_loss", CODE)


def test_of_several_code_blocks_the_last_with_a_function_counts():
    text = f"First:\n{fenced(OTHER)}\nBetter:\n{fenced()}\nUse it so:\n{fenced('loss = my_loss(a, b)' + chr(10))}"
    assert parsed(text).code == CODE


def test_a_fence_within_a_longer_fence_does_not_end_it():
    code = 'def f(a):\n    """\n```\n"""\n    return a\n'
    assert parsed(fenced(code, mark="````")).code == code


def test_imports_before_the_function_are_kept():
    code = "import torch\n\n" + CODE
    assert parsed(code).code == code
    assert parsed(f"Sure:\n{code}").code == code


@pytest.mark.parametrize("text", ["", " \n\t", "<think>hm</think>"])
def test_nothing_is_empty(text: str):
    assert failed(text).kind is FailureKind.EMPTY


@pytest.mark.parametrize(
    "text",
    ["<think>still thinking", as_json()[:-20], '{"thought": "Because', f"Thought: x\n```python\n{CODE}"],
)
def test_a_reply_that_ends_too_early_is_cut_off(text: str):
    assert failed(text).kind is FailureKind.CUT_OFF


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I would suggest that we think first.", FailureKind.PROSE_ONLY),
        ("The def of a loss (x) is this.", FailureKind.PROSE_ONLY),
        (fenced("loss = a - b\n"), FailureKind.MISSING_CODE),
        (as_json(code=None), FailureKind.MISSING_CODE),
        (as_json(code=""), FailureKind.MISSING_CODE),
        (as_json(code={"a": 1}), FailureKind.MISSING_CODE),
        ('{"thought": "x", "name": "y"}', FailureKind.MISSING_CODE),
        ('{"thought": "x", code = "def f(a): return a"}', FailureKind.BROKEN_JSON),
        ("{'thought': 'x'}", FailureKind.BROKEN_JSON),
        ('{"a":' * 100_00, FailureKind.BROKEN_JSON),
        ('{"a": ' + "[" * 100_000, FailureKind.BROKEN_JSON),
        ("x" * (MAX_REPLY + 1), FailureKind.TOO_LONG),
        (as_json(CODE + "#" * MAX_CODE), FailureKind.TOO_LONG),
    ],
    ids=range(13),
)
def test_a_reply_without_a_function_says_what_is_missing(text: str, kind: FailureKind):
    failure = failed(text)
    assert failure.kind is kind
    assert failure.message
    assert failure.remedy


@pytest.mark.parametrize("value", [None, 3, ["x"], {"x": 1}, True])
def test_a_thought_or_name_of_the_wrong_type_is_dropped_and_the_code_kept(value: object):
    assert parsed(as_json(thought=value, name=value)) == ParsedReply("", "my_loss", CODE)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("log_ratio-modulated v2.1", "log_ratio-modulated v2.1"),
        ("β-DPO", "beta-DPO"),
        ("Λ loss", "lamda loss"),
        ("ｆｕｌｌ", "full"),
        ("../../etc/passwd", "etc passwd"),
        ("a\x1b[31mb\x1b[0m\x07", "ab"),
        ("a\x1b]0;title\x07b", "ab"),
        ("x\u202egpj.exe", "xgpj.exe"),
        ("'; DROP TABLE candidate; --", "DROP TABLE candidate"),
        ("<script>alert(1)</script>", "script alert 1 script"),
        ("{{ config }} ${HOME} `id`", "config HOME id"),
        ("[bold]x[/]", "bold x"),
        ("=cmd|' /C calc'!A0", "cmd C calc A0"),
        ("a\nb\r\nc", "a b c"),
        ("中文", ""),
        ("x" * 500, "x" * MAX_NAME),
    ],
)
def test_names_are_plain_display_text(name: str, shown: str):
    assert clean_name(name) == shown


def test_thoughts_are_one_printable_capped_line():
    assert clean_thought("a\tb\nc\x1b[2Jd \u202e e\u200b\x00f") == "a b cd ef"
    long = clean_thought("word " * 2000)
    assert len(long) == MAX_THOUGHT
    assert long.endswith("…")


def test_code_loses_invisible_characters_and_nothing_else():
    code = "def f(a):\n\treturn a  # \u202eevil\u202c \u03b2\x1b[31m ok\x00\ud800\n"
    assert parsed(as_json(code)).code == "def f(a):\n\treturn a  # evil \u03b2 ok\n"


PREFERENCE = contract_named("preference")
ARGUMENTS = ", ".join(a.name for a in PREFERENCE.arguments)
LOSS = (
    f"def my_loss({ARGUMENTS}):\n    x = policy_chosen_logps - policy_rejected_logps\n"
    "    for weight in (1, 2):\n        x = x * weight  # twice\n    return -F.logsigmoid(beta * x)\n"
)
FLAT = f"def my_loss({ARGUMENTS}):\n    x = policy_chosen_logps - policy_rejected_logps\n    return -F.logsigmoid(beta * x)\n"
SHORT = (
    "def my_loss(pi_chosen, pi_rejected, ref_chosen, ref_rejected, beta):\n    return F.softplus(-beta * pi_chosen)\n"
)
CLASS = (
    "class Mine(nn.Module):\n    def forward(\n        self,\n        policy_chosen_logps: Tensor,\n"
    "        policy_rejected_logps: Tensor,\n        reference_chosen_logps,\n        reference_rejected_logps,\n    ):\n"
    "        return -policy_chosen_logps\n"
)
TEST = "def test_my_loss(n=4):\n    print(my_loss(*torch.zeros(4, n), beta=0.1))\n"


@pytest.mark.parametrize("loss", [LOSS, SHORT, CLASS], ids=["own names", "other names", "class"])
@pytest.mark.parametrize(
    "reply",
    [
        "Loss:\n{loss}\nA test:\n{test}",
        "A helper first:\n{test}\nLoss:\n{loss}",
        "First idea:\n{other}\nBetter:\n{loss}\nUse it so:\n{test}\n",
    ],
    ids=range(3),
)
def test_of_several_code_blocks_the_last_that_takes_the_contract_s_arguments_counts(loss: str, reply: str):
    other = loss.replace("return ", "return 2 * ")
    text = reply.format(loss=fenced(loss), test=fenced(TEST), other=fenced(other))
    for contract in (PREFERENCE, None):
        parsed_reply = parse_reply(text, contract=contract)
        assert isinstance(parsed_reply, ParsedReply) and parsed_reply.code == loss


def test_of_several_json_objects_likewise():
    text = f"{as_json(LOSS)}\nand a test: {as_json(TEST)}"
    parsed_reply = parse_reply(text, contract=PREFERENCE)
    assert isinstance(parsed_reply, ParsedReply) and parsed_reply.code == LOSS


def test_a_single_block_is_read_whatever_it_takes():
    parsed_reply = parse_reply(fenced(), contract=PREFERENCE)
    assert isinstance(parsed_reply, ParsedReply) and parsed_reply.code == CODE


NEARLY_JSON = {
    "trailing comma": as_json(LOSS)[:-1] + ",}",
    "in a list": json.dumps({"thought": "Because.", "name": "mine", "code": LOSS.splitlines()})[:-2] + ",\n],\n}",
    "in a fence": f"Sure:\n```json\n{as_json(LOSS)[:-1]},\n}}\n```\nI hope it helps.",
    "comments": as_json(LOSS).replace('"name"', '/* short */ "name"').replace("{", "{ // an object\n", 1),
    "python": repr({"thought": "Because.", "name": "mine", "code": LOSS, "done": True, "more": None}),
    "triple quotes": as_json("@").replace('"@"', f'\"\"\"\n{LOSS}\"\"\"'),
    "backticks": as_json("@").replace('"@"', f"`{LOSS}`"),
    "fenced value": as_json("@").replace('"@"', f"```python\n{LOSS}```"),
    "latex": as_json(LOSS, thought="@").replace("@", r"Because \sigma."),
    "quotes within": as_json("@").replace('"@"', '"' + LOSS.replace("# twice", '"""twice"""') + '"'),
    "cut off": as_json(LOSS)[:-1],
    "cut off in another": json.dumps({"code": LOSS, "name": "mine", "thought": "Because. And"})[:-6],
}  # fmt: skip


@pytest.mark.parametrize("text", NEARLY_JSON.values(), ids=NEARLY_JSON)
def test_json_that_misses_the_standard_is_read_where_it_can_mean_one_thing(text: str):
    reply = parse_reply(text, contract=PREFERENCE)
    assert isinstance(reply, ParsedReply), reply
    assert reply.code.replace('"""twice"""', "# twice") == LOSS


@pytest.mark.parametrize(
    ("code", "whole"),
    [
        (LOSS.replace("\n", "\\n"), LOSS),
        (LOSS.replace("\n", ""), LOSS),
        (LOSS.replace("\n", " "), LOSS.replace("\n    ", "\n     ")),
        (FLAT.replace("\n", ""), FLAT),
        (" ".join(FLAT.split()), FLAT),
        (f"import torch {FLAT}".replace("\n", ""), f"import torch\n{FLAT}"),
        (
            FLAT.replace("    x =", "    # the margin\n    x =").replace("\n", ""),
            FLAT.replace("    x =", "    # the margin\n    x ="),
        ),
        (" ".join(LOSS.split()), None),
        (" ".join(FLAT.split()).replace("x =", "# margin x ="), None),
        ("def my_loss(a): return a if a > 0 else -a\n", None),
        ('def my_loss(a): return a + len("a\\\\n")\n', None),
        ("def my_loss(a): x = a; return x\n", None),
    ],
    ids=range(12),
)
def test_lost_line_breaks_are_put_back_where_there_is_one_way(code: str, whole: str | None):
    reply = parse_reply(as_json(code), contract=PREFERENCE)
    assert isinstance(reply, ParsedReply)
    assert reply.code.strip() == (whole or code).strip()
    if whole:
        ast.parse(whole)


@pytest.mark.parametrize(
    "text",
    [
        f"<thinking>{fenced(TEST)}</thinking>\n{fenced()}",
        f"<reasoning>{fenced(TEST)}</reasoning>{fenced()}",
        f"[THINK]{fenced(TEST)}[/THINK]{fenced()}",
        f"{fenced()}\n<think>Does it hold? {fenced(TEST)}</think>",
        f"<|channel|>analysis<|message|>{fenced(TEST)}<|end|><|start|>assistant<|channel|>final<|message|>{fenced()}<|return|>",
    ],
    ids=range(5),
)
def test_reasoning_in_its_usual_forms_is_set_aside(text: str):
    assert parsed(text).code == CODE


@pytest.mark.parametrize("text", ["<thinking>Let me", "<|channel|>analysis<|message|>Let me", "[THINK]Let me"])
def test_reasoning_that_never_ends_is_a_reply_that_ends_too_early(text: str):
    assert failed(text).kind is FailureKind.CUT_OFF


texts = st.text(max_size=400) | st.text(alphabet='{}[]",:`~\n\\ \x1bdef()abc<>/', max_size=400)


@given(texts)
@settings(max_examples=300, deadline=None)
def test_any_text_gives_a_candidate_or_a_reason_and_never_raises(text: str):
    reply = parse_reply(text)
    if isinstance(reply, ParseFailure):
        assert reply.message.isprintable()
        return
    reply.code.encode("utf-8")
    assert reply.name.isascii()
    assert 0 < len(reply.name) <= MAX_NAME
    assert reply.thought.isprintable()
    assert len(reply.thought) <= MAX_THOUGHT


@given(st.text(max_size=200), st.text(max_size=80), st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_code_survives_any_thought_name_and_comment(thought: str, name: str, comment: str):
    code = CODE + "# " + " ".join(printable(comment, keep="").split()) + "\n"
    reply = parse_reply(as_json(code, thought, name))
    assert isinstance(reply, ParsedReply)
    if "```" not in comment and "~~~" not in comment and "</think>" not in thought + name + comment:
        assert reply.code == code


@given(st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_printable_text_has_no_control_format_or_surrogate_character(text: str):
    shown = printable(text)
    assert {unicodedata.category(c) for c in shown if c != "\n"}.isdisjoint({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("begin", "unit"),
    [
        ("", '{"'),
        ("", '{"a":1}'),
        ("", "```\n"),
        ("", "\x1b]"),
        ("", "<think>"),
        ("", "thought: "),
        ("", "def f("),
        ("", '{"code":"'),
        ("", "\\"),
        ("", "~~~\n"),
        ("", '"/*'),
        ("", '"#'),
        ("", '\\"'),
        ("", "{//"),
        ("", "{'"),
        ("", '{"a":"'),
        ("", '{"code":['),
        ("", '{"code": "def f(a):    x = a '),
        ("", "[THINK]"),
        ("", "</think><think>"),
        ("", "<|channel|>final"),
        ("", "//{\n"),
        ('{"a": "', '//"\n'),
        ("", "def f(a):\n x\nfoo bar\n"),
        ("", "```\n+def f(a):\n+ x\n```\n"),
        ("", "def f(a): #:"),
        ("", "{a: "),
        ("", "> ```\n"),
    ],
)
def test_repetitive_replies_are_read_in_time(begin: str, unit: str):
    parse_reply(begin + unit * (MAX_REPLY // len(unit) - 2) + "x")


@pytest.mark.parametrize("form", ["```python\n{}```\n", "I suggest a class.\n\n{}", '{{"thought": "t", "code": {}}}'])
def test_a_loss_in_a_class_is_read_and_named_after_it(form: str) -> None:
    code = (
        "class SoftHinge(nn.Module):\n    def __init__(self, beta=0.1):\n        super().__init__()\n        self.beta = beta\n\n"
        "    def forward(self, chosen_logps, rejected_logps, ref_chosen_logps, ref_rejected_logps):\n"
        "        margin = (chosen_logps - rejected_logps) - (ref_chosen_logps - ref_rejected_logps)\n"
        "        return F.softplus(1 - self.beta * margin).mean()\n"
    )
    parsed = parse_reply(form.format(json.dumps(code) if form.startswith("{") else code))
    assert isinstance(parsed, ParsedReply)
    assert (parsed.code, parsed.name) == (code, "SoftHinge")
    from sandbox.vetting.vet import vet

    verdict = vet(parsed.code, numeric=False)
    assert verdict.graph is not None and not verdict.refusals


# ---- parameters that were added to the signature ------------------------------------------------------------------------

PREFERENCE = contract_named("preference")
ARGUMENTS = PREFERENCE.signature


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (f"def f({ARGUMENTS}, margin):\n    return -beta * policy_chosen_logps\n", f"({ARGUMENTS})"),
        (f"def f({ARGUMENTS}, margin: torch.Tensor, extra):\n    return beta\n", f"({ARGUMENTS})"),
        (f"def f({ARGUMENTS}, margin):\n    return beta - margin\n", f"({ARGUMENTS}, margin)"),
        (f"def f({ARGUMENTS}, margin=0.5):\n    return beta\n", f"({ARGUMENTS}, margin=0.5)"),
        (f"def f({ARGUMENTS}, *args):\n    return beta\n", f"({ARGUMENTS}, *args)"),
        (f"def f(self, {ARGUMENTS}):\n    return beta\n", f"(self, {ARGUMENTS})"),
        ("def f(policy_chosen_logps, margin):\n    return beta\n", "(policy_chosen_logps, margin)"),
    ],
    ids=["unused", "annotated", "used", "with a default", "star", "method", "other arguments"],
)
def test_a_parameter_that_is_no_argument_and_is_not_used_is_removed(given: str, read: str):
    for reply in (fenced(given), as_json(given), as_json(given.split("\n"))):
        parsed = parse_reply(reply, PREFERENCE)
        assert isinstance(parsed, ParsedReply) and parsed.code == f"def f{read}:{given.partition('):')[2]}"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("return relu(1 - x) - logsigmoid(x)", "return torch.relu(1 - x) - F.logsigmoid(x)"),
        ("return x.exp() + exp(-x)", "return x.exp() + torch.exp(-x)"),
        ("return abs(x) + max(1, 2) * math.exp(1)", None),  # Python's own functions, and names with a module
        ("relu = F.relu\n    return relu(x)", None),  # the code says what the name means
        ("return hinge(x)", None),  # no function of torch
    ],
)
def test_a_function_of_torch_without_its_module_gets_it(written: str, read: str | None):
    code = f"def loss(logits, targets):\n    x = logits[:, 0]\n    {written}\n"
    parsed = parse_reply(f"```python\n{code}```", contract_named("classification"))
    assert isinstance(parsed, ParsedReply) and parsed.code == (code.replace(written, read) if read else code)


@pytest.mark.parametrize("own", ["def relu(x):\n    return x\n\n", "from torch import relu\n\n"])
def test_a_function_that_the_code_defines_or_imports_is_left_alone(own: str):
    code = f"{own}def loss(logits, targets):\n    return relu(logits[:, 0])\n"
    parsed = parse_reply(f"```python\n{code}```", contract_named("classification"))
    assert isinstance(parsed, ParsedReply) and parsed.code == code
