"""Guesses what a data file's columns hold and which scorer fits its answers.

Columns are recognised by their names, and the scorer by the answers. A guess is shown to the user
and written into a task.yaml, where it can be corrected; if nothing fits, nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from string import ascii_lowercase
from typing import get_args

from cat_bench.loading.options import AnswerBy, arrange
from cat_bench.loading.registry import build
from cat_bench.system.rows import Row
from cat_bench.types.calls import JSON
from cat_bench.types.traits import ScorerTraits, traits

PROBLEMS = ("problem", "question", "prompt", "query", "input", "instruction", "task", "text")
CONVERSATIONS = ("messages", "conversation", "conversations", "prompt")
ANSWERS = (
    *("answer", "answers", "final_answer", "correct_answer", "answer_key", "gold", "gold_answer"),
    *("target", "targets", "expected", "expected_answer", "expected_output", "ground_truth"),
    *("reference", "reference_answer", "correct", "correct_option", "label", "key", "output"),
    *("rubric", "rubrics", "rubric_items", "solution"),
)
IDS = (
    *("id", "uid", "uuid", "question_id", "problem_id", "prompt_id", "record_id", "unique_id"),
    *("problem_idx", "idx", "index", "name"),
)
OPTIONS = ("options", "choices")
_LETTERED = re.compile(r"(?:(?:option|choice|answer)_?)?([a-z])")
_NUMBERED = re.compile(r"(?:option|choice)_?(\d+)")
_WRONG = re.compile(r"(?:incorrect|wrong|distractor)")
_GIVEAWAYS = re.compile(r"answer|solution|rationale|explanation|label|target|correct")
"""Names of columns that may give an answer away: they are never offered to a prompt."""
_LETTER = re.compile(r"\(?[A-Z]\)?")
_LATEX = re.compile(r"\\[a-zA-Z]+|\w\^[\w{(]|\w_\{|^\$.*[^\d\s.,$].*\$$", re.DOTALL)
_PLAIN_WORD = re.compile(r"[^\W\d_]{3,}")
_NUMERAL = re.compile(r"([\d.,']*\d)(?:[eE]([-+]?\d+))?")
_POWER = re.compile("[×^⁰¹²³⁴⁵⁶⁷⁸⁹⁻]|times|cdot")
_GROUP_COUNTS = range(2, 21)
"""A report can group by a column with this many distinct values."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what, as `data.fields` of a task.yaml names them."""

    answer: str | None
    problem: str | None = None
    messages: str | None = None
    id: str | None = None
    options: str | list[str] | None = None
    answer_by: AnswerBy | None = None
    shuffle: int | None = None
    """The seed by which options are shuffled; None: their order is kept."""
    meta: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Scoring:
    """A scorer with its parameters, and the reason for the guess."""

    scorer: str
    params: Mapping[str, JSON]
    reason: str


def guess_columns(
    rows: Sequence[Row],
    *,
    problem: str | None = None,
    answer: str | None = None,
    answer_by: AnswerBy | None = None,
) -> Columns:
    """Return what the columns of these rows hold; `problem` and `answer` are named by the user."""
    first = rows[0]
    names = {_normal(name): name for name in reversed(first)}
    messages = None
    if problem is None:
        messages = _find_name(
            names, CONVERSATIONS, [n for n in first if _is_conversation(first[n])]
        )
        texts = [name for name, value in first.items() if isinstance(value, str)]
        problem = None if messages else _find_name(names, PROBLEMS, texts)
    rest = [name for name in first if name not in (problem, messages)]
    answer = answer or _find_name(names, ANSWERS, rest)
    options = None if messages else _options(names, rest, answer)
    used = {problem, messages, answer, *([options] if isinstance(options, str) else options or [])}
    rest = [name for name in first if name not in used]
    by = answer_by
    if options and answer and by is None:
        by = _guess_answer_by(rows, options, answer)
    return Columns(
        problem=problem,
        messages=messages,
        answer=answer,
        id=_find_name(names, IDS, [name for name in rest if _is_distinct(rows, name)]),
        options=options,
        answer_by=by,
        shuffle=0 if isinstance(options, list) and answer in options else None,
        meta=[
            name
            for name in rest
            if not _GIVEAWAYS.search(_normal(name)) and _is_grouping(rows, name)
        ],
    )


def guess_scorer(targets: Sequence[JSON], *, options: bool = False) -> Scoring:
    """Return the scorer that fits these targets, and why.

    With options it is `choice`. Otherwise it is the first kind that fits all targets: rubrics,
    mathematics, numbers, single letters; else words. Without targets it is
    `math_equal`, which compares numbers, formulas and words.
    """
    if options:
        return Scoring("choice", {}, "each row has options")
    if not targets:
        return Scoring(
            "math_equal", {}, "there are no answers to guess from; --scorer names another"
        )
    if all(isinstance(t, list) and t and isinstance(t[0], dict) for t in targets):
        return Scoring("rubric", {}, "the answers are rubrics")
    texts = [target for target in targets if isinstance(target, str)]
    numeric = [target for target in targets if _is_number(target)]
    scalar = all(isinstance(target, str | int | float) for target in targets)
    if scalar and _is_mathematics(texts):
        return Scoring("math_equal", {}, "the answers are mathematics in LaTeX")
    if len(numeric) == len(targets):
        params = tolerance([str(target) for target in targets])
        allowed = f", {params['absolute']} more or less" if params else ""
        return Scoring("number", params, f"all answers are numbers{allowed}")
    if len(texts) == len(targets) and all(_LETTER.fullmatch(text.strip()) for text in texts):
        return Scoring("choice", {}, "all answers are single letters")
    lines = any("\n" in text.strip() for text in texts)
    reason = "the answers are words"
    if numeric:
        reason += f" ({len(numeric)} of {len(targets)} are numbers: these are compared as text)"
    return Scoring("text_equal", {"multiline": True} if lines else {}, reason)


