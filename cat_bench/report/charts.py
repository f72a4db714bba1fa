"""Charts of score against compute, of paired differences, and of scores by level or subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from cat_bench.report.canvas import (
    EDGE,
    WIDTH,
    cut,
    explain_empty,
    legend,
    legend_name,
    render_figure,
    title,
)
from cat_bench.report.cells import make_plain, rows_of
from cat_bench.report.compute import Axis
from cat_bench.report.palette import looks
from cat_bench.report.summary import MAJORITY, ORACLE, SINGLE, WORST, is_settled
from cat_bench.types.calls import JSON

_AXES: Mapping[Axis, str] = {
    "tokens": "tokens per question, prompt and completion",
    "sequential_tokens": "sequential tokens per question: the critical path of its completions",
}
_FRONTS: Mapping[Axis, str] = {"tokens": "front", "sequential_tokens": "sequential_front"}
_DOTS = 5
_MARKER = 3.2  # half the height of a marker or a number, points


def compute_chart(
    table: pd.DataFrame, record: Mapping[str, JSON], *, axis: Axis = "tokens"
) -> dict[str, bytes]:
    """Draw score against cost per question, with the Pareto front; return "png" and "svg"."""
    points = table.assign(tokens=table[axis], front=table[_FRONTS[axis]])
    return render_figure(lambda: _compute(points, record, axis))


def forest(summary: pd.DataFrame, record: Mapping[str, JSON]) -> dict[str, bytes]:
    """Draw each method's paired difference from the reference, with its 95 % interval."""
    return render_figure(lambda: _forest(summary, record))


def group_dots(groups: pd.DataFrame, record: Mapping[str, JSON], field: str) -> dict[str, bytes]:
    """Draw the scores of a few methods by the values of one meta field of the questions."""
    return render_figure(lambda: _draw_dots(groups[groups["field"] == field], record, field))


def part_dots(parts: pd.DataFrame, record: Mapping[str, JSON], kind: str) -> dict[str, bytes]:
    """Draw the scores by the rubric's parts of one kind (theme, axis, level); see `breakdown`."""
    rows = parts[parts["kind"] == kind]
    groups = rows.rename(columns={"examples": "questions"}).assign(
        group=rows["part"].str.partition(":")[2].str.replace("_", " ")
    )
    return render_figure(lambda: _draw_dots(groups, record, kind, unit="examples"))


