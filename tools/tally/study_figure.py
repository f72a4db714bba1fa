"""The study's figure: each recipe's score, and the accuracy of its references and rewards."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cat_bench.report.canvas import WIDTH, render_figure
from cat_bench.report.palette import Look, series
from cat_bench.training.chart import SMOOTH, smooth
from cat_bench.types.calls import JSON
from tools.tally.study_lines import Line

SHARES = {
    "rollout_accuracy": "rollouts that are right",
    "reference_accuracy": "references that are right",
    "reward_accuracy": "rewards that are right",
}


def figure(
    lines: Sequence[Line],
    steps: pd.DataFrame,
    before: Mapping[str, JSON],
    record: Mapping[str, JSON],
    *,
    level: int | None = None,
) -> dict[str, bytes]:
    """Return the figure as "png" and "svg".

    `before` holds the initial policy's scores by method, and `record` is a training's; `level` is
    the level of all training problems, or None.
    """
    return render_figure(lambda: _figure(lines, steps, before, record, level))


def _figure(
    lines: Sequence[Line],
    steps: pd.DataFrame,
    before: Mapping[str, JSON],
    record: Mapping[str, JSON],
    level: int | None,
) -> Figure:
    figure = Figure(figsize=(WIDTH, 6.2), layout="constrained")
    trained = "trained by each recipe" + ("" if level is None else f" on level {level} alone")
    model, asked = record["session"]["model"], record["exam"]["questions"]
    name = f"{record['session']['task']} · {model}, {trained} · {asked:,} questions"
    figure.suptitle(name, x=0.01, ha="left", size=9)
    grid = figure.add_gridspec(2, len(SHARES))
    scores = figure.add_subplot(grid[0, :])
    _scores(scores, lines, before)
    for place, (name, label) in enumerate(SHARES.items()):
        axes = figure.add_subplot(grid[1, place])
        for index, line in enumerate(lines):
            _draw_over_steps(axes, steps[steps["recipe"] == line.recipe], name, line, series(index))
        axes.set_ylim(0, 102)
        axes.set_title(label, loc="left")
        axes.set_xlabel("step")
        if place == 0:
            axes.set_ylabel(f"%, mean of {SMOOTH} steps")
            handles = [*scores.get_legend_handles_labels()[0], *axes.lines]
            figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _scores(axes: Axes, lines: Sequence[Line], before: Mapping[str, JSON]) -> None:
    for place, line in enumerate(lines):
        axes.errorbar(
            100 * line.after,
            place,
            xerr=[
                [100 * (line.gain.mean - line.gain.low)],
                [100 * (line.gain.high - line.gain.mean)],
            ],
            fmt=series(place).marker,
            color=series(place).colour,
            capsize=2.5,
        )
        for gain in (line.least, line.most):
            score = 100 * (before["single"]["score"] + gain)
            axes.plot(score, place + 0.28, "|", color=series(place).colour, markersize=7)
    for method, style, label in (
        ("single", "-", "initial policy"),
        ("cat", "--", "its synthesis of 8"),
    ):
        axes.axvline(100 * before[method]["score"], color="0.4", linestyle=style, label=label)
    axes.set_yticks(range(len(lines)), [_name(line) for line in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlabel("mean@1 after training, % (95 % interval of the gain; ticks: extreme seeds)")


def _name(line: Line) -> str:
    return f"{line.recipe} (control)" if line.control else line.recipe


def _draw_over_steps(axes: Axes, steps: pd.DataFrame, name: str, line: Line, look: Look) -> None:
    if name not in steps or (known := steps.dropna(subset=[name])).empty:
        return
    mean = known.groupby("step")[name].mean()
    axes.plot(
        mean.index,
        100 * smooth(mean.to_numpy(float)),
        color=look.colour,
        linestyle=look.line,
        label=_name(line),
    )
