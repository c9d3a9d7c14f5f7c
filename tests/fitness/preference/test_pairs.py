"""Users' preference data in all forms: read as intended, or refused with a remedy."""

import bz2
import gzip
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from datasets import Dataset, DatasetDict

from fitness.preference.options import Options, essential
from fitness.preference.pairs.reading.prompts import cuts
from fitness.preference.pairs.sources import Pairs, load_pairs
from fitness.preference.task import info
from fitness.score import EvaluationFailed

Row = dict[str, Any]
COUNT = 40


def options(data: Path, **changes: Any) -> Options:
    given = {"model": "m", "data": str(data), "pairs": 8, "batch_size": 4, "test_fraction": 0.4}
    return Options.model_validate(given | changes)


def load(data: Path | str, **changes: Any) -> Pairs:
    return load_pairs(options(Path(data), **changes))


def refused(data: Path | str, **changes: Any) -> str:
    with pytest.raises(EvaluationFailed) as caught:
        load(data, **changes)
    assert caught.value.reason == "bad_data"
    return caught.value.detail


def save(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def all_rows(pairs: Pairs) -> list[Row]:
    return [row for part in pairs.parts.values() for row in part]


def user(text: Any) -> Row:
    return {"role": "user", "content": text}


def answer(text: Any, **more: Any) -> Row:
    return {"role": "assistant", "content": text, **more}


def said(speaker: str, text: str) -> Row:
    return {"from": speaker, "value": text}


def plain(count: int = COUNT) -> list[Row]:
    return [{"prompt": f"Question {i}", "chosen": f" good {i}", "rejected": f" bad {i}"} for i in range(count)]


def turns(count: int = COUNT) -> list[Row]:
    return [
        {"prompt": [user(f"Question {i}")], "chosen": [answer(f"good {i}")], "rejected": [answer(f"bad {i}")]}
        for i in range(count)
    ]


def in_order(pairs: Pairs) -> list[Row]:
    """Rows by their number, which ends the chosen answer."""

    def number(row: Row) -> int:
        text = row["chosen"] if isinstance(row["chosen"], str) else row["chosen"][-1]["content"]
        return int(text.split()[-1])

    return sorted(all_rows(pairs), key=number)


# --- what was read before is read as before ---


def ordinary() -> list[Row]:
    rows = [
        {"prompt": f"w{i % 29} w{i % 7} w{i}", "chosen": f" good w{i}", "rejected": f" bad w{i} w{i % 3}"}
        for i in range(60)
    ]
    return rows + [row | {"chosen": row["chosen"] + " w1"} for row in rows]


def as_turns(row: Row) -> Row:
    return {
        "prompt": [user(row["prompt"])],
        "chosen": [answer(row["chosen"].strip())],
        "rejected": [answer(row["rejected"].strip())],
    }


@pytest.mark.parametrize(
    ("form", "digest"),
    [
        ("texts", "317a3dbc2de4c4e7"),
        ("conversations", "abf55fb1c13371c9"),
        ("tools", "5ca3a111a37a1c54"),
        ("splits", "9b4d25f26a1478ed"),
    ],
)
def test_rows_order_and_parts_of_ordinary_data_stay_the_same(form, digest, tmp_path):
    """Recorded scores depend on them: these digests are from before forms other than TRL's were read."""
    rows, data, changes = ordinary(), tmp_path / "data.jsonl", {}
    if form == "splits":
        data, changes = tmp_path / "saved", {"test_split": "test"}
        DatasetDict({"train": Dataset.from_list(rows), "test": Dataset.from_list(rows[:20])}).save_to_disk(data)
    else:
        more = (
            {"tools": '[{"type": "function"}]', "chat_template_kwargs": {"a": True}} if form == "tools" else {"id": 1}
        )
        save(data, [(row if form == "texts" else as_turns(row)) | more for row in rows])
    assert load(data, train_pool=50, test_pool=20, **changes).digest()[:16] == digest


def test_options_that_name_no_columns_keep_their_identity():
    assert "columns" not in essential(Options.model_validate({"model": "m", "data": "d"}))
    assert "columns" in essential(Options.model_validate({"model": "m", "data": "d", "columns": {"prompt": "q"}}))


# --- columns ---


@pytest.mark.parametrize("name", ["question", "instruction", "input", "query", "Prompt", "user_prompt", "messages"])
def test_a_prompt_under_another_name_is_refused_with_the_remedy(name, tmp_path):
    value = (lambda text: [user(text)]) if name == "messages" else str
    side = (lambda text: [answer(text)]) if name == "messages" else str
    rows = [
        {name: value(row["prompt"]), "chosen": side(row["chosen"]), "rejected": side(row["rejected"])}
        for row in plain()
    ]
    data = save(tmp_path / "data.jsonl", rows)
    assert refused(data) == (
        f"the data has no column 'prompt' but {name!r}: set fitness.columns={{prompt: {name}}}, or if it is not the prompt, "
        "set fitness.columns={prompt: null}"
    )
    assert in_order(load(data, columns={"prompt": name}))[3]["prompt"] == value("Question 3")
    if name != "messages":  # conversations without any prompt cannot be trained on
        assert {row["prompt"] for row in all_rows(load(data, columns={"prompt": None}))} == {""}


def test_an_empty_prompt_beside_a_question_is_refused(tmp_path):
    rows = [row | {"prompt": "", "question": row["prompt"]} for row in plain()]
    said = refused(save(tmp_path / "data.jsonl", rows))
    assert "no column 'prompt' that holds anything but 'question': set fitness.columns={prompt: question}" in said


def test_several_columns_that_may_be_the_prompt_are_all_named(tmp_path):
    rows = [
        {"instruction": "Add.", "input": f"{i} + 1", "chosen": f"{i + 1}", "rejected": f"? {i}"} for i in range(COUNT)
    ]
    said = refused(save(tmp_path / "data.jsonl", rows))
    assert "no column 'prompt' but 'instruction' and 'input'" in said
    assert "write them into one column first" in said


def test_a_system_message_is_refused_or_put_before_the_prompt(tmp_path):
    rows = [row | {"system": f"You are bot {i}."} for i, row in enumerate(plain())]
    data = save(tmp_path / "data.jsonl", rows)
    assert "set fitness.columns={system: system}" in refused(data)
    assert "set fitness.columns={prompt: prompt, system: system}" in refused(data, columns={"prompt": "prompt"})
    assert in_order(load(data, columns={"system": "system"}))[3]["prompt"] == "You are bot 3.\n\nQuestion 3"
    assert in_order(load(data, columns={"system": None}))[3]["prompt"] == "Question 3"
    save(data, [row | {"system": f"You are bot {i}."} for i, row in enumerate(turns())])
    given = in_order(load(data, columns={"system": "system"}))[3]["prompt"]
    assert given == [{"role": "system", "content": "You are bot 3."}, user("Question 3")]
    save(data, [row | {"system": ""} for row in plain()])
    assert load(data).unread == ("system",)
    whole = [
        {side: row["prompt"] + row[side] for side in ("chosen", "rejected")} | {"system": "Be brief."}
        for row in turns()
    ]
    assert "set fitness.columns={system: system}" in refused(save(data, whole))
    begun = [
        row | {side: [{"role": "system", "content": "Hi"}, *row[side]] for side in ("chosen", "rejected")}
        for row in whole
    ]
    assert load(save(data, begun)).unread == ("system",)


def test_orca_pairs_are_read_with_their_question_and_system_message(tmp_path):
    rows = [
        {"system": "You explain.", "question": f"Why {i}?", "chosen": f"Because {i}", "rejected": f"No {i}"}
        for i in range(COUNT)
    ]
    data = save(tmp_path / "data.jsonl", rows)
    assert "set fitness.columns={prompt: question, system: system}" in refused(data)
    read = load(data, columns={"prompt": "question", "system": "system"})
    assert in_order(read)[0] == {"prompt": "You explain.\n\nWhy 0?", "chosen": "Because 0", "rejected": "No 0"}


def test_columns_that_are_not_read_are_named(tmp_path):
    data = save(tmp_path / "data.jsonl", [row | {"id": 1, "score": 0.5} for row in plain()])
    assert load(data).unread == ("id", "score")


def test_a_column_that_is_named_and_not_there_is_refused(tmp_path):
    data = save(tmp_path / "data.jsonl", plain())
    assert "names 'q' as prompt, which the data does not have, only prompt, chosen" in refused(
        data, columns={"prompt": "q"}
    )
    with pytest.raises(ValueError, match="unknown name 'promt': expected prompt"):
        options(data, columns={"promt": "q"})
    with pytest.raises(ValueError, match="chosen cannot be null"):
        options(data, columns={"chosen": None})


def test_a_column_that_begins_late_is_refused_not_forgotten(tmp_path):
    rows = [{"chosen": f"Q {i}? yes {i}", "rejected": f"Q {i}? no {i}"} for i in range(1001)]
    assert "have prompt" in refused(save(tmp_path / "data.jsonl", rows + plain(1)))


OTHERS: dict[str, tuple[Row, str]] = {
    "PKU-SafeRLHF": (
        {"prompt": "p", "response_0": "a", "response_1": "b", "better_response_id": 1},
        "two responses, 'response_0' and 'response_1', and in another column which one is better: write the better one as chosen",
    ),
    "SHP": ({"history": "p", "human_ref_A": "a", "human_ref_B": "b", "labels": 1}, "in `labels` which one is better"),
    "stack-exchange-paired": (
        {"qid": 1, "question": "p", "response_j": "a", "response_k": "b"},
        "set fitness.columns={prompt: question, chosen: response_j, rejected: response_k}",
    ),
    "HelpSteer": ({"prompt": "p", "response": "a", "helpfulness": 3}, "single responses with ratings"),
    "HelpSteer3": (
        {"context": [user("p")], "response1": "a", "response2": "b", "overall_preference": -2},
        "two responses",
    ),
    "Nectar": ({"prompt": "p", "answers": [{"answer": "a", "rank": 1}]}, "one row for each pair"),
    "summarize_from_feedback": (
        {"info": {"post": "p"}, "summaries": [{"text": "a"}, {"text": "b"}], "choice": 0},
        "in `choice` which one is better",
    ),
    "webgpt": (
        {"question": {"full_text": "p"}, "answer_0": "a", "answer_1": "b", "score_0": 1.0},
        "two answers with scores",
    ),
    "arena": ({"conversation_a": [user("p")], "conversation_b": [user("p")], "winner": "model_a"}, "in `winner`"),
    "KTO": ({"prompt": "p", "completion": "a", "label": True}, "unpaired"),
    "UltraFeedback": ({"instruction": "p", "completions": [{"response": "a"}]}, "several completions"),
    "LLaMA-Factory, old": ({"instruction": "p", "input": "", "output": ["a", "b"]}, "write its first"),
    "HelpSteer2": (
        {"prompt": "p", "response_1": "a", "response_2": "b", "preference_strength": 1},
        "'response_1' and 'response_2'",
    ),
    "AlpacaFarm": (
        {"instruction": "p", "output_1": "a", "output_2": "b", "preference": 1},
        "'output_1' and 'output_2'",
    ),
    "argilla, answers": ({"prompt": "p", "response-1": "a", "response-2": "b"}, "'response-1' and 'response-2'"),
    "ms-swift": (
        {"messages": [user("p"), answer("a")], "rejected_response": "b"},
        "set fitness.columns={chosen: messages, rejected: rejected_response}",
    ),
    "ms-swift, texts": (
        {"query": "p", "response": "a", "rejected_response": "b", "history": [["q", "c"]]},
        "set fitness.columns={prompt: query, chosen: response, rejected: rejected_response}, after writing what of 'history'",
    ),
    "ms-swift, conversations": (
        {"messages": [user("p"), answer("a")], "rejected_messages": [user("p"), answer("b")]},
        "set fitness.columns={chosen: messages, rejected: rejected_messages}",
    ),
    "argilla": (
        {"instruction": "p", "chosen_response": "a", "rejected_response": "b", "chosen_rating": 5},
        "set fitness.columns={prompt: instruction, chosen: chosen_response, rejected: rejected_response}",
    ),
    "OpenAI": (
        {"input": {"messages": [user("p")]}, "preferred_output": [answer("a")], "non_preferred_output": [answer("b")]},
        "set fitness.columns={prompt: input, chosen: preferred_output, rejected: non_preferred_output}",
    ),
    "torchtune": (
        {"chosen_conversations": [user("p"), answer("a")], "rejected_conversations": [user("p"), answer("b")]},
        "set fitness.columns={chosen: chosen_conversations, rejected: rejected_conversations}",
    ),
    "rows in a field": (
        {"version": 1, "data": plain()},
        "the rows are in 'data': write each of them on a line of its own",
    ),
    "language modelling": ({"text": "a"}, "single texts"),
    "chat": ({"messages": [user("p"), answer("a")]}, "single conversations"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_data_in_another_form_is_refused_with_its_content_and_the_remedy(name, tmp_path):
    row, words = OTHERS[name]
    said = refused(save(tmp_path / "data.jsonl", [row] * COUNT))
    assert "the data has no column 'chosen'" in said
    assert words in said


# --- forms of texts and conversations ---


def read_as(rows: list[Row], tmp_path: Path, **changes: Any) -> Row:
    """The fourth pair, where `rows` is `COUNT` rows whose chosen answers end with their numbers."""
    assert len(rows) == COUNT
    pairs = load(save(tmp_path / "data.jsonl", rows), **changes)
    assert not any(pairs.left_out.values())
    return in_order(pairs)[3]


WHOLE = {"prompt": [user("Question 3")], "chosen": [answer("good 3")], "rejected": [answer("bad 3")]}
FORMS: dict[str, Any] = {
    "UltraFeedback binarized": lambda i: {
        "prompt": f"Question {i}",
        "chosen": [user(f"Question {i}"), answer(f"good {i}")],
        "rejected": [user(f"Question {i}"), answer(f"bad {i}")],
        "messages": [user(f"Question {i}"), answer(f"good {i}")],
        "score_chosen": 8.0,
    },
    "text and answers": lambda i: {
        "prompt": f"Question {i}", "chosen": [answer(f"good {i}")], "rejected": [answer(f"bad {i}")]
    },
    "conversation and texts": lambda i: {"prompt": [user(f"Question {i}")], "chosen": f"good {i}", "rejected": f"bad {i}"},
    "single turns": lambda i: {"prompt": user(f"Question {i}"), "chosen": answer(f"good {i}"), "rejected": answer(f"bad {i}")},
    "LLaMA-Factory": lambda i: {
        "prompt": [said("human", f"Question {i}")], "chosen": said("gpt", f"good {i}"), "rejected": said("gpt", f"bad {i}")
    },
    "a conversation and a text in place of its answer": lambda i: {
        "chosen": [user(f"Question {i}"), answer(f"good {i}")], "rejected": f"bad {i}"
    },
    "roles by other names": lambda i: {
        "prompt": [{"role": "Human", "content": f"Question {i}"}],
        "chosen": [{"role": "gpt", "content": f"good {i}"}],
        "rejected": [{"role": "model", "content": f"bad {i}"}],
    },
    "ShareGPT": lambda i: {
        "chosen": [said("human", f"Question {i}"), said("gpt", f"good {i}")],
        "rejected": [said("human", f"Question {i}"), said("gpt", f"bad {i}")],
    },
    "whole conversations beside the prompt": lambda i: {
        "prompt": [user(f"Question {i}")],
        "chosen": [user(f"Question {i}"), answer(f"good {i}")],
        "rejected": [user(f"Question {i}"), answer(f"bad {i}")],
    },
    "whole conversations": lambda i: {
        "chosen": [user(f"Question {i}"), answer(f"good {i}")],
        "rejected": [user(f"Question {i}"), answer(f"bad {i}")],
        "question": f"Question {i}",
    },
    "OpenAI": lambda i: {
        "prompt": {"messages": [user(f"Question {i}")], "tools": [], "parallel_tool_calls": True},
        "chosen": [answer(f"good {i}")],
        "rejected": [answer(f"bad {i}")],
    },
    "columns of turns": lambda i: {
        "prompt": {"from": ["human"], "value": [f"Question {i}"]},
        "chosen": {"role": ["assistant"], "content": [f"good {i}"]},
        "rejected": {"role": ["assistant"], "content": [f"bad {i}"]},
    },
    "parts": lambda i: {
        "prompt": [user([{"type": "text", "text": f"Question {i}"}])],
        "chosen": [answer([{"type": "text", "text": f"good {i}"}])],
        "rejected": [answer({"type": "output_text", "text": f"bad {i}"})],
    },
    "null fields": lambda i: {
        "prompt": [user(f"Question {i}") | {"name": None, "tool_calls": None}],
        "chosen": [answer(f"good {i}", tool_calls=[], function_call=None)],
        "rejected": [answer(f"bad {i}")],
    },
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_conversations_in_other_forms_are_read_as_intended(form, tmp_path):
    assert read_as([FORMS[form](i) for i in range(COUNT)], tmp_path) == WHOLE


def test_a_question_that_completions_repeat_is_asked_once(tmp_path):
    first = {"role": "system", "content": "Be brief."}
    rows = [
        row | {"prompt": [first, *row["prompt"]]} | {side: row["prompt"] + row[side] for side in ("chosen", "rejected")}
        for row in turns()
    ]
    assert read_as(rows, tmp_path) == WHOLE | {"prompt": [first, user("Question 3")]}


def test_shared_turns_of_several_rounds_are_the_prompt(tmp_path):
    """Capybara's form: the prompt column holds one of the questions."""
    shared = [user("Hi"), answer("Hello!")]
    rows = [
        {
            "prompt": f"Question {i}",
            "chosen": [*shared, user(f"Question {i}"), answer(f"good {i}")],
            "rejected": [*shared, user(f"Question {i}"), answer(f"bad {i}")],
        }
        for i in range(COUNT)
    ]
    wanted = WHOLE | {"prompt": [*shared, user("Question 3")]}
    assert read_as(rows, tmp_path) == wanted
    assert read_as([{side: row[side] for side in ("chosen", "rejected")} for row in rows], tmp_path) == wanted


def test_texts_that_repeat_their_prompt_in_every_row_are_taken_as_completions(tmp_path):
    rows = [row | {side: row["prompt"] + row[side] for side in ("chosen", "rejected")} for row in plain()]
    pairs = load(save(tmp_path / "data.jsonl", rows))
    assert in_order(pairs) == plain()
    assert pairs.remarks == ("Completions of the split 'train' repeat their prompt; the copies are removed.",)


def test_parts_of_text_are_joined_wherever_they_are(tmp_path):
    parts = lambda *texts: [{"type": "text", "text": text, "image_url": None} for text in texts]  # noqa: E731
    rows = [
        {"prompt": parts("Look.", f"Question {i}"), "chosen": parts(f"good {i}"), "rejected": parts(f"bad {i}")}
        for i in range(COUNT)
    ]
    assert read_as(rows, tmp_path) == {"prompt": "Look.\nQuestion 3", "chosen": "good 3", "rejected": "bad 3"}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([answer([{"type": "image_url", "image_url": {"url": "x"}}])], "a part of type 'image_url' in the content"),
        ([answer([{"type": "text", "text": "a"}, {"type": "input_audio"}])], "a part of type 'input_audio'"),
        ([answer([{"type": "text", "text": None}])], "a part without text"),
        ([{"role": "tool", "content": {"rain": 3}}], "a part without text"),
        ([answer(None)], "a turn of role 'assistant' without content"),
        ([{"content": "a"}], "a turn without role"),
        ([{"sender": "bot", "text": "a"}], "a turn without role (with sender, text)"),
        ([{"from": "narrator", "value": "a"}], "a turn from 'narrator'"),
        ([answer("a"), None], "a list with a null in it"),
        ([answer(5)], "a turn whose content is a int"),
        (["a", "b"], "a list of strings: write one row for each"),
        ("[{'role': 'assistant', 'content': 'a'}]", "a conversation that is written out as text"),
        ('[{"from": "gpt", "value": "a"}]', "a conversation that is written out as text"),
        ({"text_a": "a"}, "an object with text_a"),
        (7, "a number or the like (int)"),
        (True, "a number or the like (bool)"),
    ],
)
def test_values_that_are_not_text_are_refused_with_row_and_column(value, words, tmp_path):
    rows: list[Row] = turns()
    rows[5]["rejected"] = value
    said = refused(save(tmp_path / "data.jsonl", rows))
    assert said.startswith("row 6 of the split 'train': column 'rejected' holds ")
    assert words in said


def test_a_column_is_named_as_the_data_names_it(tmp_path):
    rows = [{"question": row["prompt"], "chosen": row["chosen"], "rejected": row["rejected"]} for row in plain()]
    rows[2]["question"] = 3
    said = refused(save(tmp_path / "data.jsonl", rows), columns={"prompt": "question"})
    assert "row 3 of the split 'train': column 'question' holds a number" in said
    rows[2]["question"] = None
    said = refused(save(tmp_path / "data.jsonl", rows), columns={"prompt": "question"})
    assert "row 3 of the split 'train': column 'question' holds a null: give every row its prompt" in said


def call(name: str, **arguments: Any) -> Row:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize("kind", ["parquet", "saved", "jsonl"])
def test_tool_calls_have_no_arguments_of_other_tools(kind, tmp_path):
    """Columnar files give every call the arguments of all calls, as nulls."""

    def row(i: int) -> Row:
        good = call("weather", city="Oslo", day=0) if i % 2 else call("search", query="rain", options={"deep": True})
        tools = [
            {"type": "function", "function": {"name": "weather" if i % 2 else "search", "parameters": {f"p{i % 2}": 1}}}
        ]
        return {
            "prompt": [user(f"Question {i}"), answer(None, tool_calls=[good]), {"role": "tool", "content": "3"}],
            "chosen": [answer(f"good {i}")],
            "rejected": [answer("", tool_calls=[good])],
            "tools": tools,
            "chat_template_kwargs": {"thinking": True} if i % 2 else {"effort": "low"},
        }

    rows = [row(i) for i in range(COUNT)]
    data = tmp_path / f"data.{kind}"
    if kind == "parquet":
        Dataset.from_list(rows).to_parquet(data)
    elif kind == "saved":
        Dataset.from_list(rows).save_to_disk(data)
    else:
        save(data, rows)
    for i, found in enumerate(in_order(load(data))):
        wanted = rows[i]
        wanted["prompt"][1]["content"] = ""
        assert found == wanted


def test_large_numbers_and_fractions_of_tool_calls_are_kept(tmp_path):
    rows = [
        row | {"rejected": [answer("", tool_calls=[call("f", x=59.91386880123, n=12345678901234567)])]}
        for row in turns()
    ]
    (found,) = {
        json.dumps(row["rejected"][0]["tool_calls"]) for row in all_rows(load(save(tmp_path / "data.jsonl", rows)))
    }
    assert json.loads(found) == rows[0]["rejected"][0]["tool_calls"]


@pytest.mark.parametrize("tools", ["no JSON", '{"a": 1}', 5])
def test_tools_that_are_no_list_are_refused(tools, tmp_path):
    data = save(tmp_path / "data.jsonl", [row | {"tools": tools} for row in turns()])
    assert "row 1 of the split 'train': column 'tools' holds" in refused(data)


@pytest.mark.parametrize(
    "given", [{"rejected": [answer("b", name="\ud83d")]}, {"tools": [{"name": "\ud83d"}]}, {"tools": '["\\ud83d"]'}]
)
def test_half_a_surrogate_pair_is_refused_wherever_it_is(given, tmp_path):
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row | given) + "\n" for row in turns()))
    assert f"column {next(iter(given))!r} holds half of a surrogate pair" in refused(data)


