"""What a run shows without labels: which answers can be read, and how far they agree.

An answer that most rollouts give need not be right, so nothing here is a score.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean

import pandas as pd
from numpy.typing import ArrayLike

from cat_bench.evaluation.method_rows import FRAMES
from cat_bench.report.cells import as_cell, as_table, rows_of
from cat_bench.report.rounding import format_measured
from cat_bench.runs.parts import RowsByQuestion
from cat_bench.runs.tables import Reading, RunTables
from cat_bench.stats.intervals import mean_interval
from cat_bench.types.calls import JSON

_TITLE = "## What can be told without labels"
_READING = (
    "*Agreement* is the share of questions on which a method gives the commonest answer of "
    "the pool, or one of those that tie; an abstention or another answer counts 0. A *silent* "
    "question has one answer in all rollouts, so a reward that compares answers gives no "
    "advantage there. None of this says what is right."
)


class Agreement(Reading):
    """How far the answers of rollouts and of methods agree, by question."""

    score_columns = (
        *("question", "method", "n", "draw", "failed"),
        *("picks", "weights", "text", "answer_cluster"),
    )
    rollout_columns = ("question", "slot", "cluster", "failed")

    def __init__(self, record: Mapping[str, JSON]) -> None:
        super().__init__(record)
        self.pools: list[dict[str, float]] = []
        """The shares of each question's pool, by name."""
        self.agreed: dict[tuple[str, int], list[float]] = {}
        """Each question's agreement with the majority, by method and n."""

    def add_scores(self, rows: pd.DataFrame, pools: RowsByQuestion) -> None:
        """Take in score rows of whole questions."""
        aside = rows["failed"].notna() | rows["method"].isin(list(FRAMES))
        for question, group in rows[~aside].groupby("question", sort=False):
            pool = pools.of(str(question))
            clusters = {} if pool is None else _clusters(pool)
            if arrived := 0 if pool is None else int(pool["failed"].isna().sum()):
                self.pools.append(_describe(clusters, arrived))
            if not (votes := Counter(clusters.values())):
                continue
            leaders = {label for label, count in votes.items() if count == max(votes.values())}
            values: dict[tuple[str, int], list[float]] = {}
            for row in rows_of(group):
                key = (row["method"], int(row["n"]))
                values.setdefault(key, []).append(_agreement(row, clusters, leaders))
            for key, shares in values.items():
                self.agreed.setdefault(key, []).append(fmean(shares))


def _clusters(pool: pd.DataFrame) -> dict[int, int]:
    """Return the cluster of each rollout with an answer, by slot."""
    answered = pool.dropna(subset="cluster")
    return dict(zip(answered["slot"].astype(int), answered["cluster"].astype(int), strict=True))


def _describe(clusters: Mapping[int, int], rollouts: int) -> dict[str, float]:
    """Return the shares of one question's pool, by their name in the table."""
    votes = Counter(clusters.values())
    return {
        "rollouts with a readable answer, %": len(clusters) / rollouts,
        "rollouts that give the commonest answer, %": max(votes.values(), default=0) / rollouts,
        "silent questions, %": float(len(votes) == 1 and len(clusters) == rollouts),
    }


def _agreement(row: Mapping[str, JSON], clusters: Mapping[int, int], leaders: set[int]) -> float:
    """Return the share of a row's estimate that is one of the commonest answers."""
    if isinstance(row["text"], str):
        return float(row["answer_cluster"] in leaders)
    pairs = zip(row["picks"], row["weights"], strict=True)
    return float(sum(weight for slot, weight in pairs if clusters.get(int(slot)) in leaders))


def agreement_blocks(run: RunTables | Path) -> Iterator[str]:
    """Yield the blocks of a run's table about its answers, if some questions are unlabelled.

    A task without final answers has none.
    """
    run = RunTables.of(run)
    if not run.record.get("unlabelled"):
        return
    agreement = run.reading(Agreement)
    if not agreement.pools or not (agreement.agreed or run.record["rollouts"].get("no_answer")):
        return
    shares = {name: [pool[name] for pool in agreement.pools] for name in agreement.pools[0]}
    yield _TITLE
    yield as_table(
        {"of the pools": list(shares), "mean": [_share(share) for share in shares.values()]},
        left=("of the pools",),
    )
    if last := dict(sorted(agreement.agreed)):
        yield as_table(
            {
                "method": [as_cell(method) for method in last],
                "n": [str(n) for n in last.values()],
                "agreement with the pool's majority, %": [
                    _share(agreement.agreed[key]) for key in last.items()
                ],
            },
            left=("method",),
        )
    yield _READING


def _share(values: ArrayLike) -> str:
    """Return the mean of shares with its 95 % interval over questions."""
    interval = mean_interval(values)
    return format_measured(interval.mean, interval.low, interval.high)
