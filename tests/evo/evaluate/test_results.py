"""Results read back from an archive that may be another person's: nothing in it reaches the terminal as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hostile_texts import STEERING

from archive.judgements import AnswerRow, JudgementRow
from archive.query import Reader
from archive.records import EventKind, RunRow, Usage
from archive.store import Archive
from evo.cli.commands import main
from evo.evaluate.results import outcomes

FORMS = {"single": "aa" * 32}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An evaluation whose texts are hostile: two policies, one judged by an earlier judge too, one reply without a grade."""
    identity = {"kind": "evaluate"}
    with Archive.create(tmp_path / "archive.db", RunRow("e", 0, "sentiment", "preference", identity)) as archive:
        judged = archive.judgements
        settings = {"benchmark": "mt-bench", "judge": "judge" + STEERING, "forms": FORMS, "keys": ["k"]}
        archive.event(EventKind.EVALUATE, settings | {"judge": "earlier"})
        archive.event(EventKind.EVALUATE, settings)
        archive.event(EventKind.EVALUATE, {"benchmark": STEERING})
        for number, loss in enumerate(("dpo", "mine" + STEERING)):
            policy = judged.add_policy(f"{loss}, seed 1", "trained", str(number), loss=loss, seed=1)
            ids = judged.add_answers(
                AnswerRow(0, policy, "mt-bench", question, "writing", (STEERING, STEERING), 0, 5, key=key)
                for question, key in (("81" + STEERING, "k"), ("82", "of other settings"))
            )
            for turn in (1, 2):
                for judge, first in (("judge" + STEERING, ids[0]), ("earlier", ids[0]), ("judge" + STEERING, ids[1])):
                    grade = None if (number, turn) == (1, 2) else 5.0 + number
                    row = JudgementRow(
                        0, "mt-bench", "81" + STEERING, "writing", turn, "single", FORMS["single"], judge, first, None, grade,
                        STEERING, Usage(10, 5, 0.1), f"{number} {turn} {judge} {first}",
                    )  # fmt: skip
                    judged.add_judgement(row, judged.ask(row.key, Usage(20, 10, 0.2)))
        judged.fail_policy("mine" + STEERING, 2, "x", "diverged", STEERING)
    return tmp_path


def test_only_rows_of_the_last_settings_count(directory: Path) -> None:
    with Reader.open(directory / "archive.db") as reader:
        (outcome,) = outcomes(reader)
    assert {row.key for row in outcome.rows.answers} == {"k"}
    assert len(outcome.rows.judgements) == 4 and {row.judge for row in outcome.rows.judgements} == {"judge" + STEERING}
    assert "4 judgements, 1 without a grade; 4 requests, 60 tokens, 0.4000 USD" in outcome.judged


def test_texts_of_others_are_shown_with_escapes(directory: Path) -> None:
    for more in ([], ["--json"]):
        shown = CliRunner().invoke(main, ["evaluate", "--show", str(directory), *more])
        assert shown.exit_code == 0, shown.output
        assert "\x1b" not in shown.output and "\u202e" not in shown.output
    assert "diverged on 1 seed" in json.loads(shown.output)["failed"][0]


@pytest.mark.parametrize("ending", [".csv", ".html", ".json"])
def test_results_are_written(directory: Path, ending: str) -> None:
    out = directory / f"results{ending}"
    shown = CliRunner().invoke(main, ["evaluate", "--show", str(directory), "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    text = out.read_text("utf-8")
    assert "dpo" in text and "\x1b" not in text and "<script" not in text.replace("<\\u003c", "")


def test_a_search_is_no_evaluation(tmp_path: Path) -> None:
    Archive.create(tmp_path / "archive.db", RunRow("e", 0, "sentiment", "preference")).close()
    shown = CliRunner().invoke(main, ["evaluate", "--show", str(tmp_path)])
    assert shown.exit_code == 2 and "holds no evaluation" in shown.output