def test_an_empty_list_of_tools_is_none_however_it_is_written(tmp_path):
    rows = [row | {"tools": ["[]", [], "", None][i % 4]} for i, row in enumerate(turns())]
    assert {row["tools"] for row in all_rows(load(save(tmp_path / "data.jsonl", rows)))} == {None}


# --- what is left out ---


def test_a_prompt_that_ends_with_the_answer_is_left_out(tmp_path):
    rows = [row | {"messages": row["prompt"] + row["chosen"]} for row in turns()]
    said = refused(save(tmp_path / "data.jsonl", rows), columns={"prompt": "messages"})
    assert "40 with a prompt that holds the answer" in said


def test_metadata_of_questions_does_not_distinguish_them(tmp_path):
    rows = [
        {side: [user(f"Question {i}") | {"id": side}, *row[side]] for side in ("chosen", "rejected")}
        for i, row in enumerate(turns())
    ]
    assert read_as(rows, tmp_path)["prompt"] == [user("Question 3") | {"id": "chosen"}]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda row: {"prompt": "Other"},
            "completions that answer different prompts: set fitness.columns={prompt: null}",
        ),
        (
            lambda row: {"prompt": []} | {s: row[s][1:] for s in ("chosen", "rejected")},
            "no prompt: give the prompts in a column",
        ),
    ],
)
def test_data_without_usable_prompts_is_refused_with_the_remedy(change, words, tmp_path):
    rows = [{side: row["prompt"] + row[side] for side in ("chosen", "rejected")} for row in turns()]
    assert words in refused(save(tmp_path / "data.jsonl", [row | change(row) for row in rows]))


