"""Whether the questions of a run have targets, and the refusal of what needs them."""

from __future__ import annotations

from collections.abc import Mapping

from cat_bench.errors import UsageError
from cat_bench.types.calls import JSON


def is_unlabelled(record: Mapping[str, JSON]) -> bool:
    """Return whether no question of a run has a target."""
    return bool(0 < record["questions"] == record.get("unlabelled", 0))


def refuse_unlabelled(record: Mapping[str, JSON], *, what: str, some: bool = True) -> None:
    """Raise UsageError if `what` would state scores of questions that have no target.

    Without `some`, only a run without any target is refused.
    """
    unlabelled, questions = record.get("unlabelled", 0), record["questions"]
    if unlabelled and (some or unlabelled == questions):
        count = "all" if unlabelled == questions else f"{unlabelled:,} of {questions:,}"
        raise UsageError(
            f"{record['config']['task']} is unlabelled in {count} questions, and {what} would "
            "state scores that nobody has measured: run only rows with answers, such as --data "
            "LABELLED.jsonl"
        )
