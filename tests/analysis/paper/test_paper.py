"""The published tables beside ours: with nothing given, with scores of some losses, with text of other people."""

import csv
import io
import json
from collections import Counter
from html.parser import HTMLParser

import pytest

from analysis.benchmarks import published
from analysis.paper.files import COLUMNS, paper_csv, paper_json
from analysis.paper.lined_up import correlations
from analysis.paper.page import render
from analysis.paper.paper import paper_of
from analysis.paper.sources import Given
from analysis.paper.sweeps import Sweep
from analysis.paper.tables import Cell, Measure, Number, Source, Table
from analysis.paper.text import mark, paper_text

pytest.importorskip("torch")

VOID = {"meta", "br", "link", "img", "hr", "col"}
HOSTILE = "<script>alert(1)</script>\x1b]0;x\x07\u202e"


def scores(values: dict[str, float], **of: str) -> Measure:
    """A measure with these values, each with an error of 0.1."""
    numbers = {name: Number(value, 0.1, "8 seeds") for name, value in values.items()}
    return Measure("fitness", "fitness of the task sentiment", numbers, "runs/b", **of)


def cell(table: Table, row: str, column: int = 0) -> Cell:
    return dict(table.rows)[row][column]


class Balanced(HTMLParser):
    """Checks that every element is closed in order, and counts elements and ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.ids.update(value for key, value in attrs if key == "id")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, self.getpos()

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1


@pytest.fixture(scope="module")
def empty():
    return paper_of(Given())


def test_with_nothing_given_each_cell_of_ours_has_a_reason(empty):
    for table in empty.tables:
        for name, cells in table.rows:
            for heading, one in zip(table.headings, cells, strict=True):
                assert one.ours is not None or one.why, (table.key, name, heading.title)
    assert empty.correlations, "the paper's own score against its held-out figures needs no run"
    assert {one.measure for one in empty.correlations} == {"published MT-Bench score"}


def test_every_published_figure_is_in_the_text_with_its_digits(empty):
    text = paper_text(empty)
    for column in published.COLUMNS:
        for figure in column.figures.values():
            assert f"{figure.value:.{column.places}f}" in text
    assert "7.900" in text and "12.81 ± 0.66" in text
    assert "no given directory has AlpacaEval 2.0 against GPT-4: evopo evaluate LOSS --on alpaca-eval" in text


def test_the_optima_of_lrml_are_computed_and_agree_to_five_digits(empty):
    table = next(table for table in empty.tables if table.key == "landscape")
    for row in ("minimum, rho in nats", "maximum, rho in nats", "loss at the maximum"):
        one = cell(table, row)
        assert one.ours and one.published and one.ours.text == one.published.text
    least = cell(table, "loss at the minimum")
    assert least.ours and least.ours.value == pytest.approx(0.785924, abs=1e-6), "the formula; 0.785929 is published"
    assert "evopo paper --pairs RUN" in cell(table, "training pairs between the two, percent").why


def test_our_scores_stand_beside_the_published_ones_and_are_ranked():
    order = [
        "kto_pair",
        "slic",
        "dpo",
        "lrml",
        "cell",
        "padll",
        "dbaql",
    ]  # by their published MT-Bench scores
    given = Given(measures=[scores({name: float(i) for i, name in enumerate(order)})])
    paper = paper_of(given)
    table = next(table for table in paper.tables if table.key == "fitness")
    assert cell(table, "dpo").published == Number(7.888, places=3)
    assert cell(table, "dpo", 1).ours == Number(2.0, 0.1, "8 seeds")
    assert cell(table, "aqfl", 1).why == "this loss was not trained in that directory"
    found = next(one for one in paper.correlations if one.measure != "published MT-Bench score")
    assert (found.column, found.found.n, found.found.tau) == ("MT-Bench", 7, 1.0)
    assert found.adjusted is not None and found.found.p_value is not None and found.adjusted >= found.found.p_value


def test_a_score_belongs_to_its_version():
    given = Given(
        measures=[scores({"aql_repository": 5.0, "dpo": 6.0, "slic": 5.5}, column="mt_bench", judge="a judge")]
    )
    table = next(table for table in paper_of(given).tables if table.key == "mt-bench")
    assert cell(table, "aql_found").published == Number(7.953, places=3)
    assert cell(table, "aql_found").why == "aql_repository was judged here, which is another version"
    own = cell(table, "aql_repository")
    assert own.published is None and own.ours is not None
    assert table.headings[0].ours == "runs/b, judged by a judge"
    assert "evopo evaluate --model PATH" in cell(table, published.PUBLIC_DPO).why
    assert [one.found.n for one in correlations(given.measures) if one.judge] == [], (
        "two losses have no rank correlation"
    )


def test_a_loss_that_failed_is_shown_as_failed_and_not_ranked():
    values = {name: Number(float(i), 0.1, "2 seeds") for i, name in enumerate(("dpo", "slic", "cell"))}
    values["lrml"] = Number(None, words="failed at every beta: diverged")
    given = Given(measures=[Measure("fitness", "fitness", values, "runs/b")])
    paper = paper_of(given)
    assert "failed at every beta: diverged" in paper_text(paper)
    assert {one.found.n for one in paper.correlations if one.source} == {3}


def test_the_sweep_of_lrml_stands_beside_its_published_failures():
    sweep = Sweep(
        "runs/b", "lrml", {0.05: Number(0.5, 0.02, "2 seeds"), 2.5: Number(None, words="2 of 2 failed: diverged")}
    )
    table = next(t for t in paper_of(Given(sweeps=[sweep])).tables if t.key == "imdb")
    assert cell(table, "beta 0.01").published == Number(0.152, words="failed", places=3)
    assert cell(table, "beta 0.01").why == "this beta was not trained"
    assert cell(table, "beta 2.5").ours == Number(None, words="2 of 2 failed: diverged")
    assert cell(table, "beta 0.05").ours == Number(0.5, 0.02, "2 seeds")


def test_csv_has_a_line_per_cell_and_json_everything(empty):
    lines = list(csv.reader(io.StringIO(paper_csv(empty))))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) - 1 == sum(len(cells) for table in empty.tables for _, cells in table.rows)
    data = json.loads(paper_json(empty))
    lrml = next(
        row for table in data["tables"] if table["key"] == "tldr" for row in table["rows"] if row["name"] == "lrml"
    )
    assert [one["published"]["value"] for one in lrml["cells"]] == [87.63, 81.88, 53.46, 55.10]
    assert data["correlations"][0]["found"]["n"] == 10


def test_the_page_is_well_formed_and_loads_nothing(empty):
    html = render(empty, [], pictures=False)
    page = Balanced(html)
    assert page.tags["script"] == 0 and page.tags["h1"] == 1
    assert page.tags["table"] == len(empty.tables) + 2
    assert max(page.ids.values()) == 1
    assert "default-src 'none'" in html and "http://" not in html and "https://" not in html


def test_text_of_other_people_stays_text():
    named = Measure("fitness", HOSTILE, {"dpo": Number(1.0, words=HOSTILE)}, HOSTILE, HOSTILE, "mt_bench")
    given = Given([Source(HOSTILE, "evopo run", HOSTILE)], [named])
    paper = paper_of(given)
    html = render(paper, given.measures, pictures=False)
    assert Balanced(html).tags["script"] == 0
    for text in (html, paper_text(paper)):
        assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text


def test_pictures_of_scores_and_of_the_papers_figures():
    pytest.importorskip("matplotlib")
    given = Given(measures=[scores({"dpo": 1.0, "slic": 2.0, "lrml": 3.0})])
    html = render(paper_of(given), given.measures)
    assert html.count("<svg") == 3
    Balanced(html)


def test_marks_of_reasons():
    assert [mark(n) for n in (0, 1, 25, 26, 27, 52)] == ["a", "b", "z", "aa", "ab", "ba"]