def test_every_pair_that_is_left_out_is_counted_by_its_reason(tmp_path):
    rows: list[Row] = turns(COUNT + 9)
    rows[0]["chosen"] = None
    rows[1]["rejected"] = [answer(" \n")]
    rows[2]["rejected"] = []
    rows[3]["rejected"] = rows[3]["chosen"]
    rows[4]["chosen"] = [user("Another question"), answer("good")]
    rows[5] = rows[5] | {side: [answer("a"), user(f"{side}?"), answer("b")] for side in ("chosen", "rejected")}
    rows[6]["prompt"] = []
    rows[8]["chosen"] = float("nan")
    rows[7]["chosen"] = [answer("good"), user("And?"), answer("c")]  # goes on: a pair like others
    pairs = load(save(tmp_path / "data.jsonl", rows))
    assert len(all_rows(pairs)) == COUNT + 1
    assert {reason: count for reason, count in pairs.left_out.items() if count} == {
        "a null completion": 2,
        "an empty completion": 2,
        "equal completions": 1,
        "completions that answer different prompts": 2,
        "no prompt": 1,
    }


def test_blank_texts_are_empty(tmp_path):
    rows = plain(COUNT + 2)
    rows[0]["chosen"], rows[1]["rejected"] = " \n", ""
    assert load(save(tmp_path / "data.jsonl", rows)).left_out["an empty completion"] == 2


