"""Export of the lineage: GraphML, GEXF, node-link JSON, Cytoscape JSON, DOT, CSV, Parquet.

In all formats a number is finite or absent. Missing, NaN and infinite values are left out of GraphML, GEXF, JSON and DOT; they are
an empty cell in CSV and null in Parquet. The archive keeps the exact values. A column has one type. Names are exact in JSON and
Parquet; elsewhere invisible characters are written as escapes (see `encode`).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import networkx as nx

from analysis.lineage.graph import lineage
from analysis.lineage.graphml import graphml_lines
from analysis.output import encode
from analysis.output.errors import missing_extra
from analysis.output.files import refuse, whole, write_whole
from analysis.snapshot import Snapshot
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

Row = dict[str, Any]

NODE_COLUMNS = (
    *("id", "name", "origin", "status", "operator", "model", "step", "generation", "island", "hash", "duplicate_of"),
    *("fitness", "standard_error", "seeds", "rung", "failed_seeds"),
)
EDGE_COLUMNS = ("source", "target", "role", "position")
"""Columns that a table always has. Columns that depend on the run (`fitness.RUNG`, `descriptor.NAME`) follow."""

_LARGEST = 2**63
"""Integers of this size or larger do not fit a 64-bit column and are exported as text."""


def require(format: Format | str) -> None:
    """Raises MissingExtra if the format needs a package that is not installed."""
    if Format(format) is Format.PARQUET and find_spec("pyarrow") is None:
        raise missing_extra("the export to Parquet", "pyarrow", "tables")


def export(reader: Reader, format: Format | str, out: Path) -> list[Path]:
    """Writes the lineage of an archive and returns the paths written.

    CSV and Parquet are two files: nodes in `out`, edges next to it (`name.csv` and `name.edges.csv`). Raises ExportRefused,
    MissingExtra (Parquet without pyarrow), ArchiveError, and ValueError for an unknown format.
    """
    graph = lineage(Snapshot.of(reader))
    nodes, edges = tables(graph)
    chosen = Format(format)
    paths = written(chosen, out)
    if chosen in _TABLES:
        for path in paths:
            refuse(path)
        for path, rows, columns in zip(paths, (nodes, edges), (NODE_COLUMNS, EDGE_COLUMNS), strict=True):
            _TABLES[chosen](path, rows, list(dict.fromkeys([*columns, *(name for row in rows for name in row)])))
        return paths
    name = str(graph.graph["name"])
    if chosen is Format.GRAPHML:
        with whole(out) as file:
            file.writelines(f"{line}\n".encode("ascii") for line in graphml_lines(nodes, edges, name))
        return paths
    write_whole(out, _TEXTS[chosen](nodes, edges, name))
    return paths


def written(format: Format | str, out: Path) -> list[Path]:
    """The files that an export to `out` writes: two for a table (nodes, edges), else one."""
    return [out, out.with_name(f"{out.stem}.edges{out.suffix}")] if Format(format) in _TABLES else [out]


def tables(graph: nx.DiGraph) -> tuple[list[Row], list[Row]]:
    """Nodes (with `id`) and edges (with `source` and `target`) as rows. Each column has one type."""
    nodes = _typed([{"id": node, **graph.nodes[node]} for node in sorted(graph)])
    edges = _typed([{"source": a, "target": b, **data} for a, b, data in sorted(graph.edges(data=True), key=_ends)])
    return nodes, edges


def _ends(edge: tuple[int, int, Row]) -> tuple[int, int]:
    return edge[1], int(edge[2]["position"])


def _typed(rows: list[Row]) -> list[Row]:
    names = dict.fromkeys(name for row in rows for name in row)
    kinds = {name: _kind(row[name] for row in rows if name in row) for name in names}
    return [{name: kinds[name](value) for name, value in row.items() if not _is_unusable(value)} for row in rows]


def _kind(values: Iterable[Any]) -> type:
    types = {_column_type(value) for value in values if not _is_unusable(value)}
    if types <= {bool} or types <= {int} or types <= {str}:
        return types.pop() if types else str
    return float if types <= {int, float} else str


def _column_type(value: Any) -> type:
    return str if type(value) is int and abs(value) >= _LARGEST else type(value)


def _is_unusable(value: Any) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


# ---- formats -------------------------------------------------------------------------------------------------------


def _gexf(nodes: list[Row], edges: list[Row], name: str) -> str:
    """GEXF with all text encoded for XML, and with the attribute `label`, which Gephi shows."""
    graph = nx.DiGraph(name=encode.xml_text(name))
    for row in nodes:
        attributes = _xml(row, leave_out=("id",))
        graph.add_node(row["id"], label=attributes["name"], **attributes)
    for row in edges:
        graph.add_edge(row["source"], row["target"], **_xml(row, leave_out=("source", "target")))
    return "\n".join(nx.generate_gexf(graph)) + "\n"


def _xml(row: Row, leave_out: tuple[str, ...]) -> Row:
    return {
        encode.xml_text(name): encode.xml_text(value) if isinstance(value, str) else value
        for name, value in row.items()
        if name not in leave_out
    }


def _node_link(nodes: list[Row], edges: list[Row], name: str) -> str:
    """Node-link JSON of networkx and D3: `networkx.node_link_graph(data, edges="edges")` reads it."""
    data = {"directed": True, "multigraph": False, "graph": {"name": name}, "nodes": nodes, "edges": edges}
    return encode.json_text(data) + "\n"


def _cytoscape(nodes: list[Row], edges: list[Row], name: str) -> str:
    """Cytoscape's JSON (.cyjs), in which ids are strings: `networkx.cytoscape_graph` reads it."""
    elements = {
        "nodes": [{"data": {**row, "id": str(row["id"]), "value": str(row["id"])}} for row in nodes],
        "edges": [
            {"data": {**row, "id": f"{row['source']}-{row['target']}", "source": str(row["source"]), "target": str(row["target"])}}
            for row in edges
        ],
    }  # fmt: skip
    return (
        encode.json_text({"data": [["name", name]], "directed": True, "multigraph": False, "elements": elements}) + "\n"
    )


