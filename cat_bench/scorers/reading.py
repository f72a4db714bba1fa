r"""Read an answer's structure: words, numbers, lists, pairs, and parts that need algebra.

`read` returns an answer's `Form`; answers are compared only by their forms. Structure is read here,
from the text; parts that need algebra (an expression, an equation, an inequality, a union of sets)
go to `algebra`, which returns their key. `docs/same-answer.md` lists the policies with their
reasons, and a test checks its table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TypeAlias

from cat_bench.scorers.notations import settle
from cat_bench.scorers.plain import LONGEST, number
from cat_bench.scorers.units import clash, split_modulus, split_unit
from cat_bench.scorers.words import literal, numeral_and_base

Algebra: TypeAlias = Callable[[str, str], str]
"""A function from a kind (expression, equation, relation, set) and a text to a key."""


@dataclass(frozen=True, slots=True)
class Form:
    """The structure of an answer: equal keys mean equal values.

    `name` (of ``x = 5``) and `unit` (of ``5 cm``, or the base of ``204_5``) matter for numbers
    only, and only if both answers have one.
    """

    key: str
    name: str = ""
    unit: str = ""

    def agrees(self, other: Form) -> bool:
        """Return whether both are the same answer; symmetric."""
        if self.key != other.key:
            return False
        names = {self.name, other.name} - {""}
        return len(names) < 2 and not clash(self.unit, other.unit)


_CONJUNCTION = re.compile(
    r",?\s*(?:\\text\{\s*,?\s*(?:and|or)\s*\}|(?<![A-Za-z])(?:and|or)(?![A-Za-z]))\s*,?"
)
_RELATION = re.compile(r"\\(?:ge|le|ne)(?![a-zA-Z])|[<>]")
_SETS = re.compile(
    r"\\(?:cup|cap|setminus|backslash|mathbb|emptyset)(?![a-zA-Z])|\\text\{[RQZNC]\}"
)
_MEMBER = re.compile(r"\\in(?![a-zA-Z])\s*")
_BUILDER = re.compile(
    r"\\\{\s*[a-zA-Z]\s*(?:\\in\s*(?:\\mathbb\{R\}|\\text\{R\}))?\s*(?:\\mid|\\vert|\||:)\s*(.+?)\s*\\\}"
)
_VARIABLE = (
    r"(?:[A-Za-z]|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|omega|ell))(?:_(?:\w|\{\w+\}))?'*"
)
_NAME = re.compile(
    rf"(?:{_VARIABLE}|[A-Za-z]\^\{{-1\}}|\\text\{{[^{{}}]+\}}|[A-Za-z][a-z]{{2,}}(?: [A-Za-z]+)*)"
    rf"(?:\((?:[^()]|\([^()]*\))*\))?"
    r"|\|?[A-Z]{2,}\|?|m?\s*\\angle\s*[A-Z]{0,3}|\[[A-Z]{3,}\]|\\overline\{[A-Z]{2}\}"
    rf"|\(\s*{_VARIABLE}(?:\s*,\s*{_VARIABLE})+\s*\)"
)
_SUBSCRIPT = re.compile(
    r"_(?:\{[^{}]*\}|\w)|\\(?:left|right|circ|cdot|times|frac|sqrt)(?![a-zA-Z])"
)
_COMMAND = re.compile(r"\\text\{[^{}]*\}|\\[a-zA-Z]+")
_LETTER = re.compile(r"[a-zA-Z]")
_LINEAR = re.compile(r"\s*[-+]?\s*[xyz](?:\s*[-+]\s*[xyz])*\s*")
_FUNCTION = re.compile(r"(?:sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|gcd|lcm|max|min|floor|ceil)\b")
_MATRIX = re.compile(
    r"\\begin\{((?:[pb]|small)?matrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}", re.DOTALL
)
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![a-zA-Z])\s*")
_OPEN, _CLOSE = "([{", ")]}"


def read(text: str, algebra: Algebra) -> Form:
    """Return the form of a tidied answer."""
    if len(text) > LONGEST:
        return Form(f"text {text}")
    settled = settle(text)
    try:
        form = _read_base(_form(settled, algebra))
    except RecursionError:
        return Form(f"text {text}")
    return form if len(form.key) <= LONGEST else replace(form, key=_digest(form.key))


def _read_base(form: Form) -> Form:
    """Return a numeral's digits with its base as the unit, which bare digits leave out."""
    numeral = numeral_and_base(form.key)
    return Form(numeral[0], unit=numeral[1]) if numeral else form


