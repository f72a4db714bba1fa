"""The notes under a run's table, in Markdown.

They name what could mislead a reader: gaps, counted failures, the method of the intervals.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from cat_bench.report.cells import as_cell, as_sentence, group_warnings, rows_of
from cat_bench.report.readability import no_answer_at_all, notes
from cat_bench.report.summary import FRAME, ORACLE, SINGLE, is_settled
from cat_bench.runs.labels import is_unlabelled
from cat_bench.types.calls import JSON

_NOT_EXCHANGEABLE = (
    "The responses of one question are not i.i.d. samples: a score at n is not what n fresh "
    "rollouts would give."
)
_COUNTED = {
    "unscored": "Unscored questions are left out of means and differences, never counted as wrong.",
    "lost": (
        "Lost: the share of picks without a score, failed draws included; the mean is over the "
        "rest."
    ),
    "abstained": "An abstention counts 0.",
    "exhausted": (
        "Exhausted: an answer that exceeded the grader's limit of time or memory counts 0; in "
        "brackets, the score without such answers."
    ),
    "fallback": (
        "Fallback: a substitute for an unusable reply; in brackets, the score if it counted 0."
    ),
}
_ALWAYS = (
    "The unit of all statistics is the question. Intervals: Wilson's if every score is 0 or 1, "
    "else Student's t; an exact one for any scores if few questions have a hit or differ. "
    "Differences: over common questions; p by sign flips, or exact, Holm-corrected over the "
    "methods, each at its largest n.",
    "Tied picks count the mean of their scores. Calls and tokens: one stand-alone use per "
    "question, without scoring. Sequential: completion tokens that are written one after another "
    "(the longest of parallel rollouts, plus successive rounds).",
)
_BELOW = (
    "Scores below 0 lower a mean, and a mean below 0 shows as 0; SE and differences are computed "
    "from the unclipped means."
)
_ONWARD = (
    "Methods that cost calls end at n = {}, all others at n = {}. A difference is taken at the n "
    "of its row."
)
_UNCOUNTED = "Tokens are empty if the rollouts came without counts."
_CEILING = (
    "The oracle is the best pick among the rollouts that a method reads; a method that writes its "
    "own text may score higher."
)
_FLOOR = (
    "The floor is shown at the other methods' n, with the calls and tokens of n rollouts; a single "
    "rollout alone takes one call."
)
_ORDERS = (
    "Exact on a share of the questions: the values of the other questions are means over random "
    "orders, with a Monte-Carlo error."
)
_ROUNDING = 1e-9
"""Smaller shares are rounding errors."""
_ROLLOUTS = {
    "failed": "failed",
    "refused": "refused",
    "truncated": "cut off at the token limit",
    "no_answer": "without an answer",
    "unscored": "unscored",
}


def list_notes(
    summary: pd.DataFrame, record: Mapping[str, JSON], *, remarks: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the notes under a summary's table as Markdown, `remarks` first."""
    yield from map(as_cell, remarks)
    for reason, rows in summary[summary["n"].isna()].groupby("reason", sort=False):
        names = ", ".join(f"**{as_cell(name)}**" for name in rows["method"])
        yield f"{names} {'is' if len(rows) == 1 else 'are'} not available: {as_cell(str(reason))}"
    yield from _budgets(summary, record)
    yield from _describe_missing(record)
    yield from _describe_twins(record)
    yield from map(as_cell, notes(record))
    yield from map(as_cell, (*record["task"].get("caveats", ()), *record.get("cautions", ())))
    if not record["task"].get("exchangeable", True):
        yield _NOT_EXCHANGEABLE
    yield from _flags(summary)
    yield from _draws(summary)
    yield from _power(summary)
    labelled = not is_unlabelled(record)
    counted = _COUNTED.items() if labelled else ()
    yield from (text for name, text in counted if (summary[name] > _ROUNDING).any())
    if ((summary["score"] == 0) & (summary["se"] > 0)).any():
        yield _BELOW
    if summary.loc[summary["n"].notna(), "prompt_tokens"].isna().any():
        yield _UNCOUNTED
    if (summary["draws"].isna() & (summary["exact"] < 1)).any():
        yield _ORDERS
    methods = set(summary["method"])
    yield from (text for name, text in ((ORACLE, _CEILING), (SINGLE, _FLOOR)) if name in methods)
    yield from _ALWAYS if labelled else _ALWAYS[1:]


