r"""The closing instruction of a task: the required ending of a response, as its scorer reads it.

It is a phrase that completes "End with …", such as ``the final answer in \boxed{}``, and the prompt
texts show it as `{{ closing }}`. It is the first of these that exists: the task's `closing`, the
scorer's `closing`, the scorer's `pattern`, a form that the scorer can read.
"""

from __future__ import annotations

import re
from itertools import product

from cat_bench.errors import PLUGIN_BUGS
from cat_bench.types.plugins import AnswerScorer, Scorer
from cat_bench.types.traits import ScorerTraits, traits

BOXED = r"the final answer in \boxed{}"
ALONE = "a line with the final answer alone"
LIKE_THE_DRAFTS = "the final answer, in the form in which the drafts give it"
SAMPLES = ("A", "7", "Paris", "7.5", "no", "x+1")
"""Sample answers by which the form that a scorer reads is detected."""
_QUANTIFIER = re.compile(r"[*+?]\??|\{\d+(?:,\d*)?\}\??")
_STANDS_FOR = {r"\s": " ", r"\d": "", r"\w": "", r"\b": "", r"\n": "\n", r"\t": "\t"}


def describe_closing(scorer: Scorer) -> str:
    """Return the ending by which the scorer finds a response's answer; "" for free text."""
    declared = traits(ScorerTraits, scorer).closing
    if declared is not None:
        return declared
    if not isinstance(scorer, AnswerScorer):
        return ""
    pattern = getattr(scorer, "pattern", None)
    if isinstance(pattern, str):
        return form_of(pattern)
    return BOXED if _reads(scorer, r"\boxed{%s}") else LIKE_THE_DRAFTS


def form_of(pattern: str) -> str:
    """Describe the text that a regular expression with one group reads, in words if possible."""
    if any(_matches(pattern, "", "", sample) for sample in SAMPLES):
        return ALONE
    for before, after in _split_around(pattern):
        if any(_matches(pattern, before, after, sample) for sample in SAMPLES):
            head = before.strip("\n")
            if not after:
                return f'a line "{head}" and the final answer'
            return f'"{head}…{after}", with the final answer in place of the dots'
    return f"a line that the regular expression `{pattern}` reads the final answer from"


def asks_for_a_box(text: str) -> bool:
    """Return whether an instruction asks for a boxed answer."""
    return re.search(r"\\(?:boxed|fbox|framebox)\b", text) is not None


def _reads(scorer: AnswerScorer, form: str) -> bool:
    try:
        return all(scorer.answer(f"So: {form % sample}") == sample for sample in SAMPLES)
    except PLUGIN_BUGS:  # such a scorer's form stays unknown
        return False


def _matches(pattern: str, before: str, after: str, answer: str) -> bool:
    """Return whether the pattern reads `answer` between `before` and `after`."""
    match = re.search(pattern, f"{before}{answer}{after}")
    return match is not None and answer in match.groups()


def _split_around(pattern: str) -> list[tuple[str, str]]:
    """Return texts before and after the group, with and without optional parts."""
    pattern = re.sub(r"\(\?[aiLmsux]+\)", "", pattern)
    group = re.search(r"(?<!\\)\((?!\?)|(?<!\\)\(\?P<", pattern)
    if group is None:
        return []
    end = _close_group(pattern, group.start())
    befores, afters = (
        [_example_of_part(part, optional=optional) for optional in (True, False)]
        for part in (pattern[: group.start()], pattern[end:])
    )
    return list(product(dict.fromkeys(befores), dict.fromkeys(afters)))


def _close_group(pattern: str, start: int) -> int:
    """Return the end of the group that opens at `start`."""
    depth = 0
    for token in re.finditer(r"\\.|\[(?:\\.|[^\]\\])*\]|[()]", pattern[start:], re.DOTALL):
        depth += {"(": 1, ")": -1}.get(token[0], 0)
        if not depth:
            return start + token.end()
    return len(pattern)


def _example_of_part(part: str, *, optional: bool) -> str:
    """Return a text that part of a pattern matches, from its literals and choices."""
    written, at = "", 0
    while at < len(part):
        token = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\(|.", re.DOTALL).match(part, at)
        assert token is not None  # any character is a token
        end = _close_group(part, at) if token[0] == "(" else token.end()
        text = _example_of_token(part[at:end], optional=optional)
        at = end
        if quantifier := _QUANTIFIER.match(part, at):
            at = quantifier.end()
            skip = quantifier[0][0] in "*?" or quantifier[0].startswith("{0")
            if skip and not (optional and text.strip()):
                text = ""
        written += text
    return written


def _example_of_token(token: str, *, optional: bool) -> str:
    """Return a text that one token matches."""
    if token.startswith("("):
        inner = re.sub(r"^\(\?[:=!<]*", "", token)[:-1]
        lookahead = re.match(r"\(\?[=!<]", token)
        return "" if lookahead else _example_of_part(inner.split("|")[0], optional=optional)
    if token.startswith("[") and len(token) > 2:
        first = token[1:3] if token[1] == "\\" else token[1]
        return "" if token[1] == "^" else _example_of_token(first, optional=optional)
    if token.startswith("\\"):
        return _STANDS_FOR.get(token, token[1])
    return "" if token in "^$" else token
