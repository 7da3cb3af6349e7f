"""One look for all figures, and figures to inline SVG.

In: matplotlib figures. Out: styled axes, SVG text without any outside reference. Uses no pyplot, so it needs no display and
leaves no figure open. Knows nothing of the report.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, GRID = "#1c2733", "#66737f", "#e6eaee"
BEFORE, AFTER = "#a9b8c9", "#2f5fc4"
UP, DOWN = "#1b8a72", "#cf5c3c"
SOFT = "#dbe4f0"

# Any: matplotlib's stubs want the literal type of every key.
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    # Names come from the user: a $ in them is no formula.
    "text.parse_math": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": MUTED,
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 9,
    # Letters as outlines: the page looks the same on every machine.
    "svg.fonttype": "path",
    "svg.hashsalt": "raytrieve",
}


class Plot(Figure):
    """A matplotlib figure that a notebook shows without pyplot or any magic."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=150)
        return buffer.getvalue()


@contextmanager
def drawn(title: str, width: float, height: float) -> Iterator[Plot]:
    """A new figure of `width` x `height` inches with the report's style while the block draws, and a title at its left."""
    with mpl.rc_context(STYLE):
        figure = Plot(figsize=(width, height), layout="constrained", facecolor="white")
        figure.suptitle(title, x=0.002, ha="left", fontsize=11.5, fontweight="bold", color=INK)
        yield figure


def grid(axes: Axes, axis: str) -> None:
    """Light lines across one axis ("x" or "y") only: along the other they would carry nothing."""
    axes.grid(True, axis="x" if axis == "x" else "y")


def to_svg(figure: Figure) -> str:
    """The figure as an <svg> element to put into HTML: scalable, without prologue, metadata or namespace addresses."""
    buffer = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # HTML needs no namespaces, and without them the page holds no address at all.
    opening, rest = text.split(">", 1)
    opening = re.sub(r'\s(xmlns(:\w+)?|width|height)="[^"]*"', "", opening)
    return f'{opening} role="img">{rest}'
