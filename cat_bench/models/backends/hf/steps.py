"""The steps of one batch of draws, whichever library computes them.

A row that has ended leaves the batch, so that the rest becomes cheaper. Work in Python for each row
is done when the row ends or every few steps, never at every step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

from cat_bench.models.backends.hf.uniforms import Uniforms
from cat_bench.models.backends.hf.work import Draw

CHUNK = 64
"""The number of steps for which buffers and random numbers are prepared ahead."""
PULSE = 8
"""The number of steps between checks for stop strings and cancelled callers."""
LIKELIEST = 20
"""The number of tokens that `confidences` averages over: the most that servers give."""
CROWDED = 7 / 8
"""The share of live rows below which ended rows are removed, which costs about one step."""


A = TypeVar("A", bound=Any)
"""The arrays of the library."""


class History(Protocol[A]):
    """The tokens that penalties count."""

    def penalise(self, scores: A, /) -> A:
        """Return the next token's scores after the penalties."""

    def keep(self, rows: A, /) -> None:
        """Keep these rows."""

    def add(self, chosen: A, /) -> None:
        """Count the chosen tokens."""


class Steps(ABC, Generic[A]):
    """One batch of draws with one distribution, from prefill until the last row has ended.

    Arrays have a row per draw still in the batch; `_live` marks the unfinished ones. Column t of
    `_tokens` is step t; column t of `_noise` is the random number of step t of this chunk.
    """

    _live: A
    _limits: A
    _mask: A
    _positions: A
    _chosen: A
    _tokens: A
    _noise: A
    _history: History[A] | None

    def __init__(self, draws: Sequence[Draw]) -> None:
        self._draws = list(draws)
        self._step = 0
        self._writing = len(draws)
        random = draws[0].distribution.temperature
        self._uniforms = Uniforms([draw.seed for draw in draws]) if random else None

    def run(self) -> None:
        """Write until every draw is finished or cancelled."""
        while True:
            if self._step % CHUNK == 0:
                self._make_room()
            self._write()
            self._end()
            if self._step % PULSE == 0:
                self._look()
            if not self._writing:
                return
            if self._writing < CROWDED * len(self._draws):
                self._move_out()
            self._advance()

    @abstractmethod
    def _make_room(self) -> None:
        """Extend mask and columns, and draw random numbers, for the next steps."""

    @abstractmethod
    def _write(self) -> None:
        """Choose the next token of every row and note it."""

    @abstractmethod
    def _is_end(self) -> A:
        """Return whether each row's chosen token ends its text."""

    @abstractmethod
    def _finish(self, row: int, *, ended: bool) -> None:
        """Give the row's draw what it wrote; `ended` by a token that is not included."""

    @abstractmethod
    def _find(self, rows: A) -> A:
        """Return the places of the rows that are True."""

    @abstractmethod
    def _feed(self, mask: A) -> None:
        """Run the chosen tokens through the model; `mask` has shape (rows, tokens so far)."""

    def _end(self) -> None:
        """Finish the rows that wrote an end or reached their limit."""
        ended = self._is_end()
        for row in self._find((ended | (self._limits <= self._step)) & self._live).tolist():
            self._finish(row, ended=bool(ended[row]))

    def _advance(self) -> None:
        """Feed the chosen tokens; ended rows keep their position, within the context."""
        if self._history:
            self._history.add(self._chosen)
        self._positions = self._positions + self._live[:, None]
        seen = self._mask.shape[1] - CHUNK + (self._step - 1) % CHUNK + 1
        self._feed(self._mask[:, :seen])

    def _look(self) -> None:
        """Finish rows that wrote a stop string; drop rows without a waiting caller."""
        for row in self._find(self._live).tolist():
            draw, watch = self._draws[row], self._draws[row].watch
            if draw.unwanted:
                self._leave(row)
            elif watch:
                tail = self._tokens[row, max(0, self._step - PULSE - watch.reach) : self._step]
                if watch.found(tail.tolist()):
                    self._finish(row, ended=False)

    def _leave(self, row: int) -> None:
        self._live[row] = False
        self._writing -= 1

    def _move_out(self) -> None:
        """Free the memory of the rows that have ended."""
        rows = self._find(self._live)
        self._draws = [self._draws[row] for row in rows.tolist()]
        for name in ("live", "limits", "mask", "positions", "chosen", "tokens"):
            setattr(self, f"_{name}", getattr(self, f"_{name}")[rows])
        if self._uniforms:
            self._uniforms.keep(rows.tolist())
            self._noise = self._noise[rows]
        if self._history:
            self._history.keep(rows)
        self._keep(rows)

    @abstractmethod
    def _keep(self, rows: A) -> None:
        """Keep these rows of what the library notes beside the tokens."""
