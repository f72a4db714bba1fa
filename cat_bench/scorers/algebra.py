r"""Keys of answers that need algebra, by sympy, from math-verify's reading of LaTeX.

Two expressions are the same if they have the same values: the key of a constant is its value, and
the key of an expression with variables its values at fixed points, to `_DIGITS` digits. Equality of
keys is transitive, which math-verify's `verify` is not. Nothing here limits time or memory: it runs
in a grading worker that can be killed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any
from zlib import crc32

from cat_bench.scorers.notations import COMMANDS
from cat_bench.scorers.plain import number_key, rounded_key
from cat_bench.scorers.reading import interval, join_keys, read

_POINTS = 4
_PRECISION = 50
_EPSILON = 1e-30
_FINER, _ZERO = 350, 1e-320
_DIGITS = 15
_LARGEST_DENOMINATOR = 10**12
_NO_VALUE = (ArithmeticError, AttributeError, NotImplementedError, TypeError, ValueError)
_COORDINATES = ("x", "y", "z")

_DECIMAL = re.compile(r"(?<![\d.])(?:\d+\.\d+|\.\d+|\d+\.(?!\d))")
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|dot|bar)\{?(\d+)\}?")
_TRIGONOMETRIC = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_CIRCLE = re.compile(r"\^\{?\s*\\circ\s*\}?|\\degree")
_FUNCTION = re.compile(r"(?<![a-zA-Z\\])(sin|cos|tan|cot|sec|csc|log|ln|exp|pi|sqrt)(?![a-zA-Z])")
_ROOT = re.compile(r"\\sqrt\s*\(([^()]*)\)")
_PRIME = re.compile(r"([A-Za-z])('+)")
_SIZES = re.compile(r"\\(?:mathbf|boldsymbol|vec|mathcal|mathrm|operatorname)\s*\{([^{}]*)\}")
_ACCENTED = re.compile(r"\\(hat|bar|dot)\{([A-Za-z])\}")
_DERIVATIVE = re.compile(r"\\frac\s*\{\s*d[^{}]*\}\s*\{\s*d\s*[a-z]\s*\}")
_NUMBER_SET = re.compile(r"\\text\{[RQZNC]\}")
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_LETTERS = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{4,}(?![A-Za-z}])")
"""Unmarked words, whose letters would be multiplied."""


def key_of(kind: str, text: str) -> str:
    """Return the key of an expression, equation, relation, either (relations united) or set."""
    try:
        return _KINDS[kind](text)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - unreadable answers are compared as text
        return f"text {''.join(text.split())}"


def _expression(text: str) -> str:
    return expression_key(_parse(text), decimal=_has_decimal(text))


def _equation(text: str) -> str:
    """Return the value that all sides have, else the relation, up to a factor."""
    sides = [side.strip() for side in text.split("=")]
    keys = [read(side, key_of).key for side in sides]
    if len(set(keys)) == 1:
        return keys[0]
    left, right = (_parse(side) for side in sides)
    return equation_key(left - right)


def equation_key(difference: Any) -> str:
    """Return the key of ``difference = 0``, solved for the last coordinate if linear in it."""
    symbols = {symbol.name: symbol for symbol in difference.free_symbols}
    coordinates = [name for name in _COORDINATES if name in symbols]
    if len(coordinates) > 1:
        last = symbols[coordinates[-1]]
        slope = difference.diff(last)
        if not slope.free_symbols and slope != 0:
            return expression_key(last - difference / slope)
    values = _values(difference)
    scale = next((value for value in values if value), None)
    if scale is None:
        return f"text {difference}"
    return f"equation {', '.join(_format(value / scale) for value in values)}"


def expression_key(expression: Any, *, decimal: bool = False) -> str:
    """Return the key of a parsed expression, tuple or set."""
    from sympy import MatrixBase, Set, Tuple, oo

    if isinstance(expression, MatrixBase):
        rows = [
            [expression_key(cell, decimal=decimal) for cell in row] for row in expression.tolist()
        ]
        if expression.cols == 1:
            return f"({', '.join(row[0] for row in rows)})"
        return f"matrix [{'; '.join(', '.join(row) for row in rows)}]"
    if isinstance(expression, Tuple):
        return f"({', '.join(expression_key(part, decimal=decimal) for part in expression.args)})"
    if isinstance(expression, Set):
        return _set_key(expression, decimal=decimal)
    if expression.is_Rational:
        exact = Fraction(int(expression.p), int(expression.q))
        return f"number {number_key(exact, decimal=decimal)}"
    if expression in {oo, -oo}:
        return f"number {expression}"
    values = _values(expression)
    if all(value == values[0] for value in values):
        return f"number {_constant(values[0], decimal=decimal)}"
    return f"expression {', '.join(map(_format, values))}"


def _constant(value: Any, *, decimal: bool) -> str:
    """Return the key of a number: exact where it is rational, rounded where it is not."""
    real = _real_key(value.real, decimal=decimal)
    if abs(value.imag) <= _EPSILON * abs(value):
        return real
    return f"{real} + {_real_key(value.imag, decimal=decimal)}i"


def _real_key(value: Any, *, decimal: bool) -> str:
    exact = Fraction(str(value))
    simple = exact.limit_denominator(_LARGEST_DENOMINATOR)
    if abs(simple - exact) * 10**40 <= abs(exact):
        return number_key(simple, decimal=decimal)
    return rounded_key(exact)


def _values(expression: Any) -> list[Any]:
    """Return the expression at the fixed points; raises ValueError where it has no value at any."""
    symbols = sorted(expression.free_symbols, key=str)
    points = range(_POINTS if symbols else 1)
    values = [_evaluate(expression, {s: _coordinate(s.name, k) for s in symbols}) for k in points]
    if all(value is None for value in values):
        raise ValueError("the expression has no value")
    return values


def _coordinate(name: str, place: int) -> Any:
    """Return a variable's value: positive at the first point, negative at the second, else either.

    Sizes are from 0 to 1 at odd points, from 1 to 2 at even ones.
    """
    from sympy import Rational

    draw = crc32(f"{name} {place}".encode())
    size = Rational(1 - place % 2) + Rational(1 + draw % 9973, 9974)
    return -size if place == 1 or (place and draw >> 20 & 1) else size


def _evaluate(expression: Any, point: dict[Any, Any]) -> Any:
    """Return the value at a point, as an mpmath number, or None."""
    numbers = _numbers()
    parts = _parts(expression, point, _PRECISION)
    if parts is None or not all(map(numbers.isfinite, parts)):
        return None
    size = max(map(abs, parts))
    if size < _EPSILON and (finer := _parts(expression, point, _FINER)):
        # Either rounding or a small number: more digits decide.
        parts, size = finer, 1 if max(map(abs, finer)) < _ZERO else size
    return numbers.mpc(*(0 if abs(part) < _EPSILON * size else part for part in parts))


def _parts(expression: Any, point: dict[Any, Any], precision: int) -> list[Any] | None:
    value = expression.evalf(precision, subs=point) if point else expression.evalf(precision)
    try:
        return [_numbers().mpf(str(part)) for part in value.as_real_imag()]
    except _NO_VALUE:
        return None


@lru_cache(maxsize=1)
def _numbers() -> Any:
    """Return mpmath's context with its own precision, which no library changes."""
    from mpmath import mp

    context = mp.clone()
    context.dps = _PRECISION
    return context


