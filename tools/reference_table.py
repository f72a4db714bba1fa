"""Recompute the reference table: every call-free method on the published pools of real models.

    python -m tools.reference_table [--processes 2] [--redraw] [--out FOLDER]

Each pool of `results/pools/best_of_infinity` is imported and run as `cat-bench cache import` and
`cat-bench run` do it, offline, into `results/runs/reference`. `results/reference` then gets

- `pools.csv`: a row per pool, method and n;
- `models.csv`: the mean over the models of a task, per method and n, and of each step of the vote;
- `ensembles.csv` and `beaten.csv`: several models' votes together (`tools.reference_ensembles`);
- `thresholds.csv` and `budgets.csv`: rules at many thresholds, and samples spread over questions
  (`tools.reference_curves`);
- `claims.csv`: papers' claims on every pool (`tools.reference_claims`);
- pages and figures, which `tools.reference_pages` makes of these files alone.

Invariants: no model is called; the same pools give the same files, in whichever order and in
however many processes they were computed. `--redraw` reads the runs that are there already.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import pandas as pd

import cat_bench as cb
from cat_bench.cache import Cache, import_pool
from cat_bench.report.summary import MAJORITY, ORACLE, SINGLE
from cat_bench.report.values import per_question
from cat_bench.stats.meta import average_over_models
from cat_bench.system.parallel import open_executor
from tools.reference_claims import pool_claims, task_claims
from tools.reference_curves import Curves, draw_curves
from tools.reference_ensembles import Together, combine_votes
from tools.reference_pages import SILENT, write_pages

ROOT = Path(__file__).parents[1]
POOLS = ROOT / "results" / "pools" / "best_of_infinity"
RUNS = ROOT / "results" / "runs" / "reference"
OUT = ROOT / "results" / "reference"
METHODS = (
    "single",
    "majority",
    SILENT,
    "adaptive-consistency",
    "majority-threshold",
    "esc{window=5}",
    "esc{window=8}",
    "best-of-infinity",
)
BUDGETS = (1, 4, 8, 16, 40, 80)
"""The most that a method may sample; every pool has 80 rollouts or more."""
POOL_COLUMNS = {
    "method": "method",
    "n": "n",
    "questions": "questions",
    "score": "score",
    "ci_low": "ci_low",
    "ci_high": "ci_high",
    "calls": "samples",
    "completion_tokens": "tokens",
    "sequential_tokens": "sequential_tokens",
    "diff": "diff",
    "diff_low": "diff_low",
    "diff_high": "diff_high",
    "p_holm": "p_holm",
    "exact": "exact",
    "se_draws": "se_draws",
}
"""The columns of a run's table that `pools.csv` has, and their names there."""
COSTS = ["samples", "tokens", "sequential_tokens", "exact"]
Key: TypeAlias = tuple[str, int]
"""A method and an n."""


@dataclass(frozen=True, slots=True)
class Played:
    """One pool's rows of `pools.csv`, its questions' scores by method and n, and further rows."""

    rows: pd.DataFrame
    scores: pd.DataFrame
    curves: Curves
    claims: pd.DataFrame


def main(arguments: Sequence[str] | None = None) -> None:
    """Compute what the options say, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pools", default="*", help="only the pools of these names: aime2025__*")
    parser.add_argument("--redraw", action="store_true", help="read the runs that are there")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    pools = sorted(POOLS.glob(f"{options.pools}.jsonl.gz"), key=lambda path: -path.stat().st_size)
    play = partial(read if options.redraw else play_pool, runs=RUNS)
    with open_executor(options.processes) as executor:
        every = executor.map if executor else lambda function, items: list(map(function, items))
        played = every(play, pools)
        tasks = sorted({str(pool.rows["task"].iloc[0]) for pool in played})
        sets = every(partial(vote_together, runs=RUNS, pools=tuple(map(name_of, pools))), tasks)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, table in tables_of(played, dict(zip(tasks, sets, strict=True))).items():
        table.round(6).replace(-0.0, 0.0).to_csv(
            options.out / f"{name}.csv", index=False, lineterminator="\n"
        )
    write_pages(options.out)


def tables_of(played: Sequence[Played], sets: Mapping[str, Together]) -> dict[str, pd.DataFrame]:
    """Return all files' tables by name."""
    scores = {
        task: [pool.scores for pool in played if pool.rows["task"].iloc[0] == task] for task in sets
    }
    claims = pd.concat([pool.claims for pool in played])
    over = [
        task_claims(task, claims[claims["task"] == task], scores[task], sets[task].ensembles)
        for task in sets
    ]
    order = ["task", "model"]
    return {
        "pools": pool_table(played),
        "models": model_table(played),
        "ensembles": pd.concat([pool.ensembles for pool in sets.values()]),
        "beaten": pd.concat([pool.beaten for pool in sets.values()]),
        "thresholds": pd.concat([pool.curves.thresholds for pool in played]).sort_values(
            order, kind="stable"
        ),
        "budgets": pd.concat([pool.curves.budgets for pool in played]).sort_values(
            order, kind="stable"
        ),
        "claims": pd.concat([*over, claims]).sort_values(["list", "task", "model"], kind="stable"),
    }


