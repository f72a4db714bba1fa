r"""Texts that state a row's gold in the form that a task asks for, to try a scorer without a model.

The form comes from the task's closing instruction: a box, a quoted phrase (`Answer: `), a line of
its own, or, for a solver's verdict, a formulation with the gold as its optimum.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from cat_bench.errors import UsageError
from cat_bench.loading.catalog import Task
from cat_bench.loading.closing import ALONE, asks_for_a_box
from cat_bench.scorers.solver import Solver
from cat_bench.system.sandbox import require_runner
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import AnswerScorer
from cat_bench.types.traits import ScorerTraits, traits

Statement: TypeAlias = Callable[[str], str]
"""A text that states an answer."""
_QUOTED = re.compile(r'"([^"…]*)(…?)([^"…]*)"')
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_PRINTED = "```python\nprint('''{}''')\n```\n"
_FORMULATION = """\
{sense}
 goal: x
Subject To
 low: x >= {low}
 high: x <= {high}
Bounds
 x free
End
"""


def explain_unstatable(task: Task) -> str | None:
    """Return why no text can state a gold of this task; None if a text can."""
    scorer = task.scorer
    if needs := traits(ScorerTraits, scorer).needs:
        return f"the scorer asks a model ({', '.join(sorted(needs))})"
    if getattr(scorer, "runs_code", False):
        if not isinstance(scorer, Solver):
            return "a right response is a program, which a gold does not give"
        try:
            require_runner()
        except UsageError:
            return "a right response is a program: allow programs by --allow-code bubblewrap"
    if not isinstance(scorer, AnswerScorer):
        return "the scorer compares no answers, so a gold is not the text of a right response"
    if not isinstance(scorer, Solver) and statement(task) is None:
        return f"no form could be read from the closing {task.prompts.closing!r}: set `closing`"
    return None


def write_answer(target: JSON) -> str:
    """Return a target as one answer: the first, if several are accepted."""
    return str(target[0] if isinstance(target, list) and target else target)


def statement(task: Task) -> Statement | None:
    """Return how a response of this task states its final answer; None if that is not known."""
    closing = task.prompts.closing
    if asks_for_a_box(closing):
        return lambda answer: f"So the answer is \\boxed{{{answer}}}."
    if quoted := _QUOTED.search(closing):
        before, _, after = quoted.groups()
        return lambda answer: f"I have it.\n\n{before.rstrip()} {answer}{after}"
    return (lambda answer: f"I have it.\n\n{answer}") if closing == ALONE else None


def texts(task: Task, gold: JSON, other: JSON) -> tuple[str, ...]:
    """Return texts that state the gold: with and without another row's gold before it.

    Some scorers search a text for the gold, or change a formulation's direction until it matches.
    They accept the second text for the other row, too. Returns () if no text can state the gold.
    """
    if isinstance(task.scorer, Solver):
        form = _PRINTED if task.scorer.runs_code else "```lp\n{}```\n"
        return tuple(
            form.format(formulation)
            for formulation in _formulations(write_answer(gold), write_answer(other))
        )
    state = statement(task)
    if state is None:
        return ()
    stated = state(write_answer(gold))
    return (stated, f"It is not {write_answer(other)}.\n\n{stated}")


def _formulations(gold: str, other: str) -> tuple[str, ...]:
    """Return formulations whose optimum is the gold, the second one with `other` as its bound."""
    if not _NUMBER.fullmatch(gold):
        return ()
    statement = _FORMULATION.format(sense="Minimize", low=gold, high=gold)
    if not _NUMBER.fullmatch(other) or float(other) == float(gold):
        return (statement,)
    sense = "Minimize" if float(gold) < float(other) else "Maximize"
    low, high = sorted((gold, other), key=float)
    return (statement, _FORMULATION.format(sense=sense, low=low, high=high))
