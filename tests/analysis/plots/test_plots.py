"""Pictures: content, CSS colours, and names as text only."""

import re
import sys
from xml.etree import ElementTree

import pytest
from hostile_texts import HOSTILE_NAMES
from make_archive import hinge, logistic, make_archive
from tiny_archive import tiny

from analysis.claims.comparison import decide
from analysis.output.errors import MissingExtra, NothingToDraw
from analysis.plots import canvas
from analysis.plots import curves as plots
from analysis.plots import lineage as lineage_plot
from analysis.plots.landscape.curve import curve
from analysis.plots.parts import common_rung, levels
from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive

pytest.importorskip("matplotlib")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def figures(snapshot):
    decision = decide(snapshot)
    shapes = [(snapshot.candidates[1], curve(logistic())), (snapshot.candidates[2], curve(hinge()))]
    return {
        "lineage": lineage_plot.draw_lineage(snapshot, decision.best.arm.candidate),
        "progress": plots.draw_progress(snapshot),
        "comparison": plots.draw_comparison(snapshot, decision),
        "shapes": plots.draw_shapes(shapes, shapes[0][1]),
    }


@pytest.fixture(scope="module")
def svgs(figures):
    return {name: canvas.svg(figure, name, f"the {name}") for name, figure in figures.items()}


NAMES = ["lineage", "progress", "comparison", "shapes"]


@pytest.mark.parametrize("name", NAMES)
def test_each_picture_is_xml_with_a_description_and_without_external_links(name, svgs):
    root = ElementTree.fromstring(svgs[name])
    assert (root.tag, root.get("role"), root.get("aria-label")) == (f"{SVG}svg", "img", f"the {name}")
    tags = {element.tag.removeprefix(SVG) for element in root.iter()}
    assert not tags & {"script", "style", "metadata", "image", "foreignObject"}
    for element in root.iter():
        for key, value in element.attrib.items():
            assert not key.lower().startswith("on")
            if key.endswith("href"):
                assert value == "" or value.startswith("#")


@pytest.mark.parametrize("name", NAMES)
def test_its_colours_are_css_variables_with_a_fallback(name, svgs):
    used = set(re.findall(r"var\(--(\w+), #[0-9a-f]{6}\)", svgs[name]))
    assert {"ink", "muted"} <= used <= set(canvas.VARIABLES.values())


def test_ids_of_different_pictures_are_different(svgs):
    ids = [
        element.get("id")
        for text in svgs.values()
        for element in ElementTree.fromstring(text).iter()
        if element.get("id")
    ]
    apart = [set(re.findall(r'\bid="([^"]+)"', text)) for text in svgs.values()]
    assert sum(map(len, apart)) == len(set().union(*apart)) == len(set(ids))


def test_references_within_a_picture_have_a_target(svgs):
    for text in svgs.values():
        ids = set(re.findall(r'\bid="([^"]+)"', text))
        assert set(re.findall(r"url\(#([^)]+)\)", text)) <= ids


def test_equal_figures_give_equal_text(snapshot, svgs):
    again = lineage_plot.draw_lineage(snapshot, decide(snapshot).best.arm.candidate)
    assert canvas.svg(again, "lineage", "the lineage") == svgs["lineage"]


def test_png_is_png(figures):
    assert canvas.png(figures["comparison"], 50).startswith(b"\x89PNG")


def test_candidates_in_the_lineage_link_to_their_rows_with_a_title(figures, snapshot):
    titles = {f"#c{id}": f"<b>{id}</b>" for id in snapshot.candidates}
    root = ElementTree.fromstring(canvas.svg(figures["lineage"], "x", "y", titles))
    linked = {link.get("href"): link.findtext(f"{SVG}title") for link in root.iter(f"{SVG}a")}
    scored = levels(snapshot, common_rung(snapshot))
    assert {f"#c{id}" for id in scored} <= set(linked)
    assert linked["#c7"] == "<b>7</b>"


