"""Warnings about a run's pools: copies, no diversity, or a server that changed while it sampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cat_bench.types.records import Pool

ENOUGH = 8
"""With fewer copies, there is no warning."""
LONG, COPIED = 200, 0.05
"""Texts of `LONG` characters are not equal by chance: a larger share of copies is a warning."""


@dataclass(slots=True)
class PoolChecks:
    """Compares the rollouts of each pool with one another, over all pools of a run."""

    pools: int = 0
    alike: int = 0
    spare: int = 0
    long: int = 0
    copied: int = 0
    moved: int = 0
    served: tuple[str, ...] = ()

    def add(self, pool: Pool, *, temperature: float | None) -> None:
        """Include one question's sampled pool."""
        replies = [rollout.reply for rollout in pool.rollouts]
        self.pools += 1
        if temperature != 0:
            self.alike += len({reply.text for reply in replies}) <= 1
            self.spare += max(0, len(replies) - 1)
            texts = Counter(reply.text for reply in replies if len(reply.text or "") >= LONG)
            self.long += texts.total()
            self.copied += texts.total() - len(texts)
        served = dict.fromkeys(reply.served_by for reply in replies if reply.served_by)
        if len(served) > 1:
            self.moved += 1
            self.served = self.served or tuple(served)

    def warnings(self) -> Iterator[str]:
        """Yield one sentence for each thing that a user should know."""
        if self.spare >= ENOUGH and self.alike == self.pools:
            yield (
                "all rollouts of a question are the same text, for every question, although the "
                "temperature is not 0: the server may ignore seeds or cache replies, and there is "
                "nothing to aggregate"
            )
        elif self.copied >= ENOUGH and self.copied > COPIED * self.long:
            share = self.copied / self.long
            yield (
                f"{share:.0%} of the rollouts of {LONG} characters or more are exact copies of "
                "another of the same question, although the temperature is not 0: the server may "
                f"repeat replies, and n rollouts are worth {1 - share:.2f} n different ones"
            )
        if self.moved:
            yield (
                f"the server of the model changed within {self.moved} of {self.pools} pools "
                f"({', '.join(self.served)}): give --set label=NAME to sample them again"
            )
