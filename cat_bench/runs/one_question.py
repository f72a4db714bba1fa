"""Aggregate the texts of one question without a task, a run or a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from math import isclose

from cat_bench.cache import Cache
from cat_bench.errors import UsageError
from cat_bench.evaluation.grader import Grader
from cat_bench.loading import catalog
from cat_bench.loading.catalog import Method, Task
from cat_bench.loading.registry import build
from cat_bench.models.backends.recorded import Recorded
from cat_bench.models.lending import QuestionContext
from cat_bench.models.throttling import Gate
from cat_bench.runs.config import RunConfig
from cat_bench.runs.open_models import Environment, OpenModels
from cat_bench.types.calls import JSON, Reply
from cat_bench.types.plugins import AnswerScorer
from cat_bench.types.records import Estimate, Question, Rollout

NO_MODEL = "none"


@dataclass(frozen=True, slots=True)
class Aggregated:
    """The result of a method on a question's texts.

    `text` is what the method wrote, or its most probable pick, and `answer` the final answer in it;
    both are None if the method abstained, and `reason` says why. `picks` maps the place of a text
    in the list to its probability, `answers` an answer to its probability. `fallback` says why the
    method returned a substitute.
    """

    text: str | None
    answer: str | None
    picks: Mapping[int, float] = field(default_factory=dict)
    answers: Mapping[str, float] = field(default_factory=dict)
    fallback: str | None = None
    reason: str | None = None

    @property
    def tied(self) -> bool:
        """Whether another answer is as likely as `answer`."""
        likeliest = max(self.answers.values(), default=0.0)
        return sum(isclose(share, likeliest) for share in self.answers.values()) > 1


async def aggregate_texts(
    texts: Sequence[str],
    method: str = "majority",
    *,
    question: str = "",
    scorer: str = "math_equal",
    model: str | None = None,
    seed: int = 0,
) -> Aggregated:
    """Combine the texts by the method; see `cat_bench.aggregate`."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise UsageError("the texts are not a list of strings: pass one string for each sample")
    chosen = catalog.method(method)
    _check(chosen, texts, question=question, model=model)
    task = Task(
        name="texts",
        version="1",
        summary="texts of one question",
        scorer=build("scorer", scorer, {}, source="scorer"),
        samples=lambda: iter(()),
    )
    config = RunConfig(task=task.name, model=model or NO_MODEL, seed=seed)
    digest = sha256("\x1f".join([question, *texts]).encode("utf-8", "surrogatepass")).hexdigest()
    posed = Question(digest, ({"role": "user", "content": question},), question)
    rollouts = [Rollout(slot, Reply(text=text, finish=None)) for slot, text in enumerate(texts)]
    with Cache() as cache:
        nobody = Recorded({"model": NO_MODEL})
        environment = Environment(backend=None if model else lambda *_: nobody)
        models = OpenModels(config, cache, environment=environment, gate=Gate(), planning=False)
        try:
            grader = Grader(task.scorer, cache, remembers=False)
            reader = grader.answers_to(posed)
            labels = await grader.labels(posed, rollouts)
            roles = models.roles(task)
            context = QuestionContext(roles, reader, task.prompts, labels, digest)
            read = [] if chosen.budgets == (0,) else rollouts
            estimate = await chosen.aggregator.aggregate(posed, read, context)
        finally:
            await models.close()
    return _result(estimate, texts, reader, labels)


def _check(method: Method, texts: Sequence[str], *, question: str, model: str | None) -> None:
    """Raise UsageError if the method needs an argument that is missing."""
    unmet = sorted(method.needs - {"answers"})
    if unmet and model is None:
        raise UsageError(f"{method.name} needs {', '.join(unmet)}: pass model=...")
    if not texts and method.budgets != (0,):
        raise UsageError("there are no texts to aggregate: pass at least one")
    if method.budgets == (0,) and not question:
        raise UsageError(f"{method.name} needs the question: pass question=...")


def _result(
    estimate: Estimate,
    texts: Sequence[str],
    scorer: AnswerScorer | None,
    labels: Mapping[int, int | None],
) -> Aggregated:
    """Return the estimate with equivalent answers counted under their first spelling."""
    ending: dict[str, JSON] = {"fallback": estimate.fallback, "reason": estimate.reason}
    if estimate.text is not None:
        answer = scorer.answer(estimate.text) if scorer else None
        return Aggregated(estimate.text, answer, answers={answer: 1.0} if answer else {}, **ending)
    picks = {slot: weight for slot, weight in sorted(estimate.picks) if weight > 0}
    first: dict[int, str] = {}
    answers: dict[str, float] = {}
    for slot, weight in picks.items():
        label, answer = labels.get(slot), scorer.answer(texts[slot]) if scorer else None
        if answer and label is not None:
            name = first.setdefault(label, answer)
            answers[name] = answers.get(name, 0.0) + weight
    if not picks:
        return Aggregated(None, None, **ending)
    likeliest = max(picks, key=lambda slot: (round(picks[slot], 9), -slot))
    if answers:
        winner = max(answers, key=lambda name: round(answers[name], 9))
        label_of = {name: label for label, name in first.items()}
        likeliest = next(slot for slot in picks if labels[slot] == label_of[winner])
        return Aggregated(texts[likeliest], winner, picks, answers, **ending)
    return Aggregated(texts[likeliest], None, picks, **ending)
