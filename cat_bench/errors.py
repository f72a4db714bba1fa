"""Every error that cat_bench raises on purpose, in one tree.

    CatBenchError
    ├── UsageError          wrong options, names or files; nothing was run (exit status 2)
    │   ├── UnknownName     a name that does not exist, with the nearest ones that do
    │   ├── ConfigError     a YAML or parameter that cannot be read: file, field, fix
    │   │   └── PromptError a prompt text that does not show the problem
    │   └── DataError       a data file that cannot be read: file, line, fix
    │       └── TargetError a row's target that the task's scorer cannot use
    ├── CacheError          the cache cannot be opened, written or trusted
    ├── ModelError          a model cannot be loaded or reached at all
    ├── NotAvailable        a plug-in needs what this run lacks; it gets a row with the reason
    └── CallFailed          one model call failed for good: becomes an unscored record
        └── ContextTooLong  the input does not fit the model's context; nothing was truncated

A message says what is wrong, where, and the next step. It ends without a full stop unless it holds
several sentences. A failed *call* is data: `CallFailed` has its `Failure`, and the run goes on.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cat_bench.types.calls import Failure


LONGEST = 1 << 16
"""The most characters of a foreign message that are read."""
PLUGIN_BUGS = (Exception, SystemExit)
"""The exceptions that count as a bug of a plug-in; its `sys.exit` must not end the run."""


class CatBenchError(Exception):
    """The root of the tree; its text is one line for the user."""


class UsageError(CatBenchError):
    """Options, names or files are wrong; nothing was run."""


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the hint " Did you mean 'x'?", or nothing where no known name is close."""
    matches = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {matches[0]!r}?" if matches else ""


LISTED = 60
"""The largest number of known names that an error lists."""


class UnknownName(UsageError):
    """No `kind` is called `name`; the message lists those that exist, and the nearest one."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(set(known))
        names_text = ", ".join(names[:LISTED]) or "none"
        if len(names) > LISTED:
            names_text += f" and {len(names) - LISTED:,} more"
        super().__init__(f"there is no {kind} {name!r}.{suggest(name, names)} Known: {names_text}")


class ConfigError(UsageError):
    """A YAML file or a parameter cannot be read."""

    def __init__(self, source: str | Path, field: str, problem: str) -> None:
        where = f"{source}: {field}" if field else str(source)
        super().__init__(f"{where}: {problem}")


class DataError(UsageError):
    """A data file cannot be read; `line` counts from 1."""

    def __init__(self, source: str | Path, problem: str, *, line: int | None = None) -> None:
        where = f"{source}, line {line}" if line else str(source)
        super().__init__(f"{where}: {problem}")


class PromptError(ConfigError):
    """A prompt text does not show the problem."""


class TargetError(DataError):
    """A row's target cannot be used by the task's scorer."""


class CacheError(CatBenchError):
    """The cache cannot be opened, written or trusted."""


class ModelError(CatBenchError):
    """A model cannot be loaded or reached at all."""


class NotAvailable(CatBenchError):
    """A plug-in needs what this run does not have; it gets a row with this reason."""


class CallFailed(CatBenchError):
    """One model call failed for good; `failure` says how."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(f"{failure.kind}: {failure.message}")


class ContextTooLong(CallFailed):
    """The input does not fit the model's context; nothing was truncated."""


def printable(text: str) -> str:
    """Escape every character that could control a terminal or hide other characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(text: object) -> str:
    """Return a message as one printable line of at most 300 characters."""
    flat = printable(" ".join(str(text)[:LONGEST].split()))
    return flat if len(flat) <= 300 else f"{flat[:299]}…"


_AT_LINE = re.compile(r"\([^()\s]+\.py, line \d+\)$")


def is_bug(reason: str) -> bool:
    """Return whether a reason from `reason_of` names a bug of a plug-in, which no retry can fix."""
    return _AT_LINE.search(reason) is not None


def reason_of(error: Exception | SystemExit) -> str:
    """Return why a plug-in's work failed; a bug in the plug-in is named with file and line.

    Re-raises NotAvailable and every error that ends the run.
    """
    if isinstance(error, CallFailed):
        return str(error)
    if isinstance(error, CatBenchError):
        raise error
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})"