def test_every_scored_candidate_of_the_rung_has_a_level_and_shared_seeds_set_it(snapshot):
    baseline = snapshot.arms(1, "full").values()
    (theirs,) = baseline
    found = levels(snapshot, "full")
    for id, level in found.items():
        (own,) = snapshot.arms(id, "full").values()
        shared = own.keys() & theirs.keys()
        expected = sum(theirs.values()) / len(theirs) + sum(own[s] - theirs[s] for s in shared) / len(shared)
        assert level.value == pytest.approx(expected)
    assert set(found) == {id for id in snapshot.candidates if snapshot.arms(id, "full")}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A run whose proposals have all hostile names, and whose rung has a hostile name too."""
    path = tmp_path_factory.mktemp("hostile") / "archive.db"
    rung = "".join(HOSTILE_NAMES).encode("utf-8", "backslashreplace").decode("utf-8")
    with Archive.create(path, RunRow("x", 0, "task", "preference", baseline="dpo")) as archive:
        for step, name in enumerate(["dpo", *HOSTILE_NAMES]):
            proposal = archive.request_proposal(step, 1, "refine", "b", None, None, "t", {}, 0) if step else None
            if proposal:
                archive.receive_proposal(proposal, "r")
            parents = [(1, "refined")] if proposal else []
            id = archive.add_candidate(
                "proposal" if proposal else "seed", name, "", "", "preference", proposal, parents
            )
            for seed in range(2):
                archive.score_evaluation(archive.queue_evaluation(id, "task", rung, seed), 0.5 + 0.1 * seed + id)
    with Reader.open(path) as reader:
        return Snapshot.of(reader)


@pytest.mark.parametrize(
    "draw",
    [
        lambda snapshot: lineage_plot.draw_lineage(snapshot, 9),
        plots.draw_progress,
        lambda snapshot: plots.draw_comparison(snapshot, decide(snapshot)),
        lambda snapshot: plots.draw_shapes([(row, curve(hinge())) for row in snapshot.candidates.values()]),
    ],
)
def test_hostile_names_are_drawn_as_text(draw, hostile):
    root = ElementTree.fromstring(canvas.svg(draw(hostile), "p", "p"))
    assert not {element.tag.removeprefix(SVG) for element in root.iter()} & {"script", "img", "b"}
    assert all(text.isprintable() for element in root.iter(f"{SVG}text") for text in element.itertext() if text.strip())


def test_more_than_a_hundred_candidates_are_drawn_too(tmp_path):
    with Reader.open(make_archive(tmp_path, 110)) as reader:
        snapshot = Snapshot.of(reader)
    text = canvas.svg(lineage_plot.draw_lineage(snapshot, None), "many", "many")
    assert len(text) < 400_000


def test_an_empty_run_has_nothing_to_draw(tmp_path):
    Archive.create(tmp_path / "archive.db", RunRow("x", 0, "task", "preference")).close()
    with Reader.open(tmp_path / "archive.db") as reader:
        snapshot = Snapshot.of(reader)
    for draw in (lineage_plot.draw_lineage, plots.draw_progress):
        with pytest.raises(NothingToDraw):
            draw(snapshot)
    with pytest.raises(NothingToDraw):
        plots.draw_shapes([])


def test_without_matplotlib_the_message_has_the_install_command(snapshot, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'evopo\[plots\]'"):
        plots.draw_progress(snapshot)


def test_losses_with_the_same_name_have_their_ids_in_pictures(tmp_path):
    scores = {"dpo": {"full": {0: 0.5, 1: 0.6}}, "twin": {"full": {0: 0.7, 1: 0.8}}, "Twin": {"full": {0: 0.6, 1: 0.7}}}
    with Reader.open(tiny(tmp_path, scores)) as reader:
        snapshot = Snapshot.of(reader)
    compared = plots.draw_comparison(snapshot, decide(snapshot))
    labels = [text.get_text() for text in compared.axes[0].get_yticklabels()]
    assert sorted(labels) == ["DPO", "Twin #3", "twin #2"]
    shapes = plots.draw_shapes([(row, curve(logistic())) for row in snapshot.candidates.values()])
    assert [title for axes in shapes.axes if (title := axes.get_title(loc="left"))] == ["DPO", "twin #2", "Twin #3"]
