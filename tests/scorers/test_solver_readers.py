"""Formulations that are read, or refused with a line; HiGHS' own reader confirms what is read."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import highspy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cat_bench.scorers.solver_solving import judge

LP = """Maximize
 profit: 3 x + 2 y + 5
Subject To
 hours: x + y <= 4
 -2 <= x - y <= 3
Bounds
 x <= 3
General
 x
End
"""
MPS = """NAME shop
OBJSENSE
    MAX
ROWS
 N profit
 L hours
 G gap
COLUMNS
    M1 'MARKER' 'INTORG'
    x profit 3 hours 1
    x gap 1
    M2 'MARKER' 'INTEND'
    y profit 2 hours 1
    y gap -1
RHS
    RHS hours 4 gap -2
    RHS profit -5
RANGES
    R gap 5
BOUNDS
 UP B x 3
ENDATA
"""
JSON = """{"sense": "maximize",
 "variables": {"x": {"upper": 3, "type": "integer"}, "y": {}},
 "objective": {"linear": {"x": 3, "y": 2}, "constant": 5},
 "constraints": [
  {"linear": {"x": 1, "y": 1}, "sense": "<=", "rhs": 4},
  {"linear": {"x": 1, "y": -1}, "sense": "<=", "rhs": 3},
  {"linear": {"x": 1, "y": -1}, "sense": ">=", "rhs": -2}]}
