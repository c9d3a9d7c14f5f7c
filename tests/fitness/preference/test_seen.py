"""The data as the model sees it: tokens equal to TRL's, counts of pairs left out, and findings by the rules."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    GPT2Config,
    LlamaConfig,
    LlamaForCausalLM,
    MPNetConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    T5Config,
)
from trl import DPOConfig, DPOTrainer

from fitness.preference.checks import faults
from fitness.preference.options import Options
from fitness.preference.pairs.check import PairCheck
from fitness.preference.pairs.limits import positions
from fitness.preference.pairs.rules import RULES
from fitness.preference.pairs.seen import Seen, look, notes_on, pair_check
from fitness.preference.pairs.sources import load_pairs
from fitness.preference.pairs.tokens import Tokens, pair_tokens
from fitness.preference.policies import load_tokenizer
from fitness.score import EvaluationFailed
from fitness.task import make_task
from fitness.training.batches import TOKEN_COLUMNS, PreferenceCollator
from sandbox.known import graph

SPECIAL = ["<s>", "</s>", "<pad>", "<unk>", "<|im_start|>", "<|im_end|>"]
TEXT = ["Question Answer yes no good bad user assistant system Explain number in simple words 0 1 2 3 4 5 6 7 8 9"] * 20
HEAD, GENERATION = "<|im_start|>assistant\n", "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
TURNS = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}</s>\n{% endfor %}"
CHATML = TURNS + GENERATION
TRIMMING = CHATML.replace("m['content']", "m['content'] | trim")
TOOLS = "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}</s>\n{% endif %}"
LONG = "the same long beginning " * 20
Row = dict[str, Any]


def save_tokenizer(folder: Path, template: str | None = CHATML, *, begins: bool = False, **changes: Any) -> Path:
    """A byte-level tokenizer; with `begins` it puts <s> before every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=330, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"} | changes
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, extra_special_tokens=SPECIAL[-2:], **special)
    fast.chat_template = template
    fast.save_pretrained(folder)
    return folder


def config(tokens: int = 330, **changes: Any) -> LlamaConfig:
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaConfig(
        vocab_size=tokens, max_position_embeddings=512, eos_token_id=1, pad_token_id=2, **size, **changes
    )


def save_model(
    folder: Path, template: str | None = CHATML, *, vocabulary: int = 330, weights: bool = False, **how: Any
) -> str:
    """What `look` reads of a model: configuration and tokenizer; with `weights` all of it."""
    save_tokenizer(folder, template, **how)
    torch.manual_seed(0)
    model = config(vocabulary)
    (LlamaForCausalLM(model) if weights else model).save_pretrained(folder)
    return str(folder)


def save_pairs(folder: Path, rows: list[Row]) -> str:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def turn(role: str, content: str, **more: Any) -> Row:
    return {"role": role, "content": content, **more}


def plain(i: int, chosen: str | None = None, rejected: str | None = None, prompt: str | None = None) -> Row:
    return {"prompt": prompt or f"Question {i}", "chosen": chosen or f" good {i}", "rejected": rejected or f" bad {i}"}


def chat(i: int, chosen: str | None = None, rejected: str | None = None, **more: Any) -> Row:
    return {
        "prompt": [turn("user", f"Question {i}")],
        "chosen": [turn("assistant", f"good {i}" if chosen is None else chosen)],
        "rejected": [turn("assistant", f"bad {i}" if rejected is None else rejected)],
        **more,
    }


def rows_of(make: Callable[..., Row], *bad: Row, count: int = 40) -> list[Row]:
    """`bad` rows, then sound ones."""
    return [*bad, *(make(i) for i in range(len(bad), count))]


def options_for(model: str, data: str, cache: Path, **changes: Any) -> Row:
    given = {
        "pairs": 12,
        "batch_size": 4,
        "short_steps": 2,
        "test_fraction": 0.4,
        "max_length": 128,
        "learning_rate": 5e-3,
    }
    return {"model": model, "data": data, "cache": str(cache), **given} | changes


