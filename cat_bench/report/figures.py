"""The scaling curve: score against the number of rollouts that a method may read.

Floor and ceiling are drawn, too. With many methods, only majority and the best two have bands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, log2

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from cat_bench.report.canvas import (
    EDGE,
    WIDTH,
    Chart,
    apply_style,
    explain_empty,
    legend,
    legend_name,
    render_figure,
    title,
)
from cat_bench.report.cells import rows_of
from cat_bench.report.palette import Look, looks
from cat_bench.report.summary import FRAME, MAJORITY
from cat_bench.types.calls import JSON, FloatArray

_FEW = 4
"""If there are more methods, only some have a band."""
_OVER: JSON = (0, (3, 3))
"""The dash of a line that lies on another one, so that both are seen."""


def curve(summary: pd.DataFrame, record: Mapping[str, JSON]) -> dict[str, bytes]:
    """Return the curve as "png" (1300 pixels wide) and "svg" (its text kept as text)."""
    return render_figure(lambda: _figure(summary[summary["score"].notna()], record))


def curve_figure(summary: pd.DataFrame, record: Mapping[str, JSON]) -> Figure:
    """Return the curve as a Matplotlib figure, to show or to change."""
    with apply_style():
        return _figure(summary[summary["score"].notna()], record)


def _figure(scored: pd.DataFrame, record: Mapping[str, JSON]) -> Figure:
    figure = Chart(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.add_subplot()
    if scored.empty:
        axes.set_title(title(record), loc="left", parse_math=False)
        explain_empty(axes, "no method has a score")
        return figure
    last = {str(name): rows["score"].iloc[-1] for name, rows in scored.groupby("method")}
    heading = "\n".join(filter(None, (_headline(scored), title(record))))
    axes.set_title(heading, loc="left", parse_math=False)
    artists = _lines(axes, scored, looks(record, last))
    names = sorted(artists, key=lambda name: last[name], reverse=True)
    legend(figure, {legend_name(name): artists[name] for name in names})
    _axis(axes, sorted({int(n) for n in scored["n"] if n > 0}))
    return figure


def _lines(axes: Axes, scored: pd.DataFrame, look: Mapping[str, Look]) -> dict[str, JSON]:
    """Draw every method and return the legend's handles by name."""
    groups = {str(name): rows for name, rows in scored.groupby("method", sort=False)}
    artists = {}
    for name, rows in groups.items():
        if (rows["n"] == 0).all():
            artists[name] = _draw_across(axes, rows, ":", look[name].colour)
        elif (rows["kind"] == FRAME).all():
            artists[name] = _draw_across(axes, rows, look[name].line, look[name].colour)
    methods = [name for name in groups if name not in artists]
    shifts = _shifts({name: groups[name] for name in methods})
    axes.margins(x=0.15 if any(shifts.values()) else 0.05)
    banded, drawn_before = _choose_banded({name: groups[name] for name in methods}), set[bytes]()
    for name in methods:
        style: dict[str, JSON] = {"color": look[name].colour, "marker": look[name].marker}
        if name in shifts:
            artists[name] = _point(axes, groups[name], shift=shifts[name], **style)
        else:
            points = groups[name][["n", "score"]].to_numpy(float).round(6).tobytes()
            style["linestyle"] = _OVER if points in drawn_before else look[name].line
            drawn_before.add(points)
            artists[name] = _band(axes, groups[name], fade=0.12 * (name in banded), **style)
    return artists


def _choose_banded(groups: Mapping[str, pd.DataFrame]) -> set[str]:
    """Return the methods whose bands are drawn: all of a few, else majority and the best two."""
    if len(groups) <= _FEW:
        return set(groups)
    best = sorted(groups, key=lambda name: -groups[name]["score"].iloc[-1])[:2]
    return {MAJORITY, *best}


def _headline(scored: pd.DataFrame) -> str:
    """Return what the figure shows: the best method at its largest n, beside the majority there."""
    rows = scored[(scored["kind"] != FRAME) & (scored["n"] > 0)]
    if rows.empty:
        return ""
    last = rows.drop_duplicates("method", keep="last")
    (top,) = rows_of(last.nlargest(1, "score"))
    best, n = str(top["method"]), top["n"]
    at = rows[rows["n"] == n].set_index("method")["score"]
    text = f"{legend_name(best)} reaches {100 * at[best]:.1f} % at n = {n}"
    with_majority = best != MAJORITY and MAJORITY in at.index
    return text + (f", {MAJORITY} {100 * at[MAJORITY]:.1f} %" if with_majority else "")


def _shifts(groups: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Return shifts in points that separate the methods with a single point at the same n."""
    sharing: dict[int, list[str]] = {}
    for name, rows in groups.items():
        if len(rows) == 1:
            sharing.setdefault(int(rows["n"].iloc[0]), []).append(name)
    return {
        name: 7.0 * (index - (len(names) - 1) / 2)
        for names in sharing.values()
        for index, name in enumerate(names)
    }


def _draw_across(axes: Axes, rows: pd.DataFrame, linestyle: JSON, colour: str) -> JSON:
    """Draw a thin line to compare with, across the axes if it has a single n."""
    style: JSON = {"color": colour, "linestyle": linestyle, "linewidth": 1.2}
    n, score, *_ = _numbers(rows)
    return axes.axhline(score[0], **style) if len(n) == 1 else axes.plot(n, score, **style)[0]


def _point(axes: Axes, rows: pd.DataFrame, *, shift: float, **style: JSON) -> JSON:
    """Draw one marker with its 95 % interval, if it has one."""
    n, score, low, high = _numbers(rows)
    reach = np.maximum(np.nan_to_num([score - low, high - score]), 0)
    shifted = axes.transData + ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    style |= {"linestyle": "", "elinewidth": 0.9, "capsize": 2, "transform": shifted}
    # A shifted marker does not scale the axes by itself.
    axes.update_datalim(np.column_stack([[*n, *n], [*(score - reach[0]), *(score + reach[1])]]))
    return axes.errorbar(n, score, yerr=reach, **EDGE, **style)


def _band(axes: Axes, rows: pd.DataFrame, *, fade: float, **style: JSON) -> JSON:
    """Draw a line in its 95 % band."""
    n, score, low, high = _numbers(rows)
    axes.fill_between(n, low, high, color=style["color"], alpha=fade, linewidth=0)
    return axes.plot(n, score, **EDGE, **style)[0]


def _numbers(rows: pd.DataFrame) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return n, and the score and its interval in percent; shapes (rows,)."""
    percent = [100 * rows[name].to_numpy(float) for name in ("score", "ci_low", "ci_high")]
    return rows["n"].to_numpy(float), percent[0], percent[1], percent[2]


def _axis(axes: Axes, budgets: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(_space(budgets), [str(n) for n in _space(budgets)])
    axes.set_xticks([], minor=True)
    if len(budgets) == 1:
        axes.set_xlim(budgets[0] / 2, budgets[0] * 2)
    axes.set_xlabel("rollouts read per question, n")
    axes.set_ylabel("score, % (with 95 % interval)")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -2), min(high, 102))


def _space(budgets: Iterable[int]) -> list[int]:
    """Return the budgets that have room for a label, the largest first."""
    budgets = sorted(budgets, reverse=True)
    spaced: list[int] = []
    room = log2(budgets[0] / budgets[-1]) / 20 if budgets else inf
    for n in budgets:
        if not spaced or log2(spaced[-1] / n) >= room:
            spaced.append(n)
    return spaced[::-1]
