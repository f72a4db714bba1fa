"""One plug-in of each kind that a package may bring: nothing to inherit, nothing to register."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cat_bench import Context, Estimate, Question, Rollout, Sample, Score


@dataclass(frozen=True)
class Shortest:
    """Pick the shortest rollout of at least `least` characters."""

    least: int = 0

    async def aggregate(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> Estimate:
        """The shortest; all of them where several are equally short."""
        long_enough = [r for r in rollouts if len(r.text) >= self.least]
        if not long_enough:
            return Estimate.abstain("every rollout is too short")
        shortest = min(len(r.text) for r in long_enough)
        return Estimate.pick(*(r for r in long_enough if len(r.text) == shortest))


@dataclass(frozen=True)
class Vowels:
    """How many vowels a rollout has."""

    reads: ClassVar[Literal["self"]] = "self"

    async def scores(
        self, question: Question, rollouts: Sequence[Rollout], ctx: Context
    ) -> list[float]:
        """One count per rollout."""
        return [float(sum(letter in "aeiou" for letter in r.text)) for r in rollouts]


@dataclass(frozen=True)
class Exact:
    """1 where the text is the target."""

    version: ClassVar[str] = "1"

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
        """One score per text."""
        return [Score(float(text == sample.target)) for text in texts]


class Coin:
    """Call the toss."""

    scorer = Exact()
    methods = ("single", "shortest")

    def samples(self) -> Iterator[Sample]:
        """Four tosses."""
        for k in range(4):
            text = f"Toss {k}: heads or tails?"
            question = Question(f"toss{k}", ({"role": "user", "content": text},), text)
            yield Sample(question, "heads" if k % 2 else "tails")
