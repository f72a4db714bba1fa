r"""Rewrite alternative notations as one, before an answer's structure is read.

Relations, brackets, units of angle, repeating decimals, systems of equations and choices have one
spelling after `settle`; what an answer means does not change.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

COMMANDS = frozenset(
    re.findall(
        r"\w+",
        "frac sqrt cdot times div pm mp sin cos tan cot sec csc arcsin arccos arctan arccot sinh "
        "cosh tanh coth log ln exp pi infty circ degree binom lfloor rfloor lceil rceil lvert "
        "rvert vert "
        "mid ge le ne lt gt approx cup cap setminus backslash in mathbb emptyset sum prod int "
        "lim to rightarrow gcd lcm min max det left right begin end limits cdots ast ell "
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu "
        "xi rho sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma "
        "Upsilon Phi Psi Omega",
    )
)
"""The commands that math-verify's parser reads; it silently drops some others."""
_ALIASES = frozenset(re.findall(r"\w+", "geq geqq geqslant leq leqq leqslant neq varnothing"))
_COMMAND = re.compile(r"\\([A-Za-z]+)")
_Rewriting = tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]

_TEXT_COMMAND = re.compile(
    r"\\(?:mbox|(?:text|math)(?:normal|rm|bf|it|sf|tt|cal|frak)?)(?![a-zA-Z])\s*"
)
_UNWRAPPED = re.compile(r"\\text\{\s*([A-Za-z]'*)\s*\}")


def _unglue(command: re.Match[str]) -> str:
    r"""Return ``\lex`` as ``\le x``: some sources drop spaces."""
    name, last = command[1][:-1], command[1][-1]
    readable = COMMANDS | _ALIASES
    return rf"\{name} {last}" if command[1] not in readable and name in readable else command[0]


def _angle(parts: re.Match[str]) -> str:
    """Return degrees, minutes and seconds as degrees."""
    degrees, minutes, seconds = (int(part or 0) for part in parts.groups())
    value = degrees + Fraction(minutes, 60) + Fraction(seconds, 3600)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}^\circ"


def _system(body: re.Match[str]) -> str:
    lines = re.split(r"\\\\|\\cr(?![a-zA-Z])", body[1].replace("&", ""))
    return ", ".join(line.strip(" ,;") for line in lines if line.strip())


def _integers(family: re.Match[str]) -> str:
    r"""Return a family such as ``2k\pi, k \in \mathbb{Z}`` with n for its integer."""
    family_text = re.sub(rf"(?<![a-zA-Z\\]){family[2]}(?![a-zA-Z])", "n", family[1])
    return rf"\text{{for all integers n: {family_text}}}"


_REWRITINGS: tuple[_Rewriting, ...] = (
    (_COMMAND, _unglue),
    (re.compile(r"^\\boxed\{(.*)\}$"), r"\1"),
    (re.compile(r"\\(?:geqslant|geqq|geq|ge)(?![a-zA-Z])\s*|>="), r"\\ge "),
    (re.compile(r"\\(?:leqslant|leqq|leq|le)(?![a-zA-Z])\s*|<="), r"\\le "),
    (re.compile(r"\\(?:neq|ne)(?![a-zA-Z])\s*|\\not\s*=|(?<![\d)!}])!="), r"\\ne "),
    (re.compile(r"\\lt(?![a-zA-Z])\s*"), "<"),
    (re.compile(r"\\gt(?![a-zA-Z])\s*"), ">"),
    (re.compile(r"\\(?:varnothing|O(?=$))(?![a-zA-Z])"), r"\\emptyset"),
    (re.compile(r"\\langle(?![a-zA-Z])\s*"), "("),
    (re.compile(r"\s*\\rangle(?![a-zA-Z])"), ")"),
    (re.compile(r"\\lbrace(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\colon(?![a-zA-Z])"), ":"),
    (re.compile(r"\\(vec|hat|bar|dot)\s*([a-zA-Z])(?![a-zA-Z])"), r"\\\1{\2}"),
    (re.compile(r"(\d+)\s*\\bmod\s*([1-9]\d*)"), lambda pair: str(int(pair[1]) % int(pair[2]))),
    (re.compile(r"\\lg(?![a-zA-Z])"), r"\\log_{10}"),
    (re.compile(r"\{\s*([^{}]+?)\s*\\choose\s+([^{}]+?)\s*\}"), r"\\binom{\1}{\2}"),
    (re.compile(r"(?<![\d.])(\d*\.\d*)\((\d+)\)"), r"\1\\overline{\2}"),
    (
        re.compile(
            r"(\d+)\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ)\s*(\d+)\s*(?:'|\^\{?\\prime\}?)"
            r"(?!')(?:\s*(\d+)\s*(?:''|\"|\^\{?\\prime\\prime\}?))?"
        ),
        _angle,
    ),
    (re.compile(r"\\begin\{cases\}(.*?)\\end\{cases\}", re.DOTALL), _system),
    (re.compile(r"^\]\s*([^\[\]()]+,[^\[\]()]+?)\s*\[$"), r"(\1)"),
    (re.compile(r"^\]\s*([^\[\]()]+,[^\[\]()]+?)\s*\]$"), r"(\1]"),
    (re.compile(r"^\[\s*([^\[\]()]+,[^\[\]()]+?)\s*\[$"), r"[\1)"),
    (
        re.compile(
            r"^(.+?),?\s*(?:\\text\{\s*(?:,?\s*(?:where|for|with|for all))?\s*\}\s*)?"
            r"\(?([kmn])\s*\\in\s*(?:\\mathbb\s*\{?Z\}?|\\text\{Z\}|Z)\)?$"
        ),
        _integers,
    ),
    (
        re.compile(
            r"^(?:\\text\{\s*)?(?:about|approximately|approx\.?|roughly|exactly)(?:\s*\}|\s)"
            r"\s*(?=[-\d\\$.])",
            re.IGNORECASE,
        ),
        "",
    ),
    (
        re.compile(r"^(?:\\text(?:bf)?\{\s*\(([A-J])\)\s*\}|\(([A-J])\)|([A-J])\))\s*(?=\S)"),
        r"(\1\2\3) ",
    ),
    (re.compile(r"\\text\{\s*\\\$\s*\}"), r"\\$"),
    (
        re.compile(r"(?<![a-zA-Z\\])\\?(sin|cos|tan|cot|sec|csc|ln|log)([a-z])(?![a-zA-Z])"),
        r"\\\1 \2",
    ),
    (re.compile(r"(?<![a-zA-Z])([fgh])\^\{?-1\}?(?=\()"), r"\1_{inverse}"),
)


def settle(text: str) -> str:
    """Return a tidied answer in one notation; an answer that is one text, without its command."""
    text = _TEXT_COMMAND.sub(r"\\text", text)
    text = re.sub(r"\\text(?=[A-Za-z0-9])(\w)", r"\\text{\1}", text)
    text = _UNWRAPPED.sub(r"\1", text)
    for pattern, replacement in _REWRITINGS:
        text = pattern.sub(replacement, text)
    text = text.strip()
    boxed_text = re.fullmatch(r"\\text\{([^{}]*)\}", text)
    return boxed_text[1].strip() if boxed_text else text
