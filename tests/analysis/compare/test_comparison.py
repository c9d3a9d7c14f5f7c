"""The whole comparison: which values count, what is said about the runs, and its four forms."""

import csv
import json
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from hostile_texts import HOSTILE_NAMES
from make_archive import exponential, logistic
from recorded_runs import Found, config, read, record

from analysis.compare.comparison import compare
from analysis.compare.curves import Against
from analysis.compare.differences import Measure
from analysis.compare.files import comparison_csv, comparison_json
from analysis.compare.page import render, write_page
from analysis.compare.text import comparison_text
from analysis.output.errors import ExportRefused, MissingExtra, NotComparable
from evo.display.comparison import grid

GAINS = {"population": (0.3, 0.34, 0.28, 0.33), "chat": (0.1, 0.15, 0.11, 0.12)}


def losses(gain, fresh=()):
    """A clear leader and two further losses, so that the noise of a seed is known."""
    return [
        Found("best", (gain, gain + 0.001), fresh, exponential()),
        Found("other", (0.0, 0.001), fresh and tuple(-1.0 for _ in fresh), logistic(2.0)),
    ]


def runs(tmp_path, *, gains=GAINS, fresh=None, **settings):
    return [
        read(
            record(
                tmp_path / f"{mode}-{seed}",
                losses(gain, (fresh(gain),) * 2 if fresh else ()),
                config(seed, search__mode=mode, **settings),
            )
        )
        for mode, own in gains.items()
        for seed, gain in enumerate(own)
    ]


def ends(comparison):
    return [[round(v, 3) for v in s.values(Measure.END)] for s in comparison.strategies]


@pytest.fixture(scope="module")
def clear(tmp_path_factory):
    """A comparison of four runs each, of which one strategy is clearly better."""
    return compare(runs(tmp_path_factory.mktemp("clear")), grid())


def test_a_clear_difference_is_found_and_named(clear):
    found = clear
    assert [s.label for s in found.strategies] == ["population", "chat"]
    end = found.differences[0]
    assert (end.measure, end.matched, end.distinguishable) == (Measure.END, True, True)
    assert end.difference == pytest.approx(0.19, abs=0.03)
    assert "population is better" in comparison_text(found)


def test_the_end_value_is_measured_on_fresh_seeds_where_all_runs_have_a_final(tmp_path):
    gains = {"population": (0.3,), "chat": (0.1,)}
    found = compare(runs(tmp_path, gains=gains, fresh=lambda gain: gain / 2), grid())
    assert found.fresh == "held_out"
    assert ends(found) == [[0.15], [0.05]]


def test_the_finalist_is_chosen_by_search_seeds_and_not_by_fresh_ones(tmp_path):
    """On fresh seeds the search's leader is the worst; this is its value all the same."""
    found = compare(runs(tmp_path, gains={"population": (0.3, 0.2)}, fresh=lambda gain: -2.0), grid())
    assert ends(found) == [[-2.0, -2.0]]


def test_without_a_final_in_every_run_the_curves_decide(tmp_path):
    given = runs(tmp_path, gains={"population": (0.3,)}, fresh=lambda gain: gain / 2)
    alone = read(record(tmp_path / "no-final", losses(0.3), config(9)))
    found = compare([*given, alone], grid())
    assert found.fresh == ""
    assert ends(found)[0][0] > 0.25


def test_runs_with_other_budgets_are_compared_up_to_the_common_cost(tmp_path):
    small = [read(record(tmp_path / f"s{s}", losses(0.1, (0.1,)), config(s))) for s in (0, 1)]
    large = [
        read(
            record(
                tmp_path / f"l{s}",
                [*losses(0.1, (0.1,)), Found("late", (0.5, 0.5), graph=logistic(3.0))],
                config(s, search__mode="chat", budget={"proposals": 30}),
            )
        )
        for s in (0, 1)
    ]
    found = compare([*small, *large], grid())
    assert found.upto == 8
    assert found.fresh == "", "the finals come after different costs"
    assert max(ends(found)[1]) < 0.2, "the late loss is beyond the common cost"
    said = "\n".join(found.notes)
    assert "The budgets differ (budget.proposals: 30 and 8)" in said
    assert "compared up to 8 trainings" in said and "the most is 10" in said


def test_one_run_per_strategy_gives_curves_and_no_test(tmp_path):
    found = compare(runs(tmp_path, gains={"population": (0.3,), "chat": (0.1,)}), grid())
    assert [d.p_value for d in found.differences] == [None, None]
    text = comparison_text(found)
    assert "One run only of population, chat: no test is possible" in text
    assert "no test, for lack of runs" in text
    assert "<svg" in render(found)


def test_one_strategy_is_shown_without_tests(tmp_path):
    found = compare(runs(tmp_path, gains={"population": (0.3, 0.2)}), grid())
    assert found.differences == ()
    assert "All runs are one strategy" in comparison_text(found)


def test_strategies_that_cannot_be_told_apart_are_said_to_be_so_with_what_would_have_been_found(tmp_path):
    near = {"population": (0.3, 0.1, 0.2), "chat": (0.2, 0.28, 0.13)}
    found = compare(runs(tmp_path, gains=near), grid())
    assert not any(d.distinguishable for d in found.differences)
    assert comparison_text(found).count("would have been found with probability 0.8") == 2


