"""Training rows of any bundled model: rendered prompt, reply, and where the loss is taken.

A subject defines the training rows of one model: its problems, its policy's errors, and the right
reply in each role. Prompts are the task's own templates, rendered into one user message and passed
through the chat template: training uses exactly what the harness sends.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, Protocol, TypeAlias

from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from cat_bench.bundled.tally.problems import P
from tools.tally.sampling import chat, complete

IGNORED = -100
#: The largest number of drafts that a model is trained to read at once.
MOST_DRAFTS = 8

_POOL_PROBLEMS, _POOL_DRAFTS = 192, 12


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids and, of the same length, the ids to predict or ``IGNORED``."""

    ids: list[int]
    labels: list[int]


@dataclass(frozen=True, slots=True)
class Lesson:
    """The mixture of rows at one moment of the training.

    ``weights`` are the shares of the roles, ``noise`` scales the probability of errors,
    ``draft_loss`` also takes the loss on the prompt of synthesis, and ``real_share`` is the share
    of drafts to read that the policy itself wrote.
    """

    most_parts: int
    noise: float
    weights: dict[str, float]
    draft_loss: bool
    real_share: float


Turn: TypeAlias = tuple[str, str]
"""A user message, and the reply to it."""


class Subject(Protocol[P]):
    """The training rows of a model; a role has the name of its prompt template."""

    def problems(self, rng: random.Random, *, most: int | None = None) -> Iterator[P]:
        """Yield training problems of at most ``most`` parts, without end."""
        ...

    def question(self, problem: P) -> str:
        """Return the policy's user message."""
        ...

    def attempt(
        self, problem: P, rng: random.Random, *, noise: float, to_read: bool = False
    ) -> str:
        """Return an answer with random errors; one ``to_read`` may also be malformed."""
        ...

    def exchange(
        self, role: str, problem: P, drafts: Sequence[str], rng: random.Random
    ) -> list[Turn]:
        """Return the conversation of a role that reads drafts; most have one turn."""
        ...


@dataclass(slots=True)
class Teacher(Generic[P]):
    """Writes rows; ``pool`` holds problems with drafts sampled from the policy itself."""

    tokenizer: PreTrainedTokenizerFast
    subject: Subject[P]
    rng: random.Random
    pool: list[tuple[P, list[str]]] = field(default_factory=list)

    def rows(self, count: int, lesson: Lesson) -> list[Row]:
        """Return ``count`` rows, their kinds drawn by the lesson's weights."""
        names = self.rng.choices(list(lesson.weights), list(lesson.weights.values()), k=count)
        return [self._row(name, lesson) for name in names]

    def refill(self, model: Qwen3ForCausalLM) -> None:
        """Fill the pool with drafts of fresh problems, sampled from the model as it is."""
        problems = list(islice(self.subject.problems(self.rng), _POOL_PROBLEMS))
        asked = [self.subject.question(p) for p in problems for _ in range(_POOL_DRAFTS)]
        drafts = iter(complete(model, self.tokenizer, contents=asked))
        self.pool = [(problem, list(islice(drafts, _POOL_DRAFTS))) for problem in problems]

    def _row(self, name: str, lesson: Lesson) -> Row:
        if name == "prompt":
            problem = self._problem(lesson)
            reply = self.subject.attempt(problem, self.rng, noise=lesson.noise)
            return self._encode([(self.subject.question(problem), reply)])
        problem, drafts = self._drafts(lesson)
        turns = self.subject.exchange(name, problem, drafts, self.rng)
        return self._encode(turns, whole=lesson.draft_loss and name == "synthesis")

    def _problem(self, lesson: Lesson) -> P:
        return next(self.subject.problems(self.rng, most=lesson.most_parts))

    def _drafts(self, lesson: Lesson) -> tuple[P, list[str]]:
        count = self.rng.randint(1, MOST_DRAFTS)
        if self.pool and self.rng.random() < lesson.real_share:
            problem, drafts = self.rng.choice(self.pool)
            return problem, self.rng.sample(drafts, count)
        problem = self._problem(lesson)
        return problem, [
            self.subject.attempt(problem, self.rng, noise=lesson.noise, to_read=True)
            for _ in range(count)
        ]

    def _encode(self, turns: Sequence[Turn], *, whole: bool = False) -> Row:
        ids: list[int] = []
        labels: list[int] = []
        for message, reply in turns:
            start = self.tokenizer(
                chat(self.tokenizer, message), add_special_tokens=False
            ).input_ids
            end = self.tokenizer(reply, add_special_tokens=False).input_ids
            end.append(self.tokenizer.eos_token_id)
            ids += start + end
            labels += (start if whole else [IGNORED] * len(start)) + end
        return Row(ids, labels)
