"""How a method looks, decided here alone: one colour, marker and dash in every figure and the page.

By its place among the run's methods, available or not, so that a method looks the same in all that
is made of a run. Colours are Okabe and Ito's (2008), safe for the colour-blind; markers and dashes
tell methods apart in grey. The floor and the ceiling are grey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cat_bench.report.cells import FRAMES
from cat_bench.report.summary import SINGLE
from cat_bench.types import JSON

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX<>hp8"
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (3, 1, 1, 1))
_GREY, _PALE = "#737373", "#A6A6A6"


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


def looks(record: Mapping[str, JSON], names: Iterable[str]) -> dict[str, Look]:
    """The look of each name, and of each method of the run."""
    listed = (str(entry["name"]) for entry in record["methods"])
    found: dict[str, Look] = {}
    for name in dict.fromkeys([*listed, *map(str, names)]):
        place = len(found.keys() - FRAMES)
        found[name] = _frame(name) if name in FRAMES else _method(place)
    return found


def _method(place: int) -> Look:
    rounds = place // len(COLOURS) % len(DASHES)
    return Look(COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)], DASHES[rounds])


def _frame(name: str) -> Look:
    return Look(_GREY if name == SINGLE else _PALE, "o" if name == SINGLE else "s", (3.7, 1.6))
