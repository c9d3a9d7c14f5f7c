"""GraphML is what networkx would write, character by character, and is not kept in memory as a tree."""

import networkx as nx
import pytest

from analysis.lineage.columns import columns
from analysis.lineage.export import export
from analysis.lineage.graph import edges, nodes
from analysis.lineage.graphml import graphml_parts
from analysis.output.encode import xml_text

HOSTILE = "a<b>&\"c'\x00\u202e\U0001f600\nd\te\ufdd0"


def of_networkx(nodes, edges, name):
    def shown(row, *ends):
        return {
            xml_text(column): xml_text(value) if isinstance(value, str) else value
            for column, value in row.items()
            if column not in ends
        }

    graph = nx.DiGraph(name=xml_text(name))
    graph.add_nodes_from((row["id"], shown(row, "id")) for row in nodes)
    graph.add_edges_from((row["source"], row["target"], shown(row, "source", "target")) for row in edges)
    return "\n".join(nx.generate_graphml(graph, prettyprint=True)) + "\n"


def test_a_campaign_is_written_as_networkx_writes_it(reader, snapshot, tmp_path):
    (out,) = export(reader, "graphml", tmp_path / "run.graphml")
    with columns(nodes(reader)) as rows:
        assert out.read_text("ascii") == of_networkx(rows, list(edges(reader)), snapshot.run.name)


@pytest.mark.parametrize("linked", [True, False])
def test_hostile_texts_names_and_empty_values_are_written_as_networkx_writes_them(linked):
    rows = [
        {"id": 1, HOSTILE: HOSTILE, "empty": "", "yes": True, "number": -1.5e-300},
        {"id": 2, "later": 2**62, "empty": " "},
        {"id": 3, "name": "last"},
    ]
    links = [
        {"source": 1, "target": 3, "role": "", "position": 2},
        {"source": 1, "target": 2, "role": "x", "position": 0},
        {"source": 2, "target": 3, "role": HOSTILE, "position": 1},
    ] * linked
    with columns(rows) as table:
        text = "".join(graphml_parts(table.kinds, table, links, HOSTILE))
    assert text == of_networkx(rows, links, HOSTILE)
