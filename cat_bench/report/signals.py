"""Measure the signals that rank rollouts: their order, calibration and best-of-n.

A signal gives each rollout a number (from a reward model, a judge, log-probabilities), and a method
of the run used it. All figures come from scored rollouts; no model is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import nan

import numpy as np
import pandas as pd

from cat_bench.report.cells import as_cell, as_table, format_interval, rows_of
from cat_bench.report.rounding import format_fixed, percent
from cat_bench.runs.parts import places_by_question
from cat_bench.runs.tables import Reading
from cat_bench.stats.exact import best_of_probabilities, expected_score
from cat_bench.stats.intervals import mean_interval
from cat_bench.types.calls import JSON, FloatArray

BINS = 10
COLUMNS = (
    "signal",
    "questions",
    "auroc",
    "auroc_low",
    "auroc_high",
    "n_highest",
    "score_highest",
    "n_last",
    "score_last",
    "fall",
    "fall_low",
    "fall_high",
    "calibration_error",
)
CURVE_COLUMNS = ("signal", "n", "questions", "score", "ci_low", "ci_high")
BIN_COLUMNS = ("signal", "bin", "number", "score", "rollouts")
NOTES = (
    "AUROC is within questions: how often, of two rollouts of one question with different scores, "
    "the better one has the higher number; a tie counts half. 50 % is chance.",
    "Best-of-n is exact over all n-subsets. Where it falls from its highest point to the whole "
    "pool, more samples hurt: the number is over-optimised. The highest point is chosen on the "
    "same questions, so a fall is overstated.",
    "The calibration error is the mean distance of number and score over ten bins of as many "
    "rollouts; it exists for numbers from 0 to 1 only.",
)


@dataclass(slots=True)
class Record:
    """One signal's numbers for the run's rollouts, question by question."""

    orders: list[float] = field(default_factory=list)
    """The AUROC of each question that has one."""
    rated: list[tuple[FloatArray, FloatArray]] = field(default_factory=list)
    """Numbers and scores of each question's scored rollouts."""


class Ratings(Reading):
    """Every signal's numbers for the run's rollouts; empty if no signal rates single ones."""

    rollout_columns = ("question", "slot", "score", "rated_by", "ratings")

    def __init__(self, record: Mapping[str, JSON]) -> None:
        super().__init__(record)
        self.records: dict[str, Record] = {}
        """The records by the signal's name."""

    def add_rollouts(self, rows: pd.DataFrame) -> None:
        """Take in the rollouts of whole questions."""
        scored = rows[rows["score"].notna()]
        scores = scored["score"].to_numpy(dtype=float)
        names, numbers = (scored[name].to_numpy() for name in ("rated_by", "ratings"))
        for _, at in places_by_question(scored):
            each = zip(names[at], numbers[at], strict=True)
            self._add([dict(zip(*rated, strict=True)) for rated in each], scores[at])

    def _add(self, scored: Sequence[Mapping[str, float]], scores: FloatArray) -> None:
        """Take in the scored rollouts of one question: their numbers by signal, their scores."""
        for name in dict.fromkeys(name for ratings in scored for name in ratings):
            numbers = np.array([ratings.get(name, nan) for ratings in scored], dtype=float)
            rated = ~np.isnan(numbers)
            if rated.any():
                record = self.records.setdefault(name, Record())
                record.rated.append((numbers, scores))
                order = concordance(numbers[rated], scores[rated])
                record.orders += [] if np.isnan(order) else [order]


def concordance(numbers: FloatArray, scores: FloatArray) -> float:
    """Return the share of pairs of different scores that `numbers` order correctly.

    Ties count a half. This is the area under the ROC curve if scores are 0 or 1, and NaN if all
    scores are equal.
    """
    better = scores[:, None] > scores[None, :]
    if not better.any():
        return nan
    ahead = np.sign(numbers[:, None] - numbers[None, :])[better]
    return float((ahead + 1).mean() / 2)


@dataclass(frozen=True, slots=True)
class Curve:
    """Best-of-n by a signal at each of `budgets`; `values` has shape (budgets, questions)."""

    budgets: list[int]
    values: FloatArray

    @property
    def means(self) -> list[float]:
        """The score at each budget."""
        return [float(mean) for mean in self.values.mean(axis=1)]


def score_best_of(record: Record) -> Curve:
    """Return best-of-n by a signal, with n doubling up to the whole pool.

    The questions are those with the largest pool.
    """
    size = max(len(scores) for _, scores in record.rated)
    budgets = [*(1 << k for k in range(size.bit_length()) if 1 << k < size), size]
    values = [
        expected_score(best_of_probabilities(numbers, budgets), scores).value
        for numbers, scores in record.rated
        if len(scores) == size
    ]
    return Curve(budgets, np.array(values).T)


