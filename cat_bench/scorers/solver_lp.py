"""Read a program in the CPLEX-LP format.

Sections: an objective (`minimize`, `maximize`, with an optional name, a constant and `[ ... ] / 2`
for quadratic terms), `subject to`, `bounds`, `general`, `binary`, `end`. A `*` between a number and
a variable is accepted. The right-hand side of a constraint holds constants only. SOS and
semi-continuous sections and quadratic constraints are unsupported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from cat_bench.scorers.solver_text import (
    LONGEST,
    Draft,
    Formulation,
    Linear,
    TooLarge,
    Unreadable,
    Unsupported,
    add_up,
    limit,
    offset,
)

_SECTION = re.compile(
    r"\s*(?:(?P<min>minimi[sz]e|minimum|min)|(?P<max>maximi[sz]e|maximum|max)"
    r"|(?P<rows>subject\s+to|such\s+that|s\.t\.|st\.|st)|(?P<bounds>bounds?)"
    r"|(?P<unsupported>semi-continuous|semis?|sec|sos[12]?|pwlobj|general\s+constraints?|gencons?)"
    r"|(?P<integer>generals?|gen|integers?|int)|(?P<binary>binary|binaries|bin)"
    r"|(?P<end>end))(?![\w.\[(])(?!\s*[:<>=])",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][\w.#$%&!@?~']*(?:\[[^\][\s]*\]|\([^()\s]*\))?)"
    r"|(?P<sense><=|=<|>=|=>|<|>|=)|(?P<sign>[+-])|(?P<other>[:\[\]*^/])|(?P<bad>\S))"
)
_INFINITY = {"inf", "infinity"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


def read_lp(text: str) -> Formulation:
    """Return the program of a text. Raises Unreadable (with the line), Unsupported, TooLarge."""
    if len(text) > LONGEST:
        raise TooLarge(f"the text has more than {LONGEST:,} characters")
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._draft = Draft()

    def read(self) -> Formulation:
        section = self._next()
        if section.kind not in ("min", "max"):
            raise Unreadable("begin with Minimize or Maximize, without a colon", section.line)
        self._draft.maximise = section.kind == "max"
        self._objective()
        seen = {"min"}
        while (section := self._next()).kind != "end":
            self._check_order(section, seen)
            while self._peek().kind not in _SECTIONS:
                if section.kind == "rows":
                    self._row()
                elif section.kind == "bounds":
                    self._bounds()
                else:
                    self._integer(binary=section.kind == "binary")
        if self._at < len(self._tokens):
            raise Unreadable("text follows End", self._peek().line)
        return self._draft.finish()

    def _check_order(self, section: _Token, seen: set[str]) -> None:
        if section.kind == "unsupported":
            raise Unsupported(f"a section {section.text!r} is not solved", section.line)
        if section.kind in ("min", "max"):
            raise Unreadable("there is a second objective", section.line)
        if section.kind == "rows" and seen != {"min"}:
            raise Unreadable("Subject To must follow the objective, once", section.line)
        seen.add(section.kind)

    def _objective(self) -> None:
        self._label()
        if self._peek().kind not in _SECTIONS:
            self._draft.constant = self._sum(self._draft.linear, quadratic=True) or 0.0

    def _row(self) -> None:
        self._label()
        limits = self._read_left_limit()
        linear: Linear = {}
        line = self._peek().line
        if self._sum(linear) is not None:
            raise Unreadable("a constant stands on the left of a sense, with the variables", line)
        if not limits or self._peek().kind == "sense":
            limits = self._right_limit(limits)
        if not linear:
            raise Unreadable("a constraint has no variable", line)
        lower, upper = limits.get("lower", -inf), limits.get("upper", inf)
        self._draft.add_row(linear, lower, upper, line)

    def _bounds(self) -> None:
        limits = self._read_left_limit()
        place, line = self._read_variable()
        following = self._peek()
        if not limits and following.kind == "name" and following.text.lower() == "free":
            self._next()
            limits = {"lower": -inf, "upper": inf}
        elif not limits or following.kind == "sense":
            limits = self._right_limit(limits)
        self._draft.set_bounds(place, line, **limits)

    def _read_left_limit(self) -> dict[str, float]:
        """Return the limit that a number and a sense state, if they are next."""
        start = self._at
        sign = self._sign()
        number = self._next()
        if not _is_number(number) or self._peek().kind != "sense":
            self._at = start
            return {}
        return _limits(self._next(), sign * _float(number), upper=">")

    def _right_limit(self, limits: dict[str, float]) -> dict[str, float]:
        """Return the limits on both sides; a sense and a number come next."""
        sense = self._next()
        if sense.kind != "sense":
            raise Unreadable(f"{sense.text!r} stands where <=, >= or = is expected", sense.line)
        sign, number = self._sign(), self._next()
        if not _is_number(number):
            problem = f"a number must follow the sense, not {number.text!r}"
            raise Unreadable(problem, number.line)
        after = self._peek()
        if after.kind not in _SECTIONS and after.line == number.line:
            raise Unreadable(f"{after.text!r} follows the right-hand side", number.line)
        right = _limits(sense, sign * _float(number), upper="<")
        if limits.keys() & right.keys():
            raise Unreadable("both senses set the same limit", sense.line)
        return limits | right

    def _read_variable(self) -> tuple[int, int]:
        """Return the variable that is next, and its line."""
        token = self._next()
        if token.kind != "name":
            raise Unreadable(f"{token.text!r} stands where a variable is expected", token.line)
        if token.text not in self._draft.places:
            raise Unreadable(f"{token.text!r} is in no objective or constraint", token.line)
        return self._draft.places[token.text], token.line

    def _integer(self, *, binary: bool) -> None:
        place, line = self._read_variable()
        variable = self._draft.variables[place]
        variable.integer = True
        variable.binary |= binary
        variable.line = variable.line or line

    def _sum(self, linear: Linear, *, quadratic: bool = False) -> float | None:
        """Read terms into `linear`; return the sum of their constants, or None for none."""
        constant: float | None = None
        first = True
        while True:
            token = self._peek()
            if not (token.kind in ("sign", "number", "name") or token.text == "["):
                if first:
                    word = token.text or "the end of the text"
                    raise Unreadable(f"{word!r} stands where a term is expected", token.line)
                return constant
            if not first and token.kind != "sign":
                problem = f"a sign is missing before {token.text!r}"
                raise Unreadable(problem, token.line)
            sign = self._sign()
            if self._peek().text == "[":
                self._products(sign, allowed=quadratic)
            else:
                value, name, line = self._term(sign)
                if name is None:
                    constant = add_up(constant or 0.0, offset(value, line))
                else:
                    self._draft.add(linear, self._draft.variable(name, line), value, line)
            first = False

    def _term(self, sign: float) -> tuple[float, str | None, int]:
        """Return a coefficient and its variable, or a constant and None."""
        value, token = sign, self._peek()
        if token.kind == "number":
            value *= _float(self._next())
            if self._peek().text == "*":
                self._next()
                if self._peek().kind != "name":
                    raise Unreadable("a variable is missing after '*'", token.line)
            if self._peek().kind != "name":
                return value, None, token.line
        name = self._next()
        if name.kind != "name":
            raise Unreadable(f"{name.text!r} stands where a variable is expected", name.line)
        if name.text.lower() in _INFINITY or name.text.lower() == "nan":
            raise Unreadable(f"{name.text!r} is neither a coefficient nor a variable", name.line)
        if self._peek().text in ("*", "^"):
            raise Unreadable("products of variables stand in [ ... ] / 2", name.line)
        return value, name.text, name.line

    def _products(self, sign: float, *, allowed: bool) -> None:
        """Read `[ terms ] / 2` into the objective."""
        opening = self._next()
        if not allowed:
            raise Unsupported("a quadratic constraint is not solved", opening.line)
        while self._peek().text != "]":
            self._product(sign)
            if self._peek().text != "]" and self._peek().kind != "sign":
                raise Unreadable("a sign or ] is missing", self._peek().line)
        closing = self._next()
        if self._peek().text != "/" or self._peek(1).text != "2":
            raise Unreadable("quadratic terms end with ] / 2", closing.line)
        self._at += 2

    def _product(self, sign: float) -> None:
        """Read `3 x ^ 2` or `3 x * y`; the coefficient counts half."""
        value = self._sign() * sign / 2
        if self._peek().kind == "number":
            value *= _float(self._next())
            if self._peek().text == "*":
                self._next()
        first, operator, second = self._next(), self._next(), self._next()
        if operator.text == "^" and second.text == "2":
            second = first
        elif operator.text != "*":
            raise Unreadable("write x ^ 2 or x * y between [ and ]", first.line)
        for factor in (first, second):
            if factor.kind != "name":
                raise Unreadable(f"{factor.text!r} is not a variable", factor.line)
        left, right = (self._draft.variable(factor.text, factor.line) for factor in (first, second))
        self._draft.add_product(left, right, value, first.line)

    def _label(self) -> None:
        if self._peek().kind == "name" and self._peek(1).text == ":":
            self._at += 2

    def _sign(self) -> float:
        sign = 1.0
        while self._peek().kind == "sign":
            sign = -sign if self._next().text == "-" else sign
        return sign

    def _peek(self, ahead: int = 0) -> _Token:
        place = self._at + ahead
        if place < len(self._tokens):
            return self._tokens[place]
        return _Token("missing", "", self._tokens[-1].line if self._tokens else 1)

    def _next(self) -> _Token:
        token = self._peek()
        if token.kind == "missing":
            raise Unreadable("the text ends without End", token.line)
        self._at += 1
        return token


_SECTIONS = {"min", "max", "rows", "bounds", "integer", "binary", "unsupported", "end", "missing"}


def _tokens(text: str) -> Iterator[_Token]:
    for line, full in enumerate(text.splitlines(), 1):
        content, at = full.partition("\\")[0], 0
        if (section := _SECTION.match(content)) and section.lastgroup:
            yield _Token(section.lastgroup, section[0].strip(), line)
            at = section.end()
        while match := _TOKEN.match(content, at):
            at = match.end()
            kind = str(match.lastgroup)
            if kind == "bad":
                raise Unreadable(f"{match[kind]!r} has no meaning here", line)
            yield _Token(kind, match[kind], line)


def _is_number(token: _Token) -> bool:
    return token.kind == "number" or (token.kind == "name" and token.text.lower() in _INFINITY)


def _float(token: _Token) -> float:
    return limit(inf if token.kind == "name" else float(token.text))


def _limits(sense: _Token, value: float, *, upper: str) -> dict[str, float]:
    """Return the limit of a sense and a number: an upper one if the sense holds `upper`."""
    if sense.text == "=":
        return {"lower": value, "upper": value}
    return {"upper": value} if upper in sense.text else {"lower": value}
