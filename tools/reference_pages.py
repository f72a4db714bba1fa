"""Write the pages and figures of the reference table from its files alone.

`results/reference/README.md` speaks of all tasks; `TASK.md` has a task's rules, its votes and every
model. Sentences are written from the figures, so that they cannot go stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from tabulate import tabulate

from cat_bench.report.canvas import EDGE, WIDTH, Chart, legend, render_figure
from cat_bench.report.cells import rows_of
from cat_bench.report.palette import looks
from cat_bench.report.summary import MAJORITY, ORACLE, SINGLE
from cat_bench.system.files import write_atomic
from cat_bench.types.calls import JSON
from tools.reference_sections import (
    describe_budgets,
    describe_claims,
    describe_ensembles,
    describe_thresholds,
    draw_budgets,
    draw_ensembles,
    draw_thresholds,
)

SILENT = "majority{unanswered=vote}"
"""The vote where unanswered rollouts are a cluster of their own."""
AT = 40
"""The n at which the rules are compared in words: ESC and Adaptive-Consistency were published at
it."""
TASKS = {
    "aime2025": "AIME 2025",
    "gpqa_diamond": "GPQA-diamond",
    "math500": "MATH-500",
}
COSTS = {"tokens": "tokens", "sequential_tokens": "sequential tokens"}
HOW = (
    "*Points* are hundredths of the score. A difference is paired: the same questions, the same "
    "rollouts, the vote at the same n. The vote's own rows show its gain over the n before.",
    "An interval in brackets is the 95 % interval of the mean over models. The models answered the "
    "same questions, so neither models nor pairs of model and question count as independent "
    "([how](../../cat_bench/stats/meta.py)).",
    "The interval of one model is exact for any scores: over 30 questions it is wide even where a "
    "rule never departed from the vote. That of the mean over models (t) takes the spread that was "
    "seen for the spread that there is; it does not cover a kind of question that is in no pool.",
    "*A further model* is the 95 % prediction interval: where the difference of one more model may "
    "lie.",
    "*Tokens* are completion tokens per question; *sequential* are those that must be written one "
    "after another, the longest of each round of parallel rollouts. The pools have no prompt "
    "tokens.",
    "*Exact* is the share of questions whose value is an exact expectation over orders; the other "
    "values are means over 1,000 random orders.",
    "A rollout without an answer is paid for and does not vote.",
)
"""What a reader must know, as a list."""
CLAIMS = (
    "The verdict in bold is over all models of the task, with the mean and its 95 % interval; in "
    "brackets is how many single pools say what. A verdict is what the interval says: *holds*, "
    "*does not*, or *cannot be told*.",
    "*Not testable here*: the pools lack what the claim is about, such as a reward model's scores. "
    "The claim on ensembles is about all models of a task, in the limit of many samples.",
    "A pool of 30 questions can seldom tell: the interval of a paired difference is exact for any "
    "scores, and wide. `cat-bench claims RUN --claims NAME` checks a list on any run.",
    "The lists of claims are in [claims](../../claims), each with its source.",
)
"""How to read the claims."""
FILES = {
    "pools": "a row per task, model, method and n",
    "models": "the means over models",
    "thresholds": "stopping rules at many thresholds, by task and model",
    "ensembles": "several models' votes together, by task and set of models; n = 0 is the limit",
    "beaten": "how often they beat their best member",
    "budgets": "samples spread over questions, by task and model",
    "claims": "every claim on every pool, and over all models",
}


def write_pages(folder: Path) -> None:
    """Write all pages and figures into the folder of the files."""
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in FILES}
    pools, models = tables["pools"], tables["models"]
    tasks = [task for task in TASKS if task in set(models["task"])]
    files = {"README.md": _write_readme(tables, tasks).encode()}
    for task in tasks:
        page = _task(pools[pools["task"] == task], models[models["task"] == task], task)
        files[f"{task}.md"] = page.encode()
    files["costs.png"] = render_figure(lambda: _costs(models, tasks))["png"]
    files["votes.png"] = render_figure(lambda: _votes(pools, tasks))["png"]
    named = {task: TASKS[task] for task in tasks}
    drawn = {
        "thresholds": lambda: draw_thresholds(tables["thresholds"], models, named),
        "ensembles": lambda: draw_ensembles(tables["ensembles"], named),
        "budgets": lambda: draw_budgets(tables["budgets"], named),
    }
    files |= {f"{name}.png": render_figure(draw)["png"] for name, draw in drawn.items()}
    for name, content in files.items():
        write_atomic(folder / name, content)


def _write_readme(tables: Mapping[str, pd.DataFrame], tasks: Sequence[str]) -> str:
    pools, models = tables["pools"], tables["models"]
    named = {task: TASKS[task] for task in tasks}
    count = len(pools[["task", "model"]].drop_duplicates())
    missing = [name for task, name in TASKS.items() if task not in tasks]
    parts = [
        "# Reference table",
        f"Every call-free method and stopping rule on {count} public pools of open reasoning "
        "models ([the pools](../pools/best_of_infinity/README.md)). `make reference` recomputes "
        "this folder, offline.",
        *([f"Not computed yet: {', '.join(missing)}."] if missing else []),
        "## Which rule saves what",
        f"Of at most {AT} samples per question, mean over the models of each task:",
    ]
    parts += [_list(_describe_savings(_select_task(models, task), task)) for task in tasks]
    parts += ["![Score against both costs](costs.png)", "## Which threshold"]
    parts += [describe_thresholds(tables["thresholds"], models, named)]
    parts += ["![Score against both costs, a point per threshold](thresholds.png)"]
    parts += ["## Both costs order the rules"]
    parts += [_list(_orders(_select_task(models, task), task) for task in tasks)]
    parts += ["## Where votes stop helping"]
    parts += [_list(_describe_gains(_select_task(models, task), task) for task in tasks)]
    parts += ["![Score of the vote against n, per model](votes.png)"]
    parts += [
        "## Who votes",
        _list(_describe_silent(_select_task(models, task), task) for task in tasks),
    ]
    parts += ["## How often an ensemble beats its best member"]
    parts += [describe_ensembles(tables["ensembles"], tables["beaten"], named)]
    parts += ["![Score of all models together](ensembles.png)", "## A budget over questions"]
    parts += [describe_budgets(tables["budgets"], named)]
    parts += ["![Score against the budget](budgets.png)", "## Claims"]
    parts += [describe_claims(tables["claims"], named), _list(CLAIMS)]
    parts += ["## How to read it", _list(HOW), "## Files"]
    listed = [
        f"[{TASKS[task]}]({task}.md): all rules at every n, and every model" for task in tasks
    ]
    listed += [f"[{name}.csv]({name}.csv): {summary}" for name, summary in FILES.items()]
    return "\n\n".join([*parts, _list(listed)]) + "\n"


def _task(pools: pd.DataFrame, models: pd.DataFrame, task: str) -> str:
    questions, count = int(models["questions"].max()), pools["model"].nunique()
    names = sorted(pools["model"].unique())
    parts = [
        f"# {TASKS[task]}: {count} models, {questions} questions",
        "Mean over the models. [How to read it](README.md#how-to-read-it).",
    ]
    for n in sorted(models["n"].unique(), reverse=True):
        parts += [f"## n = {n}", _rules(models[models["n"] == n])]
    parts += [f"## Every model, n = {AT}"]
    parts += ["Score in %, and the difference from the vote in points with its 95 % interval."]
    return "\n\n".join([*parts, _tabulate_models(pools[pools["n"].isin((1, AT))], names)]) + "\n"


def _rules(rows: pd.DataFrame) -> str:
    table = [
        {
            "method": f"`{row['method']}`",
            "score, %": f"{100 * row['score']:.1f}",
            "difference, points": _points(row, "diff_low", "diff_high"),
            "a further model": _interval(row, "predicted_low", "predicted_high"),
            "samples": f"{row['samples']:.1f}",
            "tokens": f"{row['tokens']:,.0f}",
            "sequential": f"{row['sequential_tokens']:,.0f}",
            "exact": f"{100 * row['exact']:.0f} %",
        }
        for row in rows_of(rows)
    ]
    return _pipe(table)


def _tabulate_models(rows: pd.DataFrame, names: Sequence[str]) -> str:
    table = []
    for name in names:
        line = {"model": name}
        for row in rows_of(rows[rows["model"] == name]):
            if (row["method"] == SINGLE) == (row["n"] == 1) and row["method"] != ORACLE:
                points = _points(row, "diff_low", "diff_high") if row["n"] > 1 else ""
                line[f"`{row['method']}`"] = f"{100 * row['score']:.1f} {points}".strip()
        table.append(line)
    return _pipe(table)


def _describe_savings(rows: pd.DataFrame, task: str) -> Iterator[str]:
    """A sentence per rule at `AT`."""
    vote = _row(rows, MAJORITY)
    yield (
        f"**{TASKS[task]}** ({vote['models']:.0f} models). The vote scores "
        f"{100 * vote['score']:.1f} % and takes {vote['tokens']:,.0f} tokens, "
        f"{vote['sequential_tokens']:,.0f} of them one after another."
    )
    for name in _names(rows):
        row = _row(rows, name)
        less, longer = (row[cost] / vote[cost] for cost in COSTS)
        points = _points(row, "diff_low", "diff_high")
        yield (
            f"`{name}` takes {100 * less:.0f} % of the vote's tokens and {longer:.1f} times its "
            f"sequential tokens; its score differs by {points} points."
        )


def _describe_silent(rows: pd.DataFrame, task: str) -> str:
    vote, silent = (_row(rows, name) for name in (MAJORITY, SILENT))
    rules = [(name, _row(rows, name)) for name in _names(rows)]
    name, most = max(rules, key=lambda rule: abs(rule[1]["diff"]))
    return (
        f"**{TASKS[task]}**: if unanswered rollouts vote as a cluster of their own, the vote of "
        f"{AT} scores {100 * silent['score']:.1f} % in place of {100 * vote['score']:.1f} %, a "
        f"difference of {_points(silent, 'diff_low', 'diff_high')} points. Of the stopping rules, "
        f"`{name}` is the farthest from the vote: {_points(most, 'diff_low', 'diff_high')}."
    )


def _orders(rows: pd.DataFrame, task: str) -> str:
    at = rows[(rows["n"] == AT) & rows["method"].isin([MAJORITY, *_names(rows)])]
    lists = [
        f"by {words}: " + ", ".join(f"`{name}`" for name in at.sort_values(cost)["method"])
        for cost, words in COSTS.items()
    ]
    correlation = at["tokens"].corr(at["sequential_tokens"], method="spearman")
    return (
        f"**{TASKS[task]}**, the cheapest first, {'; '.join(lists)}. The rank correlation of "
        f"the two orders is {correlation:+.2f}."
    )


def _describe_gains(rows: pd.DataFrame, task: str) -> str:
    votes = rows[(rows["method"] == MAJORITY) & rows["against"].notna()]
    steps = [
        f"{row['against'].partition('@')[2]} to {row['n']} samples "
        f"{_points(row, 'diff_low', 'diff_high')}"
        for row in rows_of(votes)
    ]
    helps = votes["n"][votes["diff_low"] > 0]
    last = f"the one to n = {helps.max()}" if len(helps) else "none"
    return (
        f"**{TASKS[task]}**, points gained: {'; '.join(steps)}. The last step whose interval lies "
        f"above 0 is {last}."
    )


def _costs(models: pd.DataFrame, tasks: Sequence[str]) -> Figure:
    """Score against either cost: a row of axes per task, a line per rule."""
    figure = Chart(figsize=(WIDTH, 2.4 * len(tasks)), layout="constrained")
    grid = figure.subplots(len(tasks), 2, squeeze=False, sharey="row")
    names = [MAJORITY, *_names(models)]
    look, handles = looks({"methods": []}, names), {}
    for axes, task in zip(grid, tasks, strict=True):
        axes[0].set_ylabel(f"{TASKS[task]}, %")
        for place, cost in zip(axes, COSTS, strict=True):
            place.set_xscale("log")
            place.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            place.xaxis.set_major_formatter(FuncFormatter(lambda tokens, _: f"{tokens / 1000:g}k"))
            place.xaxis.set_minor_formatter(NullFormatter())
            for name in names:
                rows = _select_task(models, task)
                rows = rows[rows["method"] == name].sort_values("n")
                style: JSON = {"color": look[name].colour, "marker": look[name].marker, **EDGE}
                handles[name] = place.plot(rows[cost], 100 * rows["score"], **style)[0]
    for place, words in zip(grid[-1], COSTS.values(), strict=True):
        place.set_xlabel(f"{words} per question")
    legend(figure, handles)
    return figure


def _votes(pools: pd.DataFrame, tasks: Sequence[str]) -> Figure:
    """The vote's score against n: a thin line per model, a thick one for their mean."""
    figure = Chart(figsize=(WIDTH, 2.8), layout="constrained")
    for axes, task in zip(figure.subplots(1, len(tasks), squeeze=False)[0], tasks, strict=True):
        rows = pools[(pools["task"] == task) & (pools["method"] == MAJORITY)]
        for _, of_model in rows.groupby("model"):
            axes.plot(of_model["n"], 100 * of_model["score"], color="0.75", linewidth=0.8)
        mean = 100 * rows.groupby("n")["score"].mean()
        axes.plot(mean.index, mean, color="#0072B2", marker="o", **EDGE)
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(mean.index), [str(n) for n in mean.index])
        axes.set_title(f"{TASKS[task]}, majority, %", loc="left")
        axes.set_xlabel("n")
    return figure


