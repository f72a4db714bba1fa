"""Summarise the study's trainings as a table, a figure and a page, with the missing ones.

A recipe of which no training is there keeps its row and its steps of a table published before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from cat_bench.types.calls import JSON
from tools.tally.study_figure import figure
from tools.tally.study_lines import Line, Training, average, published
from tools.tally.study_page import page

STEPS = "steps.csv"
SUMMARY = "summary.csv"


def summary(
    trainings: Sequence[Training], *, level: int | None = None, before: Path | None = None
) -> dict[str, bytes]:
    """Return each file's name and content; empty before the first training is done.

    `level`: the level of all problems trained on; None: every level. `before`: the folder of the
    table published before.
    """
    done = [training for training in trainings if training.done]
    if not done:
        return {}
    groups: dict[str, list[Training]] = {training.recipe: [] for training in trainings}
    for training in done:
        groups[training.recipe].append(training)
    lines = _lines(groups, before)
    made = {name for name, group in groups.items() if group}
    kept = {line.recipe for line in lines} - made
    missing = [
        f"{training.recipe} (seed {training.seed})"
        for training in trainings
        if not training.done and training.recipe not in kept
    ]
    steps = _steps(done, before, kept)
    record = done[0].told
    initial: Mapping[str, JSON] = record["outcome"]["before"]
    drawn = figure(lines, steps, initial, record, level=level)
    return {
        SUMMARY: _csv(pd.json_normalize([asdict(line) for line in lines], sep="_")),
        STEPS: _csv(steps.round(4)),
        "training.png": drawn["png"],
        "training.svg": drawn["svg"],
        "README.md": page(lines, initial, record, missing, level=level).encode(),
    }


def _lines(groups: Mapping[str, Sequence[Training]], before: Path | None) -> list[Line]:
    """Return a line for each recipe, made or published before."""
    known = {line.recipe: line for line in (published(before / SUMMARY) if before else ())}
    first = next(iter(groups.values()))
    base = average(first) if first else None
    return [
        Line.of(group, base=base) if group else known[name]
        for name, group in groups.items()
        if group or name in known
    ]


def _steps(done: Sequence[Training], before: Path | None, kept: set[str]) -> pd.DataFrame:
    """Return the steps of all trainings, those of the recipes `kept` as published before."""
    rows = [
        {"recipe": training.recipe, "seed": training.seed, **row}
        for training in done
        for row in training.steps
    ]
    if not kept or not before:
        return pd.DataFrame(rows)
    old = pd.read_csv(before / STEPS)
    return pd.concat([old[old["recipe"].isin(kept)], pd.DataFrame(rows)], ignore_index=True)


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n", float_format="%.4f").encode()
