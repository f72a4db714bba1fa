"""What HiGHS says wrongly is not taken for a verdict; and quadratic optima against enumeration."""

from __future__ import annotations

import itertools
import random
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from cat_bench.scorers.solver_solving import judge, solve
from cat_bench.scorers.solver_text import Formulation, Row
from cat_bench.types.calls import JSON, FloatArray


def lp(*lines: str) -> JSON:
    return judge("lp\n" + "\n".join([*lines, "end"]))


def test_an_unbounded_quadratic_program_has_no_optimum() -> None:
    """HiGHS's own solver, with its default settings, ends at an optimum of -2e7."""
    falls = "min [ x^2 - 2 x * y + y^2 ] / 2 - x - y"
    assert lp(falls, "st", "x - y <= 10") == {"verdict": "unbounded"}
    assert lp("max y - [ x^2 ] / 2", "st", "x + y >= 1") == {"verdict": "unbounded"}


def test_a_quadratic_program_with_free_variables_has_its_optimum() -> None:
    """HiGHS's own solver, with its default settings, calls it unbounded."""
    found = lp("min [ x^2 ] / 2 - 6 x", "st", "x + y >= -10", "bounds", "x free", "y free")
    assert found["objective"] == pytest.approx(-18)


def test_an_infeasible_quadratic_program() -> None:
    rows = ("x + y >= 1", "x + y <= 0")
    assert lp("min [ x^2 ] / 2 - y", "st", *rows) == {"verdict": "infeasible"}


@pytest.mark.parametrize("big", ["1e3", "1e6", "1e8", "1e9", "1e12"])
def test_a_large_coefficient_does_not_buy_a_fraction_of_an_integer(big: str) -> None:
    """Within HiGHS's tolerance, y = z = 1e-9 would do, at a cost of 0."""
    limits = (f"x - {big} y <= 0", f"w - {big} z <= 0", "x + w >= 1.5", "x - w <= 1", "w - x <= 1")
    found = lp("min 100 y + 100 z", "st", *limits, "binary", "y z")
    if float(big) < 1e9:
        assert found == {"verdict": "optimal", "objective": 200.0}
    else:
        assert found["verdict"] == "undecided"


def test_terms_that_cancel_leave_nothing_of_rounding() -> None:
    assert lp("max x + 0.1 + 0.2 - 0.3", "st", "x <= 5")["objective"] == 5
    assert lp("max y", "st", "0.1 x + 0.2 x - 0.3 x + y <= 5")["objective"] == 5
    assert lp("max 0.1 x + 0.2 x - 0.3 x + y", "st", "y <= 5")["objective"] == 5


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_a_quadratic_verdict_is_that_of_enumeration(seed: int) -> None:
    """Semidefinite objectives and free variables, for which a solver's word is not enough."""
    rng = random.Random(seed)
    size = rng.randint(1, 3)
    factor = np.array([[rng.randint(-3, 3) for _ in range(size)] for _ in range(rng.randint(1, 3))])
    curved = (factor.T @ factor).astype(float)
    costs = np.array([float(rng.randint(-5, 5)) for _ in range(size)])
    lower = [rng.choice([0.0, -inf, -3.0]) for _ in range(size)]
    upper = [rng.choice([inf, inf, 10.0]) for _ in range(size)]
    limits = [
        ([float(rng.randint(-3, 3)) for _ in range(size)], float(rng.randint(-5, 20)))
        for _ in range(rng.randint(0, 2))
    ]
    program = Formulation(
        maximise=False,
        lower=lower,
        upper=upper,
        integer=[False] * size,
        linear=dict(enumerate(costs.tolist())),
        constant=0.0,
        quadratic={
            (i, j): float(curved[i, j]) / (2 if i == j else 1)
            for i in range(size)
            for j in range(i, size)
        },
        rows=[Row(dict(enumerate(row)), -inf, right) for row, right in limits],
    )
    sides = [*limits]
    for place, unit in enumerate(np.eye(size)):
        sides += [(list(unit), upper[place])] if upper[place] < inf else []
        sides += [(list(-unit), -lower[place])] if lower[place] > -inf else []
    faces = np.array([row for row, _ in sides]).reshape(len(sides), size)
    expected = enumerated(curved, costs, faces, np.array([right for _, right in sides]))
    found = dict(solve(program))
    if found["verdict"] != "undecided":
        assert found["verdict"] == (expected if isinstance(expected, str) else "optimal")
        if not isinstance(expected, str):
            assert found["objective"] == pytest.approx(expected, rel=1e-6, abs=1e-6)


def enumerated(
    curved: FloatArray, costs: FloatArray, faces: FloatArray, rights: FloatArray
) -> float | str:
    """The least value of x Q x / 2 + c x over A x <= b, by trying every set of active faces."""
    count, size = faces.shape
    free = [(None, None)] * size
    within = {"A_ub": faces, "b_ub": rights} if count else {}
    if linprog(np.zeros(size), **within, bounds=free).status == 2:
        return "infeasible"
    for number in range(min(size, count) + 1):
        for active in map(list, itertools.combinations(range(count), number)):
            edges = faces[active]
            system = np.block([[curved, edges.T], [edges, np.zeros((number, number))]])
            wanted = np.concatenate([-costs, rights[active]])
            padded = np.hstack([faces, np.zeros((count, number))])
            within = {"A_ub": padded, "b_ub": rights + 1e-9} if count else {}
            bounds = [*free, *[(0, None)] * number]
            found = linprog(
                np.zeros(size + number), **within, A_eq=system, b_eq=wanted, bounds=bounds
            )
            if found.status == 0:
                point = found.x[:size]
                return float(point @ curved @ point / 2 + costs @ point)
    return "unbounded"
