"""Decide whether a Python file that a record names may be loaded.

A file that the user names on the command line is trusted and loaded. A file that a record names (a
`run.json`, a published file, a pool in a cache) may be a stranger's. It is loaded only if the
record holds its digest and the user passes `--trust`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path

from cat_bench.errors import UsageError
from cat_bench.system.rows import file_digest
from cat_bench.types.calls import JSON

_PERMISSION = "CAT_BENCH_TRUST"
_CODE = {".py", ".yaml", ".yml"}
_recorded: ContextVar[frozenset[str] | None] = ContextVar("recorded", default=None)
_noted: ContextVar[dict[str, str] | None] = ContextVar("noted", default=None)


def trust() -> None:
    """Let this process, and those that it starts, load the files that records name."""
    os.environ[_PERMISSION] = "1"


def is_trusted() -> bool:
    """Return whether `trust` was called, here or in the process that started this one."""
    return os.environ.get(_PERMISSION) == "1"


@contextmanager
def load_only(files: JSON) -> Iterator[None]:
    """Allow only these files (path → SHA-256) within the context, if the user trusts them.

    If `files` is not a mapping, no file may be loaded.
    """
    digests = files.values() if isinstance(files, Mapping) else ()
    token = _recorded.set(frozenset(map(str, digests)))
    try:
        yield
    finally:
        _recorded.reset(token)


@contextmanager
def note_loaded() -> Iterator[dict[str, str]]:
    """Note the files that are loaded within the context, path → SHA-256, for the record."""
    loaded: dict[str, str] = {}
    token = _noted.set(loaded)
    try:
        yield loaded
    finally:
        _noted.reset(token)


def admit(path: Path, digest: str) -> None:
    """Note a file that is about to be loaded; raises UsageError where it may not be."""
    if (noted := _noted.get()) is not None:
        noted[str(path)] = digest
    recorded = _recorded.get()
    if recorded is None:
        return
    refused = f"{path} is named by the record and would have been run; it was not:"
    if digest not in recorded:
        raise UsageError(f"{refused} the record does not hold the digest that it has")
    if not is_trusted():
        raise UsageError(f"{refused} read it, then give --trust")


def folder_digest(folder: Path) -> str:
    """Return one SHA-256 over the Python and YAML files of a folder and their relative paths."""
    hasher = sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in _CODE and path.is_file():
            hasher.update(f"{path.relative_to(folder).as_posix()} {file_digest(path)}\n".encode())
    return hasher.hexdigest()
