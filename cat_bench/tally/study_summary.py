"""The study's trainings as a table, a figure and a page: what is done, and what is missing.

A recipe's scores are means over its seeds, question by question; an interval is over questions, for
these very policies, and beside it stands how far the seeds are apart.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cat_bench.intervals import paired_difference
from cat_bench.report.canvas import WIDTH, drawn
from cat_bench.report.palette import COLOURS, DASHES, MARKERS, Look
from cat_bench.report.values import read_values
from cat_bench.rl.chart import smoothed
from cat_bench.rl.journal import read
from cat_bench.types import JSON, FloatArray

N = 8
EDGE = 10
"""Steps that "at first" and "at last" mean."""
SHARES = {
    "reference_accuracy": "references that are right",
    "reward_accuracy": "rewards that are right",
}


@dataclass(frozen=True)
class Training:
    """One recipe with one seed, in a folder of its own."""

    recipe: str
    seed: int
    folder: Path

    @property
    def done(self) -> bool:
        """Whether it was measured to the end."""
        return (self.folder / "train.json").is_file()

    @cached_property
    def steps(self) -> list[dict[str, JSON]]:
        """A row for each step."""
        return read(self.folder / "metrics.jsonl")

    @cached_property
    def told(self) -> Mapping[str, JSON]:
        """What it found."""
        found: Mapping[str, JSON] = json.loads((self.folder / "train.json").read_text())
        return found

    def share(self, name: str, part: slice) -> float | None:
        """A share's mean over some of the steps."""
        known = [row[name] for row in self.steps[part] if row.get(name) is not None]
        alone: float | None = self.told["training"].get(name)
        return fmean(known) if known else alone

    def values(self, when: str, method: str) -> FloatArray:
        """The method's score on each question, in order."""
        values, _ = read_values(self.folder / when)
        return values.columns[(method, 0 if method == "greedy" else N)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A recipe's figures: scores in [0, 1], each after training; `gain` in mean@1 from before.

    `low` and `high` are its 95 % interval; `least` and `most` the seeds' own. `behind` is the mean
    less the initial policy's synthesis of 8, with its interval.
    """

    recipe: str
    seeds: int
    steps: int
    before: float
    after: float
    gain: float
    low: float
    high: float
    least: float
    most: float
    behind: float
    behind_low: float
    behind_high: float
    greedy: float
    majority: float
    cat: float
    tokens: float
    reference_first: float | None
    reference_last: float | None
    reward_first: float | None
    reward_last: float | None

    @classmethod
    def of(cls, group: Sequence[Training]) -> "Line":
        """Over the seeds of one recipe that are done."""
        before = group[0].values("before", "single")
        teacher = group[0].values("before", "cat")
        seeds = [each.values("after", "single") for each in group]
        mean = np.mean(seeds, axis=0)
        gain, behind = paired_difference(mean, before), paired_difference(mean, teacher)
        first, last = slice(EDGE), slice(-EDGE, None)

        def overall(name: str, part: slice) -> float | None:
            known = [share for each in group if (share := each.share(name, part)) is not None]
            return fmean(known) if known else None

        return cls(
            recipe=group[0].recipe,
            seeds=len(group),
            steps=max(row["step"] for row in group[0].steps),
            before=float(before.mean()),
            after=float(mean.mean()),
            gain=gain.mean,
            low=gain.low,
            high=gain.high,
            least=min(float((seed - before).mean()) for seed in seeds),
            most=max(float((seed - before).mean()) for seed in seeds),
            behind=behind.mean,
            behind_low=behind.low,
            behind_high=behind.high,
            **{
                method: fmean(float(each.values("after", method).mean()) for each in group)
                for method in ("greedy", "majority", "cat")
            },
            tokens=fmean(each.told["outcome"]["after"]["single"]["tokens"] for each in group),
            reference_first=overall("reference_accuracy", first),
            reference_last=overall("reference_accuracy", last),
            reward_first=overall("reward_accuracy", first),
            reward_last=overall("reward_accuracy", last),
        )


def summary(trainings: Sequence[Training]) -> dict[str, bytes]:
    """Each file's name and content; empty before the first training is done."""
    done = [each for each in trainings if each.done]
    if not done:
        return {}
    groups = {
        name: [each for each in done if each.recipe == name]
        for name in dict.fromkeys(each.recipe for each in done)
    }
    lines = [Line.of(group) for group in groups.values()]
    steps = pd.DataFrame(
        [{"recipe": each.recipe, "seed": each.seed, **row} for each in done for row in each.steps]
    )
    before: Mapping[str, JSON] = done[0].told["outcome"]["before"]
    missing = [f"{each.recipe} (seed {each.seed})" for each in trainings if not each.done]
    figure = drawn(lambda: _figure(groups, lines, before))
    return {
        "summary.csv": _csv(pd.DataFrame([asdict(line) for line in lines])),
        "steps.csv": _csv(steps.round(4)),
        "training.png": figure["png"],
        "training.svg": figure["svg"],
        "README.md": _page(lines, before, done[0].told, missing).encode(),
    }


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n", float_format="%.4f").encode()


def _figure(
    groups: Mapping[str, Sequence[Training]], lines: Sequence[Line], before: Mapping[str, JSON]
) -> Figure:
    figure = Figure(figsize=(WIDTH, 5.2), layout="constrained")
    grid = figure.add_gridspec(2, 2)
    _scores(figure.add_subplot(grid[0, :]), groups, lines, before)
    for place, (name, label) in enumerate(SHARES.items()):
        axes = figure.add_subplot(grid[1, place])
        for index, (recipe, group) in enumerate(groups.items()):
            _over_steps(axes, group, name, recipe, _look(index))
        axes.set_ylim(0, 1.02)
        axes.set_title(label, loc="left")
        axes.set_xlabel("step")
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
            xerr=[[100 * (line.gain - line.low)], [100 * (line.high - line.gain)]],
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


def _page(
    lines: Sequence[Line],
    before: Mapping[str, JSON],
    told: Mapping[str, Any],
    missing: Sequence[str],
) -> str:
    rows = "\n".join(_row(line) for line in lines)
    single, cat = before["single"], before["cat"]
    lacking = f"\nMissing: {', '.join(missing)}.\n" if missing else ""
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items() if number)
    return PAGE.format(
        rows=rows,
        questions=told["exam"]["questions"],
        single=100 * single["score"],
        majority=100 * before["majority"]["score"],
        greedy=100 * before["greedy"]["score"],
        cat=100 * cat["score"],
        one=single["tokens"],
        nine=cat["tokens"],
        missing=lacking,
        versions=versions,
    )


