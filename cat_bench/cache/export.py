"""Pools as files: Parquet or JSONL that `import_pool` reads back to the same slots."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.call import canonical
from cat_bench.cache.codec import unpack
from cat_bench.cache.files import ABOUT, POOL_FORMAT
from cat_bench.cache.paging import pages
from cat_bench.cache.pools import pool_metadata, stored_rows
from cat_bench.cache.responses import columns_of
from cat_bench.cache.rows import results_of_call
from cat_bench.cache.store import Cache
from cat_bench.cache.upkeep import groups
from cat_bench.errors import UsageError
from cat_bench.system.files import atomic
from cat_bench.types.calls import JSON
from cat_bench.types.records import Pool, Sample

Row = dict[str, JSON]
_FLOATS = ("token_logprobs", "token_entropies")
_PART = 256
"""The number of questions in memory at once."""


def export_pool(cache: Cache, file: Path, *, name: str) -> int:
    """Write an imported pool with its responses in the order of the original file.

    Returns the number of rows. Raises UnknownName, and UsageError for a file that cannot be
    written: an unknown extension, a text that Parquet cannot hold.
    """
    pool_metadata(cache, name)
    return _write(file, _read_imported(cache, name))


def export_rollouts(
    cache: Cache, file: Path, *, model: str, samples: Iterable[Sample] | None = None
) -> int:
    """Write what a model generated, one row for each call; returns the number of rows.

    With a task's `samples`, only the calls that ask one of them are written, under its id and text,
    so that the file can be imported for that task. Without, a call's id is its key. Raises as
    `export_pool` does, and UsageError if a question was asked under several sampling parameters.
    """
    return _write(file, _read_generated(cache, model, samples))


def publish_pools(file: Path, pools: Iterable[Pool], *, run: Mapping[str, JSON]) -> int:
    """Write these pools as Parquet; an import keeps the order of their slots.

    `run` is the record of the run that read them. Returns the number of rows; raises UsageError.
    """
    return _write(file, map(_export_row, pools), {"format": POOL_FORMAT, "run": dict(run)})


def _export_row(pool: Pool) -> Row:
    results = {r.slot: r.reply for r in pool.rollouts} | dict(pool.failures)
    if passing := [f for f in pool.failures.values() if not f.permanent]:
        raise UsageError(
            f"question {pool.question.id!r} lacks {len(passing)} rollouts that are still missing "
            f"({passing[0].kind}): run the same command again, then publish"
        )
    row: Row = {"id": pool.question.id, "problem": pool.question.text}
    return row | columns_of([results[slot] for slot in sorted(results)])


def _read_imported(cache: Cache, name: str) -> Iterator[Row]:
    for stored, key in stored_rows(cache, name):
        with cache.begin_reading() as connection:
            results = results_of_call(connection, key)
        original = sorted(results, key=lambda slot: int(stored["order"][slot]))
        row: Row = {
            column: stored[column] for column in ("id", "problem", "answer") if column in stored
        }
        yield {**row, **columns_of([results[slot] for slot in original]), **stored["meta"]}


def _read_generated(cache: Cache, model: str, samples: Iterable[Sample] | None) -> Iterator[Row]:
    questions_by_key = (
        None
        if samples is None
        else {_prompt_text(s.question.messages): s.question for s in samples}
    )
    written: dict[str, JSON] = {}
    for key, call in _calls(cache, model):
        row = {"id": key, "problem": call["messages"][-1]["content"]}
        if questions_by_key is not None:
            if (question := questions_by_key.get(_prompt_text(call["messages"]))) is None:
                continue
            row = {"id": question.id, "problem": question.text}
        with cache.begin_reading() as connection:
            results = list(results_of_call(connection, key).values())
        if not results:
            continue
        sampling = {
            name: canonical(call[name]) for name in ("model", "sampling", "label") if name in call
        }
        if row["id"] in written:
            raise UsageError(
                f"question {row['id']!r} was asked as {written[row['id']]} and as {sampling}: "
                f"prune one of them, or export without a task"
            )
        written[row["id"]] = sampling
        yield {**row, **columns_of(results), "messages": call["messages"], **sampling}


def _calls(cache: Cache, model: str) -> Iterator[tuple[str, JSON]]:
    """Yield the calls to a model, by key."""
    calls = schema.calls.c
    with cache.begin_reading() as connection:
        chosen = groups(connection, "generate", model)
    for kind, column in chosen:
        of_model = sa.select(calls.key, calls.document).where(
            calls.kind == kind, calls.model == column
        )
        for page in pages(cache, of_model, [calls.key]):
            for key, document in page:
                yield key, unpack(document)


def _prompt_text(messages: JSON) -> str:
    return canonical(messages)


def _write(file: Path, rows: Iterator[Row], description: Mapping[str, JSON] | None = None) -> int:
    with atomic(file) as draft:
        if file.suffix == ".parquet":
            return _write_parquet(file, draft, rows, description)
        if description is None and file.name.endswith((".jsonl", ".jsonl.gz")):
            return _write_jsonl(draft, rows, packed=file.suffix == ".gz")
        kinds = ".parquet, .jsonl or .jsonl.gz" if description is None else ".parquet"
        raise UsageError(f"{file}: name a {kinds} file")


def _write_jsonl(file: Path, rows: Iterator[Row], *, packed: bool) -> int:
    count = 0
    with gzip.open(file, "wt") if packed else file.open("w") as lines:
        for row in rows:
            lines.write(json.dumps(row) + "\n")
            count += 1
    return count


def _write_parquet(
    file: Path, draft: Path, rows: Iterator[Row], description: Mapping[str, JSON] | None
) -> int:
    """Write rows in parts, then join them: Parquet needs each column's type beforehand."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    about = None if description is None else {ABOUT: json.dumps(dict(description), sort_keys=True)}
    count, parts = 0, list[Path]()
    try:
        with TemporaryDirectory(dir=draft.parent, prefix=f"{draft.name}.") as folder:
            kinds = []
            while batch := list(islice(rows, _PART)):
                table, count = _table(batch), count + len(batch)
                parts.append(Path(folder, str(len(parts))))
                pq.write_table(table, parts[-1])
                kinds.append(table.schema)
            schema = pa.unify_schemas(kinds or [pa.schema([])], promote_options="permissive")
            kind = schema.with_metadata(about)
            with pq.ParquetWriter(draft, kind, compression="zstd") as writer:
                for part in parts:
                    writer.write_table(_fit_columns(pq.read_table(part), kind))
    except (pa.ArrowException, ValueError, TypeError) as error:
        reason = str(error).split("\n")[0]
        raise UsageError(f"{file}: Parquet cannot hold this ({reason}); name a .jsonl") from error
    return count


def _table(rows: Sequence[Row]) -> JSON:
    """Return rows as an Arrow table, with columns in order of appearance."""
    import pyarrow as pa

    kinds = dict.fromkeys(_FLOATS, pa.list_(pa.list_(pa.float32())))
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table(
        {name: pa.array([row.get(name) for row in rows], type=kinds.get(name)) for name in names}
    )


def _fit_columns(table: JSON, kind: JSON) -> JSON:
    """Return a part of the rows with the columns and types of the whole table."""
    import pyarrow as pa

    for field in kind:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(kind.names).cast(kind)
