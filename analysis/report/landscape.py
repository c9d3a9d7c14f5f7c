"""Files of `evopo landscape`: a picture, a page for a browser, or all computed numbers as CSV.

The page is under the threat model of the report (`analysis.report.page`): names of losses come from files and archives of others.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from analysis.output.encode import csv_text
from analysis.output.files import refuse, write_whole
from analysis.plots.canvas import drawing, png, svg
from analysis.plots.landscape.draw import Axis, draw_landscapes
from analysis.plots.landscape.landscape import Landscape
from analysis.plots.landscape.plane import Over
from analysis.plots.landscape.text import rows
from analysis.report.page import environment

FORMS = (".svg", ".png", ".html", ".csv")
DESCRIPTION = (
    "Value and slope of each loss over the margin, and planes of losses that are no function of the margin alone."
)

COLUMNS = (
    "name", "beta", "part", "margin", "chosen_ratio", "rejected_ratio", "reference_lead", "loss", "slope", "chosen_slope",
    "rejected_slope",
)  # fmt: skip


def check_target(path: Path) -> None:
    """Check before long work that the file can be written.

    Raises ExportRefused, and MissingExtra for a picture without matplotlib.
    """
    refuse(path)
    if path.suffix != ".csv":
        with drawing():
            pass


def write_landscapes(path: Path, found: Sequence[Landscape], axis: Axis, pairs: Sequence[Sequence[str]] = ()) -> None:
    """Write the form that the ending of `path` names, one of FORMS. `pairs`: titles and rows of the table of training pairs.

    Raises ExportRefused, MissingExtra, NothingToDraw.
    """
    if path.suffix == ".csv":
        data: str | bytes = landscape_csv(found)
    elif path.suffix == ".png":
        data = png(draw_landscapes(found, axis))
    else:
        picture = svg(draw_landscapes(found, axis), "landscape", DESCRIPTION)
        data = picture if path.suffix == ".svg" else _page(found, picture, pairs)
    write_whole(path, data)


def landscape_csv(found: Sequence[Landscape]) -> str:
    """A line for each margin of the curves (`part` curve) and each point of the planes (`part` plane). Empty cells: not finite in
    float32, or not asked. All slopes are per nat, or per unit of logit."""
    buffer = io.StringIO()
    lines = csv.writer(buffer, lineterminator="\n")
    lines.writerow(COLUMNS)
    for one in found:
        head = [csv_text(one.name), "" if one.beta is None else one.beta]
        pairs = one.over == "rho"
        for margin, value, slope in zip(one.curve.margins, one.curve.values, one.curve.slopes, strict=True):
            split = [margin / 2, -margin / 2, 0.0] if pairs else ["", "", ""]
            lines.writerow([*head, "curve", margin, *split, *map(_cell, (value, slope)), "", ""])
        if one.plane:
            for up, ratio in enumerate(one.plane.axis.tolist()):
                for across, other in enumerate(one.plane.axis.tolist()):
                    at = [other, ratio, 0.0] if one.plane.over is Over.RATIOS else [other / 2, -other / 2, ratio]
                    value, chosen, rejected = (
                        float(x[up, across]) for x in (one.plane.values, one.plane.chosen, one.plane.rejected)
                    )
                    slope = (chosen - rejected) / 2
                    cells = map(_cell, (value, slope, chosen, rejected))
                    lines.writerow([*head, "plane", at[0] - at[1], *at, *cells])
    return buffer.getvalue()


def _cell(number: float) -> float | str:
    return number if number == number else ""


def _page(found: Sequence[Landscape], picture: str, pairs: Sequence[Sequence[str]]) -> str:
    return (
        environment()
        .get_template("landscape.html.j2")
        .render(
            names=list(dict.fromkeys(one.name for one in found)),
            blocks=[(one.label, rows(one)) for one in found],
            picture=Markup(picture),
            pairs=pairs,
        )
    )
