"""How good a signal is, against counting by hand and against a plugged-in reward model."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cat_bench import report
from cat_bench.report.signals import (
    Ratings,
    Record,
    calibration,
    concordance,
    quality,
    render_signals,
    score_best_of,
)
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_rollouts
from cat_bench.runs.opening import run
from cat_bench.runs.tables import RunTables
from tests.conftest import Workshop

VALUES = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0])), min_size=2)
LIKES = """\
def likes(messages, response):
    return 0.9 if "yes" in response else 0.2
"""


@given(VALUES)
def test_the_auroc_is_the_share_of_pairs_in_the_right_order(
    values: list[tuple[int, float]],
) -> None:
    numbers, scores = (np.array(each, dtype=float) for each in zip(*values, strict=True))
    pairs = [(a, b) for a, b in product(values, values) if a[1] > b[1]]
    expected = np.mean([(a[0] > b[0]) + (a[0] == b[0]) / 2 for a, b in pairs]) if pairs else np.nan
    np.testing.assert_allclose(concordance(numbers, scores), expected)


def test_a_number_that_is_right_up_to_the_best_is_over_optimised() -> None:
    # The highest number of each question stands on a wrong rollout, the next ones on right ones.
    numbers, scores = np.array([9.0, 5, 4, 3, 2, 1]), np.array([0.0, 1, 1, 0, 0, 0])
    record = Record(rated=[(numbers, scores)] * 12, orders=[concordance(numbers, scores)] * 12)
    found = score_best_of(record)
    curve = dict(zip(found.budgets, found.means, strict=True))
    for n in (1, 2, 4, 6):
        drawn = [scores[min(subset)] for subset in combinations(range(6), n)]
        assert curve[n] == pytest.approx(np.mean(drawn))
    (row,) = quality({"it": record}).to_dict("records")
    assert row["n_highest"] == 2
    assert row["score_last"] == 0
    assert row["fall"] == pytest.approx(-row["score_highest"])
    assert np.isnan(row["calibration_error"])
    assert "-" in render_signals({"it": record})


def test_where_more_samples_never_hurt_there_is_no_fall() -> None:
    numbers, scores = np.array([4.0, 3, 2, 1]), np.array([1.0, 0, 0, 0])
    (row,) = quality({"it": Record(rated=[(numbers, scores)] * 12)}).to_dict("records")
    assert (row["n_highest"], row["fall"]) == (4, 0)
    assert np.isnan(row["fall_low"])


def test_a_probability_is_calibrated_where_it_is_the_share_of_right_ones() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.random(20_000)
    scores = (rng.random(20_000) < numbers).astype(float)
    record = Record(rated=[(numbers, scores)])
    bins = calibration(record)
    assert bins["rollouts"].tolist() == [2000] * 10
    np.testing.assert_allclose(bins["number"], bins["score"], atol=0.04)
    squared = Record(rated=[(numbers**4, scores)])
    assert (quality({"it": squared})["calibration_error"] > 0.2).all()


async def test_a_run_keeps_the_numbers_that_its_methods_asked_for(workshop: Workshop) -> None:
    (workshop.folder / "likes.py").write_text(LIKES)
    config = RunConfig(
        task="toy/task.yaml",
        model="scripted:./model.py:reply",
        pool=4,
        methods=("single", "best_of_n{by=reward_model}", "best_of_n{by=length}"),
        reward_model="scripted:./likes.py:likes",
    )
    folder = (await run(config)).folder
    rollouts = read_rollouts(folder)
    named = {name for names in rollouts["rated_by"] for name in names}
    assert named == {"reward_model", "length"}
    records = RunTables(folder).reading(Ratings).records
    table = quality(records).set_index("signal")
    assert table.loc["reward_model", "auroc"] == 1
    assert table.loc["reward_model", "fall"] == 0
    report.write(folder)
    assert "reward_model" in (folder / "signals.md").read_text()
    assert (folder / "signals.csv").is_file()
    assert (folder / "signals.png").is_file()
    curve = pd.read_csv(folder / "signals-curve.csv").set_index(["signal", "n"])["score"]
    for name in ("reward_model", "length"):
        assert curve[name, 1] == pytest.approx(rollouts["score"].mean())
        assert curve[name, 4] == pytest.approx(table.loc[name, "score_last"])
    bins = pd.read_csv(folder / "signals-bins.csv").groupby("signal")
    assert (bins["rollouts"].sum() == len(rollouts)).all()


async def test_a_run_that_rates_nothing_has_no_such_file(workshop: Workshop) -> None:
    config = RunConfig(
        task="toy/task.yaml", model="scripted:./model.py:reply", pool=2, methods=("single",)
    )
    folder = (await run(config)).folder
    assert RunTables(folder).reading(Ratings).records == {}
    report.write(folder)
    assert not (folder / "signals.md").exists()
    assert render_signals({}) == ""
