"""Write files whole or not at all, lock folders, and remove what killed processes left.

A file or folder is written under the hidden name `.NAME.PID` and then renamed, so that nobody ever
reads a part of it.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from resource import RLIMIT_NOFILE, getrlimit

from cat_bench.errors import UsageError

SPARE = 8
"""The open files that a database needs: the file, its log, their index, temporary files."""
STALE_S = 24 * 3600
"""Seconds without a change after which a draft is considered abandoned."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield the draft to write; it is renamed to `path` at the end, or removed on an error.

    Raises UsageError if the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_atomic(path: Path, data: bytes) -> Path:
    """Write a whole file, create its folder if it is missing, and return its path.

    Raises UsageError if it cannot be written.
    """
    with atomic(path) as draft:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(data)
    return path


def remove_stale_drafts(folder: Path) -> None:
    """Remove the drafts of `folder` that killed processes left, once it is in place.

    Processes of other machines cannot be checked, so only old drafts are removed.
    """
    for draft in folder.parent.glob(f".{glob.escape(folder.name)}.*"):
        pid = draft.name.removeprefix(f".{folder.name}.").removesuffix(".old")
        if not pid.isdigit() or _is_alive(int(pid)) or not folder.exists():
            continue
        if time.time() - max(f.stat().st_mtime for f in (draft, *draft.glob("*"))) > STALE_S:
            shutil.rmtree(draft, ignore_errors=True)


def few_files_left() -> bool:
    """Return whether this process has opened almost as many files as it may."""
    try:
        opened = sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError as error:
        return error.errno == errno.EMFILE
    return getrlimit(RLIMIT_NOFILE)[0] - opened < SPARE


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def lock_folder(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on a folder; it is released when the process ends, however it ends.

    Raises BlockingIOError if another process holds it and `wait` is false.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
