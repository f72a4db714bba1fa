"""Several runs in one paired table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from cat_bench.errors import UnknownName, UsageError
from cat_bench.report import summarise
from cat_bench.report.compare import compare, render_compare
from tests.report.conftest import WARNINGS_FAIL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.report.conftest import Runs

pytestmark = WARNINGS_FAIL
TASK = {"name": "sums", "version": "1", "digest": "same"}


def two(runs: Runs, **second: Any) -> list[Path]:
    """small: majority 0, 0.5, 1 and cat 0.5, 0.5, 1; large: majority 1, 1 and unscored."""
    small = [
        *(r for n in (1, 2) for r in runs.scores("majority", n, [0.0, 0.5, 1.0])),
        *runs.scores("cat", 2, [0.5, 0.5, 1.0]),
    ]
    large = runs.scores("majority", 2, [1.0, 1.0, None])
    config = {"task": "sums", "model": "small", "pool": 2}
    return [
        runs.build(small, name="one", task=TASK, config=config),
        runs.build(
            large, name="two", **{"task": TASK, "config": config | {"model": "large"}, **second}
        ),
    ]


def row(table: pd.DataFrame, run: str, method: str, n: int = 2) -> dict[str, Any]:
    found = table[(table["run"] == run) & (table["method"] == method) & (table["n"] == n)]
    assert len(found) == 1
    return {str(key): value for key, value in found.to_dict("records")[0].items()}


def test_pairs_are_made_across_runs_by_question(runs: Runs) -> None:
    table = compare(two(runs))
    large = row(table, "large", "majority")
    assert large["reference"] == "small:majority@2"
    assert large["diff"] == pytest.approx((1.0 + 0.5) / 2)
    assert (large["pairs"], large["questions"]) == (2, 2)
    assert row(table, "small", "cat")["diff"] == pytest.approx(0.5 / 3)
    assert pd.isna(row(table, "small", "majority")["diff"])


@pytest.mark.parametrize(
    ("reference", "base"),
    [
        ("large:majority", "large:majority@2"),
        ("2:majority", "large:majority@2"),
        ("cat", "small:cat@2"),
        ("1:majority@1", "small:majority@1"),
    ],
)
def test_a_reference_is_named_by_run_and_method(runs: Runs, reference: str, base: str) -> None:
    assert set(compare(two(runs), reference=reference)["reference"].dropna()) == {base}


def test_a_row_is_compared_as_in_its_own_runs_table(runs: Runs) -> None:
    """A method with an n of its own meets the majority at its largest, and stays in the family."""
    rows = [
        *(r for n in (1, 2) for r in runs.scores("majority", n, [0.0, 0.5, 0.5 * n])),
        *runs.scores("cat-1", 1, [0.5, 0.25, 1.0]),
        *runs.scores("greedy", 0, [1.0, 1.0, 0.0]),
    ]
    methods = ["majority", runs.method("cat-1", budgets=[1]), runs.method("greedy", budgets=[0])]
    folder = runs.build(rows, methods, task=TASK)
    for reference in (None, "majority@2"):
        table, own = compare([folder], reference=reference), summarise(folder, reference=reference)
        for name in ("diff", "diff_low", "diff_high", "p", "p_holm"):
            assert list(table[name].fillna(-1)) == list(own[name].fillna(-1))


def test_an_unknown_reference_lists_what_there_is(runs: Runs) -> None:
    with pytest.raises(UnknownName, match="'large:majority'"):
        compare(two(runs), reference="large:majorty")


def test_runs_of_other_questions_are_refused(runs: Runs) -> None:
    with pytest.raises(UsageError, match="did not ask the same questions"):
        compare(two(runs, task=TASK | {"digest": "other"}))


def test_runs_of_one_model_go_by_their_folders(runs: Runs) -> None:
    folders = two(runs, config={"task": "sums", "model": "small", "pool": 2})
    assert list(dict.fromkeys(compare(folders)["run"])) == ["one", "two"]
    with pytest.raises(UsageError, match="the same folder"):
        compare([folders[0], folders[0]])


def test_the_table_has_every_method_at_its_largest_n(runs: Runs) -> None:
    lines = render_compare(compare(two(runs))).splitlines()
    assert lines[0] == "# sums: 2 runs"
    assert [line.split("|")[1:4] for line in lines[4:7]] == [
        [f" {run:5} ", f" {method:8} ", "   2 "]
        for run, method in (("large", "majority"), ("small", "cat"), ("small", "majority"))
    ]


def test_a_row_without_a_common_question_is_no_reference(runs: Runs) -> None:
    folders = two(runs)
    rows = runs.scores("majority", 2, [None, None, None])
    config = {"task": "sums", "model": "mute", "pool": 2}
    text = render_compare(compare([*folders, runs.build(rows, name="m", task=TASK, config=config)]))
    assert text.count(" reference |") == 1
    (mute,) = [line for line in text.splitlines() if line.startswith("| mute ")]
    assert [part.strip() for part in mute.split("|")][4:8] == ["", "", "", ""]


def test_the_notes_name_the_reference_and_each_warning_once(runs: Runs) -> None:
    folders = two(runs)
    text = render_compare(compare(folders))
    assert "score minus small:majority@2, over" in text
    assert "\n- Fewer than 100 independent questions.\n" in text
    assert "Few questions make the difference" not in text
    more = [row for n in (1, 2) for row in runs.scores("cat", n, [1.0, 0.5, 0.0])]
    config = {"task": "sums", "model": "third", "pool": 2}
    folders.append(runs.build(more, name="third", task=TASK, config=config))
    text = render_compare(compare(folders))
    assert "score minus small:majority, at the same n or its largest, over" in text