def _compute(table: pd.DataFrame, record: Mapping[str, JSON], axis: Axis) -> Figure:
    # A single rollout is the same at every n; oracle and worst are not methods.
    single = (table["method"] == SINGLE) & (table["n"] > 1)
    points = table[table["score"].notna() & ~table["method"].isin((ORACLE, WORST)) & ~single]
    points = points[points["tokens"] > 0]
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.add_subplot()
    front = points[points["front"].astype(bool)].sort_values("tokens")
    axes.step(
        front["tokens"],
        100 * front["score"],
        where="post",
        color="0.75",
        linewidth=5,
        alpha=0.6,
        zorder=1,
        label="Pareto front",
    )
    groups = [(name, rows.sort_values("n")) for name, rows in points.groupby("method", sort=False)]
    look = looks(record, points["method"])
    for name, rows in groups:
        axes.plot(
            rows["tokens"],
            100 * rows["score"],
            color=look[str(name)].colour,
            marker=look[str(name)].marker,
            linestyle=look[str(name)].line,
            label=legend_name(str(name)),
            **EDGE,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_xlabel(f"{_AXES[axis]}\n(small numbers: n)")
    axes.set_ylabel("score, %")
    axes.margins(y=0.08)
    axes.set_title(title(record), loc="left", parse_math=False)
    last = {legend_name(str(name)): float(rows["score"].iloc[-1]) for name, rows in groups}
    handles = _handles(axes)
    legend(figure, {k: handles[k] for k in sorted(handles, key=lambda k: -last.get(k, 0.0))})
    figure.draw_without_rendering()  # fixes the layout, so that positions are final
    _number(axes, points, [name for name, rows in groups if len(rows) > 1])
    return figure


def _number(axes: Axes, points: pd.DataFrame, names: Sequence[JSON]) -> None:
    """Write n once beside each point, where it covers no marker and no other number."""
    where = points[["tokens", "score"]].to_numpy(float) * (1, 100)
    places = axes.transData.transform(where) * 72 / axes.figure.dpi
    boxes = [(x, y, _MARKER) for x, y in places]
    numbered = set()
    ground: JSON = {"boxstyle": "square,pad=0.05", "facecolor": "white", "alpha": 0.7, "lw": 0}
    for row, data, (x, y) in zip(rows_of(points), where.tolist(), places, strict=True):
        same = (row["n"], round(x / _MARKER), round(y / _MARKER))
        if row["method"] not in names or same in numbered:
            continue
        half = 2.1 * len(str(row["n"]))
        free = (
            (right, up)
            for right, up in ((0.0, 8.0), (0.0, -8.0), (4.0 + half, 0.0), (-4.0 - half, 0.0))
            if all(
                abs(x + right - a) > half + wide or abs(y + up - b) > 2 * _MARKER
                for a, b, wide in boxes
            )
        )
        if (offset := next(free, None)) is None:
            continue
        numbered.add(same)
        boxes.append((x + offset[0], y + offset[1], half))
        axes.annotate(
            f"{row['n']}",
            data,
            offset,
            textcoords="offset points",
            ha="center",
            va="center_baseline",
            fontsize=6.5,
            color="0.3",
            bbox=ground,
        )


def _forest(summary: pd.DataFrame, record: Mapping[str, JSON]) -> Figure:
    last = summary[summary["n"].notna()].drop_duplicates("method", keep="last")
    rows = last[last["diff"].notna() & (last["method"] != ORACLE)].sort_values("diff")
    figure = Figure(figsize=(WIDTH, 1.3 + 0.3 * max(len(rows), 2)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title(record), loc="left", parse_math=False)
    if rows.empty:
        explain_empty(axes, "no method to compare with the reference")
        return figure
    axes.axvline(0, color="0.4", linewidth=1)
    places = np.arange(len(rows))
    middle, low, high = (100 * rows[name].to_numpy(float) for name in ("diff", *_ENDS))
    reach = np.maximum(np.nan_to_num([middle - low, high - middle]), 0)
    clear = is_settled(rows).to_numpy(bool)
    look = looks(record, rows["method"])
    for place, name in enumerate(rows["method"]):
        axes.errorbar(
            middle[place],
            place,
            xerr=reach[:, [place]],
            fmt=look[name].marker,
            color=look[name].colour,
            markerfacecolor=look[name].colour if clear[place] else "white",
            elinewidth=1.3,
            capsize=2.5,
        )
    names = [f"{cut(make_plain(row.method))}, n = {row.n}" for row in rows.itertuples()]
    axes.set_yticks(places, names)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(visible=False, axis="y")
    against = cut(make_plain(min(rows["reference"], key=len)))
    axes.set_xlabel(f"score minus {against}, points\n(95 % interval; hollow: not settled)")
    axes.xaxis.label.set_parse_math(False)
    return figure


def _draw_dots(
    groups: pd.DataFrame, record: Mapping[str, JSON], field: str, *, unit: str = "questions"
) -> Figure:
    last = groups.sort_values("n", kind="stable").drop_duplicates(["method", "group"], keep="last")
    names = _choose(last)
    labels = list(dict.fromkeys(groups["group"]))
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.add_subplot()
    step = 0.7 / max(len(names), 1)
    look = looks(record, names)
    for index, name in enumerate(names):
        rows = last[last["method"] == name].set_index("group").reindex(labels)
        score, low, high = (100 * rows[x].to_numpy(float) for x in ("score", "ci_low", "ci_high"))
        axes.errorbar(
            np.arange(len(labels)) + (index - (len(names) - 1) / 2) * step,
            score,
            yerr=np.maximum([score - low, high - score], 0),
            color=look[name].colour,
            marker=look[name].marker,
            linestyle="",
            elinewidth=1.1,
            capsize=2,
            label=legend_name(name),
            **EDGE,
        )
    sizes = last.groupby("group")["questions"].max()
    long = max(map(len, labels), default=0) * len(labels) > 60
    between = " " if long else "\n"
    ticks = [f"{cut(make_plain(label))}{between}({sizes[label]})" for label in labels]
    slanted: JSON = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if long else {}
    axes.set_xticks(range(len(labels)), ticks, parse_math=False, **slanted)
    axes.set_xlabel(f"{cut(make_plain(field))} ({unit})")
    axes.set_ylabel("score, % (with 95 % interval)")
    shares = last[last["method"].isin(names)][["score", "ci_high"]].to_numpy(float)
    top = 100 * float(np.nan_to_num(shares).max(initial=0))
    axes.set_ylim(0, min(102, 1.08 * top) if top > 0 else 102)
    axes.grid(visible=False, axis="x")
    legend(figure, _handles(axes))
    axes.set_title(title(record), loc="left", parse_math=False)
    return figure


_ENDS = ("diff_low", "diff_high")


def _choose(last: pd.DataFrame) -> Sequence[str]:
    """Return the floor, majority, and the best of the others on all groups together."""
    weighed = last.assign(mass=last["score"] * last["questions"].astype(float))
    means = weighed.groupby("method")["mass"].sum().sort_values(ascending=False)
    first = [name for name in (SINGLE, MAJORITY) if name in means.index]
    rest = [str(name) for name in means.index if name not in {*first, ORACLE}]
    return [*first, *rest[: _DOTS - len(first)]]


def _handles(axes: Axes) -> dict[str, JSON]:
    """Return the legend's handles by name, in the order of drawing."""
    handles, names = axes.get_legend_handles_labels()
    return dict(zip(names, handles, strict=True))
