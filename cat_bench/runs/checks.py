"""Checks of a task before the first call: permission, labels, questions and prompt texts.

A task's prompt texts may replace the closing instruction of its scorer, so they are compared with
the forms that the scorer reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from cat_bench.errors import PLUGIN_BUGS, UsageError
from cat_bench.evaluation.method_rows import FRAMES
from cat_bench.loading.catalog import Task
from cat_bench.loading.closing import SAMPLES, asks_for_a_box
from cat_bench.system.sandbox import require_runner
from cat_bench.types.plugins import AnswerScorer, QuestionScorer
from cat_bench.types.records import Question, Sample

WRITING = ("synthesis", "synthesis_aware", "synthesis_free", "synthesis_free_aware")
"""Prompt texts that ask for an answer; all others ask for a choice, a number or a verdict."""
_QUOTED = re.compile(r'"([^"…]+)["…]')


def warnings_of(task: Task, samples: Iterable[Sample]) -> Iterator[str]:
    """Yield one sentence for each flaw that would make right responses score 0."""
    first = next(iter(samples), None)
    asks = task.prompts.closing and task.model is None  # a bundled model's task fits the model
    if first and asks and isinstance(task.scorer, AnswerScorer):
        yield from _mismatches(task, task.scorer, first.question)


def _mismatches(task: Task, scorer: AnswerScorer, question: Question) -> Iterator[str]:
    """Yield a sentence for each prompt text that asks for a form that the scorer does not read."""
    reader = scorer.for_question(question) if isinstance(scorer, QuestionScorer) else scorer
    closing, folder = task.prompts.closing, task.prompts.folder
    texts = {"the question's prompt": "\n".join(m["content"] for m in question.messages)}
    prompts = [name for name in WRITING if name in task.prompts.own()]
    texts |= {f"{folder / name}.txt": _source(task, name) for name in prompts}
    boxed = _reads(reader, r"So \boxed{%s}.")
    if _reads(reader, "%s"):
        return
    fits = {name: _fits(text, closing, reader, boxed=boxed) for name, text in texts.items()}
    for name, text in texts.items():
        if asks_for_a_box(text) and not boxed:
            yield f"{name} asks for a box, but the task reads {closing}"
        elif not fits[name] and any(fits.values()):
            yield f'{name} never asks for what the task reads: write "End with {{{{ closing }}}}."'


def _source(task: Task, name: str) -> str:
    """Return a task's prompt text with its includes and its closing."""
    source = task.prompts.source(name).replace("{{ closing }}", task.prompts.closing)
    included = re.findall(r"{%-?\s*include\s+['\"](\w+)\.txt['\"]", source)
    return "\n".join([source, *(_source(task, part) for part in included if part != name)])


def _fits(text: str, closing: str, reader: AnswerScorer, *, boxed: bool) -> bool:
    """Return whether a text seems to ask for the form that the scorer reads."""
    if boxed and ("box" in text.casefold()):
        return True
    quoted = [phrase.strip() for phrase in _QUOTED.findall(closing)]
    return (
        closing in text
        or any(phrase and phrase in text for phrase in quoted)
        or _parses(reader, text)
    )


def _reads(reader: AnswerScorer, form: str) -> bool:
    try:
        return all(reader.answer(form % sample) == sample for sample in SAMPLES[:2])
    except PLUGIN_BUGS:  # a bug is reported when it affects a score
        return False


def _parses(reader: AnswerScorer, text: str) -> bool:
    try:
        return reader.answer(text) is not None
    except PLUGIN_BUGS:
        return False


def check_permission(task: Task, *, planning: bool) -> None:
    """Raise UsageError if the scorer runs models' programs and the user has not allowed it."""
    if getattr(task.scorer, "runs_code", False) and not planning:
        require_runner()


def check_labels(task: Task, methods: Iterable[str], *, labelled: bool) -> None:
    """Raise UsageError if the oracle or the worst pick is asked for, but no row has a target."""
    if labelled:
        return
    for name in methods:
        if name in FRAMES:
            raise UsageError(
                f"{name} is {FRAMES[name]}, but task {task.name!r} is unlabelled: leave it out, or "
                "give rows with answers by --data"
            )


def check_questions(questions: int, task: Task, shard: str | None) -> None:
    """Raise UsageError if a task, or this shard of it, has no questions."""
    if not questions:
        part = f"shard {shard} of " if shard else ""
        raise UsageError(f"{part}task {task.name!r} has no questions")
