"""Weights over models against a fine grid, and cross-fitting that sees no question of its own."""

from __future__ import annotations

import numpy as np
import pytest

from cat_bench.stats.ensembles import (
    Polled,
    cross_fit,
    equal_weights,
    fitted_weights,
    weighted_score,
)


def questions(count: int, models: int, seed: int) -> list[Polled]:
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        shares = rng.dirichlet(np.full(4, 0.7), models)[:, :3]
        made.append(Polled(shares, np.array([1.0, 0.0, 0.0])))
    return made


@pytest.mark.parametrize("seed", range(5))
def test_fitted_weights_are_as_good_as_the_best_of_a_grid(seed: int) -> None:
    asked = questions(12, 3, seed)
    fitted = fitted_weights(asked)
    assert fitted.sum() == pytest.approx(1)
    assert (fitted >= 0).all()
    steps = np.linspace(0, 1, 41)
    grid = [np.array([a, b, 1 - a - b]) for a in steps for b in steps if a + b <= 1 + 1e-12]
    best = max(sum(weighted_score(q, w) for q in asked) for w in grid)
    assert sum(weighted_score(q, fitted) for q in asked) >= best - 1e-9


def test_the_solver_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    for seed in range(10):
        fitted_weights(questions(30, 4, seed))
    assert capfd.readouterr() == ("", "")


def test_no_question_chooses_its_own_weights() -> None:
    asked = questions(10, 3, 7)
    _, weights = cross_fit(asked, folds=5)
    for k in range(10):
        other = list(asked)
        other[k] = Polled(asked[k].shares[::-1], asked[k].worth[::-1])
        np.testing.assert_array_equal(cross_fit(other, folds=5)[1][k], weights[k])


def test_a_model_that_is_always_right_gets_the_votes() -> None:
    good, bad = np.array([0.6, 0.3]), np.array([0.1, 0.9])
    asked = [Polled(np.array([good, bad]), np.array([1.0, 0.0])) for _ in range(6)]
    scores, weights = cross_fit(asked, folds=3)
    assert scores.tolist() == [1.0] * 6
    assert (weights[:, 0] > weights[:, 1]).all()
    assert weighted_score(asked[0], equal_weights(2)) == 0


def test_ties_count_their_mean_and_silence_nothing() -> None:
    tie = Polled(np.array([[0.5, 0.5]]), np.array([1.0, 0.0]))
    assert weighted_score(tie, np.ones(1)) == 0.5
    assert weighted_score(Polled(np.zeros((1, 2)), np.array([1.0, 0.0])), np.ones(1)) == 0
    assert weighted_score(Polled(np.zeros((1, 0)), np.zeros(0)), np.ones(1)) == 0


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one question"):
        fitted_weights([])
    with pytest.raises(ValueError, match="5 folds do not fit 3 questions"):
        cross_fit(questions(3, 2, 0))


def test_questions_that_nobody_can_get_right_leave_equal_weights() -> None:
    hopeless = [Polled(np.array([[0.5, 0.5], [0.2, 0.8]]), np.zeros(2))]
    np.testing.assert_array_equal(fitted_weights(hopeless), [0.5, 0.5])
