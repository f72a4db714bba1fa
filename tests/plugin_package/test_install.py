"""A package of plug-ins, installed and used by its names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODEL = "def reply(request, seed):\n    return 'heads' if seed % 2 else 'tails'\n"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed into `site`, and a scripted model."""
    folder = tmp_path_factory.mktemp("workplace")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "toy_plugins.py"):
        shutil.copy(HERE / name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", "site"]
    command = [sys.executable, "-m", "pip", "install", *options, "./source"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder / "model.py").write_text(MODEL)
    return folder


def cat_bench(folder: Path, *arguments: str) -> str:
    """What `cat-bench ARGUMENTS` prints where the package is installed."""
    done = subprocess.run(
        [sys.executable, "-c", "from cat_bench.cli import main; main()", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(folder / "site"),
            "CAT_BENCH_CACHE": str(folder / "cache.sqlite"),
            "CAT_BENCH_RESULTS": str(folder / "results"),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_plug_ins_are_listed_and_built_ins_stay(workplace: Path) -> None:
    rows = json.loads(cat_bench(workplace, "list", "plugins", "--json"))
    found = {(row["kind"], row["name"], row["from"]) for row in rows}
    assert found >= {
        ("aggregator", "shortest", "toy_plugins:Shortest"),
        ("signal", "vowels", "toy_plugins:Vowels"),
        ("task", "coin", "toy_plugins:Coin"),
        ("aggregator", "vote", "cat_bench.aggregators.vote:Vote"),
        ("aggregator", "vote", "toy_plugins:Shortest (ignored: the built-in one keeps its name)"),
    }


def test_its_plug_ins_run(workplace: Path) -> None:
    methods = "single,shortest{least=2},best_of_n{by=vowels},majority"
    options = ("--method", methods, "--pool", "4", "--n", "2")
    out = cat_bench(workplace, "run", "coin", "-m", "scripted:./model.py:reply", *options)
    assert "shortest{least=2}" in out
    (run,) = (workplace / "results").glob("coin-*/run.json")
    reasons = {each["name"]: each["reason"] for each in json.loads(run.read_text())["methods"]}
    assert reasons["shortest{least=2}"] is None
    assert reasons["best_of_n{by=vowels}"] is None
    assert reasons["majority"] == "the task has no final answers to compare"
