"""Score free-form answers by a rubric: a judge says of each criterion whether an answer meets it.

An example's score is the points of the criteria met, negative ones included, over the sum of the
positive points, not clipped (HealthBench: Arora et al. 2025, arXiv 2505.08775). An answer without a
verdict on every criterion is unscored: counting a missing verdict as not met would raise examples
with negative criteria.

A *profile* is a way to ask the judge. `ours` asks with the prompt text `rubric`, which shows
neither points nor tags; `official` asks as HealthBench's authors do (`scorers.official`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from cat_bench.errors import CallFailed
from cat_bench.loading.grader_template import GraderTemplate, grader_template
from cat_bench.loading.prompts import Prompts
from cat_bench.models.lending import Role
from cat_bench.models.throttling import gather_all
from cat_bench.scorers import official
from cat_bench.scorers.workers import Undecided
from cat_bench.types.calls import JSON, Message, Sampling
from cat_bench.types.plugins import Context, Lent, Scorer
from cat_bench.types.records import Question, Sample, Score
from cat_bench.types.traits import Need

ATTEMPTS = 3
PROMPT = "rubric"
Profile: TypeAlias = Literal["ours", "official"]
LENGTH_ADJUSTED = "length_adjusted"
USUAL_LENGTH, LENGTH_UNIT = 2000, 500
Parsed = TypeVar("Parsed", bound=BaseModel)


def _check_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    if LENGTH_ADJUSTED in tags:
        problem = f"{LENGTH_ADJUSTED!r} names the score with the penalty: call this tag otherwise"
        raise ValueError(problem)
    return tags


Tags: TypeAlias = Annotated[tuple[str, ...], AfterValidator(_check_tags)]
_FENCED = re.compile(r"\s*```(?:json)?\s*(\{.*\})\s*```\s*", re.DOTALL)


class Verdict(BaseModel):
    """What a judge must reply: this as JSON, in a code fence or not, and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    explanation: str
    met: bool


class Criterion(BaseModel):
    """One line of a rubric, named `criterion` or `criterion_text`; other fields are ignored."""

    criterion: str = Field(validation_alias=AliasChoices("criterion", "criterion_text"))
    points: int | Annotated[float, Field(allow_inf_nan=False)]
    tags: Tags = ()


class RubricTarget(BaseModel):
    """A rubric and the tags of its example; a bare list is a rubric without tags."""

    rubric: tuple[Criterion, ...]
    tags: Tags = ()

    @model_validator(mode="before")
    @classmethod
    def _wrap_bare(cls, value: JSON) -> JSON:
        return {"rubric": value} if isinstance(value, list) else value


@dataclass(frozen=True)
class Rubric:
    """The share of a rubric's positive points that an answer earns; may be negative.

    A malformed verdict is asked for again, up to `attempts` times in total: 3, or 10 by the
    `official` profile. `template` is the user's file for that profile; by default, the pinned
    template is used. With a `penalty`, a second score is kept: it subtracts the penalty for every
    500 characters above 2000, and adds it for every 500 characters below.
    """

    penalty: float | None = None
    attempts: Annotated[int, Field(ge=1)] | None = None
    profile: Profile = "ours"
    template: Path | None = field(default=None, compare=False)

    needs: ClassVar[frozenset[Need]] = frozenset({"judge"})
    graded: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.template and self.profile != "official":
            raise ValueError("a template needs the profile `official`: choose it as well")

    @property
    def version(self) -> str:
        """The scorer's version, which depends on the profile."""
        return "rubric 1" if self.profile == "ours" else f"rubric 1 {self.profile}"

    @property
    def judge_sampling(self) -> Sampling | None:
        """The judge's sampling by the profile; the task and the user can change it."""
        return official.SAMPLING if self.profile == "official" else None

    @cached_property
    def official_template(self) -> GraderTemplate | None:
        """The template of the `official` profile; None for another profile.

        Raises ConfigError or DataError if the template cannot be read.
        """
        return grader_template(self.template) if self.profile == "official" else None

    def check(self, target: JSON) -> str | None:
        """Return what is wrong with a target; None if it can be scored."""
        if not isinstance(target, list | dict):
            kind = type(target).__name__
            return f"has no valid rubric: it is a {kind}, and should be a list of criteria"
        try:
            rubric = RubricTarget.model_validate(target).rubric
        except ValidationError as error:
            first = error.errors()[0]
            problem = first["msg"].removeprefix("Value error, ")
            return f"has no valid rubric: {'.'.join(map(str, first['loc']))}: {problem}"
        if share(rubric, [False] * len(rubric)) is None:
            return "has no criterion with positive points, so nothing to score against"
        return None

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> list[Score]:
        """Return one score per text.

        `details` has `met`, the verdicts in the rubric's order, and `parts`, the scores by tag. A
        tag of the example has the example's score. A tag of criteria (even if the example has it,
        too) has the score on these criteria only; it is left out if none of them has positive
        points. An empty text scores 0 without a call or a verdict, except by the `official`
        profile.
        """
        target = RubricTarget.model_validate(sample.target)
        grades = (self._grade(target, sample.question, text, ctx) for text in texts)
        return await gather_all(*grades)

    async def verdict(
        self,
        criterion: str,
        question: Question,
        response: str,
        ctx: Context,
        *,
        points: float | None = None,
        repeat: int = 0,
    ) -> Verdict | Undecided:
        """Return the judge's verdict on one criterion, asked as the profile does.

        `repeat` is the number of equal criteria earlier in the rubric. For each, `official` asks
        again; `ours` reuses the first verdict.
        """
        if (template := self.official_template) is None:
            tries = self.attempts or ATTEMPTS
            return await ask_ours(criterion, question.text, response, ctx=ctx, attempts=tries)
        tries = self.attempts or official.ATTEMPTS
        item = official.official_item(criterion, points)
        prompt = official.official_prompt(template.text, question.messages, response, item)
        first = repeat * tries
        return await ask_verdict(
            prompt, ctx.judge, attempts=tries, first=first, read=_read_official
        )

    async def _grade(
        self, target: RubricTarget, question: Question, text: str, ctx: Context
    ) -> Score:
        if not text.strip() and self.profile == "ours":
            nothing = self._parts(target, [False] * len(target.rubric), text)
            return Score(0.0, "no answer", {"met": [], "parts": dict.fromkeys(nothing, 0.0)})
        seen: Counter[tuple[str, float]] = Counter()
        calls = []
        for line in target.rubric:
            item = (line.criterion, line.points)
            repeat, seen[item] = seen[item], seen[item] + 1
            calls.append(
                self.verdict(line.criterion, question, text, ctx, points=line.points, repeat=repeat)
            )
        met: list[bool] = []
        for number, answer in enumerate(await gather_all(*calls), 1):
            if isinstance(answer, Undecided):
                return Score(None, f"criterion {number}: {answer.reason}")
            met.append(answer.met)
        details = {"met": met, "parts": self._parts(target, met, text)}
        return Score(share(target.rubric, met), details=details)

    def _parts(self, target: RubricTarget, met: Sequence[bool], text: str) -> dict[str, float]:
        total = share(target.rubric, met) or 0.0
        parts = dict.fromkeys(target.tags, total)
        tagged: dict[str, list[int]] = {}
        for index, line in enumerate(target.rubric):
            for tag in dict.fromkeys(line.tags):
                tagged.setdefault(tag, []).append(index)
        for tag, lines in tagged.items():
            value = share([target.rubric[i] for i in lines], [met[i] for i in lines])
            if value is not None:
                parts[tag] = value
        if self.penalty is not None:
            excess = (len(text) - USUAL_LENGTH) / LENGTH_UNIT
            parts[LENGTH_ADJUSTED] = total - self.penalty * excess
        return parts