def is_listed(text: str) -> bool:
    """Return whether a tidied answer is a list without brackets, such as ``1, 2``."""
    text = settle(text)
    return literal(text) is None and len(_split(text, ",;")) > 1


def _digest(key: str) -> str:
    return f"{key.split(' ', 1)[0]} {sha256(key.encode()).hexdigest()}"


def _form(text: str, algebra: Algebra) -> Form:
    if not _CONJUNCTION.search(text) and (word := literal(text)):
        return Form(word)
    if builder := _BUILDER.fullmatch(text):
        text = builder[1]
    if _RELATION.search(text):
        return Form(_inequalities(text, algebra))
    pieces = _split_elements(_CONJUNCTION.sub(", ", text).strip(", "))
    if len(pieces) > 1:
        return _list(pieces, algebra)
    name, body = _split_name(pieces[0])
    body, modulus = split_modulus(body)
    body, unit = split_unit(body)
    key = _key(body, algebra)
    if not key.startswith("number "):
        return Form(f"{key} {modulus}".strip())
    return Form(key, name, modulus or unit)


def _list(pieces: Sequence[str], algebra: Algebra) -> Form:
    """Return the form of a list without brackets: unordered, unless its elements have names."""
    first, body = _split_name(pieces[0])
    if first and not any("=" in piece for piece in pieces[1:]):
        pieces = [body, *pieces[1:]]
    forms = [_form(piece, algebra) for piece in pieces]
    names = [form.name for form in forms]
    if len(set(names)) == len(names) and all(names):
        ordered = sorted(forms, key=lambda form: form.name)
        return Form(_tuple([form.key for form in ordered]))
    return Form(join_keys([form.key for form in forms]))


def _split_name(text: str) -> tuple[str, str]:
    r"""Return the name and the value of ``x = ... = 5``, ``x \in S``, ``x \approx 5``."""
    member = _MEMBER.search(text)
    if member and _NAME.fullmatch(text[: member.start()].strip()):
        return text[: member.start()].strip(), text[member.end() :].strip()
    parts = _split(text, "=")
    if len(parts) == 2 and not _is_name(parts[0]) and _is_name(parts[1]):
        parts.reverse()
    name = parts[0].strip() if len(parts) > 1 and _is_name(parts[0]) else ""
    if len(parts) > 1 and not name and _describes(parts):
        name = "".join(parts[0].split())
    value = parts[-1] if name else text
    exact, about, rounded = value.partition(r"\approx")
    if about and not name and _is_name(exact):
        return exact.strip(), rounded.strip()
    return name, (exact if about else value).strip()


def _describes(parts: Sequence[str]) -> bool:
    """Return whether an equation gives the value of its first part, which consists of symbols.

    A sum of coordinates does not count unless its value is a number: it may be a line.
    """
    first = _SUBSCRIPT.sub("", parts[0])
    if _LETTER.search(_COMMAND.sub("", parts[-1])) or not _LETTER.search(first):
        return False
    if len(parts) > 2:
        return True
    return not re.search(r"\d", first) and not _LINEAR.fullmatch(first)


def _is_name(text: str) -> bool:
    text = text.strip()
    return bool(_NAME.fullmatch(text)) and not _FUNCTION.match(text)


def _key(text: str, algebra: Algebra) -> str:
    text = _strip(text)
    if key := number(text):
        return f"number {key}"
    if word := literal(text):
        return word
    if _SETS.search(text):
        return algebra("set", text)
    if len(_split(text, "=")) > 1:
        return algebra("equation", text)
    if collection := _collection(text, algebra):
        return collection
    matrix = _MATRIX.fullmatch(_strip_brackets(text))
    if matrix and r"\begin" not in matrix[2]:
        return _matrix(matrix[2], algebra)
    return algebra("expression", text)


def _strip(text: str) -> str:
    """Return the text without needless braces or parentheses around all of it."""
    text = text.strip()
    while len(text) > 2 and text[0] + text[-1] in {"{}", "()"} and _encloses(text):
        if len(_split(text[1:-1], ",;")) > 1 and text[0] == "(":
            break
        text = text[1:-1].strip()
    return text


