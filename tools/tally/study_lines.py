"""One training of the study, and the figures of a recipe over its seeds.

A recipe's scores are means over its seeds, question by question; an interval is over questions, for
these policies; the spread of the seeds is given separately.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import hypot, nan
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd

from cat_bench.report.values import read_values
from cat_bench.stats.intervals import Difference, paired_difference
from cat_bench.training.chart import smooth
from cat_bench.training.journal import read
from cat_bench.types.calls import JSON, FloatArray

N = 8
EDGE = 10
"""The number of steps that "at first" and "at last" stand for."""
GOOD = 0.8
SHARES = ("referenced", "reference_accuracy", "reward_accuracy")
CONTROLS = ("random", "negative-entropy", "format", "length", "shuffled", "shuffled-rubric")
"""Recipes whose rewards know nothing of the answer; `negative-entropy` rewards being sure."""
NORMAL = 1.96
UNKNOWN = Difference(nan, nan, nan, nan, nan, 0)


@dataclass(frozen=True)
class Training:
    """One recipe with one seed, in its folder."""

    recipe: str
    seed: int
    folder: Path
    task: str = "tally"

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
        """The record of the training."""
        record: Mapping[str, JSON] = json.loads((self.folder / "train.json").read_text())
        return record

    def share(self, name: str, part: slice) -> float | None:
        """Return a share's mean over some of the steps."""
        known = [row[name] for row in self.steps[part] if row.get(name) is not None]
        alone: float | None = self.told["training"].get(name)
        return fmean(known) if known else alone

    @property
    def until(self) -> int | None:
        """The first step at which the running mean of the rollouts' scores is `GOOD`."""
        known = {r["step"]: r["rollout_accuracy"] for r in self.steps if "rollout_accuracy" in r}
        if not known:
            return None
        means = smooth(np.array(list(known.values())))
        return next((n for n, mean in zip(known, means, strict=True) if mean >= GOOD), None)

    def values(self, when: str, method: str) -> FloatArray:
        """Return the method's score on each question, in order."""
        values, _ = read_values(self.folder / when)
        return values.columns[(method, 0 if method == "greedy" else N)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A recipe's figures over its seeds; scores in [0, 1], each of the trained policy.

    `gain` is the score of one rollout after training minus that of one before; `least` and `most`
    are the smallest and largest gain of a seed. `behind` is one rollout minus the initial policy's
    synthesis of 8, and `apart` is one rollout minus one of the first recipe. `until` is the mean
    step at which `GOOD` of the rollouts in training are right; None if a seed never reaches it.
    `first` and `last` hold shares at both ends of the training. `note` says how a row was made that
    was not made by this program as it is.
    """

    recipe: str
    seeds: int
    after: float
    gain: Difference
    least: float
    most: float
    behind: Difference
    apart: Difference
    greedy: float
    majority: float | None
    cat: float
    tokens: float
    until: float | None
    first: Mapping[str, float | None]
    last: Mapping[str, float | None]
    note: str = ""

    @property
    def control(self) -> bool:
        """Whether the recipe is a control."""
        return self.recipe in CONTROLS

    def beyond(self, other: "Line") -> Difference:
        """Return the gain minus another recipe's.

        The two are taken for independent. They share problems, so the interval is rather wide.
        """
        mean, se = self.gain.mean - other.gain.mean, hypot(self.gain.se, other.gain.se)
        return Difference(mean, se, mean - NORMAL * se, mean + NORMAL * se, nan, self.gain.n)

    @classmethod
    def of(cls, group: Sequence[Training], *, base: FloatArray | None) -> "Line":
        """Return a recipe's figures over its seeds; `base` holds the first recipe's scores."""
        before, teacher = (group[0].values("before", method) for method in ("single", "cat"))
        seeds = [training.values("after", "single") for training in group]
        gains = [float((seed - before).mean()) for seed in seeds]
        mean = average(group)
        untils = [step for training in group if (step := training.until)]
        voted = "majority" in group[0].told["outcome"]["after"]

        def over_seeds(method: str) -> float:
            return fmean(float(training.values("after", method).mean()) for training in group)

        return cls(
            recipe=group[0].recipe,
            seeds=len(group),
            after=float(mean.mean()),
            gain=paired_difference(mean, before),
            least=min(gains),
            most=max(gains),
            behind=paired_difference(mean, teacher),
            apart=UNKNOWN if base is None else paired_difference(mean, base),
            greedy=over_seeds("greedy"),
            majority=over_seeds("majority") if voted else None,
            cat=over_seeds("cat"),
            tokens=fmean(
                training.told["outcome"]["after"]["single"]["tokens"] for training in group
            ),
            until=fmean(untils) if len(untils) == len(group) else None,
            first=_shares(group, slice(EDGE)),
            last=_shares(group, slice(-EDGE, None)),
        )


def published(path: Path) -> list[Line]:
    """Return the lines of a table that was published before; none if there is no such file."""
    if not path.is_file():
        return []
    table = pd.read_csv(path).astype(object)
    rows = table.where(table.notna(), None).to_dict("records")
    return [_line({str(name): value for name, value in row.items()}) for row in rows]


def _line(row: Mapping[str, JSON]) -> Line:
    """Return a line from its flat row."""
    parts: dict[str, JSON] = {name: row.get(name) for name in ("until", "majority")}
    for name in ("gain", "behind", "apart"):
        given: dict[str, JSON] = {
            field.name: row.get(f"{name}_{field.name}") for field in fields(Difference)
        }
        missing = {key for key, value in given.items() if value is None and key != "flag"}
        parts[name] = Difference(**{**given, **dict.fromkeys(missing, nan)})
    for name in ("first", "last"):
        parts[name] = {share: row.get(f"{name}_{share}") for share in SHARES}
    plain = ("recipe", "seeds", "after", "least", "most", "greedy", "cat", "tokens")
    return Line(**{name: row[name] for name in plain}, **parts, note=row.get("note") or "")


def average(group: Sequence[Training]) -> FloatArray:
    """Return one rollout's score on each question after training, the mean over seeds."""
    means: FloatArray = np.mean([training.values("after", "single") for training in group], axis=0)
    return means


def _shares(group: Sequence[Training], part: slice) -> dict[str, float | None]:
    shares = {}
    for name in SHARES:
        known = [share for training in group if (share := training.share(name, part)) is not None]
        shares[name] = fmean(known) if known else None
    return shares