def _format(value: Any) -> str:
    if value is None:
        return "none"
    parts = (value.real, value.imag) if value.imag else (value.real,)
    return " ".join(_numbers().nstr(part, _DIGITS) for part in parts)


def _relation(text: str, *, either: bool = False) -> str:
    """Return the key: for one variable the set of its values, for more a set of relations."""
    from sympy import EmptySet, Intersection, Union

    relations = [_atoms(_parse(piece)) for piece in text.split("\n")]
    symbols = {symbol for atoms in relations for atom in atoms for symbol in atom.free_symbols}
    if len(symbols) == 1:
        sets = [Intersection(*(atom.as_set() for atom in atoms)) for atoms in relations]
        joined = Union(*sets) if either else Intersection(*sets)
        if len(sets) > 1 and joined == EmptySet:
            joined = Union(*sets)
        return _set_key(joined)
    keys = sorted({_inequality(atom) for atoms in relations for atom in atoms})
    return f"{'either' if either else 'all'} {' and '.join(keys)}"


def _atoms(relation: Any) -> Sequence[Any]:
    atoms = relation.relations if isinstance(relation, _Together) else (relation,)
    if not all(hasattr(atom, "rel_op") for atom in atoms):
        raise TypeError(f"no relation: {relation!r}")
    return atoms


