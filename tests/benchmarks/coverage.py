"""How often intervals hold the truth, and how often p errs, in every cell of `coverage_grid`.

    python -m tests.benchmarks.coverage [--grid fresh] [--sets 1000] [--out CSV]

`--every 16` takes every 16th cell, which is a hundred of them. A cell fails where its coverage is
significantly below 93 %, or where p is below 0.05 significantly more often than in 5.5 % of data
sets without a difference: one-sided binomial tests at 1 %, with Holm's correction over all cells.
`--before` is the CSV of another version, whose columns are put beside these.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy.stats import binomtest

from cat_bench.stats.intervals import Difference, Interval, holm, mean_interval, paired_difference
from tests.benchmarks import coverage_fresh, coverage_grid
from tests.benchmarks.coverage_grid import Cell, clusters_of, data_sets
from tests.benchmarks.table import show

COVERED, ERRED, SURE = 0.93, 0.055, 0.01
FAMILIES = coverage_grid.SCORES | coverage_fresh.SCORES
CELLS = {"first": coverage_grid.cells, "fresh": coverage_fresh.cells}
RESAMPLES = 999
"""Of p and of the exact intervals, to save time; the table's own have ten times as many."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was counted in one cell.

    `covered` and `width` are about the data sets with an interval, `without` the share of those
    without. `told` is the share with p below 0.05.
    """

    sets: int
    covered: float
    width: float
    without: float
    told: float | None = None


def measure(cell: Cell, sets: int, *, seed: int = 0) -> Measured:
    """Draw the data sets of a cell and count."""
    rng = np.random.default_rng([seed, *map(ord, repr(cell))])
    values, others = data_sets(cell, sets, rng=rng, families=FAMILIES)
    clusters = clusters_of(cell)
    intervals: Sequence[Interval | Difference]
    told = None
    if others is None:
        intervals = [mean_interval(row, clusters=clusters) for row in values]
    else:
        intervals = pairs = [
            paired_difference(row, other, clusters=clusters, resamples=RESAMPLES, seed=k)
            for k, (row, other) in enumerate(zip(values, others, strict=True))
        ]
        told = float(np.mean([each.p < 0.05 for each in pairs]))
    ends = np.array([(each.low, each.high) for each in intervals])
    least, largest = (0.0 if others is None else -1.0), 1.0
    given = ends[~np.isnan(ends[:, 0])].clip(least, largest)
    held = (given[:, 0] <= cell.truth + 1e-12) & (cell.truth - 1e-12 <= given[:, 1])
    return Measured(
        sets=sets,
        covered=float(held.mean()) if len(given) else np.nan,
        width=float((given[:, 1] - given[:, 0]).mean()) if len(given) else np.nan,
        without=1 - len(given) / sets,
        told=told,
    )


def measure_all(chosen: Sequence[Cell], sets: int, *, workers: int) -> list[tuple[Cell, Measured]]:
    """Every cell, in the order given."""
    with (
        ProcessPoolExecutor(workers) as executor,
        click.progressbar(
            executor.map(partial(measure, sets=sets), chosen, chunksize=4), len(chosen)
        ) as found,
    ):
        return list(zip(chosen, found, strict=True))


def failing(found: Iterable[tuple[Cell, Measured]]) -> list[tuple[Cell, Measured]]:
    """The cells whose coverage is too low, or whose p errs too often, beyond chance."""
    tests = []
    for cell, got in found:
        given = round(got.sets * (1 - got.without))
        if given:
            hits = round(got.covered * given)
            tests.append((cell, got, binomtest(hits, given, COVERED, "less").pvalue))
        if cell.effect == 0 and got.told is not None:
            hits = round(got.told * got.sets)
            tests.append((cell, got, binomtest(hits, got.sets, ERRED, "greater").pvalue))
    adjusted = holm([p for *_, p in tests])
    return [(c, got) for (c, got, _), p in zip(tests, adjusted, strict=True) if p < SURE]


def row_of(cell: Cell, got: Measured, before: Mapping[str, str]) -> dict[str, Any]:
    """One row of the CSV; the columns of the version before are empty where it has none."""
    row = {**asdict(cell), **asdict(got)}
    old = {
        f"{name}_before": before.get(name, "") for name in ("covered", "width", "told", "flagged")
    }
    ratio = {"width_ratio": got.width / float(before["width"])} if before.get("width") else {}
    return row | old | {"width_ratio": ""} | ratio


def read_before(path: Path | None) -> dict[tuple[str, ...], dict[str, str]]:
    """The rows of another version's CSV by cell."""
    if path is None:
        return {}
    with path.open(newline="") as file:
        return {_key(row): row for row in csv.DictReader(file)}


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("scores", "questions", "mean", "draws", "other_draws", "effect")
    return tuple("" if row[name] is None else str(row[name]) for name in names)


def main() -> None:
    """Print the failing cells, and write all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", choices=CELLS, default="first")
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    chosen = list(islice(CELLS[args.grid](), 0, None, args.every))
    found = measure_all(chosen, args.sets, workers=args.workers)
    before = read_before(args.before)
    rows = [row_of(cell, got, before.get(_key(asdict(cell)), {})) for cell, got in found]
    bad = failing(found)
    keys = {id(got) for _, got in bad}
    show([row for row, (_, got) in zip(rows, found, strict=True) if id(got) in keys] or rows[:1])
    click.echo(f"{len(bad)} of {len(found)} cells fail; {args.sets} data sets a cell.")
    if args.out:
        write(rows, args.out)


def write(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The CSV of all cells."""
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()})


if __name__ == "__main__":
    main()