def test_a_run_without_any_scored_loss_is_refused(tmp_path):
    barren = read(record(tmp_path / "barren", [Found(refused=True)], config(5, search__mode="chat")))
    given = runs(tmp_path, gains={"population": (0.3,)})
    with pytest.raises(NotComparable, match="barren has no scored loss besides its baseline"):
        compare([*given, barren], grid())


def test_a_strategy_that_found_nothing_counts_with_its_best_known_loss(tmp_path):
    """Leaving its runs out would compare the lucky runs only."""
    given = runs(tmp_path, gains={"population": (0.3, 0.2)})
    refused = [Found(refused=True)]
    barren = read(record(tmp_path / "barren", refused, config(5, search__mode="chat"), known=(0.05, 0.051)))
    found = compare([*given, barren], grid())
    assert found.strategies[1].outcomes[0].leader.name == "kto_pair"
    assert 0 < found.strategies[1].outcomes[0].end < 0.2
    assert "No proposal of barren was scored: its value is that of the best known loss." in found.notes


def test_an_unfinished_run_and_changed_settings_are_named(tmp_path):
    from archive.store import Archive

    given = runs(tmp_path, gains={"chat": (0.2, 0.1)})
    place = record(tmp_path / "running", losses(0.3), config(0, search__mode="chat"), finished=False)
    with Archive.open(place / "archive.db") as archive:
        archive.event("session_started", {"config": config(0)})
    found = compare([*given, read(place)], grid())
    said = "\n".join(found.notes)
    assert "Not finished: running." in said
    assert "running changed search.mode between sessions" in said


def test_a_cost_that_nobody_had_cannot_be_an_axis(tmp_path):
    with pytest.raises(NotComparable, match="used no usd"):
        compare(runs(tmp_path, gains={"population": (0.3, 0.2)}), grid(), Against.USD)


# ---- forms ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A comparison in which every name is hostile."""
    place = tmp_path_factory.mktemp("hostile")
    found = []
    for n, name in enumerate(HOSTILE_NAMES):
        own = [
            Found(name, (0.1 + n / 100, 0.1), graph=logistic(1.5 + n / 10)),
            Found("x", (0.0, 0.0), graph=exponential()),
        ]
        settings = config(n, llm__model=HOSTILE_NAMES[n % 2], llm__base_url="http://127.0.0.1:1")
        found.append(read(record(place / str(n), own, settings)))
    return compare(found, grid())


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append(tag)
        assert not any(name.startswith("on") or name in ("src", "srcset") for name, _ in attrs)
        assert all((value or "").startswith("#") for name, value in attrs if name in ("href", "xlink:href"))


def test_hostile_names_do_not_leave_their_place_in_the_page(hostile):
    tags = Tags(render(hostile)).found
    assert not set(tags) & {"script", "iframe", "img", "link", "base", "form", "object", "foreignobject"}
    assert "svg" in tags and "table" in tags


def test_hostile_names_do_not_control_the_terminal(hostile):
    text = comparison_text(hostile)
    assert not [c for c in text if ord(c) < 32 and c != "\n"] and "\u202e" not in text and "\x7f" not in text
    rows = list(csv.DictReader(comparison_csv(hostile).splitlines()))
    assert not [row for row in rows for cell in row.values() if cell.lstrip()[:1] in ("=", "@")]


def test_the_json_has_every_curve_and_test(clear):
    found = clear
    data = json.loads(comparison_json(found))
    first = data["strategies"][0]
    assert first["keys"] == {"search.mode": "population"}
    assert [run["end"] for run in first["runs"]] == list(found.strategies[0].values(Measure.END))
    assert first["runs"][0]["curve"][-1][1] == pytest.approx(first["runs"][0]["end"])
    assert [d["distinguishable"] for d in data["differences"]] == [d.distinguishable for d in found.differences]


def test_the_csv_has_a_line_per_run(clear):
    rows = list(csv.DictReader(comparison_csv(clear).splitlines()))
    assert [(row["strategy"], row["seed"]) for row in rows] == [(m, str(s)) for m in GAINS for s in range(4)]
    assert {row["trainings"] for row in rows} == {"8.0"}


def test_the_page_is_written_whole_and_never_over_an_archive(tmp_path, clear):
    found = clear
    archive = record(tmp_path / "run", losses(0.1)) / "archive.db"
    write_page(found, tmp_path / "compare.html", pictures=False)
    page = (tmp_path / "compare.html").read_text("utf-8")
    assert page.rstrip().endswith("</html>") and "population is better" in page and "<svg" not in page
    with pytest.raises(ExportRefused, match="an archive is never overwritten"):
        write_page(found, archive, pictures=False)


def test_a_picture_without_matplotlib_is_an_error_that_says_how_to_get_it(tmp_path, clear, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'evopo\[plots\]'"):
        write_page(clear, tmp_path / "compare.html")
    assert not (tmp_path / "compare.html").exists()


def test_neither_torch_nor_matplotlib_is_loaded_for_a_comparison_without_a_picture(tmp_path):
    places = [str(record(tmp_path / str(s), losses(0.1 * s), config(s))) for s in (1, 2)]
    code = (
        "import sys; from evo.cli.commands import main\n"
        f"try: main(['compare', *{places!r}, '--out', {str(tmp_path / 'page.html')!r}, '--no-pictures'])\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        "assert not {'torch', 'trl', 'transformers', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
