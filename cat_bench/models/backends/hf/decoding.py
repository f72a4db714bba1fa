"""Sample many completions at once and score given ones: the only code that runs the model.

Invariants: prompts are padded on the left and masked, so a row's numbers do not depend on the other
rows, up to floating point; log-probabilities and entropies are the raw model's at temperature 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any, cast

import torch
from transformers import DynamicCache, PreTrainedModel

from cat_bench.models.backends.hf.cache import keep, make_cache
from cat_bench.models.backends.hf.choosing import History, draw, warpers
from cat_bench.models.backends.hf.steps import CHUNK, LIKELIEST, Steps
from cat_bench.models.backends.hf.work import Draw, Passage, Work, Written

PREFILL = 8192
"""The most tokens of one prefill pass, which bounds memory and fits a CPU's cache."""
SMALL, MOST = 100_000_000, 8
"""The largest model that runs parallel batches on a CPU, and the most such batches."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A model, the ids that end a turn, and how many threads an operation may use (None: all)."""

    model: PreTrainedModel
    ends: tuple[int, ...]
    threads: int | None = None

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    def run(self, batch: Sequence[Work[Any]]) -> None:
        """Settle every row of a batch of equal `key`; raises MemoryError if it does not fit."""
        if self.threads:
            torch.set_num_threads(self.threads)
        try:
            with torch.inference_mode():
                if isinstance(batch[0], Passage):
                    score(self, cast(Sequence[Passage], batch))
                else:
                    Decoding(self, cast(Sequence[Draw], batch)).run()
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            raise

    def logits(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        *,
        cache: DynamicCache,
        last: int = 1,
    ) -> torch.Tensor:
        """Return the raw logits after the `last` tokens: shape (rows, last, vocabulary)."""
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=last,
        )
        return cast(torch.Tensor, output.logits)


def division(model: PreTrainedModel, threads: int | None) -> tuple[int, int | None]:
    """Return the number of parallel batches, and the threads of each.

    A small model's operations are too short to be divided: threads that synchronise after each
    operation would wait for a time slice whenever the machine is busy.
    """
    if model.device.type != "cpu" or model.num_parameters() > SMALL:
        return 1, threads
    return threads or min(MOST, torch.get_num_threads()), 1


