"""A small world to break things in: sums with a scorer of their own, and models by script.

A rollout ends in `= ANSWER`. The target is `sesame-of-ID`, a string that no prompt has a reason to
hold; `right` scores 1, `half` 0.5, `garbled` cannot be scored, and any other answer scores 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import ClassVar

import numpy as np

from cat_bench.cache import Cache
from cat_bench.evaluation.graded_pool import GradedPool
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.method_rows import Evaluation
from cat_bench.evaluation.questions import Bench, Census
from cat_bench.evaluation.settings import Settings
from cat_bench.loading.catalog import Method, Task
from cat_bench.loading.prompts import Prompts
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Scripted
from cat_bench.models.cached import Model
from cat_bench.models.lending import QuestionContext, Role, Roles
from cat_bench.models.throttling import Limits
from cat_bench.types.calls import Capability, Failure, Message, Reply, Usage
from cat_bench.types.plugins import Aggregator, Context
from cat_bench.types.records import Estimate, Pool, Question, Rollout, Sample, Score

QUICK = Limits(retries=2, first_delay=0.001, longest_delay=0.001)
EVERYTHING: tuple[Capability, ...] = ("logprobs", "entropies", "certainties", "confidences")


@dataclass(frozen=True)
class Sesame:
    """The toy scorer; `handed` lists every text that it was handed."""

    handed: list[str] = field(default_factory=list, compare=False)
    version: ClassVar[str] = "sesame 1"
    worth: ClassVar[Mapping[str, float | None]] = {"right": 1.0, "half": 0.5, "garbled": None}

    def answer(self, text: str) -> str | None:
        """What follows the last `=`."""
        return text.rpartition("=")[2].strip() or None if "=" in text else None

    async def clusters(self, answers: Sequence[str | None]) -> list[int | None]:
        """Answers are the same up to case."""
        distinct = sorted({answer.lower() for answer in answers if answer})
        return [distinct.index(answer.lower()) if answer else None for answer in answers]

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
        """The worth of each text's answer."""
        assert sample.target == f"sesame-of-{sample.question.id}"
        self.handed.extend(texts)
        return [Score(self.worth.get(self.answer(text) or "", 0.0)) for text in texts]


def sample(name: str = "q1") -> Sample:
    """A question and its target."""
    message: Message = {"role": "user", "content": f"Open {name}, please."}
    return Sample(Question(name, (message,), f"Open {name}."), f"sesame-of-{name}")


def rollout(slot: int, text: str, *, logprob: float | None = None, **reply: object) -> Rollout:
    """A rollout of as many tokens as it has words, all of the same log-probability."""
    words = len(text.split())
    each = np.full(words, -1.0 - slot / 8 if logprob is None else logprob)
    given = {
        "usage": Usage(prompt=7, completion=words),
        "finish": "stop",
        "measures": {"certainties": 2 + each, "confidences": 8 + each},
        **reply,
    }
    return Rollout(slot, Reply(text=text, token_logprobs=each, token_entropies=-each, **given))  # type: ignore[arg-type]


def pool(*texts: str, failures: Mapping[int, Failure] | None = None, question: str = "q1") -> Pool:
    """A pool of these texts, in the slots that have not failed."""
    failures = failures or {}
    slots = (slot for slot in range(len(texts) + len(failures)) if slot not in failures)
    rollouts = tuple(rollout(slot, text) for slot, text in zip(slots, texts, strict=False))
    return Pool(sample(question).question, rollouts, failures)


def model(cache: Cache, backend: Scripted, *, limits: Limits = QUICK, **options: object) -> Model:
    """A model with quick retries, called after what its script is identified by."""
    return Model(str(backend.identity), backend, cache=cache, limits=limits, **options)  # type: ignore[arg-type]


def saying(*replies: str) -> Scripted:
    """A model that gives these replies, one after another, whatever it is asked."""
    waiting = list(replies)
    return Scripted(lambda request, seed: waiting.pop(0), identity="replies")


def choosing(request: Request, seed: int) -> str:
    """Serves in every part: chooses the first candidate that is right, writes, gives a number."""
    prompt = request.messages[-1]["content"] if request.messages else ""
    if "both ratings" in prompt:
        drafts = prompt.split("<candidate number=")[1:3]
        return "\\boxed{" + ", ".join("9" if "= right" in draft else "4" for draft in drafts) + "}"
    if "<candidate" in prompt:
        before = prompt.partition("= right")[0].count("<candidate number=")
        return f"I choose \\boxed{{{min(before, prompt.count('<candidate number='))}}}"
    if "scale from 0" in prompt:
        return f"\\boxed{{{sha256(repr(prompt).encode()).digest()[0] % 5}}}"
    return "# SUMMARY\nAll weighed.\n\n# UNIFIED RESPONSE\nSo it is = right"


