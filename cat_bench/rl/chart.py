"""The figure of a training: the accuracy of references and rewards, and the completions' length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cat_bench.report.canvas import WIDTH, drawn
from cat_bench.report.palette import series
from cat_bench.types import JSON, FloatArray

SHARES = {
    "reward": "mean reward",
    "rollout_accuracy": "rollouts that are right",
    "reference_accuracy": "references that are right",
    "reward_accuracy": "rewards that are right",
    "no_advantage": "groups without advantage",
    "truncated": "completions cut off",
    "token_accuracy": "tokens predicted",
}
SCALES = {"loss": "loss", "completion_tokens": "tokens a completion", "entropy": "entropy, nats"}
SMOOTH = 7
"""Steps of the running mean."""


def curves(rows: Sequence[Mapping[str, JSON]], *, name: str) -> dict[str, bytes]:
    """The figure as "png" and "svg", from the lines of a journal."""
    return drawn(lambda: _figure(rows, name))


def _figure(rows: Sequence[Mapping[str, JSON]], name: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    grid = figure.add_gridspec(2, len(SCALES), height_ratios=(2, 1))
    shares = figure.add_subplot(grid[0, :])
    for index, (key, label) in enumerate(SHARES.items()):
        _line(shares, rows, key, label, index)
    shares.set_ylim(-0.02, 1.02)
    shares.set_ylabel(f"share (mean of {SMOOTH} steps)")
    shares.set_title(name, loc="left", parse_math=False)
    if shares.lines:
        figure.legend(handles=shares.lines, loc="outside right upper", frameon=False)
    for index, (key, label) in enumerate(SCALES.items()):
        axes = figure.add_subplot(grid[1, index])
        _line(axes, rows, key, label, index)
        axes.set_title(label, loc="left")
        axes.set_xlabel("step")
    return figure


def _line(axes: Axes, rows: Sequence[Mapping[str, JSON]], key: str, label: str, index: int) -> None:
    known = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
    if known:
        steps, values = np.array(known, dtype=float).T
        look = series(index)
        axes.plot(steps, smoothed(values), label=label, color=look.colour, linestyle=look.line)


def smoothed(values: FloatArray) -> FloatArray:
    """The running mean over `SMOOTH` steps, fewer at both ends; shape (steps,)."""
    window = np.ones(SMOOTH)
    counts = np.convolve(np.ones(len(values)), window)[SMOOTH // 2 :][: len(values)]
    return np.asarray(np.convolve(values, window)[SMOOTH // 2 :][: len(values)] / counts)
