"""Pools as files: Parquet or JSONL that `import_pool` reads back to the same slots."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.call import canonical
from cat_bench.cache.codec import unpack
from cat_bench.cache.files import ABOUT, POOL_FORMAT, written
from cat_bench.cache.pools import pool_metadata, stored_rows
from cat_bench.cache.responses import columns_of
from cat_bench.cache.rows import results_of_call
from cat_bench.cache.store import Cache
from cat_bench.cache.upkeep import groups
from cat_bench.errors import UsageError
from cat_bench.types import JSON, Pool, Sample

Row = dict[str, JSON]
_FLOATS = ("token_logprobs", "token_entropies")


def export_pool(cache: Cache, file: Path, *, name: str) -> int:
    """Write an imported pool, its responses in the order of the file that they came from.

    Returns the number of rows. Raises UnknownName, and UsageError for a file that cannot be
    written: an unknown extension, a text that Parquet cannot hold.
    """
    pool_metadata(cache, name)
    return _write(file, _imported(cache, name))


def export_rollouts(
    cache: Cache, file: Path, *, model: str, samples: Iterable[Sample] | None = None
) -> int:
    """Write what a model generated, one row for each call; returns the number of rows.

    With a task's `samples`, only the calls that ask one of them, under its id and text, so that
    the file can be imported for that task; without, a call's id is its key. Raises as `export_pool`
    does, and UsageError where a question was asked under several sampling parameters.
    """
    return _write(file, _generated(cache, model, samples))


def publish_pools(file: Path, pools: Iterable[Pool], *, run: Mapping[str, JSON]) -> int:
    """Write these pools as Parquet; an import keeps the order of their slots.

    `run` is the record of the run that read them. Returns the number of rows; raises UsageError.
    """
    return _write(file, map(_published, pools), {"format": POOL_FORMAT, "run": dict(run)})


def _published(pool: Pool) -> Row:
    results = {r.slot: r.reply for r in pool.rollouts} | dict(pool.failures)
    if passing := [f for f in pool.failures.values() if not f.permanent]:
        raise UsageError(
            f"question {pool.question.id!r} lacks {len(passing)} rollouts that may yet be had "
            f"({passing[0].kind}): run the same command again, then publish"
        )
    own: Row = {"id": pool.question.id, "problem": pool.question.text}
    return own | columns_of([results[slot] for slot in sorted(results)])


def _imported(cache: Cache, name: str) -> Iterator[Row]:
    for stored, key in stored_rows(cache, name):
        with cache.reading() as connection:
            dealt = results_of_call(connection, key)
        original = sorted(dealt, key=lambda slot: int(stored["order"][slot]))
        own: Row = {
            column: stored[column] for column in ("id", "problem", "answer") if column in stored
        }
        yield {**own, **columns_of([dealt[slot] for slot in original]), **stored["meta"]}


def _generated(cache: Cache, model: str, samples: Iterable[Sample] | None) -> Iterator[Row]:
    asked = None if samples is None else {_said(s.question.messages): s.question for s in samples}
    written: dict[str, JSON] = {}
    for key, call in _calls(cache, model):
        row = {"id": key, "problem": call["messages"][-1]["content"]}
        if asked is not None:
            if (question := asked.get(_said(call["messages"]))) is None:
                continue
            row = {"id": question.id, "problem": question.text}
        with cache.reading() as connection:
            results = list(results_of_call(connection, key).values())
        if not results:
            continue
        how = {
            name: canonical(call[name]) for name in ("model", "sampling", "label") if name in call
        }
        if row["id"] in written:
            raise UsageError(
                f"question {row['id']!r} was asked as {written[row['id']]} and as {how}: "
                f"prune one of them, or export without a task"
            )
        written[row["id"]] = how
        yield {**row, **columns_of(results), "messages": call["messages"], **how}


def _calls(cache: Cache, model: str) -> Iterator[tuple[str, JSON]]:
    calls = schema.calls.c
    with cache.reading() as connection:
        for kind, column in groups(connection, "generate", model):
            select = sa.select(calls.key, calls.document).where(
                calls.kind == kind, calls.model == column
            )
            for key, document in connection.execute(select.order_by(calls.key)):
                yield key, unpack(document)


def _said(messages: JSON) -> str:
    return canonical(messages)


def _write(file: Path, rows: Iterator[Row], said: Mapping[str, JSON] | None = None) -> int:
    with written(file) as draft:
        if file.suffix == ".parquet":
            return _write_parquet(draft, rows, said)
        if said is None and file.name.endswith((".jsonl", ".jsonl.gz")):
            return _write_jsonl(draft, rows)
        kinds = ".parquet, .jsonl or .jsonl.gz" if said is None else ".parquet"
        raise UsageError(f"{file}: name a {kinds} file")


def _write_jsonl(file: Path, rows: Iterator[Row]) -> int:
    count = 0
    with gzip.open(file, "wt") if file.suffix == ".gz" else file.open("w") as lines:
        for row in rows:
            lines.write(json.dumps(row) + "\n")
            count += 1
    return count


def _write_parquet(file: Path, rows: Iterator[Row], said: Mapping[str, JSON] | None = None) -> int:
    """Parquet wants every column's type beforehand, so the pool is in memory once."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    held = list(rows)
    names = list(dict.fromkeys(name for row in held for name in row))
    try:
        kinds = dict.fromkeys(_FLOATS, pa.list_(pa.list_(pa.float32())))
        columns = {
            name: pa.array([row.get(name) for row in held], type=kinds.get(name)) for name in names
        }
        table = pa.table(columns)
        if said is not None:
            table = table.replace_schema_metadata({ABOUT: json.dumps(dict(said), sort_keys=True)})
        pq.write_table(table, file, compression="zstd")
    except (pa.ArrowException, ValueError, TypeError) as error:
        reason = str(error).split("\n")[0]
        raise UsageError(f"{file}: Parquet cannot hold this ({reason}); name a .jsonl") from error
    return len(held)
