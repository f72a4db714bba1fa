"""Add rows of the reference pools to the leaderboard.

    python -m tools.reference_board [--pools 'aime2025__*']

Each pool is played with few methods at one n, so that `cat-bench leaderboard check` recomputes its
rows in seconds. The pool's own file is what is published; its run's record is written beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cat_bench as cb
from cat_bench.cache import Cache, import_pool
from cat_bench.leaderboard import add
from tools.reference_table import POOLS, ROOT, name_of

BOARD = ROOT / "results" / "leaderboard.csv"
METHODS = ("majority", "adaptive-consistency", "esc")
AT = 40


def main(arguments: Sequence[str] | None = None) -> None:
    """Add the rows of the pools that the options name."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pools", default="aime2025__*")
    options = parser.parse_args(arguments)
    for pool in sorted(POOLS.glob(f"{options.pools}.jsonl.gz")):
        add_rows(pool, BOARD)


def add_rows(pool: Path, board: Path) -> tuple[int, int]:
    """Play one pool and add its rows; return how many are new, and how many were there."""
    name = name_of(pool)
    with TemporaryDirectory() as folder:
        os.environ["CAT_BENCH_CACHE"] = str(Path(folder, "cache.sqlite"))
        with Cache() as cache:
            import_pool(cache, pool, name=name, model=name.partition("__")[2], scorer="math_equal")
        run = Path(folder, "run")
        cb.run(
            f"pool:{name}",
            model=f"replay:{name}",
            methods=METHODS,
            n=(AT,),
            offline=True,
            progress=False,
            out=str(run),
        )
        return asyncio.run(add(run, board, pool=pool))


if __name__ == "__main__":
    main()