def test_data_without_usable_pairs_is_refused_with_the_counts(tmp_path):
    rows = [row | {"rejected": row["chosen"]} for row in plain()]
    assert "every pair of the split 'train' is left out: 40 with equal completions" in refused(
        save(tmp_path / "data.jsonl", rows)
    )


# --- prompts that are the common beginning ---


def implicit(before: str, *answers: tuple[str, str]) -> list[Row]:
    """Pairs for each of several questions, whose number is in `before`, and each pair of answers."""
    return [
        {"chosen": before.format(i) + chosen, "rejected": before.format(i) + rejected}
        for i in range(COUNT)
        for chosen, rejected in answers
    ]


ANSWERS = ((" I think so", " It is not"), (" No", " Yes"), (" The answer is 3", " The answer is 4"))


@pytest.mark.parametrize(
    "before",
    [
        "\n\nHuman: Is number {} odd?\n\nAssistant:",
        "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Is number {} odd?\n\nAssistant:",
        "### Instruction:\nTell me of {}\n\n### Response:\n",
        "<|im_start|>user\nTell me of {}<|im_end|>\n<|im_start|>assistant\n",
        "<s>[INST] Tell me of {} [/INST]",
        "<start_of_turn>user\nTell me of {}<end_of_turn>\n<start_of_turn>model\n",
        "USER: Tell me of {} ASSISTANT:",
        "Question: is number {} odd\nAnswer:",
        "POST: a story of {}\nTL;DR:",
        "Is number {} odd?",
        "Is number {} odd?\n",
        "Tell me of {}",
    ],
)
def test_one_question_has_one_prompt_and_is_in_one_part(before, tmp_path):
    pairs = load(save(tmp_path / "data.jsonl", implicit(before, *ANSWERS)))
    assert {row["prompt"] for row in all_rows(pairs)} == {before.format(i) for i in range(COUNT)}
    parts = [{row["prompt"] for row in part} for part in pairs.parts.values()]
    assert sum(map(len, parts)) == COUNT
    found = {(row["chosen"], row["rejected"]) for row in all_rows(pairs)}
    assert found == set(ANSWERS) or before.endswith("\n")
    has_mark = before[-1] in ":]" or "assistant" in before or "model" in before or "###" in before
    assert ("have no marker of where the answer begins" in " ".join(pairs.remarks)) == (not has_mark)


