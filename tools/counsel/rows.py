"""The training rows of the `counsel` model: journeys, errors, and the reply in each role."""

import random
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from cat_bench.bundled.counsel.answers import (
    CAREFUL,
    COMBINED,
    RASH,
    RIGHT_SO_FAR,
    Answer,
    answer,
    attempt,
    combine,
    criteria,
    draw_other,
    grade,
    verdict,
)
from cat_bench.bundled.counsel.journeys import MOST, TOPICS, Journey, criterion, stream
from cat_bench.loading.catalog import root
from cat_bench.loading.prompts import Prompts
from cat_bench.types.calls import JSON
from tools.tally.teaching import Turn

#: The kinds of user messages, by their template.
ROLES = ("prompt", "synthesis", "synthesis_aware", "criteria", "rubric", "judge")
#: Texts that are one token each: those that are looked up, copied, compared or repeated.
PHRASES = (
    *(f"\nFor {topic}: " for topic in TOPICS),
    *(criterion(topic, "") for topic in TOPICS),
    *(f"\n- {circumstance}" for things in TOPICS.values() for circumstance, _ in things),
    *(thing for things in TOPICS.values() for _, thing in things),
    *(RASH, *CAREFUL, COMBINED, RIGHT_SO_FAR),
    *('{"explanation": "It says ', '.", "met": true}', '.", "met": false}'),
    *('{"criteria": ["', '", "', '"]}'),
)

#: How often an answer to read is a combined one, and a criterion is on another topic.
_COMBINED_SHARE, _STRAY_SHARE = 0.5, 0.1


class Counsel:
    """The subject `counsel`: combining advice, proposing criteria from it, and judging by them."""

    def __init__(self) -> None:
        self._prompts = Prompts(root() / "tasks" / "counsel")

    def problems(self, rng: random.Random, *, most: int | None = None) -> Iterator[Journey]:
        """Yield training journeys of at most ``most`` circumstances, without end."""
        return stream(rng, split="train", most=most or MOST)

    def question(self, problem: Journey) -> str:
        """Return the policy's user message."""
        return self.message("prompt", problem=problem.text)

    def attempt(
        self, problem: Journey, rng: random.Random, *, noise: float, to_read: bool = False
    ) -> str:
        """Return an answer with random errors."""
        return attempt(problem, rng, noise=noise)

    def exchange(
        self, role: str, problem: Journey, drafts: Sequence[str], rng: random.Random
    ) -> list[Turn]:
        """Return the conversation of a role; all but a synthesis read one answer.

        A judge gets one criterion per turn, so that its rows have as much loss as the others.
        """
        combined = answer(COMBINED, combine(problem, list(map(Answer.parse, drafts))))
        if role.startswith("synthesis"):
            return [(self.message(role, question=problem.text, drafts=list(drafts)), combined)]
        read = Answer.parse(combined if rng.random() < _COMBINED_SHARE else drafts[0])
        if role == "criteria":
            return [(self.message(role, response=read.text), criteria(read))]
        if role == "judge":
            asked = self.message(role, question=problem.text, response=read.text)
            return [(asked, grade(problem, read))]
        first, *others = _claims(read, rng)
        asked = self.message(role, response=read.text, criterion=first)
        return [(asked, verdict(read, first)), *((c, verdict(read, c)) for c in others)]

    def message(self, role: str, **values: JSON) -> str:
        """Render the one user message of a role."""
        return self._prompts.render(role, **values)


def corpus() -> Iterator[str]:
    """Yield the tokenizer's training texts: the phrases around those of ``PHRASES``."""
    rng, subject = random.Random("corpus"), Counsel()
    for journey in islice(subject.problems(rng), 500):
        draft = subject.attempt(journey, rng, noise=1.0)
        yield from (rng.choice([*CAREFUL, RASH, COMBINED, RIGHT_SO_FAR]), subject.question(journey))
        for role in ROLES[1:]:
            yield from chain.from_iterable(subject.exchange(role, journey, [draft], rng))


def _claims(read: Answer, rng: random.Random) -> list[str]:
    """Draw a criterion on each topic of an answer, met or not, and sometimes on another topic."""
    claims = [
        criterion(topic, thing if rng.random() < 0.5 else draw_other(topic, thing, rng))
        for topic, thing in read.things.items()
    ]
    strays = [topic for topic in TOPICS if topic not in read.things]
    if not claims or (strays and rng.random() < _STRAY_SHARE):
        topic = rng.choice(strays)
        claims.append(criterion(topic, draw_other(topic, "", rng)))
    rng.shuffle(claims)
    return claims
