"""Forecast the gain of every training of the study: ``python -m tools.forecast.predict``.

One audit for each setting, on fresh problems of the split that is trained on. What it predicts is
written before any of these rewards is trained on, and the initial policy's score beside it.
`compare` holds it against the outcomes.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean

import click
import pandas as pd

from cat_bench.audit.candidates import Candidate
from cat_bench.audit.session import audit
from cat_bench.bundled.counsel.journeys import journey_rows
from cat_bench.bundled.tally.problems import problem_rows
from cat_bench.rewards import reward
from cat_bench.runs.config import RunConfig
from cat_bench.runs.places import results_root
from cat_bench.system.files import write_atomic
from cat_bench.training.fresh import write_rows
from cat_bench.training.recipes import recipe

GROUP = 8
SEED = 1000
"""That of the problems audited on: no training of the study has it."""
FILE = Path("results/forecast/forecasts.csv")
FIGURES = ("forecast", "best_of_n", "rank_correlation", "false_positives", "silent")
ENDS = ("", "_low", "_high")


@dataclass(frozen=True)
class Setting:
    """A bundled model, the problems that it is trained on, and the recipes that are tried.

    `known` are recipes whose outcomes had been published before the forecast was defined.
    """

    name: str
    task: str
    recipes: tuple[str, ...]
    known: tuple[str, ...]
    questions: int
    level: int | None = None

    def rows(self) -> list[dict[str, object]]:
        """Return the problems to audit on."""
        if self.task == "counsel":
            return list(journey_rows(self.questions, seed=SEED, split="train"))
        rows = problem_rows(10 * self.questions, seed=SEED, split="train")
        fitting = (row for row in rows if self.level in (None, row["level"]))
        return list(islice(fitting, self.questions))

    def candidates(self) -> Mapping[str, Candidate]:
        """Return the reward of each recipe."""
        specs = {name: recipe(name, scale="small").reward for name in (*self.recipes, *self.known)}
        return {name: Candidate(None, spec, reward(spec)) for name, spec in specs.items()}


CONTROLS = ("random", "format", "length", "shuffled", "self-certainty", "negative-entropy")
SETTINGS = (
    Setting(
        "tally", "tally", (*CONTROLS, "majority-share"), ("cat-rl", "ttrl", "scrl", "gold"), 300
    ),
    Setting(
        "tally, hardest",
        "tally",
        ("random", "negative-entropy"),
        ("cat-rl", "ttrl", "scrl", "gold"),
        300,
        level=4,
    ),
    Setting(
        "counsel",
        "counsel",
        ("random", "length", "shuffled-rubric", "negative-entropy"),
        ("cat-rl-rubric", "judge", "gold"),
        150,
    ),
)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=FILE, show_default=True)
def main(out: Path) -> None:
    """Audit the rewards of every setting, and write what each is expected to gain."""
    rows, scores = [], []
    for setting in SETTINGS:
        predicted, score = predict(setting)
        rows += predicted
        scores.append({"setting": setting.name, "score": score})
    for path, table in ((out, rows), (out.with_name("initial.csv"), scores)):
        write_atomic(path, pd.DataFrame(table).to_csv(index=False, float_format="%.4f").encode())
        click.echo(os.path.relpath(path))


def predict(setting: Setting) -> tuple[list[dict[str, object]], float]:
    """Return a row for each recipe, and the mean score of the initial policy's rollouts.

    Figures that the audit cannot tell are missing.
    """
    folder = results_root().parent / "forecast" / setting.name.replace(", ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "problems.jsonl"
    write_rows(data, setting.rows())
    config = RunConfig(
        task=setting.task,
        model=setting.task,
        data=data,
        pool=GROUP,
        methods=("single",),
        out=folder,
    )
    named = setting.candidates()
    result = asyncio.run(audit(config, list(named.values()), group=GROUP, keep=True))
    groups = result.groups["gold"]
    score = fmean(truth or 0.0 for group in groups for truth in group.audited.truth)
    told = {row["name"]: row for row in result.record["rewards"]}
    rows = [
        {
            "setting": setting.name,
            "recipe": name,
            "reward": candidate.name,
            "known": name in setting.known,
            "questions": setting.questions,
            **{f + end: told[candidate.name][f + end] for f in FIGURES for end in ENDS},
        }
        for name, candidate in named.items()
    ]
    return rows, score


if __name__ == "__main__":
    main()
