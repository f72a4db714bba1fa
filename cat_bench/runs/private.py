"""Runs of a task whose examples may not be revealed: files with its prompts are not published."""

from __future__ import annotations

from collections.abc import Mapping

from cat_bench.errors import UsageError
from cat_bench.loading.catalog import is_private
from cat_bench.types.calls import JSON


def is_private_run(record: Mapping[str, JSON]) -> bool:
    """Return whether the run's task is private, by its `run.json` or by its `task.yaml` today."""
    return bool(record["task"].get("private")) or is_private(record["config"]["task"])


def refuse_private(record: Mapping[str, JSON], *, advice: str) -> None:
    """Raise UsageError if the run's task is private; the message ends with `advice`."""
    if is_private_run(record):
        raise UsageError(private_message(record["config"]["task"], advice=advice))


def private_message(task: str, *, advice: str) -> str:
    """Return the message that a file with a private task's prompts cannot be published."""
    return (
        f"the task {task!r} is private: its examples may not be revealed, and this file would hold "
        f"its prompts; {advice}"
    )
