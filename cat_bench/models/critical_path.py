"""Count the tokens that one use of a plug-in must write one after another.

Calls that are awaited in turn add up; calls that `gather_all` starts together count as the longest
of them. Calls started together in any other way count as successive: an upper bound. Nothing is
measured by a clock, so the count is the same for cached calls and does not depend on load.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Path:
    """The completion tokens on the critical path so far."""

    __slots__ = ("tokens",)

    def __init__(self, tokens: float = 0.0) -> None:
        self.tokens = tokens


_current: ContextVar[Path | None] = ContextVar("critical_path", default=None)


@contextmanager
def count_path() -> Iterator[Path]:
    """Count tokens inside on a separate path."""
    path = Path()
    token = _current.set(path)
    try:
        yield path
    finally:
        _current.reset(token)


def extend(tokens: float) -> None:
    """Add successive tokens to the current path, if there is one."""
    if (current := _current.get()) is not None:
        current.tokens += tokens
