"""Counts verifications in this process, and in a whole session: `python -c "import counting; counting.session()" FOLDER`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.graph import LossGraph, VerifiedGraph, loss_graph


@contextmanager
def verifications() -> Iterator[list[VerifiedGraph]]:
    """Every graph that passes verification within the block, each time it does. The process begins without verified texts."""
    made: list[VerifiedGraph] = []
    verifying = VerifiedGraph.__post_init__

    def counted(graph: VerifiedGraph) -> None:
        verifying(graph)
        made.append(graph)

    loss_graph._VERIFIED = loss_graph._Verified(32)
    VerifiedGraph.__post_init__ = counted  # type: ignore[method-assign]
    try:
        yield made
    finally:
        VerifiedGraph.__post_init__ = verifying  # type: ignore[method-assign]


def conversions(graph: LossGraph, made: list[VerifiedGraph]) -> tuple[int, int]:
    """How often a graph was verified, and how often one of these was written as JSON."""
    equal = [other for other in made if other == graph]
    return len(equal), sum("_json" in vars(other) for other in equal)


def session() -> None:
    """Run a session of the built-in proposer; print, for each trained proposal, what it went through in this process."""
    from archive.query import Reader
    from evo.config.schema import parse_config
    from evo.session.session import run_session

    quick = {"train_items": 200, "epochs": 3, "short_epochs": 1}
    config = parse_config(
        {"task": "classification", "workers": 1, "pictures": False, "seeds": ["cross_entropy"], "fitness": quick}
        | {
            "budget": {"proposals": 2, "evaluations": 6},
            "ladder": {"finalists": 1, "finalist_seeds": 2, "contenders": 0},
        }
    )
    folder = Path(sys.argv[1])
    with verifications() as made:
        run_session(config, folder, lambda text: None)
    with Reader.open(folder / "archive.db") as reader:
        verdicts = {row.candidate_id: row.graph for row in reader.verdicts()}
        trained = {row.candidate_id for row in reader.evaluations(state="scored")}
        proposals = [row.id for row in reader.candidates() if row.origin == "proposal" and row.id in trained]
    print(json.dumps([conversions(VerifiedGraph.from_json(verdicts[id] or ""), made) for id in proposals]))
