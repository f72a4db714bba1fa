"""Says why a plug-in cannot run with a task and its models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from cat_bench.errors import UnknownName
from cat_bench.loading.catalog import Method, Task
from cat_bench.loading.registry import list_plugins
from cat_bench.models.lending import Roles, explain_unusable_role
from cat_bench.types.calls import Capability
from cat_bench.types.plugins import AnswerScorer
from cat_bench.types.traits import TEXT_READERS, Need

NEEDS = ("answers", *TEXT_READERS, "policy", "score", "scores", "others", *get_args(Capability))


def find_unavailable(methods: Sequence[Method], task: Task, roles: Roles) -> dict[str, str]:
    """Return why methods cannot run here: name → reason, without the methods that can."""
    reasons = {method.name: explain_missing(method.needs, task, roles) for method in methods}
    return {name: reason for name, reason in reasons.items() if reason}


def explain_missing(needs: Iterable[Need], task: Task, roles: Roles) -> str | None:
    """Return why a plug-in with these needs cannot run here, or None. Raises UnknownName."""
    model = roles.policy.model
    scores = model.imported.scores if model.imported else ()
    for need in sorted(needs):
        kind, _, name = need.partition(":")
        if kind not in NEEDS:
            raise UnknownName("need", need, NEEDS)
        if kind == "reward" and roles.reward is None and name in scores:
            continue
        if kind == "score" and name not in scores:
            raise UnknownName("signal or imported score", name, [*list_plugins("signal"), *scores])
        if kind == "scores" and not scores:
            return f"no scores came with the rollouts of {model.name}"
        if kind == "answers" and not isinstance(task.scorer, AnswerScorer):
            return "the task has no final answers to compare"
        if kind in get_args(Capability) and kind not in model.capabilities:
            return f"{model.name} gives no {kind}"
        if kind == "policy" and model.imported:
            return "a replayed pool has no model to ask"
        if kind in TEXT_READERS and (reason := explain_unusable_role(kind, roles)):
            return reason
    return None
