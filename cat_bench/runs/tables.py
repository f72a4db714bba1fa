"""Reads a run: the record and the questions whole, the scores and rollouts in one pass.

A `Reading` collects the numbers that a report needs from the rows: it takes in the rows part by
part and keeps at most a number per question. One pass makes all readings of a report, so that
tables, figures and pages share one scan. Memory holds the readings and one part of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from cat_bench.evaluation.rows import RolloutRow, ScoreRow
from cat_bench.runs.folder import available, read_questions, read_record, read_rollouts, read_scores
from cat_bench.runs.parts import RowsByQuestion, parts
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    import pandas as pd


class Reading:
    """Numbers collected in one pass over a run's rows.

    `score_columns` and `rollout_columns` name the columns that it needs from each table; a table
    without columns is not read. A subclass overrides the methods for the tables that it reads.
    """

    score_columns: ClassVar[Sequence[str]] = ()
    rollout_columns: ClassVar[Sequence[str]] = ()

    def __init__(self, record: Mapping[str, JSON]) -> None:
        self.record = record

    def add_scores(self, rows: pd.DataFrame, pools: RowsByQuestion) -> None:
        """Take in score rows of whole questions; `pools` gives each question's rollouts once."""

    def add_rollouts(self, rows: pd.DataFrame) -> None:
        """Take in the rollouts of whole questions."""


R = TypeVar("R", bound=Reading)


class RunTables:
    """One run on disk; `record` is its `run.json`. Raises DataError if the folder is not a run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = read_record(folder)
        self.no_texts = ""
        """Why the last pass over transcripts had no texts; empty if it had some."""
        self._readings: dict[type[Reading], Reading] = {}

    @classmethod
    def of(cls, run: RunTables | Path) -> RunTables:
        """Return the tables of a run, from the tables themselves or from its folder."""
        return run if isinstance(run, RunTables) else cls(run)

    @cached_property
    def questions(self) -> pd.DataFrame:
        """The run's `QuestionRow`s, `meta` as mappings."""
        return read_questions(self.folder)

    def scores(
        self, *, columns: Sequence[str] | None = None, question: str | None = None
    ) -> pd.DataFrame:
        """Return the `ScoreRow`s of all questions or of one, whole in memory; see `read_scores`."""
        return read_scores(self.folder, columns=columns, question=question)

    def rollouts(
        self, *, columns: Sequence[str] | None = None, question: str | None = None
    ) -> pd.DataFrame:
        """Return the `RolloutRow`s of all questions or of one, whole in memory."""
        return read_rollouts(self.folder, columns=columns, question=question)

    def score_parts(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the score rows in parts of whole questions; `columns` hold `question`."""
        for part in parts(self.folder / "scores.parquet", ScoreRow, columns):
            yield available(self.record, part, self.folder)

    def rollout_parts(self, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the rollouts in parts of whole questions; `columns` hold `question`."""
        return parts(self.folder / "rollouts.parquet", RolloutRow, columns)

    def reading(self, kind: type[R]) -> R:
        """Return the reading of this kind; takes a pass over the run unless `read` has made it."""
        self.read(kind)
        return cast(R, self._readings[kind])

    def read(self, *kinds: type[Reading]) -> None:
        """Make the missing readings of these kinds in one pass."""
        fresh = {kind: kind(self.record) for kind in kinds if kind not in self._readings}
        rollouts = self._note([reading for reading in fresh.values() if reading.rollout_columns])
        pools = RowsByQuestion(rollouts)
        if readings := [reading for reading in fresh.values() if reading.score_columns]:
            for part in self.score_parts(_columns(reading.score_columns for reading in readings)):
                for reading in readings:
                    reading.add_scores(part, pools)
        for _ in rollouts:  # rollouts that no score row asked for
            pass
        self._readings |= fresh

    def _note(self, readings: Sequence[Reading]) -> Iterator[pd.DataFrame]:
        """Yield the rollouts in parts, after adding each part to these readings."""
        if not readings:
            return
        for part in self.rollout_parts(_columns(reading.rollout_columns for reading in readings)):
            for reading in readings:
                reading.add_rollouts(part)
            yield part


def _columns(requests: Iterator[Sequence[str]]) -> list[str]:
    """Return each column once, in the order in which they are first named."""
    return list(dict.fromkeys(name for names in requests for name in names))