@pytest.fixture(scope="session")
def models_by_template(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Saves a model with such a template and tokenizer, once."""
    made: dict[str, str] = {}

    def model(template: str | None = CHATML, **how: Any) -> str:
        key = f"{template} {how}"
        if key not in made:
            made[key] = save_model(tmp_path_factory.mktemp("model"), template, **how)
        return made[key]

    return model


@pytest.fixture
def seen(
    models_by_template: Callable[..., str], tmp_path: Path
) -> Callable[..., tuple[Seen, tuple[str, ...], Options]]:
    """The Seen of rows, its notes, and the options."""

    def look_at(rows: list[Row], template: str | None = CHATML, how: Row | None = None, **changes: Any) -> Any:
        model = models_by_template(template, **(how or {}))
        options = Options.model_validate(options_for(model, save_pairs(tmp_path, rows), tmp_path, **changes))
        pairs = load_pairs(options)
        found = look(pairs, pair_check(options, load_tokenizer(options, conversational=pairs.conversational)))
        return found, notes_on(pairs, found, options), options

    return look_at


# --- the tokens are TRL's ---


THINKING = TURNS + (
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% if not enable_thinking %}</think>\n{% endif %}{% endif %}"
)
TOOL = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": {}}}
CALL = [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]


@pytest.mark.parametrize(
    ("rows", "template"),
    [
        ([plain(i) for i in range(6)], None),
        ([plain(i, chosen=f" good {i}</s>") for i in range(6)], None),
        ([plain(i, f"good{i}", f"goods{i}", prompt=f"Question {i} ") for i in range(6)], None),
        ([chat(i) for i in range(6)], CHATML),
        ([chat(i, tools=[TOOL]) for i in range(6)], TOOLS + CHATML),
        ([chat(i, tools=json.dumps([TOOL])) for i in range(6)], TOOLS + CHATML),
        ([chat(i, chat_template_kwargs={"enable_thinking": i % 2 == 0}) for i in range(6)], THINKING),
        ([chat(i) for i in range(6)], TURNS.replace("{{ m['content'] }}", "{% generation %}{{ m['content'] }}{% endgeneration %}")),
    ],
    ids=["strings", "ended strings", "merging", "turns", "tools", "tools as JSON", "template arguments", "generation tags"],
)  # fmt: skip
@pytest.mark.parametrize("begins", [False, True])
def test_the_tokens_are_those_of_trl(rows, template, begins, models_by_template):
    model = models_by_template(template, begins=begins)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    data = Dataset.from_list(rows)
    trainer: Any = SimpleNamespace(_tokenizer=tokenizer)  # all that TRL's tokenisation wants of one
    theirs = DPOTrainer._prepare_dataset(trainer, data, tokenizer, DPOConfig(max_length=None, use_cpu=True), "train")
    ours = [pair_tokens(row, tokenizer) for row in data]
    assert [[tokens.prompt, tokens.chosen, tokens.rejected] for tokens in ours] == [
        [row[column] for column in TOKEN_COLUMNS] for row in theirs
    ]


def test_an_empty_system_turn_is_rendered_where_a_conversation_has_none(tmp_path):
    model = save_model(tmp_path / "model")
    usual, with_turn = (
        load_tokenizer(Options(model=model, data="d.jsonl", empty_system_turn=chosen), conversational=True)
        for chosen in (False, True)
    )
    own = chat(2) | {"prompt": [turn("system", "Be brief."), turn("user", "Question 2")]}
    empty = chat(1) | {"prompt": [turn("system", ""), *chat(1)["prompt"]]}
    assert pair_tokens(chat(1), with_turn) == pair_tokens(empty, usual) != pair_tokens(chat(1), usual)
    assert pair_tokens(own, with_turn) == pair_tokens(own, usual)


@pytest.mark.parametrize("make", [plain, chat])
def test_valid_data_is_unchanged_and_has_no_notes(make, seen, models_by_template):
    """The same rows with the same tokens in the same order as a trainer of TRL's makes them, so that scores stay what they were."""
    found, notes, options = seen(rows_of(make))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(models_by_template())
    trainer: Any = SimpleNamespace(_tokenizer=tokenizer)
    for name, part in load_pairs(options).parts.items():
        args = DPOConfig(max_length=options.max_length, use_cpu=True)
        theirs = DPOTrainer._prepare_dataset(trainer, part, tokenizer, args, name)
        for column in TOKEN_COLUMNS:
            assert found.parts[name][column] == theirs[column]
    assert (found.left_out, found.findings, notes) == ({}, (), ())
    found.check(options)


@pytest.mark.parametrize("max_length", [3, 4, 5, 6, 9])
def test_completions_are_cut_as_those_of_a_batch(max_length):
    tokens = Tokens([1, 2, 3], [4, 5, 6], [4, 7], [])
    row = {"prompt_ids": tokens.prompt, "chosen_ids": tokens.chosen, "rejected_ids": tokens.rejected}
    batch = PreferenceCollator(pad_token_id=0, max_length=max_length).torch_call([row])
    left = [ids[mask.bool()].tolist() for ids, mask in zip(batch["input_ids"], batch["completion_mask"], strict=True)]
    assert tokens.within(max_length) == tuple(left)
    assert tokens.with_prompt_cut(2).within(5) == ([4, 5, 6], [4, 7])


# --- pairs that are left out ---


HIDDEN = "a completion that the chat template does not show"


@pytest.mark.parametrize(
    ("bad", "template", "changes", "words"),
    [
        (plain(0, LONG + "good", LONG + "bad"), None, {"max_length": 40}, "completions that differ only beyond fitness.max_length"),
        (plain(0, chosen="  \n"), None, {}, "an empty completion"),
        (plain(0, chosen=" </s>"), None, {}, "an empty completion"),
        (plain(0, prompt=LONG), None, {"max_length": 40}, "a prompt that is too long"),
        (chat(0, chosen=""), CHATML, {}, "an empty completion"),
        (chat(0, chosen=" "), TURNS, {}, "an empty completion"),
        (chat(0) | {"chosen": [turn("assistant", "", tool_calls=CALL)]}, CHATML, {}, HIDDEN),
        (chat(0, "good", "good\n"), TRIMMING, {}, "completions that are equal once rendered and tokenised"),
        (
            chat(0) | {side: [turn("assistant", "good", score=score)] for side, score in (("chosen", 5), ("rejected", 1))},
            CHATML,
            {},
            "completions that are equal once rendered and tokenised",
        ),
    ],
    ids=[
        "cut", "blank", "only the end", "long prompt", "empty turn", "header of a blank turn", "unshown calls", "trimmed",
        "metadata",
    ],
)  # fmt: skip
def test_pairs_without_a_preference_after_rendering_and_cutting_are_left_out_and_counted(
    bad, template, changes, words, seen
):
    found, notes, options = seen(
        rows_of(plain if isinstance(bad["prompt"], str) else chat, *[bad] * 3), template, **changes
    )
    assert sum(map(len, found.parts.values())) == 37
    assert notes[0] == f"Left out of the data: 3 with {words}."
    found.check(options)


def test_no_question_is_in_two_parts_in_whatever_way_it_was_written(seen):
    """A template shows two rows' prompts alike that differ in blanks or in what is not shown."""
    rows = [chat(i) | {"prompt": [turn("user", f"Question {i // 2}{' ' * (i % 2)}", name=f"{i}")]} for i in range(80)]
    found, notes, _ = seen(rows, TRIMMING)
    asked = {name: set(map(tuple, part["prompt_ids"])) for name, part in found.parts.items()}
    assert not asked["train"] & asked["search"] and not (asked["train"] | asked["search"]) & asked["held_out"]
    count = 80 - sum(map(len, found.parts.values()))
    assert count > 0
    assert notes == (
        f"Left out of the data: {count} with a prompt that occurs in another part, once rendered and tokenised.",
    )
    assert seen(rows)[1] == ()


def test_a_prompt_that_is_cut_is_not_too_long(seen):
    found, notes, _ = seen(rows_of(plain, plain(0, prompt=LONG)), max_length=40, max_prompt_length=20)
    assert notes == ()
    assert max(len(ids) for part in found.parts.values() for ids in part["prompt_ids"]) == 20


def test_if_every_pair_is_left_out_the_error_has_reason_and_remedy(seen):
    found, _, options = seen([plain(i, f"{LONG} good {i}", f"{LONG} bad {i}") for i in range(40)], max_length=40)
    with pytest.raises(
        EvaluationFailed,
        match=r"every pair is left out .*40 with .* beyond fitness.max_length: raise fitness.max_length",
    ):
        found.check(options)


# --- rules ---


ONCE_MORE = "both completions begin with a copy of the prompt"
REFUSED = {
    "the prompt once more": (
        lambda i: plain(i, f"Question {i} good", f"Question {i} bad") if i else plain(i),
        CHATML, {}, f"39 of 40 pairs: {ONCE_MORE}",
    ),
    "a template that fails on a row": (
        chat, "{% if messages[0].content == 'Question 7' %}{{ raise_exception('no sevens') }}{% endif %}" + CHATML, {},
        r'1 of 40 pairs: the chat template cannot render .*no sevens.*"Question 7"',
    ),
    "a template that joins text and a number": (
        lambda i: chat(i) | {"prompt": [turn("user", f"Question {i}", name=i)]},
        CHATML.replace("m['content']", "m['content'] + m['name']"), {}, "the chat template cannot render .*TypeError",
    ),
    "the prompt once more, in one of them": (
        lambda i: plain(i, f"Tell me what the number {i} is: good", prompt=f"Tell me what the number {i} is"),
        CHATML, {}, "40 of 40 pairs: one of the completions begins with a copy of the prompt",
    ),
    "a prompt that depends on what follows": (
        chat, "{% if messages[-1].role == 'user' %}A{% else %}B{% endif %}" + CHATML, {}, "renders the prompt differently",
    ),
    "tokens beyond the embedding": (
        plain, CHATML, {"vocabulary": 300}, r"of 40 pairs: tokens that the model has no embedding for .*token 3\d\d is",
    ),
}  # fmt: skip


PARTS = [{"type": "text", "text": "good"}]


@pytest.fixture
def chat_check(models_by_template: Callable[..., str]) -> PairCheck:
    """A check for single conversations that were not converted before."""
    options = Options.model_validate(options_for(models_by_template(), "unread", Path("unread")))
    return pair_check(options, load_tokenizer(options, conversational=True))


def test_content_parts_rendered_in_pythons_notation_are_found(chat_check):
    row = chat(0) | {"chosen": [{"role": "assistant", "content": PARTS}]}
    assert chat_check(row)[1] == {"parts as text": str(PARTS)}


def test_a_conversation_that_begins_once_more_is_found(chat_check):
    row = chat(0) | {side: [*chat(0)["prompt"], turn("assistant", side)] for side in ("chosen", "rejected")}
    assert "prompt repeated" in chat_check(row)[1]


def test_a_turn_with_only_a_tool_call_is_not_blank(seen):
    calls = "{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}"
    made = [chat(i) | {"chosen": [turn("assistant", "", tool_calls=CALL)]} for i in range(40)]
    found, notes, _ = seen(made, CHATML.replace("{{ m['content'] }}", "{{ m['content'] }}" + calls))
    assert sum(map(len, found.parts.values())) == 40
    assert notes == ()


@pytest.mark.parametrize("name", REFUSED)
def test_refusing_findings_have_a_count_and_an_example(name, seen):
    make, template, how, words = REFUSED[name]
    found, notes, options = seen(rows_of(make), template, how)
    with pytest.raises(EvaluationFailed, match=words):
        found.check(options)
    assert not any(re.search(words, note) for note in notes)


THOUGHT = "{% if m.role == 'assistant' %}<think>\n\n</think>\n{% endif %}{{ m['content'] }}"
NOTED = {
    "no end": (chat, CHATML.replace("</s>", ""), "no end token follows"),
    "two ends": (lambda i: plain(i, f" good {i}</s>\n" if i < 9 else None), None, "9 of 40 pairs: the same end token .* twice"),
    "no generation prompt": (chat, TURNS, r"text between prompt and answer.*<\|im_start\|>assistant"),
    "thinking before answers": (
        chat, CHATML.replace("{{ m['content'] }}", THOUGHT), "text between prompt and answer.*<think>",
    ),
    "thinking in the generation prompt": (chat, THINKING, "generation prompt of the chat template differs.*<think>"),
    "merging": (lambda i: plain(i, f"good{i}", f"bad{i}", f"Question {i} "), None, "merge"),
    "merging turns": (chat, CHATML.replace("\n{%", ": {%").replace("\n{{", ": {{"), "merge"),
    "no system turns": (
        lambda i: chat(i) | {"prompt": [turn("system", f"You are {i}."), turn("user", f"Question {i}")]},
        CHATML.replace("in messages", "in messages if m.role != 'system'"), "does not show all turns.*system: You are",
    ),
    "no thoughts": (
        lambda i: chat(i, f"<think>so</think>good {i}"),
        CHATML.replace("m['content']", "m['content'].split('</think>')[-1]"), "does not show all of the answer",
    ),
    "no calls": (
        lambda i: chat(i) | {"chosen": [turn("assistant", "", tool_calls=CALL), turn("assistant", f"good {i}")]},
        CHATML, "does not show tool calls",
    ),
    "no tools": (lambda i: chat(i, tools=[TOOL]), CHATML, "does not show the tools"),
    "long completions": (lambda i: plain(i, f" good {i} {LONG * (i < 9)}"), None, "9 of 40 pairs: a completion .* is cut there"),
    "an end within a turn": (
        lambda i: chat(i, f"good <|im_end|> {i}"), CHATML, r"special tokens are written out .*<\|im_end\|>",
    ),
    "an end within a string": (lambda i: plain(i, f" good</s> more {i}"), None, "special tokens are written out"),
    "a few prompts once more": (
        lambda i: plain(i) if i else plain(0, "Question 0 good", "Question 0 bad"), None, f"1 of 40 pairs: {ONCE_MORE}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTED)
def test_noted_findings_have_a_count_and_an_example(name, seen):
    make, template, words = NOTED[name]
    found, notes, options = seen(rows_of(make), template)
    assert any(re.search(words, note) for note in notes), notes
    found.check(options)


def test_tools_that_are_shown_give_no_note(seen):
    assert seen([chat(i, tools=[TOOL]) for i in range(40)], TOOLS + CHATML)[1] == ()


@pytest.mark.parametrize(("begins", "template"), [(True, None), (False, "{{ bos_token }}<s>" + CHATML)])
def test_two_beginnings_are_noted(begins, template, seen):
    rows = [plain(i, prompt=f"<s>Question {i}") for i in range(40)] if begins else rows_of(chat)
    assert any(
        "40 of 40 pairs: the beginning-of-text token occurs twice" in note
        for note in seen(rows, template, {"begins": begins})[1]
    )


def test_stop_tokens_are_checked_only_if_answers_are_sampled(seen):
    ends = CHATML.replace("</s>", "<|im_end|>")
    reward = {"by": "reward_model", "model": "m", "max_new_tokens": 8}
    assert seen(rows_of(chat), ends)[1] == ()
    (note,) = seen(rows_of(chat), ends, evaluation=reward)[1]
    assert "at which the model does not stop" in note


def test_prompts_that_leave_no_room_for_answers_are_counted(seen):
    reward = {"by": "reward_model", "model": "m", "max_new_tokens": 120}
    (note,) = seen(rows_of(chat), evaluation=reward)[1]
    assert (
        note
        == "16 of 16 test prompts are cut to their last 8 tokens before sampling: fitness.max_length minus max_new_tokens."
    )


def test_mostly_unknown_words_are_refused(tmp_path):
    tokenizer = Tokenizer(
        models.WordLevel({"<unk>": 0, "</s>": 1, "<pad>": 2, "Question": 3, "good": 4}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(tmp_path)
    config(5).save_pretrained(tmp_path)
    unknown = [plain(i, f" autre {i}" if i < 8 else f" très bien {i}", f" mauvais {i}") for i in range(40)]
    options = Options.model_validate(options_for(str(tmp_path), save_pairs(tmp_path, unknown), tmp_path))
    found = look(load_pairs(options), pair_check(options, load_tokenizer(options, conversational=False)))
    assert found.left_out == {"equal unknown": 8}
    with pytest.raises(EvaluationFailed, match="32 of 32 pairs: more than half of the completions' tokens are unknown"):
        found.check(options)


def test_a_padding_token_beyond_the_embedding_is_refused(models_by_template, tmp_path):
    model = models_by_template(None, pad_token="[PAD]", vocabulary=330)
    options = Options.model_validate(options_for(model, save_pairs(tmp_path, rows_of(plain)), tmp_path))
    tokenizer = load_tokenizer(options, conversational=False)
    assert tokenizer.pad_token_id >= 330
    with pytest.raises(EvaluationFailed, match=r"pad_token '\[PAD\]' is token 33\d, the model's embedding has 330"):
        pair_check(options, tokenizer)


# --- a whole task ---


def prepared(options: Row) -> Any:
    task = make_task("preference", options)
    task.prepare()
    return task


def refused(options: Row) -> str:
    with pytest.raises(EvaluationFailed) as caught:
        prepared(options)
    return caught.value.detail


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("policy"), weights=True)


def test_counts_and_notes_are_the_same_when_the_tokens_come_from_the_cache(policy, tmp_path):
    bad = [chat(0, chosen=""), chat(1, chosen=" "), chat(2, f"{LONG} a", f"{LONG} b"), chat(3, "same", "same ")]
    rows = [row | {"prompt": [turn("user", f"Question {i} <s>")]} for i, row in enumerate(rows_of(chat, *bad))]
    template = tmp_path / "chat.jinja"
    template.write_text(TRIMMING)
    given = options_for(
        policy, save_pairs(tmp_path, rows), tmp_path / "cache", max_length=60, chat_template=str(template)
    )
    first = prepared(given)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.arrow")}
    again = prepared(given)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.arrow")} == written
    assert first.notes[:3] == again.notes[:3] == (
        "Left out of the data: 2 with an empty completion.",
        "Left out of the data: 1 with completions that are equal once rendered and tokenised.",
        "Left out of the data: 1 with completions that differ only beyond fitness.max_length.",
    )  # fmt: skip
    assert "special tokens" in first.notes[3]
    assert first.notes == again.notes
    assert sum(map(len, again._runner.data.values())) == 36


def test_what_is_refused_is_never_cached(policy, tmp_path):
    repeating = [plain(i, f"Question {i} good", f"Question {i} bad") for i in range(1, 40)]
    data = save_pairs(tmp_path, [plain(0), *repeating])
    for _ in range(2):
        assert "begin with a copy of the prompt" in refused(options_for(policy, data, tmp_path / "cache"))
    assert not list((tmp_path / "cache").rglob("*.arrow"))


# --- the reward model's limits ---


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (BertConfig(), 512),
        (RobertaConfig(max_position_embeddings=514), 512),
        (MPNetConfig(max_position_embeddings=514), 512),
        (GPT2Config(n_positions=1024), 1024),
        (LlamaConfig(max_position_embeddings=4096), 4096),
        (DebertaV2Config(position_biased_input=False), None),
        (T5Config(), None),
    ],
    ids=lambda value: getattr(value, "model_type", str(value)),
)
def test_the_positions_that_a_model_has(made, expected, tmp_path):
    made.save_pretrained(tmp_path)
    assert positions(made.to_dict()) == positions(json.loads((tmp_path / "config.json").read_text())) == expected


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 1}
Saved = Callable[..., str]


@pytest.fixture
def reward_model(tmp_path: Path) -> Saved:
    """Saves a small encoder that rewards."""

    def save(kind: str = "bert", template: str | None = None, vocabulary: int = 330, **how: Any) -> str:
        folder = tmp_path / "reward"
        save_tokenizer(folder, template, **how)
        torch.manual_seed(1)
        if kind == "bert":
            model: Any = BertForSequenceClassification(
                BertConfig(vocab_size=vocabulary, max_position_embeddings=64, pad_token_id=2, **SMALL)
            )
        else:
            sized = RobertaConfig(vocab_size=vocabulary, max_position_embeddings=67, pad_token_id=2, **SMALL)
            model = RobertaForSequenceClassification(sized)
        model.save_pretrained(folder)
        return str(folder)

    return save


def rewarded(policy: str, tmp_path: Path, model: str, rows: list[Row] | None = None, **changes: Any) -> Row:
    evaluation = {"by": "reward_model", "model": model, "prompts": 4, "max_new_tokens": 8} | changes
    rows = rows or [plain(i, prompt=f"Question {i}. {LONG}"[:110]) for i in range(40)]
    return options_for(policy, save_pairs(tmp_path, rows), tmp_path / "cache", evaluation=evaluation, max_length=256)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_texts_are_cut_to_a_reward_model_that_takes_less_than_the_default(kind, policy, reward_model, tmp_path):
    task = prepared(rewarded(policy, tmp_path, reward_model(kind)))
    assert any("cut on the left to its context of 64 tokens" in note for note in task.notes)
    assert task.score_seed(graph("dpo"), "short", 0).metrics["reward"] == pytest.approx(0, abs=5)


def test_a_longest_text_that_was_set_beyond_the_reward_model_is_refused_before_anything_is_loaded(
    policy, reward_model, tmp_path
):
    given = rewarded(policy, tmp_path, reward_model(), max_length=100)
    words = "100 tokens are more than the reward model's context of 64; set it to 64 or less"
    (fault,) = faults(Options.model_validate(given))
    assert fault.startswith(f"fitness.evaluation.max_length: {words}")
    assert words in refused(given)
    fine = rewarded(policy, tmp_path, reward_model(), max_length=64)
    assert faults(Options.model_validate(fine)) == []


def test_a_tokenizer_that_is_meant_for_shorter_texts_is_noted(policy, reward_model, tmp_path):
    notes = prepared(rewarded(policy, tmp_path, reward_model(model_max_length=32), max_length=60)).notes
    assert any("is made for 32 tokens, and texts are cut to 60" in note for note in notes)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"pad_token": None, "eos_token": None}, "has neither padding nor end token"),
        ({"vocabulary": 310}, r"gives token 3\d\d .*its embedding has 310"),
        ({"template": "{{ raise_exception('only system') }}"}, "chat template of the reward model .*only system"),
    ],
)
def test_a_reward_model_that_cannot_score_is_refused_before_the_reference_pass(
    how, words, policy, reward_model, tmp_path
):
    given = rewarded(policy, tmp_path, reward_model(**how))
    with pytest.raises(EvaluationFailed, match=words):
        prepared(given)
    assert not (tmp_path / "cache" / "reference").exists()


