"""Solve a convex quadratic program, with a proof of its optimum by linear programs.

HiGHS's quadratic solver reports some unbounded programs as bounded, and some bounded ones as
unbounded. So its results are checked by two linear programs:

- A convex quadratic objective is unbounded over a feasible polyhedron only along a direction in
  which it is linear and falls (Frank and Wolfe, 1956). The first program looks for one.
- At a point, the linearized objective bounds how much better any feasible point can be. The second
  program computes this bound in a box around the point.

Tolerances are absolute: an objective whose coefficients are all below 1e-8 passes both checks
anywhere, so such a program should be stated in other units.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import inf

import numpy as np

from cat_bench.scorers.solver_highs import Solution, run_highs
from cat_bench.scorers.solver_text import Formulation, Row, TooLarge, Unsupported
from cat_bench.types.calls import FloatArray

MOST_SQUARED = 1_000
"""The most variables in quadratic terms: their matrix is decomposed to check convexity."""
_CONVEX = 1e-9
_SLOPE, _FEASIBLE = 1e-7, 1e-7
"""The largest slope that counts as 0, and the largest violation of a bound that is allowed."""
_GAP = 1e-7
"""The largest gap to the optimum within the box, relative to the objective, at least 1."""
_REACH = 10.0
"""Half the width of the box, relative to the point's largest coordinate, at least 1."""
_PROXIMAL, _STEPS = 1e-3, 12
"""The weight of the proximal term, half the squared distance from the last point; most steps."""


def solve_quadratic(program: Formulation) -> Solution:
    """Return a proven optimum, infeasible or unbounded; another status if there is no proof.

    The program must be convex, with bounds that do not cross.
    """
    feasible = run_highs(replace_objective(program, {}))
    if feasible.status != "optimal":
        return feasible
    direction = run_highs(_directions(program))
    if direction.status != "optimal":
        return replace(feasible, status="no proof that the objective is bounded")
    if abs(direction.objective) > _SLOPE:
        return replace(feasible, status="unbounded")
    for point in _candidates(program):
        if _is_feasible(program, point) and _is_optimal(program, point):
            return Solution("optimal", program.constant + _value(program, point), point)
    return replace(feasible, status="no proof of a quadratic optimum")


def _candidates(program: Formulation) -> Iterator[FloatArray]:
    """Yield points that may be optimal: from HiGHS, then from the proximal point method.

    A proximal term, around the last point, makes the objective strictly convex, for which HiGHS's
    solver is more reliable.
    """
    point = run_highs(program).point
    if len(point) and np.isfinite(point).all():
        yield point
    last: FloatArray = np.zeros(len(program.lower))
    weight = -_PROXIMAL if program.maximise else _PROXIMAL
    for _ in range(_STEPS):
        linear, quadratic = dict(program.linear), dict(program.quadratic)
        for i, value in enumerate(last):
            linear[i] = linear.get(i, 0.0) - weight * float(value)
            quadratic[i, i] = quadratic.get((i, i), 0.0) + weight / 2
        last = run_highs(replace(program, linear=linear, quadratic=quadratic)).point
        if not len(last) or not np.isfinite(last).all():
            return
        yield last


def replace_objective(program: Formulation, linear: dict[int, float]) -> Formulation:
    """Return the program with this linear objective."""
    return replace(program, linear=linear, constant=0.0, quadratic={})


def _directions(program: Formulation) -> Formulation:
    """Return a linear program over directions of the feasible set, cut to a unit box.

    The objective is linear along them; an optimum of another value than 0 is a fall.
    """
    lower = [0.0 if bound > -inf else -1.0 for bound in program.lower]
    upper = [0.0 if bound < inf else 1.0 for bound in program.upper]
    rows = [
        Row(row.linear, 0.0 if row.lower > -inf else -inf, 0.0 if row.upper < inf else inf)
        for row in program.rows
    ]
    flat = [Row(row, 0.0, 0.0) for row in _second_derivative(program).values()]
    aimed = replace_objective(program, dict(program.linear))
    return replace(aimed, lower=lower, upper=upper, rows=[*rows, *flat])


def _is_feasible(program: Formulation, point: FloatArray) -> bool:
    limits = [*zip(point, program.lower, program.upper, strict=True)]
    for row in program.rows:
        value = sum(factor * point[place] for place, factor in row.linear.items())
        limits.append((value, row.lower, row.upper))
    slack = [_FEASIBLE * max(1.0, abs(float(value))) for value, _, _ in limits]
    return all(
        lower - extra <= value <= upper + extra
        for (value, lower, upper), extra in zip(limits, slack, strict=True)
    )


def _is_optimal(program: Formulation, point: FloatArray) -> bool:
    """Return whether no point of a box around a feasible point is better by more than the gap.

    Only a box is searched, because slopes that are rounding errors would add up over unbounded
    directions. A convex function that does not fall in the box does not fall beyond it; a fall
    within the gap may go on beyond the box.
    """
    gradient = dict(program.linear)
    for place, row in _second_derivative(program).items():
        slope = sum(value * point[column] for column, value in row.items())
        gradient[place] = gradient.get(place, 0.0) + float(slope)
    reach = _REACH * max(1.0, float(abs(point).max()))
    lower = [max(float(v) - reach, low) for v, low in zip(point, program.lower, strict=True)]
    upper = [min(float(v) + reach, high) for v, high in zip(point, program.upper, strict=True)]
    best = run_highs(replace(replace_objective(program, gradient), lower=lower, upper=upper))
    reached = sum(slope * point[place] for place, slope in gradient.items())
    allowed = _GAP * max(1.0, abs(program.constant + _value(program, point)))
    return best.status == "optimal" and abs(best.objective - reached) <= allowed


def _value(program: Formulation, point: FloatArray) -> float:
    """Return the objective without its constant."""
    linear = sum(value * point[place] for place, value in program.linear.items())
    products = program.quadratic.items()
    return float(
        linear + sum(value * point[first] * point[second] for (first, second), value in products)
    )


def _second_derivative(program: Formulation) -> dict[int, dict[int, float]]:
    """Return the rows of the objective's second derivative that are not empty."""
    rows: dict[int, dict[int, float]] = {}
    for (first, second), value in program.quadratic.items():
        for i, j in ((first, second), (second, first)):
            row = rows.setdefault(i, {})
            row[j] = row.get(j, 0.0) + value
    return rows


def check_convex(program: Formulation) -> None:
    """Raise Unsupported for an objective that is not convex, or with integer variables.

    Raises TooLarge for more than `MOST_SQUARED` variables in quadratic terms.
    """
    if any(program.integer):
        raise Unsupported("integer variables with a quadratic objective are not solved")
    squared = sorted({place for pair in program.quadratic for place in pair})
    if len(squared) > MOST_SQUARED:
        raise TooLarge(f"more than {MOST_SQUARED:,} variables stand in quadratic terms")
    at = {place: index for index, place in enumerate(squared)}
    matrix = np.zeros((len(squared), len(squared)))
    for place, row in _second_derivative(program).items():
        for column, value in row.items():
            matrix[at[place], at[column]] = value
    curvature = np.linalg.eigvalsh(-matrix if program.maximise else matrix)
    if curvature[0] < -_CONVEX * max(1.0, abs(curvature).max()):
        raise Unsupported("the quadratic objective is not convex (when maximised: not concave)")
