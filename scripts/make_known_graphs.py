"""Writes the graph of each known loss next to its source: `python scripts/make_known_graphs.py`. Run it after changing a source."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sandbox import known
from sandbox.child.trace.tracer import trace
from sandbox.contracts.contract import contract_named
from sandbox.graph.loss_graph import VerifiedGraph


def main() -> None:
    """Traces every source of `sandbox/known` (trusted, so without the jail) and writes its graph as JSON."""
    argparse.ArgumentParser(description=__doc__).parse_args()  # it has no options: anything but --help is an error
    folder = Path(known.__file__).parent
    for name in known.names():
        loss = known.load(name)
        answer = trace(loss.source, contract_named(loss.contract))
        if answer.graph is None:
            raise SystemExit(f"{name}: {', '.join(c.code for c in answer.violations)}")
        graph = VerifiedGraph.from_json(answer.graph)
        (folder / loss.contract / f"{name}.json").write_text(graph.to_json() + "\n", "utf-8")
        print(f"{name}: {len(graph.nodes)} nodes")


if __name__ == "__main__":
    main()
