"""GraphML, written line by line: a tree of XML elements would need many times the size of the file.

The form is that of `networkx.generate_graphml`, character by character. The text is ASCII; other characters are references.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from analysis.output.encode import xml_text

_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
_HEAD = (
    f'<graphml xmlns="{_NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    f'xsi:schemaLocation="{_NAMESPACE} {_NAMESPACE}/1.0/graphml.xsd">'
)
_TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}

Row = Mapping[str, Any]


def graphml_lines(nodes: Sequence[Row], edges: Sequence[Row], name: str) -> Iterator[str]:
    """The lines of a directed graph. Nodes have an `id`, edges have `source` and `target`; in a column, values have one type."""
    keys: dict[tuple[str, str], str] = {}
    declared = [_declared(keys, "name", "graph", str)]
    for scope, rows, ends in (("node", nodes, _NODE), ("edge", edges, _EDGE)):
        columns = {column: type(value) for row in rows for column, value in row.items() if column not in ends}
        declared += [_declared(keys, column, scope, kind) for column, kind in columns.items()]
    yield _HEAD
    yield from reversed(declared)
    yield '  <graph edgedefault="directed">'
    for row in nodes:
        yield f'    <node id="{row["id"]}">'
        yield from _data(keys, "node", row, _NODE)
        yield "    </node>"
    for row in sorted(edges, key=lambda row: int(row["source"])):
        yield f'    <edge source="{row["source"]}" target="{row["target"]}">'
        yield from _data(keys, "edge", row, _EDGE)
        yield "    </edge>"
    yield f"    {_element(keys['graph', 'name'], name)}"
    yield "  </graph>"
    yield "</graphml>"


_NODE, _EDGE = ("id",), ("source", "target")


def _declared(keys: dict[tuple[str, str], str], column: str, scope: str, kind: type) -> str:
    keys[scope, column] = key = f"d{len(keys)}"
    shown = _markup(column).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#09;")
    return f'  <key id="{key}" for="{scope}" attr.name="{shown}" attr.type="{_TYPES[kind]}" />'


def _data(keys: Mapping[tuple[str, str], str], scope: str, row: Row, ends: Iterable[str]) -> Iterator[str]:
    for column, value in row.items():
        if column not in ends:
            yield f"      {_element(keys[scope, column], value)}"


def _element(key: str, value: Any) -> str:
    text = _markup(value) if isinstance(value, str) else str(value)
    return f'<data key="{key}">{text}</data>' if text else f'<data key="{key}" />'


def _markup(text: str) -> str:
    shown = xml_text(text)
    if "&" in shown or "<" in shown or ">" in shown:
        shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return shown if shown.isascii() else shown.encode("ascii", "xmlcharrefreplace").decode("ascii")