def _budgets(summary: pd.DataFrame, record: Mapping[str, JSON]) -> Iterator[str]:
    """Say where methods end if not all of them reach the same n."""
    config, methods = record["config"], summary[summary["kind"] != FRAME]
    if not (free := config.get("free_budgets")):
        return
    last = methods[methods["n"] > 0].groupby("method")["n"].max()
    if {max(config["budgets"]), max(free)} <= set(last):
        yield _ONWARD.format(max(config["budgets"]), max(free))


def _describe_twins(record: Mapping[str, JSON]) -> Iterator[str]:
    """Name methods that differ only in the role that they ask, if one model plays both roles."""
    config = record["config"]
    sampling = config.get("sampling", {})

    def played(value: JSON) -> JSON:
        is_role = isinstance(value, str) and value in sampling and config.get(value)
        return [config[value], sampling[value]] if is_role else value

    twins: dict[str, list[str]] = {}
    for entry in record["methods"]:
        if entry["kind"] != FRAME and not entry.get("reason"):
            params = {name: played(value) for name, value in entry.get("params", {}).items()}
            spec = entry.get("spec", entry["name"])
            key = json.dumps([spec, params, entry.get("budgets")], sort_keys=True)
            twins.setdefault(key, []).append(f"**{as_cell(entry['name'])}**")
    for names in twins.values():
        if len(names) > 1:
            yield (
                f"{' and '.join(names)} are the same here: one model plays their roles, with the "
                "same sampling. Name another model by --judge or --anchor."
            )


def _describe_missing(record: Mapping[str, JSON]) -> Iterator[str]:
    dropped = {int(n): count for n, count in record.get("dropped", {}).items() if count}
    if dropped:
        counts = ", ".join(f"{dropped[n]:,} at n = {n}" for n in sorted(dropped))
        yield f"Questions with too few rollouts, left out of every method: {counts}."
    rollouts = record.get("rollouts", {})
    by_words = {words: rollouts.get(name) for name, words in _ROLLOUTS.items()}
    counts = ", ".join(f"{count:,} {words}" for words, count in by_words.items() if count)
    if counts:
        yield f"Rollouts, of {rollouts['asked']:,}: {counts}."
    if no_answer_at_all(rollouts):
        zeros = "" if is_unlabelled(record) else ": scores of 0 say nothing about the model"
        yield (
            f"**No rollout has a readable answer**{zeros}. Compare a response "
            " (`show --question`) with the task's `pattern`; `cache import "
            "--answer-pattern` gives a pool its own."
        )


def _flags(summary: pd.DataFrame) -> list[str]:
    """Return each warning once, with its rows unless it concerns all of them."""
    rows = rows_of(summary[summary["n"].notna()])
    return sorted(map(as_sentence, group_warnings(rows, [row["flag"] for row in rows], _list_at_n)))


def _list_at_n(rows: Sequence[Mapping[str, JSON]]) -> str:
    """Return rows by method, each with its n."""
    budgets: dict[str, list[str]] = {}
    for row in rows:
        budgets.setdefault(as_cell(row["method"]), []).append(str(row["n"]))
    return "; ".join(f"{method} at n = {', '.join(ns)}" for method, ns in budgets.items())


def _draws(summary: pd.DataFrame) -> Iterator[str]:
    sampled = summary[(summary["n"] > 0) & summary["score"].notna()]
    drawn = sampled[sampled["draws"].notna() & (sampled["se_draws"] != 0)]
    if drawn.empty:
        return
    low, high = drawn["draws"].min(), drawn["draws"].max()
    count = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    names = ", ".join(as_cell(name) for name in drawn["method"].unique())
    yield f"Means over drawn subsets ({count} per question): {names}." + (
        " Other scores are exact expectations over all subsets."
        if len(drawn) < len(sampled)
        else ""
    )


def _power(summary: pd.DataFrame) -> Iterator[str]:
    """Yield the number of questions that would settle the unsettled differences."""
    last = summary[summary["n"].notna()].drop_duplicates("method", keep="last")
    unsettled = last[~is_settled(last) & last["questions_needed"].notna()]
    if len(unsettled):
        needed = ", ".join(
            f"{as_cell(row['method'])} {row['questions_needed']:,}" for row in rows_of(unsettled)
        )
        yield (
            "Not settled against the reference; questions that would settle it if the observed "
            f"difference is the true one (5 % two-sided, power 80 %): {needed}."
        )
