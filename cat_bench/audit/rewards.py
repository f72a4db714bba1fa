"""Audit rewards before any training: does a reward push the right rollouts?

All figures are measured on groups with known true scores: the task's score of each rollout. A
rollout is right if its score is at least 0.5. The question is the unit of every interval: the
groups of a question are averaged, or summed in a ratio. Rollouts without a reward or a score are
left out and counted. A figure that cannot be measured is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean
from typing import TypeAlias

import numpy as np
from scipy.stats import rankdata

from cat_bench.audit.forecast import Scored, best_of_n, forecast
from cat_bench.rewards.advantages import SAME, advantages
from cat_bench.stats.intervals import (
    SHARES,
    Difference,
    Interval,
    mean_interval,
    paired_difference,
    ratio_interval,
)
from cat_bench.types.traits import POSITIVE

RIGHT = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """One group under one reward: its rewards and true scores, both in the rollouts' order."""

    question: str
    values: Sequence[float | None]
    truth: Sequence[float | None]
    cluster: str | None = None
    labelled: bool = True
    label: float | None = None
    """The task's score of the reference: 0 if the estimator abstained, None if the reward
    uses no reference or the question is unlabelled."""
    abstained: bool = False
    fallback: bool = False
    failed: str | None = None
    proposed: int | None = None
    """Criteria of the rubric before duplicates were removed; None if there is no rubric."""
    met: Sequence[Sequence[bool]] = ()
    """Verdicts by scored rollout and criterion."""
    calls: float = nan
    tokens: float = nan
    """Prompt and completion tokens; NaN if they are unknown."""

    @property
    def pairs(self) -> list[tuple[float, float]]:
        """Reward and truth of each rollout that has both."""
        both = zip(self.values, self.truth, strict=True)
        return [(v, t) for v, t in both if v is not None and t is not None]


