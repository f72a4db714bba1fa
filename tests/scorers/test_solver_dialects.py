"""Random LP and MPS texts, in words that HiGHS also knows: both readers must find one program."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any

import highspy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cat_bench.scorers import solver_lp, solver_mps
from cat_bench.scorers.solver_text import Formulation

NAMES = (
    "x",
    "y1",
    "e1",
    "E",
    "st1",
    "max_x",
    "binary2",
    "End2",
    "free1",
    "xinf",
    "_a.b",
    "X",
    "in",
)
NUMBERS = ("1", "2.5", "1e2", "3.E1", ".5e+1", "12345678", "1E-3", "0")
BOUNDS = ("-3", "0", "7.5", "1e30", "-1e30", "1e2")
Model = Mapping[str, Any]
LITTLE = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def terms(rng: random.Random, names: Sequence[str]) -> str:
    """A sum over some of the names, each once: HiGHS overwrites a repeated one in an objective."""
    chosen = rng.sample(names, rng.randint(1, len(names)))
    parts = [f"{rng.choice('+-')}{rng.choice(['', ' '])}{rng.choice(NUMBERS)} {n}" for n in chosen]
    return rng.choice([" ", "\n   ", " \\ a comment: z <= 9\n  "]).join(parts)


def lp(rng: random.Random) -> str:
    """A text in the LP format."""
    names = rng.sample(NAMES, rng.randint(1, 5))
    goal = terms(rng, names) + rng.choice(["", " + 5", " - 2.5e1"])
    if rng.random() < 0.4:
        a, b = rng.choice(names), rng.choice(names)
        goal += f" + [ 2 {a} ^ 2 " + (f"- 3 {a} * {b} " if a != b else "") + "] / 2"
    rows = [
        f" {rng.choice([f'c{k}: ', f'row.{k}:'])}{terms(rng, names)} "
        f"{rng.choice(['<=', '>=', '='])} {rng.choice(['-4', '+ 7', '1e3', '0'])}"
        for k in range(rng.randint(1, 4))
    ]
    used = {word for row in [goal, *rows] for word in row.split()}
    bounded = [name for name in names if name in used]
    bounds = [bound(rng, name) for name in bounded if rng.random() < 0.7]
    whole = [name for name in bounded if rng.random() < 0.3]
    free = {name for line in bounds for name in line.split()}
    binary = [name for name in bounded if name not in free and rng.random() < 0.3]
    parts = [rng.choice(["Maximize", "min", "MINIMUM", "max"]), f" obj: {goal}"]
    parts += [rng.choice(["Subject To", "s.t.", "such that", "st"]), *rows, "Bounds", *bounds]
    parts += [rng.choice(["General", "generals", "gen"]), " ".join(whole)] if whole else []
    parts += [rng.choice(["Binary", "bin"]), " ".join(binary)] if binary else []
    return "\n".join([*parts, "End", ""])


def bound(rng: random.Random, name: str) -> str:
    """One line of the section of bounds."""
    low, high = sorted((float(rng.choice(BOUNDS)), float(rng.choice(BOUNDS))))
    low, high = (-inf if low >= 1e30 else low), (inf if high <= -1e30 else high)
    return rng.choice(
        [f" {low} <= {name} <= {high}", f" {name} free", f" {name} >= {low}", f" {name} = 2",
         f" {name} <= {abs(high)}", f" -inf <= {name}", f" {name} >= -Infinity"]
    )  # fmt: skip


def mps(rng: random.Random) -> str:
    """A text in the free MPS format."""
    names = rng.sample(NAMES, rng.randint(1, 5))
    rows = [f"r{k}" for k in range(rng.randint(1, 4))]
    kinds = {row: rng.choice("LGE") for row in rows}
    parts = ["NAME p", *rng.choice([[], ["OBJSENSE", "    MAX"], ["OBJSENSE", "  MINIMIZE"]])]
    parts += ["ROWS", " N goal", *(f" {kinds[row]} {row}" for row in rows), "COLUMNS"]
    whole = set()
    for k, name in enumerate(names):
        entries = [f"{row} {rng.choice(['-', ''])}{rng.choice(NUMBERS)}" for row in ["goal", *rows]]
        marked = rng.random() < 0.3
        whole |= {name} if marked else set()
        parts += [f" M{k} 'MARKER' 'INTORG'"] if marked else []
        parts += [f" {name} {entry}" for entry in entries]
        parts += [f" N{k} 'MARKER' 'INTEND'"] if marked else []
    given = [row for row in ["goal", *rows] if rng.random() < 0.7]
    parts += ["RHS", *(f" RHS {row} {rng.choice(['-4', '7', '1e3'])}" for row in given)]
    ranged = [row for row in rows if rng.random() < 0.5]
    parts += ["RANGES", *(f" R {row} {rng.choice(['3', '-2', '1e1'])}" for row in ranged)]
    parts += ["BOUNDS"]
    for name in names:
        kind = rng.choice(["UP", "LO", "FX", "FR", "MI", "PL", "BV"])
        if name in whole or rng.random() < 0.7:
            value = f" {rng.choice(['0', '2', '5e0'])}" if kind in ("UP", "LO", "FX") else ""
            parts.append(f" {kind} BND {name}{value}")
    if rng.random() < 0.4:
        parts += ["QUADOBJ", f" {names[0]} {names[0]} 2", f" {names[-1]} {names[-1]} 4"][
            : 3 if len(names) > 1 else 2
        ]
    return "\n".join([*parts, "ENDATA", ""])


def by_highs(path: Path) -> Model:
    """What HiGHS reads in a file."""
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)  # noqa: FBT003
    assert highs.readModel(str(path)) != highspy.HighsStatus.kError, path.read_text()
    model = highs.getModel()
    program, hessian = model.lp_, model.hessian_
    places = range(program.num_col_)
    names = [program.col_names_[place] for place in places]
    rows: list[dict[str, float]] = [{} for _ in range(program.num_row_)]
    matrix = program.a_matrix_
    for place in places:
        for at in range(matrix.start_[place], matrix.start_[place + 1]):
            rows[matrix.index_[at]][names[place]] = matrix.value_[at]
    squares = {
        frozenset((names[column], names[hessian.index_[at]])): hessian.value_[at]
        for column in range(hessian.dim_)
        for at in range(hessian.start_[column], hessian.start_[column + 1])
    }
    kinds = list(program.integrality_) or [highspy.HighsVarType.kContinuous] * len(names)
    return {
        "maximise": program.sense_ == highspy.ObjSense.kMaximize,
        "constant": pytest.approx(program.offset_),
        "costs": nonzero(zip(names, program.col_cost_, strict=True)),
        "squares": nonzero(squares.items()),
        "rows": [
            (nonzero(row.items()), program.row_lower_[k], program.row_upper_[k])
            for k, row in enumerate(rows)
        ],
        "bounds": {
            name: (program.col_lower_[k], program.col_upper_[k]) for k, name in enumerate(names)
        },
        "whole": {n for n, kind in zip(names, kinds, strict=True) if kind.name == "kInteger"},
    }


def by_us(program: Formulation, names: Sequence[str]) -> Model:
    """What our reader finds, in the same words; HiGHS's squares count twice."""
    pairs = program.quadratic.items()
    squares = [(frozenset((names[i], names[j])), 2 * v if i == j else v) for (i, j), v in pairs]
    return {
        "maximise": program.maximise,
        "constant": program.constant,
        "costs": nonzero((names[place], value) for place, value in program.linear.items()),
        "squares": nonzero(squares),
        "rows": [
            (nonzero((names[p], v) for p, v in row.linear.items()), row.lower, row.upper)
            for row in program.rows
        ],
        "bounds": {name: (program.lower[k], program.upper[k]) for k, name in enumerate(names)},
        "whole": {name for name, integer in zip(names, program.integer, strict=True) if integer},
    }


def nonzero(values: Iterable[tuple[Any, float]]) -> dict[Any, float]:
    """The values that are not 0."""
    return {name: value for name, value in values if value}


@LITTLE
@given(seed=st.integers(0, 10**9))
def test_lp_texts_mean_what_highs_reads(seed: int, tmp_path: Path) -> None:
    text = lp(random.Random(seed))
    (tmp_path / "p.lp").write_text(text)
    reader = solver_lp._Reader(text)
    assert by_us(reader.read(), list(reader._draft.places)) == by_highs(tmp_path / "p.lp"), text


@LITTLE
@given(seed=st.integers(0, 10**9))
def test_mps_texts_mean_what_highs_reads(seed: int, tmp_path: Path) -> None:
    text = mps(random.Random(seed))
    (tmp_path / "p.mps").write_text(text)
    reader = solver_mps._Reader()
    assert by_us(reader.read(text), list(reader._draft.places)) == by_highs(tmp_path / "p.mps"), (
        text
    )
