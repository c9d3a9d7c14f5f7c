"""`evopo paper` on a real directory of baselines, and what it refuses."""

import csv
import io
import json
from statistics import fmean

import pytest
from campaigns import TINY_SENTIMENT
from in_process import told

from analysis.final import seeds_of
from archive.query import Reader
from archive.records import EventKind, RunRow
from archive.store import Archive
from evo.cli.commands import main

pytest.importorskip("trl")

LOSSES = ("dpo", "slic", "lrml")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Three losses over two betas, with trainings of two steps."""
    directory = tmp_path_factory.mktemp("measured") / "baselines"
    named = [part for loss in LOSSES for part in ("--loss", loss)]
    tiny = [part for part in TINY_SENTIMENT if not part.startswith("ladder.")]
    settings = [part for part in tiny if part != "--set"]
    code, _ = told(
        main,
        ["baselines", "--dir", str(directory), *named, "--betas", "0.05,0.5", "--tuning-seeds", "1", "--seeds", "2",
         *(part for setting in settings for part in ("--set", setting))],
    )  # fmt: skip
    assert code == 0
    return directory


def test_fitness_of_the_archive_stands_beside_the_published_scores(measured, tmp_path):
    out = tmp_path / "paper.html"
    code, text = told(main, ["paper", str(measured), "--format", "json", "--out", str(out), "--no-pictures"])
    assert code == 0
    page = json.loads(text.partition("\nPage: ")[0])
    table = next(table for table in page["tables"] if table["key"] == "fitness")
    with Reader.open(measured / "archive.db") as reader:
        fresh = {seed for event in reader.events(kind=EventKind.FINAL) for seed in seeds_of(event.payload)}
        ids = {row.name: row.id for row in reader.candidates()}
        for loss in LOSSES:
            values = [e.fitness for e in reader.evaluations(ids[loss]) if e.seed in fresh and e.fitness is not None]
            published, ours = next(row["cells"] for row in table["rows"] if row["name"] == loss)
            assert published["published"]["value"] == {"dpo": 7.888, "slic": 7.881, "lrml": 7.916}[loss]
            assert ours["ours"]["value"] == pytest.approx(fmean(values)) and len(values) == 2
            assert ours["ours"]["error"] is not None and ours["ours"]["of"].startswith("2 seeds at beta 0.")
    mine = [one for one in page["correlations"] if one["source"] == str(measured)]
    assert {one["found"]["n"] for one in mine} == {3}
    assert "published MT-Bench score" in out.read_text("utf-8")


def test_the_rewards_over_beta_are_those_of_the_tuning(measured):
    code, text = told(main, ["paper", str(measured), "--format", "csv"])
    assert code == 0
    rows = {row["row"]: row for row in csv.DictReader(io.StringIO(text)) if row["table"] == "imdb"}
    assert float(rows["beta 0.05"]["ours"]) == pytest.approx(_reward(measured, 0.05))
    assert rows["beta 0.01"]["published"] == "0.152"
    assert rows["beta 0.01"]["why"] == "this beta was not trained"


def _reward(directory, beta):
    with Reader.open(directory / "archive.db") as reader:
        lrml = next(row.id for row in reader.candidates() if row.name == "lrml")
        fresh = {seed for event in reader.events(kind=EventKind.FINAL) for seed in seeds_of(event.payload)}
        done = [e for e in reader.evaluations(lrml) if e.beta == beta and e.seed not in fresh]
    return fmean(e.metrics["reward"] for e in done)


def test_a_directory_that_cannot_be_used_is_named(measured, tmp_path):
    remedy = "give the directory that `evopo run` named; `evopo ls` lists those in runs/"
    assert told(main, ["paper", str(tmp_path)]) == (2, f"error: {tmp_path} holds no run (no archive.db); {remedy}\n")
    code, text = told(main, ["paper", str(measured), f"{measured}/."])
    assert code == 2 and "is given twice" in text
    other = tmp_path / "other"
    other.mkdir()
    Archive.create(other / "archive.db", RunRow("x", 0, "sentiment", "preference", {"kind": "survey"})).close()
    code, text = told(main, ["paper", str(other)])
    assert code == 1 and "holds survey: expected a directory of evopo run, baselines, evaluate or transfer" in text


def test_a_page_that_cannot_be_written_is_told_before_anything_is_read(measured, tmp_path):
    code, text = told(main, ["paper", str(measured), "--out", str(tmp_path / "gone" / "paper.html")])
    assert code == 1 and "there is no folder" in text