def tolerance(answers: Collection[str]) -> dict[str, JSON]:
    """Return {"absolute": tolerance} for decimal answers, and {} if all are whole numbers.

    The tolerance is half a unit in the last place of the answer with the most decimal places. If a
    number is written with a power, no single tolerance fits, and the result is {}.
    """
    places = max(map(_places, answers))
    powers = any(_POWER.search(answer) for answer in answers)
    return {"absolute": float(f"5e-{places + 1}")} if places > 0 and not powers else {}


def _places(number: str) -> int:
    """Return the decimal places of a number as it is written."""
    match = _NUMERAL.search(number)
    if match is None:
        return 0
    digits, exponent = match[1], int(match[2] or 0)
    mark = max(digits.rfind("."), digits.rfind(","))
    after = len(digits) - mark - 1 if mark >= 0 else 0
    thousands = mark >= 0 and digits[mark] == "," and after == 3
    return (0 if thousands else after) - exponent


def _normal(name: str) -> str:
    separated = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[\W_]+", "_", separated).strip("_").lower()


def _find_name(names: Mapping[str, str], wanted: Sequence[str], among: Sequence[str]) -> str | None:
    """Return the column with the first of the `wanted` names that exists.

    If no column has such a name, return one whose name ends in it, such as `right_answer`.
    """
    for name in wanted:
        if names.get(name) in among:
            return names[name]
    for name in wanted:
        for normal, column in names.items():
            if normal.endswith(f"_{name}") and column in among and not _WRONG.match(normal):
                return column
    return None


def _options(
    names: Mapping[str, str], rest: Sequence[str], answer: str | None
) -> str | list[str] | None:
    """Return the column that lists the options, or the columns that hold one option each."""
    if column := next((names[name] for name in OPTIONS if names.get(name) in rest), None):
        return column
    lettered = _match_all(_LETTERED, rest)
    letters = list(takewhile(lettered.__contains__, ascii_lowercase))
    if len(letters) > 1:
        return [lettered[letter] for letter in letters]
    numbered = _match_all(_NUMBERED, rest)
    if len(numbered) > 1:
        return [numbered[number] for number in sorted(numbered, key=int)]
    wrong = [name for name in rest if _WRONG.match(_normal(name))]
    return [answer, *wrong] if wrong and answer else None


def _match_all(pattern: re.Pattern[str], columns: Sequence[str]) -> dict[str, str]:
    """Return the columns with a matching name by the group of the match."""
    return {match[1]: name for name in columns if (match := pattern.fullmatch(_normal(name)))}


def _guess_answer_by(rows: Sequence[Row], options: str | list[str], answer: str) -> AnswerBy | None:
    """Return how the answers name the right option, if exactly one way fits all rows."""
    if _fits(rows, options, answer, None):
        return None
    fitting = [by for by in get_args(AnswerBy) if _fits(rows, options, answer, by)]
    return fitting[0] if len(fitting) == 1 else None


def _fits(rows: Sequence[Row], options: str | list[str], answer: str, by: AnswerBy | None) -> bool:
    try:
        for row in rows:
            arrange(row, "", options=options, answer=answer, answer_by=by)
    except (ValueError, KeyError):
        return False
    return True


def _is_distinct(rows: Sequence[Row], name: str) -> bool:
    """Return whether all values of a column are different."""
    values = [row.get(name) for row in rows]
    scalar = all(isinstance(value, str | int) and str(value).strip() for value in values)
    return scalar and len({str(value) for value in values}) == len(values)


def _is_grouping(rows: Sequence[Row], name: str) -> bool:
    """Return whether each row has a value, and there are few distinct values."""
    values = [row.get(name) for row in rows]
    short = all(isinstance(value, str | int) and 0 < len(str(value)) <= 60 for value in values)
    return short and len(set(map(str, values))) in _GROUP_COUNTS and len(set(values)) < len(values)


def _is_conversation(value: JSON) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(turn, dict) and {"role", "content"} <= turn.keys() for turn in value)
    )


def _is_number(target: JSON) -> bool:
    check = traits(ScorerTraits, build("scorer", "number", {})).check
    return check is not None and check(target) is None


def _is_mathematics(texts: Sequence[str]) -> bool:
    """Return whether some texts are LaTeX and none is in plain words."""
    formulas = [text for text in texts if _LATEX.search(text)]
    prose = [text for text in texts if text not in formulas and _PLAIN_WORD.search(text)]
    return bool(formulas) and not prose