def letters(text: str) -> list[float]:
    """How often each letter stands in a text, and one place for the rest."""
    counts = [text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"]
    return [*map(float, counts), float(len(text) - sum(counts) or 1)]


def praising(messages: Sequence[Message], response: str | Sequence[str]) -> list[float]:
    """A reward model that likes the letter e, by the whole response or by step."""
    steps = [response] if isinstance(response, str) else response
    return [step.count("e") / (1 + len(step)) for step in steps]


def roles(
    cache: Cache,
    policy: Scripted | None = None,
    *,
    anchor: Scripted | None = None,
    judge: Scripted | None = None,
    embedder: Scripted | None = None,
    reward: Scripted | None = None,
) -> Roles:
    """The policy's model plays every part that is not given; letters embed, if nobody else.

    A reward model that is not given counts letters, too.
    """
    policy = policy or Scripted(
        choosing,
        identity="policy",
        capabilities=EVERYTHING,
        scoring=lambda messages, text: [-float(len(text) % 5)] * len(text.split()),
    )
    first = Role(model(cache, policy))
    return Roles(
        first,
        Role(model(cache, anchor)) if anchor else first,
        Role(model(cache, judge)) if judge else first,
        Role(model(cache, embedder or Scripted(choosing, identity="letters", embedding=letters))),
        Role(model(cache, reward or Scripted(choosing, identity="e", rewarding=praising))),
    )


async def evaluation(
    pool: Pool,
    roles: Roles,
    cache: Cache,
    *,
    budgets: Collection[int] = (1, 2),
    draws: int = 4,
    free_draws: int = 32,
    scorer: Sesame | None = None,
) -> Evaluation:
    """A question with this pool, graded and partitioned as the loop does it."""
    scorer = scorer or Sesame()
    grader = Grader(scorer, cache)
    settings = Settings(
        budgets=tuple(budgets),
        pool=len(pool.rollouts) + len(pool.failures),
        draws=draws,
        free_draws=free_draws,
    )
    texts = [r.text for r in pool.rollouts]
    labels = await grader.partition([scorer.answer(text) for text in texts])
    asked, ctx = sample(pool.question.id), QuestionContext(roles, scorer, Prompts())
    return Evaluation(
        sample=asked,
        graded=GradedPool(
            pool,
            await grader.scores(asked, texts, ctx),
            {r.slot: label for r, label in zip(pool.rollouts, labels, strict=True)},
        ),
        roles=roles,
        grader=grader,
        prompts=Prompts(),
        settings=settings,
    )


async def estimate(
    aggregator: Aggregator, pool: Pool, cache: Cache, roles_: Roles | None = None
) -> tuple[Estimate, QuestionContext]:
    """What an aggregator makes of a whole pool, and the context that it was lent."""
    whole = await evaluation(pool, roles_ or roles(cache), cache)
    ctx = whole.context([r.slot for r in pool.rollouts])
    return await aggregator.aggregate(whole.question, pool.rollouts, ctx), ctx


def method(aggregator: Aggregator, name: str = "mine", **options: object) -> Method:
    """A method of this aggregator."""
    budgets = getattr(aggregator, "budgets", None)
    return Method(name, aggregator, spec=name, **{"budgets": budgets, **options})  # type: ignore[arg-type]


def task(samples: Iterable[Sample], scorer: Sesame | None = None) -> Task:
    """A task of these samples."""
    rows = list(samples)
    return Task("toy", "1", "a toy", scorer or Sesame(), lambda: iter(rows))


def bench(
    samples: Iterable[Sample],
    methods: Sequence[Method],
    roles: Roles,
    cache: Cache,
    *,
    budgets: Sequence[int] = (1, 2),
    size: int = 4,
    window: int = 64,
    draws: int = 4,
) -> Bench:
    """The loop over these samples."""
    toy = task(samples)
    settings = Settings(budgets=tuple(budgets), pool=size, draws=draws)
    grader = Grader(toy.scorer, cache)
    return Bench(toy, methods, roles, grader, settings, window=window, census=Census())