"""


def lp(*lines: str) -> dict[str, Any]:
    return dict(judge("lp\n" + "\n".join(lines) + "\n"))


def optimum(*lines: str) -> float:
    verdict = lp(*lines)
    assert verdict["verdict"] == "optimal", verdict
    return float(verdict["objective"])


@pytest.mark.parametrize("text", [f"lp\n{LP}", f"mps\n{MPS}", f"json\n{JSON}"])
def test_the_same_program_in_three_formats(text: str) -> None:
    assert judge(text) == {"verdict": "optimal", "objective": 16.0}


def test_what_the_lp_format_allows() -> None:
    assert optimum("min", "2x + 3 * y", "st", "x + y >= 2", "end") == 4
    assert optimum("MINIMIZE obj: - x", "s.t.", "c: x <= 4.5", "INTEGERS", "x", "END") == -4
    assert optimum("max x \\ a comment", "subject to", "c: x +", " x", " <= 3", "end") == 1.5
    assert optimum("min x", "st", "c: x + y = 1", "bounds", "-inf <= x", "y <= 9", "end") == -8
    assert optimum("min x", "st", "c: x >= 1", "bounds", "x free", "end") == 1
    assert optimum("max x[1,2] + y(3)", "st", "x[1,2] + y(3) < 4", "end") == 4
    assert optimum("max x - 3", "st", "c: x <= 2", "end") == -1
    assert optimum("max x", "st", "c: 3 => x", "end") == 3
    assert optimum("max bin", "st", "bin: bin <= 2", "end") == 2
    assert optimum("max 2 e1 + 2e1 x", "st", "e1 + x <= 1", "end") == 20
    assert optimum("max x + y", "st", "x + y <= 1.5", "binary", "x y", "end") == 1
    assert optimum("min [ 2 x ^ 2 + 2 y^2 ] / 2 - 2 x - 6 y", "st", "x + y <= 2", "end") == (
        pytest.approx(-8, abs=1e-6)
    )
    assert optimum("max - [ 2 x*x ] / 2 + 4 x", "st", "x <= 10", "end") == pytest.approx(4)


def test_a_status_is_a_verdict() -> None:
    assert lp("max x", "st", "x - y <= 4", "end") == {"verdict": "unbounded"}
    assert lp("max x", "st", "x <= 4", "x >= 5", "end") == {"verdict": "infeasible"}
    assert lp("max x", "st", "x <= 4", "bounds", "3 <= x <= 2", "end") == {"verdict": "infeasible"}
    nowhere = (
        "max x + y",
        "st",
        "2 z = 1",
        "x - y <= 1",
        "bounds",
        "z <= 9",
        "general",
        "z",
        "end",
    )
    assert lp(*nowhere) == {"verdict": "infeasible"}


REFUSED = [
    (1, ["3 x", "st", "x <= 1", "end"]),
    (2, ["max", "obj: 3 (x + 2 y)", "st", "x <= 1", "end"]),
    (3, ["max x", "st", "c: x <= 4 - y", "end"]),
    (3, ["max x", "st", "c: x <= <= 4", "end"]),
    (4, ["max x", "st", "x <= 4", "subjct to y", "end"]),
    (3, ["max x", "st", "x <= 4"]),
    (4, ["max x", "st", "x <= 4", "x <= 3 x >= 1", "end"]),
    (1, ["max nan x", "st", "x <= 4", "end"]),
    (1, ["max x\0y", "st", "x <= 4", "end"]),
    (1, ["max x * y", "st", "x <= 4", "end"]),
    (1, ["max x^2", "st", "x <= 4", "end"]),
    (1, ["max [ x^2 ]", "st", "x <= 4", "end"]),
    (5, ["max x", "st", "x <= 4", "general", "xx", "end"]),
    (5, ["max x", "st", "x + y <= 4", "bounds", "x <= -5", "end"]),
    (5, ["max x", "st", "x <= 4", "bounds", "1 <= x >= 2", "end"]),
    (3, ["max x", "st", "1 <= x = 2", "end"]),
    (3, ["max x", "st", "3 <= 4", "end"]),
    (3, ["max x", "st", "c: 2 + x <= 4", "end"]),
    (3, ["max x", "st", "1e30 <= x <= inf", "end"]),
    (3, ["max x", "st", "c: x + 0 <= 4", "end"]),
    (4, ["max x", "st", "x <= 4", "max y", "end"]),
    (5, ["max x", "st", "x <= 4", "end", "x <= 3"]),
    (1, ["max: 3 x;", "x <= 1;"]),
    (1, ["max 3 x 2 y", "st", "x <= 1", "end"]),
    (3, ["max x", "st", "c1: x = inf", "end"]),
    (5, ["max x", "st", "x <= 4", "bounds", "x <= 4", "binary", "x", "end"]),
    (5, ["max x", "st", "x <= 4", "bounds", "x = 1", "binary", "x", "end"]),
    (7, ["max x", "st", "x <= 4", "binary", "x", "bounds", "x <= 4", "end"]),
    (1, ["maximize: x", "st", "x <= 4", "end"]),
    (3, ["max x", "st", "x >= 1e25", "end"]),
    (5, ["max x", "st", "x <= 4", "bounds", "x = -1e30", "end"]),
    (3, ["max x", "st", "x <= ٣", "end"]),
    (1, [""]),
]


@pytest.mark.parametrize(("line", "text"), REFUSED)
def test_a_malformed_program_is_refused_with_its_line(line: int, text: list[str]) -> None:
    verdict = lp(*text)
    assert verdict["verdict"] == "unreadable"
    assert verdict["reason"].startswith(f"line {line}: ")


@pytest.mark.parametrize(
    ("line", "old", "new"),
    [
        (3, "    MAX", "    MOST"),
        (6, " L hours", " X hours"),
        (7, " G gap", " G hours"),
        (10, "x profit 3", "x prophet 3"),
        (11, "x gap 1", "x profit 1"),
        (12, "'INTEND'", "'INTORG'"),
        (10, " UP B x 3", ""),
        (16, "hours 4 gap -2", "hours 4 gap"),
        (16, "hours 4", "hours four"),
        (21, " UP B x 3", " UP B z 3"),
        (21, " UP B x 3", " UP B x nan"),
        (22, "ENDATA", ""),
        (20, "BOUNDS", "BOUND"),
        (6, " L hours", " NL hours"),
        (17, " RHS profit -5", " RHS hours 5"),
        (17, " RHS profit -5", " OTHER profit -5"),
        (17, " RHS profit -5", " RHS profit 1_0"),
        (7, "RHS hours 4 gap -2", "RHS hours 4 gap 1e30"),
        (19, " R gap 5", " R profit 5"),
        (20, "BOUNDS", "RHS\n RHS gap 1\nBOUNDS"),
        (22, "ENDATA", " UP C x 2\nENDATA"),
        (24, "ENDATA", "QUADOBJ\n y y -2\n y y -2\nENDATA"),
        (23, "ENDATA", "QMATRIX\n y x -2\nENDATA"),
    ],
)
def test_malformed_mps(line: int, old: str, new: str) -> None:
    verdict = dict(judge("mps\n" + MPS.replace(old, new, 1)))
    assert verdict["verdict"] == "unreadable"
    assert verdict["reason"].startswith(f"line {line}: "), verdict


@pytest.mark.parametrize(
    ("line", "old", "new"),
    [
        (1, '"maximize"', '"most"'),
        (2, '"upper"', '"uper"'),
        (2, '"y": {}', '"x": {}'),
        (2, '"integer"', '"whole"'),
        (3, '"y": 2', '"z": 2'),
        (3, '"y": 2', '"y": "2"'),
        (3, '"y": 2', '"y": NaN'),
        (5, '"rhs": 4', '"rhs": true'),
        (5, '"<="', '"=<"'),
        (7, '"rhs": -2}]', '"rhs": -2}'),
        (7, '"rhs": -2', '"rhs": 1e25'),
        (2, '"upper": 3', '"upper": -1e30'),
        (2, '"upper": 3, "type": "integer"', '"upper": 3, "type": "binary"'),
    ],
)
def test_malformed_json(line: int, old: str, new: str) -> None:
    verdict = dict(judge("json\n" + JSON.replace(old, new, 1)))
    assert verdict["verdict"] == "unreadable"
    assert verdict["reason"].startswith(f"line {line}: "), verdict


@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        ("unsupported", ["max x", "st", "c: x + [ x^2 ] <= 1", "end"]),
        ("unsupported", ["min [ - x^2 ] / 2", "st", "x <= 1", "end"]),
        ("unsupported", ["max [ x^2 ] / 2", "st", "x <= 1", "end"]),
        ("unsupported", ["min [ x * y ] / 2", "st", "x + y <= 1", "end"]),
        ("unsupported", ["min [ x^2 ] / 2", "st", "x >= 0.5", "general", "x", "end"]),
        ("unsupported", ["max x", "st", "x <= 1", "semi-continuous", "x", "end"]),
        ("unsupported", ["max x", "st", "x <= 1", "sos", "s1: s1:: x:1", "end"]),
        ("unsupported", ["max 1e16 x", "st", "x <= 1", "end"]),
        ("unsupported", ["max 1e400 x", "st", "x <= 1", "end"]),
        ("unsupported", ["max x", "st", "1e-10 x <= 1", "end"]),
        ("too large", ["max " + " + ".join(f"x{k}" for k in range(20_001)), "st", "end"]),
        ("too large", ["max x", "st", *["x <= 1"] * 200_001, "end"]),
        ("too large", ["max x" + " " * 1_000_000, "end"]),
    ],
)
def test_what_is_not_solved_says_so(verdict: str, text: list[str]) -> None:
    assert lp(*text)["verdict"] == verdict


@pytest.mark.parametrize(
    "character", ["[", "(", "-", "{", "x ", "1 ", "\n", "\\", "x:", "<=", "]/2"]
)
@pytest.mark.parametrize("before", ["lp\n", "lp\nmax x +", "mps\n", "json\n", 'json\n{"sense":'])
def test_a_hostile_text_is_refused(before: str, character: str) -> None:
    assert dict(judge(before + character * 50_000))["verdict"] in ("unreadable", "too large")


def program(seed: int) -> str:
    """A random program that both readers should accept, in the words that both know."""
    rng = random.Random(seed)
    names = [f"x{k}" for k in range(rng.randint(1, 5))]

    def total() -> str:
        chosen = rng.sample(names, rng.randint(1, len(names)))
        terms = (f"{rng.choice('+-')} {rng.choice([1, 2, 2.5, 7, 1e2])} {name}" for name in chosen)
        return " ".join(terms)

    rows = [
        f" c{k}: {total()} {rng.choice(['<=', '>=', '='])} {rng.randint(-9, 30)}"
        for k in range(rng.randint(1, 5))
    ]
    bounds = [
        rng.choice([f" {n} <= 8", f" -3 <= {n} <= 6", f" {n} free", f" {n} >= 1", f" {n} = 2"])
        for n in names
    ]
    used = [n for n in names if any(f" {n} " in f"{row} " for row in rows)]
    kept = [bound for n, bound in zip(names, bounds, strict=True) if n in used]
    whole = [n for n in used if rng.random() < 0.4]
    sections = [rng.choice(["Minimize", "Maximize"]), f" obj: {total()}", "Subject To", *rows]
    sections += ["Bounds", *kept, *(["General", " " + " ".join(whole)] if whole else []), "End"]
    return "\n".join(sections) + "\n"


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 10**9))
def test_the_solver_s_own_reader_agrees(seed: int, tmp_path: Path) -> None:
    text = program(seed)
    (tmp_path / "p.lp").write_text(text)
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)  # noqa: FBT003
    highs.setOptionValue("mip_rel_gap", 0.0)
    assert highs.readModel(str(tmp_path / "p.lp")) == highspy.HighsStatus.kOk
    highs.run()
    status = highs.modelStatusToString(highs.getModelStatus()).lower()
    verdict = dict(judge(f"lp\n{text}"))
    if verdict["verdict"] == "optimal":
        assert status == "optimal"
        assert verdict["objective"] == pytest.approx(
            highs.getInfo().objective_function_value, abs=1e-5
        )
    else:
        assert verdict["verdict"] in status or "infeasible" in status
        assert status != "optimal"
