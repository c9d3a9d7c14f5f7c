"""`evopo data`: the data as the model would see it, without a training, and errors that would prevent a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from campaigns import Command
from hostile_texts import SHORT
from in_process import told

from evo.cli.commands import main

pytest.importorskip("trl")
Show = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer, a configuration and invalid weights."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    vocabulary = {token: i for i, token in enumerate(["</s>", "<pad>", *pre_tokenizers.ByteLevel.alphabet()])}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>").save_pretrained(folder)
    LlamaConfig(vocab_size=len(vocabulary), max_position_embeddings=512).save_pretrained(folder)
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return folder


@pytest.fixture
def arguments(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The arguments of the command for given rows."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # the command sets both, for its own process
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")

    def of(rows: list[dict[str, Any]], *more: str, **changes: Any) -> list[str]:
        data = tmp_path / "pairs.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        given = {"model": model, "data": data, "max_length": 64, "pairs": 16, "batch_size": 4, "test_fraction": 0.4}
        settings = [word for key, value in (given | changes).items() for word in ("--set", f"fitness.{key}={value}")]
        return ["data", "--set", "task=preference", *settings, *more]

    return of


def rows(count: int = 40) -> list[dict[str, Any]]:
    return [{"prompt": f"Question {i}", "chosen": f" good {i}", "rejected": f" bad {i}"} for i in range(count)]


def test_left_out_rows_and_decoded_pairs_are_shown_without_terminal_escapes(
    arguments: Callable[..., list[str]],
) -> None:
    given = rows()
    given[1]["chosen"] = " "
    for row in given[2:4]:
        row["chosen"], row["rejected"] = ("the same " * 9 + end for end in ("good", "bad"))
    for row in given[4:]:
        row["chosen"] = f" good {SHORT}"
    code, written = told(main, arguments(given, "--show", "3"))
    assert code == 0
    assert "Left out of the data: 1 with an empty completion." in written
    assert "Left out of the data: 2 with completions that differ only beyond fitness.max_length." in written
    assert r' tokens): " good \u001b]0;title\u0007\x9b31m\u202e</s>"' in written
    assert written.count("Training pair") == 3
    parts = [line.split() for line in written.splitlines() if line.startswith(("train ", "search ", "held_out "))]
    assert sum(int(pairs) for _, pairs, *_ in parts) == 37


def test_cut_texts_are_marked_and_long_ones_shortened(arguments: Callable[..., list[str]]) -> None:
    given = [row | {"chosen": f" {row['chosen']} {'more ' * 90}"} for row in rows()]
    short, whole = (told(main, arguments(given, *how, max_length=500))[1] for how in ((), ("--whole",)))
    assert "characters ...]" in short
    assert "characters ...]" not in whole
    cut = told(main, arguments(given, max_length=40))[1]
    assert "chosen (460 tokens, the last 430 are cut)" in cut
    assert "50%" in cut


def test_data_that_a_run_refuses_is_refused_with_the_same_message_after_the_pairs(
    evo: Command, arguments: Callable[..., list[str]]
) -> None:
    again = [row | {side: row["prompt"] + row[side] for side in ("chosen", "rejected")} for row in rows()[:-1]]
    given = [*again, rows()[-1]]
    done = evo.run(*arguments(given, "--show", "1"))
    assert done.code == 1
    assert done.err.startswith("error: 39 of 40 pairs: both completions begin with a copy of the prompt")
    assert "Traceback" not in done.err
    assert 'chosen (18 tokens): "Question 2 good 2</s>"' in done.out


def test_wrong_options_are_refused_as_by_a_run(arguments: Callable[..., list[str]]) -> None:
    code, written = told(main, arguments(rows(), model="./gone"))
    assert code == 2
    assert "error: fitness.model: there is no gone" in written


@pytest.mark.parametrize("task", ["sentiment", "classification"])
def test_a_task_with_data_of_its_own_says_so(task: str) -> None:
    code, written = told(main, ["data", "--set", f"task={task}"])
    assert (code, len(written.splitlines())) == (0, 1)
    assert f"The task {task} generates its data" in written


def test_a_dry_run_names_the_command(arguments: Callable[..., list[str]], tmp_path: Path) -> None:
    _, *settings = arguments(rows())
    code, written = told(main, ["run", "--dry-run", "--offline", "--dir", str(tmp_path / "run"), *settings])
    assert code == 0
    assert "data --set task=preference --set fitness.model=" in written.splitlines()[-1]
