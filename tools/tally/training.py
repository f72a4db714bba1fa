"""The training loop of the bundled models: it turns a course into weights.

Processes of one thread each average their gradients. Late in a course, some of the drafts to read
are written by the current policy. The same seed, process count and library versions give the same
model.
"""

import argparse
import logging
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Generic

import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from torch.optim.lr_scheduler import LambdaLR
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from cat_bench.bundled.tally.problems import P
from tools.tally.teaching import IGNORED, Lesson, Row, Subject, Teacher
from tools.tally.tokens import CONTEXT, VOCABULARY, build_tokenizer

log = logging.getLogger("cat_bench.bundled.tally")

_TOKENS_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class Course(Generic[P]):
    """One model's lessons, their order and their vocabulary; its functions belong to a module.

    ``lesson`` takes the fraction of the steps that is done, ``rows`` is the number of rows per
    step, ``phrases`` are texts that become one token each, besides a ``vocabulary`` of learned
    ones, and ``refills`` the fractions at which the policy's own drafts are sampled anew.
    """

    subject: Callable[[], Subject[P]]
    lesson: Callable[[float], Lesson]
    corpus: Callable[[], Iterable[str]]
    rows: int
    phrases: tuple[str, ...] = ()
    vocabulary: int = VOCABULARY
    refills: tuple[float, ...] = (0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The settings that determine the model besides its course."""

    out: Path
    steps: int
    processes: int
    seed: int

    @classmethod
    def parse(cls, title: str, *, steps: int, processes: int) -> "Recipe":
        """Read a recipe from the command line."""
        parser = argparse.ArgumentParser(description=title)
        parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
        parser.add_argument("--steps", type=int, default=steps)
        parser.add_argument("--processes", type=int, default=processes)
        parser.add_argument("--seed", type=int, default=1)
        return cls(**vars(parser.parse_args()))


def train(recipe: Recipe, course: Course[P]) -> None:
    """Run the recipe and write model, tokenizer and configuration to ``recipe.out``."""
    recipe.out.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(
        course.corpus(), phrases=course.phrases, vocabulary=course.vocabulary
    )
    tokenizer.save_pretrained(recipe.out)
    with (
        tempfile.TemporaryDirectory() as meeting,
        ProcessPoolExecutor(recipe.processes, mp_context=get_context("spawn")) as pool,
    ):
        process = partial(_process, recipe, course, f"file://{meeting}/store")
        list(pool.map(process, range(recipe.processes)))


def _process(recipe: Recipe, course: Course[P], meeting: str, rank: int) -> None:
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format="%(message)s")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=recipe.processes)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(recipe.out)
    torch.manual_seed(recipe.seed)
    model = Qwen3ForCausalLM(_configuration(tokenizer))
    torch.manual_seed(recipe.seed + 1 + rank)
    rng = random.Random(f"{recipe.seed} {rank}")
    _run(model, Teacher(tokenizer, course.subject(), rng), course, recipe.steps)
    if rank == 0:
        _save(model, recipe.out)
    dist.destroy_process_group()


def _configuration(tokenizer: PreTrainedTokenizerFast) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )


def _run(model: Qwen3ForCausalLM, teacher: Teacher[P], course: Course[P], steps: int) -> None:
    optimizers = _optimizers(model)
    schedules = [LambdaLR(optimizer, partial(_schedule, steps)) for optimizer in optimizers]
    refresh = {int(steps * share) for share in course.refills}
    progress = _Progress(steps)
    for step in range(steps):
        if step in refresh:
            teacher.refill(model)
        rows = teacher.rows(course.rows, course.lesson(step / steps))
        loss = _backward(model, rows, teacher.tokenizer.pad_token_id)
        _average_gradients(model)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
        model.zero_grad()
        progress.add(loss, sum(len(row.ids) for row in rows))


class _Progress:
    """Logs a running mean of the loss, the speed and the time every 50 steps."""

    def __init__(self, steps: int) -> None:
        self._steps, self._step, self._tokens, self._loss = steps, 0, 0, 0.0
        self._start = time.monotonic()

    def add(self, loss: float, tokens: int) -> None:
        self._step += 1
        self._tokens += tokens
        self._loss += 0.02 * (loss - self._loss)
        if self._step % 50 == 0:
            seconds = time.monotonic() - self._start
            log.info(
                "step %d/%d  loss %.3f  %.0f tokens/s a process  %.0f s",
                self._step,
                self._steps,
                self._loss / (1 - 0.98**self._step),
                self._tokens / seconds,
                seconds,
            )


def _optimizers(model: Qwen3ForCausalLM) -> list[torch.optim.Optimizer]:
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    return [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def _schedule(steps: int, step: int) -> float:
    """Warm up over 50 steps, hold, then fall to zero over the last half."""
    return min(1.0, (step + 1) / 50, 2 * (steps - step) / steps)


def _backward(model: Qwen3ForCausalLM, rows: Sequence[Row], pad: int) -> float:
    total = sum(label != IGNORED for row in rows for label in row.labels[1:])
    loss_sum = 0.0
    for batch in _batches(rows):
        width = max(len(row.ids) for row in batch)
        ids = torch.tensor([row.ids + [pad] * (width - len(row.ids)) for row in batch])
        labels = torch.tensor(
            [row.labels[1:] + [IGNORED] * (width - len(row.ids) + 1) for row in batch]
        )
        hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
        wanted = labels != IGNORED
        loss = cross_entropy(model.lm_head(hidden[wanted]), labels[wanted], reduction="sum")
        torch.autograd.backward(loss / total)
        loss_sum += loss.item()
    return loss_sum / total


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Group rows of similar length so that padding wastes little."""
    batch: list[Row] = []
    for row in sorted(rows, key=lambda row: len(row.ids)):
        if batch and (len(batch) + 1) * len(row.ids) > _TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(row)
    yield batch


def _average_gradients(model: Qwen3ForCausalLM) -> None:
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = parameters_to_vector(gradients)
    dist.all_reduce(flat)
    vector_to_parameters(flat / dist.get_world_size(), gradients)


def _save(model: Qwen3ForCausalLM, out: Path) -> None:
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        pad_token_id=model.config.pad_token_id,
        eos_token_id=model.config.eos_token_id,
    )
    model.bfloat16().save_pretrained(out)
