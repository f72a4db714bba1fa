"""Solve one formulation with HiGHS, unchanged, and return its status, objective and point.

HiGHS gets no limit on time or work, because reaching one could look like a result; it uses one
thread, no gap between bound and solution, and tight tolerances.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cat_bench.scorers.solver_text import Formulation
from cat_bench.types.calls import FloatArray

_OPTIONS: Mapping[str, bool | int | float] = {
    "output_flag": False,
    "threads": 1,
    "random_seed": 0,
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 1e-9,
    "mip_feasibility_tolerance": 1e-9,
    "primal_feasibility_tolerance": 1e-9,
    "dual_feasibility_tolerance": 1e-9,
    "small_matrix_value": 1e-12,
    "qp_regularization_value": 0.0,
}


@dataclass(frozen=True, slots=True)
class Solution:
    """The end of one run; `status` is optimal, infeasible, unbounded or in HiGHS's words.

    `unbounded` includes HiGHS's "infeasible or unbounded". `point` has a value per variable.
    """

    status: str
    objective: float
    point: FloatArray


def run_highs(program: Formulation) -> Solution:
    """Run HiGHS on a program."""
    import highspy

    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for name, value in _OPTIONS.items():
        highs.setOptionValue(name, value)
    passed = [highs.passModel(_model(highspy, program))]
    if program.quadratic:
        passed.append(highs.passHessian(_hessian(highspy, program)))
    if any(status != highspy.HighsStatus.kOk for status in passed):
        return Solution("refused", 0.0, np.zeros(0))
    highs.run()
    status = highs.getModelStatus()
    statuses = {
        highspy.HighsModelStatus.kOptimal: "optimal",
        highspy.HighsModelStatus.kInfeasible: "infeasible",
        highspy.HighsModelStatus.kUnbounded: "unbounded",
        highspy.HighsModelStatus.kUnboundedOrInfeasible: "unbounded",
    }
    return Solution(
        statuses.get(status, highs.modelStatusToString(status)),
        float(highs.getInfo().objective_function_value),
        np.array(highs.getSolution().col_value),
    )


def _model(highspy: Any, program: Formulation) -> Any:
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(program.lower), len(program.rows)
    costs = np.zeros(len(program.lower))
    for place, value in program.linear.items():
        costs[place] = value
    model.offset_ = program.constant
    if program.maximise:
        model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = costs
    model.col_lower_, model.col_upper_ = np.array(program.lower), np.array(program.upper)
    model.row_lower_ = np.array([row.lower for row in program.rows])
    model.row_upper_ = np.array([row.upper for row in program.rows])
    starts = np.cumsum([0, *(len(row.linear) for row in program.rows)], dtype=np.int32)
    matrix = model.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.start_ = starts
    matrix.index_ = np.array([p for row in program.rows for p in row.linear], dtype=np.int32)
    matrix.value_ = np.array([v for row in program.rows for v in row.linear.values()])
    kinds = highspy.HighsVarType
    if any(program.integer):
        model.integrality_ = [
            kinds.kInteger if whole else kinds.kContinuous for whole in program.integer
        ]
    return model


def _hessian(highspy: Any, program: Formulation) -> Any:
    """Return the lower triangle of the objective's second derivative, column by column."""
    size = len(program.lower)
    columns: list[dict[int, float]] = [{} for _ in range(size)]
    for (low, high), value in program.quadratic.items():
        columns[low][high] = 2 * value if low == high else value
    hessian = highspy.HighsHessian()
    hessian.dim_ = size
    hessian.format_ = highspy.HessianFormat.kTriangular
    hessian.start_ = np.cumsum([0, *map(len, columns)], dtype=np.int32)
    hessian.index_ = np.array([p for column in columns for p in sorted(column)], dtype=np.int32)
    hessian.value_ = np.array([column[p] for column in columns for p in sorted(column)])
    return hessian
