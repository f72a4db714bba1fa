"""Runs made by hand, written with the real writer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from cat_bench.evaluation.rows import RolloutRow, ScoreRow
from cat_bench.runs.folder import RunWriter
from cat_bench.types.calls import JSON
from cat_bench.types.records import Sample
from tests.conftest import Workshop

RUN = ("run", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "4", "--n", "1,2")
METHODS = ("--method", "single,majority,cat")
WARNINGS_FAIL = pytest.mark.filterwarnings(
    "error", "default::pytest.PytestUnraisableExceptionWarning"
)
"""Any warning fails the test. What an earlier test left open, and is collected here, is shown."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Writes runs under one folder."""

    folder: Path

    def build(
        self,
        rows: Iterable[ScoreRow],
        methods: Iterable[JSON] = (),
        *,
        name: str = "run",
        pool: Iterable[RolloutRow] = (),
        samples: Iterable[Sample] = (),
        **fields: JSON,
    ) -> Path:
        """A run of these rows; `fields` replace top-level entries of its run.json."""
        rows = list(rows)
        listed = list(methods) or sorted({row.method for row in rows} - {"oracle"})
        entries = [self.method(m) if isinstance(m, str) else dict(m) for m in listed]
        record = {
            "id": "test",
            "config": {"task": "sums", "model": "tiny", "anchor": None, "judge": None, "pool": 8},
            "task": {"name": "sums", "version": "1", "exchangeable": True},
            "methods": entries,
            "questions": len({row.question for row in rows}),
            "dropped": {},
            "rollouts": {"asked": 32, "failed": 0, "no_answer": 0, "truncated": 0, "unscored": 0},
            **fields,
        }
        with RunWriter(self.folder / name) as writer:
            writer.add(rows, pool)
            list(writer.note_questions(samples))
            writer.finish(record, {})
        return self.folder / name

    @staticmethod
    def method(name: str, **fields: JSON) -> dict[str, JSON]:
        """An entry of `methods` in run.json."""
        return {"name": name, "kind": "method", "budgets": None, "reason": None, **fields}

    @staticmethod
    def scores(name: str, n: int, values: Iterable[float | None], **fields: JSON) -> list[ScoreRow]:
        """One row per question q0, q1, …; unscored where the value is None."""
        costs: dict[str, JSON] = {
            "calls": n,
            "prompt_tokens": 10.0 * n,
            "completion_tokens": 100.0 * n,
        }
        return [
            ScoreRow(
                question=f"q{index}",
                method=name,
                n=n,
                score=value,
                failed="unscored: no pick could be graded" if value is None else None,
                **{**costs, **fields},
            )
            for index, value in enumerate(values)
        ]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.fixture
def folder(workshop: Workshop) -> Path:
    """The folder of a run."""
    status, _, err = workshop.run(*RUN, *METHODS)
    assert status == 0, err
    (record,) = (workshop.folder / "results").glob("*/run.json")
    return record.parent
