"""Score against compute, paired differences as a forest, and bars by level or subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from cat_bench.report.canvas import EDGE, WIDTH, cut, drawn, shown, title
from cat_bench.report.cells import plain
from cat_bench.report.palette import looks
from cat_bench.report.summary import MAJORITY, ORACLE, SINGLE, WORST
from cat_bench.types import JSON

_BARS = 5
ALPHA = 0.05


def compute_chart(table: pd.DataFrame, record: Mapping[str, JSON]) -> dict[str, bytes]:
    """Score against tokens per question, the Pareto front as a line; as "png" and "svg"."""
    return drawn(lambda: _compute(table, record))


def forest(summary: pd.DataFrame, record: Mapping[str, JSON]) -> dict[str, bytes]:
    """Each method's paired difference from the reference, with its 95 % interval."""
    return drawn(lambda: _forest(summary, record))


def bars(groups: pd.DataFrame, record: Mapping[str, JSON], field: str) -> dict[str, bytes]:
    """Scores by the values of one field of the questions' meta; a few methods side by side."""
    return drawn(lambda: _bars(groups[groups["field"] == field], record, field))


def part_bars(parts: pd.DataFrame, record: Mapping[str, JSON], kind: str) -> dict[str, bytes]:
    """Scores by the rubric's parts of one kind (theme, axis, level), as `breakdown` has them."""
    own = parts[parts["kind"] == kind]
    groups = own.rename(columns={"examples": "questions"}).assign(
        group=own["part"].str.partition(":")[2].str.replace("_", " ")
    )
    return drawn(lambda: _bars(groups, record, kind, what="examples"))


def _compute(table: pd.DataFrame, record: Mapping[str, JSON]) -> Figure:
    # A single rollout is as good at every n, and costs one; the best and worst are no methods.
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
            label=shown(str(name)),
            **EDGE,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("tokens per question, prompt and completion (small figures: n)")
    axes.set_ylabel("score, %")
    axes.margins(y=0.08)
    _number(axes, [rows for _, rows in groups if len(rows) > 1])
    _legend(figure, axes, order={shown(str(m)): float(r["score"].iloc[-1]) for m, r in groups})
    axes.set_title(title(record), loc="left", parse_math=False)
    return figure


def _number(axes: Axes, groups: Sequence[pd.DataFrame]) -> None:
    """Write n at each point, above or below it, where no other figure stands."""
    taken: list[tuple[float, float]] = []
    for rows in groups:
        for n, tokens, score in zip(rows["n"], rows["tokens"], 100 * rows["score"], strict=True):
            x, y = axes.transData.transform((tokens, score)) * 72 / axes.figure.dpi
            places = (y + up for up in (6.0, -11.0))
            free = (p for p in places if all(abs(x - a) > 9 or abs(p - b) > 7 for a, b in taken))
            if (place := next(free, None)) is None:
                continue
            taken.append((x, place))
            above: JSON = {"xytext": (0, place - y), "textcoords": "offset points"}
            axes.annotate(f"{n}", (tokens, score), ha="center", fontsize=6.5, color="0.3", **above)


