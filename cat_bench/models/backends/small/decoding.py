"""Sample many completions at once and score given ones, by NumPy.

Invariants: prompts are padded on the left and masked, so a row's numbers do not depend on the other
rows, up to floating point; log-probabilities and entropies are the raw model's at temperature 1; a
row that has ended leaves the batch soon, so that the rest becomes cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cat_bench.models.backends.hf.steps import CHUNK, LIKELIEST, Steps
from cat_bench.models.backends.hf.work import Draw, Passage, Work, Written
from cat_bench.models.backends.small.network import Array, Bools, Ints, Network, Past, softmax
from cat_bench.models.backends.small.shaping import History, draw, filter_scores

PREFILL = 1024
"""The most tokens of one prefill pass: they fit a CPU's cache."""
LOGPROBS, ENTROPIES, CERTAINTIES, CONFIDENCES = range(4)
"""The measures of a token, in the order of their columns."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A network and the ids that end a turn."""

    network: Network
    ends: tuple[int, ...]

    def run(self, batch: Sequence[Work[Any]]) -> None:
        """Settle every row of a batch of equal `key`; raises MemoryError if it does not fit."""
        if isinstance(batch[0], Passage):
            score(self.network, cast(Sequence[Passage], batch))
        else:
            Decoding(self, cast(Sequence[Draw], batch)).run()


