"""People's labels of criteria, in the schema of HealthBench's meta-evaluation.

A row has a conversation, an answer to it, one criterion and the label of each annotator. The column
`annotators` names the annotators if they are not physicians. The column `points` has the
criterion's points, which the profile `official` shows to the judge. Other columns are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StrictBool, ValidationError

from cat_bench.errors import DataError
from cat_bench.loading.data import digest
from cat_bench.loading.task_file import conversation
from cat_bench.system.rows import file_digest, read
from cat_bench.types.calls import Message
from cat_bench.types.records import Question

PHYSICIANS = "physicians"


class _Turn(BaseModel):
    role: Literal["system", "user", "assistant"]
    content: str


class _Row(BaseModel):
    prompt: list[_Turn] | None = None
    prompt_id: str | None = None
    completion: str | None = None
    rubric: str
    category: str | None = None
    points: int | float | None = None
    binary_labels: Annotated[list[StrictBool], Field(min_length=1)]
    annotators: str = PHYSICIANS


@dataclass(frozen=True, slots=True)
class Labelled:
    """A criterion of an answer with all its labels; rows of one `example` are dependent."""

    example: str
    messages: tuple[Message, ...]
    response: str | None
    criterion: str
    category: str
    labels: tuple[bool, ...]
    annotators: str
    points: float | None = None

    @property
    def question(self) -> Question:
        """The conversation as a question to answer."""
        return Question(self.example, self.messages, conversation(self.messages))


@dataclass(frozen=True, slots=True)
class Labels:
    """A file of labels."""

    name: str
    sha256: str
    rows: tuple[Labelled, ...]

    @property
    def annotators(self) -> str:
        """Who gave the labels."""
        return "; ".join(dict.fromkeys(row.annotators for row in self.rows))


def read_labels(path: Path) -> Labels:
    """Return the labels in a JSONL or Parquet file; raises DataError at an invalid line."""
    rows = []
    for line, content in read(path):
        try:
            row = _Row.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DataError(path, f"{where}: {first['msg']}", line=line) from None
        turns = [Message(role=turn.role, content=turn.content) for turn in row.prompt or ()]
        rows.append(
            Labelled(
                example=row.prompt_id or digest(turns),
                messages=tuple(turns),
                response=row.completion,
                criterion=row.rubric,
                category=row.category or "none",
                labels=tuple(row.binary_labels),
                annotators=row.annotators,
                points=row.points,
            )
        )
    return Labels(path.name, file_digest(path), tuple(rows))
