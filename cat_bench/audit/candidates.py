"""The candidates of an audit: every reward with every estimator that it can take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cat_bench.rewards import estimates, reward
from cat_bench.types.plugins import Reward, SupervisedReward
from cat_bench.types.traits import Need, RewardTraits, traits


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reward with the estimator of its reference.

    `estimator` is None if the reward uses no reference.
    """

    estimator: str | None
    spec: str
    reward: Reward | SupervisedReward

    @property
    def name(self) -> str:
        """The name of the candidate in tables."""
        return f"{self.estimator} with {self.spec}" if self.estimator else self.spec

    @property
    def supervised(self) -> bool:
        """Whether the reward sees the target."""
        return isinstance(self.reward, SupervisedReward)

    @property
    def control(self) -> bool:
        """Whether it is a control: it sees the target, or shows what needs no reference."""
        return self.supervised or traits(RewardTraits, self.reward).control

    @property
    def positive(self) -> float | None:
        """The threshold: the least reward of a rewarded rollout; None if there is none."""
        return traits(RewardTraits, self.reward).positive

    @property
    def needs(self) -> frozenset[Need]:
        """The needs of the reward."""
        return traits(RewardTraits, self.reward).needs


def candidates(estimators: Sequence[str], rewards: Sequence[str]) -> list[Candidate]:
    """Return each reward with every estimator, or once if it takes no estimator.

    Duplicates are dropped. Raises UnknownName, ConfigError.
    """
    by_name: dict[str, Candidate] = {}
    for spec in rewards:
        if estimates(spec):
            pairs = [Candidate(name, spec, reward(spec, estimator=name)) for name in estimators]
        else:
            pairs = [Candidate(None, spec, reward(spec))]
        by_name |= {candidate.name: candidate for candidate in pairs}
    return list(by_name.values())