@pytest.mark.parametrize(
    ("chosen", "rejected", "prompt"),
    [
        ("{} The cat sat on mats", "{} The cat sits on mats", "{} The cat"),
        ("{} is 3.14 or so", "{} is 3.15 or so", "{} is"),
        ("{}天气很好", "{}天气很坏", "{}天气很"),
        ("Say {} cafe\u0301 now", "Say {} cafe now", "Say {}"),
        ("See {} 👩\u200d👧 a", "See {} 👩\u200d👦 b", "See {}"),
        ("See {} 👍🏽 a", "See {} 👍🏿 b", "See {}"),
        ("Number {}: yes", "Number {}: no", "Number {}:"),
        ("Good answer number {}. ", "bad {}", ""),
        ("What is AI? A{}", "What is AI? B{}", "What is AI?"),
    ],
)
def test_a_prompt_ends_at_the_beginning_of_a_word(chosen, rejected, prompt, tmp_path):
    rows = [{"chosen": chosen.format(i), "rejected": rejected.format(i)} for i in range(COUNT)]
    if "AI" in chosen:  # one question is in no two parts
        assert "have one prompt" in refused(save(tmp_path / "data.jsonl", rows))
        return
    pairs = load(save(tmp_path / "data.jsonl", rows))
    assert len(all_rows(pairs)) == COUNT
    for row in all_rows(pairs):
        assert row["prompt"] in {prompt.format(i) for i in range(COUNT)}
        assert {"chosen": row["prompt"] + row["chosen"], "rejected": row["prompt"] + row["rejected"]} in rows


def test_texts_without_spaces_are_cut_in_linear_time():
    thai = "\u0e01" * 40_000 + " \u0e01\u0e02"
    assert cuts([(f"{thai}\u0e03", f"{thai}\u0e04")]) == [(40_000, False)]


