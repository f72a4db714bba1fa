"""A run's progress on stderr: a live bar on a terminal, else a plain line now and then.

A notebook shows one line of output that changes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from cat_bench.models.cached import Meter
from cat_bench.models.costs import Price, price_of
from cat_bench.types.calls import JSON

PLAIN_EVERY_S = 15.0
NOTEBOOK_EVERY_S = 0.5
BAR_EVERY_S = 0.1
"""Seconds between two changes of the bar: a question from the cache takes a hundredth of that."""
_NAME = 16
"""Characters of a task's name before the bar."""


def show_busy(doing: str) -> AbstractContextManager[object]:
    """Show on a terminal that work is going on within the context."""
    console = Console(stderr=True)
    return console.status(doing) if console.is_terminal else nullcontext()


class Progress:
    """Follows one run: questions done, completions made and cached, tokens per second, money, ETA.

    For a forecast (`foreseen`), it shows the calls that a run would make. `prices` are by model.
    Nothing is printed unless `shown`.
    """

    def __init__(
        self,
        *,
        foreseen: bool = False,
        shown: bool = True,
        prices: Mapping[str, Price] | None = None,
        console: Console | None = None,
    ) -> None:
        self._foreseen, self._shown, self._prices = foreseen, shown, prices
        self._console = console or Console(stderr=True, force_jupyter=False)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[calls]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not (shown and self._console.is_terminal),
            expand=True,
        )
        self._task: TaskID | None = None
        self._cell: JSON = None
        """The notebook's output, once there is one."""
        self._meters: Mapping[str, Meter] = {}
        self._started = self._spoke = self._moved = time.monotonic()
        self._done = self._total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def warn(self, warning: str) -> None:
        """Print a warning before the run begins."""
        self._console.print(f"Warning: {warning}.", markup=False, highlight=False)

    def start(self, task: str, questions: int, meters: Mapping[str, Meter]) -> None:
        """Begin to show a run; its meters change while it runs."""
        self._started = self._spoke = time.monotonic()
        self._total, self._meters = questions, meters
        name = task if len(task) <= _NAME else f"{task[: _NAME - 1]}…"
        self._task = self._bar.add_task(name, total=questions, calls=self._calls(short=True))
        self._bar.start()
        if self._shown and "ipykernel" in sys.modules:
            display = import_module("IPython.display").display
            self._cell = display({"text/plain": self._line()}, raw=True, display_id=True)

    def advance(self) -> None:
        """Count one more finished question."""
        self._done += 1
        now = time.monotonic()
        last = self._done == self._total
        if self._task is not None and (last or now - self._moved > BAR_EVERY_S):
            self._moved = now
            self._bar.update(self._task, completed=self._done, calls=self._calls(short=True))
        waited = now - self._spoke
        if self._cell is not None:
            if waited > NOTEBOOK_EVERY_S or last:
                self._spoke = now
                self._cell.update({"text/plain": self._line()}, raw=True)
        elif waited > PLAIN_EVERY_S and self._shown and not self._console.is_terminal:
            self._spoke = now
            self._console.print(self._line())

    def format_spent(self) -> str:
        """Return the cost so far in words; empty if prices are unknown."""
        if not self._prices:
            return ""
        priced = ((price_of(spec, self._prices), m.usage) for spec, m in self._meters.items())
        return f"{sum(price.of(usage) for price, usage in priced):,.2f} spent"

    def _line(self) -> str:
        return f"{self._done}/{self._total} questions · {self._calls()}"

    def _calls(self, *, short: bool = False) -> str:
        """Return the counts in words; `short` if they share a terminal's line with a bar."""
        sampled = sum(meter.made for meter in self._meters.values())
        cached = sum(meter.cached for meter in self._meters.values())
        if self._foreseen:
            return f"{sampled:,} to make, {cached:,} cached"
        tokens = sum(meter.usage.completion for meter in self._meters.values())
        rate = tokens / max(time.monotonic() - self._started, 1e-9)
        unit = "tok/s" if short else "tokens/s"
        parts = (
            f"{sampled:,} made",
            f"{cached:,} cached",
            f"{rate:,.0f} {unit}",
            self.format_spent(),
        )
        return ", ".join(filter(None, parts))


class Counted:
    """Follows a count: a live bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self, activity: str) -> None:
        self._what = activity
        self._console = Console(stderr=True)
        self._bar = Bar(console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(activity, total=None)
        self._spoke = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, done: int, *, of: int) -> None:
        """Show that `done` of so many are done."""
        self._bar.update(self._task, completed=done, total=of)
        if not self._console.is_terminal and time.monotonic() - self._spoke > PLAIN_EVERY_S:
            self._spoke = time.monotonic()
            self._console.print(f"{done:,}/{of:,} {self._what}")
