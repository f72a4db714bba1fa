"""What selectors reach with a judge of known skill, and with a reward model of known AUROC,
beside simulations and formulas of their own.
"""

from __future__ import annotations

import numpy as np
import pytest

from cat_bench.aggregators.pairwise import Pairwise
from cat_bench.aggregators.swiss import Swiss
from cat_bench.cache import Cache
from cat_bench.loading.catalog import method
from cat_bench.types.plugins import Aggregator
from tests.aggregators import judged, rated

QUESTIONS, SIMULATED = 150, 4000
CASES: dict[str, tuple[Aggregator, judged.Simulation, int]] = {
    **{name: (method(name).aggregator, play, 8) for name, play in judged.SIMULATIONS.items()},
    "swiss of all pairs": (Swiss(budget=9.0), judged.swiss(9.0), 6),
    "league of all pairs": (Pairwise(scoring="bradley-terry"), judged.league(None), 6),
}


async def play(
    aggregator: Aggregator, n: int, cache: Cache, *, right: int = 2
) -> tuple[float, float]:
    """What a method reaches on pools with `right` right rollouts of n, and its calls."""
    roles, flags = judged.roles_with_judge(cache), [k < right for k in range(n)]
    found = [
        await judged.reach(aggregator, judged.make_pool(flags, f"q{number}"), roles, cache)
        for number in range(QUESTIONS)
    ]
    shares, calls = zip(*found, strict=True)
    return float(np.mean(shares)), float(np.mean(calls))


@pytest.mark.parametrize("name", CASES)
async def test_it_reaches_what_a_simulation_reaches_in_as_many_calls(
    name: str, cache: Cache
) -> None:
    aggregator, simulate, n = CASES[name]
    found, made = await play(aggregator, n, cache)
    rng = np.random.default_rng(0)
    shares, calls = zip(
        *(simulate([True, True] + [False] * (n - 2), rng) for _ in range(SIMULATED)), strict=True
    )
    expected = float(np.mean(shares))
    error = np.sqrt(expected * (1 - expected) * (1 / QUESTIONS + 1 / SIMULATED))
    assert abs(found - expected) < 3.5 * error, (found, expected)
    assert made == np.mean(calls)


async def test_more_comparisons_reach_more(cache: Cache) -> None:
    shares = [(await play(Swiss(budget=b), 8, cache))[0] for b in (0.5, 1.5, 3.5)]
    assert 0.25 < shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("name", rated.FORMULAS)
async def test_a_method_by_a_reward_model_reaches_its_exact_value(
    name: str, n: int, cache: Cache
) -> None:
    aggregator, roles = method(name).aggregator, rated.roles_with_reward(cache)
    found = 0.0
    for draw in rated.draws(n):
        found += draw.chance * (await judged.reach(aggregator, draw.pool, roles, cache))[0]
    close = 1e-3 if name == "pandora" else 1e-9  # a mean over random orders
    assert found == pytest.approx(rated.FORMULAS[name](n), abs=close)


def test_all_pools_and_their_levels_are_as_stated() -> None:
    assert sum(draw.chance for draw in rated.draws(6)) == pytest.approx(1)
    assert abs(rated.AUROC - 0.825) < 1e-9
    share = sum(draw.chance * draw.right.mean() for draw in rated.draws(4))
    assert share == pytest.approx(rated.SHARE)