def _collection(text: str, algebra: Algebra) -> str | None:
    r"""Return the key of a pair, tuple, interval or ``\{set\}``; None for any other text."""
    if text.startswith(r"\{") and text.endswith(r"\}") and _encloses(text):
        inside = text[2:-2].strip()
        if not inside:
            return "empty"
        return join_keys({_form(piece, algebra).key for piece in _split_elements(inside)})
    if len(text) < 3 or text[0] not in "([" or text[-1] not in ")]" or not _encloses(text):
        return None
    pieces = _split(text[1:-1], ",;")
    if len(pieces) < 2:
        return None
    keys = [_form(piece, algebra).key for piece in pieces]
    return interval(keys, text[0] + text[-1]) if len(keys) == 2 else _tuple(keys)


def interval(ends: Sequence[str], brackets: str) -> str:
    """Return the key of an interval; an open one equals the pair of its ends."""
    low, high = ends
    opening = "(" if low == "number -oo" else brackets[0]
    right = ")" if high == "number oo" else brackets[1]
    return _tuple(ends) if opening + right == "()" else f"interval {opening}{low}, {high}{right}"


def _matrix(body: str, algebra: Algebra) -> str:
    """Return the key of a matrix; a single column has the key of its elements' tuple."""
    rows = [row for row in re.split(r"\\\\(?:\[[^\[\]]*\])?", body) if row.strip()]
    cells = [[_form(cell.strip(), algebra).key for cell in row.split("&")] for row in rows]
    if all(len(row) == 1 for row in cells) and len(cells) > 1:
        return _tuple([row[0] for row in cells])
    return f"matrix [{'; '.join(', '.join(row) for row in cells)}]"


def _inequalities(text: str, algebra: Algebra) -> str:
    """Return the key of inequalities: their union if joined by "or", else their intersection."""
    either = re.search(r"(?:\\text\{\s*,?\s*or\s*\}|(?<![A-Za-z])or(?![A-Za-z]))", text)
    pieces = _split(_CONJUNCTION.sub(", ", text).strip(", "), ",;")
    return algebra("either" if either else "relation", "\n".join(pieces))


def _tuple(keys: Sequence[str]) -> str:
    return f"({', '.join(keys)})"


def join_keys(keys: Iterable[str]) -> str:
    """Return the key of an unordered list; for one element, the element's key."""
    ordered = sorted(keys)
    return ordered[0] if len(ordered) == 1 else f"{{{', '.join(ordered)}}}"


def _strip_brackets(text: str) -> str:
    bracketed = len(text) > 2 and text[0] in "([" and _encloses(text)
    return text[1:-1].strip() if bracketed else text


def _encloses(text: str) -> bool:
    """Return whether the first bracket closes at the end."""
    depths = list(_depths(text))
    return all(depth > 0 for _, depth in depths[:-1]) and depths[-1][1] == 0


def _depths(text: str) -> Iterator[tuple[str, int]]:
    depth = 0
    for sign in text.replace(r"\{", "({").replace(r"\}", "})"):
        depth += (sign in _OPEN) - (sign in _CLOSE)
        yield sign, depth


def _split_elements(text: str) -> list[str]:
    r"""Return the elements of a list; one that has a ``\pm`` is two."""
    pieces: list[str] = []
    for piece in _split(text, ",;"):
        plus = _PLUS_MINUS.sub(lambda sign: "+" if sign[1] == "p" else "-", piece)
        minus = _PLUS_MINUS.sub(lambda sign: "-" if sign[1] == "p" else "+", piece)
        pieces += [piece] if plus == minus or piece.startswith(r"\{") else [plus, minus]
    return pieces


def _split(text: str, signs: str) -> list[str]:
    """Return the parts between signs outside all brackets and environments."""
    parts, depth, start, place = [], 0, 0, 0
    while place < len(text):
        if text.startswith((r"\begin", r"\end"), place):
            depth += 1 if text.startswith(r"\begin", place) else -1
        sign = text[place]
        depth += (sign in _OPEN) - (sign in _CLOSE)
        if sign in signs and depth <= 0:
            parts.append(text[start:place].strip())
            start = place + 1
        place += 1
    return [*parts, text[start:].strip()]
