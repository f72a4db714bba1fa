"""The published reference table is what its pools give, and its pages are what its files say."""

from __future__ import annotations

from pathlib import Path
from shutil import copy

import pandas as pd
import pytest

from cat_bench.report.summary import ORACLE
from tests.places import ROOT
from tools.reference_pages import write_pages
from tools.reference_table import METHODS, OUT, POOLS, name_of, play_pool, pool_table

POOL = "aime2025__EXAONE-Deep-32B"


def test_one_pool_gives_the_published_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    found = pool_table([play_pool(POOLS / f"{POOL}.jsonl.gz", runs=tmp_path)])
    published = pd.read_csv(OUT / "pools.csv")
    task, model = POOL.split("__")
    rows = published[(published["task"] == task) & (published["model"] == model)]
    pd.testing.assert_frame_equal(
        found.reset_index(drop=True),
        rows.reset_index(drop=True),
        check_dtype=False,
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_published_task_has_all_its_pools_and_methods() -> None:
    published = pd.read_csv(OUT / "pools.csv")
    for task, rows in published.groupby("task"):
        pools = {name_of(pool) for pool in POOLS.glob(f"{task}__*.jsonl.gz")}
        assert {f"{task}__{model}" for model in rows["model"]} == pools
        for _, of_model in rows.groupby("model"):
            assert set(of_model["method"]) == {*METHODS, ORACLE}


def test_the_table_agrees_with_the_measurements_of_the_rules() -> None:
    """`stopping.csv` compares answers as strings, by another program."""
    published = pd.read_csv(OUT / "pools.csv").query("n == 40 and task == 'aime2025'")
    measured = pd.read_csv(ROOT / "tests" / "benchmarks" / "results" / "stopping.csv")
    measured["model"] = measured["pool"].str.removeprefix("aime2025__")
    measured["method"] = measured["rule"].str.replace("@40", "")
    both = published.merge(measured, on=["model", "method"], suffixes=("", "_there"))
    assert len(both) >= 5 * published["model"].nunique()
    assert (100 * both["score"] - both["score_there"]).abs().max() < 0.5
    assert (both["tokens"] / both["tokens_there"] - 1).abs().max() < 0.02


def test_the_pages_are_up_to_date(tmp_path: Path) -> None:
    for name in ("pools.csv", "models.csv"):
        copy(OUT / name, tmp_path / name)
    write_pages(tmp_path)
    pages = sorted(path.name for path in tmp_path.glob("*.md"))
    assert pages == sorted(path.name for path in OUT.glob("*.md"))
    for name in pages:
        assert (tmp_path / name).read_text("utf-8") == (OUT / name).read_text("utf-8"), name
