"""Summarise the study's trainings as a table, a figure and a page, with the missing ones."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import pandas as pd

from cat_bench.types.calls import JSON
from tools.tally.study_figure import figure
from tools.tally.study_lines import Line, Training, average
from tools.tally.study_page import page


def summary(trainings: Sequence[Training], *, level: int | None = None) -> dict[str, bytes]:
    """Return each file's name and content; empty before the first training is done.

    `level`: the level of all problems trained on; None: every level.
    """
    done = [training for training in trainings if training.done]
    if not done:
        return {}
    groups = {
        name: [training for training in done if training.recipe == name]
        for name in dict.fromkeys(training.recipe for training in done)
    }
    base = average(next(iter(groups.values())))
    lines = [Line.of(group, base=base) for group in groups.values()]
    steps = pd.DataFrame(
        [
            {"recipe": training.recipe, "seed": training.seed, **row}
            for training in done
            for row in training.steps
        ]
    )
    before: Mapping[str, JSON] = done[0].told["outcome"]["before"]
    missing = [
        f"{training.recipe} (seed {training.seed})" for training in trainings if not training.done
    ]
    drawn = figure(groups, lines, before, level=level)
    return {
        "summary.csv": _csv(pd.json_normalize([asdict(line) for line in lines], sep="_")),
        "steps.csv": _csv(steps.round(4)),
        "training.png": drawn["png"],
        "training.svg": drawn["svg"],
        "README.md": page(lines, before, done[0].told, missing, level=level).encode(),
    }


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n", float_format="%.4f").encode()
