"""Compare two judges of the same rollouts: their verdicts, and their rankings of methods."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from scipy.stats import kendalltau

from cat_bench.audit.agreement import Agreement, Pair, agreement
from cat_bench.errors import UsageError
from cat_bench.runs.folder import read_record, read_rollouts

_KEY = ["question", "slot"]


def verdicts_of(first: Path, second: Path) -> Agreement:
    """Return the agreement of the two runs' verdicts where both have one; an example is a question.

    Raises UsageError if the runs differ in more than the judge, DataError if a folder is not a run.
    """
    _check_same(first, second)
    columns = [*_KEY, "met"]
    left, right = (read_rollouts(run, columns=columns) for run in (first, second))
    both = left.merge(right, on=_KEY, suffixes=("", "_other"))
    return agreement(
        Pair(bool(verdict), bool(second_verdict), str(question))
        for question, met, rival in zip(
            both["question"], both["met"], both["met_other"], strict=True
        )
        if len(met) == len(rival)
        for verdict, second_verdict in zip(met, rival, strict=True)
    )


def rank_stability(first: Mapping[str, float], second: Mapping[str, float]) -> tuple[float, int]:
    """Return Kendall's tau-b between the scores of the common methods, and their number.

    Tau is NaN for fewer than two methods, and if one side has equal scores only.
    """
    shared = [
        name
        for name in first
        if name in second and not (math.isnan(first[name]) or math.isnan(second[name]))
    ]
    if len(shared) < 2:
        return math.nan, len(shared)
    tau = kendalltau([first[name] for name in shared], [second[name] for name in shared]).statistic
    return float(tau), len(shared)


def _check_same(first: Path, second: Path) -> None:
    """Raise UsageError unless both runs judged the same rollouts by the same rubrics."""
    records = [read_record(run) for run in (first, second)]
    for run, record in zip((first, second), records, strict=True):
        if not record["task"].get("judging"):
            raise UsageError(f"{run} was not scored by a judge")
    facts = (
        ("task", [record["task"]["digest"] for record in records]),
        ("rollouts", [record["pool_digest"] for record in records]),
    )
    for name, (left, right) in facts:
        if left != right:
            raise UsageError(
                f"{first} and {second} have different {name}: run both on the same pool"
            )
