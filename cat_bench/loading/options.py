"""The options of a multiple-choice row: read from its columns, labelled, and shuffled if asked.

A row holds them as a list, as a mapping of labels to texts, as JSON text or labelled lines, or in a
column each. A shuffle depends only on its seed and the row's id, and is recorded: place k shows the
row's option `permutation[k]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, TypeAlias

from cat_bench.types.calls import JSON

AnswerBy: TypeAlias = Literal["label", "text", "position"]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LINE = re.compile(r"\s*[(\[]?(\w{1,3})[)\].:][ \t]+(\S.*)")
_MARKED = re.compile(r"\s*[(\[]?\s*(.+?)\s*[)\].:]?\s*", re.DOTALL)
_LAST = re.compile(
    r"\b(?:of the above|of these|of the (?:other|listed|given)|der (?:genannten|obigen)|"
    r"de(?:s| ces) (?:réponses|propositions)|de (?:los|las) anteriores|delle precedenti|"
    r"das anteriores)\b",
    re.IGNORECASE,
)
_BY_LABEL = re.compile(
    r"(?i:both |either |neither |only )?\(?[A-Z]\)?(?:, ?\(?[A-Z]\)?)*,? "
    r"(?:and|or|nor|&|und|oder|et|ou|y|o|e) \(?[A-Z]\)?\.?"
)


@dataclass(frozen=True, slots=True)
class Arranged:
    """A row's options as shown: label → text in their order, and the label of the right one."""

    options: Mapping[str, str]
    permutation: tuple[int, ...]
    answer: str | None
    """None without a column of answers."""

    def show(self, problem: str) -> str:
        """Return the problem with the options under it, a line each."""
        lines = (f"{label}) {text}" for label, text in self.options.items())
        return f"{problem.rstrip()}\n\n" + "\n".join(lines)


def arrange(
    row: Mapping[str, JSON],
    name: str,
    *,
    options: str | Sequence[str],
    answer: str | None,
    answer_by: AnswerBy | None = None,
    shuffle: int | None = None,
) -> Arranged:
    """Return the options of the row `name`, from the columns `options` and `answer`.

    With a `shuffle` seed their order changes, but "none of the above" and similar options stay
    last, and a row with an option that names others by letter is not shuffled. Raises ValueError if
    the columns hold no options or the answer is none of them.
    """
    columns = [options] if isinstance(options, str) else list(options)
    labelled = _read_columns(row, columns) if len(columns) > 1 else _read(row[columns[0]])
    if len(labelled) < 2:
        raise ValueError(f"has {len(labelled)} options in {', '.join(columns)}: give two or more")
    labels, texts = zip(*labelled, strict=True)
    if len(set(labels)) < len(labels):
        raise ValueError(f"repeats a label in {', '.join(columns)}")
    right: int | None = None
    if answer is not None and answer in columns and len(columns) > 1:
        filled = [column for column in columns if _is_filled(row[column])]
        if answer not in filled:
            raise ValueError(f"has an empty {answer!r}, the column of the right option")
        right = filled.index(answer)
    elif answer is not None:
        places = not isinstance(row[columns[0]], Mapping)
        right = _right(row[answer], labels, texts, by=answer_by, places=places)
    order = _order(texts, None if shuffle is None else f"{shuffle}/{name}")
    by_label = {label: texts[k] for label, k in zip(labels, order, strict=True)}
    return Arranged(by_label, tuple(order), None if right is None else labels[order.index(right)])


def _read_columns(row: Mapping[str, JSON], columns: Sequence[str]) -> list[tuple[str, str]]:
    """Return one option per filled column, labelled by the columns' names if they are labels."""
    single = all(re.fullmatch(r"\w", column) for column in columns)
    labels = columns if single else _letters(len(columns))
    pairs = zip(labels, (row[column] for column in columns), strict=True)
    return [(label, str(value).strip()) for label, value in pairs if _is_filled(value)]


def _read(value: JSON) -> list[tuple[str, str]]:
    """Return the options in one column, each with its label."""
    if isinstance(value, str):
        value = _read_text(value)
    if isinstance(value, Mapping) and {"text", "label"} <= value.keys():
        value = dict(zip(map(str, value["label"]), value["text"], strict=True))
    if isinstance(value, Mapping):
        return [(str(k), str(v).strip()) for k, v in value.items() if _is_filled(v)]
    if isinstance(value, list | tuple):
        pairs = zip(_letters(len(value)), value, strict=True)
        return [(label, str(text).strip()) for label, text in pairs if _is_filled(text)]
    raise ValueError("holds no options: write a list, a mapping of labels to texts, or columns")


def _read_text(text: str) -> JSON:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        lines = [_LINE.fullmatch(line) for line in text.strip().splitlines() if line.strip()]
        options = {line[1]: line[2] for line in lines if line}
        if len(lines) < 2 or len(options) < len(lines):
            problem = "holds no options: write JSON, or a line `A) …` for each"
            raise ValueError(problem) from None
        return options


def _letters(count: int) -> Sequence[str]:
    if count > len(LETTERS):
        raise ValueError(f"has {count} options, and there are {len(LETTERS)} letters: label them")
    return LETTERS[:count]


def _is_filled(value: JSON) -> bool:
    return value is not None and str(value).strip() != ""


def _right(
    answer: JSON, labels: Sequence[str], texts: Sequence[str], *, by: AnswerBy | None, places: bool
) -> int:
    """Return the place of the right option; raises ValueError if there is none, or several."""
    readings: dict[AnswerBy, int] = {}
    if isinstance(answer, str | int | float) and not isinstance(answer, bool):
        written = str(answer).strip()
        marked = _MARKED.fullmatch(written)
        folded = [label.casefold() for label in labels]
        for spelt in (written, marked[1] if marked else written):
            if spelt.casefold() in folded:
                readings["label"] = folded.index(spelt.casefold())
        same = [k for k, text in enumerate(texts) if _fold(text) == _fold(written)]
        if len(same) == 1:
            readings["text"] = same[0]
        counts = isinstance(answer, int) or (by == "position" and written.isdecimal())
        if counts and places and 0 <= int(answer) < len(labels):
            readings["position"] = int(answer)
    if by is not None:
        readings = {by: readings[by]} if by in readings else {}
    if len(set(readings.values())) > 1:
        stated = " and ".join(f"the {kind} of {labels[k]}" for kind, k in readings.items())
        raise ValueError(f"has the answer {answer!r}, {stated}: say which by `answer_by`")
    if not readings:
        kinds = by or "label, text or position (from 0)"
        raise ValueError(f"has the answer {answer!r}, the {kinds} of none of its options")
    return next(iter(readings.values()))


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _order(texts: Sequence[str], seed: str | None) -> list[int]:
    """Return which option each place shows."""
    places = list(range(len(texts)))
    if seed is None or any(_BY_LABEL.fullmatch(text) for text in texts):
        return places
    lots = [sha256(f"{seed}/{k}".encode()).digest() for k in places]
    return sorted(places, key=lambda k: (_LAST.search(texts[k]) is not None, lots[k]))
