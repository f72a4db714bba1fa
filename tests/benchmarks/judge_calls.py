"""How many verdicts a table takes: each distinct answer judged once, or each method by itself.

    python -m tests.benchmarks.judge_calls [--task healthbench-mini] [--data FILE] [--limit 100]

Nine methods at n = 1..8 over one pool of 8 rollouts; models and judge are scripts, every rollout
and every synthesis says something else, so nothing is saved by chance. "By itself" judges the
answer of every method, n and draw anew; an exact expectation counts as the one answer that a use
of the method gives, though it takes all 8 rollouts' scores. What methods ask a judge is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
from tabulate import tabulate

from cat_bench.cache import Cache
from cat_bench.evaluation.grader import Grader
from cat_bench.evaluation.method_rows import FRAMES
from cat_bench.evaluation.questions import Bench
from cat_bench.evaluation.settings import Settings
from cat_bench.loading import catalog
from cat_bench.models.backends import Request
from cat_bench.models.backends.scripted import Scripted
from cat_bench.models.cached import Model
from cat_bench.models.lending import Role, Roles
from cat_bench.types.calls import Capability, Reply

METHODS = (
    *("single", "greedy", "min-perplexity", "best-of-n", "self-select"),
    *("judge-select", "cat", "cat-question-aware", "cat-1"),
)
SIZE = 8
GIVES: tuple[Capability, ...] = ("logprobs",)


@dataclass(frozen=True, slots=True)
class Counts:
    """Verdicts: `once` were made, `apart` would have been; `criteria` is those of all rubrics."""

    questions: int
    criteria: int
    once: int
    apart: int


def written(request: Request, seed: int) -> Reply:
    """A text of its own for every prompt and seed."""
    prompt = request.messages[-1]["content"]
    said = sha256(f"{prompt}/{seed}".encode()).hexdigest()[:12]
    if "<candidate" in prompt:
        said = "\\boxed{1}"
    elif "<draft" in prompt:
        said = f"# UNIFIED RESPONSE\n{said}"
    return Reply(text=said, finish="stop", token_logprobs=np.array([-seed % 97 / 97]))


def judged(request: Request, seed: int) -> str:
    """Yes, or 5 of 10."""
    if "scale from 0" in request.messages[-1]["content"]:
        return "\\boxed{5}"
    return json.dumps({"explanation": "", "met": True})


async def count(
    task: catalog.Task,
    cache: Cache,
    *,
    methods: Sequence[str] = METHODS,
    size: int = SIZE,
    draws: int = 1,
    limit: int | None = None,
) -> Counts:
    """Run the methods at n = 1..size and count."""
    samples = list(islice(task.samples(), limit))
    policy = Scripted(written, identity="policy", capabilities=GIVES)
    models = [Model(str(b.identity), b, cache=cache) for b in (policy, Scripted(judged))]
    writer, judge = (Role(model) for model in models)
    bench = Bench(
        task,
        [catalog.method(name) for name in methods],
        Roles(writer, writer, judge),
        Grader(task.scorer, cache),
        Settings(budgets=tuple(range(1, size + 1)), pool=size, draws=draws),
    )
    sizes = {s.question.id: len(s.target["rubric"]) for s in samples}
    apart = 0
    async for rows, _ in bench.run(samples):
        shared = [row for row in rows if row.method not in FRAMES and row.n <= size]
        apart += sum(sizes[row.question] for row in shared)
    once = bench.census.scoring["calls"]
    return Counts(len(samples), sum(sizes.values()), once, apart)


@contextmanager
def scratch() -> Iterator[Cache]:
    """A cache that is thrown away."""
    with tempfile.TemporaryDirectory() as folder, Cache(Path(folder) / "cache.sqlite") as cache:
        yield cache


def main() -> None:
    """Count for one and for four draws, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="healthbench-mini")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--limit", type=int)
    options = parser.parse_args()
    task, rows = catalog.task(options.task, data=options.data), []
    for draws in (1, 4):
        with scratch() as cache:
            found = asyncio.run(count(task, cache, draws=draws, limit=options.limit))
        rows.append(
            {
                "draws": draws,
                "questions": found.questions,
                "criteria": found.criteria,
                "judged once": found.once,
                "each by itself": found.apart,
                "ratio": round(found.apart / found.once, 2),
            }
        )
    print(tabulate(rows, headers="keys"))  # noqa: T201


if __name__ == "__main__":
    main()