Measure: TypeAlias = Callable[[Audited], float | None]
"""Compute a figure of one group; None if the figure is undefined."""
Side: TypeAlias = tuple[Sequence[Audited], Measure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The figures of one reward over all groups.

    `abstained`, `fallbacks`, `failed` and `unlabelled` count groups; `unscored` counts rollouts
    without a reward. Figures that need true scores are measured on labelled groups only.
    """

    groups: int
    unlabelled: int
    abstained: int
    fallbacks: int
    failed: int
    unscored: int
    rewarded: Interval
    """The share of rollouts that are rewarded, of those with a reward."""
    label_accuracy: Interval
    """The mean score of the references."""
    reward_accuracy: Interval
    """The share of rollouts that are rewarded if and only if they are right."""
    false_positives: Interval
    """The share of wrong rollouts that are rewarded."""
    false_negatives: Interval
    """The share of right rollouts that are not rewarded."""
    silent: Interval
    """The share of groups in which no rollout has an advantage."""
    advantage_error: Interval
    """The share of the absolute advantages that push a rollout the wrong way."""
    rank_correlation: Interval
    """Spearman's correlation of rewards and truth within groups where neither is constant."""
    best_of_n: Interval
    """The score of the best-rewarded rollout of a group minus the group's mean."""
    forecast: Interval
    """The predicted gain of training on the reward: see `audit.forecast`."""
    criteria: float
    """Different criteria per rubric."""
    duplicates: float
    """The share of proposed criteria that repeat another one."""
    always_yes: float
    """The share of criteria that every rollout of the group meets."""
    always_no: float
    """The share of criteria that no rollout of the group meets."""
    calls: float
    """Calls per group, including the calls for its rollouts."""
    tokens: float
    """Prompt and completion tokens per group, including its rollouts."""


def figures(groups: Sequence[Audited], *, positive: float | None = POSITIVE) -> Figures:
    """Return the figures of one reward; a rollout is rewarded if it gets at least `positive`.

    With None, figures that need such a number are NaN.
    """
    return Figures(
        groups=len(groups),
        unlabelled=sum(not group.labelled for group in groups),
        abstained=sum(group.abstained for group in groups),
        fallbacks=sum(group.fallback for group in groups),
        failed=sum(group.failed is not None for group in groups),
        unscored=sum(value is None for group in groups for value in group.values),
        rewarded=_mean(groups, lambda group: rewarded_share(group, positive)),
        label_accuracy=_mean(groups, lambda group: group.label),
        reward_accuracy=_mean(groups, lambda group: accuracy(group, positive)),
        false_positives=_ratio(groups, lambda group: _count_missed(group, positive, right=False)),
        false_negatives=_ratio(groups, lambda group: _count_missed(group, positive, right=True)),
        silent=_mean(groups, lambda group: float(not any(advantages(group.values)))),
        advantage_error=_ratio(groups, misdirected_mass),
        rank_correlation=_mean(groups, rank_correlation, bounds=(-1.0, 1.0)),
        best_of_n=_mean(groups, lambda group: best_of_n(group.pairs), bounds=(-1.0, 1.0)),
        forecast=forecast(
            [Scored(group.pairs, group.cluster or group.question) for group in groups]
        ),
        **_measure_rubrics(groups),
        calls=_average([group.calls for group in groups]),
        tokens=_average([group.tokens for group in groups]),
    )


def rewarded_share(group: Audited, positive: float | None = POSITIVE) -> float | None:
    """Return the share of a group's rollouts that are rewarded; it needs no true score."""
    if positive is None:
        return None
    rewarded = [value >= positive for value in group.values if value is not None]
    return fmean(rewarded) if rewarded else None


def accuracy(group: Audited, positive: float | None = POSITIVE) -> float | None:
    """Return the share of a group's rollouts that are rewarded if and only if they are right."""
    if positive is None:
        return None
    hits = [(value >= positive) == (truth >= RIGHT) for value, truth in group.pairs]
    return fmean(hits) if hits else None


def misdirected_mass(group: Audited) -> tuple[float, float]:
    """Return the sum of a group's absolute advantages with the wrong sign, and of all of them.

    An advantage is (R - mean) / sd within the group. Its right sign is the sign of the true score
    minus the group's mean; for 0/1 scores, right rollouts go up and wrong ones down. If all true
    scores are equal, right rollouts should go up and wrong ones down, so half of any push in a
    group without a right rollout is wrong.
    """
    values, truth = zip(*group.pairs, strict=True) if group.pairs else ((), ())
    gold = advantages(truth)
    signs = gold if any(gold) else [1.0 if t >= RIGHT else -1.0 for t in truth]
    pushed = [(a or 0.0, s or 0.0) for a, s in zip(advantages(values), signs, strict=True)]
    return sum(abs(a) for a, s in pushed if a * s < 0), sum(abs(a) for a, _ in pushed)


def rank_correlation(group: Audited) -> float | None:
    """Return Spearman's correlation of rewards and truth; None if either is constant."""
    sides = list(zip(*group.pairs, strict=True))
    if not sides or any(np.ptp(side) <= SAME for side in sides):
        return None
    return float(np.corrcoef(*map(rankdata, sides))[0, 1])


def difference(first: Side, second: Side) -> Difference:
    """Return the paired difference of two measures, over the questions for which both exist."""
    clusters = {group.question: group.cluster for group in first[0]}
    left, right = _average_by_question(*first), _average_by_question(*second)
    shared = [question for question in left if question in right]
    values = [[side[question] for question in shared] for side in (left, right)]
    return paired_difference(*values, clusters=[clusters[question] for question in shared])


def _count_missed(group: Audited, positive: float | None, *, right: bool) -> tuple[float, float]:
    """Return how many right (or wrong) rollouts get the opposite reward, and their total."""
    if positive is None:
        return 0.0, 0.0
    flags = [value >= positive for value, truth in group.pairs if (truth >= RIGHT) == right]
    return float(sum(rewarded != right for rewarded in flags)), float(len(flags))


def _measure_rubrics(groups: Sequence[Audited]) -> dict[str, float]:
    """Return the figures of self-proposed rubrics."""
    judged = [group for group in groups if group.proposed is not None and group.met]
    criteria = [verdicts for group in judged for verdicts in zip(*group.met, strict=True)]
    proposed = sum(group.proposed or 0 for group in judged)
    return {
        "criteria": len(criteria) / len(judged) if judged else nan,
        "duplicates": 1 - len(criteria) / proposed if proposed else nan,
        "always_yes": _average([all(verdicts) for verdicts in criteria]),
        "always_no": _average([not any(verdicts) for verdicts in criteria]),
    }


def _average_by_question(groups: Sequence[Audited], of: Measure) -> dict[str, float]:
    """Return each question's mean over the groups for which the measure is defined."""
    by_question: dict[str, list[float]] = {}
    for group in groups:
        if (value := of(group)) is not None:
            by_question.setdefault(group.question, []).append(value)
    return {question: fmean(values) for question, values in by_question.items()}


def _mean(
    groups: Sequence[Audited], of: Measure, *, bounds: tuple[float, float] = SHARES
) -> Interval:
    shared = {group.question: group.cluster for group in groups}
    means = _average_by_question(groups, of)
    clusters = [shared[question] for question in means]
    return mean_interval(list(means.values()), clusters=clusters, bounds=bounds)


def _ratio(groups: Sequence[Audited], of: Callable[[Audited], tuple[float, float]]) -> Interval:
    hits, trials = dict[str, float](), dict[str, float]()
    for group in groups:
        hit, tried = of(group)
        unit = group.cluster or group.question
        hits[unit] = hits.get(unit, 0.0) + hit
        trials[unit] = trials.get(unit, 0.0) + tried
    return ratio_interval(list(hits.values()), list(trials.values()))


def _average(values: Sequence[float]) -> float:
    return fmean(values) if values else nan
