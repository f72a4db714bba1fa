"""Write what the reference table says of ensembles, thresholds, budgets and claims.

Each function returns Markdown or a figure from a file of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tabulate import tabulate

from cat_bench.report.canvas import EDGE, WIDTH, Chart, legend
from cat_bench.report.cells import rows_of
from cat_bench.report.claims import read_claims
from cat_bench.report.palette import COLOURS, MARKERS
from cat_bench.report.rounding import format_measured
from cat_bench.report.summary import MAJORITY
from cat_bench.stats.intervals import mean_interval
from tools.reference_claims import ALL, LISTS

LIMIT, AT = 0, 40
COSTS = {"tokens": "tokens", "sequential_tokens": "sequential tokens"}
NEAR = 0.002
"""How far below the vote a threshold may score to count as no loss."""
KINDS = {"equal": "equal weights", "learnt": "weights learnt on other questions"}


def describe_ensembles(
    ensembles: pd.DataFrame, beaten: pd.DataFrame, tasks: Mapping[str, str]
) -> str:
    """Return how often several models together beat the best of them."""
    rows = []
    for row in rows_of(beaten[(beaten["sets"] > 1) | (beaten["n"] == LIMIT)]):
        of = ensembles[
            (ensembles["task"] == row["task"])
            & (ensembles["size"] == row["size"])
            & (ensembles["n"] == row["n"])
            & (ensembles["weights"] == row["weights"])
        ]
        rows.append(
            {
                "task": tasks[row["task"]],
                "models": f"{row['size']}",
                "sets": f"{row['sets']}",
                "samples": "limit" if row["n"] == LIMIT else f"{row['n']} in all",
                "weights": row["weights"],
                "beat the best, %": format_measured(
                    *(row[f"beats_best{end}"] for end in ("", "_low", "_high"))
                ),
                "beat the chosen, %": f"{100 * (of['diff_chosen'] > 1e-9).mean():.0f}",
                "surely, %": _count_sure(of),
                "mean gain, points": f"{100 * row['mean_gain']:+.1f}",
            }
        )
    lines = [_describe_whole(ensembles, task, name) for task, name in tasks.items()]
    notes = (
        "*Best* is the member that scores best on these questions, which is known only afterwards; "
        "*chosen* is the member that scores best on the others. An ensemble at n divides n "
        "samples among its models, and is compared with n samples of one member. The *limit* casts "
        "each pool's shares.",
        "The interval of a share is a bootstrap over questions. *Surely*: the 95 % interval of the "
        "difference from the chosen member lies above 0. *Mean gain* is over the best.",
    )
    return "\n\n".join([_list(lines), _pipe(rows), _list(notes)])


def _count_sure(rows: pd.DataFrame) -> str:
    known = rows["diff_chosen_low"].dropna()
    return f"{100 * (known > 0).mean():.0f}" if len(known) else ""


def _describe_whole(ensembles: pd.DataFrame, task: str, name: str) -> str:
    """A sentence on all models of a task together."""
    rows = ensembles[ensembles["task"] == task]
    rows = rows[(rows["size"] == rows["size"].max()) & (rows["n"] == AT)]
    parts = []
    for row in rows_of(rows):
        ends = (row[f"diff_chosen{end}"] for end in ("", "_low", "_high"))
        parts.append(
            f"{100 * row['score']:.1f} % with {KINDS[row['weights']]} "
            f"({format_measured(*ends, sign='+')} points)"
        )
    first = next(iter(rows_of(rows)))
    return (
        f"**{name}**, all {first['size']} models, {AT} samples in all: {', '.join(parts)}; the "
        f"member that is best on the other questions scores {100 * first['chosen']:.1f} %, the "
        f"best of all {100 * first['best']:.1f} %."
    )


def describe_budgets(budgets: pd.DataFrame, tasks: Mapping[str, str]) -> str:
    """Return what a number of samples in all gives, evenly or by disagreement."""
    rows = []
    for (task, size), at in budgets.groupby(["task", "per_question"]):
        even, adaptive = (at[at["rule"] == rule] for rule in ("even", "by disagreement"))
        gain = mean_interval(adaptive["diff"])
        rows.append(
            {
                "task": tasks[str(task)],
                "samples per question": f"{size}",
                "even, %": f"{100 * even['score'].mean():.1f}",
                "by disagreement, %": f"{100 * adaptive['score'].mean():.1f}",
                "gain, points": format_measured(gain.mean, gain.low, gain.high, sign="+"),
                "pools that gain": f"{(adaptive['diff'] > 0).sum()} of {len(adaptive)}",
                "tokens, even": f"{even['tokens'].mean():,.0f}",
                "tokens, adaptive": f"{adaptive['tokens'].mean():,.0f}",
            }
        )
    notes = (
        "*By disagreement*: each next sample goes to the question whose leading answer is least "
        "certain, as Adaptive-Consistency computes it. Even splits are exact, the others means "
        "over 200 random orders.",
        "The interval is Student's over the models.",
    )
    return "\n\n".join([_pipe(rows), _list(notes)])


def describe_thresholds(
    thresholds: pd.DataFrame, models: pd.DataFrame, tasks: Mapping[str, str]
) -> str:
    """Return each family's cheapest threshold that scores as the vote, by task."""
    rows = []
    for task, name in tasks.items():
        votes = models[(models["task"] == task) & (models["method"] == MAJORITY)]
        vote = votes[votes["n"] == AT].iloc[0]
        means = _mean_thresholds(thresholds, task)
        for family, curve in means.groupby("family", sort=False):
            near = curve[curve["score"] >= vote["score"] - NEAR].sort_values("tokens")
            if near.empty:
                continue
            row = near.iloc[0]
            rows.append(
                {
                    "task": name,
                    "family": f"`{family}`",
                    "threshold": f"{row['threshold']:g}",
                    "score, %": f"{100 * row['score']:.1f}",
                    "samples": f"{row['samples']:.1f}",
                    "tokens, % of the vote's": f"{100 * row['tokens'] / vote['tokens']:.0f}",
                    "sequential, times the vote's": (
                        f"{row['sequential_tokens'] / vote['sequential_tokens']:.1f}"
                    ),
                }
            )
    head = (
        f"The cheapest threshold of each family by tokens whose mean score is at most "
        f"{100 * NEAR:g} points below the vote's, of at most {AT} samples; the threshold of `esc` "
        "is its window. The thresholds are chosen and judged on the same pools."
    )
    return "\n\n".join([head, _pipe(rows)])


