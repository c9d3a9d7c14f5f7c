"""Answers of a saved policy: the embedded model, saved by its task, turn by turn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from fitness.benchmarks.generation.chats import Chats, until_stop
from fitness.benchmarks.generation.engines import load_generator
from fitness.benchmarks.generation.generator import GenerationOptions, faults
from fitness.benchmarks.protocol import BenchmarkError, Question, Sampling
from fitness.sentiment.options import Options
from fitness.sentiment.task import SentimentTask
from sandbox.known import graph

QUESTIONS = [
    Question("1", ("the movie was", "the film is")), Question("2", ("i saw this film and", "the")), Question("3", ("a",)),
]  # fmt: skip
GREEDY, DRAWN = Sampling(0.0, 8), Sampling(1.0, 8)


@pytest.fixture(scope="module")
def task() -> SentimentTask:
    return SentimentTask(Options(pairs=32, batch_size=16, epochs=1, short_steps=2))


@pytest.fixture(scope="module")
def folder(task: SentimentTask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The untrained policy."""
    path = tmp_path_factory.mktemp("policies") / "reference"
    task.save_policy(None, "short", 0, path)
    return path


def test_a_saved_policy_is_the_trained_one(task: SentimentTask, folder: Path, tmp_path: Path) -> None:
    task.save_policy(graph("dpo"), "short", 5, tmp_path / "dpo")
    task.save_policy(graph("dpo"), "short", 5, tmp_path / "again")
    task.save_policy(graph("dpo"), "short", 5, tmp_path / "other-beta", beta=5.0)
    weights = [
        AutoModelForCausalLM.from_pretrained(place).state_dict()
        for place in (folder, tmp_path / "dpo", tmp_path / "again", tmp_path / "other-beta")
    ]
    untrained, trained, again, other = ([w[name] for name in sorted(w)] for w in weights)
    assert all(torch.equal(a, b) for a, b in zip(trained, again, strict=True)), "the same recipe gives the same weights"
    assert not all(torch.equal(a, b) for a, b in zip(trained, untrained, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(trained, other, strict=True))
    assert AutoTokenizer.from_pretrained(tmp_path / "dpo").chat_template


def test_a_batch_padded_on_the_left_gives_the_answers_of_single_questions(folder: Path) -> None:
    generator = load_generator(folder, GenerationOptions())
    together = generator.write(QUESTIONS, GREEDY, 0)
    alone = [generator.write([question], GREEDY, 0)[0] for question in QUESTIONS]
    assert together == alone
    assert [len(answer.turns) for answer in together] == [2, 2, 1] and all(answer.tokens > 0 for answer in together)


def test_equal_seeds_give_equal_answers_and_others_do_not(folder: Path) -> None:
    generator = load_generator(folder, GenerationOptions())
    first = [generator.write(QUESTIONS, DRAWN, seed) for seed in (1, 1, 2)]
    assert first[0] == first[1] != first[2]


def test_the_second_turn_follows_the_first_answer(folder: Path) -> None:
    chats = Chats(folder, GenerationOptions())
    words = chats.tokenizer.convert_ids_to_tokens(chats.ids(QUESTIONS[0], ["good"]))
    assert words == ["<bos>", "the", "movie", "was", "good", "the", "film", "is"]


def test_greedy_answers_are_those_of_generate(folder: Path) -> None:
    """Held against transformers, called with the prompt's tokens and without padding."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("<bos> the movie was", return_tensors="pt", add_special_tokens=False)["input_ids"]
    written = model.generate(ids, do_sample=False, max_new_tokens=8, pad_token_id=0)[0, ids.size(1) :]
    expected = tokenizer.decode(written, skip_special_tokens=True).strip()
    (answer,) = load_generator(folder, GenerationOptions()).write([Question("1", ("the movie was",))], GREEDY, 0)
    assert answer.turns == (expected,)


def test_an_answer_ends_before_a_stop_text(folder: Path) -> None:
    generator = load_generator(folder, GenerationOptions())
    (whole,) = generator.write([QUESTIONS[0]], Sampling(0.0, 12), 0)
    stop = whole.turns[0].split()[2]
    (cut,) = generator.write([QUESTIONS[0]], Sampling(0.0, 12, stop=(stop,)), 0)
    assert stop not in cut.turns[0] and whole.turns[0].startswith(cut.turns[0])
    assert cut.tokens < whole.tokens, "generation ends at the stop text"
    assert until_stop("one two three", ("three", "two")) == "one"


def test_a_prompt_beyond_the_context_loses_its_beginning_and_is_counted(folder: Path) -> None:
    generator = load_generator(folder, GenerationOptions())
    (answer,) = generator.write([Question("1", ("the film was good " * 30,))], GREEDY, 0)
    assert answer.cut == 1 and answer.turns[0]


def test_an_answer_that_cannot_fit_is_refused_with_the_option(folder: Path) -> None:
    generator = load_generator(folder, GenerationOptions())
    with pytest.raises(
        BenchmarkError, match=r"context of 64 tokens, and an answer may have 1024: set generation.max_new_tokens"
    ):
        generator.write(QUESTIONS, Sampling(0.0, 1024), 0)
    short = load_generator(folder, GenerationOptions(max_new_tokens=4)).write(QUESTIONS, Sampling(0.0, 1024), 0)
    assert max(answer.tokens for answer in short) <= 8


def without_template(folder: Path, path: Path) -> Path:
    shutil.copytree(folder, path)
    (path / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((path / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return path


def test_a_model_without_a_chat_template_is_refused_and_the_remedies_work(folder: Path, tmp_path: Path) -> None:
    bare = without_template(folder, tmp_path / "bare")
    with pytest.raises(BenchmarkError, match=r"no chat template: give one with generation.chat_template"):
        load_generator(bare, GenerationOptions())
    (plain,) = load_generator(bare, GenerationOptions(plain=True)).write([QUESTIONS[0]], GREEDY, 0)
    assert len(plain.turns) == 2
    template = tmp_path / "chat.jinja"
    template.write_text("{{ bos_token }} {% for m in messages %}{{ m.content }} {% endfor %}")
    (given,) = load_generator(bare, GenerationOptions(chat_template=template)).write([QUESTIONS[0]], GREEDY, 0)
    assert given == load_generator(folder, GenerationOptions()).write([QUESTIONS[0]], GREEDY, 0)[0]
    template.write_text("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(BenchmarkError, match=r"cannot render a question.*roles must alternate"):
        load_generator(bare, GenerationOptions(chat_template=template)).write([QUESTIONS[0]], GREEDY, 0)


def test_a_folder_that_is_no_policy_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BenchmarkError, match="cannot load the policy in"):
        load_generator(tmp_path, GenerationOptions())


def test_options_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    assert faults(GenerationOptions()) == []
    (line,) = faults(GenerationOptions(chat_template=tmp_path / "gone.jinja"))
    assert "there is no file" in line
    try:
        import vllm  # noqa: F401
    except ImportError:
        (line,) = faults(GenerationOptions(engine="vllm"))
        assert "pip install 'evopo[vllm]'" in line
