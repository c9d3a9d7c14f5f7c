"""Drawing with matplotlib without changing its global state: one theme, and output as PNG bytes or as SVG with CSS colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from analysis.output.errors import missing_extra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, FAINT, PAPER = "#1d2530", "#6a7483", "#dfe3e8", "#fdfdfc"
EXPLORE, REFINE, COMBINE, REPAIR = "#0072b2", "#009e73", "#d55e00", "#a5559c"
"""Colours that remain distinguishable with the common forms of colour blindness (after Okabe and Ito 2008)."""
FURTHER = ("#e69f00", "#56b4e9", "#8c564b", "#117733")
"""Colours of operators that were added to the built-in ones."""
GOLD = "#b8860b"

VARIABLES: Mapping[str, str] = {
    INK: "ink", MUTED: "muted", FAINT: "faint", PAPER: "paper", GOLD: "gold",
    EXPLORE: "explore", REFINE: "refine", COMBINE: "combine", REPAIR: "repair",
}  # fmt: skip
"""CSS variable of each colour in an SVG. A page without these variables shows the colours themselves."""

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": FAINT,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "svg.fonttype": "none",
    # Names come from a language model: `$` must never start a formula.
    "text.parse_math": False,
}

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"


@contextmanager
def drawing() -> Iterator[None]:
    """Within the block, matplotlib uses this module's style. Raises MissingExtra without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        raise missing_extra("drawing pictures", "matplotlib", "plots") from None
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # A name may be in any script. In an SVG the browser has fonts that matplotlib lacks; a PNG shows a box instead.
        warnings.filterwarnings("ignore", message="constrained_layout not applied")  # long tick labels of tiny ranges
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font")
        yield


def blank(width: float, height: float) -> Figure:
    """An empty figure of this size in inches. Call it within `drawing`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def png(figure: Figure, dpi: int = 150) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    with drawing():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure, name: str, description: str, titles: Mapping[str, str] | None = None) -> str:
    """The figure as an <svg> element, for a page or for a separate file. Equal figures give equal text.

    `name` is the prefix of its ids, different for each figure of a page. `description` is the text for screen readers. `titles`
    are tooltips of links, by address.
    """
    import matplotlib

    buffer = io.StringIO()
    with drawing(), matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in root.iter():
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}metadata" or child.tag == f"{{{_SVG}}}style":
                parent.remove(child)
    for link in root.iter(f"{{{_SVG}}}a"):
        address = link.attrib.pop(_LINK, "")
        link.attrib.pop("target", None)
        link.set("href", address)
        if titles and address in titles:
            title = ElementTree.Element(f"{{{_SVG}}}title")
            title.text = titles[address]
            link.insert(0, title)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.set("role", "img")
    root.set("aria-label", description)
    _set_apart(root, name)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    return _themed(ElementTree.tostring(root, encoding="unicode"))


def quiet(axes: Axes) -> None:
    """Hides grid, ticks and frame of an axes, so that only the row names remain."""
    axes.grid(False)
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _set_apart(root: ElementTree.Element, name: str) -> None:
    """Prefixes all ids, because two figures on one page may define the same id."""
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == _LINK and value.startswith("#"):
                element.set(key, f"#{name}-{value[1:]}")
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{name}-"))


def _themed(text: str) -> str:
    def variable(match: re.Match[str]) -> str:
        colour = match.group(0).lower()
        return f"var(--{VARIABLES[colour]}, {colour})" if colour in VARIABLES else colour

    # Only within style attributes: text may contain anything that looks like a colour.
    return re.sub(r'style="[^"]*"', lambda style: re.sub(r"#[0-9a-fA-F]{6}", variable, style.group(0)), text)