def _row(line: Line) -> str:
    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}"

    gain = f"{100 * line.gain:+.1f} [{100 * line.low:+.1f}, {100 * line.high:+.1f}]"
    seeds = f"{100 * line.least:+.1f} to {100 * line.most:+.1f} ({line.seeds})"
    behind = (
        f"{100 * line.behind:+.1f} [{100 * line.behind_low:+.1f}, {100 * line.behind_high:+.1f}]"
    )
    others = [line.greedy, line.majority, line.cat]
    rights = [line.reference_first, line.reference_last, line.reward_first, line.reward_last]
    cells = [line.recipe, percent(line.after), gain, seeds, behind, *map(percent, others)]
    cells += [f"{line.tokens:.0f}", *map(percent, rights)]
    return f"| {' | '.join(cells)} |"


PAGE = """\
# Training the bundled model on estimates

`make train` makes this folder: every recipe with several seeds, measured on {questions} fresh
problems (seeded by the digest of the initial weights, and of the split that is never trained on).
Before training: mean@1 {single:.1f} %, greedy {greedy:.1f}, majority@8 {majority:.1f}, and the
initial policy's synthesis of 8 rollouts, the teacher, {cat:.1f}. One generation takes {one:.0f}
tokens a problem, synthesis at 8 + 1 takes {nine:.0f}.

| recipe | mean@1 after, % | gain, points | of single seeds (how many) | less the teacher, points \
| greedy | majority@8 | cat@8 | tokens, one generation | references right at first | at last \
| rewards right at first | at last |
|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
{rows}

Intervals are over problems (95 %, paired), for the mean of these seeds' policies. `cat@8` is the
initial model's synthesis of the trained policy's rollouts. "At first" and "at last" are means over
10 steps, of the references and rewards that were trained on; `sft` has one set of references,
made before. `steps.csv` has every step, `summary.csv` the table.
{missing}
The model is a test subject made for the harness; it says nothing about real models. Made with
{versions}, on CPU, one thread a process.
"""
