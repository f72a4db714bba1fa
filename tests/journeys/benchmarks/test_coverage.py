"""The published grid is that of the script, and cells of every kind hold."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import coverage_fresh
from tests.benchmarks.coverage import FAMILIES, Measured, failing, measure
from tests.benchmarks.coverage_grid import PUBLISHED, Cell, cells, data_sets

RESULTS = PUBLISHED.with_name("coverage.csv")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def key(row: dict[str, str]) -> tuple[str | float | None, ...]:
    numbers = ("questions", "mean", "draws", "other_draws", "effect")
    return row["scores"], *(float(row[name]) if row[name] else None for name in numbers)


def as_text(cell: Cell) -> dict[str, str]:
    return {name: "" if v is None else str(v) for name, v in asdict(cell).items()}


def test_the_published_grid_is_that_of_the_script() -> None:
    assert rows_of(PUBLISHED) == [as_text(cell) for cell in cells()]
    fresh = [as_text(cell) for cell in coverage_fresh.cells()]
    assert rows_of(coverage_fresh.PUBLISHED) == fresh


def test_no_published_result_fails() -> None:
    rows, grid = rows_of(RESULTS), {key(as_text(cell)): cell for cell in cells()}
    measured = [grid[key(row)] for row in rows]
    assert len(set(measured)) == len(rows) >= 60
    found = [
        Measured(
            sets=int(row["sets"]),
            covered=float(row["covered"]),
            width=float(row["width"]),
            without=float(row["without"]),
            told=float(row["told"]) if row["told"] else None,
        )
        for row in rows
    ]
    assert failing(zip(measured, found, strict=True)) == []


@pytest.mark.parametrize(
    "cell",
    [
        Cell("binary", 100, 0.01, 1),
        Cell("of 16", 30, 0.97, 4),
        Cell("lognormal", 100, 0.01, 16),
        Cell("sparse", 30, 0.03, 1),
        Cell("uneven clusters", 30, 0.1, 1),
        Cell("alike", 100, 0.1, 1, 16, 0.0),
        Cell("binary", 30, 0.01, 1, 1, 0.04),
        Cell("even clusters", 100, 0.1, 4, 4, 0.0),
    ],
    ids=lambda cell: f"{cell.scores}, {cell.questions}, {cell.mean}",
)
def test_cells_of_every_kind_hold_when_run_again(cell: Cell) -> None:
    found = measure(cell, 150, seed=1)
    assert found.without == 0
    assert failing([(cell, found)]) == []


def test_a_cell_that_misses_the_truth_too_often_fails() -> None:
    cell = Cell("binary", 100, 0.1, 1, 1, 0.0)
    low = Measured(sets=1000, covered=0.9, width=0.1, without=0.0, told=0.05)
    wrong = Measured(sets=1000, covered=0.95, width=0.1, without=0.0, told=0.08)
    right = Measured(sets=1000, covered=0.94, width=0.1, without=0.0, told=0.055)
    assert [got for _, got in failing([(cell, low), (cell, wrong), (cell, right)])] == [low, wrong]


@pytest.mark.parametrize(
    "cell", [*list(cells())[::97], *list(coverage_fresh.cells())[::41]], ids=str
)
def test_data_sets_have_the_mean_of_their_cell(cell: Cell) -> None:
    values, others = data_sets(cell, 400, rng=np.random.default_rng(5), families=FAMILIES)
    means = (values if others is None else values - others).mean(axis=1)
    assert abs(means.mean() - cell.truth) <= 4.5 * means.std() / 20 + 1e-9
