"""Train the bundled model from scratch: ``python -m cat_bench.tally.train --out DIR``.

Two processes of one thread each average their gradients. The lessons form a curriculum: few
parts, clean drafts and the loss on the drafts too, so that reading them is learned first; then
the full law; from 60 % on, half of the drafts to read are the current policy's own. The same
seed, process count and library versions give the same model.
"""

import argparse
import logging
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

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

from cat_bench.tally.problems import LABELS, Problem, stream
from cat_bench.tally.rows import IGNORED, Lesson, Row, Teacher, content, corpus, task_prompts
from cat_bench.tally.sampling import complete
from cat_bench.tally.tokens import CONTEXT, build_tokenizer

log = logging.getLogger("cat_bench.tally")

_ROWS = 40
_TOKENS_AT_ONCE = 2048
#: Shares of the rows by role, before and after reading has been learned.
_FIRST = {"prompt": 0.4, "synthesis": 0.6}
_LATER = {"prompt": 0.4, "synthesis": 0.25, "synthesis_aware": 0.1, "select": 0.25}
_REFRESH_AT = (0.6, 0.7, 0.8, 0.9)
_POOL_PROBLEMS, _POOL_DRAFTS = 192, 12
_CORPUS = 3000


@dataclass(frozen=True, slots=True)
class Recipe:
    """What determines the model: everything else is in the code."""

    out: Path
    steps: int
    processes: int
    seed: int


def lesson(progress: float) -> Lesson:
    """Return what is taught once the fraction ``progress`` of the steps is done."""
    return Lesson(
        most_parts=min(len(LABELS), 2 + int(progress * 20)),
        noise=min(1.0, 0.3 + progress * 5),
        weights=_FIRST if progress < 0.15 else _LATER,
        draft_loss=progress < 0.3,
        real_share=0.5,
    )


def train(recipe: Recipe) -> None:
    """Run the recipe and write model, tokenizer and configuration to ``recipe.out``."""
    recipe.out.mkdir(parents=True, exist_ok=True)
    build_tokenizer(corpus(task_prompts(), _CORPUS)).save_pretrained(recipe.out)
    with (
        tempfile.TemporaryDirectory() as meeting,
        ProcessPoolExecutor(recipe.processes, mp_context=get_context("spawn")) as pool,
    ):
        process = partial(_process, recipe, f"file://{meeting}/store")
        list(pool.map(process, range(recipe.processes)))


def _process(recipe: Recipe, meeting: str, rank: int) -> None:
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format="%(message)s")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=recipe.processes)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(recipe.out)
    torch.manual_seed(recipe.seed)
    model = Qwen3ForCausalLM(_configuration(tokenizer))
    torch.manual_seed(recipe.seed + 1 + rank)
    rng = random.Random(f"{recipe.seed} {rank}")
    _run(model, Teacher(tokenizer, task_prompts(), rng, []), recipe.steps)
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


def _run(model: Qwen3ForCausalLM, teacher: Teacher, steps: int) -> None:
    optimizers = _optimizers(model)
    schedules = [LambdaLR(optimizer, partial(_schedule, steps)) for optimizer in optimizers]
    refresh = {int(steps * share) for share in _REFRESH_AT}
    progress = _Progress(steps)
    for step in range(steps):
        if step in refresh:
            teacher.pool = _own_drafts(model, teacher)
        rows = teacher.rows(_ROWS, lesson(step / steps))
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


def _own_drafts(model: Qwen3ForCausalLM, teacher: Teacher) -> list[tuple[Problem, list[str]]]:
    problems = list(islice(stream(teacher.rng, split="train"), _POOL_PROBLEMS))
    contents = [
        content(teacher.prompts, "prompt", problem)
        for problem in problems
        for _ in range(_POOL_DRAFTS)
    ]
    drafts = complete(model, teacher.tokenizer, contents=contents)
    return [
        (problem, drafts[index * _POOL_DRAFTS : (index + 1) * _POOL_DRAFTS])
        for index, problem in enumerate(problems)
    ]


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


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write the model to")
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    train(Recipe(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
