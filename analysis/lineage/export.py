"""Export of the lineage: GraphML, GEXF, node-link JSON, Cytoscape JSON, DOT, CSV, Parquet.

In all formats a number is finite or absent. Missing, NaN and infinite values are left out of GraphML, GEXF, JSON and DOT; they are
an empty cell in CSV and null in Parquet. The archive keeps the exact values. A column has one type. Names are exact in JSON and
Parquet; elsewhere invisible characters are written as escapes (see `encode`).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from analysis.lineage.columns import Columns, Row, columns
from analysis.lineage.graph import edges, nodes
from analysis.lineage.graphml import graphml_parts
from analysis.output import encode
from analysis.output.errors import missing_extra
from analysis.output.files import refuse, whole
from archive.query import Reader


class Format(StrEnum):
    """Export format; the value is its name on the command line."""

    GRAPHML = "graphml"
    GEXF = "gexf"
    JSON = "json"
    CYTOSCAPE = "cytoscape"
    DOT = "dot"
    CSV = "csv"
    PARQUET = "parquet"


SUFFIXES: Mapping[Format, str] = {Format.CYTOSCAPE: ".cyjs"} | {
    f: f".{f.value}" for f in Format if f is not Format.CYTOSCAPE
}
"""Default file suffix of each format."""

NODE_COLUMNS = (
    *("id", "name", "origin", "status", "operator", "model", "step", "generation", "island", "hash", "duplicate_of"),
    *("fitness", "standard_error", "seeds", "rung", "failed_seeds"),
)
EDGE_COLUMNS = ("source", "target", "role", "position")
"""Columns that a table always has. Columns that depend on the run (`fitness.RUNG`, `descriptor.NAME`) follow."""


def require(format: Format | str) -> None:
    """Raises MissingExtra if the format needs a package that is not installed."""
    if Format(format) is Format.PARQUET and find_spec("pyarrow") is None:
        raise missing_extra("the export to Parquet", "pyarrow", "tables")


def export(reader: Reader, format: Format | str, out: Path) -> list[Path]:
    """Writes the lineage of an archive and returns the paths written.

    CSV and Parquet are two files: nodes in `out`, edges next to it (`name.csv` and `name.edges.csv`). Raises ExportRefused,
    MissingExtra (Parquet without pyarrow), ArchiveError, and ValueError for an unknown format.
    """
    chosen = Format(format)
    paths = written(chosen, out)
    with reader.consistent(), _lineage(reader) as lineage:
        if chosen in _TABLES:
            for path in paths:
                refuse(path)
            _TABLES[chosen](paths[0], lineage.nodes, list(dict.fromkeys([*NODE_COLUMNS, *lineage.nodes.kinds])))
            _TABLES[chosen](paths[1], lineage.edges(), EDGE_COLUMNS)
        else:
            with whole(out) as file:
                file.writelines(part.encode("utf-8") for part in _TEXTS[chosen](lineage))
    return paths


def written(format: Format | str, out: Path) -> list[Path]:
    """The files that an export to `out` writes: two for a table (nodes, edges), else one."""
    return [out, out.with_name(f"{out.stem}.edges{out.suffix}")] if Format(format) in _TABLES else [out]


@dataclass(frozen=True)
class Lineage:
    """Nodes (with `id`) in order of ids, and edges (with `source` and `target`) in order of targets and position."""

    name: str
    nodes: Columns
    edges: Callable[..., Iterator[Row]]
    """`analysis.lineage.graph.edges` of the archive."""


@contextmanager
def _lineage(reader: Reader) -> Iterator[Lineage]:
    reader.check_references()
    with columns(nodes(reader)) as rows:
        yield Lineage(reader.run().name, rows, partial(edges, reader))


# ---- formats -------------------------------------------------------------------------------------------------------


def _graphml(lineage: Lineage) -> Iterator[str]:
    return graphml_parts(lineage.nodes.kinds, lineage.nodes, lineage.edges(by_source=True), lineage.name)


def _gexf(lineage: Lineage) -> Iterator[str]:
    """GEXF with all text encoded for XML, and with the attribute `label`, which Gephi shows. networkx keeps it in memory."""
    import networkx as nx

    graph = nx.DiGraph(name=encode.xml_text(lineage.name))
    for row in lineage.nodes:
        attributes = _xml(row, leave_out=("id",))
        graph.add_node(row["id"], label=attributes["name"], **attributes)
    for row in lineage.edges():
        graph.add_edge(row["source"], row["target"], **_xml(row, leave_out=("source", "target")))
    return (f"{line}\n" for line in nx.generate_gexf(graph))


def _xml(row: Row, leave_out: tuple[str, ...]) -> Row:
    return {
        encode.xml_text(name): encode.xml_text(value) if isinstance(value, str) else value
        for name, value in row.items()
        if name not in leave_out
    }


def _node_link(lineage: Lineage) -> Iterator[str]:
    """Node-link JSON of networkx and D3: `networkx.node_link_graph(data, edges="edges")` reads it."""
    around = {"directed": True, "multigraph": False, "graph": {"name": lineage.name}, "nodes": [], "edges": []}
    return _filled(encode.json_text(around), lineage.nodes, lineage.edges())


def _cytoscape(lineage: Lineage) -> Iterator[str]:
    """Cytoscape's JSON (.cyjs), in which ids are strings: `networkx.cytoscape_graph` reads it."""
    nodes = ({"data": {**row, "id": str(row["id"]), "value": str(row["id"])}} for row in lineage.nodes)
    edges = (
        {"data": {**row, "id": f"{row['source']}-{row['target']}", "source": str(row["source"]), "target": str(row["target"])}}
        for row in lineage.edges()
    )  # fmt: skip
    elements: dict[str, list[Row]] = {"nodes": [], "edges": []}
    around = {"data": [["name", lineage.name]], "directed": True, "multigraph": False, "elements": elements}
    return _filled(encode.json_text(around), nodes, edges)


