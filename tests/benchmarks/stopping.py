"""Stopping rules on the public pools of Best-of-infinity: exact values against 10,000 orders.

    python -m tests.benchmarks.stopping [--task aime2025] [--orders 10000] [--cap 40] [--out CSV]

For each pool and rule: the exact expected score, samples, tokens and sequential tokens at the cap;
for which share of the questions the value is exact; whether the mean of that many random orders
lies within its Monte-Carlo error on each of them; and the standard deviation over orders of the
pool's score, which is the noise of replaying one order. The answers are compared as strings, ties
are split, and a rollout without an answer is paid for and does not vote. Where a question has no
exact value, the mean over orders stands in. The majority and a single rollout are beside them.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from hashlib import sha256
from math import nan, sqrt
from pathlib import Path
from time import process_time
from typing import Protocol

import numpy as np
import pandas as pd

from cat_bench.stats.exact import majority_probabilities, max_at, uniform_probabilities
from cat_bench.stats.stopping import expect_stop
from cat_bench.stats.stopping_orders import random_orders, replay_rule, replay_windows
from cat_bench.stats.stopping_rules import bayes_factor, beta, entropy, majority_share
from cat_bench.stats.stopping_windows import expect_windows
from cat_bench.types.calls import FloatArray
from cat_bench.types.records import Stopped
from tests.places import SHARED

POOLS = SHARED / "pools" / "best_of_infinity"
_CERTAIN = 1e-6
"""A spread below it is rounding."""
WIDE = 3.0
"""Standard errors beyond which a mean over orders is counted as outside."""


class Expected(Protocol):
    """A rule's exact expectation, NaN where it has none, or its mean over orders."""

    def __call__(
        self,
        labels: Sequence[str | None],
        caps: Sequence[int],
        *,
        tokens: FloatArray,
        **more: object,
    ) -> Stopped:
        """What the rule does at each cap."""


def _voting() -> dict[str, tuple[Expected, Expected]]:
    rules = {
        "adaptive-consistency": beta(0.95),
        "majority-threshold": majority_share(0.8),
        "entropy": entropy(0.75),
        "best-of-infinity": bayes_factor(10.0),
    }
    voting: dict[str, tuple[Expected, Expected]] = {
        name: (partial(expect_stop, rule=rule), partial(replay_rule, rule=rule))
        for name, rule in rules.items()
    }
    for window in (5, 8):
        exact, drawn = (
            partial(expect_windows, window=window),
            partial(replay_windows, window=window),
        )
        voting[f"esc{{window={window}}}"] = (exact, drawn)
    return voting


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One rule on one pool; scores in percent, samples and tokens per question.

    `exact` counts the questions with an exact value. Of those that vary over orders, `within_2` and
    `within_3` are the shares whose mean over orders lies within 2 and 3 of its standard errors, and
    `farthest` is the largest distance in standard errors. `order_sd` is the standard deviation over
    orders of the pool's score in points, `largest_sd` that of its most uncertain question.
    """

    pool: str
    rule: str
    cap: int
    questions: int
    exact: int
    score: float
    samples: float
    tokens: float
    sequential_tokens: float
    varying: int = 0
    within_2: float = nan
    within_3: float = nan
    farthest: float = nan
    order_sd: float = nan
    largest_sd: float = nan
    seconds: float = nan


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a pool: its answers, their tokens, and which of them are right."""

    id: str
    labels: list[str | None]
    tokens: FloatArray
    right: FloatArray


