"""Every export is read back by the programs it is made for, with hostile names."""

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import networkx as nx
import pytest
from hostile_texts import HOSTILE_NAMES
from lineage_graph import lineage
from make_archive import make_archive

from analysis.lineage import export
from analysis.lineage.columns import columns
from analysis.lineage.export import Format
from analysis.output import encode
from analysis.output.errors import ExportRefused, MissingExtra
from archive.query import Reader
from archive.records import RunRow
from archive.store import Archive


@pytest.fixture
def expected(reader):
    return lineage(reader)


def edges(graph):
    return {(int(a), int(b)) for a, b in graph.edges}


def names(snapshot):
    return {id: row.name for id, row in snapshot.candidates.items()}


def test_the_archive_under_test_is_hostile(snapshot):
    assert (
        sum(
            any(part in row.name for part in ("\x00", "\u202e", "</script>", "=cmd", '"'))
            for row in snapshot.candidates.values()
        )
        >= 4
    )


@pytest.mark.parametrize(("format", "read"), [("graphml", nx.read_graphml), ("gexf", nx.read_gexf)])
def test_xml_is_read_back_with_all_nodes_edges_and_visible_names(format, read, reader, snapshot, expected, tmp_path):
    (out,) = export.export(reader, format, tmp_path / f"run.{format}")
    graph = read(out)
    assert edges(graph) == edges(expected)
    assert {int(n): d["name"] for n, d in graph.nodes(data=True)} == {
        id: encode.xml_text(name).replace("\r\n", "\n") for id, name in names(snapshot).items()
    }
    for node, data in graph.nodes(data=True):
        original = expected.nodes[int(node)]
        assert data.get("fitness") == original.get("fitness")
        assert data["status"] == original["status"]
        assert data["generation"] == original["generation"]
    assert {(int(a), int(b)): d["role"] for a, b, d in graph.edges(data=True)} == {
        (a, b): d["role"] for a, b, d in expected.edges(data=True)
    }


def test_gexf_labels_are_names_for_gephi(reader, tmp_path):
    (out,) = export.export(reader, "gexf", tmp_path / "run.gexf")
    labels = [node.get("label") for node in ElementTree.parse(out).iter() if node.tag.endswith("}node")]
    assert labels[:2] == ["dpo", "slic"]


def test_node_link_json_keeps_names_exactly_and_cannot_end_a_script(reader, snapshot, expected, tmp_path):
    (out,) = export.export(reader, "json", tmp_path / "run.json")
    text = out.read_text("ascii")
    assert "<" not in text
    graph = nx.node_link_graph(json.loads(text), edges="edges")
    assert edges(graph) == edges(expected)
    assert nx.get_node_attributes(graph, "name") == names(snapshot)


def test_cytoscape_json_is_read_back(reader, snapshot, expected, tmp_path):
    (out,) = export.export(reader, "cytoscape", tmp_path / "run.cyjs")
    graph = nx.cytoscape_graph(json.loads(out.read_text("ascii")))
    assert edges(graph) == edges(expected)
    assert {int(n): d["name"] for n, d in graph.nodes(data=True)} == names(snapshot)


_DOT_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')


def test_dot_has_one_statement_per_node_and_edge_once_strings_are_taken_out(reader, expected, tmp_path):
    (out,) = export.export(reader, "dot", tmp_path / "run.dot")
    bare = _DOT_STRING.sub("S", out.read_text("utf-8")).splitlines()
    statement = re.compile(r"  \d+( -> \d+)? \[S=S(, S=S)*\];")
    assert [line for line in bare[2:-1] if not statement.fullmatch(line)] == []
    assert len(bare) - 3 == len(expected) + len(expected.edges)


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_graphviz_reads_the_dot(reader, expected, tmp_path):
    (out,) = export.export(reader, "dot", tmp_path / "run.dot")
    counted = subprocess.run(["gc", "-n", "-e", str(out)], capture_output=True, text=True, check=True).stdout.split()
    assert [int(counted[0]), int(counted[1])] == [len(expected), len(expected.edges)]


def test_csv_is_read_back_and_no_cell_is_a_formula(reader, snapshot, expected, tmp_path):
    nodes, links = export.export(reader, "csv", tmp_path / "run.csv")
    rows = list(csv.DictReader(nodes.open(newline="", encoding="utf-8")))
    assert [int(row["id"]) for row in rows] == sorted(expected)
    for row in rows:
        assert not row["name"].lstrip().startswith(("=", "+", "-", "@"))
        fitness = expected.nodes[int(row["id"])].get("fitness")
        assert row["fitness"] == ("" if fitness is None else repr(fitness))
    assert "'" + HOSTILE_NAMES[0] in {row["name"] for row in rows}
    assert {(int(r["source"]), int(r["target"])) for r in csv.DictReader(links.open(encoding="utf-8"))} == edges(
        expected
    )


