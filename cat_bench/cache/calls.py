"""Cached calls as a file: everything that a run read, for import into another cache.

The file is Parquet with one row per result. It holds the cache's bytes, decompressed: Parquet
compresses them better. The metadata contain the run's record and one digest over all results.
Import recomputes every key and digest and loads every result; it refuses the file if one of them
fails. The file is recorded as the origin of every new result.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.call import key_of
from cat_bench.cache.codec import Stored, load, pack_text, unpack_text
from cat_bench.cache.files import ABOUT, read_description
from cat_bench.cache.rows import Place, model_column
from cat_bench.cache.store import Cache
from cat_bench.errors import CacheError, DataError, one_line
from cat_bench.system.files import atomic
from cat_bench.system.parquet import batches
from cat_bench.types.calls import JSON, Reply, flaw_of

Row = dict[str, JSON]

FORMAT = "cat_bench calls 1"
COLUMNS = ("key", "slot", "document", "body", "logprobs", "entropies", "digest")
_PAGE = 500
_EXISTING = schema.select_places(schema.results.c.key, schema.results.c.slot)


@dataclass(frozen=True, slots=True)
class Calls:
    """A file of calls: the number of results, one digest over them, and the file's description."""

    results: int
    digest: str
    about: Mapping[str, JSON]
    """The description in the file's metadata; `run` is the run's record."""


def export_calls(
    cache: Cache, file: Path, places: Iterable[Place], *, run: Mapping[str, JSON]
) -> Calls:
    """Write the results at these places, which must be sorted and distinct.

    `run` is the record of the run that read them. Raises UsageError if the file cannot be written,
    and CacheError if a result is damaged or missing in the cache.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    remaining = iter(places)
    types = {"key": pa.string(), "slot": pa.int32(), "digest": pa.string()}
    kinds = pa.schema([(name, types.get(name, pa.binary())) for name in COLUMNS])
    hasher, count = sha256(), 0
    with atomic(file) as draft, pq.ParquetWriter(draft, kinds, compression="zstd") as writer:
        while page := list(islice(remaining, _PAGE)):
            rows = list(_rows(cache, page))
            if len(rows) < len(page):
                written = {(row["key"], row["slot"]) for row in rows}
                key, slot = next(place for place in page if place not in written)
                raise CacheError(f"the cache has no result {key[:12]}… slot {slot}: run it again")
            hasher.update("".join(map(_digest_line, rows)).encode())
            count += len(rows)
            writer.write_table(pa.Table.from_pylist(rows, schema=kinds))
        digest = hasher.hexdigest()
        about = {"format": FORMAT, "run": dict(run), "results": count, "digest": digest}
        writer.add_key_value_metadata({ABOUT: json.dumps(about, sort_keys=True)})
    return Calls(count, digest, about)


def is_calls(file: Path) -> bool:
    """Return whether a file is a file of calls (`FORMAT`). Raises DataError."""
    return read_description(file).get("format") == FORMAT


def import_calls(cache: Cache, file: Path) -> Calls:
    """Store the file's results; existing ones stay. Raises DataError."""
    about = read_description(file)
    if about.get("format") != FORMAT:
        raise DataError(
            file, f"is not a file of calls ({FORMAT}): `cache export --calls` writes one"
        )
    hasher, count, known = sha256(), 0, set[str]()
    origin = f"{file.name} {str(about.get('digest'))[:12]}"
    with cache.begin_writing() as connection:
        for rows in _pages(file):
            hasher.update("".join(map(_digest_line, rows)).encode())
            count += len(rows)
            _insert(connection, file, rows, known=known, origin=origin)
        if (hasher.hexdigest(), count) != (about.get("digest"), about.get("results")):
            raise DataError(file, "does not match its digest: download it again")
    return Calls(count, hasher.hexdigest(), about)


