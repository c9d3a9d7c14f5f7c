"""Small runs with given scores, written through archive.store, for tests of comparisons."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from make_archive import finding, hinge, kto_like, logistic, verdict

from analysis.compare.runs import Run
from analysis.snapshot import Snapshot
from archive.query import Reader
from archive.records import RunRow, Usage
from archive.store import Archive
from evo.display.comparison import settings_of
from sandbox.graph.loss_graph import LossGraph

FULL, HELD_OUT = "full", "held_out"
BASELINE = dict.fromkeys(range(4), 0.5)
NOTHING = Usage(0, 0)


@dataclass(frozen=True)
class Found:
    """A proposed loss. `gains`: its advantage over the baseline by search seed, None where the training failed; `fresh`: by
    fresh seed."""

    name: str = "found"
    gains: tuple[float | None, ...] = (0.1,)
    fresh: tuple[float, ...] = ()
    graph: LossGraph = field(default_factory=logistic)
    refused: bool = False
    duplicate_of: int | None = None
    usage: Usage = NOTHING
    judged: Usage | None = None
    convex: bool = True
    note: str = ""


def config(seed: int = 0, **settings: Any) -> dict[str, Any]:
    """A configuration; `settings` by dotted key with `__` for the dot."""
    found: dict[str, Any] = {"name": "made-up", "seed": seed, "task": "sentiment", "budget": {"proposals": 8}}
    for key, value in settings.items():
        place, *rest = key.split("__")
        found = found | ({place: {**found.get(place, {}), rest[0]: value}} if rest else {place: value})
    return found


def record(
    directory: Path, losses: list[Found], settings: dict[str, Any] | None = None, *, fitness: dict[str, Any] | None = None,
    finished: bool = True, baseline: str = "dpo", scored_baseline: bool = True, known: tuple[float, ...] = (),
) -> Path:  # fmt: skip
    """Writes an archive into `directory` and returns the directory. The final has fresh seeds where a loss has fresh gains.

    `known`: gains of a second seed loss; none without it.
    """
    settings = config() if settings is None else settings
    directory.mkdir(parents=True, exist_ok=True)
    identity = {"task": "sentiment", "contract": "preference", "fitness": fitness or {}, "seed": settings["seed"]}
    row = RunRow(
        settings["name"], settings["seed"], "sentiment", "preference", identity, settings, "0.1", baseline=baseline
    )
    with Archive.create(directory / "archive.db", row) as archive:
        archive.event("session_started", {"config": settings, "fitness": {"metric": {FULL: "reward"}}})
        first = archive.add_candidate("seed", baseline, "", "", "preference")
        archive.record_verdict(first, verdict(hinge(), descriptors={"convex": True}))
        for seed, value in BASELINE.items() if scored_baseline else ():
            archive.score_evaluation(archive.queue_evaluation(first, "sentiment", FULL, seed), value)
        if known:
            second = archive.add_candidate("seed", "kto_pair", "", "", "preference")
            archive.record_verdict(second, verdict(kto_like()))
            for seed, gain in enumerate(known):
                evaluation = archive.queue_evaluation(second, "sentiment", FULL, seed)
                archive.score_evaluation(evaluation, BASELINE[seed] + gain)
        ids = [_proposed(archive, step, loss) for step, loss in enumerate(losses, start=1)]
        _final(archive, first, dict(zip(ids, losses, strict=True)))
        if finished:
            archive.event("finished", {"reason": "budget"})
    return directory


def _proposed(archive: Archive, step: int, loss: Found) -> int:
    proposal = archive.request_proposal(step, 1, "explore", "builtin", None, None, "t", {}, 0)
    archive.receive_proposal(proposal, "r", loss.usage.tokens_in, loss.usage.tokens_out, loss.usage.usd)
    id = archive.add_candidate("proposal", loss.name, "", "", "preference", proposal)
    if loss.refused:
        archive.record_verdict(id, verdict(findings=[finding("SBX304", "gradient is inf")]))
        return id
    noted = [finding(loss.note, "noted", "note")] if loss.note else []
    judged = verdict(loss.graph, noted, descriptors={"convex": loss.convex})
    archive.record_verdict(id, judged, loss.duplicate_of, "hash" if loss.duplicate_of else None)
    for seed, gain in enumerate(loss.gains if loss.duplicate_of is None else ()):
        evaluation = archive.queue_evaluation(id, "sentiment", FULL, seed)
        if gain is None:
            archive.fail_evaluation(evaluation, "diverged", "")
        else:
            archive.score_evaluation(evaluation, BASELINE[seed] + gain, judged=loss.judged)
    return id


def _final(archive: Archive, baseline: int, losses: dict[int, Found]) -> None:
    fresh = {id: loss.fresh for id, loss in losses.items() if loss.fresh}
    if not fresh:
        return
    seeds = [100 + n for n in range(max(map(len, fresh.values())))]
    archive.event("final", {"rung": HELD_OUT, "seeds": seeds, "relations": {}})
    for n, seed in enumerate(seeds):
        archive.score_evaluation(archive.queue_evaluation(baseline, "sentiment", HELD_OUT, seed), 0.4 + 0.01 * n)
        for id, gains in fresh.items():
            archive.score_evaluation(
                archive.queue_evaluation(id, "sentiment", HELD_OUT, seed), 0.4 + 0.01 * n + gains[n]
            )


def read(directory: Path) -> Run:
    """The run in a directory as `evopo compare` reads it."""
    with Reader.open(directory / "archive.db") as reader:
        snapshot = Snapshot.of(reader, every_event=True)
    return Run(directory.name, snapshot, settings_of(snapshot.settings))
