"""Conversion between records and rows of the cache's tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.call import Call, canonical, key_of
from cat_bench.cache.codec import Stored, dump, load, pack, pack_text, unpack
from cat_bench.errors import CacheError
from cat_bench.types.calls import JSON, Failure, Result

Place = tuple[str, int]
"""A call's key and a slot."""
Name = tuple[str, str]
"""The namespace and the key of a derived value."""
Row = dict[str, object]
MODELS = 256
DAMAGED = Failure(
    "damaged", "its row in the cache differs from its digest: run `cat-bench cache verify`"
)
"""Replaces a result that cannot be trusted. It is transient: the call can be made again."""
_columns: dict[str, str] = {}


def call_row(call: Call) -> Row:
    """Return the row of `calls` for a key's call."""
    return {
        "key": call.key,
        "kind": call.kind,
        "model": model_column(call.model),
        "document": pack_text(call.document),
    }


def model_column(model: JSON) -> str:
    """Return a model's identity as ASCII JSON."""
    shown = repr(model)  # there are few models, and every call names one
    if (column := _columns.get(shown)) is None:
        if len(_columns) >= MODELS:
            _columns.clear()
        column = _columns[shown] = json.dumps(json.loads(canonical(model)))
    return column


def result_row(place: Place, result: Result) -> Row:
    """Return the row of `results` that holds one result."""
    key, slot = place
    data = dump(result)
    return {
        "key": key,
        "slot": slot,
        "body": data.body,
        "logprobs": data.logprobs,
        "entropies": data.entropies,
        "digest": data.digest(key, slot),
    }


def derived_row(namespace: str, key: str, value: JSON) -> Row:
    """Return the row of `derived` for one value; its key is hashed."""
    hashed, data = key_of(key), pack(value)
    return {
        "namespace": namespace,
        "key": hashed,
        "value": data,
        "digest": derived_digest(namespace, hashed, data),
    }


def derived_digest(namespace: str, hashed: str, data: bytes) -> str:
    """Return the content digest of one derived value."""
    return Stored(data, None, None).digest(f"{namespace} {hashed}", 0)


def insert_calls(connection: sa.Connection, calls: Mapping[str, Call]) -> None:
    """Store the calls of these keys, unless they are stored already."""
    known = set(connection.scalars(_KNOWN, {"keys": _keys(calls)}))
    new = [call_row(call) for key, call in sorted(calls.items()) if key not in known]
    schema.insert(connection, schema.calls, new)


def results_at(connection: sa.Connection, places: Iterable[Place]) -> dict[Place, Result]:
    """Return the existing results at these places; `DAMAGED` if a row does not match its digest."""
    if not (wanted := list(places)):
        return {}
    places_bound = {"places": json.dumps(wanted)}
    results: dict[Place, Result] = {}
    for key, slot, *parts in connection.execute(_RESULTS, places_bound).all():
        try:
            results[key, slot] = _load(key, slot, *parts)
        except (TypeError, ValueError):
            results[key, slot] = DAMAGED
    return results


def drop_damaged(results: Mapping[int, Result]) -> Mapping[int, Result]:
    """Return the results without those whose rows in the cache are damaged."""
    if not any(result is DAMAGED for result in results.values()):
        return results
    return {slot: result for slot, result in results.items() if result is not DAMAGED}


def keep_results(connection: sa.Connection, rows: Mapping[Place, Row]) -> bool:
    """Insert the results that are not there yet, or damaged; True only if all are new."""
    ordered = [rows[place] for place in sorted(rows)]
    if schema.insert(connection, schema.results, ordered):
        return True
    existing = results_at(connection, rows)
    if bad := [rows[place] for place in sorted(existing) if existing[place] is DAMAGED]:
        for drop in (_DROP_RESULT, _DROP_ORIGIN):
            schema.execute_many(connection, drop, bad)
        schema.insert(connection, schema.results, bad)
    return False


