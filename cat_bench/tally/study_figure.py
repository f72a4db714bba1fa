"""The study's figure: what each recipe reached, and how right references and rewards were."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cat_bench.report.canvas import WIDTH, drawn
from cat_bench.report.palette import COLOURS, DASHES, MARKERS, Look
from cat_bench.rl.chart import smoothed
from cat_bench.tally.study_lines import Line, Training
from cat_bench.types import JSON

SHARES = {
    "rollout_accuracy": "rollouts that are right",
    "reference_accuracy": "references that are right",
    "reward_accuracy": "rewards that are right",
}


def figure(
    groups: Mapping[str, Sequence[Training]], lines: Sequence[Line], before: Mapping[str, JSON]
) -> dict[str, bytes]:
    """As "png" and "svg"; `before` holds the initial policy's scores by method."""
    return drawn(lambda: _figure(groups, lines, before))


def _figure(
    groups: Mapping[str, Sequence[Training]], lines: Sequence[Line], before: Mapping[str, JSON]
) -> Figure:
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, len(SHARES))
    _scores(figure.add_subplot(grid[0, :]), groups, lines, before)
    for place, (name, label) in enumerate(SHARES.items()):
        axes = figure.add_subplot(grid[1, place])
        for index, (recipe, group) in enumerate(groups.items()):
            _over_steps(axes, group, name, recipe, _look(index))
        axes.set_ylim(0, 1.02)
        axes.set_title(label, loc="left")
        axes.set_xlabel("step")
        if place == 0 and axes.lines:
            axes.legend(frameon=False)
    return figure


def _scores(
    axes: Axes,
    groups: Mapping[str, Sequence[Training]],
    lines: Sequence[Line],
    before: Mapping[str, JSON],
) -> None:
    for place, line in enumerate(lines):
        axes.errorbar(
            100 * line.after,
            place,
            xerr=[
                [100 * (line.gain.mean - line.gain.low)],
                [100 * (line.gain.high - line.gain.mean)],
            ],
            fmt=_look(place).marker,
            color=_look(place).colour,
            capsize=2.5,
        )
        for each in groups[line.recipe]:
            score = 100 * float(each.values("after", "single").mean())
            axes.plot(score, place + 0.28, "|", color=_look(place).colour, markersize=7)
    for method, style, label in (
        ("single", "-", "initial policy"),
        ("cat", "--", "its synthesis of 8"),
    ):
        axes.axvline(100 * before[method]["score"], color="0.4", linestyle=style, label=label)
    axes.set_yticks(range(len(lines)), [line.recipe for line in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlabel("mean@1 after training, % (95 % interval of the gain; ticks: single seeds)")
    axes.legend(frameon=False, loc="best")


def _over_steps(axes: Axes, group: Sequence[Training], name: str, label: str, look: Look) -> None:
    tables = [
        pd.Series({row["step"]: row[name] for row in each.steps if row.get(name) is not None})
        for each in group
    ]
    if known := [table for table in tables if len(table)]:
        mean = pd.concat(known, axis=1).mean(axis=1).sort_index()
        axes.plot(
            mean.index,
            smoothed(mean.to_numpy(float)),
            color=look.colour,
            linestyle=look.line,
            label=label,
        )


def _look(index: int) -> Look:
    return Look(COLOURS[index % 7], MARKERS[index % 12], DASHES[index % 3])
