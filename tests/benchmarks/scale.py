"""What a very large pool takes, as the questions grow: time, memory, rows a second.

    python -m tests.benchmarks.scale [--questions 1000,10000] [--rollouts 16]
                                     [--caches sqlite,postgresql] [--method single,majority]
                                     [--steps fill,again,report] [--out CSV]

A scripted model answers at once in a dozen words and grading is a comparison of words, so that all
that is measured is ours. Every step is a process of its own: `fill` samples into an empty cache,
`again` has all of it cached, `report` writes the run's tables and figures; `commands` has the other
ones, which want `fill` and `run` before them. Memory is the most that the step's process ever held.
PostgreSQL runs on this machine, with fsync; its CPU is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import postgresql
from tests.benchmarks.child import measured
from tests.benchmarks.table import show

TASK = """\
version: 1
summary: short answers
data: {file: rows.jsonl, fields: {problem: problem}}
scorer: ./scorer.py:LastWord
"""
SCORER = '''\
from cat_bench import Score


class LastWord:
    """1 where the last word is the answer."""

    version = "1"

    def answer(self, text):
        return text.split()[-1]

    async def clusters(self, answers):
        distinct = sorted(set(answers))
        return [distinct.index(answer) for answer in answers]

    async def score(self, sample, texts, ctx):
        return [Score(float(self.answer(text) == sample.target)) for text in texts]
'''
MODEL = '''\
from random import Random

WORDS = "so then we add both sides and see that each term must be even".split()


def reply(request, seed):
    """Twelve words and one of four answers."""
    rng = Random(seed)
    return f"{' '.join(rng.choices(WORDS, k=12))} {rng.choice('1123')}"
'''
MODEL_SPEC = "scripted:./model.py:reply{choices=16}"
CHILD = """\
from cat_bench.cli import main
main()
"""


CLAIMS = """\
title: Short answers
source: none
method: majority
claims:
  - {id: above, says: better than one, test: above, against: [single]}
  - {id: more, says: more is better, test: more}
  - {id: recovers, says: right where none is, test: recovery}
  - {id: tokens, says: better at the same tokens, test: equal_tokens, against: [single]}
"""


def prepare(folder: Path, questions: int) -> None:
    """The task and the model."""
    with (folder / "rows.jsonl").open("w") as file:
        for k in range(questions):
            row = {"id": f"q{k}", "problem": f"What is {k}, and why?", "answer": "1"}
            file.write(json.dumps(row) + "\n")
    (folder / "task.yaml").write_text(TASK)
    (folder / "scorer.py").write_text(SCORER)
    (folder / "prompt.txt").write_text("{{ problem }}")
    (folder / "model.py").write_text(MODEL)
    (folder / "claims.yaml").write_text(CLAIMS)


def commands(rollouts: int, methods: str, cache: str) -> dict[str, list[str]]:
    """What each step runs, in the order in which they go together."""
    play = ["task.yaml", "--model", MODEL_SPEC, "--pool", str(rollouts)]
    run = ["run", *play, "--n", "1,4,16", "--method", methods, "--out", "run"]
    published = ["--pool", "pool.parquet", "--calls", "calls.parquet"]
    other = ["cache", "--cache", "other.sqlite", "import"]
    return {
        "plan": ["plan", *run[1:-2]],
        "fill": [*run, "--shard", "1/1"],
        "again": [*run, "--shard", "1/1"],
        "run": run,
        "report": ["report", "run"],
        "claims": ["claims", "run", "--claims", "claims.yaml"],
        "compare": ["compare", "run"],
        "audit": ["audit", *play, "--estimator", "majority", "--offline", "--out", "audit"],
        "add": ["leaderboard", "add", "run", "--board", "board.csv", *published],
        "check": ["leaderboard", "check", "--board", "board.csv"],
        "calls": ["cache", "export", "calls.parquet", "--calls", "run"],
        "rollouts": ["cache", "export", "pool.parquet", "--model", "reply", "--task", "task.yaml"],
        "import calls": [*other, "calls.parquet"],
        "import pool": [*other, "pool.parquet", "--task", "task.yaml", "--model", "mine"],
        "copy": ["cache", "copy", cache, "copy.sqlite"],
        "verify": ["cache", "verify"],
    }


def measure(
    questions: int, rollouts: int, kind: str, *, methods: str, steps: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """What each step took, for one size on one kind of cache."""
    with tempfile.TemporaryDirectory() as made, caches(Path(made), kind) as cache:
        folder = Path(made)
        prepare(folder, questions)
        words = commands(rollouts, methods, cache)
        for step in steps:
            load = os.getloadavg()[0]
            took = measured(folder, "-c", CHILD, *words[step], cache=cache)
            held = sum(path.stat().st_size for path in folder.glob("cache.sqlite*"))
            yield {
                "cache": kind,
                "questions": questions,
                "rollouts": questions * rollouts,
                "step": step,
                **took,
                "rollouts/s": questions * rollouts / took["s"],
                "cache MB": held / 2**20,
                "load": load,
            }


@contextmanager
def caches(folder: Path, kind: str) -> Iterator[str]:
    """Where an empty cache of this kind is."""
    there = postgresql.programs()
    if kind == "sqlite":
        yield str(folder / "cache.sqlite")
    elif there is None:
        raise SystemExit("PostgreSQL is not installed")
    else:
        with postgresql.serving(there, fsync=True) as server:
            yield server.database()


def main() -> None:
    """Measure every size on every kind of cache and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", default="1000,10000")
    parser.add_argument("--rollouts", type=int, default=16)
    parser.add_argument("--caches", default="sqlite,postgresql")
    parser.add_argument("--method", default="single,majority")
    parser.add_argument("--steps", default="fill,again,report")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for questions in map(int, options.questions.split(",")):
        for kind in options.caches.split(","):
            size, steps = (questions, options.rollouts, kind), options.steps.split(",")
            for row in measure(*size, methods=options.method, steps=steps):
                rows.append(row)
                sys.stderr.write(f"{row}\n")
    show(rows, options.out)


if __name__ == "__main__":
    main()
