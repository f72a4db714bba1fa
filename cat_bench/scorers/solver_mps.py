"""Read a program in the free MPS format, with OBJSENSE and QUADOBJ or QMATRIX.

Fields are separated by white space, so names contain none. Formulations that readers interpret
differently are refused: an integer column between markers without a bound (some take it as binary),
a negative upper bound without a lower one, a second set of right-hand sides, ranges or bounds, and
RANGES before RHS.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import inf

from cat_bench.scorers.solver_text import (
    LONGEST,
    Draft,
    Formulation,
    Linear,
    TooLarge,
    Unreadable,
    Unsupported,
    limit,
    offset,
)

_SENSES = {"MAX": True, "MAXIMIZE": True, "MIN": False, "MINIMIZE": False}
_NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf(?:inity)?)", re.IGNORECASE
)
_FREE_BOUNDS = {"FR": (-inf, inf), "BV": (0.0, 1.0)}
_HOLDS_EMPTY: Mapping[str, Callable[[float], bool]] = {
    "N": lambda _: True,
    "L": lambda right: right >= 0,
    "G": lambda right: right <= 0,
    "E": lambda right: right == 0,
}
"""The types of rows, and whether one without a column holds for a right-hand side."""
_UNSUPPORTED = {"SOS", "SETS", "QCMATRIX", "QSECTION", "CSECTION", "INDICATORS", "PIECEWISE"}


def read_mps(text: str) -> Formulation:
    """Return the program of a text. Raises Unreadable (with the line), Unsupported, TooLarge."""
    if len(text) > LONGEST:
        raise TooLarge(f"the text has more than {LONGEST:,} characters")
    return _Reader().read(text)


class _Reader:
    def __init__(self) -> None:
        self._draft = Draft()
        self._objective: str | None = None
        self._senses: dict[str, str] = {}
        self._linear: dict[str, Linear] = {}
        self._lines: dict[str, int] = {}
        self._right: dict[str, float] = {}
        self._ranges: dict[str, float] = {}
        self._sets: dict[str, str] = {}
        self._halves: set[tuple[int, int]] = set()
        self._matrix: dict[tuple[int, int], tuple[float, int]] = {}
        self._marked: dict[int, int] = {}
        self._integer = False
        self._bounded: set[int] = set()
        self._parts: dict[str, Callable[[list[str], int], None]] = {
            "ROWS": self._row,
            "COLUMNS": self._column,
            "RHS": self._rhs,
            "RANGES": self._range,
            "BOUNDS": self._read_bound,
            "OBJSENSE": self._sense,
            "QUADOBJ": self._half_square,
            "QMATRIX": self._square,
        }

    def read(self, text: str) -> Formulation:
        section, line, seen = "", 0, set[str]()
        for line, full in enumerate(text.splitlines(), 1):
            fields = [] if full.startswith("*") else full.split()
            if not fields:
                continue
            if full[0].isspace():
                if section not in self._parts:
                    raise Unreadable("a data line stands outside of a section", line)
                self._parts[section](fields, line)
                continue
            section = fields[0].upper()
            if section == "ENDATA":
                return self._finish(line)
            if section in seen or (section not in self._parts and section != "NAME"):
                if section in _UNSUPPORTED:
                    raise Unsupported(f"a section {section} is not solved", line)
                raise Unreadable(f"{fields[0]!r} is not a section, or a repeated one", line)
            seen.add(section)
            if section == "OBJSENSE" and len(fields) > 1:
                self._sense(fields[1:], line)
        raise Unreadable("the text ends without ENDATA", max(line, 1))

    def _sense(self, fields: list[str], line: int) -> None:
        if fields[0].upper() not in _SENSES:
            raise Unreadable("OBJSENSE is MAX or MIN", line)
        self._draft.maximise = _SENSES[fields[0].upper()]

    def _row(self, fields: list[str], line: int) -> None:
        if len(fields) != 2 or fields[0].upper() not in _HOLDS_EMPTY:
            raise Unreadable("a row is N, L, G or E and a name", line)
        kind, name = fields[0].upper(), fields[1]
        if name in self._linear:
            raise Unreadable(f"there is a second row {name}", line)
        if kind == "N" and self._objective is None:
            self._objective = name
        self._linear[name] = {}
        self._lines[name] = line
        self._senses[name] = kind

    def _column(self, fields: list[str], line: int) -> None:
        if len(fields) >= 3 and fields[1].strip("'").upper() == "MARKER":
            kind = fields[2].strip("'").upper()
            if kind not in ("INTORG", "INTEND") or (kind == "INTORG") == self._integer:
                raise Unreadable("markers INTORG and INTEND must alternate", line)
            self._integer = kind == "INTORG"
            return
        if len(fields) not in (3, 5):
            raise Unreadable("a column is a name, and one or two pairs of row and number", line)
        place = self._draft.variable(fields[0], line)
        if self._integer:
            self._draft.variables[place].integer = True
            self._marked.setdefault(place, line)
        for name, value in self._pairs(fields[1:], line):
            if place in self._linear[name]:
                raise Unreadable(f"{fields[0]} has a second entry in row {name}", line)
            self._draft.add(self._linear[name], place, value, line)

    def _rhs(self, fields: list[str], line: int) -> None:
        if self._ranges:
            raise Unreadable("RHS stands after RANGES, which solvers read differently", line)
        self._vector("RHS", self._right, fields, line)

    def _range(self, fields: list[str], line: int) -> None:
        self._vector("RANGES", self._ranges, fields, line)
        for name in self._ranges:
            if self._senses[name] == "N":
                raise Unreadable(f"row {name} is of type N and has a range", line)

    def _vector(self, section: str, values: dict[str, float], fields: list[str], line: int) -> None:
        """Read numbers of rows, after the name of their set or without one."""
        has_set = len(fields) % 2
        self._check_set(section, fields[0] if has_set else "", line)
        for name, value in self._pairs(fields[has_set:], line):
            if name in values:
                raise Unreadable(f"row {name} has a second number in {section}", line)
            values[name] = value

    def _check_set(self, section: str, name: str, line: int) -> None:
        if self._sets.setdefault(section, name) != name:
            raise Unreadable(f"there is a second set of {section}, {name!r}", line)

    def _pairs(self, fields: list[str], line: int) -> list[tuple[str, float]]:
        if len(fields) not in (2, 4):
            raise Unreadable("one or two pairs of row and number are expected", line)
        for name in fields[::2]:
            if name not in self._linear:
                raise Unreadable(f"there is no row {name!r}", line)
        values = (_float(text, line) for text in fields[1::2])
        return list(zip(fields[::2], values, strict=True))

    def _read_bound(self, fields: list[str], line: int) -> None:
        kind = fields[0].upper()
        valued = kind in ("LO", "UP", "FX", "LI", "UI", "SC")
        if kind == "SC":
            raise Unsupported("a semi-continuous variable is not solved", line)
        if not valued and kind not in ("FR", "MI", "PL", "BV"):
            raise Unreadable(f"{fields[0]!r} is not a type of bound", line)
        names = fields[1 : len(fields) - 1] if valued else fields[1:]
        if len(names) not in (1, 2):
            raise Unreadable(f"a bound {kind} has too many or too few fields", line)
        self._check_set("BOUNDS", names[0] if len(names) == 2 else "", line)
        if names[-1] not in self._draft.places:
            raise Unreadable(f"there is no column {names[-1]!r}", line)
        place = self._draft.places[names[-1]]
        self._bounded.add(place)
        variable = self._draft.variables[place]
        variable.integer |= kind in ("BV", "LI", "UI")
        if kind in _FREE_BOUNDS:
            lower, upper = _FREE_BOUNDS[kind]
            self._draft.set_bounds(place, line, lower=lower, upper=upper)
        elif kind in ("MI", "PL"):
            self._draft.set_bounds(
                place, line, **({"lower": -inf} if kind == "MI" else {"upper": inf})
            )
        else:
            value = limit(_float(fields[-1], line))
            sides = {"L": ("lower",), "U": ("upper",), "F": ("lower", "upper")}[kind[0]]
            self._draft.set_bounds(place, line, **dict.fromkeys(sides, value))

    def _half_square(self, fields: list[str], line: int) -> None:
        row, column, value = self._product(fields, line)
        if not self._halves.isdisjoint({(row, column), (column, row)}):
            raise Unreadable("QUADOBJ has a second entry of these columns", line)
        self._halves.add((row, column))
        self._draft.add_product(row, column, value / 2 if row == column else value, line)

    def _square(self, fields: list[str], line: int) -> None:
        row, column, value = self._product(fields, line)
        if self._halves or (row, column) in self._matrix:
            raise Unreadable("QMATRIX has a second entry of these columns", line)
        self._matrix[row, column] = value, line
        self._draft.add_product(row, column, value / 2, line)

    def _product(self, fields: list[str], line: int) -> tuple[int, int, float]:
        if len(fields) != 3 or not {*fields[:2]} <= self._draft.places.keys():
            raise Unreadable("a quadratic entry is two columns and a number", line)
        row, column = (self._draft.places[name] for name in fields[:2])
        return row, column, _float(fields[2], line)

    def _finish(self, line: int) -> Formulation:
        if self._objective is None:
            raise Unreadable("there is no row of type N for the objective", line)
        for place, marked in self._marked.items():
            if place not in self._bounded:
                problem = "an integer column has no bound, which solvers read differently; state it"
                raise Unreadable(problem, marked)
        for (row, column), (value, entry) in self._matrix.items():
            if self._matrix.get((column, row), (None,))[0] != value:
                raise Unreadable("QMATRIX is not symmetric", entry)
        self._draft.linear = self._linear[self._objective]
        constant = -self._right.get(self._objective, 0.0)
        self._draft.constant = offset(constant, self._lines[self._objective])
        for name, kind in self._senses.items():
            if kind != "N" and self._linear[name]:
                right, spread = self._right.get(name, 0.0), self._ranges.get(name)
                limits = _limits(kind, limit(right), spread)
                self._draft.add_row(self._linear[name], *limits, self._lines[name])
            elif not _HOLDS_EMPTY[kind](self._right.get(name, 0.0)):
                raise Unreadable(f"row {name} has no column and cannot hold", line)
        return self._draft.finish()


def _limits(kind: str, right: float, spread: float | None) -> tuple[float, float]:
    """Return the lower and upper limit of a row by its type and the rules of RANGES."""
    if kind == "L":
        return (-inf if spread is None else right - abs(spread)), right
    if kind == "G":
        return right, (inf if spread is None else right + abs(spread))
    spread = spread or 0.0
    return min(right, right + spread), max(right, right + spread)


def _float(text: str, line: int) -> float:
    if not _NUMBER.fullmatch(text):
        raise Unreadable(f"{text!r} is not a number", line)
    return float(text)