def describe_claims(claims: pd.DataFrame, tasks: Mapping[str, str]) -> str:
    """Return every claim with its verdict over all models, and how many pools say what."""
    rows = []
    for name in LISTS:
        listed = read_claims(name)
        for claim in listed.claims:
            row = {"claim": claim.says, "source": listed.source}
            for task, title in tasks.items():
                selected = claims[(claims["list"] == name) & (claims["claim"] == claim.id)]
                selected = selected[selected["task"] == task]
                whole = selected[selected["model"] == ALL].iloc[0]
                counts = selected[selected["model"] != ALL]["verdict"].value_counts()
                tally = ", ".join(f"{verdict} {count}" for verdict, count in counts.items())
                row[title] = f"**{whole['verdict']}**: {_shorten(whole['measured'])} ({tally})"
            rows.append(row)
    return _pipe(rows, left=True)


def _shorten(measured: str) -> str:
    return str(measured).partition(";")[0]


def draw_thresholds(
    thresholds: pd.DataFrame, models: pd.DataFrame, tasks: Mapping[str, str]
) -> Figure:
    """Draw score against either cost: a row of axes per task, a line per family of rules."""
    figure = Chart(figsize=(WIDTH, 2.6 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), 2, squeeze=False, sharey="row")
    handles = {}
    for axes, (task, name) in zip(grid, tasks.items(), strict=True):
        axes[0].set_ylabel(f"{name}, %")
        vote = models[(models["task"] == task) & (models["method"] == MAJORITY)]
        lines = {MAJORITY: vote[vote["n"] <= AT].sort_values("n")}
        means = _mean_thresholds(thresholds, task)
        lines |= {str(family): curve for family, curve in means.groupby("family", sort=False)}
        for place, cost in zip(axes, COSTS, strict=True):
            _format_tokens(place)
            for k, (label, rows) in enumerate(lines.items()):
                style = {"color": COLOURS[k], "marker": MARKERS[k], "markersize": 4, **EDGE}
                (handles[label],) = place.plot(rows[cost], 100 * rows["score"], **style)
    for place, words in zip(grid[-1], COSTS.values(), strict=True):
        place.set_xlabel(f"{words} per question")
    legend(figure, handles)
    return figure


