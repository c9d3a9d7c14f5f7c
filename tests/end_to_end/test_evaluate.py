"""`evopo evaluate` as a user calls it: embedded policies, MT-Bench's format, a judge on loopback, kill -9 in the middle."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from campaigns import Command, assert_sound, leftovers
from loopback_judge import LoopbackJudge, Mode

from archive.query import Reader

pytest.importorskip("torch")

QUESTIONS = [
    {"question_id": 81, "category": "writing", "turns": ["the movie was", "and the film is"]},
    {"question_id": 82, "category": "writing", "turns": ["i saw this film and", "it was"]},
    {"question_id": 151, "category": "humanities", "turns": ["the story was", "the plot is"]},
]


def arguments(judge: LoopbackJudge, *losses: str, seeds: int = 2) -> tuple[str, ...]:
    return (
        "evaluate", *losses, "--on", "mt-bench", "--dir", "out", "--seeds", str(seeds), "--task", "sentiment",
        "--set", "workers=1", "--set", "fitness.pairs=32", "--set", "fitness.batch_size=16", "--set", "fitness.epochs=1",
        "--set", "fitness.short_steps=1",
        "--set", "generation.max_new_tokens=8", "--set", "generation.batch=2", "--set", "mt-bench.questions=question.jsonl",
        "--set", f"judge.base_url={judge.base_url}", "--set", "judge.model=scripted-1", "--set", "judge.concurrency=2",
    )  # fmt: skip


@pytest.fixture
def place(evo: Command) -> Command:
    (evo.folder / "question.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    return evo


def counts(archive: Path) -> tuple[int, int, int]:
    """Saved policies, recorded answers, recorded judgements."""
    if not archive.exists():
        return 0, 0, 0
    saved = [path for path in (archive.parent / "policies").glob("*") if not path.name.startswith(".")]
    with Reader.open(archive) as reader:
        return len(saved), len(reader.answers()), len(reader.judgements())


def test_kill_9_loses_and_repeats_nothing(place: Command) -> None:
    archive = place.folder / "out/archive.db"
    with LoopbackJudge(latency=0.05) as judge:
        command = arguments(judge, "dpo", "slic")
        for stage in (0, 1, 2):  # while policies are trained, while they answer, while the judge is asked
            process = place.start(*command)
            before = counts(archive)[stage]
            give_up = time.monotonic() + 240
            while process.poll() is None and counts(archive)[stage] < before + 2 and time.monotonic() < give_up:
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert not leftovers(place.folder), "workers outlived a killed evaluation"
            assert_sound(archive)
            assert counts(archive)[stage] >= before
        done = place.run(*command)
        assert done.code == 0, done.err
        policies, answers, judgements = counts(archive)
        assert (policies, answers, judgements) == (5, 15, 30), (
            "reference, two losses with two seeds; 3 questions, 2 turns"
        )
        with Reader.open(archive) as reader:
            asked = [row for row in reader.judgements() if row.usage is not None]
            lost = reader.spending().judge_possibly_paid
        assert len(asked) <= judge.requests <= len(asked) + lost
        seen = judge.requests
        again = place.run(*command)
        assert again.code == 0 and judge.requests == seen, "a finished evaluation asks for nothing"
    assert "MT-Bench" in again.out and "slic" in again.out and "reference" in again.out
    assert f"{len(asked):,} requests" in again.out
    assert not list((place.folder / "out/policies").glob(".*"))


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A small finished evaluation, whose directory tests must not change."""
    evo = Command(tmp_path_factory.mktemp("evaluated"))
    (evo.folder / "question.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
    with LoopbackJudge() as judge:
        rehearsed = evo.run(*arguments(judge, "slic", seeds=1), "--dry-run")
        assert rehearsed.code == 0, rehearsed.err
        assert "2 trainings left" in rehearsed.out and "18 requests to scripted-1, at most" in rehearsed.out
        assert judge.requests == 0 and not (evo.folder / "out").exists()
        done = evo.run(*arguments(judge, "slic", seeds=1), "--out", "table.csv")
    assert done.code == 0, done.err
    return evo


def test_results_are_shown_again_as_text_and_as_json(evaluated: Command) -> None:
    text = evaluated.run("evaluate", "--show", "out")
    assert text.code == 0 and "scripted-1: 18 judgements, 0 without a grade" in text.out
    data = json.loads(evaluated.run("evaluate", "--show", "out", "--json").out)
    (benchmark,) = data["benchmarks"]
    assert (benchmark["name"], benchmark["judge"], benchmark["judgements"]) == ("mt-bench", "scripted-1", 18)
    assert {row["name"] for row in benchmark["tables"][0]["rows"]} >= {"dpo", "slic", "reference"}
    assert (evaluated.folder / "table.csv").read_text().startswith("table,row,column,value,error,low,high,n,")


def test_what_is_judged_by_whom_with_which_prompt_is_in_the_archive(evaluated: Command) -> None:
    with Reader.open(evaluated.folder / "out/archive.db") as reader:
        (event,) = reader.events(kind="evaluate")
        rows = reader.judgements()
        assert {row.prompt_hash for row in rows} <= set(event.payload["forms"].values())
        assert set(event.payload["templates"]) == set(event.payload["forms"])
        assert [row.recipe["rung"][0] for row in reader.policies() if row.kind == "trained"] == ["full", "full"]
        assert {row.name for row in reader.candidates()} == {"dpo", "slic"}


def test_other_commands_show_an_evaluation(evaluated: Command) -> None:
    for command in (("ls", "."), ("status", "out"), ("show", "out")):
        result = evaluated.run(*command)
        assert result.code == 0, (command, result.err)
    assert "evaluate" in evaluated.run("ls", ".").out


def test_another_judge_gets_the_same_answers(evaluated: Command, tmp_path: Path) -> None:
    evo = Command(tmp_path / "copy")
    shutil.copytree(evaluated.folder, evo.folder)
    with LoopbackJudge(Mode.LONGER) as judge:
        done = evo.run(*arguments(judge, "slic", seeds=1), "--set", "judge.model=scripted-2")
        assert done.code == 0, done.err
        with Reader.open(evo.folder / "out/archive.db") as reader:
            rows = [row for row in reader.judgements() if row.judge == "scripted-2"]
            assert (len(reader.answers()), len(rows)) == (9, 18), "the answers are those of before"
            assert judge.requests == sum(row.usage is not None for row in rows) > 0
    assert "scripted-2: 18 judgements" in done.out and "scripted-1" not in done.out


def test_a_saved_policy_can_be_judged_as_a_model(evaluated: Command, tmp_path: Path) -> None:
    evo = Command(tmp_path / "models")
    evo.folder.mkdir()
    (evo.folder / "question.jsonl").write_bytes((evaluated.folder / "question.jsonl").read_bytes())
    with Reader.open(evaluated.folder / "out/archive.db") as reader:
        digests = {row.name: row.digest for row in reader.policies()}
    policies = evaluated.folder / "out/policies"
    with LoopbackJudge() as judge:
        rest = arguments(judge)[1:]
        skipped = [rest[i] for i in range(len(rest)) if rest[i] not in ("--task",) and rest[i - 1] != "--task"]
        done = evo.run(
            "evaluate", "--model", str(policies / digests["slic, seed 1"]), "--reference", str(policies / digests["reference"]),
            *skipped,
        )  # fmt: skip
    assert done.code == 0, done.err
    with Reader.open(evo.folder / "out/archive.db") as reader:
        assert [row.kind for row in reader.policies()] == ["reference", "model"]
        assert len(reader.judgements()) == 12


@pytest.mark.parametrize(
    ("given", "said", "code"),
    [
        (("evaluate", "dpo"), "name at least one benchmark", 2),
        (("evaluate", "dpo", "--on", "mt-bnch"), "did you mean mt-bench", 2),
        (("evaluate", "--on", "mt-bench"), "nothing to evaluate", 2),
        (("evaluate", "dpoo", "--on", "mt-bench", "--set", "mt-bench.questions=question.jsonl"), "did you mean dpo", 2),
        (("evaluate", "dpo", "--on", "mt-bench"), "mt-bench.questions is required", 2),
        (("evaluate", "dpo", "--on", "mt-bench", "--set", "mt-bench.questions=gone.jsonl"), "gone.jsonl", 2),
        (("evaluate", "dpo", "--on", "mt-bench", "--set", "mt-bench.questions=question.jsonl"), "needs a judge", 2),
        (
            (
                "evaluate", "dpo", "--on", "mt-bench", "--set", "mt-bench.questions=question.jsonl", "--set", "judge.model=m",
                "--set", "judge.base_url=https://judge.example/v1",
            ),
            "may cost money, and no budget limits it",
            2,
        ),
        (("evaluate", "dpo", "--task", "classification", "--on", "mt-bench", "--set", "mt-bench.questions=question.jsonl"),
         "benchmarks judge language models", 2),
        (("evaluate", "--model", "nowhere", "--on", "mt-bench", "--set", "mt-bench.questions=question.jsonl"), "is no folder", 2),
        (("evaluate", "--show", "."), "holds no run", 2),
        (("evaluate", "--show", ".", "--out", "x.pdf"), ".csv, .html, .json", 1),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_at_once(place: Command, given: tuple[str, ...], said: str, code: int) -> None:
    result = place.run(*given)
    assert (result.code, said in result.err) == (code, True), result.err
    assert not (place.folder / "runs").exists() and not (place.folder / "out").exists()


def test_a_judge_that_cannot_be_reached_is_known_before_training(place: Command) -> None:
    with LoopbackJudge() as judge:
        command = arguments(judge, "slic")
    result = place.run(*command)
    assert result.code == 1 and "refused the connection" in result.err
    assert not (place.folder / "out").exists()
