"""A vote where enough agree, a synthesis where not."""

from __future__ import annotations

import pytest

from cat_bench.aggregators.agreement_gate import AgreementGate
from cat_bench.cache import Cache
from tests import toy


@pytest.mark.parametrize(
    ("texts", "threshold", "picks"),
    [
        (("x = a", "y = a", "z = b", "w = c"), 0.5, {0: 0.5, 1: 0.5}),
        (("x = a", "y = a", "z = b", "w = c"), 0.51, None),
        (("x = a", "y = a", "none", "none", "none"), 0.5, None),
        (("x = a", "y = b"), 0.5, {0: 0.5, 1: 0.5}),
        (("none", "none"), 0.0, None),
    ],
)
async def test_the_gate(
    texts: tuple[str, ...], threshold: float, picks: dict[int, float] | None, cache: Cache
) -> None:
    estimate, ctx = await toy.estimate(AgreementGate(threshold), toy.pool(*texts), cache)
    if picks is None:
        assert estimate.text == "So it is = right"
        assert len(ctx.bill) == 1
    else:
        assert dict(estimate.picks) == picks
        assert ctx.bill == []