def keep_derived(connection: sa.Connection, rows: Sequence[Row]) -> None:
    """Insert the values that are not there yet, or damaged."""
    if schema.insert(connection, schema.derived, rows):
        return
    names = _names((str(row["namespace"]), str(row["key"])) for row in rows)
    stored = connection.execute(_DERIVED, names)
    bad = {
        (namespace, hashed)
        for namespace, hashed, *p in stored
        if _is_damaged(namespace, hashed, *p)
    }
    if damaged := [row for row in rows if (row["namespace"], row["key"]) in bad]:
        schema.execute_many(connection, _DROP_DERIVED, damaged)
        schema.insert(connection, schema.derived, damaged)


def results_of_call(connection: sa.Connection, key: str) -> dict[int, Result]:
    """Return every result of one call by slot, in order. Raises CacheError for a damaged one."""
    results = {}
    for slot, *parts in connection.execute(_OF_CALL, {"call": key}):
        try:
            results[slot] = _load(key, slot, *parts)
        except (TypeError, ValueError) as error:
            where = f"the cached result {key[:12]}… slot {slot}"
            raise CacheError(
                f"{where} is damaged ({error}): run `cat-bench cache verify`"
            ) from error
    return results


def read_documents(connection: sa.Connection, keys: Iterable[str]) -> dict[str, JSON]:
    """Return the documents of these calls that are stored: see `Call`."""
    select = schema.select_keys(schema.calls.c.key, schema.calls.c.document)
    rows = connection.execute(select, {"keys": _keys(keys)})
    return {key: unpack(document) for key, document in rows}


def read_derived(connection: sa.Connection, names: Iterable[Name]) -> dict[Name, JSON]:
    """Return the values remembered under these names; a damaged one is left out."""
    if not (wanted := {(space, key_of(key)): (space, key) for space, key in names}):
        return {}
    values = {}
    for namespace, hashed, *parts in connection.execute(_DERIVED, _names(wanted)).all():
        with suppress(ValueError):
            values[wanted[namespace, hashed]] = _load_derived(namespace, hashed, *parts)
    return values


def _load(key: str, slot: int, *parts: Any) -> Result:
    """Return a result from its parts and their digest.

    Raises ValueError if it cannot be trusted, TypeError if a part is not bytes.
    """
    *stored, digest = parts
    data = Stored(*stored)
    if data.digest(key, slot) != digest:
        raise ValueError("its content differs from its digest")
    return load(data)


def _load_derived(namespace: str, hashed: str, value: Any, digest: str) -> JSON:
    """Return a derived value. Raises ValueError if it cannot be trusted."""
    if not isinstance(value, bytes) or derived_digest(namespace, hashed, value) != digest:
        raise ValueError("its content differs from its digest")
    return unpack(value)


def _is_damaged(*row: Any) -> bool:
    """Return whether a row of a derived value cannot be trusted."""
    try:
        _load_derived(*row)
    except ValueError:
        return True
    return False


def _names(names: Iterable[Name]) -> dict[str, str]:
    return {"names": json.dumps([*names])}


def _keys(keys: Iterable[str]) -> str:
    return json.dumps([[key] for key in keys])


_results = schema.results.c
_PARTS = (
    *(_results.slot, _results.body, _results.logprobs, _results.entropies),
    _results.digest,
)
_RESULTS = schema.select_places(_results.key, *_PARTS)
_OF_CALL = sa.select(*_PARTS).where(_results.key == sa.bindparam("call")).order_by(_results.slot)
_KNOWN = schema.select_keys(schema.calls.c.key)
_derived = schema.derived.c
_DERIVED = schema.select_names(_derived.namespace, _derived.key, _derived.value, _derived.digest)
_DROP_RESULT = sa.delete(schema.results).where(
    _results.key == sa.bindparam("key"), _results.slot == sa.bindparam("slot")
)
_DROP_ORIGIN = sa.delete(schema.origins).where(
    schema.origins.c.key == sa.bindparam("key"), schema.origins.c.slot == sa.bindparam("slot")
)
_DROP_DERIVED = sa.delete(schema.derived).where(
    _derived.namespace == sa.bindparam("namespace"), _derived.key == sa.bindparam("key")
)
