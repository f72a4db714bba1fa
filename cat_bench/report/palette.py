"""The look of a method: one colour, marker and dash in every figure and on the page.

The look depends on the method's place among the run's methods, available or not, so that it is the
same in all reports of a run. Colours are Okabe and Ito's (2008) and, from the eighth on,
two of Tol's muted ones (2021), safe for the colour-blind; markers and dashes distinguish methods in
print. Floor and ceiling are grey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cat_bench.report.summary import ORACLE, SINGLE, WORST
from cat_bench.types.calls import JSON

COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    *("#882255", "#999933"),
)
MARKERS = "osD^vPX<>hp8"
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (3, 1, 1, 1), (1, 1.3))
_GREY = "#737373"


@dataclass(frozen=True, slots=True)
class Look:
    """`marker` is Matplotlib's letter, `dash` lengths on and off in line widths; () is solid."""

    colour: str
    marker: str
    dash: tuple[float, ...] = ()

    @property
    def line(self) -> JSON:
        """The dash as Matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"

    @property
    def outline(self) -> list[list[float]]:
        """The marker as a polygon about (0, 0), y up; shape (corners, 2)."""
        from matplotlib.markers import MarkerStyle

        style = MarkerStyle(self.marker)
        path = style.get_path().transformed(style.get_transform())
        outlines: JSON = path.to_polygons()
        return [[round(x, 2), round(y, 2)] for x, y in outlines[0].tolist()]


_FRAMES = {
    SINGLE: Look(_GREY, "o", (3.7, 1.6)),
    ORACLE: Look(_GREY, "s", (6.4, 1.6, 1, 1.6)),
    WORST: Look(_GREY, "D", (1, 1.6)),
}


def looks(record: Mapping[str, JSON], names: Iterable[str]) -> dict[str, Look]:
    """Return the look of each name, and of each method of the run."""
    everything = dict.fromkeys(map(str, [*(m["name"] for m in record["methods"]), *names]))
    methods = (name for name in everything if name not in _FRAMES)
    return _FRAMES | {name: _look(place) for place, name in enumerate(methods)}


def series(place: int) -> Look:
    """Return the look of a line that is not a method's: dashes change with colours."""
    return Look(
        COLOURS[place % len(COLOURS)],
        MARKERS[place % len(MARKERS)],
        DASHES[place % len(DASHES)],
    )


def _look(place: int) -> Look:
    colours = len(COLOURS)
    return Look(
        COLOURS[place % colours],
        MARKERS[place % len(MARKERS)],
        DASHES[place // colours % len(DASHES)],
    )