def _forest(summary: pd.DataFrame, record: Mapping[str, JSON]) -> Figure:
    last = summary[summary["n"].notna()].drop_duplicates("method", keep="last")
    rows = last[last["diff"].notna() & (last["method"] != ORACLE)].sort_values("diff")
    figure = Figure(figsize=(WIDTH, 1.2 + 0.3 * max(len(rows), 2)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color="0.4", linewidth=1)
    places = np.arange(len(rows))
    middle, low, high = (100 * rows[name].to_numpy(float) for name in ("diff", *_ENDS))
    reach = np.maximum(np.nan_to_num([middle - low, high - middle]), 0)
    settled = _settled(rows)
    look = looks(record, rows["method"])
    for place, name in enumerate(rows["method"]):
        axes.errorbar(
            middle[place],
            place,
            xerr=reach[:, [place]],
            fmt=look[name].marker,
            color=look[name].colour,
            markerfacecolor=look[name].colour if settled[place] else "white",
            elinewidth=1.3,
            capsize=2.5,
        )
    names = [f"{cut(plain(row.method))}, n = {row.n}" for row in rows.itertuples()]
    axes.set_yticks(places, names)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    axes.grid(visible=False, axis="y")
    bases = sorted(set(rows["reference"].dropna()), key=len)
    against = cut(plain(bases[0])) if bases else "the reference"
    axes.set_xlabel(f"score less that of {against}, points (95 % interval; hollow: not settled)")
    axes.xaxis.label.set_parse_math(False)
    axes.set_title(title(record), loc="left", parse_math=False)
    return figure


def _settled(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether the interval leaves out 0 and p (Holm), where there is one, is below 5 %."""
    outside = (rows["diff_low"] > 0) | (rows["diff_high"] < 0)
    return (outside & ~(rows["p_holm"] >= ALPHA)).to_numpy(bool)


def _bars(
    groups: pd.DataFrame, record: Mapping[str, JSON], field: str, *, what: str = "questions"
) -> Figure:
    last = groups.sort_values("n", kind="stable").drop_duplicates(["method", "group"], keep="last")
    names = _chosen(last)
    labels = list(dict.fromkeys(groups["group"]))
    figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / max(len(names), 1)
    look = looks(record, names)
    for index, name in enumerate(names):
        rows = last[last["method"] == name].set_index("group").reindex(labels)
        score, low, high = (100 * rows[x].to_numpy(float) for x in ("score", "ci_low", "ci_high"))
        drawn_bars: JSON = axes.bar(
            np.arange(len(labels)) + (index - (len(names) - 1) / 2) * width,
            score,
            width * 0.92,
            yerr=np.maximum(np.nan_to_num([score - low, high - score]), 0),
            color=look[name].colour,
            hatch=look[name].hatch,
            edgecolor="white",
            linewidth=0,
            error_kw={"elinewidth": 0.8, "capsize": 1.5, "ecolor": "0.15"},
            label=shown(name),
        )
        _, caps, reaches = drawn_bars.errorbar.lines
        for line in (*caps, *reaches):  # a dark bar would hide its own interval
            line.set_path_effects([withStroke(linewidth=2.4, foreground="white")])
    asked = last.groupby("group")["questions"].max()
    ticks = [f"{cut(plain(label))}\n({asked[label]})" for label in labels]
    long = max(map(len, labels), default=0) * len(labels) > 60
    axes.set_xticks(range(len(labels)), ticks, rotation=35 if long else 0)
    for text in axes.get_xticklabels():
        text.set_parse_math(False)
        text.set_horizontalalignment("right" if long else "center")
    axes.set_xlabel(f"{cut(plain(field))} ({what})")
    axes.set_ylabel("score, % (with 95 % interval)")
    shares = last[last["method"].isin(names)][["score", "ci_high"]].to_numpy(float)
    top = 100 * float(np.nan_to_num(shares).max(initial=0))
    axes.set_ylim(0, min(102, 1.08 * top) if top > 0 else 102)
    axes.grid(visible=False, axis="x")
    _legend(figure, axes)
    axes.set_title(title(record), loc="left", parse_math=False)
    return figure


_ENDS = ("diff_low", "diff_high")


def _chosen(last: pd.DataFrame) -> Sequence[str]:
    """The floor, majority, and the best of the others on all groups together."""
    weighed = last.assign(mass=last["score"] * last["questions"].astype(float))
    means = weighed.groupby("method")["mass"].sum().sort_values(ascending=False)
    first = [name for name in (SINGLE, MAJORITY) if name in means.index]
    rest = [str(name) for name in means.index if name not in {*first, ORACLE}]
    return [*first, *rest[: _BARS - len(first)]]


def _legend(figure: Figure, axes: Axes, order: Mapping[str, float] | None = None) -> None:
    """A legend beside the axes; the names in `order` follow their lines down."""
    handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    if not handles:
        return
    names = sorted(handles, key=lambda name: -(order or {}).get(name, 0.0))
    legend = figure.legend(
        [handles[name] for name in names], names, loc="outside right upper", frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
