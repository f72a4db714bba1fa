"""A run on disk: `run.json`, and `questions`, `rollouts` and `scores` as Parquet tables.

A run is written beside its final place and renamed at the end, so its folder is complete or absent.
Rows go to disk as questions finish, so memory does not grow with their number.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from cat_bench.errors import DataError, UsageError
from cat_bench.evaluation.rows import QuestionRow, RolloutRow, ScoreRow
from cat_bench.runs.shape import check_columns, check_methods, check_record
from cat_bench.system.files import lock_folder, remove_stale_drafts
from cat_bench.system.json_parts import read_json
from cat_bench.system.parquet import check_parquet
from cat_bench.types.calls import JSON
from cat_bench.types.records import Sample

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
_BUFFER = 10_000
"""Rows per write."""
_FIELDS: Mapping[str, type] = {
    "config": dict,
    "config.task": str,
    "task": dict,
    "methods": list,
    "questions": int,
    "invocations": list,
}
"""Fields without which a `run.json` cannot be read."""


class RunWriter:
    """Writes one run; `finish` puts it in place, and an error leaves nothing behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._draft = self.folder.with_name(f".{self.folder.name}.{os.getpid()}")
        self._scores = _Table(self._draft / "scores.parquet", ScoreRow)
        self._rollouts = _Table(self._draft / "rollouts.parquet", RolloutRow)
        self._questions = _Table(self._draft / "questions.parquet", QuestionRow)
        try:
            if (folder / "run.json").is_file():
                read_record(folder)
            elif folder.exists() and any(folder.iterdir()):
                raise UsageError(f"{folder} holds files that are not a run: choose another --out")
            self._draft.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
        remove_stale_drafts(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._close()
        except (OSError, ValueError):  # what failed cannot be closed: the first error says why
            if error is None:
                raise
        finally:
            shutil.rmtree(self._draft, ignore_errors=True)

    def note_questions(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """Yield the samples unchanged, and record the question of each one."""
        for sample in samples:
            question = sample.question
            meta = json.dumps(dict(question.meta), ensure_ascii=True, default=str)
            row = QuestionRow(question=question.id, text=question.text, meta=meta)
            self._questions.add([row])
            yield sample

    def add(self, rows: Iterable[ScoreRow], rollouts: Iterable[RolloutRow]) -> None:
        """Add one question's rows."""
        self._scores.add(rows)
        self._rollouts.add(rollouts)

    def finish(self, record: Mapping[str, JSON], invocation: Mapping[str, JSON]) -> None:
        """Put the run in place; append `invocation` to those of the run that it replaces.

        Processes that finish the same run take turns, so that no invocation is lost.
        """
        self._close()
        with lock_folder(self._draft.parent):
            exists = (self.folder / "run.json").is_file()
            previous = read_record(self.folder)["invocations"] if exists else []
            content = {"format": FORMAT, **record, "invocations": [*previous, dict(invocation)]}
            text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
            (self._draft / "run.json").write_bytes(f"{text}\n".encode("utf-8", "backslashreplace"))
            old = self._draft.with_name(self._draft.name + ".old")
            if self.folder.exists():
                self.folder.rename(old)
            self._draft.rename(self.folder)
            shutil.rmtree(old, ignore_errors=True)

    def _close(self) -> None:
        for table in (self._scores, self._rollouts, self._questions):
            table.close()


class _Table:
    """Rows of one record type, buffered into row groups of one Parquet file."""

    def __init__(self, path: Path, kind: type) -> None:
        self._path = path
        self._schema = schema_of(kind)
        self._rows: list[ScoreRow | RolloutRow | QuestionRow] = []
        self._writer: JSON = None
        self._closed = False

    def add(self, rows: Iterable[ScoreRow | RolloutRow | QuestionRow]) -> None:
        self._rows.extend(rows)
        if len(self._rows) >= _BUFFER:
            self._flush()

    def close(self) -> None:
        if not self._closed:
            self._flush()
            self._writer.close()
            self._closed = True

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        arrays = []
        for name, kind in zip(self._schema.names, self._schema.types, strict=True):
            column = list(map(attrgetter(name), self._rows))
            arrays.append(pa.array(_escape(column) if pa.types.is_string(kind) else column, kind))
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows.clear()


def as_utf8(text: str) -> str:
    """Return text that UTF-8 can encode: a lone surrogate, which a model may write, is escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _escape(texts: Sequence[str | None]) -> Sequence[str | None]:
    """Return the texts as UTF-8 can encode them; each distinct text is looked at once."""
    strange = [text for text in set(texts) if text and not text.isascii()]
    escaped: dict[str | None, str] = {text: as_utf8(text) for text in strange}
    return [escaped.get(text, text) for text in texts] if escaped else texts


def schema_of(kind: type) -> JSON:
    """Return the Arrow schema of a table of these records."""
    import pyarrow as pa

    types = {
        "str": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "tuple[str, ...]": pa.list_(pa.string()),
        "tuple[int, ...]": pa.list_(pa.int32()),
        "tuple[float, ...]": pa.list_(pa.float64()),
    }
    names = ((f.name, str(f.type).removesuffix(" | None")) for f in fields(kind))
    return pa.schema([(name, types[kind]) for name, kind in names])


def read_record(folder: Path) -> dict[str, JSON]:
    """Return the `run.json` of a run; raise DataError if the folder is not a run."""
    path = folder / "run.json"
    try:
        record = read_json(path, refuse_constants=True)
    except OSError as error:
        raise DataError(folder, "is not a run: it has no readable run.json") from error
    except ValueError as error:
        raise DataError(path, f"is not JSON: {error}") from error
    format_ = record.get("format") if isinstance(record, dict) else None
    if format_ != FORMAT:
        raise DataError(path, f"has format {format_!r}; this version reads {FORMAT}")
    for name, kind in _FIELDS.items():
        field: JSON = record
        for part in name.split("."):
            field = field.get(part) if isinstance(field, dict) else None
        if not isinstance(field, kind):
            raise DataError(path, f"has no field {name!r}, so it is damaged: move the folder away")
    check_record(cast(dict[str, JSON], record), path)
    return cast(dict[str, JSON], record)


def read_scores(
    folder: Path, *, columns: Sequence[str] | None = None, question: str | None = None
) -> pd.DataFrame:
    """Return the `ScoreRow`s of the run or of one question, without unavailable methods.

    A column that an older run lacks holds its default.
    """
    names = None if columns is None else list(dict.fromkeys([*columns, "method"]))
    rows = _read(folder / "scores.parquet", ScoreRow, names, question)
    rows = available(read_record(folder), rows, folder)
    return rows if columns is None else rows[list(columns)]


def available(record: Mapping[str, JSON], rows: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return a run's `ScoreRow`s without those of unavailable methods, if `method` is a column.

    Raises DataError if the record does not list a row's method.
    """
    if "method" in rows:
        check_methods(rows["method"].unique(), record, folder)
    unavailable = [method["name"] for method in record["methods"] if method.get("reason")]
    return rows[~rows["method"].isin(unavailable)] if unavailable and "method" in rows else rows


def read_rollouts(
    folder: Path, *, columns: Sequence[str] | None = None, question: str | None = None
) -> pd.DataFrame:
    """Return the `RolloutRow`s of the run or of one question; see `read_scores`."""
    return _read(folder / "rollouts.parquet", RolloutRow, columns, question)


def read_questions(folder: Path) -> pd.DataFrame:
    """Return the run's `QuestionRow`s, with `meta` as mappings."""
    rows = _read(folder / "questions.parquet", QuestionRow)
    try:
        return rows.assign(meta=[json.loads(text) for text in rows["meta"]])
    except (RecursionError, TypeError, ValueError) as error:
        raise DataError(folder, f"its questions' meta are not JSON: {error}") from error


def _read(
    path: Path, kind: type, columns: Sequence[str] | None = None, question: str | None = None
) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = list(columns or (field.name for field in fields(kind)))
    only = [("question", "==", question)] if question is not None else None
    try:
        check_parquet(path)
        schema = pq.read_schema(path)
        check_columns(schema, kind, path, schema=schema_of(kind))
        named = [name for name in wanted if name in schema.names]
        rows = pd.read_parquet(path, columns=named, filters=only)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(path, f"cannot be read: {error}") from error
    return fill_columns(rows, kind, wanted)


def fill_columns(rows: pd.DataFrame, kind: type, wanted: Sequence[str]) -> pd.DataFrame:
    """Return the wanted columns of a table; columns that it lacks hold their default."""
    defaults = {field.name: field.default for field in fields(kind)}
    missing: dict[str, JSON] = {
        name: [defaults[name]] * len(rows) for name in wanted if name not in rows.columns
    }
    return rows.assign(**missing)[list(wanted)]
