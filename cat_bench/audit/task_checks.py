"""Check a task without a model: its targets, its prompt, its closing, and its scorer.

The scorer is tried on texts that state golds (`stated_golds`): with the row's own gold, and with
golds permuted over rows (`gold_blindness`). A check that cannot be made has the status `skipped`.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, cast

from cat_bench.audit.gold_blindness import gold_blindness
from cat_bench.audit.stated_golds import explain_unstatable, texts, write_answer
from cat_bench.errors import PLUGIN_BUGS, NotAvailable, PromptError, TargetError
from cat_bench.loading.catalog import Task
from cat_bench.models.lending import QuestionContext, Role, Roles
from cat_bench.runs.checks import warnings_of
from cat_bench.runs.record import DOUBTFUL
from cat_bench.types.plugins import AnswerScorer, Context, QuestionScorer
from cat_bench.types.records import Sample
from cat_bench.types.traits import ScorerTraits, is_labelled, traits

NAMES = ("targets", "prompt", "golds", "words", "blindness")
"""The checks, in their order."""
TRIED = 20
"""The most rows whose golds are stated to the scorer."""
_LISTED = 5
"""The most rows that a sentence names."""
HIDDEN = "(hidden, because the task is private)"
_ROLES = {"system", "user", "assistant"}


@dataclass(frozen=True, slots=True)
class Check:
    """One check's result; `rows` are the ids of the rows with the problem."""

    name: str
    status: Literal["ok", "problem", "skipped"]
    text: str
    rows: tuple[str, ...] = ()


async def check_task(task: Task, *, limit: int | None = None, seed: int = 0) -> list[Check]:
    """Return one result for each of `NAMES`; `limit` is the number of rows that are read.

    Raises UsageError if the data cannot be read. No program runs unless programs are allowed.
    """
    try:
        samples = list(islice(task.samples(), limit))
    except TargetError as error:
        return _unread("targets", str(error))
    except PromptError as error:
        return _unread("prompt", str(error))
    if not samples:
        return [Check(name, "skipped", "the task has no rows") for name in NAMES]
    labelled = [sample for sample in samples if is_labelled(sample.target, task.scorer)]
    if not labelled:
        part = "the task is" if limit is None or len(samples) < limit else _first_rows(len(samples))
        untold = {name: Check(name, "skipped", f"{part} unlabelled") for name in NAMES}
        return [*{**untold, "prompt": _prompt(task, samples)}.values()]
    rows = random.Random(seed).sample(labelled, min(TRIED, len(labelled)))
    return [
        _targets(task, labelled, unlabelled=len(samples) - len(labelled)),
        _prompt(task, samples),
        await _golds(task, rows),
        _words(task, labelled),
        await _blindness(task, rows),
    ]


def _unread(name: str, problem: str) -> list[Check]:
    """Return the problem of one check; it makes all other checks impossible."""
    reason = "the rows could not be read"
    return [
        Check(check, "problem", problem) if check == name else Check(check, "skipped", reason)
        for check in NAMES
    ]


def _targets(task: Task, samples: Sequence[Sample], *, unlabelled: int) -> Check:
    """Ask the scorer about each target; loading has checked only the rows of YAML tasks."""
    problems, checked = {}, 0
    for sample in samples:
        check = traits(ScorerTraits, _reader(task, sample)).check
        checked += check is not None
        if check and (problem := check(sample.target)):
            problems[sample.question.id] = HIDDEN if task.private else problem
    if not checked:
        return Check("targets", "skipped", "the scorer has no `check`: add one")
    if problems:
        first = f"{next(iter(problems))} {next(iter(problems.values()))}"
        return _make_finding("targets", f"targets cannot be scored; row {first}", problems, checked)
    rest = f"; {unlabelled:,} more rows are unlabelled" if unlabelled else ""
    if unchecked := len(samples) - checked:
        rest += f"; for {unchecked:,} more rows, the scorer has no `check`"
    return Check("targets", "ok", f"the scorer can use all {checked:,} targets{rest}")


def _first_rows(count: int) -> str:
    return f"the first {count:,} rows are" if count > 1 else "the first row is"


def _prompt(task: Task, samples: Sequence[Sample]) -> Check:
    """Compare each prompt with its problem, and its closing instruction with the scorer."""
    hidden = [sample.question.id for sample in samples if not _shows_problem(sample)]
    if hidden:
        fix = "prompts do not show the problem: put its text into the messages"
        return _make_finding("prompt", fix, hidden, len(samples))
    if flaws := [*warnings_of(task, samples)]:
        return Check("prompt", "problem", "; ".join(flaws))
    passed = (
        f"all {len(samples):,} prompts show the problem, and no prompt text contradicts the closing"
    )
    return Check("prompt", "ok", passed)


def _shows_problem(sample: Sample) -> bool:
    """Return whether all words of the problem are in the messages."""
    prompt = " ".join(str(turn["content"]) for turn in sample.question.messages)
    return _words_of(sample.question.text) - _ROLES <= _words_of(prompt)


