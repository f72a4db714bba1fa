"""Sentences about the gaps of a run and the warnings about its pool."""

from __future__ import annotations

from collections.abc import Iterator

from cat_bench.evaluation.questions import Census
from cat_bench.models.throttling import Gate


def shortfalls(census: Census, gate: Gate) -> Iterator[str]:
    """Yield the sentences that a reader of the run's numbers must know first."""
    if gate.closed:
        yield f"Stopped early: {gate.closed.message}."
    yield from (f"Warning: {warning}." for warning in census.pool_checks.warnings())
    if (refused := census.rollouts["refused"]) or census.refused_rows:
        yield (
            f"Refused and not requested again: {refused:,} rollouts; refusals prevented "
            f"{census.refused_rows:,} estimates."
        )
    if census.complete:
        return
    failed, bugs = census.rollouts["failed"], census.bugs.total()
    missing = f"{failed:,} rollouts and {census.failed_rows:,} estimates are missing"
    resumable = failed or census.failed_rows > bugs
    gaps = "; run the same command again to fill the gaps" if resumable else ""
    yield f"Incomplete: {missing}{gaps}."
    if bugs:
        broken = ", ".join(census.bugs)
        yield f"{broken} crashed (a bug in the method) ({bugs:,} times): fix it first."
    if not gate.closed and (common := census.reasons.most_common(1)):
        ((reason, count),) = common
        yield f"Most often ({count:,} times): {reason}"