def _filled(around: str, nodes: Iterable[Row], edges: Iterable[Row]) -> Iterator[str]:
    """JSON text whose last two lists, which are empty, get these rows."""
    before, between, after = around.rsplit("[]", 2)
    indent = before.rpartition("\n")[2].partition('"')[0]
    yield before
    yield from _list(nodes, indent)
    yield between
    yield from _list(edges, indent)
    yield after + "\n"


def _list(rows: Iterable[Row], indent: str) -> Iterator[str]:
    comma = ""
    for row in rows:
        shown = encode.json_text(row).replace("\n", f"\n{indent} ")
        yield f"{comma or '['}\n{indent} {shown}"
        comma = ","
    yield f"\n{indent}]" if comma else "[]"


def _dot(lineage: Lineage) -> Iterator[str]:
    yield f"digraph {encode.dot_text(lineage.name)} {{\n  rankdir=LR; node [shape=box, style=rounded];\n"
    for row in lineage.nodes:
        shown = {"label": encode.one_line(row["name"], 40), **row}
        yield f"  {row['id']} [{_dot_attributes(shown, leave_out=('id',))}];\n"
    for row in lineage.edges():
        yield f"  {row['source']} -> {row['target']} [{_dot_attributes(row, leave_out=('source', 'target'))}];\n"
    yield "}\n"


def _dot_attributes(row: Row, leave_out: tuple[str, ...]) -> str:
    return ", ".join(
        f"{encode.dot_text(name)}={encode.dot_text(str(value))}" for name, value in row.items() if name not in leave_out
    )


def _write_csv(path: Path, rows: Iterable[Row], names: Sequence[str]) -> None:
    with whole(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([encode.csv_text(name) for name in names])
        for row in rows:
            cells = [row.get(name, "") for name in names]
            writer.writerow([encode.csv_text(cell) if isinstance(cell, str) else cell for cell in cells])
        text.detach()  # otherwise the file would be closed with it


def _write_parquet(path: Path, rows: Iterable[Row], names: Sequence[str]) -> None:
    """Parquet, whose columns are in memory."""
    require(Format.PARQUET)
    import pyarrow
    from pyarrow import parquet

    values: dict[str, list[Any]] = {name: [] for name in names}
    for row in rows:
        for name, column in values.items():
            column.append(_storable(row.get(name)))
    with whole(path) as file:
        parquet.write_table(pyarrow.table(values), file)


def _storable(value: Any) -> Any:
    """Text that UTF-8 can encode: a lone surrogate becomes its escape. Other values unchanged."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


_TEXTS: Mapping[Format, Callable[[Lineage], Iterator[str]]] = {
    Format.GRAPHML: _graphml,
    Format.GEXF: _gexf,
    Format.JSON: _node_link,
    Format.CYTOSCAPE: _cytoscape,
    Format.DOT: _dot,
}
_TABLES: Mapping[Format, Callable[[Path, Iterable[Row], Sequence[str]], None]] = {
    Format.CSV: _write_csv,
    Format.PARQUET: _write_parquet,
}