def _words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


async def _golds(task: Task, rows: Sequence[Sample]) -> Check:
    """Score a text that states each row's own gold."""
    if reason := explain_unstatable(task):
        return Check("golds", "skipped", reason)
    missed, tried = {}, 0
    for sample in rows:
        for text in texts(task, sample.target, sample.target)[:1]:
            tried += 1
            try:
                (score,) = await task.scorer.score(sample, [text], _context(task))
            except PLUGIN_BUGS as error:
                return _explain_exception("golds", error, task)
            if score.value != 1:
                scored = f"scores {score.value:g}" if score.value is not None else "is unscored"
                gold = "one" if task.private else repr(write_answer(sample.target))
                missed[sample.question.id] = f"{gold}, which {scored}"
    if missed:
        first = next(iter(missed.values()))
        problem = f"golds score below 1 when a response states them, such as {first}"
        fix = "correct the closing, the targets or the scorer"
        return _make_finding("golds", f"{problem}: {fix}", missed, tried)
    if not tried:
        return Check("golds", "skipped", "no response can state any of the targets")
    left = f"; {len(rows) - tried} cannot be stated" if tried < len(rows) else ""
    stated = f"{tried} of {tried} golds score 1 when a response states them{left}"
    return Check("golds", "ok", stated)


def _words(task: Task, samples: Sequence[Sample]) -> Check:
    """Ask the scorer whether the targets are meant for it."""
    doubt = traits(ScorerTraits, task.scorer).doubt
    if doubt is None:
        return Check(
            "words", "skipped", "this scorer has no check for unsuitable targets (`doubt`)"
        )
    doubts, total = Counter(filter(None, (doubt(s.target) for s in samples))), len(samples)
    if many := [(count, why) for why, count in doubts.items() if count > DOUBTFUL * total]:
        found = "; ".join(f"{count:,} of {total:,} targets {why}" for count, why in many)
        return Check("words", "problem", found)
    few = f"the scorer doubts only {doubts.total():,} of {total:,} targets"
    return Check("words", "ok", few if doubts else f"the scorer doubts none of {total:,} targets")


async def _blindness(task: Task, rows: Sequence[Sample]) -> Check:
    """Score the stated golds again with the golds of all other sampled rows."""
    scorer = task.scorer
    if (reason := explain_unstatable(task)) or not isinstance(scorer, AnswerScorer):
        return Check("blindness", "skipped", reason or "the scorer does not compare answers")
    if len({write_answer(sample.target) for sample in rows}) < 2:
        return Check("blindness", "skipped", "all sampled rows have the same gold")
    stated = [
        (sample, text)
        for sample, next_row in zip(rows, [*rows[1:], *rows[:1]], strict=True)
        for text in texts(task, sample.target, next_row.target)
        if not _accepts_several(sample)
    ]
    if len({sample.question.id for sample, _ in stated}) < 2:
        return Check(
            "blindness",
            "skipped",
            "fewer than two rows have one gold that a response can state",
        )
    try:
        result = await gold_blindness(scorer, stated, _context(task), rounds=len(rows))
    except PLUGIN_BUGS as error:
        return _explain_exception("blindness", error, task)
    if not result.pairs:
        return Check(
            "blindness", "skipped", "no stated gold scores as right: see the check `golds`"
        )
    fix = ": read the answer from the text, then compare" if result.knows else ""
    return Check("blindness", "problem" if result.knows else "ok", result.sentence + fix)


def _reader(task: Task, sample: Sample) -> object:
    scorer = task.scorer
    return scorer.for_question(sample.question) if isinstance(scorer, QuestionScorer) else scorer


def _accepts_several(sample: Sample) -> bool:
    """Return whether a row accepts several answers, which two rows may share in part."""
    return isinstance(sample.target, list) and len(sample.target) > 1


def _context(task: Task) -> Context:
    """Return a context without models: a scorer that asks a model is refused."""
    return QuestionContext(Roles(cast("Role", None)), None, task.prompts)


def _explain_exception(name: str, error: BaseException, task: Task) -> Check:
    """Return a scorer's exception as a result: it called a model, or it has a bug.

    The message of an exception may quote the target, so it is hidden if the task is private.
    """
    if isinstance(error, NotAvailable):
        return Check(name, "skipped", f"the scorer calls a model: {error}")
    raised = f"{type(error).__name__} {HIDDEN}" if task.private else repr(error)
    return Check(name, "problem", f"the scorer raised {raised}: correct the scorer")


def _make_finding(name: str, problem: str, ids: Iterable[str], total: int) -> Check:
    """Return a problem with the number of its rows and the first ids."""
    rows = tuple(ids)
    ids_text = ", ".join(rows[:_LISTED]) + (" and others" if len(rows) > _LISTED else "")
    return Check(name, "problem", f"{len(rows):,} of {total:,} {problem} (rows {ids_text})", rows)