def test_pairs_without_a_common_beginning_have_no_prompt_and_a_note(tmp_path):
    rows = [{"chosen": f"Good answer number {i}. ", "rejected": f"bad {i}"} for i in range(COUNT)]
    pairs = load(save(tmp_path / "data.jsonl", rows))
    assert {row["prompt"] for row in all_rows(pairs)} == {""}
    assert "40 pairs of the split 'train' have no prompt" in pairs.remarks[0]


def test_pairs_with_nothing_in_common_beside_a_column_that_may_be_the_prompt_are_refused(tmp_path):
    rows = [{"id": i, "ask": f"Question {i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(COUNT)]
    data = save(tmp_path / "data.jsonl", rows)
    assert refused(data).endswith(
        "in 40 of 40 pairs, and ask is not read: set fitness.columns={prompt: ask} if that is the prompt, or "
        "fitness.columns={prompt: null} if there is none"
    )
    assert in_order(load(data, columns={"prompt": "ask"}))[3]["prompt"] == "Question 3"
    assert {row["prompt"] for row in all_rows(load(data, columns={"prompt": None}))} == {""}


def test_a_text_that_is_the_beginning_of_the_other_one_is_no_answer_of_its_own(tmp_path):
    rows = [*implicit("Tell me of {}", ANSWERS[0]), {"chosen": "The cat sat", "rejected": "The cat sat on it"}]
    pairs = load(save(tmp_path / "data.jsonl", rows))
    assert (len(all_rows(pairs)), pairs.left_out["an empty completion"]) == (COUNT, 1)


def test_one_odd_pair_does_not_shorten_the_prompts_of_all(tmp_path):
    rows = [
        *implicit("What is the number after {} in the list", (" a", " b")),
        {"chosen": "What a", "rejected": "What b"},
    ]
    prompts = {row["prompt"] for row in all_rows(load(save(tmp_path / "data.jsonl", rows)))}
    assert "What is the number after 7 in the list" in prompts


def test_an_instruction_that_many_share_is_not_their_question(tmp_path):
    rows = implicit("Translate to French.\nnumber {}", (" un", " deux"))
    assert len({row["prompt"] for row in all_rows(load(save(tmp_path / "data.jsonl", rows)))}) == COUNT


def test_texts_of_different_questions_are_left_out(tmp_path):
    ask = "\n\nHuman: {}?\n\nAssistant: yes"
    rows = implicit("\n\nHuman: {}?\n\nAssistant:", (" yes", " no"))
    rows += [{"chosen": ask.format("who"), "rejected": ask.format("where")}]
    rows += [{side: ask.format("who") + f"\n\nHuman: {side}?\n\nAssistant: no" for side in ("chosen", "rejected")}]
    assert load(save(tmp_path / "data.jsonl", rows)).left_out["completions that answer different prompts"] == 2


def test_whitespace_around_a_question_does_not_change_it(tmp_path):
    rows = [row | {"prompt": f"Question {i // 4}{' ' * (i % 2)}"} for i, row in enumerate(plain())]
    parts = load(save(tmp_path / "data.jsonl", rows)).parts.values()
    asked = [{row["prompt"].strip() for row in part} for part in parts]
    assert sum(map(len, asked)) == len(set().union(*asked)) == COUNT / 4


def test_a_question_of_the_test_split_is_not_trained_on(tmp_path):
    before = "Is number {} odd?"
    save(tmp_path / "data" / "train.jsonl", implicit(before, ANSWERS[0], ANSWERS[1]))
    save(tmp_path / "data" / "test.jsonl", implicit(before, ANSWERS[2])[:10])
    pairs = load(tmp_path / "data", test_split="test")
    assert {row["prompt"] for row in pairs.train} == {before.format(i) for i in range(10, COUNT)}
    assert pairs.left_out["the prompt of a test pair"] == 20


def test_a_conversation_that_goes_on_after_a_shared_answer_keeps_its_answers(tmp_path):
    rows = [
        {
            "chosen": [user("Hi"), answer("Yes")],
            "rejected": [user("Hi"), answer("Yes"), user("And?"), answer(f"No {i}")],
        }
        for i in range(2)
    ]
    pairs = load(save(tmp_path / "data.jsonl", rows + turns_without_prompt()))
    short = [row for row in all_rows(pairs) if row["prompt"] == [user("Hi")]]
    assert [row["chosen"] for row in short] == [[answer("Yes")]] * 2


def turns_without_prompt() -> list[Row]:
    return [{side: row["prompt"] + row[side] for side in ("chosen", "rejected")} for row in turns()]


# --- files ---

BAD_FILES: dict[str, tuple[bytes, str]] = {
    "latin-1": ('{"prompt": "Où"}\n'.encode("latin-1"), "line 3 of FILE is not UTF-8 text (byte 0xf9 at column 14)"),
    "cp1252": (b'{"prompt": "it\x92s"}\n', "iconv -f cp1252 -t utf-8"),
    "cut off": (b'{"prompt": "a", "chosen": "b\n', "line 3 of FILE is not valid JSON"),
    "NUL bytes": (b"\0\0\0\0", "line 3 of FILE holds NUL bytes"),
    "a key twice": (
        b'{"chosen": "a", "chosen": "b"}\n',
        "line 3 of FILE is not valid JSON (the key 'chosen' occurs twice)",
    ),
    "a number": (b"3\n", "line 3 of FILE is not an object"),
    "an array": (b'[{"chosen": "a"}]\n', "line 3 of FILE is not an object"),
    "commas": (b'{"chosen": "a"},\n', "line 3 of FILE is not valid JSON"),
    "deep": (b"[" * 100_000 + b"\n", "line 3 of FILE is not valid JSON"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_line_is_named_with_its_file(name, tmp_path):
    content, words = BAD_FILES[name]
    data = save(tmp_path / "data.jsonl", plain(1))
    data.write_bytes(data.read_bytes() + b"\r\n" + content + data.read_bytes())
    assert words.replace("FILE", str(data)) in refused(data)


ARRAYS: dict[str, Any] = {
    "array": lambda rows: json.dumps(rows),
    "array over several lines": lambda rows: json.dumps(rows, indent=2),
    "objects over several lines": lambda rows: "".join(json.dumps(row, indent=2) for row in rows),
    "several on a line": lambda rows: "".join(json.dumps(row) for row in rows),
    "mark of UTF-8": lambda rows: "\ufeff" + "".join(json.dumps(row) + "\n" for row in rows),
    "line ends of Windows": lambda rows: "".join(json.dumps(row) + "\r\n\r\n" for row in rows),
    "no last line end": lambda rows: "\n".join(json.dumps(row) for row in rows),
    "numbers that are none": lambda rows: "\n".join(json.dumps(row | {"score": float("nan")}) for row in rows),
    "separators in text": lambda rows: "\n".join(
        json.dumps(row | {"id": "\u2028"}, ensure_ascii=False) for row in rows
    ),
}


@pytest.mark.parametrize("form", ARRAYS)
def test_json_in_other_layouts_is_read(form, tmp_path):
    data = tmp_path / "data.json"
    data.write_bytes(ARRAYS[form](plain()).encode())
    assert in_order(load(data)) == plain()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[{"chosen": "a"},\n]', "line 2 of FILE is not valid JSON"),
        ("[1, 2]", "row 1 of FILE is not an object"),
        ("", "FILE is empty"),
        ("\n \n", "the split 'train' is empty"),
        ("[]", "the split 'train' is empty"),
        ('{"chosen": ["a"], "rejected": ["b"]}', "holds a list of strings"),
    ],
)
def test_files_without_rows_are_refused(content, words, tmp_path):
    data = tmp_path / "data.json"
    data.write_text(content)
    assert words.replace("FILE", str(data)) in refused(data)


def test_wide_encodings_are_refused_with_the_command_that_converts(tmp_path):
    data = tmp_path / "my data.jsonl"
    data.write_text(save(tmp_path / "d.jsonl", plain()).read_text(), "utf-16")
    said = refused(data)
    assert "is UTF-16 text" in said
    command = said[said.index("iconv") :]
    subprocess.run(command, shell=True, check=True)
    assert in_order(load(tmp_path / "utf8-my data.jsonl")) == plain()


@pytest.mark.parametrize("suffix", [".gz", ".GZ", ".bz2", ".zst"])
def test_packed_files_are_read_and_damaged_ones_refused(suffix, tmp_path):
    data = tmp_path / f"data.jsonl{suffix}"
    content = save(tmp_path / "d.jsonl", plain()).read_bytes()
    packed = (
        pyarrow.compress(content, suffix[1:].replace("zst", "zstd"), asbytes=True)
        if suffix == ".zst"
        else ({".gz": gzip, ".bz2": bz2}[suffix.lower()].compress(content))
    )
    data.write_bytes(packed)
    assert in_order(load(data)) == plain()
    data.write_bytes(packed[: len(packed) // 2])
    assert f"{data} cannot be unpacked" in refused(data)


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "arrow", "folder"])
def test_a_file_that_was_replaced_by_one_of_the_same_age_is_read_anew(kind, tmp_path):
    data = tmp_path / f"data.{kind}"

    def write(word: str) -> None:
        rows = [row | {"chosen": f" {word} {i}"} for i, row in enumerate(plain())]
        if kind == "parquet":
            Dataset.from_list(rows).to_parquet(data)
        elif kind == "arrow":
            table = pyarrow.Table.from_pylist(rows)
            with pyarrow.ipc.new_file(data, table.schema) as file:
                file.write_table(table)
        else:
            save(data / "train.jsonl" if kind == "folder" else data, rows)
        for path in [data, *data.rglob("*")] if data.is_dir() else [data]:
            os.utime(path, (1_700_000_000, 1_700_000_000))

    for word in ("first", "second"):
        write(word)
        assert in_order(load(data))[0]["chosen"] == f" {word} 0"


def test_nothing_is_written_to_a_home(tmp_path, monkeypatch):
    """Which may not be writable; nor is the network needed."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    save(tmp_path / "data" / "train.jsonl", plain())
    load(tmp_path / "data")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("data.csv", "prompt,chosen\na,b", "is of no known format: expected .jsonl, .ndjson, .json, .parquet, .arrow"),
        ("data.tsv", "a", "pandas.read_csv('data.tsv', sep='\\t').to_json('data.jsonl'"),
        ("data.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9", "run `git lfs pull`"),
        ("data.parquet", "PAR1", "is not a valid parquet file"),
        ("data.arrow", "ARROW1", "is not a valid arrow file"),
        ("data.py", "x", "is of no known format"),
        ("data.jsonl", "PAR1", "is not text but parquet"),
    ],
)
def test_files_that_cannot_be_read_are_refused(name, content, words, tmp_path):
    (tmp_path / name).write_text(content)
    assert words in refused(tmp_path / name)


# --- folders ---


def to_parquet(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_list(rows).to_parquet(path)
    return path


def card(folder: Path, *configurations: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text("---\nconfigs:\n" + "".join(configurations) + "---\n# Data\n")


def configuration(name: str, **splits: str) -> str:
    files = "".join(f"  - split: {split}\n    path: {path}\n" for split, path in splits.items())
    return f"- config_name: {name}\n  data_files:\n{files}"


def test_a_folder_as_the_hub_s_tools_leave_it_is_read(tmp_path):
    """UltraFeedback's: several files of a split, splits of other names."""
    rows = plain()
    to_parquet(tmp_path / "data" / "train_prefs-00000-of-00002.parquet", rows[:25])
    to_parquet(tmp_path / "data" / "train_prefs-00001-of-00002.parquet", rows[25:])
    to_parquet(
        tmp_path / "data" / "test_prefs-00000-of-00001.parquet", [r | {"prompt": f"T {r['prompt']}"} for r in rows[:9]]
    )
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    for readme in (False, True):
        if readme:
            card(tmp_path, configuration("default", train_prefs="data/train_prefs-*", test_prefs="data/test_prefs-*"))
        pairs = load(tmp_path, train_split="train_prefs", test_split="test_prefs")
        assert list(pairs.train) == rows
        assert len(pairs.search) + len(pairs.held_out) == 9
    said = refused(tmp_path)
    assert f"{tmp_path} has no split 'train', only train_prefs: data/train_prefs-00000-of-00002.parquet, " in said
    assert "set fitness.train_split and fitness.test_split to one of train_prefs, test_prefs" in said


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train.jsonl", "test.jsonl"),
        ("train/part-0.jsonl", "test/part-0.jsonl"),
        ("train.jsonl.gz", "test.jsonl.gz"),
        ("pairs_train.json", "pairs_test.json"),
        ("data/train.parquet", "data/test.parquet"),
    ],
)
def test_files_of_splits_beside_each_other_are_read(train, test, tmp_path):
    for name, rows in ((train, plain()), (test, plain(9))):
        path = tmp_path / name
        if path.suffix == ".parquet":
            to_parquet(path, rows)
        else:
            save(path, rows)
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(path.read_bytes()))
    pairs = load(tmp_path, test_split="test")
    assert (len(pairs.train), len(pairs.search) + len(pairs.held_out)) == (COUNT - 9, 9)


