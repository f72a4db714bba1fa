"""Dataset rows at a pinned revision.

The first of these files is used: the caller's, the file in the folder CAT_BENCH_DATA, the bundled
file, the file on the Hub. It must match its checksum and is read as a stream, so memory does not
grow with its rows. The first row that is broken, lacks a field or repeats an id stops the reading
with an error that names its line.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from cat_bench.errors import DataError
from cat_bench.loading.options import AnswerBy, arrange
from cat_bench.loading.validation import STRICT
from cat_bench.system.rows import Row, check_encodable, file_digest, read
from cat_bench.types.calls import JSON


class Fields(BaseModel):
    """The columns of the file by their meaning; a row has a problem's text or a conversation."""

    model_config = STRICT

    id: str = "id"
    """If it is not set, rows may lack an id; it is then a digest of their content."""
    problem: str | None = None
    messages: str | None = None
    answer: str | None = "answer"
    """The target: a gold answer or a rubric; null in an unlabelled row.

    If it is not named, rows may lack it; null: the rows are unlabelled."""
    entry: str | None = None
    """The column that names the target's entry, if the answer is an object of several values."""
    options: str | list[str] | None = None
    """The column with the options to choose from, or one column for each. They are shown under the
    problem, and the answer becomes the label of the right option."""
    answer_by: AnswerBy | None = None
    """How the answer names the right option; None: in any way that fits only one."""
    shuffle: int | None = None
    """The seed for shuffling the options of each row."""
    tags: str | None = None
    """Tags by which results are broken down; they belong to the target."""
    meta: list[str] = []
    """Columns that belong to the question; never the target."""

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if (self.problem is None) == (self.messages is None):
            raise ValueError("name a column for either `problem` or `messages`")
        if self.options is not None and self.problem is None:
            raise ValueError("`options` go with a `problem`, not with `messages`")
        if self.options is None and (self.shuffle is not None or self.answer_by is not None):
            raise ValueError("`shuffle` and `answer_by` need `options`")
        return self


class Data(BaseModel):
    """The location of a task's rows: the section `data` of its task.yaml."""

    model_config = STRICT

    file: str | None = None
    """A bundled file, relative to the YAML."""
    hub: str | None = None
    """A dataset repository on the Hugging Face Hub, with its `revision` and the file's `path`."""
    revision: Annotated[str, Field(pattern="^[0-9a-f]{40}$")] | None = None
    path: str | None = None
    config: str | None = None
    """The file's configuration on the Hub, for exports, if it is not `default`."""
    split: str | None = None
    """The file's split on the Hub, for exports, if its path does not tell it."""
    local: str | None = None
    """The file's name in the folder CAT_BENCH_DATA, or in the folder that the caller names."""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    where: dict[str, str | int | bool] = {}
    """Keep only rows whose column equals or contains this value; a missing column is ignored."""
    keep: str | None = None
    """A JSONL file beside the YAML with the ids of the rows to keep, and columns to add to them."""
    fields: Fields

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if not (self.file or self.hub or self.local):
            raise ValueError("name a `file`, a `hub` repository or a `local` file")
        if self.hub and not (self.revision and self.path):
            raise ValueError(
                "`hub` needs the `revision` (a full commit) and the `path` of the file"
            )
        return self


@dataclass(frozen=True, slots=True)
class Located:
    """The file that was read, its digest, and a remark about it, if any."""

    path: Path
    sha256: str
    note: str | None = None


def rows(
    data: Data, *, base: Path, override: Path | None = None, fetch: bool = True
) -> Iterator[Row]:
    """Yield the rows as `{id, problem or messages, answer, tags, meta}`, in the file's order.

    A row without an id is named by a digest of its question; if such a name, or the id of a
    conversation, repeats, the later row gets its target's digest appended, and then a number. The
    answer of an unlabelled row is None. If there are options, `problem` shows them, `stem` does
    not, and `meta` has `options` and their `permutation`. `base` is the folder of the YAML,
    `override` a file or folder to read instead. Raises DataError; problems of the file are raised
    before the first row is read.
    """
    path = locate(data, base=base, override=override, fetch=fetch).path
    numbered = _filter_rows(read(path), data.where, path)
    if data.keep:
        numbered = _keep_listed(numbered, base / data.keep, data.fields.id, path)
    return _map_rows(path, data.fields, numbered, foreign=override is not None)