def _inequality(relation: Any) -> str:
    """Return the key of one inequality, turned to > or >=, up to a positive factor."""
    from sympy import Eq, Ne

    difference = relation.lhs - relation.rhs
    if isinstance(relation, Eq):
        return equation_key(difference)
    if isinstance(relation, Ne):
        return f"not {equation_key(difference)}"
    values = _values(difference if relation.rel_op in {">", ">="} else -difference)
    scale = abs(next(value for value in values if value))
    return f"{relation.rel_op.replace('<', '>')} {', '.join(_format(v / scale) for v in values)}"


def _set_key(expression: Any, *, decimal: bool = False) -> str:
    from sympy import EmptySet, FiniteSet, Interval, Reals, Union, srepr

    evaluated = expression.doit()
    if evaluated == EmptySet:
        return "empty"
    if evaluated == Reals:
        return "(number -oo, number oo)"
    if isinstance(evaluated, Interval):
        brackets = "[("[bool(evaluated.left_open)] + "])"[bool(evaluated.right_open)]
        ends = [expression_key(end, decimal=decimal) for end in (evaluated.start, evaluated.end)]
        return interval(ends, brackets)
    if isinstance(evaluated, FiniteSet):
        return join_keys({expression_key(part, decimal=decimal) for part in evaluated.args})
    if isinstance(evaluated, Union):
        return f"union {join_keys({_set_key(part, decimal=decimal) for part in evaluated.args})}"
    return f"text {srepr(evaluated)}"


@lru_cache(maxsize=256)
def _parse(text: str) -> Any:
    """Parse LaTeX with math-verify; unknown functions are variables, e and i constants."""
    from latex2sympy2_extended import NormalizationConfig
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy

    reading = latex2sympy(
        _prepare(text),
        is_real=True,
        normalization_config=NormalizationConfig(
            basic_latex=True, malformed_operators=True, nits=True, boxed="none"
        ),
        conversion_config=ConversionConfig(lowercase_symbols=False),
    )
    relations = getattr(reading, "_unsorted_args", None)
    if relations is None or not hasattr(reading, "as_set"):
        return _substitute_constants(reading)
    return _Together([_substitute_constants(relation) for relation in relations])


@dataclass(frozen=True)
class _Together:
    """The relations of a chain such as ``1 < x < 2``, in the order of writing."""

    relations: Sequence[Any]


def _substitute_constants(expression: Any) -> Any:
    from sympy import Basic, E, Expr, I, MatrixBase, Symbol
    from sympy.core.function import AppliedUndef

    if not isinstance(expression, (Basic, MatrixBase)):
        raise TypeError(f"no expression: {expression!r}")
    expression = expression.replace(
        lambda part: isinstance(part, AppliedUndef), lambda part: Symbol(str(part), real=True)
    )
    constants = {"e": E, "i": I}
    values = {s: constants[s.name] for s in expression.free_symbols if s.name in constants}
    evaluated = expression.subs(values) if values else expression
    return evaluated.doit() if isinstance(evaluated, (Expr, MatrixBase)) else evaluated


def _prepare(text: str) -> str:
    """Rewrite LaTeX for the parser; raises ValueError for what it would misread."""
    text = _ACCENTED.sub(r"\2_{\1}", _REPEATING.sub(_expand_repeating, _SIZES.sub(r"\1", text)))
    if _TRIGONOMETRIC.search(text):
        text = _CIRCLE.sub(r" \\cdot \\frac{\\pi}{180}", text)
    text = _DECIMAL.sub(lambda match: _fraction(Fraction(match[0])), text)
    text = _ROOT.sub(r"\\sqrt{\1}", _FUNCTION.sub(r"\\\1 ", text))
    unknown = set(_COMMAND.findall(_NUMBER_SET.sub("", text))) - COMMANDS
    words = {word for word in _LETTERS.findall(text) if word != "infinity"}
    if unknown or words or _DERIVATIVE.search(text):
        raise ValueError(f"not read: {text}")
    return _PRIME.sub(lambda match: f"{match[1]}_{{{'p' * len(match[2])}}}", text)


def _expand_repeating(decimal: re.Match[str]) -> str:
    integer, fixed, period = decimal.groups()
    ninths = (10 ** len(period) - 1) * 10 ** len(fixed)
    return _fraction(Fraction(int(integer + fixed + period) - int(integer + fixed or "0"), ninths))


def _fraction(value: Fraction) -> str:
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _has_decimal(text: str) -> bool:
    return _DECIMAL.search(text) is not None


_KINDS: dict[str, Callable[[str], str]] = {
    "expression": _expression,
    "equation": _equation,
    "relation": _relation,
    "either": lambda text: _relation(text, either=True),
    "set": _expression,
}
