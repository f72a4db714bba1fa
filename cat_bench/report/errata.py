"""The scores of a run without the questions that its task's errata name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from cat_bench.report.rounding import percent
from cat_bench.report.values import Values
from cat_bench.types.calls import JSON


def errata_note(record: Mapping[str, JSON], values: Values) -> Iterator[str]:
    """Yield one note with each method's score at its largest n without the faulty questions.

    A method is left out if no other question has a score; there is no note if none of the faulty
    questions is in the run.
    """
    faulty = set(record["task"].get("errata", ())).intersection(values.questions)
    if not faulty:
        return
    rest = values.restrict(np.array([name not in faulty for name in values.questions]))
    largest = {str(method): n for method, n in sorted(rest.columns)}
    means = {method: rest.mean((method, n)) for method, n in largest.items()}
    scored = {method: mean["score"] for method, mean in means.items() if mean["questions"]}
    ranked = sorted(scored.items(), key=lambda item: (-item[1], item[0]))
    scores = ", ".join(f"{method} {percent(score)}" for method, score in ranked)
    yield (
        f"The errata name {len(faulty):,} of {len(values.questions):,} questions. "
        f"Scores without them, at each method's largest n, %: {scores or 'none'}."
    )
