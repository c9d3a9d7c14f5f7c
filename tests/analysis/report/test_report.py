"""The report: one file without scripts or external addresses, and its content."""

import json
import re
import sqlite3
import sys
from html.parser import HTMLParser

import pytest
from hostile_texts import HOSTILE_NAMES
from make_archive import finding, logistic, make_archive, verdict
from tiny_archive import tiny

from analysis.claims.comparison import decide
from analysis.claims.headline import headline_of
from analysis.claims.table import note_on_fitness
from analysis.output import encode
from analysis.output.errors import ExportRefused, MissingExtra
from analysis.report import page as report
from analysis.snapshot import Snapshot
from analysis.wording import full_name
from archive.errors import ArchiveNotFound
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive


class Page(HTMLParser):
    """Elements, attributes and text of a page."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def values(self, name):
        return [value for _, key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def html(run_dir):
    return report.write_report(run_dir).read_text("utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_page_has_no_scripts_and_loads_nothing(page, html):
    assert not set(page.tags) & {"script", "iframe", "object", "embed", "img", "link", "base", "form", "foreignobject"}
    assert [name for _, name, _ in page.attributes if name.startswith("on")] == []
    assert [v for v in (*page.values("href"), *page.values("xlink:href")) if v and not v.startswith("#")] == []
    assert page.values("src") == []
    assert "url(http" not in html
    assert "@import" not in html


def test_a_content_security_policy_forbids_scripts(page):
    (policy,) = [v for v in page.values("content") if v and "default-src" in v]
    assert policy.startswith("default-src 'none'")
    assert "script" not in policy
    before = page.tags.index("style")
    assert page.tags[:before].count("meta") >= 2


def test_hostile_names_are_shown_as_text_with_invisible_characters_as_escapes(page, snapshot):
    for row in snapshot.candidates.values():
        assert encode.one_line(row.name, 48) in page.text
    assert "\x00" not in page.text
    assert "\u202e" not in page.text


def test_all_links_within_the_page_have_a_target(page):
    targets = set(page.values("id"))
    assert {v[1:] for v in page.values("href") if v} <= targets
    assert len(page.values("id")) == len(targets)


def test_every_candidate_has_a_row(page, snapshot):
    assert {f"c{id}" for id in snapshot.candidates} <= set(page.values("id"))


def test_it_starts_with_the_headline_and_the_minimum_detectable_difference(page, snapshot):
    found = headline_of(snapshot)
    assert found.text in page.text
    assert "the minimum detectable difference to the baseline is" in page.text


def test_all_four_pictures_are_in_it(html):
    assert html.count("<svg") == 4


def test_the_leaderboard_names_the_beta_of_an_arm_that_is_not_the_task_s_own(tmp_path):
    scores = {"dpo": {"full": {0: 0.7, 1: 0.8}, ("full", 0.05): {0: 0.8, 1: 0.8}}, "mine": {"full": {0: 0.75, 1: 0.9}}}
    with Reader.open(tiny(tmp_path, scores)) as reader:
        shown = Page(report.render(Snapshot.of(reader), tmp_path, pictures=False)).text
    board = shown[shown.rindex("Leaderboard") :]
    assert "minus the best arm of DPO" in board
    assert re.search(r"0\.8 ± 0\s*\(2\)\s*at beta 0\.05", board), board[:1500]


def test_the_baseline_and_all_seed_losses_are_in_the_comparison(page):
    table = page.text[page.text.index("The finalists and the known losses") : page.text.rindex("Leaderboard")]
    for name in ("DPO", "slic", "ipo", "kto_pair"):
        assert name in table


def test_the_parts_of_fitness_are_in_the_table_and_in_the_note(page, snapshot):
    table = page.text[page.text.index("The finalists and the known losses") : page.text.rindex("Leaderboard")]
    assert "KL (nats)" in table
    note = note_on_fitness(snapshot, decide(snapshot))
    assert note.startswith("Fitness is reward - 0.02 * KL. ") and "DPO: " in note and "KL (nats) " in note
    assert note in page.text


def test_a_finalist_that_is_a_published_loss_is_called_so_everywhere(page, snapshot):
    (known,) = [id for id, relation in snapshot.final.relations.items() if relation.published]
    assert page.text.count("(the published dpo at 1.7 × beta)") >= 3
    assert full_name(snapshot, known).endswith("(the published dpo at 1.7 × beta)")


def test_only_a_discovery_is_shown_as_one(tmp_path):
    assert '<div class="headline above">' not in report.render(
        _snapshot(make_archive(tmp_path / "a", 12)), tmp_path, pictures=False
    )
    lifted = _snapshot(make_archive(tmp_path / "b", 12, lift=0.3))
    assert decide(lifted).best.discovery
    assert '<div class="headline above">' in report.render(lifted, tmp_path, pictures=False)


def _snapshot(path):
    with Reader.open(path) as reader:
        return Snapshot.of(reader)


def test_code_is_printed_from_the_graphs_and_not_from_the_replies(page, snapshot):
    sources = [row.source for row in snapshot.candidates.values() if row.proposal_id]
    code = page.text[page.text.index("Code of the leaders") : page.text.rindex("The run run")]
    assert "def " in code
    assert not any(" ".join(source.split()) in code for source in sources)


def test_calls_that_may_have_been_paid_for_are_reported(page, snapshot):
    assert snapshot.spending.possibly_paid > 1
    assert (
        f"{snapshot.spending.possibly_paid} calls to the proposer never received a reply and may have been paid for"
        in page.text
    )


def test_versions_come_from_the_manifest_where_there_is_one(tmp_path):
    make_archive(tmp_path, 8)
    (tmp_path / "manifest.json").write_text(
        json.dumps({"python": "3.11.9<b>", "packages": {"torch": "2.13", "openai": None}})
    )
    text = Page(report.write_report(tmp_path, pictures=False).read_text("utf-8")).text
    assert "3.11.9<b>" in text
    assert "torch 2.13" in text


@pytest.mark.parametrize("manifest", ["", "[]", "{", '{"packages": 3}', "[" * 10_000])
def test_a_broken_manifest_is_left_out(manifest, tmp_path):
    make_archive(tmp_path, 6)
    (tmp_path / "manifest.json").write_text(manifest)
    assert "packages" not in Page(report.write_report(tmp_path, pictures=False).read_text("utf-8")).text


def test_a_run_that_has_just_started_has_a_report(tmp_path):
    Archive.create(tmp_path / "archive.db", RunRow("new", 0, "task", "preference")).close()
    text = Page(report.write_report(tmp_path).read_text("utf-8")).text
    assert "Nothing to compare yet" in text
    assert "This run is not finished" in text


def test_the_report_of_an_unfinished_run_says_so(tmp_path):
    make_archive(tmp_path, 12, final=False)
    assert "This run is not finished" in Page(report.write_report(tmp_path, pictures=False).read_text("utf-8")).text


def test_refusals_are_counted_once_per_candidate_and_rule(tmp_path):
    with Archive.create(tmp_path / "archive.db", RunRow("x", 0, "task", "preference")) as archive:
        twice = [finding("SBX304", "first"), finding("SBX304", "second"), finding("SBX900", "a note", severity="note")]
        for findings in (
            twice,
            [finding("SBX304", HOSTILE_NAMES[1])],
            [finding("SBX101", "other", remedy="write less")],
        ):
            id = archive.add_candidate("seed", "x", "", "", "preference")
            archive.record_verdict(id, verdict(findings=findings))
        accepted = archive.add_candidate("seed", "y", "", "", "preference")
        archive.record_verdict(accepted, verdict(logistic(), [finding("SBX304", "only a note", severity="note")]))
    text = Page(report.write_report(tmp_path, pictures=False).read_text("utf-8")).text
    assert re.search(r"SBX304 2 </script><script>alert\(1\)</script> \(2\)", text)
    assert re.search(r"SBX101 1 other \(3\) write less", text)
    assert "SBX900" not in text


def test_without_matplotlib_it_is_an_error_unless_pictures_are_left_out(tmp_path, monkeypatch):
    make_archive(tmp_path, 8)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'evopo\[plots\]'"):
        report.write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()
    assert "<svg" not in report.write_report(tmp_path, pictures=False).read_text("utf-8")


def test_a_contract_that_is_not_installed_leaves_out_the_shapes_alone(tmp_path):
    with sqlite3.connect(make_archive(tmp_path, 12)) as connection:
        connection.execute("UPDATE run SET contract = 'of_another_package'")
    html = report.write_report(tmp_path).read_text("utf-8")
    assert html.count("<svg") == 3 and "The finalists and the known losses" in html


def test_without_torch_only_the_shapes_are_missing(tmp_path, monkeypatch):
    make_archive(tmp_path, 12)
    monkeypatch.setitem(sys.modules, "torch", None)
    html = report.write_report(tmp_path).read_text("utf-8")
    assert html.count("<svg") == 3
    assert "pip install 'evopo[train]'" in html


def test_it_is_never_written_over_an_archive(tmp_path):
    path = make_archive(tmp_path, 6)
    before = path.read_bytes()
    with pytest.raises(ExportRefused):
        report.write_report(tmp_path, path, pictures=False)
    assert path.read_bytes() == before


def test_a_directory_without_a_run_is_named(tmp_path):
    with pytest.raises(ArchiveNotFound, match=r"archive\.db"):
        report.write_report(tmp_path)


def test_a_tampered_graph_is_left_out_of_the_code(tmp_path):
    path = make_archive(tmp_path, 16)
    import sqlite3

    with sqlite3.connect(path) as db:
        db.execute("UPDATE verdict SET graph = '{\"schema\": 1}'")
    db.close()
    with Reader.open(path) as reader:
        assert reader.verdict(1).graph == '{"schema": 1}'
    text = Page(report.write_report(tmp_path, pictures=False).read_text("utf-8")).text
    assert "No proposed loss was scored yet" in text
