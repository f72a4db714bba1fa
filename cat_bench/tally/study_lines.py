"""One training of the study, and the figures of a recipe over its seeds.

A recipe's scores are means over its seeds, question by question; an interval is over questions, for
these very policies, and beside it stands how far the seeds are apart.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np

from cat_bench.intervals import paired_difference
from cat_bench.report.values import read_values
from cat_bench.rl.chart import smoothed
from cat_bench.rl.journal import read
from cat_bench.types import JSON, FloatArray

N = 8
EDGE = 10
"""Steps that "at first" and "at last" mean."""
GOOD = 0.8


@dataclass(frozen=True)
class Training:
    """One recipe with one seed, in a folder of its own."""

    recipe: str
    seed: int
    folder: Path

    @property
    def done(self) -> bool:
        """Whether it was measured to the end."""
        return (self.folder / "train.json").is_file()

    @cached_property
    def steps(self) -> list[dict[str, JSON]]:
        """A row for each step."""
        return read(self.folder / "metrics.jsonl")

    @cached_property
    def told(self) -> Mapping[str, JSON]:
        """What it found."""
        found: Mapping[str, JSON] = json.loads((self.folder / "train.json").read_text())
        return found

    def share(self, name: str, part: slice) -> float | None:
        """A share's mean over some of the steps."""
        known = [row[name] for row in self.steps[part] if row.get(name) is not None]
        alone: float | None = self.told["training"].get(name)
        return fmean(known) if known else alone

    @property
    def until(self) -> int | None:
        """The first step by which `GOOD` of the rollouts in training are right (running mean)."""
        known = {r["step"]: r["rollout_accuracy"] for r in self.steps if "rollout_accuracy" in r}
        if not known:
            return None
        means = smoothed(np.array(list(known.values())))
        return next((n for n, mean in zip(known, means, strict=True) if mean >= GOOD), None)

    def values(self, when: str, method: str) -> FloatArray:
        """The method's score on each question, in order."""
        values, _ = read_values(self.folder / when)
        return values.columns[(method, 0 if method == "greedy" else N)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A recipe's figures: scores in [0, 1], each after training; `gain` in mean@1 from before.

    `low` and `high` are its 95 % interval; `least` and `most` the seeds' own. `behind` is the mean
    less the initial policy's synthesis of 8, with its interval. `until` is the seeds' mean step by
    which `GOOD` of the rollouts in training are right; None where not all of them get there.
    """

    recipe: str
    seeds: int
    steps: int
    before: float
    after: float
    gain: float
    low: float
    high: float
    least: float
    most: float
    behind: float
    behind_low: float
    behind_high: float
    greedy: float
    majority: float
    cat: float
    tokens: float
    until: float | None
    reference_first: float | None
    reference_last: float | None
    reward_first: float | None
    reward_last: float | None

    @classmethod
    def of(cls, group: Sequence[Training]) -> "Line":
        """Over the seeds of one recipe that are done."""
        before = group[0].values("before", "single")
        teacher = group[0].values("before", "cat")
        seeds = [each.values("after", "single") for each in group]
        mean = np.mean(seeds, axis=0)
        gain, behind = paired_difference(mean, before), paired_difference(mean, teacher)
        untils = [each.until for each in group]
        first, last = slice(EDGE), slice(-EDGE, None)

        def overall(name: str, part: slice) -> float | None:
            known = [share for each in group if (share := each.share(name, part)) is not None]
            return fmean(known) if known else None

        return cls(
            recipe=group[0].recipe,
            seeds=len(group),
            steps=max(row["step"] for row in group[0].steps),
            before=float(before.mean()),
            after=float(mean.mean()),
            gain=gain.mean,
            low=gain.low,
            high=gain.high,
            least=min(float((seed - before).mean()) for seed in seeds),
            most=max(float((seed - before).mean()) for seed in seeds),
            behind=behind.mean,
            behind_low=behind.low,
            behind_high=behind.high,
            **{
                method: fmean(float(each.values("after", method).mean()) for each in group)
                for method in ("greedy", "majority", "cat")
            },
            tokens=fmean(each.told["outcome"]["after"]["single"]["tokens"] for each in group),
            until=None if len(known := [n for n in untils if n]) < len(group) else fmean(known),
            reference_first=overall("reference_accuracy", first),
            reference_last=overall("reference_accuracy", last),
            reward_first=overall("reward_accuracy", first),
            reward_last=overall("reward_accuracy", last),
        )