def vote_together(task: str, *, runs: Path, pools: Sequence[str]) -> Together:
    """Return the rows of the ensembles of a task's models."""
    folders = sorted(runs / name for name in pools if name.startswith(f"{task}__"))
    return combine_votes(task, folders, cache=runs / "cache.sqlite", budgets=BUDGETS)


def play_pool(pool: Path, *, runs: Path) -> Played:
    """Import a pool's file, run all methods on it, and return what came of it.

    The cache lies beside the runs, so that answers are compared once.
    """
    os.environ["CAT_BENCH_CACHE"] = str(runs / "cache.sqlite")
    runs.mkdir(parents=True, exist_ok=True)
    name = name_of(pool)
    with Cache() as cache:
        import_pool(cache, pool, name=name, model=name.partition("__")[2], scorer="math_equal")
    cb.run(
        f"pool:{name}",
        model=f"replay:{name}",
        methods=METHODS,
        n=BUDGETS,
        offline=True,
        progress=False,
        out=str(runs / name),
    )
    return read(pool, runs=runs)


def read(pool: Path, *, runs: Path) -> Played:
    """Read a pool's finished run."""
    name = name_of(pool)
    task, _, model = name.partition("__")
    run = cb.load(runs / name)
    table = run.table
    table = table[(table["method"] != SINGLE) | (table["n"] == 1)]
    rows = table[list(POOL_COLUMNS)].rename(columns=POOL_COLUMNS)
    rows.insert(0, "task", task)
    rows.insert(1, "model", model)
    scores = per_question(run.scores)["value"].unstack(["method", "n"]).sort_index()
    scores = scores.loc[:, scores.columns.get_level_values("n").isin(BUDGETS)]
    return Played(rows, scores, draw_curves(runs / name), pool_claims(runs / name))


def name_of(pool: Path) -> str:
    """TASK__MODEL, as the file is called."""
    return pool.name.removesuffix(".jsonl.gz")


def pool_table(played: Sequence[Played]) -> pd.DataFrame:
    """Return a row per task, model, method and n: the columns of `POOL_COLUMNS`.

    Scores and their differences from the vote at the same n are shares, costs means per question.
    """
    rows = pd.concat([pool.rows for pool in played])
    order = {name: place for place, name in enumerate((*METHODS, ORACLE))}
    place = rows["method"].map(order)
    return (
        rows.assign(place=place).sort_values(["task", "model", "place", "n"]).drop(columns="place")
    )


def model_table(played: Sequence[Played]) -> pd.DataFrame:
    """Return the mean over a task's models, per method and n.

    `diff` is the difference from `against`: the vote at the same n, and for the vote itself that at
    the n before. Its interval and its prediction for a further model are those of
    `average_over_models`.
    """
    out = []
    for task, rows in pool_table(played).groupby("task"):
        scores = [pool.scores for pool in played if pool.rows["task"].iloc[0] == task]
        means = rows.groupby(["method", "n"], sort=False)[["score", *COSTS]].mean()
        for method, n in means.index:
            row = {"task": task, "models": len(scores), "questions": len(scores[0])}
            row |= {"method": method, "n": n, **means.loc[(method, n)]}
            out.append(row | _compare((method, n), _choose_opponent((method, n)), scores))
    return pd.DataFrame(out)


def _choose_opponent(key: Key) -> Key | None:
    """What a method at an n is compared with."""
    method, n = key
    if method != MAJORITY:
        return (MAJORITY, n)
    return next(((method, before) for before, now in pairwise(BUDGETS) if now == n), None)


def _compare(key: Key, other: Key | None, scores: Sequence[pd.DataFrame]) -> dict[str, object]:
    """The fields of the difference over models, which answered the same questions."""
    if other is None:
        return {}
    differences = pd.concat([table[key] - table[other] for table in scores], axis=1, join="outer")
    of = average_over_models(differences.to_numpy().T)
    return {
        "against": f"{other[0]}@{other[1]}",
        "diff": of.mean,
        "diff_low": of.low,
        "diff_high": of.high,
        "tau": of.tau,
        "predicted_low": of.predicted_low,
        "predicted_high": of.predicted_high,
    }


if __name__ == "__main__":
    main()