def read(path: Path) -> list[Question]:
    """The questions of a pool's file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Question(
            row["id"],
            [text or None for text in row["responses"]],
            np.array([usage["completion"] for usage in row["usage"]], dtype=float),
            np.array([text == f"\\boxed{{{row['answer']}}}" for text in row["responses"]], float),
        )
        for row in rows
    ]


def compared(name: str, questions: Sequence[Question], rule: str, *, cap: int, orders: int) -> Line:
    """One rule on one pool: exact values beside the means over orders."""
    exactly, drawn = _voting()[rule]
    rows, distances, spreads, seconds, exact = [], [], [], 0.0, 0
    for question in questions:
        seed = int.from_bytes(sha256(question.id.encode()).digest()[:8])
        start = process_time()
        found = exactly(question.labels, [cap], tokens=question.tokens)
        seconds += process_time() - start
        sure = not np.isnan(found.picks).any()
        if orders:
            shuffles = random_orders(
                len(question.labels), np.random.default_rng(seed), count=orders
            )
            mean = drawn(question.labels, [cap], tokens=question.tokens, orders=shuffles)
            assert mean.each is not None
            each = mean.each[:, 0] @ question.right
            spreads.append(float(each.std(ddof=1)))
            if sure and (distance := _distance(found, each, question)) is not None:
                distances.append(distance)
        exact += sure
        if sure or orders:
            best = found if sure else mean
            used = best.drawn[0]
            score = best.picks[0] @ question.right
            rows.append((score, used.sum(), used @ question.tokens, best.sequential[0]))
    score, samples, tokens, sequential = np.mean(rows, axis=0).tolist()
    far = np.array(distances)
    return Line(
        pool=name,
        rule=rule,
        cap=cap,
        questions=len(questions),
        exact=exact,
        score=100 * score,
        samples=samples,
        tokens=tokens,
        sequential_tokens=sequential,
        varying=len(far),
        within_2=float((far <= 2).mean()) if len(far) else nan,
        within_3=float((far <= WIDE).mean()) if len(far) else nan,
        farthest=float(far.max(initial=0)),
        order_sd=100 * sqrt(sum(s**2 for s in spreads)) / len(questions),
        largest_sd=100 * max(spreads, default=nan),
        seconds=seconds,
    )


def _distance(found: Stopped, each: FloatArray, question: Question) -> float | None:
    """How far the mean over orders is from the exact score, in standard errors; None: both certain.

    The larger one counts of the orders' own standard error and that of a score of 0 or 1 with the
    exact mean: orders none of which is a rare one have no error of their own.
    """
    value = float(found.picks[0] @ question.right)
    spread = max(float(each.std(ddof=1)), sqrt(max(value * (1 - value), 0.0)))
    off = abs(float(each.mean()) - value)
    if spread < _CERTAIN:
        assert off < _CERTAIN, f"{question.id}: {each.mean()} is not {value}"
        return None
    return off / (spread / sqrt(len(each)))


def fixed(name: str, questions: Sequence[Question], method: str, n: int) -> Line:
    """The majority of n rollouts, or one of them, in the same columns."""
    rows = []
    for question in questions:
        if method == "single":
            picks = uniform_probabilities(len(question.labels), [n])
        else:
            picks = majority_probabilities(question.labels, [n])
        longest = float(max_at(question.tokens, [n])[0])
        rows.append((picks[0] @ question.right, n, n * question.tokens.mean(), longest))
    score, samples, tokens, sequential = np.mean(rows, axis=0).tolist()
    return Line(
        pool=name,
        rule=f"{method}@{n}",
        cap=n,
        questions=len(questions),
        exact=len(questions),
        score=100 * score,
        samples=samples,
        tokens=tokens,
        sequential_tokens=sequential,
    )


def lines(task: str, *, cap: int, orders: int) -> Iterator[Line]:
    """Every rule on every pool of a task."""
    for path in sorted(POOLS.glob(f"{task}__*.jsonl.gz")):
        name, questions = path.name.removesuffix(".jsonl.gz"), read(path)
        for method, n in (("single", 1), ("majority", 8), ("majority", cap)):
            yield fixed(name, questions, method, n)
        for rule in _voting():
            yield compared(name, questions, rule, cap=cap, orders=orders)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="aime2025")
    parser.add_argument("--cap", type=int, default=40)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rows: list[Line] = []
    for line in lines(given.task, cap=given.cap, orders=given.orders):
        rows.append(line)
        table = pd.DataFrame([{f.name: getattr(row, f.name) for f in fields(Line)} for row in rows])
        if given.out:
            table.round(4).to_csv(given.out, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