def digest(value: JSON) -> str:
    """Return the first 12 hexadecimal digits of a value's SHA-256, as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def locate(data: Data, *, base: Path, override: Path | None = None, fetch: bool = True) -> Located:
    """Find the file and check it. Raises DataError if it is missing or differs.

    A file that the caller names may differ from the pinned one: this is noted, not refused. Without
    `fetch`, only files that were fetched from the Hub before are found.
    """
    path = _find(data, base, override, fetch=fetch)
    digest = file_digest(path)
    if data.sha256 in (None, digest):
        return Located(path, digest)
    differs = f"its SHA-256 is {digest}, and the task pins {data.sha256}"
    if override is not None:
        return Located(path, digest, note=f"{path}: {differs}")
    raise DataError(path, f"{differs}; fetch the pinned file, or name this one by --data")


def _find(data: Data, base: Path, override: Path | None, *, fetch: bool) -> Path:
    if override is not None:
        place = override / data.local if override.is_dir() and data.local else override
        if not place.is_file():
            raise DataError(place, "is not a file; name the data file, or the folder that holds it")
        return place
    folder = os.environ.get("CAT_BENCH_DATA")
    if folder and data.local and (path := Path(folder, data.local)).is_file():
        return path
    if data.file:
        if not (path := base / data.file).is_file():
            raise DataError(path, "is missing, though the task bundles it; reinstall cat_bench")
        return path
    if data.hub:
        return _download(data, fetch=fetch)
    raise DataError(str(data.local), "is not here; set CAT_BENCH_DATA to the folder that holds it")


def _download(data: Data, *, fetch: bool) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(
            hf_hub_download(
                str(data.hub),
                str(data.path),
                repo_type="dataset",
                revision=data.revision,
                local_files_only=not fetch,
            )
        )
    except (OSError, ValueError) as error:  # all errors of the Hub's client
        reason = f"cannot be downloaded ({type(error).__name__}: {str(error).strip()}"
        reason = f"{reason.split(chr(10))[0]})" if fetch else "is not here, and this run is offline"
        where = f"{data.hub}/{data.path} at {data.revision}"
        name = data.local or Path(str(data.path)).name
        raise DataError(
            where,
            f"{reason}; put the file as {name} into a folder and set CAT_BENCH_DATA to it, or name "
            f"it by --data",
        ) from error


def _keep_listed(
    numbered: Iterator[tuple[int, Row]], ids: Path, key: str, path: Path
) -> Iterator[tuple[int, Row]]:
    """Yield the rows whose id is listed, with the list's other columns."""
    added: dict[str, Row] = {}
    for line, row in read(ids):
        if key not in row or str(row[key]) in added:
            raise DataError(ids, f"must name each {key!r} once", line=line)
        added[str(row[key])] = row
    for line, row in numbered:
        if (extra := added.pop(str(row.get(key)), None)) is not None:
            yield line, {**row, **extra, key: row[key]}
    if added:
        raise DataError(path, f"has no row whose {key!r} is {next(iter(added))!r}, as {ids} says")


def _filter_rows(
    numbered: Iterator[tuple[int, Row]], where: Mapping[str, JSON], path: Path
) -> Iterator[tuple[int, Row]]:
    """Yield the rows that match `where`, for the columns of the file's first row."""
    first: dict[str, JSON] | None = None
    for line, row in numbered:
        if first is None:
            first = {name: value for name, value in where.items() if name in row}
        if missing := [repr(name) for name in first if name not in row]:
            raise DataError(path, f"lacks {', '.join(missing)}, unlike the first row", line=line)
        if all(_holds(row[name], value) for name, value in first.items()):
            yield line, row


def _holds(value: JSON, target: JSON) -> bool:
    return target in value if isinstance(value, list) else bool(value == target)


