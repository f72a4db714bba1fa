"""One response as another tool's file has it, and how responses become a pool's rows.

What a tool says of a response (its verdicts) is kept beside the question for scorers and reports:
it is made from the gold answer, so no method may read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cat_bench.errors import DataError
from cat_bench.system.rows import Row, read
from cat_bench.types.calls import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """One response to one question.

    `verdicts` are the tool's scores of this response, `figures` its scores of the question's
    responses together.
    """

    id: str
    problem: str
    answer: JSON
    text: str | None
    """None if the tool records a failure in place of a response."""
    failure: str | None = None
    reasoning: str | None = None
    finish: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """Numbers that methods may read, such as a reward model's."""
    verdicts: Mapping[str, float | None] = field(default_factory=dict)
    figures: Mapping[str, float | None] = field(default_factory=dict)
    meta: Mapping[str, JSON] = field(default_factory=dict)
    """What else is known of the question: the first response's is kept."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """What a reader took from the files, what it left, and what it had to guess."""

    format: str
    taken: dict[str, str] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    guessed: list[str] = field(default_factory=list)
    model: str | None = None
    """The model that the files name."""
    texts: bool = True
    """Whether responses are the texts that a model wrote, not only extracted answers."""
    placeholders: bool = False
    """Whether problems are placeholders: only ids can match a task's questions."""
    verdicts: dict[str, float] = field(default_factory=dict)
    """The mean over questions of each of the tool's own scores."""

    def name_model(self, name: str | None, file: Path) -> None:
        """Note the model that a file names. Raises DataError if an earlier file names another."""
        if name and self.model and name != self.model:
            problem = (
                f"is of the model {name}, and an earlier one of {self.model}: import each alone"
            )
            raise DataError(file, problem)
        self.model = name or self.model

    def guess(self, assumption: str) -> None:
        """Note a guess, once."""
        if assumption not in self.guessed:
            self.guessed.append(assumption)


Reader = Callable[[Sequence[Path], Findings], Iterator[Sampled]]


@dataclass(frozen=True, slots=True)
class Format:
    """A way in which a tool writes samples: `marks` are columns that a row of it has."""

    read: Reader
    files: str
    """The files that it reads, in words."""
    marks: frozenset[str] = frozenset()


def read_files(
    files: Iterable[Path], findings: Findings, used: Iterable[str]
) -> Iterator[tuple[Path, int, Row]]:
    """Yield each row of the files with its place; note the columns that are not `used`."""
    used_columns = frozenset(used)
    for file in files:
        for line, row in read(file):
            findings.left.update(row.keys() - used_columns)
            yield file, line, row


def take(row: Mapping[str, JSON], name: str, kind: type | tuple[type, ...], at: Path) -> JSON:
    """Return a column's value. Raises DataError if it is missing or of another type."""
    value = row.get(name)
    if isinstance(value, kind) and not (isinstance(value, bool) and kind is int):
        return value
    has = f"is {type(value).__name__}" if name in row else "is missing"
    present = ", ".join(map(repr, row))
    raise DataError(at, f"{name!r} {has} in a row with {present}; is this another tool's file?")


def join_texts(content: JSON, *, kind: str = "text") -> str:
    """Return a chat message's text: its content is a text, or parts of which some are of `kind`."""
    if not isinstance(content, list):
        return str(content or "") if kind == "text" else ""
    parts = [part for part in content if isinstance(part, dict) and part.get("type") == kind]
    return "\n\n".join(str(part.get(kind) or "") for part in parts)


def name_by_text(problem: str) -> str:
    """Return an id for a question that has none: 12 digits of its text's SHA-256."""
    return sha256(problem.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def number(value: JSON) -> float | None:
    """Return a verdict as a number; None if it is not a number."""
    return float(value) if isinstance(value, bool | int | float) and value == value else None


def gather(samples: Iterable[Sampled], findings: Findings, source: str) -> list[Row]:
    """Return a row per question, with its responses in the order of the files.

    Sets the findings' verdicts. Raises DataError if one id has two texts or answers.
    """
    questions: dict[str, list[Sampled]] = {}
    for sample in samples:
        group = questions.setdefault(sample.id, [])
        if group and (group[0].problem, group[0].answer) != (sample.problem, sample.answer):
            raise DataError(
                source,
                f"gives question {sample.id!r} two texts or two answers; name a column that tells "
                "questions apart: --map id=…",
            )
        group.append(sample)
    if not questions:
        raise DataError(source, "holds no response; name the file, or the column, that has them")
    findings.verdicts = _mean_verdicts(questions.values())
    return [_row(group) for group in questions.values()]


def _row(group: Sequence[Sampled]) -> Row:
    first = group[0]
    columns: dict[str, list[JSON]] = {
        "reasoning": [s.reasoning for s in group],
        "finish": [s.finish for s in group],
        "usage": [_usage(s) for s in group],
        "failures": [
            {"kind": "imported", "message": s.failure} if s.text is None and s.failure else None
            for s in group
        ],
    }
    row: Row = {**first.meta, "id": first.id, "problem": first.problem, "answer": first.answer}
    row["responses"] = [s.text for s in group]
    row |= {name: c for name, c in columns.items() if any(entry is not None for entry in c)}
    if names := sorted({name for s in group for name in s.scores}):
        row["scores"] = {name: [s.scores.get(name) for s in group] for name in names}
    if names := sorted({name for s in group for name in s.verdicts}):
        row["verdicts"] = {name: [s.verdicts.get(name) for s in group] for name in names}
    if first.figures:
        row["figures"] = dict(first.figures)
    return row


def _usage(sample: Sampled) -> JSON:
    if not (sample.prompt_tokens or sample.completion_tokens):
        return None
    return {"prompt": sample.prompt_tokens, "completion": sample.completion_tokens}


def _mean_verdicts(questions: Iterable[Sequence[Sampled]]) -> dict[str, float]:
    means: dict[str, list[float]] = {}
    for group in questions:
        for name in {name for sample in group for name in sample.verdicts}:
            known = [v for s in group if (v := s.verdicts.get(name)) is not None]
            if known:
                means.setdefault(name, []).append(sum(known) / len(known))
        for name, value in group[0].figures.items():
            if value is not None:
                means.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in sorted(means.items())}