def _dot(nodes: list[Row], edges: list[Row], name: str) -> str:
    lines = [f"digraph {encode.dot_text(name)} {{", "  rankdir=LR; node [shape=box, style=rounded];"]
    for row in nodes:
        shown = {"label": encode.one_line(row["name"], 40), **row}
        lines.append(f"  {row['id']} [{_dot_attributes(shown, leave_out=('id',))}];")
    for row in edges:
        lines.append(f"  {row['source']} -> {row['target']} [{_dot_attributes(row, leave_out=('source', 'target'))}];")
    return "\n".join([*lines, "}"]) + "\n"


def _dot_attributes(row: Row, leave_out: tuple[str, ...]) -> str:
    return ", ".join(
        f"{encode.dot_text(name)}={encode.dot_text(str(value))}" for name, value in row.items() if name not in leave_out
    )


def _write_csv(path: Path, rows: list[Row], names: list[str]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([encode.csv_text(name) for name in names])
    for row in rows:
        cells = [row.get(name, "") for name in names]
        writer.writerow([encode.csv_text(cell) if isinstance(cell, str) else cell for cell in cells])
    write_whole(path, text.getvalue())


def _write_parquet(path: Path, rows: list[Row], names: list[str]) -> None:
    require(Format.PARQUET)
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({name: [_storable(row.get(name)) for row in rows] for name in names})
    with whole(path) as file:
        parquet.write_table(table, file)


def _storable(value: Any) -> Any:
    """Text that UTF-8 can encode: a lone surrogate becomes its escape. Other values unchanged."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


_TEXTS: Mapping[Format, Callable[[list[Row], list[Row], str], str]] = {
    Format.GEXF: _gexf,
    Format.JSON: _node_link,
    Format.CYTOSCAPE: _cytoscape,
    Format.DOT: _dot,
}
_TABLES: Mapping[Format, Callable[[Path, list[Row], list[str]], None]] = {
    Format.CSV: _write_csv,
    Format.PARQUET: _write_parquet,
}