def _map_rows(
    path: Path, fields: Fields, numbered: Iterator[tuple[int, Row]], *, foreign: bool
) -> Iterator[Row]:
    """Yield the mapped rows of a file; a `foreign` one is not the task's own.

    Rows may lack an answer if the first one does, unless the task names the column for its file.
    """
    if (first := next(numbered, None)) is None:
        return
    unnamed = "answer" not in fields.model_fields_set
    may_lack = (foreign or unnamed) and fields.answer not in first[1]
    columns = _columns(fields)
    has_id = "id" in fields.model_fields_set
    optional = ("answer", "tags", "entry") if may_lack else ()
    needed = [column for name, column in columns.items() if name not in optional]
    options = [fields.options] if isinstance(fields.options, str) else fields.options or []
    needed = [*([fields.id] if has_id else []), *needed, *options, *fields.meta]
    seen: set[str] = set()
    for line, row in chain([first], numbered):
        if missing := [name for name in needed if name not in row]:
            raise DataError(path, _explain_missing(missing, row, fields), line=line)
        mapped = {"answer": None} | {name: row.get(place) for name, place in columns.items()}
        if mapped["answer"] == "" and path.suffix == ".csv":
            mapped["answer"] = None  # a CSV has no null
        if problem := _wrong_question(mapped, row, fields, has_id=has_id):
            raise DataError(path, problem, line=line)
        mapped["id"] = name = _name(row.get(fields.id), mapped, seen)
        if not name.strip():
            raise DataError(path, f"{fields.id!r} must be a number or a text", line=line)
        check_encodable(path, line, name)
        if name in seen:
            raise DataError(path, f"repeats the {fields.id} {name!r}", line=line)
        seen.add(name)
        mapped["meta"] = {column: row[column] for column in fields.meta}
        try:
            _arrange(mapped, row, fields)
            json.dumps(mapped, allow_nan=False, default=str)
        except ValueError as error:
            nan = "holds NaN or Infinity; write null"
            problem = nan if "JSON compliant" in str(error) else f"the row {name!r} {error}"
            raise DataError(path, problem, line=line) from error
        yield mapped


def _columns(fields: Fields) -> dict[str, str]:
    """Return the columns of the question and the target, by their meaning."""
    columns = {"messages": fields.messages, "problem": fields.problem}
    if fields.answer is not None:
        columns |= {"answer": fields.answer, "tags": fields.tags, "entry": fields.entry}
    return {name: column for name, column in columns.items() if column is not None}


def _explain_missing(missing: Sequence[str], row: Row, fields: Fields) -> str:
    present = ", ".join(map(repr, row))
    null = "; write null in a row without an answer" if missing == [fields.answer] else ""
    return f"lacks {', '.join(map(repr, missing))}; there are {present}{null}"


def _wrong_question(mapped: Row, row: Row, fields: Fields, *, has_id: bool) -> str | None:
    """Return what is wrong with a row's question or its id, or None."""
    if fields.messages and not _is_conversation(mapped["messages"]):
        return f"{fields.messages!r} must be a list of {{role, content}}"
    if fields.problem and not _is_text(mapped["problem"]):
        return f"{fields.problem!r} must be a non-empty string"
    if has_id and not fields.messages and row[fields.id] is None:
        return f"{fields.id!r} must be a number or a text"
    return None


def _arrange(mapped: Row, row: Row, fields: Fields) -> None:
    """Set the answer's entry; show options under the problem and make the right label the answer.

    Raises ValueError with what is wrong.
    """
    values, entry = mapped["answer"], mapped.pop("entry", None)
    if fields.entry and values is not None:
        if not isinstance(values, dict) or entry not in values:
            raise ValueError(f"has no entry {entry!r} in {fields.answer!r}")
        mapped["answer"] = values[entry]
    if not fields.options:
        return
    empty = mapped["answer"] is None and fields.answer not in fields.options
    arranged = arrange(
        row,
        mapped["id"],
        options=fields.options,
        answer=None if empty else fields.answer,
        answer_by=fields.answer_by,
        shuffle=fields.shuffle,
    )
    mapped["stem"], mapped["problem"] = mapped["problem"], arranged.show(mapped["problem"])
    mapped["answer"] = arranged.answer
    mapped["meta"] |= {"options": dict(arranged.options), "permutation": list(arranged.permutation)}


def _name(given: JSON, mapped: Row, used: Collection[str]) -> str:
    """Return the row's id, else a digest of its question, made unique by its target."""
    if given is not None and "messages" not in mapped:
        return str(given) if isinstance(given, str | int | float) else ""
    prompt = mapped.get("messages") or mapped.get("problem")
    name = digest(prompt) if given is None else str(given)
    if name in used:
        name = f"{name}-{digest(mapped['answer'])}"
    if given is None and name in used:
        name = next(candidate for k in count(2) if (candidate := f"{name}-{k}") not in used)
    return name


def _is_text(value: JSON) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_conversation(value: JSON) -> bool:
    turns = value if isinstance(value, list) else []
    parts = ("role", "content")
    return bool(turns) and all(
        isinstance(turn, dict) and all(isinstance(turn.get(part), str) for part in parts)
        for turn in turns
    )
