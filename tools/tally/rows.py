"""The training rows of the `tally` model: problems, errors, and the reply in each role."""

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from cat_bench.bundled.tally.problems import COUNTS, LABELS, Problem, stream
from cat_bench.loading.catalog import root
from cat_bench.loading.prompts import Prompts
from tools.tally.drafts import (
    AGREED,
    CAREFUL,
    CARELESS,
    Draft,
    attempt,
    choice,
    choose_nearest,
    reconcile,
    solution,
)
from tools.tally.teaching import Turn

#: The kinds of user messages, by their template.
ROLES = ("prompt", "synthesis", "synthesis_aware", "select")

_BOX_SLIPS = 0.15


class Counting:
    """The subject `tally`: reconciling counts, and naming the draft nearest to the result."""

    def __init__(self) -> None:
        self._prompts = task_prompts()

    def problems(self, rng: random.Random, *, most: int | None = None) -> Iterator[Problem]:
        """Yield training problems of at most ``most`` parts, without end."""
        return stream(rng, split="train", most=most or len(LABELS))

    def question(self, problem: Problem) -> str:
        """Return the policy's user message."""
        return content(self._prompts, "prompt", problem)

    def attempt(
        self, problem: Problem, rng: random.Random, *, noise: float, to_read: bool = False
    ) -> str:
        """Return a solution with random errors; in one ``to_read`` the box may be wrong too."""
        return attempt(problem, rng, noise=noise, box_slip=_BOX_SLIPS if to_read else 0.0)

    def exchange(
        self, role: str, problem: Problem, drafts: Sequence[str], rng: random.Random
    ) -> list[Turn]:
        """Return the message of a synthesis or a selection, and the reply to it."""
        read = [Draft.parse(draft) for draft in drafts]
        values = reconcile(problem, read)
        if role == "select":
            reply = choice(values, choose_nearest(values, read, rng))
        else:
            reply = solution(AGREED, values)
        return [(content(self._prompts, role, problem, drafts), reply)]


def task_prompts() -> Prompts:
    """Return the prompts of the bundled task, as the harness sends them."""
    return Prompts(root() / "tasks" / "tally")


def content(prompts: Prompts, name: str, problem: Problem, drafts: Sequence[str] = ()) -> str:
    """Render the one user message of a role; a template uses the variables that it needs."""
    return prompts.render(name, problem=problem.text, question=problem.text, drafts=list(drafts))


def corpus(prompts: Prompts, count: int) -> Iterator[str]:
    """Yield the tokenizer's training texts: every phrase and every two-digit number."""
    rng = random.Random("corpus")
    numbers = [str(number) for number in range(COUNTS[0], COUNTS[1] + 1)]
    openings = [*CAREFUL, CARELESS, AGREED]
    for problem in islice(stream(rng, split="train"), count):
        draft = attempt(problem, rng)
        yield from (rng.choice(openings), draft, choice([10], [1]), " ".join(numbers))
        yield from (content(prompts, role, problem, [draft]) for role in ROLES)
