"""GraphML, written line by line: a tree of XML elements would need many times the size of the file.

The form is that of `networkx.generate_graphml`, character by character. The text is ASCII; other characters are references.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from analysis.output.encode import xml_text

_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
_HEAD = (
    f'<graphml xmlns="{_NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    f'xsi:schemaLocation="{_NAMESPACE} {_NAMESPACE}/1.0/graphml.xsd">'
)
_TYPES = {bool: "boolean", int: "long", float: "double", str: "string"}

Row = Mapping[str, Any]


def graphml_parts(kinds: Mapping[str, type], nodes: Iterable[Row], edges: Iterable[Row], name: str) -> Iterator[str]:
    """The text of a directed graph in parts of whole lines. `kinds` are the types of the columns of the nodes.

    Nodes have an `id`. Edges, which are in order of their sources, have `source`, `target`, `role` and `position`.
    """
    others = iter(edges)
    first = list(islice(others, 1))
    scopes = (("graph", {"name": str}), ("node", kinds), ("edge", _EDGE_KINDS if first else {}))
    columns = [(scope, column, kind) for scope, of in scopes for column, kind in of.items() if column not in _ENDS]
    keys = {(scope, column): f"d{number}" for number, (scope, column, _) in enumerate(columns)}
    yield f"{_HEAD}\n"
    for scope, column, kind in reversed(columns):
        yield _declared(keys[scope, column], column, scope, kind)
    yield '  <graph edgedefault="directed">\n'
    of_node, of_edge = (
        {column: f'      <data key="{key}"' for (at, column), key in keys.items() if at == scope}
        for scope in ("node", "edge")
    )
    for row in nodes:
        yield f'    <node id="{row["id"]}">\n{_data(of_node, row)}    </node>\n'
    for row in chain(first, others):
        yield f'    <edge source="{row["source"]}" target="{row["target"]}">\n{_data(of_edge, row)}    </edge>\n'
    named = _data({"name": f'    <data key="{keys["graph", "name"]}"'}, {"name": name})
    yield f"{named}  </graph>\n</graphml>\n"


_ENDS = ("id", "source", "target")
_EDGE_KINDS = {"role": str, "position": int}


def _declared(key: str, column: str, scope: str, kind: type) -> str:
    shown = _markup(column).replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#09;")
    return f'  <key id="{key}" for="{scope}" attr.name="{shown}" attr.type="{_TYPES[kind]}" />\n'


def _data(begun: Mapping[str, str], row: Row) -> str:
    """The lines with the values of a row. `begun` is the beginning of each column's line."""
    return "".join([
        f"{begun[column]}{_ended(value)}" if type(value) is str else f"{begun[column]}>{value}</data>\n"
        for column, value in row.items()
        if column in begun
    ])  # fmt: skip


def _ended(text: str) -> str:
    return f">{_markup(text)}</data>\n" if text else " />\n"


def _markup(text: str) -> str:
    shown = xml_text(text)
    if "&" in shown or "<" in shown or ">" in shown:
        shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return shown if shown.isascii() else shown.encode("ascii", "xmlcharrefreplace").decode("ascii")