def quality(records: Mapping[str, Record]) -> pd.DataFrame:
    """Return one row per signal: AUROC with interval, highest and last point of best-of-n.

    `fall` is the score at the whole pool minus the highest one, paired by question; it is 0 without
    an interval where the whole pool is the highest.
    """
    rows = []
    for name, record in records.items():
        curve = score_best_of(record)
        peak = int(np.argmax(curve.means))
        fall = mean_interval(curve.values[-1] - curve.values[peak], bounds=(-1.0, 1.0))
        falls = peak < len(curve.budgets) - 1
        order = mean_interval(record.orders) if record.orders else None
        bins = calibration(record)
        share = bins["number"].between(0, 1).all()
        error = np.average((bins["number"] - bins["score"]).abs(), weights=bins["rollouts"])
        rows.append(
            {
                "signal": name,
                "questions": len(record.orders),
                "auroc": order.mean if order else nan,
                "auroc_low": order.low if order else nan,
                "auroc_high": order.high if order else nan,
                "n_highest": curve.budgets[peak],
                "score_highest": curve.means[peak],
                "n_last": curve.budgets[-1],
                "score_last": curve.means[-1],
                "fall": fall.mean,
                "fall_low": fall.low if falls else nan,
                "fall_high": fall.high if falls else nan,
                "calibration_error": error if share else nan,
            }
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def calibration(record: Record) -> pd.DataFrame:
    """Return `BINS` bins of equal size: mean `number`, mean `score`, and number of `rollouts`."""
    numbers, scores = (np.concatenate(arrays) for arrays in zip(*record.rated, strict=True))
    rated = ~np.isnan(numbers)
    order = np.argsort(numbers[rated], kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return pd.DataFrame(
        {
            "number": [numbers[rated][part].mean() for part in parts],
            "score": [scores[rated][part].mean() for part in parts],
            "rollouts": [len(part) for part in parts],
        }
    )


def best_of_curves(records: Mapping[str, Record]) -> pd.DataFrame:
    """Return a row per signal × n: best-of-n over the questions with the largest pool."""
    rows = []
    for name, record in records.items():
        curve = score_best_of(record)
        for n, values in zip(curve.budgets, curve.values, strict=True):
            mean = mean_interval(values)
            rows.append((name, n, len(values), mean.mean, mean.low, mean.high))
    return pd.DataFrame(rows, columns=list(CURVE_COLUMNS))


def calibration_bins(records: Mapping[str, Record]) -> pd.DataFrame:
    """Return a row per signal × tenth of its rollouts, the lowest first: mean number and score."""
    tables = [
        calibration(record).assign(signal=name, bin=lambda bins: range(1, len(bins) + 1))
        for name, record in records.items()
    ]
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=BIN_COLUMNS)
    return table[list(BIN_COLUMNS)]


def render_signals(records: Mapping[str, Record]) -> str:
    """Return the signals in Markdown; empty if there are none."""
    if not records:
        return ""
    curves, bins = best_of_curves(records), calibration_bins(records)
    blocks = ["# Signals", _ranks(quality(records))]
    for name in records:
        curve, own_bins = (table[table["signal"] == name] for table in (curves, bins))
        points = {
            "n": [str(n) for n in curve["n"]],
            "best-of-n": [percent(score) for score in curve["score"]],
            "95 %": [format_interval(row) for row in rows_of(curve)],
        }
        tenths = {
            "number": [format_fixed(number, 2) for number in own_bins["number"]],
            "score": [percent(score) for score in own_bins["score"]],
            "rollouts": [str(count) for count in own_bins["rollouts"]],
        }
        blocks += [f"## {as_cell(name)}", as_table(points, left=()), as_table(tenths, left=())]
    return "\n\n".join([*blocks, "\n".join(f"- {note}" for note in NOTES)]) + "\n"


def _ranks(table: pd.DataFrame) -> str:
    rows = rows_of(table)
    columns = {
        "signal": [as_cell(row["signal"]) for row in rows],
        "AUROC": [percent(row["auroc"]) for row in rows],
        "95 %": [format_interval(row, "auroc") for row in rows],
        "best-of-n, highest": [
            f"{percent(row['score_highest'])} at {row['n_highest']}" for row in rows
        ],
        "whole pool": [f"{percent(row['score_last'])} at {row['n_last']}" for row in rows],
        "fall": [f"{percent(row['fall'])} {format_interval(row, 'fall')}".rstrip() for row in rows],
        "calibration error": [percent(row["calibration_error"]) for row in rows],
    }
    return as_table(columns, left=("signal",))
