"""Training rows: rendered prompt, reply, and which tokens the loss is taken on.

Prompts are the task's own templates rendered into one user message and passed through the
model's chat template: what is trained on is exactly what the harness sends.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from transformers import PreTrainedTokenizerFast

from cat_bench.catalog import root
from cat_bench.prompts import Prompts
from cat_bench.tally.drafts import (
    AGREED,
    CAREFUL,
    CARELESS,
    MOST_DRAFTS,
    Draft,
    attempt,
    choice,
    nearest,
    reconcile,
    solution,
)
from cat_bench.tally.problems import COUNTS, Problem, stream
from cat_bench.tally.sampling import chat

#: What a user message asks for, by the name of its template.
ROLES = ("prompt", "synthesis", "synthesis_aware", "select")
IGNORED = -100

_BOX_SLIPS = 0.15


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids and, of the same length, the ids to predict or ``IGNORED``."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is taught at one moment of the training.

    ``weights`` are the shares of the roles, ``noise`` scales the law of the errors, ``draft_loss``
    takes the loss on the blind prompt too, and ``real_share`` is how many of the drafts to read are
    the policy's own.
    """

    most_parts: int
    noise: float
    weights: dict[str, float]
    draft_loss: bool
    real_share: float


def task_prompts() -> Prompts:
    """Return the prompts of the bundled task: what the harness sends."""
    return Prompts(root() / "tasks" / "tally")


def content(prompts: Prompts, name: str, problem: Problem, drafts: Sequence[str] = ()) -> str:
    """Render the one user message of a role; a template takes what it needs of the rest."""
    return prompts.render(name, problem=problem.text, question=problem.text, drafts=list(drafts))


def corpus(prompts: Prompts, count: int) -> Iterator[str]:
    """Yield texts from which the tokenizer learns: every phrase, and every two-digit number."""
    rng = random.Random("corpus")
    numbers = [str(number) for number in range(COUNTS[0], COUNTS[1] + 1)]
    openings = [*CAREFUL, CARELESS, AGREED]
    for problem in islice(stream(rng, split="train"), count):
        draft = attempt(problem, rng)
        yield from (rng.choice(openings), draft, choice([10], [1]), " ".join(numbers))
        yield from (content(prompts, role, problem, [draft]) for role in ROLES)


@dataclass(slots=True)
class Teacher:
    """Writes rows; ``pool`` holds problems with drafts sampled from the policy itself."""

    tokenizer: PreTrainedTokenizerFast
    prompts: Prompts
    rng: random.Random
    pool: list[tuple[Problem, list[str]]]

    def rows(self, count: int, lesson: Lesson) -> list[Row]:
        """Return ``count`` rows, their kinds drawn by the lesson's weights."""
        names = self.rng.choices(list(lesson.weights), list(lesson.weights.values()), k=count)
        return [self._row(name, lesson) for name in names]

    def _row(self, name: str, lesson: Lesson) -> Row:
        if name == "prompt":
            problem = next(stream(self.rng, split="train", most=lesson.most_parts))
            reply = attempt(problem, self.rng, noise=lesson.noise)
            return self._encode(content(self.prompts, name, problem), reply)
        problem, drafts = self._drafts(lesson)
        read = [Draft.parse(draft) for draft in drafts]
        values = reconcile(problem, read)
        if name == "select":
            reply = choice(values, nearest(values, read, self.rng))
        else:
            reply = solution(AGREED, values)
        whole = lesson.draft_loss and name == "synthesis"
        return self._encode(content(self.prompts, name, problem, drafts), reply, whole=whole)

    def _drafts(self, lesson: Lesson) -> tuple[Problem, list[str]]:
        count = self.rng.randint(1, MOST_DRAFTS)
        if self.pool and self.rng.random() < lesson.real_share:
            problem, drafts = self.rng.choice(self.pool)
            return problem, self.rng.sample(drafts, count)
        problem = next(stream(self.rng, split="train", most=lesson.most_parts))
        return problem, [
            attempt(problem, self.rng, noise=lesson.noise, box_slip=_BOX_SLIPS)
            for _ in range(count)
        ]

    def _encode(self, message: str, reply: str, *, whole: bool = False) -> Row:
        start = self.tokenizer(chat(self.tokenizer, message), add_special_tokens=False).input_ids
        end = self.tokenizer(reply, add_special_tokens=False).input_ids
        end.append(self.tokenizer.eos_token_id)
        return Row(start + end, (start if whole else [IGNORED] * len(start)) + end)
