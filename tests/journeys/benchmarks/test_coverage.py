"""The published grid is that of the script, and cells of every kind hold."""

from __future__ import annotations

import csv
from collections.abc import Iterable
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


def published(path: Path, cells: Iterable[Cell]) -> list[tuple[Cell, Measured]]:
    """What a CSV says of every cell of its grid."""
    grid = {key(as_text(cell)): cell for cell in cells}
    rows = {grid[key(row)]: row for row in rows_of(path)}
    assert rows.keys() == set(grid.values())
    return [
        (
            cell,
            Measured(
                sets=int(row["sets"]),
                covered=float(row["covered"]),
                width=float(row["width"]),
                without=float(row["without"]),
                told=float(row["told"]) if row["told"] else None,
            ),
        )
        for cell, row in rows.items()
    ]


def test_no_published_result_fails() -> None:
    found = published(RESULTS, cells())
    assert failing(found) == []
    assert all(got.sets >= 500 and got.without == 0 for _, got in found)


def test_of_the_fresh_grid_only_rare_jumps_fail_as_the_page_says() -> None:
    found = published(RESULTS.with_name("coverage_fresh.csv"), coverage_fresh.cells())
    failed = {cell for cell, _ in failing(found)}
    page = Path(__file__).parents[3] / "docs" / "estimates.md"
    assert {cell.scores for cell in failed} == {"band"}
    assert f"fails in {len(failed)} cells" in page.read_text("utf-8")


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
