"""The lineage of an archive as a graph of networkx, for tests."""

import networkx as nx

from analysis.lineage.graph import edges, nodes


def lineage(reader):
    graph = nx.DiGraph()
    graph.add_nodes_from((row.pop("id"), row) for row in nodes(reader))
    graph.add_edges_from((row.pop("source"), row.pop("target"), row) for row in edges(reader))
    return graph
