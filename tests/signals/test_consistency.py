"""Similarity to the others, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cat_bench.cache import Cache
from cat_bench.signals import rated, signal
from cat_bench.types import FloatArray, Pairwise
from tests import toy


async def numbers(spec: str, texts: list[str], cache: Cache) -> FloatArray:
    pool = toy.pool(*texts)
    whole = await toy.evaluation(pool, toy.roles(cache), cache)
    return await rated(spec, whole.question, pool.rollouts, whole.context([0]))


async def test_by_answer_it_is_the_share_of_the_others_that_agree(cache: Cache) -> None:
    found = await numbers("consistency", ["x = a", "y = A", "z = b", "nothing", "w = a"], cache)
    assert found.tolist() == [0.5, 0.5, 0, 0, 0.5]


async def test_by_rouge_it_is_the_mean_f_measure(cache: Cache) -> None:
    pytest.importorskip("rouge_score")
    # Longest common subsequences: "the cat" of 3 and 2 words, nothing of the third.
    found = await numbers("consistency{by=rouge}", ["the cat sat", "The cat!", "zebra"], cache)
    assert found.tolist() == pytest.approx([0.4, 0.4, 0])


async def test_the_matrix_is_symmetric_and_shows_each_to_itself(cache: Cache) -> None:
    pool = toy.pool("x = a", "y = b", "z = a")
    whole = await toy.evaluation(pool, toy.roles(cache), cache)
    chosen = signal("consistency")
    assert isinstance(chosen, Pairwise)
    matrix = await chosen.matrix(whole.question, pool.rollouts, whole.context([0]))
    np.testing.assert_array_equal(matrix, [[1, 0, 1], [0, 1, 0], [1, 0, 1]])