def share(rubric: Sequence[Criterion], met: Sequence[bool]) -> float | None:
    """Return the points of the criteria met over the positive points, not clipped.

    None if no criterion has positive points.
    """
    positive = sum(line.points for line in rubric if line.points > 0)
    earned = sum(line.points for line, yes in zip(rubric, met, strict=True) if yes)
    return earned / positive if positive else None


async def ask_ours(
    criterion: str, conversation: str, response: str, *, ctx: Context, attempts: int = ATTEMPTS
) -> Verdict | Undecided:
    """Return the verdict of the judge in `ctx` on one criterion and the last reply."""
    prompt = ctx.prompt(PROMPT, conversation=conversation, response=response, criterion=criterion)
    return await ask_verdict(prompt, ctx.judge, attempts=attempts)


def read_verdict(text: str) -> Verdict | None:
    """Return the verdict if the reply consists of one, else None."""
    return read_reply(Verdict, text)


async def ask_verdict(
    prompt: Sequence[Message],
    judge: Lent,
    *,
    attempts: int = ATTEMPTS,
    first: int = 0,
    read: Callable[[str], Verdict | None] = read_verdict,
) -> Verdict | Undecided:
    """Return the judge's verdict on what a prompt asks; a malformed reply is asked for again.

    The first draw is `first`.
    """
    for draw in range(first, first + attempts):
        try:
            reply = await judge.ask(prompt, draw=draw)
        except CallFailed as error:
            return Undecided(str(error))
        if answer := read(reply.text):
            return answer
    return Undecided(f"no valid verdict in {attempts} replies")


def _read_official(text: str) -> Verdict | None:
    if answer := official.read_official(text):
        return Verdict(explanation=str(answer.explanation or ""), met=answer.criteria_met)
    return None


def read_reply(kind: type[Parsed], text: str) -> Parsed | None:
    """Return the object if the reply is one JSON object of this kind, fenced or not; else None."""
    fenced = _FENCED.fullmatch(text)
    try:
        return kind.model_validate_json(fenced[1] if fenced else text)
    except ValidationError:
        return None


def describe_judging(
    judge: Role, prompts: Prompts, scorer: Scorer | None = None, *, fetch: bool = True
) -> Mapping[str, JSON]:
    """Return what verdicts depend on besides the text: the judge, its sampling and its prompt.

    Raises ConfigError or DataError if the template of the `official` profile cannot be read.
    Without `fetch`, it is not downloaded.
    """
    backend = judge.model.backend
    asks: dict[str, JSON] = {
        "model": backend.identity,
        "sampling": judge.sampling.over(backend.sampling).given(),
    }
    if isinstance(scorer, Rubric) and scorer.profile == "official":
        template = grader_template(scorer.template, fetch=fetch)
        return asks | {
            "prompt": template.digest,
            "profile": "official",
            "template": "pinned" if template.pinned else "own",
        }
    return asks | {"prompt": sha256(prompts.source(PROMPT).encode()).hexdigest()}
