"""`evopo evaluate --on alpaca-eval --on tldr` as a user calls it: embedded policies, the published formats, a judge on loopback."""

from __future__ import annotations

import json

import pytest
from campaigns import Command
from loopback_judge import LoopbackJudge, Mode

pytest.importorskip("torch")

STARTS = (
    "the movie was",
    "i saw this film and",
    "the story was",
    "and the plot is",
    "the acting was",
    "this film is",
) * 2
OUTPUTS = [
    {"instruction": f"{start} {n}", "output": "a good film " * (1 + n % 3), "generator": "words", "dataset": "embedded"}
    for n, start in enumerate(STARTS)
]
POSTS = [
    {
        "info": {"id": str(n), "post": start, "title": f"film {n}", "subreddit": "movies"},
        "summaries": [
            {"text": "it was bad", "policy": "ref", "note": ""},
            {"text": "bad", "policy": "sup", "note": ""},
        ],
        "choice": 0,
    }
    for n, start in enumerate(STARTS)
] + [{"info": {"id": "x", "article": "News.", "site": "cnndm", "post": None}, "summaries": [], "choice": 0}]


def arguments(judge: LoopbackJudge, *more: str) -> tuple[str, ...]:
    return (
        "evaluate", "dpo", "--on", "alpaca-eval", "--on", "tldr", "--dir", "out", "--seeds", "1", "--task", "sentiment",
        "--set", "workers=1", "--set", "fitness.pairs=32", "--set", "fitness.batch_size=16", "--set", "fitness.epochs=1",
        "--set", "fitness.short_steps=1", "--set", "generation.max_new_tokens=8", "--set", "generation.batch=4",
        "--set", "alpaca-eval.instructions=outputs.json", "--set", "tldr.posts=posts.jsonl",
        "--set", f"judge.base_url={judge.base_url}", "--set", "judge.model=scripted-1", "--set", "judge.concurrency=2",
        *more,
    )  # fmt: skip


@pytest.fixture
def place(evo: Command) -> Command:
    (evo.folder / "outputs.json").write_text(json.dumps(OUTPUTS))
    (evo.folder / "posts.jsonl").write_text("\n".join(map(json.dumps, POSTS)))
    return evo


def test_both_benchmarks_from_the_data_to_the_tables_and_the_files(place: Command) -> None:
    with LoopbackJudge(Mode.FIRST, strength=0.3) as judge:
        done = place.run(*arguments(judge))
        assert done.code == 0, done.err
    assert "TL;DR leaves out 1 rows about news articles." in done.out
    for title in ("AlpacaEval 2.0 against words", "AlpacaEval 2.0 against reference", "TL;DR against human"):
        assert title in done.out
    found = json.loads(place.run("evaluate", "--show", "out", "--json").out)
    for benchmark in found["benchmarks"]:
        assert benchmark["judgements"] == 12 * 2 * 3 and benchmark["ungraded"] == 0
        for table in benchmark["tables"]:
            column = table["columns"].index("position bias %")
            assert all(row["cells"][column]["value"] > 10 for row in table["rows"])
    folder = place.folder / "out/alpaca-eval"
    outputs = json.loads((folder / "model_outputs-dpo-seed-1.json").read_text())
    assert [row["instruction"] for row in outputs] == [row["instruction"] for row in OUTPUTS]
    assert (folder / "leaderboard-words-scripted-1.csv").read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("alpaca-eval.baseline=fewer.json", "has 11 outputs, expected 12"),
        ("alpaca-eval.python=/bin/false", "alpaca_eval under /bin/false failed"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained_or_asked(place: Command, more: str, said: str) -> None:
    (place.folder / "fewer.json").write_text(json.dumps(OUTPUTS[:-1]))
    with LoopbackJudge() as judge:
        done = place.run(*arguments(judge, "--set", more))
        assert judge.requests == 0
    assert done.code != 0 and said in done.err
    assert not (place.folder / "out").exists()
