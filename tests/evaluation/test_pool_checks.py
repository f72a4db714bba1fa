"""What a user is told of pools with copies."""

from __future__ import annotations

from collections.abc import Sequence

from cat_bench.evaluation.pool_checks import PoolChecks
from cat_bench.types.calls import Reply
from cat_bench.types.records import Pool, Question, Rollout


def warnings(*pools: Sequence[str], temperature: float | None = 1.0) -> list[str]:
    checks = PoolChecks()
    for number, texts in enumerate(pools):
        rollouts = tuple(Rollout(slot, Reply(text=text)) for slot, text in enumerate(texts))
        pool = Pool(Question(f"q{number}", (), "?"), rollouts)
        checks.add(pool, temperature=temperature)
    return list(checks.warnings())


def long(*numbers: int) -> list[str]:
    return [f"{number}" * 200 for number in numbers]


def test_long_copies_are_named_with_what_they_mean_for_n() -> None:
    (warning,) = warnings(long(1, 1, 1, 1, 2, 3, 4, 5), long(1, 1, 1, 1, 1, 1, 2, 3))
    assert warning.startswith("50% of the rollouts of 200 characters or more are exact copies")
    assert "n rollouts are worth 0.50 n different ones" in warning


def test_short_texts_may_be_equal_by_chance() -> None:
    assert warnings(["yes", "no"] * 16) == []


def test_copies_at_temperature_0_are_as_they_should_be() -> None:
    assert warnings(long(*[1] * 16), temperature=0) == []


def test_texts_that_are_all_alike_are_told_once() -> None:
    (warning,) = warnings(long(*[1] * 16))
    assert "there is nothing to aggregate" in warning
