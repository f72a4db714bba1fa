"""Solve one formulation with HiGHS: the program that a solving worker runs.

`serving` limits CPU time and memory. HiGHS's result is checked where it can be wrong: an unbounded
program must have a feasible point, a mixed-integer optimum must hold with rounded integers, and a
quadratic optimum is proven (`solver_quadratic`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from cat_bench.scorers.serving import serve
from cat_bench.scorers.solver_highs import Solution, run_highs
from cat_bench.scorers.solver_json import read_json
from cat_bench.scorers.solver_lp import read_lp
from cat_bench.scorers.solver_mps import read_mps
from cat_bench.scorers.solver_quadratic import check_convex, replace_objective, solve_quadratic
from cat_bench.scorers.solver_text import Formulation, NotAProgram
from cat_bench.types.calls import JSON

READERS: dict[str, Callable[[str], Formulation]] = {
    "lp": read_lp,
    "mps": read_mps,
    "json": read_json,
}
_ROUNDED = 1e-7
"""How far rounding may move a mixed-integer optimum, relative to it or to 1."""


def judge(answer: str) -> JSON:
    """Return the verdict on a text: a dialect's name on its first line, then a formulation.

    `{"verdict": "optimal", "objective": 3.0}`, `infeasible`, `unbounded`; or `unreadable`,
    `unsupported`, `too large` or `undecided` with a `reason`.
    """
    dialect, _, text = answer.partition("\n")
    try:
        return solve(READERS[dialect](text))
    except NotAProgram as error:
        return {"verdict": error.verdict, "reason": str(error)}


def solve(program: Formulation) -> JSON:
    """Solve a program to optimality. Raises Unsupported if HiGHS cannot solve its kind."""
    limits = [*zip(program.lower, program.upper, strict=True)]
    limits += [(row.lower, row.upper) for row in program.rows]
    if program.quadratic:
        check_convex(program)
    if any(lower > upper for lower, upper in limits):
        return {"verdict": "infeasible"}
    solution = solve_quadratic(program) if program.quadratic else _solve_linear(program)
    if solution.status in ("infeasible", "unbounded"):
        return {"verdict": solution.status}
    if solution.status == "optimal" and math.isfinite(solution.objective):
        return {"verdict": "optimal", "objective": solution.objective + 0.0}
    return {"verdict": "undecided", "reason": f"solving ends with: {solution.status}"}


def _solve_linear(program: Formulation) -> Solution:
    solution = run_highs(program)
    if solution.status == "unbounded":
        feasible = run_highs(replace_objective(program, {}))
        return replace(solution, status="unbounded") if feasible.status == "optimal" else feasible
    if solution.status == "optimal" and any(program.integer):
        return _rounded(program, solution)
    return solution


def _rounded(program: Formulation, solution: Solution) -> Solution:
    """Return the optimum with the integer variables rounded and the others solved again.

    HiGHS accepts a value within 1e-9 of an integer as an integer. With a large coefficient, that
    changes the optimum: `x <= 1e10 y` permits x = 1 with y = 1e-10. Such a program is not solved.
    """
    integers = [*zip(program.integer, solution.point.round(), strict=True)]
    lower = [float(v) if w else low for (w, v), low in zip(integers, program.lower, strict=True)]
    upper = [float(v) if w else high for (w, v), high in zip(integers, program.upper, strict=True)]
    none = [False] * len(integers)
    resolved = run_highs(replace(program, lower=lower, upper=upper, integer=none))
    if resolved.status == "optimal" and _near(resolved.objective, solution.objective):
        return resolved
    return replace(
        solution, status="an optimum that holds only with fractions of integer variables"
    )


def _near(first: float, second: float) -> bool:
    return abs(first - second) <= _ROUNDED * max(1.0, abs(first), abs(second))


SERVED: dict[str, Callable[..., object]] = {"judge": judge}


if __name__ == "__main__":
    import highspy  # noqa: F401

    serve(SERVED, work="solving")