def draw_ensembles(ensembles: pd.DataFrame, tasks: Mapping[str, str]) -> Figure:
    """Draw all models of a task together against n, and the best member beside them."""
    figure = Chart(figsize=(WIDTH, 2.8), layout="constrained")
    handles = {}
    grid = figure.subplots(1, len(tasks), squeeze=False)[0]
    for axes, (task, name) in zip(grid, tasks.items(), strict=True):
        rows = ensembles[(ensembles["task"] == task) & (ensembles["n"] > LIMIT)]
        rows = rows[rows["size"] == rows["size"].max()].sort_values("n")
        equal, learnt = (rows[rows["weights"] == kind] for kind in KINDS)
        lines = {
            "best member": (equal["n"], equal["best"]),
            "member chosen on other questions": (equal["n"], equal["chosen"]),
            KINDS["equal"]: (equal["n"], equal["score"]),
            KINDS["learnt"]: (learnt["n"], learnt["score"]),
        }
        for k, (label, (x, y)) in enumerate(lines.items()):
            style = {"color": COLOURS[k], "marker": MARKERS[k], "markersize": 4, **EDGE}
            (handles[label],) = axes.plot(x, 100 * y, **style)
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(equal["n"]), [str(n) for n in equal["n"]], size="small")
        axes.set_title(f"{name}, %", loc="left")
        axes.set_xlabel("samples in all")
    legend(figure, handles)
    return figure


def draw_budgets(budgets: pd.DataFrame, tasks: Mapping[str, str]) -> Figure:
    """Draw score against samples per question, and against tokens, for both rules."""
    figure = Chart(figsize=(WIDTH, 2.4 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), 2, squeeze=False, sharey="row")
    handles = {}
    for axes, (task, name) in zip(grid, tasks.items(), strict=True):
        at = budgets[budgets["task"] == task]
        axes[0].set_ylabel(f"{name}, %")
        for k, (rule, rows) in enumerate(at.groupby("rule", sort=False)):
            means = rows.groupby("per_question")[["score", "tokens"]].mean()
            style = {"color": COLOURS[k], "marker": MARKERS[k], **EDGE}
            (handles[str(rule)],) = axes[0].plot(means.index, 100 * means["score"], **style)
            axes[1].plot(means["tokens"], 100 * means["score"], **style)
        axes[0].set_xscale("log", base=2)
        ticks = sorted(at["per_question"].unique())
        axes[0].set_xticks(ticks, [str(tick) for tick in ticks])
        _format_tokens(axes[1])
    grid[-1][0].set_xlabel("samples per question")
    grid[-1][1].set_xlabel("tokens per question")
    legend(figure, handles)
    return figure


def _format_tokens(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens / 1000:g}k"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _mean_thresholds(thresholds: pd.DataFrame, task: str) -> pd.DataFrame:
    rows = thresholds[thresholds["task"] == task]
    columns = ["score", "samples", *COSTS]
    return rows.groupby(["family", "threshold"], sort=False)[columns].mean().reset_index()


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _pipe(rows: Sequence[Mapping[str, str]], *, left: bool = False) -> str:
    side = "left" if left else "right"
    align = ["left", *[side] * (len(rows[0]) - 1)]
    return tabulate(rows, headers="keys", tablefmt="pipe", colalign=align, disable_numparse=True)
