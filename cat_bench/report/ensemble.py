"""The table of an ensemble: several models' votes together, compared with the best member.

The *best member* of a question is the model that scores best on the other questions: nobody knows
in advance which model is best on all.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from cat_bench.report.cells import as_cell, as_table, format_interval, format_points, rows_of
from cat_bench.report.rounding import format_count, percent
from cat_bench.runs.ensemble import MEMBER
from cat_bench.stats.intervals import mean_interval, paired_difference
from cat_bench.types.calls import JSON

COLUMNS = (
    *("method", "n", "questions", "score", "ci_low", "ci_high", "diff", "diff_low", "diff_high"),
    *("p", "tokens", "sequential_tokens", "exact", "se_draws"),
)


def ensemble_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row per method and n with `COLUMNS`, from the rows of `make_method_rows`.

    Scores are shares with 95 % intervals; differences are paired with the best member at the same
    n; tokens are means per question. `exact` is the share of questions with an exact score, and
    `se_draws` the Monte-Carlo error of the others' mean.
    """
    table = []
    for n, at in rows.groupby("n", sort=True):
        scores = at.pivot(index="question", columns="method", values="score")
        for method, group in at.groupby("method", sort=False):
            mean = mean_interval(scores[method])
            row: dict[str, JSON] = {
                "method": method,
                "n": n,
                "questions": len(group),
                "score": mean.mean,
                "ci_low": max(mean.low, 0.0),
                "ci_high": min(mean.high, 1.0),
                "tokens": group["tokens"].mean(),
                "sequential_tokens": group["sequential_tokens"].mean(),
                "exact": group["error"].isna().mean(),
                "se_draws": (group["error"] ** 2).sum() ** 0.5 / len(group),
            }
            table.append(row | _against_best(scores, str(method)))
    return pd.DataFrame(table, columns=list(COLUMNS))


def render_ensemble(table: pd.DataFrame) -> str:
    """Return the Markdown: for each n, the methods in order of their scores."""
    rows = rows_of(table.sort_values(["n", "score"], ascending=[True, False], kind="stable"))
    columns = {
        "method": [as_cell(row["method"]) for row in rows],
        "n": [f"{row['n']}" for row in rows],
        "score, %": [percent(row["score"]) for row in rows],
        "95 % interval": [format_interval(row) for row in rows],
        "difference, points": [_difference(row) for row in rows],
        "tokens": [format_count(row["tokens"]) for row in rows],
        "sequential": [format_count(row["sequential_tokens"]) for row in rows],
    }
    notes = (
        "n is the number of samples in all: an ensemble divides them among its models by their "
        "weights.",
        f"Differences: score minus that of `{MEMBER}`, the model that is best on the other "
        "questions, at the same n. Learnt weights are learnt on the other questions, too.",
        *_inexact(table),
    )
    return as_table(columns, left=("method",)) + "\n\n" + "\n".join(f"- {note}" for note in notes)


def _against_best(scores: pd.DataFrame, method: str) -> dict[str, JSON]:
    if method == MEMBER:
        return {}
    difference = paired_difference(scores[method], scores[MEMBER])
    low, high = max(difference.low, -1.0), min(difference.high, 1.0)
    return {"diff": difference.mean, "diff_low": low, "diff_high": high, "p": difference.p}


def _difference(row: Mapping[str, JSON]) -> str:
    return "reference" if row["method"] == MEMBER else format_points(row, "diff")


def _inexact(table: pd.DataFrame) -> list[str]:
    if (table["exact"] == 1).all():
        return []
    most = table["se_draws"].max()
    return [
        f"Scores are exact expectations for at least {percent(table['exact'].min())} % of the "
        f"questions, and means over random draws for the others: a standard error of at most "
        f"{100 * most:.2f} points."
    ]
