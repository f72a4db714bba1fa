"""Compute rules at many thresholds, and budgets over questions, for the reference table.

`thresholds.csv` has a row per task, model, family of rules and threshold: score and costs of at
most `CAP` samples. `budgets.csv` has a row per task, model, number of samples per question and
rule: what a number of samples in all gives if it is spread evenly, or by disagreement.

Both are means over the same random orders of each question's pool; an even budget is exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from cat_bench.runs.tables import RunTables
from cat_bench.stats.allocation import allocate_by_disagreement, allocate_evenly
from cat_bench.stats.intervals import paired_difference
from cat_bench.stats.thresholds import (
    Curve,
    Statistic,
    bayes_odds,
    beta_chance,
    replay_thresholds,
    replay_window_sizes,
    top_share,
)
from cat_bench.stats.vote_paths import Pooled, VotePaths

CAP = 40
ORDERS = 200
"""The random orders of each question."""
THRESHOLDS: dict[str, tuple[Statistic, Sequence[float]]] = {
    "adaptive-consistency": (beta_chance, (0.7, 0.8, 0.9, 0.95, 0.99, 0.999)),
    "majority-threshold": (top_share, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
    "best-of-infinity": (bayes_odds, (3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)),
}
WINDOWS = (2, 3, 4, 5, 8, 10, 20)
PER_QUESTION = (2, 4, 8, 16)
"""Budgets in samples per question."""


@dataclass(frozen=True, slots=True)
class Curves:
    """One pool's rows of both files."""

    thresholds: pd.DataFrame
    budgets: pd.DataFrame


def draw_curves(folder: Path) -> Curves:
    """Return the rows of the pool whose run is in this folder."""
    task, _, model = folder.name.partition("__")
    asked = read_pools(folder)
    head = {"task": task, "model": model}
    thresholds = pd.DataFrame([head | row for row in _threshold_rows(asked)])
    budgets = pd.DataFrame([head | row for row in _budget_rows(list(asked.values()))])
    return Curves(thresholds, budgets)


def read_pools(folder: Path) -> dict[str, Pooled]:
    """Return each question's pool as votes, from a run."""
    columns = ["question", "cluster", "score", "completion_tokens"]
    rollouts = RunTables(folder).rollouts(columns=columns)
    return {
        str(question): Pooled(
            [None if pd.isna(label) else int(label) for label in rows["cluster"]],
            rows["score"].to_numpy(dtype=float),
            rows["completion_tokens"].to_numpy(dtype=float),
        )
        for question, rows in rollouts.groupby("question", sort=True)
    }


def _threshold_rows(asked: dict[str, Pooled]) -> Iterator[dict[str, object]]:
    """Yield a row per family and threshold: means over the questions."""
    sums: dict[tuple[str, float], list[tuple[float, ...]]] = {}
    for question, pool in asked.items():
        paths = VotePaths.of(pool, rng=rng_of(question), count=ORDERS, last=CAP)
        for family, (statistic, thresholds) in THRESHOLDS.items():
            _add(sums, family, thresholds, replay_thresholds(paths, statistic, thresholds))
        _add(sums, "esc", WINDOWS, replay_window_sizes(paths, WINDOWS))
    names = ("score", "samples", "tokens", "sequential_tokens")
    for (family, threshold), rows in sums.items():
        means = dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))
        yield {"family": family, "threshold": threshold, **means}


def _add(
    sums: dict[tuple[str, float], list[tuple[float, ...]]],
    family: str,
    thresholds: Sequence[float],
    curve: Curve,
) -> None:
    columns = (curve.score, curve.samples, curve.tokens, curve.sequential)
    for threshold, row in zip(thresholds, zip(*columns, strict=True), strict=True):
        sums.setdefault((family, threshold), []).append(row)


def _budget_rows(pools: Sequence[Pooled]) -> Iterator[dict[str, object]]:
    """Yield a row per budget and rule, the adaptive one with its gain over the even one."""
    totals = [size * len(pools) for size in PER_QUESTION]
    adaptive = allocate_by_disagreement(pools, totals, rng=np.random.default_rng(0))
    for size, total, allocated in zip(PER_QUESTION, totals, adaptive, strict=True):
        even = allocate_evenly(pools, total)
        head = {"per_question": size, "questions": len(pools)}
        yield head | {"rule": "even", "score": even.score, "tokens": even.tokens}
        gain = paired_difference(allocated.scores, even.scores)
        yield head | {
            "rule": "by disagreement",
            "score": allocated.score,
            "tokens": allocated.tokens,
            "se_draws": allocated.error,
            "most_samples": float(allocated.samples.max()),
            "diff": gain.mean,
            "diff_low": gain.low,
            "diff_high": gain.high,
        }


def rng_of(question: str) -> np.random.Generator:
    """Return a generator that depends on the question alone."""
    return np.random.default_rng(int.from_bytes(sha256(question.encode()).digest()[:8]))
