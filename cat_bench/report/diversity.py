"""How much the rollouts of a question differ: distinct answers, copies of texts, tied votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from cat_bench.report.forensics import label_of
from cat_bench.runs.tables import Reading, RunTables
from cat_bench.stats.exact import tie_rate
from cat_bench.stats.intervals import Interval, mean_interval
from cat_bench.types.calls import JSON

TIED_OVER = 200
"""Questions whose votes are enumerated, at milliseconds each: enough for a rough share."""


class Clusters(Reading):
    """How the answers of a question's rollouts agree, and how many texts are copies."""

    rollout_columns = ("question", "cluster", "failed", "digest")

    def __init__(self, record: Mapping[str, JSON]) -> None:
        super().__init__(record)
        self.spread: list[pd.DataFrame] = []
        """Distinct answers, and the entropy of their shares in bits, by question."""
        self.labels: list[list[int | None]] = []
        """The answers of the first `TIED_OVER` questions."""
        self.texts = self.different = self.questions = 0
        """Texts, those that differ within their question, and questions with a text."""

    def add_rollouts(self, rows: pd.DataFrame) -> None:
        """Take in the rollouts of whole questions."""
        counts = rows.dropna(subset="cluster").groupby(["question", "cluster"]).size()
        share = counts / counts.groupby(level="question").transform("sum")
        bits = (share * np.log2(share)).groupby(level="question")
        self.spread.append(pd.DataFrame({"distinct": bits.size(), "entropy": 0.0 - bits.sum()}))
        answered = rows[rows["failed"].isna() & rows["digest"].notna()]
        self.texts += len(answered)
        self.different += len(answered.drop_duplicates(["question", "digest"]))
        self.questions += answered["question"].nunique()
        missing = TIED_OVER - len(self.labels)
        for _, group in islice(rows.groupby("question", sort=False), missing):
            labels = group["cluster"][group["failed"].isna()]
            self.labels.append([label_of(label) for label in labels])


def diversity(run: RunTables | Path) -> dict[str, Interval]:
    """Return the means of a question's `distinct answers` and their `entropy` in bits.

    Questions without an answer are left out.
    """
    pool = pd.concat(RunTables.of(run).reading(Clusters).spread).sort_index()
    return {
        "distinct answers": mean_interval(pool["distinct"].to_numpy(float), bounds=None),
        "entropy": mean_interval(pool["entropy"].to_numpy(float), bounds=None),
    }


def copies(run: RunTables | Path) -> tuple[float, float]:
    """Return the share of texts that repeat an earlier one of their question, and texts a question.

    NaN if the pool has no text; failed rollouts have none.
    """
    clusters = RunTables.of(run).reading(Clusters)
    if not clusters.texts:
        return np.nan, np.nan
    return 1 - clusters.different / clusters.texts, clusters.texts / clusters.questions


def tie_shares(run: RunTables | Path, budgets: Sequence[int]) -> dict[int, float]:
    """Return, by n, the mean share of a question's n-subsets whose vote is tied.

    The mean is over those of the first `TIED_OVER` questions that have an answer and n rollouts.
    """
    pools = RunTables.of(run).reading(Clusters).labels
    answered = [labels for labels in pools if any(label is not None for label in labels)]
    rates = [tie_rate(labels, budgets) for labels in answered]
    shares = zip(budgets, np.transpose(rates), strict=False)
    return {n: float(np.nanmean(part)) for n, part in shares if not np.isnan(part).all()}