def test_a_folder_of_one_file_is_its_training_split(tmp_path):
    save(tmp_path / "pairs.jsonl", plain())
    assert in_order(load(tmp_path)) == plain()
    assert "has no split 'test', only train: pairs.jsonl" in refused(tmp_path, test_split="test")


def test_the_files_of_a_split_and_unused_files_are_noted(tmp_path):
    save(tmp_path / "train.jsonl", plain()[:30])
    assert load(tmp_path).remarks == ()
    save(tmp_path / "train_old.jsonl", plain()[30:])
    save(tmp_path / "extra.jsonl", plain())
    pairs = load(tmp_path)
    assert in_order(pairs) == plain()
    assert pairs.remarks == ("The split 'train' is train.jsonl, train_old.jsonl, and extra.jsonl of no split.",)


def test_missing_files_of_a_split_are_noted(tmp_path):
    data = save(tmp_path / "set" / "data" / "train-00000-of-00002.jsonl", plain()).parent.parent
    assert load(data).remarks == ("By the file names, the split 'train' has 2 files; found: 1.",)
    (data / "data" / "train-00001-of-00002.jsonl").symlink_to(tmp_path / "blob")
    assert "train-00001-of-00002.jsonl is a link to a file that does not exist: finish its download" in refused(data)


def test_one_of_several_subsets_is_chosen_by_name(tmp_path):
    for name in ("english", "german"):
        save(tmp_path / f"{name}.jsonl", [row | {"prompt": f"{name} {i}"} for i, row in enumerate(plain())])
    card(tmp_path, configuration("en", train="english.jsonl"), configuration("de", train="german.jsonl"))
    assert f"{tmp_path} has several subsets: set fitness.data_subset to one of de, en" in refused(tmp_path)
    assert "has no subset 'fr': set fitness.data_subset to one of de, en" in refused(tmp_path, data_subset="fr")
    pairs = load(tmp_path, data_subset="de")
    assert (in_order(pairs)[0]["prompt"], pairs.remarks) == ("german 0", ())


