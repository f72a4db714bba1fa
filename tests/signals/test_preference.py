"""Comparisons two at a time, in both orders."""

from __future__ import annotations

import re

import numpy as np

from cat_bench.cache import Cache
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Scripted
from cat_bench.signals import rate
from tests import toy

POOL = toy.pool("strong = a", "weak = b", "odd = c")


def compared(request: Request, seed: int) -> str:
    """Strong beats weak; against odd, whoever stands first; odd against weak: no verdict."""
    first, second = re.findall(r"(strong|weak|odd) =", request.messages[-1]["content"])
    if {first, second} == {"strong", "weak"}:
        return f"\\boxed{{{1 if first == 'strong' else 2}}}"
    return "\\boxed{1}" if "strong" in {first, second} else "both are fine"


async def test_a_win_is_a_share_of_both_orders(cache: Cache) -> None:
    judge = Scripted(compared, identity="judge")
    whole = await toy.evaluation(POOL, toy.roles(cache, judge=judge), cache)
    ctx = whole.context([0, 1, 2])
    found = await rate("preference", whole.question, POOL.rollouts, ctx)
    assert found.tolist() == [(1 + 0.5) / 2, (0 + 0.5) / 2, (0.5 + 0.5) / 2]
    # Six ordered pairs, and one more attempt for each of the two without a verdict.
    assert judge.completions == len(ctx.bill) == 8


async def test_a_model_that_always_names_the_first_prefers_nobody(cache: Cache) -> None:
    judge = Scripted(lambda request, seed: "\\boxed{1}", identity="first")
    whole = await toy.evaluation(POOL, toy.roles(cache, judge=judge), cache)
    found = await rate("preference", whole.question, POOL.rollouts, whole.context([0, 1, 2]))
    np.testing.assert_array_equal(found, [0.5, 0.5, 0.5])
