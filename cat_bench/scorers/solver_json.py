"""Read a program in JSON, as `docs/operations-research.md` describes it.

    {"sense": "maximize",
     "variables": {"x": {"lower": 0, "upper": 4, "type": "integer"}, "y": {}},
     "objective": {"linear": {"x": 3, "y": 2}, "quadratic": [["y", "y", -1]], "constant": 5},
     "constraints": [{"linear": {"x": 1, "y": 1}, "sense": "<=", "rhs": 4}]}

A lower bound is 0 unless it is stated; null means no bound. Unknown fields, unknown variables and
repeated names are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any, NoReturn

from cat_bench.scorers.solver_text import (
    LONGEST,
    Draft,
    Formulation,
    Linear,
    NotAProgram,
    TooLarge,
    Unreadable,
    Unsupported,
    limit,
    offset,
)

_SENSES = {"minimize": False, "maximize": True, "minimise": False, "maximise": True}
_TYPES = {"continuous": False, "integer": True, "binary": True}
_MISSING = object()


def read_json(text: str) -> Formulation:
    """Return the program of a text. Raises Unreadable (with the line), Unsupported, TooLarge."""
    if len(text) > LONGEST:
        raise TooLarge(f"the text has more than {LONGEST:,} characters")
    try:
        content = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise Unreadable(f"is not JSON ({error.msg})", error.lineno) from None
    except ValueError:
        raise Unreadable("a number has too many digits", 1) from None
    except _Misplaced as error:
        raise Unreadable(str(error), error.line_in(text)) from None
    except RecursionError:
        raise Unreadable("is nested too deeply", 1) from None
    return _Reader(text).read(content)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._draft = Draft()

    def read(self, content: Any) -> Formulation:
        names = ("sense", "variables", "objective", "constraints")
        self._fields(content, names, (), required=("sense", "variables", "objective"))
        if not isinstance(content["sense"], str) or content["sense"].lower() not in _SENSES:
            self._refuse("sense is minimize or maximize", ("sense",))
        self._draft.maximise = _SENSES[content["sense"].lower()]
        if not isinstance(content["variables"], dict):
            self._refuse("variables are an object of name: bounds", ("variables",))
        for name, fields in content["variables"].items():
            self._variable(name, fields)
        self._objective(content["objective"])
        rows = content.get("constraints", [])
        if not isinstance(rows, list):
            self._refuse("constraints are a list", ("constraints",))
        for place, row in enumerate(rows):
            self._row(row, ("constraints", place))
        with self._at(("variables",)):
            return self._draft.finish()

    def _variable(self, name: str, fields: Any) -> None:
        path = ("variables", name)
        self._fields(fields, ("lower", "upper", "type"), path)
        kind = fields.get("type", "continuous")
        if not isinstance(kind, str) or kind not in _TYPES:
            self._refuse("type is continuous, integer or binary", (*path, "type"))
        place = self._draft.variable(name)
        bounds = {"lower": 0.0, "upper": 1.0} if kind == "binary" else {}
        for side, none in (("lower", -inf), ("upper", inf)):
            value = fields.get(side, _MISSING)
            if value is None:
                bounds[side] = none
            elif value is not _MISSING:
                bounds[side] = limit(self._number(value, (*path, side)))
        if kind == "binary" and not 0 <= bounds["lower"] <= bounds["upper"] <= 1:
            self._refuse("a binary variable has bounds from 0 to 1", path)
        with self._at(path):
            self._draft.set_bounds(place, None, **bounds)
        self._draft.variables[place].integer = _TYPES[kind]

    def _objective(self, fields: Any) -> None:
        path = ("objective",)
        self._fields(fields, ("linear", "quadratic", "constant"), path)
        self._draft.linear = self._linear(fields.get("linear", {}), (*path, "linear"))
        where: tuple[str | int, ...] = (*path, "constant")
        with self._at(where):
            self._draft.constant = offset(self._number(fields.get("constant", 0), where))
        terms = fields.get("quadratic", [])
        if not isinstance(terms, list):
            self._refuse("quadratic is a list of [name, name, number]", (*path, "quadratic"))
        for place, term in enumerate(terms):
            where = (*path, "quadratic", place)
            if not (isinstance(term, list) and len(term) == 3):
                self._refuse("a quadratic term is [name, name, number]", where)
            first, second = (self._place(name, where) for name in term[:2])
            with self._at(where):
                self._draft.add_product(first, second, self._number(term[2], where))

    def _row(self, fields: Any, path: tuple[str | int, ...]) -> None:
        names = ("name", "linear", "quadratic", "sense", "rhs")
        self._fields(fields, names, path, required=("linear", "sense", "rhs"))
        if fields.get("quadratic"):
            raise Unsupported("a quadratic constraint is not solved", self._line(path))
        linear = self._linear(fields["linear"], (*path, "linear"))
        if not linear:
            self._refuse("a constraint has no variable", path)
        right = limit(self._number(fields["rhs"], (*path, "rhs")))
        sense = fields["sense"]
        if sense not in ("<=", ">=", "=", "=="):
            self._refuse("sense is <=, >= or =", (*path, "sense"))
        lower, upper = -inf if sense == "<=" else right, inf if sense == ">=" else right
        with self._at(path):
            self._draft.add_row(linear, lower, upper)

    def _linear(self, terms: Any, path: tuple[str | int, ...]) -> Linear:
        if not isinstance(terms, dict):
            self._refuse("linear is an object of name: coefficient", path)
        linear: Linear = {}
        for name, value in terms.items():
            where = (*path, name)
            with self._at(where):
                self._draft.add(linear, self._place(name, where), self._number(value, where))
        return linear

    def _place(self, name: Any, path: tuple[str | int, ...]) -> int:
        if not isinstance(name, str) or name not in self._draft.places:
            self._refuse(f"{name!r} is not among the variables", path)
        return self._draft.places[name]

    def _number(self, value: Any, path: tuple[str | int, ...]) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(f"{value!r} is not a number", path)
        try:
            return float(value)
        except OverflowError:
            return inf if value > 0 else -inf

    def _fields(
        self,
        content: Any,
        known: Sequence[str],
        path: tuple[str | int, ...],
        *,
        required: Iterable[str] = (),
    ) -> None:
        if not isinstance(content, dict):
            self._refuse("an object is expected", path)
        for name in content:
            if name not in known:
                self._refuse(f"{name!r} is not one of {', '.join(known)}", (*path, name))
        for name in required:
            if name not in content:
                self._refuse(f"{name!r} is missing", path)

    @contextmanager
    def _at(self, path: Sequence[str | int]) -> Iterator[None]:
        """Add the line of `path` to errors that name no line."""
        try:
            yield
        except NotAProgram as error:
            if error.line is not None:
                raise
            raise type(error)(str(error), self._line(path)) from None

    def _refuse(self, problem: str, path: Sequence[str | int]) -> NoReturn:
        raise Unreadable(problem, self._line(path))

    def _line(self, path: Sequence[str | int]) -> int:
        return self._text.count("\n", 0, _position(self._text, path)) + 1


def _position(text: str, path: Sequence[str | int]) -> int:
    """Return the position at which the value of a path begins in a JSON text."""
    decoder, at = json.JSONDecoder(), _skip(text, 0)
    for step in path:
        at, place = _skip(text, at + 1), 0
        while True:
            begins, key = at, place
            if isinstance(step, str):
                name, at = decoder.raw_decode(text, at)
                at = _skip(text, _skip(text, at) + 1)
                begins, key = at, name
            if key == step:
                at = begins
                break
            at = _skip(text, decoder.raw_decode(text, at)[1])
            at, place = _skip(text, at + 1), place + 1
    return at


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


class _Misplaced(Exception):
    """An error that JSON's parser accepts, at the given `occurrence` of `pattern`."""

    def __init__(self, problem: str, pattern: str, occurrence: int) -> None:
        super().__init__(problem)
        self._pattern, self._occurrence = pattern, occurrence

    def line_in(self, text: str) -> int:
        """Return its line in a text."""
        places = [match.start() for match in re.finditer(self._pattern, text)]
        at = places[min(self._occurrence, len(places)) - 1] if places else 0
        return text.count("\n", 0, at) + 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in content if names.count(name) > 1)
        pattern = re.escape(json.dumps(twice, ensure_ascii=False)) + r"\s*:"
        raise _Misplaced(f"{twice!r} occurs twice in one object", pattern, 2)
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise _Misplaced(f"{name} is not a number in JSON", re.escape(name), 1)
