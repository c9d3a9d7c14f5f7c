"""Picture of the lineage: candidates by step and fitness, edges from parent to child, and the outcome of every proposal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from analysis.lineage.moves import Move, MoveOutcome, moves
from analysis.output.encode import label_text
from analysis.output.errors import NothingToDraw
from analysis.plots.canvas import GOLD, INK, MUTED, PAPER, blank, drawing, quiet
from analysis.plots.parts import (
    LINKED,
    WIDTH,
    colour_of,
    colour_of_operator,
    common_rung,
    levels,
    operator_legend,
    robust_floor,
)
from analysis.snapshot import Snapshot
from analysis.wording import display_name
from archive.records import Origin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STRIP: Mapping[str, frozenset[MoveOutcome]] = {
    "duplicate": frozenset({MoveOutcome.DUPLICATE}),
    "refused": frozenset({MoveOutcome.REFUSED}),
    "failed": frozenset({MoveOutcome.TRAINING_FAILED}),
    "no loss": frozenset({MoveOutcome.UNUSABLE, MoveOutcome.NO_IMPROVEMENT, MoveOutcome.CALL_FAILED, MoveOutcome.LOST}),
    "under way": frozenset({MoveOutcome.OPEN}),
}
"""Rows below the lineage: outcomes of proposals without a fitness."""


def draw_lineage(snapshot: Snapshot, best: int | None = None) -> Figure:
    """Every scored candidate at (step, fitness), with edges coloured by operator and the ancestors of `best` in bold.

    A strip below has a tick for each proposal, and a second one for a proposal without a fitness.
    """
    rung = common_rung(snapshot)
    fitness = {} if rung is None else {id: level.value for id, level in levels(snapshot, rung).items()}
    if not fitness:
        raise NothingToDraw("no candidate was scored yet, so there is no lineage to draw")
    found = moves(snapshot)
    rows = [row for row, outcomes in _STRIP.items() if any(move.outcome in outcomes for move in found)]
    with drawing():
        figure = blank(WIDTH, 5.2 + 0.17 * (1 + len(rows)))
        top, strip = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [5.0, 0.17 * (1 + len(rows)) + 0.1], "hspace": 0.02}
        )
        floor = robust_floor(list(fitness.values()))
        places = {id: (snapshot.step(id), max(value, floor)) for id, value in fitness.items()}
        line = _ancestry(snapshot, best) if best in places else set()
        _edges(top, snapshot, places, line)
        _nodes(top, snapshot, places, fitness, floor)
        _names(top, snapshot, places, best)
        last = max([step for step, _ in places.values()] + [move.step for move in found])
        top.set_xlim(-0.11 * last, last * 1.02 + 0.3)
        _baseline_line(top, snapshot, fitness)
        top.set_title(f"fitness at rung {label_text(str(rung))}")
        top.tick_params(labelbottom=False, bottom=False)
        operator_legend(top, found, line=True)
        _strip(strip, found, rows)
        strip.set_xlabel("step")
        strip.xaxis.set_visible(True)
        return figure


def _edges(axes: Axes, snapshot: Snapshot, places: Mapping[int, tuple[float, float]], line: set[int]) -> None:
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path

    crowd = min(1.0, 45 / max(1, len(places)))
    for bold in (False, True):
        paths, colours = [], []
        for child, edges in snapshot.parents.items():
            for edge in edges:
                if (
                    child not in places
                    or edge.parent not in places
                    or (child in line and edge.parent in line) is not bold
                ):
                    continue
                (x0, y0), (x1, y1) = places[edge.parent], places[child]
                # Horizontal ends keep the edges of many children readable; straight lines would cover each other.
                bend = 0.5 * (x1 - x0)
                points = [(x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1)]
                paths.append(Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]))
                colours.append(colour_of(snapshot, snapshot.candidates[child]))
        collection = PathCollection(paths, facecolors="none", edgecolors=colours, zorder=2.5 if bold else 2)
        collection.set_linewidth(2.0 if bold else 0.5 + 0.5 * crowd)
        collection.set_alpha(0.95 if bold else 0.12 + 0.33 * crowd)
        axes.add_collection(collection, autolim=False)


def _nodes(
    axes: Axes,
    snapshot: Snapshot,
    places: Mapping[int, tuple[float, float]],
    fitness: Mapping[int, float],
    floor: float,
) -> None:
    size = 10 + 24 * min(1.0, 60 / len(places))
    for origin in Origin:
        for cut in (False, True):
            ids = [id for id in places if snapshot.candidates[id].origin is origin and (fitness[id] < floor) is cut]
            marker = "v" if cut else ("s" if origin is Origin.SEED else "o")
            dots = axes.scatter(
                [places[id][0] for id in ids],
                [places[id][1] for id in ids],
                s=size * (1.5 if origin is Origin.SEED else 1),
                c=[colour_of(snapshot, snapshot.candidates[id]) for id in ids],
                marker=marker,
                edgecolors=PAPER,
                linewidths=0.6,
                zorder=3,
            )
            if len(places) <= LINKED:
                dots.set_urls([f"#c{id}" for id in ids])
    if any(value < floor for value in fitness.values()):
        axes.annotate(
            "▾ below the axis", (1, 0), xycoords="axes fraction", xytext=(-2, 3), textcoords="offset points",
            ha="right", fontsize=7.5, color=MUTED,
        )  # fmt: skip


def _names(axes: Axes, snapshot: Snapshot, places: Mapping[int, tuple[float, float]], best: int | None) -> None:
    span = max(y for _, y in places.values()) - min(y for _, y in places.values()) or 1.0
    seeds = sorted(((places[row.id][1], row) for row in snapshot.seeds if row.id in places), key=lambda pair: pair[0])
    lowest = -math.inf
    for y, row in seeds:
        at = lowest = max(y, lowest + 0.033 * span)
        axes.annotate(
            label_text(display_name(row), 14), (0, at), xytext=(-7, 0), textcoords="offset points", ha="right", va="center",
            fontsize=8, color=INK, annotation_clip=False,
        )  # fmt: skip
    if best is not None and best in places:
        x, y = places[best]
        axes.scatter([x], [y], s=150, marker="*", c=GOLD, edgecolors=PAPER, linewidths=0.8, zorder=5).set_urls(
            [f"#c{best}"]
        )
        axes.annotate(
            label_text(snapshot.candidates[best].name), (x, y), xytext=(0, 9), textcoords="offset points",
            ha="center", va="bottom", fontsize=9, fontweight="bold", color=INK, zorder=6,
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1.5},
        )  # fmt: skip


def _baseline_line(axes: Axes, snapshot: Snapshot, fitness: Mapping[int, float]) -> None:
    baseline = snapshot.baseline
    if baseline is not None and baseline.id in fitness:
        right = axes.get_xlim()[1]
        axes.hlines(fitness[baseline.id], 0, right, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)


def _strip(axes: Axes, found: Sequence[Move], rows: Sequence[str]) -> None:
    from matplotlib.ticker import MaxNLocator

    quiet(axes)
    names = ["proposed", *rows]
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), names)
    for height, row in enumerate(names):
        shown = [move for move in found if height == 0 or move.outcome in _STRIP[row]]
        ticks = axes.scatter(
            [move.step for move in shown], [height] * len(shown), marker="|", s=46, linewidths=1.5,
            c=[colour_of_operator(move.declared) for move in shown],
        )  # fmt: skip
        if len(found) <= LINKED:
            ticks.set_urls([f"#c{move.candidate}" if move.candidate else "" for move in shown])
    last = max((move.step for move in found), default=0)
    axes.set_xticks([tick for tick in MaxNLocator(nbins=12, integer=True).tick_values(0, last) if 0 <= tick <= last])
    axes.tick_params(axis="x", length=3)


def _ancestry(snapshot: Snapshot, candidate: int | None) -> set[int]:
    line: set[int] = set()
    ahead = [] if candidate is None else [candidate]
    while ahead:
        line.add(id := ahead.pop())
        ahead += [edge.parent for edge in snapshot.parents.get(id, ()) if edge.parent not in line]
    return line
