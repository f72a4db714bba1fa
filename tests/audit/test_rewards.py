"""What an audit of rewards measures, worked out by hand on small groups."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cat_bench.audit.rewards import (
    Audited,
    accuracy,
    difference,
    figures,
    misdirected_mass,
    rank_correlation,
)
from cat_bench.types.calls import JSON

VALUES = st.lists(
    st.tuples(st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0])), st.sampled_from([0.0, 1.0])),
    min_size=1,
    max_size=8,
)


def group(
    values: Sequence[float | None],
    truth: Sequence[float | None],
    question: str = "q",
    **more: JSON,
) -> Audited:
    return Audited(question=question, values=values, truth=truth, **more)


@pytest.mark.parametrize(
    ("values", "truth", "wrong", "mass"),
    [
        ((1, 0), (1, 0), 0, 2),
        ((1, 0), (0, 1), 2, 2),
        ((1, 1, 0, 0), (1, 0, 0, 0), 1, 4),  # one wrong rollout goes up
        ((1, 0, 0, 0), (1, 1, 1, 0), 2 / 3**0.5, 6 / 3**0.5),  # advantages 3, -1, -1, -1 over √3
        ((1, 0), (0, 0), 1, 2),  # no right one: half of any push is wrong
        ((1, 0), (1, 1), 1, 2),
        ((1, 1), (1, 0), 0, 0),  # no advantage
        ((1, None, 0), (0, 0, 1), 2, 2),  # what is not scored pushes nothing
        ((1, 0), (0.9, 0.6), 0, 2),  # graded truth: up from its mean
        ((1, 0, 0.5), (0.2, 0.4, 0.3), 6**0.5, 6**0.5),
    ],
)
def test_advantage_error(
    values: Sequence[float | None], truth: Sequence[float], wrong: float, mass: float
) -> None:
    assert misdirected_mass(group(values, truth)) == pytest.approx((wrong, mass))


def test_rates_are_over_wrong_and_right_rollouts_and_accuracy_over_questions() -> None:
    groups = [
        group([1, 1, 0, 0], [1, 0, 0, 0], "a", label=1.0, calls=5),
        group([0, 0, None, 0], [1, 1, 1, 0], "a", label=0.0, calls=7),
        group([0.5, 0.4], [0.5, 0.4], "b", calls=3),
        group([None, None], [1, 0], "c", failed="gone", calls=1),
    ]
    found = figures(groups)
    assert (found.groups, found.unscored, found.failed, found.abstained) == (4, 3, 1, 0)
    assert found.reward_accuracy.mean == pytest.approx(((3 / 4 + 1 / 3) / 2 + 1) / 2)
    assert found.reward_accuracy.n == 2
    assert found.label_accuracy.mean == 0.5
    assert found.false_positives.mean == pytest.approx(1 / 5)
    assert found.false_negatives.mean == pytest.approx(2 / 4)
    assert found.silent.mean == pytest.approx((0.5 + 0 + 1) / 3)
    assert found.advantage_error.mean == pytest.approx(1 / 6)
    assert found.calls == 4
    assert isnan(found.tokens)
    assert isnan(found.criteria)


def test_a_rewards_own_threshold_counts() -> None:
    groups = [group([0.2, -1.0], [1, 0])]
    assert figures(groups).reward_accuracy.mean == 0.5
    assert figures(groups, positive=0.1875).reward_accuracy.mean == 1


def test_rubrics_are_described_by_their_criteria() -> None:
    groups = [
        Audited(
            question="a",
            values=(2 / 3, 1 / 3),
            truth=(1.0, 0.5),
            proposed=5,
            met=[[True, False, True], [True, False, False]],
        ),
        Audited(question="b", values=(1.0, None), truth=(1, 0), proposed=1, met=[[True]]),
        Audited(question="c", values=(None, None), truth=(1, 0), failed="no list"),
    ]
    found = figures(groups)
    assert found.criteria == 2
    assert found.duplicates == pytest.approx(2 / 6)
    assert found.always_yes == 2 / 4
    assert found.always_no == 1 / 4
    assert found.rank_correlation.mean == pytest.approx(1)
    assert found.rank_correlation.n == 1


def test_a_rank_correlation_shares_the_ranks_of_ties() -> None:
    # ranks 1.5 1.5 3 4 against 1 2 3.5 3.5
    assert rank_correlation(group([0, 0, 1, 2], [0.1, 0.2, 0.9, 0.9])) == pytest.approx(8 / 9)
    assert rank_correlation(group([1, 1], [0, 1])) is None
    assert rank_correlation(group([None, 1], [0, 1])) is None


def test_a_difference_is_paired_over_the_questions_that_both_have() -> None:
    one = [group([1, 0], [1, 0], q) for q in "abc"]
    other = [group([1, 0], [1, 1], q) for q in "bcd"]
    found = difference((one, accuracy), (other, accuracy))
    assert (found.mean, found.n) == (0.5, 2)
    assert difference((one, accuracy), ([], accuracy)).n == 0


def test_nothing_gives_nothing() -> None:
    found = figures([])
    assert found.groups == 0
    assert isnan(found.reward_accuracy.mean)
    assert isnan(found.advantage_error.mean)


@given(VALUES)
def test_gold_is_never_wrong_and_its_mirror_always_is(
    pairs: list[tuple[float | None, float]],
) -> None:
    truth = [t for _, t in pairs]
    wrong, mass = misdirected_mass(group(truth, truth))
    assert wrong == 0
    mirrored = misdirected_mass(group([1 - t for t in truth], truth))
    assert mirrored == pytest.approx((mass, mass))
    wrong, mass = misdirected_mass(group([v for v, _ in pairs], truth))
    assert 0 <= wrong <= mass * (1 + 1e-9)
    if len(set(truth)) == 1:
        assert wrong == pytest.approx(mass / 2)
