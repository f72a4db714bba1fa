"""What each command costs when nothing has to be asked: every rollout is imported.

    python -m tests.benchmarks.cached [--questions 1000,10000] [--rollouts 16] [--real FOLDER]
                                      [--steps import,first,again,...] [--python PATH] [--out CSV]

The rollouts are texts of 1.5 kB that end in a box, with a reward model's score, and the methods are
`single,majority,best-of-n{by=rm}`. `first` grades them; `again` finds every verdict in the cache;
`read` does so without a report (`--shard 1/1`); the others are named after their commands. With
`--real`, also each pool of that folder (single letters or short boxed answers), by
`single,majority`. Every step is a process of its own, memory is the most it ever held, and `each`
is CPU milliseconds for each rollout, Python's imports included. `--python` measures another
checkout, by its interpreter.

`--profile N` names instead the N functions of the package that take the most CPU time in `read`, at
the first size: the stack is noted every 4 ms of CPU time.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.benchmarks.child import measured
from tests.benchmarks.table import show

WORDS = ("so then we add both sides and see that", "each term must be even")
LENGTH = 1500
STEPS = ("import", "first", "again", "read", "plan", "report", "page")
PROFILED = """\
import collections, json, signal, sys, threading, time
from cat_bench.cli import main

own, whole, main_thread = collections.Counter(), collections.Counter(), threading.get_ident()

def note(_number, frame):
    if frame.f_code.co_name == "select":  # this thread waits: another one works
        others = [f for t, f in sys._current_frames().items() if t != main_thread]
        frame = next((f for f in others if f.f_code.co_name != "wait"), frame)
    seen, first = set(), True
    while frame:
        path, found, name = frame.f_code.co_filename.rpartition("/cat_bench/")
        function = f"{name} {frame.f_code.co_name}"
        if found and function not in seen:
            seen.add(function)
            whole[function] += 1
            own[function] += first
            first = False
        frame = frame.f_back

signal.signal(signal.SIGPROF, note)
signal.setitimer(signal.ITIMER_PROF, 0.004, 0.004)
try:
    main()
finally:
    signal.setitimer(signal.ITIMER_PROF, 0)
    with open("profile.json", "w") as file:
        json.dump({"CPU": time.process_time(), "own": own, "whole": whole}, file)
"""


def write_pool(file: Path, questions: int, rollouts: int) -> None:
    """Write a pool of texts with boxed answers and scores; each question has its own ease."""
    with file.open("w") as lines:
        for k in range(questions):
            rng = Random(k)
            gold, ease = rng.randint(1, 999), rng.random()
            right = [rng.random() < ease for _ in range(rollouts)]
            row = {
                "id": f"q{k}",
                "problem": f"What is {k}, and why?",
                "answer": str(gold),
                "responses": [_text(rng, gold + (not r) * rng.randint(1, 6)) for r in right],
                "scores": {"rm": [round(rng.gauss(r, 1), 4) for r in right]},
                "usage": [{"prompt": 60, "completion": 350}] * rollouts,
            }
            lines.write(json.dumps(row) + "\n")


def _text(rng: Random, answer: int) -> str:
    words = " ".join(rng.choices(WORDS, k=LENGTH // 20))[:LENGTH]
    return f"{words} \\boxed{{{answer}}}"


def commands(file: Path, methods: str) -> dict[str, list[str]]:
    """What each step runs, in the order in which they go together."""
    play = ["pool:mine", "--model", "replay:mine", "--method", methods]
    return {
        "import": ["cache", "import", str(file), "--task", "pool:mine", "--model", "mine"],
        "first": ["run", *play, "--out", "run"],
        "again": ["run", *play, "--out", "run"],
        "read": ["run", *play, "--out", "read", "--shard", "1/1"],
        "plan": ["plan", *play],
        "report": ["report", "run"],
        "page": ["report", "run", "--html"],
    }


def measure(
    file: Path, methods: str, rollouts: int, *, steps: Sequence[str], python: str
) -> Iterator[dict[str, Any]]:
    """What each step took on one pool of so many rollouts; steps of others come before."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        words = commands(file.resolve(), methods)
        for step in steps:
            load = os.getloadavg()[0]
            took = measured(folder, "-m", "cat_bench", *words[step], python=python)
            held = sum(path.stat().st_size for path in folder.glob("cache.sqlite*")) / 2**20
            each = took["CPU"] / rollouts * 1000
            yield {"step": step, **took, "each": each, "cache MB": held, "load": load}


def profile(file: Path, methods: str, count: int, python: str) -> Iterator[dict[str, Any]]:
    """The functions of the package in which a run that finds everything spends its CPU time.

    `own` includes what libraries did for the function, `whole` also the functions that it called.
    """
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        words = commands(file.resolve(), methods)
        for step in ("import", "first"):
            measured(folder, "-m", "cat_bench", *words[step], python=python)
        measured(folder, "-c", PROFILED, *words["read"], python=python)
        found = json.loads((folder / "profile.json").read_text())
    each = found["CPU"] / sum(found["own"].values())
    yield {"function": "everything", "own, s": found["CPU"], "whole, s": found["CPU"]}
    for function, samples in Counter(found["own"]).most_common(count):
        whole = found["whole"][function]
        yield {"function": function, "own, s": samples * each, "whole, s": whole * each}


def real(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """Each pool of a folder: its file, its questions and its rollouts."""
    for file in sorted(folder.glob("*.jsonl.gz")):
        with gzip.open(file, "rt") as lines:
            sizes = [len(json.loads(line)["responses"]) for line in lines]
        yield file, len(sizes), sum(sizes)


def main() -> None:
    """Measure every size and every real pool, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", default="1000,10000")
    parser.add_argument("--rollouts", type=int, default=16)
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--real", type=Path)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--profile", type=int)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    steps, rows = options.steps.split(","), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as made:
        for size in map(int, filter(None, options.questions.split(","))):
            file = Path(made) / f"{size}.jsonl"
            write_pool(file, size, options.rollouts)
            methods = "single,majority,best-of-n{by=rm}"
            if options.profile:
                rows += profile(file, methods, options.profile, options.python)
                break
            count = size * options.rollouts
            named = {"pool": "texts", "questions": size, "rollouts": count}
            for took in measure(file, methods, count, steps=steps, python=options.python):
                rows.append({**named, **took})
                sys.stderr.write(f"{rows[-1]}\n")
    for file, size, count in real(options.real) if options.real else ():
        named = {"pool": file.name.partition(".")[0], "questions": size, "rollouts": count}
        for took in measure(file, "single,majority", count, steps=steps, python=options.python):
            rows.append({**named, **took})
            sys.stderr.write(f"{rows[-1]}\n")
    show(rows, options.out)


if __name__ == "__main__":
    main()
