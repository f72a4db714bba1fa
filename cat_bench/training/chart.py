"""The figure of a training: the accuracy of references and rewards, and the completions' length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cat_bench.report.canvas import WIDTH, legend, render_figure
from cat_bench.report.palette import Look, series
from cat_bench.types.calls import JSON, FloatArray

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
PLAIN = Look("0.25", "")
"""The colour of a single line, which the legend does not use."""
SMOOTH = 7
"""Steps of the running mean."""


def curves(rows: Sequence[Mapping[str, JSON]], *, name: str) -> dict[str, bytes]:
    """Return the figure as "png" and "svg", from the lines of a journal."""
    return render_figure(lambda: _figure(rows, name))


def _figure(rows: Sequence[Mapping[str, JSON]], name: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    scales = {key: label for key, label in SCALES.items() if _finite_points(rows, key)}
    heights = (2, 1) if scales else (1,)
    grid = figure.add_gridspec(len(heights), max(len(scales), 1), height_ratios=heights)
    shares = figure.add_subplot(grid[0, :])
    for index, (key, label) in enumerate(SHARES.items()):
        _line(shares, rows, key, series(index), label=label)
    shares.set_ylim(-0.02, 1.02)
    shares.set_ylabel(f"share (mean of {SMOOTH} steps)")
    shares.set_xlabel("" if scales else "step")
    shares.set_title(name, loc="left", parse_math=False)
    legend(figure, {str(line.get_label()): line for line in shares.lines})
    for index, (key, label) in enumerate(scales.items()):
        axes = figure.add_subplot(grid[1, index])
        _line(axes, rows, key, PLAIN)
        axes.set_title(label, loc="left")
        axes.set_xlabel("step")
    return figure


def _finite_points(rows: Sequence[Mapping[str, JSON]], key: str) -> list[tuple[float, float]]:
    return [(row["step"], row[key]) for row in rows if row.get(key) is not None]


def _line(
    axes: Axes, rows: Sequence[Mapping[str, JSON]], key: str, look: Look, *, label: str = ""
) -> None:
    if points := _finite_points(rows, key):
        steps, values = np.array(points, dtype=float).T
        axes.plot(steps, smooth(values), label=label, color=look.colour, linestyle=look.line)


def smooth(values: FloatArray) -> FloatArray:
    """Return the running mean over `SMOOTH` steps, fewer at both ends; shape (steps,)."""
    window = np.ones(SMOOTH)
    counts = np.convolve(np.ones(len(values)), window)[SMOOTH // 2 :][: len(values)]
    return np.asarray(np.convolve(values, window)[SMOOTH // 2 :][: len(values)] / counts)
