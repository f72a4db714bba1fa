"""The common parts of all figures: size, fonts, colours, titles, and export as PNG and SVG.

Figures use Matplotlib's objects and defaults, without a window or the user's settings, so that the
same numbers give the same bytes. `palette` assigns each method its colour and marker.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cat_bench.report.cells import BOUNDS, count_questions, make_plain
from cat_bench.types.calls import JSON

_STYLE: JSON = {
    "font.size": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.92",
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "lines.markersize": 5.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "cat_bench",
}
EDGE: JSON = {"markeredgecolor": "white", "markeredgewidth": 0.4}
WIDTH = 6.5  # inches
_LONGEST, _TITLE = 30, 45  # characters beside and above the axes
_LEGEND_LINE = 0.172  # inches


class Chart(Figure):
    """A figure that a notebook shows by itself."""

    def _repr_png_(self) -> bytes:
        return _save(self, "png", {"Software": None})


@contextmanager
def apply_style() -> Iterator[None]:
    """Apply Matplotlib's defaults and this style within the context."""
    with mpl.rc_context(), warnings.catch_warnings():
        # A name in a script that the font lacks is still right in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def render_figure(draw: Callable[[], Figure]) -> dict[str, bytes]:
    """Return the figure as "png" (1300 pixels wide) and "svg" (its text kept as text)."""
    with apply_style():
        figure = draw()
        return {
            "png": _save(figure, "png", {"Software": None}),
            "svg": _save(figure, "svg", {"Date": None}),
        }


def title(record: Mapping[str, JSON]) -> str:
    """Return task, model and questions, in two lines if they are too long for one.

    A long model name keeps its end, which distinguishes models.
    """
    task, model = (make_plain(record["config"][name]) for name in ("task", "model"))
    task, count = cut(task), count_questions(record)
    if len(line := f"{task} · {model} · {count}") <= _TITLE:
        return line
    model = model if len(model) <= _TITLE else "…" + model[1 - _TITLE :]
    return f"{model}\n{task} · {count}"


def cut(text: str) -> str:
    """Shorten the text to fit beside the axes: cut its middle, since the ends tell texts apart."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[: half - 1]}…{text[-half:]}"


def legend_name(name: str) -> str:
    """Return a method's name in a legend; floor and ceiling are marked as such."""
    short = cut(make_plain(name))
    return f"{short} ({BOUNDS[name]})" if name in BOUNDS else short


def legend(figure: Figure, handles: Mapping[str, JSON]) -> None:
    """Draw the legend beside the axes; make the figure higher if it does not fit."""
    if not handles:
        return
    figure.set_figheight(max(figure.get_figheight(), _LEGEND_LINE * (len(handles) + 1)))
    placed = figure.legend(
        list(handles.values()), list(handles), loc="outside right upper", frameon=False
    )
    for text in placed.get_texts():
        text.set_parse_math(False)


def explain_empty(axes: Axes, reason: str) -> None:
    """Write the reason why a figure is empty into the axes."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, reason, transform=axes.transAxes, ha="center", va="center")


def _save(figure: Figure, kind: str, metadata: Mapping[str, None]) -> bytes:
    file = BytesIO()
    figure.savefig(file, format=kind, dpi=200, metadata=dict(metadata))
    return file.getvalue()
