"""A small published run and a cache, made once by the command line, for strangers to forge."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import MODEL, TASK

RUN = ("run", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "4", "--n", "1,2")
PUBLISHED = ("--pool", "results/pool.parquet", "--calls", "results/calls.parquet")


def make_world(folder: Path) -> Path:
    """Fill the folder: `run`, `cache.sqlite`, `toy/` and a leaderboard in `results/`."""
    fill_world(folder)
    _call(folder, *RUN, "--method", "majority,cat", "--out", "run")
    _call(folder, "leaderboard", "add", "run", *PUBLISHED)
    return folder


def fill_world(folder: Path) -> None:
    """Write a task of three questions, `toy/`, and a scripted model."""
    (folder / "toy").mkdir(parents=True)
    rows = [f'{{"id": "q{k}", "problem": "Is it {k}?", "answer": "yes"}}\n' for k in range(3)]
    (folder / "toy" / "rows.jsonl").write_text("".join(rows))
    (folder / "toy" / "task.yaml").write_text(TASK.replace("./scorer.py:LastWord", "text_equal"))
    (folder / "toy" / "prompt.txt").write_text("{{ problem }}")
    (folder / "model.py").write_text(MODEL)


def _call(folder: Path, *arguments: str) -> None:
    path = os.pathsep.join(str(Path(each).absolute()) for each in sys.path)
    here = {"CAT_BENCH_CACHE": str(folder / "cache.sqlite"), "PYTHONPATH": path}
    command = [sys.executable, "-m", "cat_bench", *arguments]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **here}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
