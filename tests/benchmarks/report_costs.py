"""What a whole report costs by rollouts per question, and against what peers compute from a pool.

    python -m tests.benchmarks.report_costs [--questions 500] [--rollouts 16,32,64,128,256]

A scripted model answers in one line, and as the anchor it writes a synthesis: all that is measured
is ours. `again` is a run whose calls are all cached: it aggregates, scores and writes every table,
figure and the claims; `page` writes tables and figures anew, and the HTML page. Each command is a
process of its own; memory is the most it ever held.

Peers, on the rollouts of the largest pool, in a process each:
- `loops`: for each k from 1 to N the first k rollouts anew, as `_compute_pass_at_k` and
  `_compute_majority_at_k` do in NeMo-Skills (github.com/NVIDIA/NeMo-Skills at 02bdc3a591d0,
  nemo_skills/evaluation/metrics/base.py; written anew here);
- `prefix`: the first n rollouts, at our budgets;
- `exact`: our closed forms over all n-subsets, at our budgets;
- `table`: the same with standard errors, intervals, paired differences and their p values.

`--variance` measures instead how far the estimates of one question scatter over fresh pools:
prefix against exact.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cat_bench.runs.folder import read_rollouts
from cat_bench.stats.exact import (
    best_of_probabilities,
    expected_score,
    majority_probabilities,
    max_at,
)
from cat_bench.stats.intervals import mean_interval, paired_difference
from cat_bench.types.calls import FloatArray
from tests.benchmarks.child import measured
from tests.benchmarks.table import show

TASK = """\
version: 1
summary: one line each
data: {file: rows.jsonl, fields: {problem: problem}}
scorer: math_equal
"""
MODEL = r'''
from random import Random

import numpy as np

from cat_bench import Reply, Usage


def reply(request, seed):
    """Right by the question's own chance, else one of many wrong answers; syntheses more often."""
    prompt = request.messages[-1]["content"]
    ease = Random(prompt[:60]).betavariate(1, 1)
    rng = Random(f"{prompt} {seed}")
    right = rng.random() < (0.8 if "draft" in prompt else ease)
    answer = 1 if right else 2 + int(rng.expovariate(0.3))
    head = "# UNIFIED RESPONSE\n" if "draft" in prompt else ""
    logprobs = np.array([-rng.expovariate(1 + right) for _ in range(8)], np.float32)
    text = f"{head}It is \\boxed{{{answer}}} ({rng.random():.6f})."
    return Reply(text=text, finish="stop", usage=Usage(prompt=60, completion=8),
                 token_logprobs=logprobs)