def test_parquet_is_read_back(reader, expected, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    nodes, links = export.export(reader, "parquet", tmp_path / "run.parquet")
    table = parquet.read_table(nodes).to_pylist()
    assert [row["id"] for row in table] == sorted(expected)
    assert [row["fitness"] for row in table] == [expected.nodes[n].get("fitness") for n in sorted(expected)]
    assert {(row["source"], row["target"]) for row in parquet.read_table(links).to_pylist()} == edges(expected)


def test_without_pyarrow_the_message_has_the_install_command(reader, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"run: pip install 'evopo\[tables\]'"):
        export.export(reader, "parquet", tmp_path / "run.parquet")


def test_an_unknown_format_is_refused_before_anything_is_written(reader, tmp_path):
    with pytest.raises(ValueError, match="exe"):
        export.export(reader, "exe", tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", list(Format))
def test_an_export_repeated_is_the_same_and_leaves_no_draft(format, reader, tmp_path):
    if format is Format.PARQUET:
        pytest.importorskip("pyarrow")
    first = [p.read_bytes() for p in export.export(reader, format, tmp_path / "out.x")]
    again = export.export(reader, format, tmp_path / "out.x")
    assert [p.read_bytes() for p in again] == first
    assert sorted(tmp_path.iterdir()) == sorted(again)


@pytest.mark.parametrize("victim", ["archive.db", "archive.db-wal", "archive.db-shm", "archive.db.lock"])
def test_an_export_never_overwrites_an_archive(victim, tmp_path):
    path = make_archive(tmp_path, 6)
    before = path.read_bytes()
    with Reader.open(path) as reader, pytest.raises(ExportRefused, match="an archive is never overwritten"):
        export.export(reader, "json", tmp_path / victim)
    assert path.read_bytes() == before


def test_an_export_never_overwrites_an_archive_through_a_link(tmp_path):
    path = make_archive(tmp_path, 6)
    (tmp_path / "link.json").symlink_to(path)
    with Reader.open(path) as reader, pytest.raises(ExportRefused):
        export.export(reader, "json", tmp_path / "link.json")


def test_the_edges_file_of_a_table_never_overwrites_an_archive(tmp_path):
    path = make_archive(tmp_path, 6)
    path.rename(tmp_path / "run.edges.csv")
    with Reader.open(tmp_path / "run.edges.csv") as reader, pytest.raises(ExportRefused):
        export.export(reader, "csv", tmp_path / "run.csv")
    assert not (tmp_path / "run.csv").exists()


def test_a_directory_is_refused_as_target(reader, tmp_path):
    with pytest.raises(ExportRefused, match="is a directory"):
        export.export(reader, "json", tmp_path)


def test_numbers_are_finite_or_absent_and_columns_have_one_type():
    rows = [
        {"id": 1, "name": "a\ud800", "score": 1, "wide": 10**30, "mixed": True, "never": None},
        {"id": 2, "name": "b", "score": math.nan, "mixed": "text"},
        {"id": 3, "name": "c", "score": 2.5, "wide": 2},
    ]
    with columns(rows) as table:
        for _ in range(2):
            assert list(table) == [
                {"id": 1, "name": "a\ud800", "score": 1.0, "wide": "1" + "0" * 30, "mixed": "True"},
                {"id": 2, "name": "b", "mixed": "text"},
                {"id": 3, "name": "c", "score": 2.5, "wide": "2"},
            ]
        assert list(table.kinds) == ["id", "name", "score", "wide", "mixed"]


@pytest.mark.parametrize("format", list(Format))
def test_a_run_without_candidates_or_edges_is_exported(format, tmp_path):
    if format is Format.PARQUET:
        pytest.importorskip("pyarrow")
    with Archive.create(tmp_path / "archive.db", RunRow("x", 0, "task", "preference")) as archive:
        with Reader.open(tmp_path / "archive.db") as reader:
            export.export(reader, format, tmp_path / "none.x")
        archive.add_candidate("seed", "a", "", "", "preference")
    with Reader.open(tmp_path / "archive.db") as reader:
        assert export.export(reader, format, tmp_path / "one.x")[0].stat().st_size > 0
    if format is Format.JSON:
        none = {"directed": True, "multigraph": False, "graph": {"name": "x"}, "nodes": [], "edges": []}
        assert (tmp_path / "none.x").read_text() == encode.json_text(none) + "\n"
