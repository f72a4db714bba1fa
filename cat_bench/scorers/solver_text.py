"""Linear and quadratic programs as data, and how a completion states one.

Every reader (`solver_lp`, `solver_mps`, `solver_json`) fills a `Draft` and returns its
`Formulation`. A reader refuses text that solvers interpret differently, and names the line: a
verdict must not depend on the choice of reader.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from cat_bench.scorers.extraction import PYTHON, code_blocks

Linear: TypeAlias = dict[int, float]
"""Coefficients by variable."""

LONGEST = 1_000_000
"""The most characters of a formulation."""
LARGEST, SMALLEST = 1e15, 1e-9
"""The range of coefficients that HiGHS neither refuses nor treats as 0."""
INFINITE = 1e20
"""Bounds from this size on are infinite, as in every LP and MPS reader."""
MOST_VARIABLES, MOST_ENTRIES = 20_000, 200_000
_ROUNDING = 1e-14

_DIALECTS = {
    "": "", "lp": "lp", "cplex": "lp", "cplex-lp": "lp", "cplex_lp": "lp",
    "mps": "mps", "json": "json",
}  # fmt: skip


class NotAProgram(Exception):
    """A text without a program to solve; `verdict` is the kind of problem, `line` its place."""

    verdict: Literal["unreadable", "unsupported", "too large"] = "unreadable"

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem if line is None else f"line {line}: {problem}")
        self.line = line


class Unreadable(NotAProgram):
    """A malformed or ambiguous text: it counts as no answer."""


class Unsupported(NotAProgram):
    """A well-formed program of an unsupported kind: it is unscored."""

    verdict = "unsupported"


class TooLarge(NotAProgram):
    """A text beyond the limits on length, variables or entries: it is unscored."""

    verdict = "too large"


@dataclass(frozen=True, slots=True)
class Row:
    """lower <= the sum of coefficients times variables <= upper."""

    linear: Linear
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Formulation:
    """Minimise or maximise constant + linear + quadratic terms under bounds and rows.

    `quadratic` holds the coefficient of the product of variables i <= j as written in the objective
    (of x², not of x²/2).
    """

    maximise: bool
    lower: list[float]
    upper: list[float]
    integer: list[bool]
    linear: Linear
    constant: float
    quadratic: Mapping[tuple[int, int], float]
    rows: list[Row]


@dataclass(slots=True)
class Variable:
    """A variable while its program is read; None: no bound was stated."""

    lower: float | None = None
    upper: float | None = None
    integer: bool = False
    binary: bool = False
    """Declared in a section of binary variables, apart from its bounds."""
    line: int | None = None


@dataclass(slots=True)
class Draft:
    """A program that is being read."""

    maximise: bool = False
    constant: float = 0.0
    linear: Linear = field(default_factory=dict)
    quadratic: dict[tuple[int, int], float] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    variables: list[Variable] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    entries: int = 0

    def variable(self, name: str, line: int | None = None) -> int:
        """Return the variable of that name, created at its first mention."""
        place = self.places.setdefault(name, len(self.places))
        if place == len(self.variables):
            if place == MOST_VARIABLES:
                raise TooLarge(f"there are more than {MOST_VARIABLES:,} variables", line)
            self.variables.append(Variable())
        return place

    def add(self, linear: Linear, place: int, value: float, line: int | None = None) -> None:
        """Add a coefficient to a sum; repeated variables add up."""
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            raise TooLarge(f"there are more than {MOST_ENTRIES:,} coefficients", line)
        linear[place] = add_up(linear.get(place, 0.0), coefficient(value, line))

    def add_product(self, first: int, second: int, value: float, line: int | None = None) -> None:
        """Add the coefficient of a product of two variables to the objective."""
        pair = (min(first, second), max(first, second))
        self.quadratic[pair] = add_up(self.quadratic.get(pair, 0.0), coefficient(value, line))

    def add_row(self, linear: Linear, lower: float, upper: float, line: int | None = None) -> None:
        """Add a constraint. Raises Unreadable if a limit is beyond every number."""
        _check_limits(lower, upper, line)
        self.rows.append(Row(linear, lower, upper))

    def set_bounds(self, place: int, line: int | None, **bounds: float) -> None:
        """State the `lower` or `upper` bound of a variable, or both. Raises Unreadable."""
        _check_limits(bounds.get("lower", 0.0), bounds.get("upper", 0.0), line)
        variable = self.variables[place]
        variable.line = line
        variable.lower = bounds.get("lower", variable.lower)
        variable.upper = bounds.get("upper", variable.upper)

    def finish(self) -> Formulation:
        """Return the program. Raises Unreadable if a bound is ambiguous."""
        if not self.variables:
            raise Unreadable("the program has no variable")
        for name, place in self.places.items():
            variable = self.variables[place]
            if variable.lower is None and variable.upper is not None and variable.upper < 0:
                problem = (
                    f"{name} has a negative upper bound and no lower one, which solvers read "
                    "differently; state both"
                )
                raise Unreadable(problem, variable.line)
            if variable.binary:
                if variable.lower not in (None, 0) or variable.upper not in (None, 1):
                    problem = f"{name} is binary and has other bounds than 0 and 1"
                    raise Unreadable(f"{problem}, which solvers read differently", variable.line)
                variable.upper = 1.0
        return Formulation(
            self.maximise,
            [0.0 if v.lower is None else v.lower for v in self.variables],
            [math.inf if v.upper is None else v.upper for v in self.variables],
            [v.integer for v in self.variables],
            {place: value for place, value in self.linear.items() if value},
            self.constant,
            {pair: value for pair, value in self.quadratic.items() if value},
            self.rows,
        )


def coefficient(value: float, line: int | None = None) -> float:
    """Return a number that every solver reads unchanged. Raises Unsupported for any other."""
    if not math.isfinite(value) or abs(value) >= LARGEST or 0 < abs(value) <= SMALLEST:
        problem = f"{value:g} is a coefficient outside of {SMALLEST:g} to {LARGEST:g}"
        raise Unsupported(problem, line)
    return value


def offset(value: float, line: int | None = None) -> float:
    """Return a constant of the objective. Raises Unsupported if it is too large to add exactly."""
    if not abs(value) < LARGEST:
        raise Unsupported(f"{value:g} is a constant of {LARGEST:g} or more", line)
    return value


def add_up(first: float, second: float) -> float:
    """Return a sum; a rounding residue of two numbers that cancel counts as 0."""
    total = first + second
    return 0.0 if abs(total) <= _ROUNDING * max(abs(first), abs(second)) else total


def limit(value: float) -> float:
    """Return a bound or right-hand side: infinite from 1e20 on."""
    if math.isnan(value):
        raise Unreadable("a bound is not a number")
    return math.copysign(math.inf, value) if abs(value) >= INFINITE else value


def _check_limits(lower: float, upper: float, line: int | None) -> None:
    if lower == math.inf or upper == -math.inf:
        raise Unreadable("no number meets an infinite limit", line)


def last_formulation(text: str) -> str | None:
    """Return the last closed code block in LP, MPS or JSON, after a line with its dialect.

    Blocks in other languages are skipped; without a label, the text decides the language.
    """
    blocks = [(language, block) for language, block in code_blocks(text) if language in _DIALECTS]
    if not blocks:
        return None
    language, block = blocks[-1]
    return f"{_DIALECTS[language] or dialect(block)}\n{block}"


def last_program(text: str) -> str | None:
    """Return the last closed Python block, after a line that says so, or None."""
    blocks = [block for language, block in code_blocks(text) if language in PYTHON]
    return f"python\n{blocks[-1]}" if blocks else None


def dialect(text: str) -> str:
    """Return the dialect of a text without a label, by its beginning."""
    start = text.lstrip()
    if start.startswith("{"):
        return "json"
    return "mps" if re.match(r"(?:\*[^\n]*\n\s*)*(?:NAME|ROWS|OBJSENSE)\b", start) else "lp"
