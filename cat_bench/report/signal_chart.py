"""The figure of a run's signals: best-of-n by each signal, and the score by the signal's number."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cat_bench.report.canvas import EDGE, WIDTH, legend, legend_name, render_figure, title
from cat_bench.report.palette import series
from cat_bench.types.calls import JSON

_FEW = 3
"""If there are more signals, no band is drawn."""


def signal_chart(
    curves: pd.DataFrame, bins: pd.DataFrame, record: Mapping[str, JSON]
) -> dict[str, bytes]:
    """Draw the tables of `best_of_curves` and `calibration_bins`; return "png" and "svg"."""
    return render_figure(lambda: _figure(curves, bins, record))


def _figure(curves: pd.DataFrame, bins: pd.DataFrame, record: Mapping[str, JSON]) -> Figure:
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(curves["signal"]))
    handles: dict[str, JSON] = {}
    for place, name in enumerate(names):
        look = series(place)
        style: JSON = {"color": look.colour, "marker": look.marker, "linestyle": look.line, **EDGE}
        curve, tenths = (table[table["signal"] == name] for table in (curves, bins))
        if len(names) <= _FEW:
            ends = (100 * curve[end].to_numpy(float) for end in ("ci_low", "ci_high"))
            left.fill_between(curve["n"], *ends, color=look.colour, alpha=0.12, linewidth=0)
        (handles[legend_name(name)],) = left.plot(curve["n"], 100 * curve["score"], **style)
        right.plot(tenths["bin"], 100 * tenths["score"], **style)
        if tenths["number"].between(0, 1).all():
            dotted: JSON = {"color": look.colour, "linestyle": ":", "linewidth": 1}
            (drawn,) = right.plot(tenths["bin"], 100 * tenths["number"], **dotted)
            handles.setdefault("the signal's number, 0 to 1", drawn)
    _label(left, right, sorted(set(curves["n"])))
    legend(figure, handles)
    figure.suptitle(title(record), x=0.01, ha="left", fontsize=9, parse_math=False)
    return figure


def _label(left: Axes, right: Axes, budgets: list[int]) -> None:
    left.set_xscale("log", base=2)
    left.set_xticks(budgets, [str(n) for n in budgets])
    left.set_xticks([], minor=True)
    left.set_xlabel("best of n by the signal")
    left.set_ylabel("score, %")
    right.set_xticks(range(1, 11))
    right.set_xlabel("tenth of rollouts, by the signal")
    low, high = left.get_ylim()
    left.set_ylim(max(low, -2), min(high, 102))
