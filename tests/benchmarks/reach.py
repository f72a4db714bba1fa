"""What selectors reach with a judge and a reward model of known skill, beside what they should.

    python -m tests.benchmarks.reach --write docs/selectors.md

The scripted judge is right 80 % of the time (`tests/aggregators/judged.py`), the scripted reward
model has an AUROC of 82.5 % (`rated.py`). Methods are those of the catalogue, asked through the
cache as in a run. `--write` replaces the page's tables. The defaults take less than a minute of CPU
time, `--n 4,8,16 --rated 2,4,8 --questions 400` take five.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from tabulate import tabulate

from cat_bench.cache import Cache
from cat_bench.loading.catalog import method
from cat_bench.models.lending import Roles
from cat_bench.types.plugins import Aggregator
from cat_bench.types.records import Pool
from tests.aggregators import judged, rated
from tests.documents import replace_between

GAMES = 10
"""Simulations of each question."""
JUDGED_MARKS = ("<!-- judged -->", "<!-- /judged -->")
RATED_MARKS = ("<!-- rated -->", "<!-- /rated -->")


async def reach_all(
    method: Aggregator, pools: Sequence[Pool], roles: Roles, cache: Cache
) -> list[tuple[float, int]]:
    """What a method reaches on each pool, and its calls; all pools at the same time."""
    return await asyncio.gather(*(judged.reach(method, pool, roles, cache) for pool in pools))


async def judged_rows(questions: int, sizes: Sequence[int], cache: Cache) -> list[list[str]]:
    """A row for each selector and n, on the same pools for all."""
    rng, rows = np.random.default_rng(0), []
    flags = {n: rng.random((questions, n)) < rated.SHARE for n in sizes}
    roles = judged.roles_with_judge(cache)
    for name, simulate in judged.SIMULATIONS.items():
        sys.stderr.write(f"{name}\n")
        aggregator = method(name).aggregator
        for n in sizes:
            pools = [judged.make_pool(row, f"{n} {k}") for k, row in enumerate(flags[n].tolist())]
            found = await reach_all(aggregator, pools, roles, cache)
            played = [simulate(row, rng) for _ in range(GAMES) for row in flags[n].tolist()]
            (share, calls), (expected, due) = (np.mean(each, axis=0) for each in (found, played))
            error = _error(played, questions)
            rows.append(
                [f"`{name}`", str(n), f"{calls:.1f}", f"{due:.1f}", f"{100 * share:.1f}",
                 f"{100 * expected:.1f}", f"{100 * (share - expected):+.1f} ± {196 * error:.1f}"]
            )  # fmt: skip
    return rows


def _error(played: Sequence[tuple[float, int]], questions: int) -> float:
    """The standard error of the difference on the same pools: coins alone differ."""
    games = np.array([share for share, _ in played]).reshape(GAMES, questions)
    within = games.var(axis=0, ddof=1).mean()
    return float(np.sqrt(within / questions * (1 + 1 / GAMES)))


async def rated_rows(sizes: Sequence[int], cache: Cache) -> list[list[str]]:
    """A row for each method by the reward model: reached and exact, averaged over all pools."""
    rows, roles = [], rated.roles_with_reward(cache)
    for name, formula in rated.FORMULAS.items():
        sys.stderr.write(f"{name}\n")
        aggregator, cells, gaps = method(name).aggregator, [], []
        for n in sizes:
            pools = [draw.pool for draw in rated.draws(n)]
            found = await reach_all(aggregator, pools, roles, cache)
            mean = sum(
                d.chance * share for d, (share, _) in zip(rated.draws(n), found, strict=True)
            )
            cells.append(f"{100 * mean:.2f}")
            gaps.append(abs(mean - formula(n)))
        rows.append([f"`{name}`", *cells, f"{max(gaps):.0e}"])
    return rows


async def _tables(given: argparse.Namespace, folder: Path) -> tuple[str, str]:
    """The two tables in Markdown."""
    head = ["method", "n", "calls", "simulated", "reached, %", "simulated, %", "gap, points"]
    rated_head = ["method", *(f"n = {n}, %" for n in given.rated), "largest gap to the exact value"]
    with Cache(folder / "calls.sqlite") as cache:
        first = _render(head, await judged_rows(given.questions, given.n, cache))
        return first, _render(rated_head, await rated_rows(given.rated, cache))


def _render(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    align = ["left", *["right"] * (len(head) - 1)]
    return tabulate(rows, head, tablefmt="pipe", disable_numparse=True, colalign=align)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=150)
    parser.add_argument("--n", type=_numbers, default=[8])
    parser.add_argument("--rated", type=_numbers, default=[2, 4])
    parser.add_argument("--write", type=Path, help="the page whose tables are replaced")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        tables = asyncio.run(_tables(given, Path(folder)))
    for table, marks in zip(tables, (JUDGED_MARKS, RATED_MARKS), strict=True):
        sys.stdout.write(f"{table}\n\n")
        if given.write:
            replace_between(given.write, marks, table)


if __name__ == "__main__":
    _main()
