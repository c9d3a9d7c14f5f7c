"""GraphML is what networkx would write, character by character, and is not kept in memory as a tree."""

import networkx as nx

from analysis.lineage.export import export, tables
from analysis.lineage.graph import lineage
from analysis.lineage.graphml import graphml_lines
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
    assert out.read_text("ascii") == of_networkx(*tables(lineage(snapshot)), snapshot.run.name)


def test_hostile_texts_names_and_empty_values_are_written_as_networkx_writes_them():
    nodes = [
        {"id": 1, HOSTILE: HOSTILE, "empty": "", "yes": True, "number": -1.5e-300},
        {"id": 2, "later": 2**62, "empty": " "},
    ]
    edges = [
        {"source": 2, "target": 3, "role": HOSTILE},
        {"source": 1, "target": 3, "role": ""},
        {"source": 1, "target": 2, "role": "x", "position": 0},
    ]
    nodes.append({"id": 3, "name": "last"})
    lines = list(graphml_lines(nodes, edges, HOSTILE))
    assert "\n".join(lines) + "\n" == of_networkx(nodes, edges, HOSTILE)