class Prefilled:
    """Rows of token ids run through the model: `logits` after the `last` tokens of each.

    Rows are padded on the left; `ids`, `mask` and `positions` have shape (rows, longest).
    """

    def __init__(self, engine: Engine, rows: Sequence[Sequence[int]], *, last: int = 1) -> None:
        longest = max(map(len, rows))
        lengths = torch.tensor([len(row) for row in rows])
        positions = torch.arange(longest) - (longest - lengths)[:, None]
        ids = torch.tensor([[0] * (longest - len(row)) + list(row) for row in rows])
        self.ids = ids.to(engine.device)
        self.mask = (positions >= 0).to(engine.device)
        self.positions = positions.clamp(min=0).to(engine.device)
        self.cache = make_cache(engine.model.config)
        starts = range(0, longest - last + 1, max(1, PREFILL // len(rows)))
        for start, end in zip(starts, (*starts[1:], longest), strict=True):
            self.logits = engine.logits(
                self.ids[:, start:end],
                self.mask[:, :end],
                self.positions[:, start:end],
                cache=self.cache,
                last=min(last, end - start),
            )


def score(engine: Engine, passages: Sequence[Passage]) -> None:
    """Settle each passage with the log-probability of each token of its text, at temperature 1."""
    last = max(len(p.text) for p in passages) + 1
    done = Prefilled(engine, [[*p.prompt, *p.text] for p in passages], last=last)
    for row, passage in enumerate(passages):
        size = len(passage.text)
        before = done.logits[row, -size - 1 : -1].float()
        chosen = before.gather(1, done.ids[row, -size:, None]).squeeze(1)
        passage.settle((chosen - before.logsumexp(-1)).cpu().numpy())


class Decoding(Steps[torch.Tensor]):
    """The steps by torch; column t of `_logprobs`, `_entropies` and `_measures` is step t."""

    def __init__(self, engine: Engine, draws: Sequence[Draw]) -> None:
        super().__init__(draws)
        device, distribution = engine.device, draws[0].distribution
        self._engine = engine
        self._warpers = warpers(distribution)
        self._ends = torch.tensor(engine.ends, device=device)
        self._limits = torch.tensor([d.limit for d in draws], device=device)
        self._live = torch.ones(len(draws), dtype=torch.bool, device=device)
        self._prefill()
        self._history = (
            History(distribution, [d.prompt for d in draws], self._logits)
            if distribution.penalises
            else None
        )
        self._tokens = torch.empty((len(draws), 0), dtype=torch.long, device=device)
        self._logprobs = self._entropies = self._tokens.float()
        self._measures = dict.fromkeys(("certainties", "confidences"), self._logprobs)

    def _prefill(self) -> None:
        """Run each distinct prompt once, then give every draw its copy."""
        distinct = {id(d.prompt): d.prompt for d in self._draws}
        place = {key: row for row, key in enumerate(distinct)}
        done = Prefilled(self._engine, list(distinct.values()))
        rows = torch.tensor([place[id(d.prompt)] for d in self._draws], device=done.ids.device)
        self._cache = done.cache
        keep(self._cache, rows)
        self._logits, self._mask = done.logits[rows, -1].float(), done.mask[rows]
        self._positions = done.positions[rows, -1:]

    def _make_room(self) -> None:
        def wider(old: torch.Tensor) -> torch.Tensor:
            return torch.cat([old, old.new_ones((len(old), CHUNK))], 1)

        self._mask, self._tokens = wider(self._mask), wider(self._tokens)
        self._logprobs, self._entropies = wider(self._logprobs), wider(self._entropies)
        self._measures = {name: wider(array) for name, array in self._measures.items()}
        if self._uniforms:
            self._noise = torch.from_numpy(self._uniforms.next(CHUNK)).to(self._engine.device)

    def _write(self) -> None:
        logprobs = self._logits.log_softmax(-1)
        probabilities = logprobs.exp()
        self._chosen = self._choose(probabilities)
        self._tokens[:, self._step] = self._chosen
        self._logprobs[:, self._step] = logprobs.gather(1, self._chosen[:, None]).squeeze(1)
        self._entropies[:, self._step] = torch.special.entr(probabilities).sum(-1)
        size = logprobs.shape[-1]
        likeliest = logprobs.topk(min(LIKELIEST, size)).values
        self._measures["certainties"][:, self._step] = -logprobs.mean(-1) - log(size)
        self._measures["confidences"][:, self._step] = -likeliest.mean(-1)
        self._step += 1

    def _choose(self, raw: torch.Tensor) -> torch.Tensor:
        """Return one token per row, given the raw distribution at temperature 1."""
        scores = self._history.penalise(self._logits) if self._history else self._logits
        if not self._uniforms:
            return scores.argmax(-1)
        for warper in self._warpers:
            scores = warper(self._tokens, scores)
        probabilities = raw if scores is self._logits else scores.softmax(-1)
        column = self._step % CHUNK
        return draw(probabilities, self._noise[:, column : column + 1])

    def _is_end(self) -> torch.Tensor:
        return torch.isin(self._chosen, self._ends)

    def _finish(self, row: int, *, ended: bool) -> None:
        size = self._step - ended
        self._draws[row].finish(
            Written(
                self._tokens[row, :size].tolist(),
                self._logprobs[row, :size].cpu().numpy(),
                self._entropies[row, :size].cpu().numpy(),
                {name: array[row, :size].cpu().numpy() for name, array in self._measures.items()},
                ended=ended,
            )
        )
        self._leave(row)

    def _find(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.nonzero().flatten()

    def _keep(self, rows: torch.Tensor) -> None:
        self._logprobs, self._entropies = self._logprobs[rows], self._entropies[rows]
        self._measures = {name: array[rows] for name, array in self._measures.items()}
        keep(self._cache, rows)

    def _feed(self, mask: torch.Tensor) -> None:
        logits = self._engine.logits(
            self._chosen[:, None], mask, self._positions, cache=self._cache
        )
        self._logits = logits[:, -1].float()
