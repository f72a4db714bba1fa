"""Find methods whose texts often have no answer that the task reads, and warn about them.

Their scores show how the prompt fits the task, not how good the method is: the table has a note,
and no claim rests on them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from cat_bench.evaluation.questions import UNREADABLE
from cat_bench.report.rounding import percent
from cat_bench.types.calls import JSON


def unreadable_shares(record: Mapping[str, JSON]) -> dict[tuple[str, int], float]:
    """Return, by method and n, the shares of texts without an answer above `UNREADABLE`."""
    entries = record.get("unreadable", ())
    shares = {(entry["method"], entry["n"]): entry["share"] for entry in entries}
    return {key: share for key, share in shares.items() if share > UNREADABLE}


def notes(record: Mapping[str, JSON]) -> Iterator[str]:
    """Yield notes on such methods for the run's table."""
    if names := dict.fromkeys(method for method, _ in unreadable_shares(record)):
        yield (
            f"More than {percent(UNREADABLE)} % of what {', '.join(names)} wrote has no answer "
            "that the task reads, though its rollouts have one. This says how the prompt fits the "
            "task, not how good the method is: compare the prompt text with the task's closing."
        )


def no_answer_at_all(rollouts: Mapping[str, int]) -> bool:
    """Return whether the task reads no answer from any rollout of a run that came."""
    complete = rollouts.get("asked", 0) - rollouts.get("failed", 0)
    return 0 < complete <= rollouts.get("no_answer", 0)


def explain_withheld(record: Mapping[str, JSON], methods: Collection[str]) -> str:
    """Return why no claim about these methods is checked; "" if their texts can be read."""
    return "; ".join(
        f"withheld: {percent(share)} % of what {method} wrote at n = {n} has no readable answer"
        for (method, n), share in unreadable_shares(record).items()
        if method in methods
    )
