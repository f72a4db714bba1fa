r"""Read the final answer out of a completion.

There are two ways, without a fallback between them: the last box (``\boxed``, ``\fbox``,
``\framebox``), or the last match of a task's pattern. Otherwise a text has no answer; taking its
last number would invent answers. The first takes linear time, the second at most `MATCH_S`.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from string import ascii_letters

MATCH_S = 2.0
"""CPU seconds that a task's own pattern may take on one text."""
_SLOW: set[tuple[str, int]] = set()
"""The patterns, and the hashes of the texts, that took longer."""

_TOKEN = re.compile(
    r"(?P<box>\\(?:boxed|fbox|framebox)(?![a-zA-Z])\s*(?:\[[^\]{}]{0,40}\]\s*)*)"
    r"(?:(?P<open>\{)|(?P<bare>[^\s${}]+(?:\{[^{}]*\})*))?"
    r"|\\.|[{}]",
    re.DOTALL,
)

PYTHON = ("python", "py", "python3", "")
"""The labels of Python code blocks."""

_OPENING = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)[^`]*")


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last complete, non-empty box; of nested boxes, the innermost.

    ``\boxed 5`` holds what follows up to white space or ``$``. An unclosed or empty box is skipped,
    because a cut-off repetition or a quoted instruction may follow the answer.
    """
    before, box, _ = text.partition("box")
    if not box:
        return None
    begin = len(before.rstrip(ascii_letters).rstrip("\\"))  # the text before it does not matter
    boxes: dict[int, str] = {}
    opened: list[int | None] = []
    for token in _TOKEN.finditer(text, begin):
        if token["bare"]:
            boxes[token.start()] = token["bare"].rstrip(".,;:")
        elif token["open"] or token[0] == "{":
            opened.append(token.end() if token["open"] else None)
        elif token[0] == "}" and opened and (start := opened.pop()) is not None:
            boxes[start] = text[start : token.start()].strip()
    return next((boxes[start] for start in sorted(boxes, reverse=True) if boxes[start]), None)


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Return the closed, non-empty fenced code blocks: (language in lower case, content).

    An indented fence loses its indentation in each line, as in Markdown.
    """
    blocks: list[tuple[str, str]] = []
    opening: re.Match[str] | None = None
    lines: list[str] = []
    for line in text.splitlines():
        if opening is None:
            opening, lines = _OPENING.fullmatch(line), []
        elif line.strip().strip(opening["fence"][0]) == "" and opening["fence"] in line:
            content = "".join(f"{line}\n" for line in lines)
            if content.strip():
                blocks.append((opening["language"].lower(), content))
            opening = None
        else:
            lines.append(line.removeprefix(opening["indent"]))
    return blocks


def last_match(pattern: re.Pattern[str], text: str) -> str | None:
    """Return the last match of a pattern's one group, stripped; None if there is none.

    A search that takes more than `MATCH_S` finds nothing: a pattern with nested repeats can take
    practically for ever. Only the main thread can be interrupted.
    """
    if (slow := (pattern.pattern, hash(text))) in _SLOW:
        return None
    answer = None
    try:
        with _limit_time(MATCH_S):
            for match in pattern.finditer(text):
                answer = match[1]
    except _TooSlowError:
        _SLOW.add(slow)
        return None
    return (answer or "").strip() or None


class _TooSlowError(Exception):
    """A search took more than its time."""


@contextmanager
def _limit_time(seconds: float) -> Iterator[None]:
    """Raise _TooSlowError in a block that takes more CPU time than this, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> None:
        raise _TooSlowError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
