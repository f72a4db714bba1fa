"""What is wrong with a row of a cache: its key, its digest, or what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from cat_bench.cache.call import canonical, key_of
from cat_bench.cache.codec import Stored, load, unpack, unpack_text
from cat_bench.cache.pools import parse_metadata
from cat_bench.cache.rows import derived_digest, model_column


def flaw(table: sa.Table, row: Any) -> str | None:
    """Return what is wrong with a row; None if its key and digest match."""
    try:
        return _WRONG[table.name](row) if table.name in _WRONG else None
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        return f"cannot be read: {error}"


def _wrong_call(row: Any) -> str | None:
    document = unpack_text(row.document)
    if key_of(document) != row.key:
        return "its document hashes to another key"
    parts = json.loads(document)
    if canonical(parts) != document:
        return "its document is not in canonical form"
    if (row.kind, row.model) != (parts["kind"], model_column(parts.get("model"))):
        return "its kind or model is not the document's"
    return None


def _wrong_result(row: Any) -> str | None:
    data = Stored(row.body, row.logprobs, row.entropies)
    if data.digest(row.key, row.slot) != row.digest:
        return "its content differs from its digest"
    load(data)
    return None


def _wrong_derived(row: Any) -> str | None:
    if derived_digest(row.namespace, row.key, row.value) != row.digest:
        return "its content differs from its digest"
    unpack(row.value)
    return None


def _wrong_pool(row: Any) -> None:
    """Raise ValueError for a damaged record."""
    parse_metadata(row.metadata)


_WRONG: Mapping[str, Callable[[Any], str | None]] = {
    "calls": _wrong_call,
    "results": _wrong_result,
    "derived": _wrong_derived,
    "pools": _wrong_pool,
}
