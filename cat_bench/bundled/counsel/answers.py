"""The grammar of answers, criteria and verdicts, with an exact parser and the policy's errors.

An answer opens with a phrase, then gives one line per topic. The most probable opening is the rash
one. A rash answer tends to recommend the usual thing for a tempting circumstance, so that the most
probable answer is systematically wrong there, while the vote of all answers is right. All other
errors scatter over the topic's other things.
"""

import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from cat_bench.bundled.counsel.journeys import TOPICS, Journey, Kind, Point, criterion

RASH = "Off the cuff:"
CAREFUL = ("On reflection:", "Point by point:", "From experience:")
COMBINED = "All told:"
RIGHT_SO_FAR = "Right so far:"

#: Share of rash answers; each careful opening has a third of the rest.
_RASH_SHARE = 0.4
#: Probabilities that a line is right and that it gives the usual thing; the rest scatters.
_CAREFUL_ERRORS: dict[Kind, tuple[float, float]] = {
    "plain": (0.75, 0.0),
    "hard": (0.65, 0.0),
    "tempting": (0.65, 0.0),
}
_RASH_ERRORS: dict[Kind, tuple[float, float]] = {
    "plain": (0.6, 0.0),
    "hard": (0.5, 0.0),
    "tempting": (0.25, 0.4),
}
#: What a line counts for when answers are combined.
_RASH_WEIGHT, _CAREFUL_WEIGHT = 1, 2

_LINE = re.compile(r"^For ([a-z ]+): (.+)$", re.MULTILINE)
_CRITERION = re.compile(r"For ([a-z ]+) it recommends (.+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as written, and what it recommends by topic; a contradiction recommends nothing."""

    text: str
    things: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> "Answer":
        """Read an answer; malformed lines are left out."""
        lines = dict.fromkeys(_LINE.findall(text))
        named = Counter(topic for topic, _ in lines)
        return cls(text, {topic: thing for topic, thing in lines if named[topic] == 1})

    def meets(self, claim: str) -> bool:
        """Return whether the answer meets a criterion; raise ValueError if it is unreadable."""
        topic, thing = read_criterion(claim)
        return self.things.get(topic) == thing


def read_criterion(claim: str) -> tuple[str, str]:
    """Return a criterion's topic and thing; raises ValueError for anything else."""
    match = _CRITERION.fullmatch(claim.strip())
    if match is None or match[1] not in TOPICS:
        raise ValueError(
            f"{claim!r} is not a criterion of the form 'For TOPIC it recommends THING'"
        )
    return match[1], match[2]


def answer(opening: str, things: Sequence[tuple[str, str]]) -> str:
    """Write an answer from topics and things."""
    return "\n".join((opening, *(f"For {topic}: {thing}" for topic, thing in things)))


def criteria(read: Answer) -> str:
    """Write the criteria that an answer meets, as an anchor should."""
    return json.dumps({"criteria": [criterion(*line) for line in read.things.items()]})


def verdict(read: Answer, claim: str) -> str:
    """Write a judge's reply on one criterion: what the answer says on its topic, then whether met.

    Raises ValueError for a criterion that cannot be read.
    """
    topic, thing = read_criterion(claim)
    stated = read.things.get(topic, "nothing")
    return json.dumps({"explanation": f"It says {stated}.", "met": stated == thing})


def grade(journey: Journey, read: Answer) -> str:
    """Write a judge's reply on an answer: the running count of right lines."""
    right = {point.topic: point.right for point in journey.points}
    lines, count = [RIGHT_SO_FAR], 0
    for topic, thing in read.things.items():
        count += right.get(topic) == thing
        lines.append(f"For {topic}: {count}")
    return "\n".join((*lines, rf"\boxed{{{count}}}"))


def attempt(journey: Journey, rng: random.Random, *, noise: float = 1.0) -> str:
    """Write an answer with random errors; ``noise`` scales every error's probability."""
    rash = rng.random() < _RASH_SHARE
    errors = _RASH_ERRORS if rash else _CAREFUL_ERRORS
    things = [(p.topic, _draw_thing(p, errors[p.kind], noise, rng)) for p in journey.points]
    return answer(RASH if rash else rng.choice(CAREFUL), things)


def combine(journey: Journey, read: Sequence[Answer]) -> list[tuple[str, str]]:
    """Vote topic by topic, careful lines counting double; the truth only breaks ties."""
    return [(point.topic, _winner(point, read)) for point in journey.points]


def draw_other(topic: str, thing: str, rng: random.Random) -> str:
    """Draw something else of the topic's set."""
    return rng.choice([other for _, other in TOPICS[topic] if other != thing])


def _draw_thing(point: Point, errors: tuple[float, float], noise: float, rng: random.Random) -> str:
    right, slip = errors
    if rng.random() >= noise * (1 - right):
        return point.right
    if rng.random() < slip / (1 - right):
        return point.usual
    return draw_other(point.topic, point.right, rng)


def _winner(point: Point, read: Sequence[Answer]) -> str:
    votes: Counter[str] = Counter()
    for draft in read:
        if thing := draft.things.get(point.topic):
            votes[thing] += _RASH_WEIGHT if draft.text.startswith(RASH) else _CAREFUL_WEIGHT
    if not votes or votes[point.right] == max(votes.values()):
        return point.right
    return max(votes, key=votes.__getitem__)
