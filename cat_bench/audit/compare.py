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


def verdicts_of(one: Path, other: Path) -> Agreement:
    """Return how the two runs' verdicts agree where both have one; an example is a question.

    Raises UsageError if the runs differ in more than the judge, DataError if a folder is not a run.
    """
    _check_same(one, other)
    columns = [*_KEY, "met"]
    left, right = (read_rollouts(run, columns=columns) for run in (one, other))
    both = left.merge(right, on=_KEY, suffixes=("", "_other"))
    return agreement(
        Pair(bool(mine), bool(theirs), str(question))
        for question, met, others in zip(
            both["question"], both["met"], both["met_other"], strict=True
        )
        if len(met) == len(others)
        for mine, theirs in zip(met, others, strict=True)
    )


def rank_stability(one: Mapping[str, float], other: Mapping[str, float]) -> tuple[float, int]:
    """Return Kendall's tau-b between the scores of the common methods, and their number.

    Tau is NaN for fewer than two methods, and if one side has equal scores only.
    """
    shared = [
        name
        for name in one
        if name in other and not (math.isnan(one[name]) or math.isnan(other[name]))
    ]
    if len(shared) < 2:
        return math.nan, len(shared)
    tau = kendalltau([one[name] for name in shared], [other[name] for name in shared]).statistic
    return float(tau), len(shared)


def _check_same(one: Path, other: Path) -> None:
    """Raise UsageError unless both runs judged the same rollouts by the same rubrics."""
    records = [read_record(run) for run in (one, other)]
    for run, record in zip((one, other), records, strict=True):
        if not record["task"].get("judging"):
            raise UsageError(f"{run} was not scored by a judge")
    facts = (
        ("task", [record["task"]["digest"] for record in records]),
        ("rollouts", [record["pool_digest"] for record in records]),
    )
    for name, (mine, theirs) in facts:
        if mine != theirs:
            raise UsageError(f"{one} and {other} have different {name}: run both on the same pool")