class Prompts:
    """Rows of token ids, padded on the left; each array has the shape (rows, longest)."""

    def __init__(self, rows: Sequence[Sequence[int]]) -> None:
        longest = max(map(len, rows))
        padding = longest - np.array([len(row) for row in rows])
        positions = np.arange(longest) - padding[:, None]
        self.ids: Ints = np.array([[0] * (longest - len(row)) + list(row) for row in rows])
        self.mask: Bools = positions >= 0
        self.positions: Ints = positions.clip(min=0)

    def states(self, network: Network, past: Past, *, last: int = 1) -> Iterator[Array]:
        """Run them through the model in groups and yield the states of their `last` tokens."""
        count, longest = self.ids.shape
        size, step = max(1, PREFILL // longest), min(longest, PREFILL)
        starts = range(0, longest - last + 1, step)
        for first in range(0, count, size):
            rows = slice(first, first + size)
            for start, end in zip(starts, (*starts[1:], longest), strict=True):
                states = network.states(
                    self.ids[rows, start:end],
                    mask=self.mask[rows, :end],
                    positions=self.positions[rows, start:end],
                    past=past,
                    rows=rows,
                )
            yield states[:, -last:]


def log_softmax(logits: Array) -> Array:
    """Return log-probabilities over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


def score(network: Network, passages: Sequence[Passage]) -> None:
    """Settle each passage with the log-probability of each token of its text, at temperature 1."""
    last = max(len(passage.text) for passage in passages) + 1
    prompts = Prompts([[*passage.prompt, *passage.text] for passage in passages])
    past = Past(network, *prompts.ids.shape)
    remaining = iter(passages)
    for states in prompts.states(network, past, last=last):
        for state, passage in zip(states, remaining, strict=False):
            size = len(passage.text)
            before = log_softmax(network.logits(state[-size - 1 : -1]))
            passage.settle(before[np.arange(size), list(passage.text)])


class Decoding(Steps[NDArray[Any]]):
    """The steps by NumPy; column t of each measure in `_noted` is step t."""

    def __init__(self, engine: Engine, draws: Sequence[Draw]) -> None:
        super().__init__(draws)
        self._network, distribution = engine.network, draws[0].distribution
        self._distribution = distribution
        self._ends = np.array(engine.ends)
        self._limits = np.array([draw.limit for draw in draws])
        self._live = np.ones(len(draws), dtype=np.bool_)
        self._prefill()
        vocabulary = self._network.vocabulary
        self._history = (
            History(distribution, [draw.prompt for draw in draws], vocabulary)
            if distribution.penalises
            else None
        )
        self._tokens: Ints = np.empty((len(draws), 0), dtype=np.int64)
        self._noted: Array = np.empty((4, len(draws), 0), dtype=np.float32)

    def _prefill(self) -> None:
        """Run each distinct prompt once, then give every draw its copy."""
        distinct = {id(draw.prompt): draw.prompt for draw in self._draws}
        place = {key: row for row, key in enumerate(distinct)}
        prompts = Prompts(list(distinct.values()))
        self._past = Past(self._network, *prompts.ids.shape)
        states = np.concatenate(list(prompts.states(self._network, self._past)))
        rows = np.array([place[id(draw.prompt)] for draw in self._draws])
        self._past.take(rows)
        self._logits = self._network.logits(states[:, -1])[rows]
        self._mask, self._positions = prompts.mask[rows], prompts.positions[rows, -1:]

    def _make_room(self) -> None:
        rows = len(self._draws)
        self._mask = np.concatenate([self._mask, np.ones((rows, CHUNK), dtype=np.bool_)], axis=1)
        self._past.reserve(self._mask.shape[1])
        tokens = np.zeros((rows, CHUNK), dtype=np.int64)
        self._tokens = np.concatenate([self._tokens, tokens], axis=1)
        noted = np.zeros((4, rows, CHUNK), dtype=np.float32)
        self._noted = np.concatenate([self._noted, noted], axis=2)
        if self._uniforms:
            self._noise = self._uniforms.next(CHUNK)

    def _write(self) -> None:
        logprobs = log_softmax(self._logits)
        probabilities = np.exp(logprobs)
        self._chosen = self._choose(probabilities)
        self._tokens[:, self._step] = self._chosen
        size = logprobs.shape[-1]
        count = min(LIKELIEST, size)
        note = self._noted[:, :, self._step]
        note[LOGPROBS] = logprobs[np.arange(len(logprobs)), self._chosen]
        note[ENTROPIES] = -(probabilities * logprobs).sum(axis=-1)
        note[CERTAINTIES] = -logprobs.mean(axis=-1) - log(size)
        note[CONFIDENCES] = -np.partition(logprobs, -count, axis=-1)[:, -count:].mean(axis=-1)
        self._step += 1

    def _choose(self, raw: Array) -> Ints:
        """Return one token per row, given the raw distribution at temperature 1."""
        scores = self._history.penalise(self._logits) if self._history else self._logits
        if not self._uniforms:
            return np.asarray(scores.argmax(axis=-1))
        distribution = self._distribution
        simple = (
            distribution.temperature,
            distribution.top_k,
            distribution.top_p,
            distribution.min_p,
        ) == (1, 0, 1, 0)
        unchanged = simple and self._history is None
        probabilities = raw if unchanged else softmax(filter_scores(scores, distribution))
        column = self._step % CHUNK
        return draw(probabilities, self._noise[:, column : column + 1])

    def _is_end(self) -> NDArray[Any]:
        return np.isin(self._chosen, self._ends)

    def _finish(self, row: int, *, ended: bool) -> None:
        size = self._step - ended
        noted = self._noted[:, row, :size].copy()
        self._draws[row].finish(
            Written(
                self._tokens[row, :size].tolist(),
                noted[LOGPROBS],
                noted[ENTROPIES],
                {"certainties": noted[CERTAINTIES], "confidences": noted[CONFIDENCES]},
                ended=ended,
            )
        )
        self._leave(row)

    def _find(self, rows: NDArray[Any]) -> NDArray[Any]:
        return np.flatnonzero(rows)

    def _keep(self, rows: NDArray[Any]) -> None:
        self._noted = self._noted[:, rows]
        self._past.take(rows)

    def _feed(self, mask: NDArray[Any]) -> None:
        states = self._network.states(
            self._chosen[:, None], mask=mask, positions=self._positions, past=self._past
        )
        self._logits = self._network.logits(states[:, -1])