def test_the_reward_itself_has_no_label(policy, reward_model, tmp_path):
    """The log-probability of the only class is 0 whatever a policy writes."""
    given = rewarded(policy, tmp_path, reward_model(), label=0)
    (told,) = faults(Options.model_validate(given))
    assert (
        told
        == "fitness.evaluation.model: the reward model has one output, which is the reward itself; do not set label"
    )
    with pytest.raises(
        EvaluationFailed, match="has one output, which is the reward itself, and label is 0: do not set label"
    ):
        prepared(given)


def test_an_empty_prompt_can_be_answered(policy, reward_model, tmp_path):
    task = prepared(rewarded(policy, tmp_path, reward_model(), batch=1))
    runner = task._runner
    runner.data["search"] = runner.data["search"].map(
        lambda row, i: {"prompt_ids": [] if i % 2 else row["prompt_ids"]}, with_indices=True
    )
    assert task.score_seed(graph("dpo"), "short", 0).metrics["length"] >= 1


def test_every_rule_is_documented_with_its_consequence_and_remedy():
    page = (Path(__file__).parents[3] / "docs" / "preference.md").read_text("utf-8")
    for rule in RULES.values():
        outcome = (
            f"refused if more than {rule.above:.0%} of the pairs, else noted" if rule.above else rule.outcome.value
        )
        assert f"{rule.words} | {outcome} | {rule.remedy}\n" in page
