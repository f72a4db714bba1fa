"""Check the shape of a run that others may have written: its record's fields, its tables' columns.

A record that passes can be read without a KeyError, a table without a TypeError. What the fields
say is not checked: they are claims.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Ge, Le
from pydantic import BaseModel, ConfigDict, ValidationError

from cat_bench.errors import DataError
from cat_bench.evaluation.method_rows import FRAMES
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    import pyarrow as pa

_Count = Annotated[int, Ge(0), Le(10**9)]


class _Part(BaseModel):
    """A part of a record; an unknown field, written by a later version, is ignored."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Config(_Part):
    task: str
    model: str
    pool: _Count
    budgets: list[_Count] | None = None
    draws: _Count | None = None
    limit: _Count | None = None
    anchor: str | None = None
    judge: str | None = None
    embedder: str | None = None
    reward_model: str | None = None
    judge_template: str | None = None
    sampling: dict[str, dict[str, JSON]] = {}


class _Judging(_Part):
    digest: str = ""
    profile: str | None = None


class _Task(_Part):
    version: str = ""
    scorer: str = ""
    digest: str = ""
    digests: dict[str, str] = {}
    judging: _Judging | None = None
    caveats: list[str] = []
    errata: list[str] = []
    data: dict[str, JSON] = {}


class _Method(_Part):
    name: str
    kind: str = "method"
    spec: str = ""
    params: dict[str, JSON] = {}
    summary: str | None = None
    citation: str | None = None
    reason: str | None = None
    budgets: list[_Count] | None = None


class _Invocation(_Part):
    command: list[str] = []
    started: str = ""
    seconds: float | int = 0
    calls: dict[str, _Count] = {}
    models: dict[str, dict[str, JSON]] = {}


class _Record(_Part):
    config: _Config
    task: _Task
    methods: list[_Method]
    questions: _Count
    unlabelled: _Count = 0
    invocations: list[_Invocation] = []
    models: dict[str, dict[str, JSON]] = {}
    rollouts: dict[str, _Count] = {}
    dropped: dict[str, _Count] = {}
    failed_rows: _Count = 0
    refused_rows: _Count = 0
    warnings: list[str] = []
    cautions: list[str] = []
    pool_digest: str = ""
    versions: dict[str, str] = {}


_WHOLE = {
    "": ("id", "models", "pool_digest", "versions"),
    "config": ("budgets", "draws", "anchor", "judge", "sampling"),
    "models": ("policy",),
    "task": ("version", "scorer", "digest", "exchangeable", "judging"),
}
"""The fields that repeating a run needs, by the part of the record that holds them."""
_OF_METHOD = ("kind", "spec", "params", "reason")


def check_record(record: Mapping[str, JSON], source: Path) -> None:
    """Raise DataError if a field that reports read is missing or of another type."""
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(source, f"{field!r}: {first['msg']}; move the damaged run away") from None


def check_whole(record: Mapping[str, JSON], source: Path) -> None:
    """Raise DataError if the record cannot be read, or lacks what repeating the run needs."""
    if not isinstance(record, dict):
        raise DataError(source, f"its run is a JSON {type(record).__name__}; fetch it again")
    check_record(record, source)
    methods = {f"methods.{place}": method for place, method in enumerate(record["methods"])}
    parts = {"": record, **record, **methods}
    for name, needed in {**_WHOLE, **dict.fromkeys(methods, _OF_METHOD)}.items():
        for field in needed:
            if field not in parts[name]:
                path = f"{name}.{field}".removeprefix(".")
                raise DataError(source, f"lacks the field {path!r}: make it again from its cache")


def check_columns(table: pa.Schema, kind: type, path: Path, *, schema: pa.Schema) -> None:
    """Raise DataError if a column of a table is missing or of another type than in the records."""
    required = {field.name for field in fields(kind) if field.default is MISSING}
    for column in schema:
        place = table.get_field_index(column.name)
        if place < 0 and column.name in required:
            raise DataError(path, f"lacks the column {column.name!r}; make the run again")
        if place >= 0 and not _alike(present := table.field(place).type, column.type):
            problem = f"its column {column.name!r} is {present}, not {column.type}"
            raise DataError(path, f"{problem}; make the run again")


def check_methods(names: Collection[str], record: Mapping[str, JSON], folder: Path) -> None:
    """Raise DataError if the record does not list the method of some scores."""
    known = {*FRAMES, *(method["name"] for method in record["methods"])}
    if unknown := sorted(str(name) for name in set(names) - known):
        problem = f"has scores of {unknown[0]!r}, which is not among the methods in its run.json"
        raise DataError(folder, f"{problem}; make the run again")


def _alike(present: pa.DataType, expected: pa.DataType) -> bool:
    """Return whether both hold lists, texts or numbers; an empty column is of any type."""
    from pyarrow import types

    if types.is_null(present):
        return True
    if types.is_list(expected):
        lists = types.is_list(present) or types.is_large_list(present)
        return lists and _alike(present.value_type, expected.value_type)
    if types.is_string(expected):
        return bool(types.is_string(present) or types.is_large_string(present))
    return bool(types.is_integer(present) or types.is_floating(present))
