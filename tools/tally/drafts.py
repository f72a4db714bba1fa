"""The policy's errors and the reconciliation of drafts: the distributions that the model learns.

A draft opens with its way of counting, gives one line per part, then the box. The likeliest opening
is a careless one. A careless count tends to overlook loose items beside boxes. There, the likeliest
path is systematically wrong, and the other paths together are right. All other errors scatter
widely: two drafts seldom agree on a wrong value.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cat_bench.bundled.tally.problems import COUNTS, LABELS, Kind, Pile, Problem

CARELESS = "Quick count:"
CAREFUL = ("One by one:", "Row by row:", "In pairs:")
AGREED = "Agreed:"

#: Share of careless drafts; each careful opening has a third of the rest.
_CARELESS_SHARE = 0.4
#: Probabilities that a line is right and that it overlooks the loose items; the rest scatters.
_CAREFUL_ERRORS: dict[Kind, tuple[float, float]] = {
    "loose": (0.97, 0.0),
    "boxed": (0.65, 0.0),
    "mixed": (0.65, 0.0),
}
_CARELESS_ERRORS: dict[Kind, tuple[float, float]] = {
    "loose": (0.97, 0.0),
    "boxed": (0.50, 0.0),
    "mixed": (0.25, 0.5),
}
#: The weight of a line when drafts are reconciled.
_CARELESS_WEIGHT, _CAREFUL_WEIGHT = 1, 2

_LINE = re.compile(r"^\(([a-e])\) (\d+)$", re.MULTILINE)
_BOX = re.compile(r"\\boxed\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Draft:
    """A solution as written, and the value of each labelled line and of each place in the box."""

    text: str
    lines: dict[str, int]
    box: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> "Draft":
        """Parse a solution; malformed parts are left out."""
        lines = {label: int(value) for label, value in _LINE.findall(text)}
        return cls(text, lines, tuple(map(int, re.findall(r"\d+", read_box(text)))))


def read_box(text: str) -> str:
    """Return the content of the last box, or the empty string."""
    return next(reversed(_BOX.findall(text)), "")


def solution(opening: str, values: Sequence[int], box: Sequence[int] | None = None) -> str:
    """Write a solution; ``box`` holds the boxed values where they differ from the lines."""
    boxed = ", ".join(map(str, values if box is None else box))
    return "\n".join((opening, *_lines(values), rf"\boxed{{{boxed}}}"))


def choice(values: Sequence[int], numbers: Sequence[int]) -> str:
    """Write a selector's reply: each reconciled line with the number of a draft, then the last."""
    lines = (
        f"{line}, draft {number}" for line, number in zip(_lines(values), numbers, strict=True)
    )
    return "\n".join((AGREED, *lines, rf"Nearest: \boxed{{{numbers[-1]}}}"))


def attempt(
    problem: Problem, rng: random.Random, *, noise: float = 1.0, box_slip: float = 0.0
) -> str:
    """Write a solution with random errors; ``noise`` scales every error's probability.

    With probability ``box_slip`` one boxed value disagrees with its line.
    """
    careless = rng.random() < _CARELESS_SHARE
    errors = _CARELESS_ERRORS if careless else _CAREFUL_ERRORS
    values = [_value(pile, errors[pile.kind], noise, rng) for pile in problem.piles]
    box = list(values)
    if rng.random() < box_slip:
        box[rng.randrange(len(box))] = rng.randint(*COUNTS)
    return solution(CARELESS if careless else rng.choice(CAREFUL), values, box)


def reconcile(problem: Problem, drafts: Sequence[Draft]) -> list[int]:
    """Vote part by part, careful lines counting double; the truth only breaks ties."""
    return [
        _winner(label, pile.count, drafts)
        for label, pile in zip(LABELS, problem.piles, strict=False)
    ]


def choose_nearest(values: Sequence[int], drafts: Sequence[Draft], rng: random.Random) -> list[int]:
    """Return, after each line, the number from 1 of a draft that agrees most with the lines so far.

    The number is kept while no other draft agrees more, and drawn among the best otherwise.
    """
    agreement = [0] * len(drafts)
    numbers: list[int] = []
    for label, value in zip(LABELS, values, strict=False):
        agreement = [
            count + (draft.lines.get(label) == value)
            for count, draft in zip(agreement, drafts, strict=True)
        ]
        best = [number for number, n in enumerate(agreement, 1) if n == max(agreement)]
        numbers.append(numbers[-1] if numbers and numbers[-1] in best else rng.choice(best))
    return numbers


def _lines(values: Sequence[int]) -> list[str]:
    return [f"({label}) {value}" for label, value in zip(LABELS, values, strict=False)]


def _value(pile: Pile, errors: tuple[float, float], noise: float, rng: random.Random) -> int:
    right, slip = errors
    if rng.random() >= noise * (1 - right):
        return pile.count
    return pile.wrong_count if rng.random() < slip / (1 - right) else rng.randint(*COUNTS)


def _winner(label: str, truth: int, drafts: Sequence[Draft]) -> int:
    votes: Counter[int] = Counter()
    for draft in drafts:
        if label in draft.lines:
            careless = draft.text.startswith(CARELESS)
            votes[draft.lines[label]] += _CARELESS_WEIGHT if careless else _CAREFUL_WEIGHT
    if not votes or votes[truth] == max(votes.values()):
        return truth
    return max(votes, key=votes.__getitem__)
