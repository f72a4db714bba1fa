"""The figure of a training draws what there is."""

from __future__ import annotations

import numpy as np
import pytest

from cat_bench.training.chart import SMOOTH, curves, smooth
from cat_bench.types.calls import JSON


@pytest.mark.parametrize("rows", [[], [{"step": 1, "loss": None}], [{"step": 1, "reward": 0.5}]])
def test_whatever_the_journal_holds(rows: list[dict[str, JSON]]) -> None:
    figure = curves(rows, name="a_$task$")
    assert figure["png"].startswith(b"\x89PNG")
    assert b"a_$task$" in figure["svg"]


def test_what_was_not_measured_has_no_axes() -> None:
    rows = [{"step": 1, "loss": 0.5, "entropy": 0.1}, {"step": 2, "loss": 0.4}]
    figure = curves(rows, name="x")["svg"].decode()
    assert "entropy, nats" in figure
    assert "tokens a completion" not in figure


def test_a_running_mean_over_the_steps_there_are() -> None:
    values = np.arange(20.0) ** 2
    half = SMOOTH // 2
    wanted = [values[max(0, k - half) : k + half + 1].mean() for k in range(20)]
    np.testing.assert_allclose(smooth(values), wanted)
    assert smooth(np.array([3.0])).tolist() == [3.0]
