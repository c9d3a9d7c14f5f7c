"""Landscapes in words: one block per loss and beta. The same rows are the tables of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.output.encode import one_line
from analysis.plots.landscape.features import Interval
from analysis.plots.landscape.landscape import Landscape
from analysis.plots.landscape.plane import Over

MOST = 12
"""Most lines of one kind; a loss that oscillates may have thousands of optima."""

COUPLED = "a pair's loss depends on the other pairs of its batch: shown for one pair that moves among 15 typical ones"
NOT_MARGIN = {
    Over.RATIOS: "the loss depends on more than rho: on the log-ratio of each completion. All lines above are for log-ratios of "
    "rho / 2 (chosen) and -rho / 2 (rejected)",
    Over.REFERENCE: "the loss depends on more than rho: on the reference's own log-probabilities. All lines above are for a "
    "reference that finds both completions equally probable",
}
PLANES = {
    Over.RATIOS: "of all pairs of log-ratios from {:.6g} to {:.6g} nats",
    Over.REFERENCE: "of all combinations of rho and the reference's lead from {:.6g} to {:.6g} nats",
}
SHARES = (
    "a gradient step lowers the margin at {:.0f} % {}; it lowers the probability of the chosen completion at {:.0f} %, and raises "
    "that of the rejected one at {:.0f} %"
)


def landscape_text(found: Sequence[Landscape]) -> str:
    """All landscapes as text."""
    return "\n\n".join("\n".join(_block(one)) for one in found)


def _block(one: Landscape) -> Iterator[str]:
    yield one_line(one.label, 100)
    for title, words in rows(one):
        yield f"  {title:<16}{words}"


def rows(one: Landscape) -> list[tuple[str, str]]:
    """(title, words) of everything that is told of one landscape."""
    f = one.features
    found = [("at 0", f"loss {f.value_at_zero:.6g}, slope {f.slope_at_zero:+.6g}{_towards(f.slope_at_zero, one.over)}")]
    optima = [
        (
            "minimum" if o.minimum else "maximum",
            f"{_place(one, o.margin)}{f' to {o.end:.6g}' if o.end > o.margin else ''}, loss {o.value:.6g}",
        )
        for o in f.optima
    ]
    found += _some(optima, "optima")
    found += _some([("lowers margins", _rise(one, rise)) for rise in f.rises], "stretches")
    found += _some([("flat", _interval(one, i)) for i in f.flats], "stretches")
    found += _some([("not finite", _interval(one, i)) for i in f.gaps], "stretches")
    found += _some(
        [("jumps", f"at {_place(one, j.margin)}, from {j.left:.6g} to {j.right:.6g}") for j in f.jumps], "jumps"
    )
    found.append(("tails", f"left: {f.left_tail}; right: {f.right_tail}"))
    if one.plane:
        where = PLANES[one.plane.over].format(float(one.plane.axis[0]), float(one.plane.axis[-1]))
        margin, chosen, rejected = (
            100 * float(np.mean(there))
            for there in (one.plane.lowers_margin, one.plane.lowers_chosen, one.plane.raises_rejected)
        )
        found.append(("note", NOT_MARGIN[one.plane.over]))
        found.append(("over the plane", SHARES.format(margin, where, chosen, rejected)))
    if one.curve.coupled:
        found.append(("note", COUPLED))
    return found


def _towards(slope: float, over: str) -> str:
    if slope == 0:
        return ": the first step changes nothing"
    return f": the first step {'lowers' if slope > 0 else 'raises'} the {'margin' if over == 'rho' else 'lead'}"


def _some(entries: list[tuple[str, str]], noun: str) -> list[tuple[str, str]]:
    more = len(entries) - MOST
    return entries if more <= 0 else [*entries[:MOST], (entries[0][0], f"and {more} further {noun}")]


def _place(one: Landscape, margin: float) -> str:
    scaled = "" if one.beta is None else f" (beta rho {one.beta * margin:.6g})"
    return f"{one.over} {margin:.6g}{scaled}"


def _interval(one: Landscape, stretch: Interval) -> str:
    if stretch.open_left and stretch.open_right:
        return "everywhere"
    if stretch.open_left:
        return f"up to {_place(one, stretch.end)}"
    if stretch.open_right:
        return f"from {_place(one, stretch.start)} on"
    return f"{_place(one, stretch.start)} to {stretch.end:.6g}"


def _rise(one: Landscape, rise: Interval) -> str:
    if rise.open_left:
        return _interval(one, rise) + ": a pair that starts there falls further"
    fall = f"a pair that starts there falls back to {one.over} {rise.start:.6g}"
    return f"{_interval(one, rise)}: {fall}"