'''
CHILD = """\
import sys
import cat_bench.models.backends.scripted as scripted
own = scripted.Scripted.capabilities
scripted.Scripted.capabilities = property(lambda self: own.fget(self) | {"logprobs"})
from cat_bench.cli import main
main()
"""
METHODS = "single,majority,min-perplexity,greedy,cat,cat-1"
Pool = Sequence[tuple[str | None, float]]
"""One question's rollouts in order: the answer and whether it is right."""


def loops(pools: Sequence[Pool]) -> dict[str, float]:
    """pass@k, pass@1[k] and majority@k of the first k, for every k."""
    totals: dict[str, float] = defaultdict(float)
    for pool in pools:
        for k in range(1, len(pool) + 1):
            scores = [right for _, right in pool[:k]]
            totals[f"pass@{k}"] += max(scores)
            totals[f"pass@1[{k}]"] += sum(scores) / k
            voted = sorted((answer, right) for answer, right in pool[:k] if answer is not None)
            if k > 1 and voted:
                totals[f"majority@{k}"] += Counter(voted).most_common(1)[0][0][1]
    return {name: total / len(pools) for name, total in totals.items()}


def prefix(pools: Sequence[Pool]) -> dict[str, float]:
    """The same of the first n, at our budgets."""
    totals: dict[str, float] = defaultdict(float)
    for pool in pools:
        for n in budgets(len(pool)):
            scores = [right for _, right in pool[:n]]
            votes = Counter(answer for answer, _ in pool[:n] if answer is not None)
            lead = max(votes.values(), default=0)
            led = [r for a, r in pool[:n] if a is not None and votes[a] == lead]
            totals[f"single@{n}"] += sum(scores) / n
            totals[f"oracle@{n}"] += max(scores)
            totals[f"majority@{n}"] += sum(led) / max(len(led), 1)
    return {name: total / len(pools) for name, total in totals.items()}


def values(pools: Sequence[Pool]) -> dict[str, FloatArray]:
    """Each question's exact value by method and n, shapes (questions,)."""
    found: dict[str, list[float]] = defaultdict(list)
    for pool in pools:
        sizes = budgets(len(pool))
        scores = np.array([right for _, right in pool])
        chances = majority_probabilities(_labels(pool), sizes)
        best, voted = max_at(scores, sizes), expected_score(chances, scores).value
        for k, n in enumerate(sizes):
            found[f"single@{n}"].append(float(scores.mean()))
            found[f"oracle@{n}"].append(float(best[k]))
            found[f"majority@{n}"].append(float(voted[k]))
    return {name: np.array(column) for name, column in found.items()}


def exact(pools: Sequence[Pool]) -> dict[str, float]:
    """The means of the exact values."""
    return {name: float(column.mean()) for name, column in values(pools).items()}


def table(pools: Sequence[Pool]) -> dict[str, float]:
    """The same, with everything that a table says of how sure it is."""
    columns = values(pools)
    for name, column in columns.items():
        n = name.partition("@")[2]
        mean_interval(column)
        for base in ("single", "majority"):
            paired_difference(column, columns[f"{base}@{n}"])
    return {name: float(column.mean()) for name, column in columns.items()}


PEERS = {"loops": loops, "prefix": prefix, "exact": exact, "table": table}


def budgets(size: int) -> list[int]:
    """1, 2, 4, … up to the pool's size."""
    return [1 << k for k in range(size.bit_length()) if 1 << k <= size]


def _labels(pool: Pool) -> list[int | None]:
    known: dict[str, int] = {}
    return [a if a is None else known.setdefault(a, len(known)) for a, _ in pool]


def read(run: Path) -> list[Pool]:
    """A run's rollouts, by question."""
    rows = read_rollouts(run, columns=("question", "answer", "score"))
    pools: dict[str, list[tuple[str | None, float]]] = {}
    for question, answer, score in zip(*(rows[name] for name in rows), strict=True):
        pools.setdefault(question, []).append((answer, score))
    return list(pools.values())


def prepare(folder: Path, questions: int) -> None:
    """The task and the model."""
    rows = (
        {"id": f"q{k}", "problem": f"What is {k}?", "answer": "1", "level": k % 5}
        for k in range(questions)
    )
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.yaml").write_text(TASK)
    (folder / "prompt.txt").write_text("{{ problem }}")
    (folder / "model.py").write_text(MODEL)


def measure(questions: int, rollouts: int, *, peers: bool) -> Iterator[dict[str, Any]]:
    """What each command takes at this size, and with `peers` what each of them does."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        prepare(folder, questions)
        sizes = ",".join(map(str, budgets(min(rollouts, 64))))
        run = ["run", "task.yaml", "--model", "scripted:./model.py:reply", "--method", METHODS]
        run += ["--pool", str(rollouts), "--n", sizes, "--draws", "2", "--out", "whole"]
        commands = {"run": run, "again": run, "page": ["report", "whole", "--html"]}
        for name, command in commands.items():
            yield _row(questions, rollouts, name, measured(folder, "-c", CHILD, *command))
        rows = len((folder / "whole" / "page.html").read_bytes()) / 2**20
        yield _row(questions, rollouts, "page's size", {"MB": rows})
        for name in PEERS if peers else ():
            found = measured(
                folder, str(Path(__file__).resolve()), "--peer", name, "--run", "whole"
            )
            yield _row(questions, rollouts, name, found)
        if peers:
            yield _row(questions, rollouts, "imports", measured(folder, __file__, "--peer", "none"))


def _row(questions: int, rollouts: int, what: str, found: Mapping[str, float]) -> dict[str, Any]:
    load = os.getloadavg()[0]
    return {"questions": questions, "rollouts": rollouts, "what": what, **found, "load": load}


def scatter(size: int, *, questions: int, pools: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """By method and n: the variance of one question's estimate over fresh pools of this size."""
    rng = np.random.default_rng(seed)
    sizes = [n for n in budgets(size) if n <= size // 2]
    each = [_scatter(size, sizes, pools=pools, rng=rng) for _ in range(questions)]
    first, whole = np.mean(each, axis=0)
    for k, method in enumerate(("single", "majority", "best-of-n")):
        for j, n in enumerate(sizes):
            ratio = float(first[k, j] / whole[k, j])
            row = {"rollouts": size, "method": method, "n": n, "prefix": first[k, j]}
            yield {**row, "exact": whole[k, j], "ratio": ratio}


def _scatter(
    size: int, sizes: Sequence[int], *, pools: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """One question's variances, of prefix and of exact estimates, shapes (3, sizes)."""
    ease = rng.beta(1, 1)
    chances = [ease, *(1 - ease) * rng.dirichlet([0.5] * 4)]
    first, whole = [], []
    for _ in range(pools):
        answers = rng.choice(5, size=size, p=chances)
        scores = (answers == 0).astype(float)
        signal = scores + rng.normal(0, 1, size=size)
        whole.append(_estimates(answers, scores, signal, sizes))
        parts = [_estimates(answers[:n], scores[:n], signal[:n], [n]) for n in sizes]
        first.append(np.concatenate(parts, axis=1))
    return np.var(first, axis=0, ddof=1), np.var(whole, axis=0, ddof=1)


def _estimates(
    answers: np.ndarray[Any, Any], scores: FloatArray, signal: FloatArray, sizes: Sequence[int]
) -> FloatArray:
    """single, majority and best-of-n at each size, shape (3, sizes)."""
    majority = expected_score(majority_probabilities(answers.tolist(), sizes), scores).value
    best = expected_score(best_of_probabilities(signal, sizes), scores).value
    return np.stack([np.full(len(sizes), scores.mean()), majority, best])


def main() -> None:
    """Measure, print a table, and write it as CSV where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--rollouts", default="16,32,64,128,256")
    parser.add_argument("--peers-at", type=int, default=64)
    parser.add_argument("--variance", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        if options.run:
            sys.stdout.write(json.dumps(PEERS[options.peer](read(options.run))))
        return
    rows: list[dict[str, Any]] = []
    if options.variance:
        rows += scatter(16, questions=100, pools=100)
        rows += scatter(64, questions=25, pools=40)
    else:
        for size in map(int, options.rollouts.split(",")):
            for row in measure(options.questions, size, peers=size == options.peers_at):
                sys.stderr.write(f"{row}\n")
                rows.append(row)
    show(rows, options.out)


if __name__ == "__main__":
    main()