def _select_task(rows: pd.DataFrame, task: str) -> pd.DataFrame:
    return rows[rows["task"] == task]


def _names(rows: pd.DataFrame) -> list[str]:
    """The stopping rules, in the table's order."""
    names = rows["method"].drop_duplicates().astype(str)
    return [name for name in names if name not in (SINGLE, MAJORITY, SILENT, ORACLE)]


def _row(rows: pd.DataFrame, method: str) -> dict[str, JSON]:
    return next(iter(rows_of(rows[(rows["method"] == method) & (rows["n"] == AT)])))


def _points(row: JSON, low: str, high: str) -> str:
    if pd.isna(row["diff"]):
        return ""
    return f"{_format_signed(row['diff'])} {_interval(row, low, high)}".strip()


def _interval(row: JSON, low: str, high: str) -> str:
    ends = row[low], row[high]
    return (
        "" if any(map(pd.isna, ends)) else f"[{_format_signed(ends[0])}, {_format_signed(ends[1])}]"
    )


def _format_signed(share: float) -> str:
    """In points; what rounds to 0 has no minus."""
    return f"{round(100 * share, 1) + 0.0:+.1f}"


def _list(items: Iterator[str] | Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _pipe(rows: Sequence[dict[str, str]]) -> str:
    right = ["left", *["right"] * (len(rows[0]) - 1)]
    return tabulate(rows, headers="keys", tablefmt="pipe", colalign=right, disable_numparse=True)