def _rows(cache: Cache, places: Sequence[Place]) -> Iterator[Row]:
    """Yield the result at each place; only a call's first row of the page has its document."""
    calls, results = schema.calls.c, schema.results.c
    keys = sorted({key for key, _ in places})
    missing = set(places)
    select = sa.select(schema.results).where(results.key.in_(keys))
    documents = sa.select(calls.key, calls.document).where(calls.key.in_(keys))
    with cache.begin_reading() as connection:
        documents_left = {row.key: row.document for row in connection.execute(documents)}
        for row in connection.execute(select.order_by(results.key, results.slot)).mappings():
            if (row["key"], row["slot"]) in missing:
                key, slot = row["key"], row["slot"]
                stored = Stored(row["body"], row["logprobs"], row["entropies"])
                if stored.digest(key, slot) != row["digest"]:
                    raise CacheError(
                        f"the cached result {key[:12]}… slot {slot} is damaged: run `cat-bench "
                        "cache verify`"
                    )
                body = _decompress(row["body"])
                document = documents_left.pop(key, None)
                yield {
                    **row,
                    "document": None if document is None else _decompress(document),
                    "body": body,
                    "digest": Stored(body, row["logprobs"], row["entropies"]).digest(key, slot),
                }


def _pages(file: Path) -> Iterator[list[Row]]:
    for batch in batches(file, rows=_PAGE, columns=COLUMNS):
        try:
            yield batch.to_pylist()
        except ValueError as error:
            raise DataError(file, f"cannot be read ({one_line(error)})") from error


def _insert(
    connection: sa.Connection, file: Path, rows: Sequence[Row], *, known: set[str], origin: str
) -> None:
    """Insert a page of results; `known` has the keys of the calls that were read before."""
    calls, results = [], []
    for row in rows:
        key, slot, document, body, logprobs, entropies, digest = (row[name] for name in COLUMNS)
        if Stored(body, logprobs, entropies).digest(key, slot) != digest:
            raise DataError(file, f"the result {key} slot {slot} differs from its digest")
        if document is not None:
            calls.append(_call_row(file, key, document))
            known.add(key)
        if key not in known or slot < 0:
            raise DataError(file, f"the result {key} slot {slot} belongs to no call")
        stored = _check_loadable(file, (key, slot), body, logprobs, entropies)
        results.append(
            {"key": key, "slot": slot, **asdict(stored), "digest": stored.digest(key, slot)}
        )
    places = [(row["key"], row["slot"]) for row in results]
    existing = set(map(tuple, connection.execute(_EXISTING, {"places": json.dumps(places)})))
    new = [{"key": at[0], "slot": at[1], "origin": origin} for at in places if at not in existing]
    schema.insert(connection, schema.calls, calls)
    schema.insert(connection, schema.results, results)
    schema.insert(connection, schema.origins, new)


def _check_loadable(
    file: Path, place: Place, body: bytes, logprobs: bytes | None, entropies: bytes | None
) -> Stored:
    """Return the result as the cache stores it. Raises DataError if it could not be loaded."""
    try:
        stored = Stored(pack_text(_text(body)), logprobs, entropies)
        result = load(stored)
        flaw = flaw_of(result) if isinstance(result, Reply) else None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        flaw = one_line(error)
    if flaw:
        raise DataError(file, f"the result {place[0]} slot {place[1]} cannot be loaded: {flaw}")
    return stored


def _call_row(file: Path, key: str, raw: bytes) -> Row:
    try:
        document = _text(raw)
        parts = json.loads(document)
        kind, model = str(parts["kind"]), model_column(parts.get("model"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DataError(file, f"the call {key} cannot be read ({one_line(error)})") from error
    if key_of(document) != key:
        raise DataError(file, f"the call {key} hashes to another key")
    return {"key": key, "kind": kind, "model": model, "document": pack_text(document)}


def _digest_line(row: Mapping[str, JSON]) -> str:
    return f"{row['key']}/{row['slot']}/{row['digest']}\n"


def _decompress(data: bytes) -> bytes:
    """Return the text's uncompressed bytes."""
    return unpack_text(data).encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
