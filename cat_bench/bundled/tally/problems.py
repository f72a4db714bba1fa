"""Procedurally generated counting problems of two to five independent parts.

A part is a pile to count: loose items only (easy), boxes of items (harder), or boxes with some
items added or taken away (which are easily forgotten). Between none and four piles hold
boxes, so that a stream mixes problems which are nearly always solved with problems which are
seldom solved whole. Every count has two digits.

Invariants: everything is a pure function of the seed; the digest of its text puts each problem
into exactly one split, so that no model was trained on a problem of the split ``test``.
"""

import hashlib
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, Protocol, TypeVar

from cat_bench.types.calls import JSON

Split = Literal["test", "train"]
Kind = Literal["loose", "boxed", "mixed"]

LABELS = "abcde"
#: What ``tasks/tally/problems.jsonl`` holds; this module, run as a program, writes it.
TASK_COUNT, TASK_SEED = 300, 1
#: The numbers of two digits, each one token of the bundled model; every count is among them.
COUNTS = (10, 99)

_HEADING = "Count each pile, then box the counts in order."
_ITEMS = ("pears", "plums", "nuts", "keys", "cards", "shells", "beads", "coins")
_BOXES = ("crates", "bags", "jars", "trays")


class HasText(Protocol):
    """A problem of any bundled subject."""

    @property
    def text(self) -> str:
        """What the model is asked."""
        ...


P = TypeVar("P", bound=HasText)


@dataclass(frozen=True, slots=True)
class Pile:
    """One part: its wording, its count, and the wrong count that overlooks the change."""

    kind: Kind
    text: str
    count: int
    wrong_count: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem; ``answer`` is the right content of the final box, such as ``61, 29``."""

    id: str
    text: str
    answer: str
    piles: tuple[Pile, ...] = field(repr=False)

    @property
    def level(self) -> int:
        """Number of piles that hold boxes, 0 to 4: the source of difficulty."""
        return sum(pile.kind != "loose" for pile in self.piles)


def problems(count: int, *, seed: int, split: Split = "test") -> Iterator[Problem]:
    """Yield ``count`` distinct problems of one split, the same ones for the same seed."""
    rng = random.Random(f"{split} {seed}")
    return islice(drop_repeats(stream(rng, split=split)), count)


def stream(rng: random.Random, *, split: Split, most: int = len(LABELS)) -> Iterator[Problem]:
    """Yield problems of one split with at most ``most`` parts, without end and with repeats."""
    while True:
        problem = _draw(rng, most)
        if split_of(problem.text) == split:
            yield problem


def problem_rows(count: int, *, seed: int, split: Split = "test") -> Iterator[dict[str, JSON]]:
    """Yield problems as rows of the task's data file."""
    for problem in problems(count, seed=seed, split=split):
        yield {
            "id": problem.id,
            "problem": problem.text,
            "answer": problem.answer,
            "level": problem.level,
        }


def task_lines() -> Iterator[str]:
    """Yield the lines of the bundled task's file."""
    return (json.dumps(row) + "\n" for row in problem_rows(TASK_COUNT, seed=TASK_SEED))


def split_of(text: str) -> Split:
    """Return the split of a problem: one text in four is kept for testing."""
    return "test" if hashlib.sha256(text.encode()).digest()[0] < 64 else "train"


def drop_repeats(stream: Iterator[P]) -> Iterator[P]:
    """Yield each problem of a stream once."""
    seen: set[str] = set()
    for problem in stream:
        if problem.text not in seen:
            seen.add(problem.text)
            yield problem


def text_id(text: str) -> str:
    """Return the first twelve hexadecimal digits of a text's digest."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _draw(rng: random.Random, most: int) -> Problem:
    level = rng.randint(0, min(4, most))
    loose = rng.randint(max(2, level), most) - level
    boxed: list[Kind] = ["mixed" if rng.random() < 1 / 3 else "boxed" for _ in range(level)]
    kinds = boxed + ["loose"] * loose
    rng.shuffle(kinds)
    piles = tuple(_pile(kind, rng) for kind in kinds)
    lines = (f"({label}) {pile.text}" for label, pile in zip(LABELS, piles, strict=False))
    text = "\n".join((_HEADING, *lines))
    answer = ", ".join(str(pile.count) for pile in piles)
    return Problem(text_id(text), text, answer, piles)


def _pile(kind: Kind, rng: random.Random) -> Pile:
    item, box = rng.choice(_ITEMS), rng.choice(_BOXES)
    boxes, per_box, few = rng.randint(4, 9), rng.randint(4, 9), rng.randint(2, 6)
    many, fewer = rng.randint(20, 79), rng.random() < 0.5
    whole = many if kind == "loose" else boxes * per_box
    count = whole if kind == "boxed" else whole - few if fewer else whole + few
    start = f"{many} {item}" if kind == "loose" else f"{boxes} {box} of {per_box} {item}"
    loose = "" if kind == "boxed" else f" less {few}" if fewer else f" and {few} more"
    return Pile(kind, start + loose, count, whole)


if __name__ == "__main__":
    sys.stdout.writelines(task_lines())