def test_a_file_names_what_is_beside_it_when_another_split_is_asked_for(tmp_path):
    save(tmp_path / "test.jsonl", plain())
    said = refused(save(tmp_path / "train.jsonl", plain()), test_split="test")
    assert f"or name the folder {tmp_path}, which has also test.jsonl" in said


def test_splits_that_save_to_disk_wrote_one_by_one_are_read(tmp_path):
    Dataset.from_list(plain()).save_to_disk(tmp_path / "train")
    Dataset.from_list(plain(9)).save_to_disk(tmp_path / "test")
    assert len(load(tmp_path, test_split="test").train) == COUNT - 9


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "it is empty"),
        ({"notes.md": "x"}, "notes.md is of no known format"),
        (
            {"a.txt": "x", "b.txt": "x", "c.jsonl": "{}"},
            "a.txt is of no known format: give a file or folder of known ones, of c.jsonl",
        ),
        ({"data.csv": "chosen,rejected\na,b\n"}, "data.csv is of no known format"),
        ({"x.py": "class X(datasets.GeneratorBasedBuilder): ..."}, "holds a loading script, x.py, which is never run"),
        ({"train.jsonl": "version https://git-lfs.github.com/spec/v1\n"}, "is a git LFS pointer"),
        ({"README.md": "---\nconfigs: 5\n---\n", "train.jsonl": "{}"}, "holds no data that can be read"),
        ({"train.jsonl": ""}, "train.jsonl is empty"),
    ],
)
def test_folders_that_cannot_be_read_are_refused(files, words, tmp_path):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert words in refused(tmp_path)


def test_a_readme_names_no_files_elsewhere(tmp_path):
    save(tmp_path / "secret.jsonl", plain())
    folder = tmp_path / "data"
    card(folder, configuration("default", train="../secret.jsonl"))
    save(folder / "other.jsonl", plain())
    assert "holds no data that can be read" in refused(folder)


def test_a_cache_of_links_and_a_folder_with_signs_in_its_name_are_read(tmp_path):
    blob = save(tmp_path / "blobs" / "0123", plain())
    folder = tmp_path / "a [1] *b? {c}"
    folder.mkdir()
    (folder / "train.jsonl").symlink_to(blob)
    assert in_order(load(folder)) == plain()


def test_a_saved_folder_of_git_lfs_pointers_is_refused(tmp_path):
    Dataset.from_list(plain()).save_to_disk(tmp_path)
    next(tmp_path.glob("*.arrow")).write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "run `git lfs pull`" in refused(tmp_path)


def test_a_folder_named_like_a_format_is_a_folder(tmp_path, monkeypatch):
    save(tmp_path / "json" / "train.jsonl", plain())
    monkeypatch.chdir(tmp_path)
    assert in_order(load("json")) == plain()


def test_the_identity_follows_data_and_readme_but_not_what_git_and_downloads_keep(tmp_path):
    def identity() -> Any:
        return info(options(tmp_path)).identity

    save(tmp_path / "train.jsonl", plain())
    card(tmp_path, configuration("default", train="train.jsonl"))
    before = identity()
    save(tmp_path / ".cache" / "huggingface" / "download" / "x.metadata", [])
    assert identity() == before
    card(tmp_path, configuration("default", train="*.jsonl"))
    assert (changed := identity()) != before
    save(tmp_path / "train.jsonl", plain(41))
    assert identity() != changed
