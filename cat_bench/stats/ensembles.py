"""Weigh the votes of several models' pools, with weights that are learnt on other questions.

As Best-of-infinity does (Komiyama et al. 2025, arXiv 2509.21091, section 4): in the limit of many
samples, a model casts its answers' shares, and the weights that get the most questions right are
the solution of a mixed-integer programme. Here no question helps to choose its own weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cat_bench.types.calls import FloatArray

IntArray: TypeAlias = NDArray[np.int64]
MARGIN = 1e-3
"""The share of the weighted votes by which the right answer must lead while weights are learnt."""
NODES = 100_000
"""The most nodes of one programme's search; the best weights found until then are used. A limit of
time would give other weights on a busy machine."""
FOLDS = 5
_TIED = 1e-9


@dataclass(frozen=True, slots=True)
class Polled:
    """One question as several models answer it.

    `shares` (models, answers) are the shares of each model's rollouts that give each answer; the
    rest to 1 gave none. `worth` (answers,) is each answer's score in [0, 1].
    """

    shares: FloatArray
    worth: FloatArray


def weighted_score(question: Polled, weights: FloatArray) -> float:
    """Return the score of the answer with the most weighted votes; the mean of ties; 0 for none."""
    votes = np.asarray(weights, dtype=float) @ question.shares
    if not votes.size or votes.max() <= _TIED:
        return 0.0
    return float(question.worth[votes >= votes.max() - _TIED].mean())


def equal_weights(models: int) -> FloatArray:
    """Return the same weight for each model, shape (models,)."""
    return np.full(models, 1 / models)


def fitted_weights(questions: Sequence[Polled], *, margin: float = MARGIN) -> FloatArray:
    """Return the weights, shape (models,), that get the most questions right.

    An answer of the highest worth above 0 counts as right. Questions that no or all weights get
    right do not matter. The solver breaks ties. Raises ValueError for no question.
    """
    if not questions:
        raise ValueError("weights need at least one question to be learnt from")
    models = len(questions[0].shares)
    rows, owner = [], []
    for k, question in enumerate(questions):
        right = int(np.argmax(question.worth)) if question.worth.size else 0
        if not question.worth.size or question.worth[right] <= 0:
            continue
        leads = question.shares[:, [right]] - question.shares
        for rival in np.flatnonzero(question.worth < question.worth[right]):
            rows.append(leads[:, rival])
            owner.append(k)
    if not rows:
        return equal_weights(models)
    count = len(questions)
    # weights @ lead - (1 + margin) solved >= -1: a question counts as solved only with a lead.
    table = np.zeros((len(rows) + 1, models + count))
    table[:-1, :models] = rows
    table[np.arange(len(rows)), models + np.array(owner)] = -(1 + margin)
    table[-1, :models] = 1
    values = _maximise(
        np.concatenate([np.zeros(models), np.ones(count)]),
        table=table,
        low=np.append(np.full(len(rows), -1.0), 1.0),
        high=np.append(np.full(len(rows), np.inf), 1.0),
        fixed=np.arange(models + count) >= models,
    )
    if values is None:
        return equal_weights(models)
    weights: FloatArray = np.clip(values[:models], 0, 1)
    return np.asarray(weights / weights.sum())


def _maximise(
    gains: FloatArray, *, table: FloatArray, low: FloatArray, high: FloatArray, fixed: NDArray[Any]
) -> FloatArray | None:
    """Return variables in [0, 1] that maximise `gains` if low <= table @ variables <= high.

    Those that are `fixed` are 0 or 1. Returns None if HiGHS finds no such variables.
    """
    import highspy

    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    for option, value in {"output_flag": False, "threads": 1, "mip_max_nodes": NODES}.items():
        highs.setOptionValue(option, value)
    program: Any = highspy.HighsLp()
    program.num_row_, program.num_col_ = table.shape
    program.sense_, program.col_cost_ = highspy.ObjSense.kMaximize, gains
    program.col_lower_, program.col_upper_ = np.zeros(len(gains)), np.ones(len(gains))
    program.row_lower_, program.row_upper_ = low, high
    rows, columns = np.nonzero(table)
    matrix = program.a_matrix_
    matrix.format_ = highspy.MatrixFormat.kRowwise
    matrix.start_ = np.searchsorted(rows, np.arange(len(table) + 1)).astype(np.int32)
    matrix.index_, matrix.value_ = columns.astype(np.int32), table[rows, columns]
    kinds = highspy.HighsVarType
    program.integrality_ = [kinds.kInteger if each else kinds.kContinuous for each in fixed]
    if highspy.HighsStatus.kError in (highs.passModel(program), highs.run()):
        raise RuntimeError(f"HiGHS cannot learn weights of a programme of {table.shape}")
    solution = highs.getSolution()
    return np.array(solution.col_value) if solution.value_valid else None


def cross_fit(questions: Sequence[Polled], *, folds: int = FOLDS) -> tuple[FloatArray, FloatArray]:
    """Return each question's score by weights from the other folds, and these weights by question.

    Shapes (questions,) and (questions, models). Question k is in fold k modulo `folds`. Raises
    ValueError for fewer than two folds, or fewer questions than folds.
    """
    fold = _folds(len(questions), folds)
    by_fold = [
        fitted_weights([q for q, f in zip(questions, fold, strict=True) if f != out])
        for out in range(folds)
    ]
    weights = np.array([by_fold[f] for f in fold])
    scores = [weighted_score(q, w) for q, w in zip(questions, weights, strict=True)]
    return np.array(scores), weights


def choose_members(scores: FloatArray, *, folds: int = FOLDS) -> IntArray:
    """Return for each question the model that is best on the other folds, shape (questions,).

    `scores` has shape (models, questions); ties go to the first model. Raises as `cross_fit`.
    """
    fold = _folds(scores.shape[1], folds)
    best = np.array([scores[:, fold != out].mean(axis=1).argmax() for out in range(folds)])
    return best[fold]


def _folds(questions: int, folds: int) -> IntArray:
    if not 2 <= folds <= questions:
        raise ValueError(f"{folds} folds do not fit {questions} questions")
    return np.arange(questions) % folds
