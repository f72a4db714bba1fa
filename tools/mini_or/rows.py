"""The training rows of a small `mini-or` policy: formulations with random slips.

The policy is a test subject for training on estimates. It writes formulations and nothing else: the
task's scripted model, which takes each part from most drafts, is the anchor.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from types import MappingProxyType

from cat_bench.bundled.mini_or.problems import KINDS, Problem, rows
from cat_bench.bundled.tally.problems import split_of
from cat_bench.errors import UsageError
from cat_bench.loading.catalog import root
from cat_bench.loading.prompts import Prompts
from tools.tally.teaching import Turn

SLIP = 0.25
"""The probability of each slip, so that a right formulation is the likeliest, but seldom."""
_COMMON = 20
_PIECE = re.compile(r"\n*[^\d\n]+|\n+")
_BUNDLED = frozenset(row["problem"] for row in rows())


class Modelling:
    """The subject `mini-or`: formulations of problems that are not in the bundled file."""

    def __init__(self) -> None:
        self._prompts = Prompts(root() / "tasks" / "mini-or")

    def problems(self, rng: random.Random, *, most: int | None = None) -> Iterator[Problem]:
        """Yield training problems without end; all of them have the same size."""
        while True:
            kind, make = rng.choice(KINDS)
            text, lines, slips, optimum = make(rng)
            if split_of(text) == "train" and text not in _BUNDLED:
                yield Problem("", kind, text, MappingProxyType(lines), slips, optimum)

    def question(self, problem: Problem) -> str:
        """Return the policy's user message."""
        return self._prompts.render("prompt", problem=problem.text)

    def attempt(
        self, problem: Problem, rng: random.Random, *, noise: float, to_read: bool = False
    ) -> str:
        """Return a formulation with random slips."""
        slips = [name for name in sorted(problem.slips) if rng.random() < noise * SLIP]
        return f"```lp\n{problem.formulation(*slips)}```\n"

    def exchange(
        self, role: str, problem: Problem, drafts: Sequence[str], rng: random.Random
    ) -> list[Turn]:
        """Raise UsageError: this policy learns no role that reads drafts."""
        raise UsageError(f"{role}: mini-or teaches its policy to write formulations only")


def draw_examples(count: int) -> Iterator[str]:
    """Yield prompts and replies of `count` problems."""
    rng, subject = random.Random("corpus"), Modelling()
    for problem in islice(subject.problems(rng), count):
        yield subject.question(problem)
        yield subject.attempt(problem, rng, noise=1.0)


def find_phrases(count: int = 500) -> tuple[str, ...]:
    """Return the texts that are one token each: numbers of two digits, and frequent words."""
    pieces = Counter(piece for text in draw_examples(count) for piece in _PIECE.findall(text))
    common = sorted(p for p, times in pieces.items() if times >= _COMMON and len(p) > 1)
    return (*common, *map(str, range(10, 100)))
