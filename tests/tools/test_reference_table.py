"""The published reference table is what its pools give, and its pages are what its files say."""

from __future__ import annotations

from pathlib import Path
from shutil import copy

import pandas as pd
import pytest

from cat_bench.report.claims import read_claims
from cat_bench.report.summary import ORACLE
from tests.places import ROOT
from tools.reference_claims import LISTS, VERDICTS
from tools.reference_pages import FILES, write_pages
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
    for name in FILES:
        copy(OUT / f"{name}.csv", tmp_path / f"{name}.csv")
    write_pages(tmp_path)
    pages = sorted(path.name for path in tmp_path.glob("*.md"))
    assert pages == sorted(path.name for path in OUT.glob("*.md"))
    for name in pages:
        assert (tmp_path / name).read_text("utf-8") == (OUT / name).read_text("utf-8"), name


def test_every_claim_has_a_verdict_on_every_pool() -> None:
    claims = pd.read_csv(OUT / "claims.csv")
    pools = pd.read_csv(OUT / "pools.csv")[["task", "model"]].drop_duplicates()
    listed = sum(len(read_claims(name).claims) for name in LISTS)
    assert len(claims) == listed * (len(pools) + pools["task"].nunique())
    assert set(claims["verdict"]) <= set(VERDICTS.values())
    untested = claims[claims["list"] == "majority-of-the-bests"]["verdict"]
    assert set(untested) == {"not testable here"}


def test_ensembles_and_budgets_are_consistent_with_the_pools() -> None:
    pools = pd.read_csv(OUT / "pools.csv").query("method == 'majority'")
    ensembles = pd.read_csv(OUT / "ensembles.csv")
    for (task, n), rows in ensembles[ensembles["n"] > 0].groupby(["task", "n"]):
        best = pools[(pools["task"] == task) & (pools["n"] == n)]["score"].max()
        whole = rows[rows["size"] == rows["size"].max()]
        assert whole["best"].to_numpy() == pytest.approx(best, abs=2e-3)
    beaten = pd.read_csv(OUT / "beaten.csv")
    assert (beaten["beats_best_low"] <= beaten["beats_best_high"]).all()
    budgets = pd.read_csv(OUT / "budgets.csv")
    even = budgets[(budgets["rule"] == "even") & (budgets["per_question"] == 8)]
    both = even.merge(pools[pools["n"] == 8], on=["task", "model"], suffixes=("", "_there"))
    assert len(both) == len(pools[["task", "model"]].drop_duplicates())
    assert (both["score"] - both["score_there"]).abs().max() < 2e-3
    # A run leaves out a question whose rollouts have no tokens; there is one in some pools.
    assert (both["tokens"] / both["tokens_there"] - 1).abs().max() < 0.01


def test_thresholds_agree_with_the_exact_rules() -> None:
    exact = pd.read_csv(OUT / "pools.csv").query("n == 40")
    drawn = pd.read_csv(OUT / "thresholds.csv")
    usual = {"adaptive-consistency": 0.95, "majority-threshold": 0.8, "best-of-infinity": 10.0}
    for family, threshold in usual.items():
        own = drawn[(drawn["family"] == family) & (drawn["threshold"] == threshold)]
        both = own.merge(
            exact[exact["method"] == family], on=["task", "model"], suffixes=("", "_there")
        )
        assert len(both) == len(exact[["task", "model"]].drop_duplicates())
        assert (both["score"] - both["score_there"]).abs().max() < 0.01
        assert (both["tokens"] / both["tokens_there"] - 1).abs().max() < 0.06
