"""Hold the forecasts against the outcomes: ``python -m tools.forecast.compare``.

The outcome of a training is the score of its rollouts in steps 21 to 30 minus that of the initial
policy. The problems of a step were not seen before, so the score is the policy's mean@1 on the
split that is trained on. Recipes whose outcomes were known before are read from their published
steps.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from scipy.stats import rankdata
from tabulate import tabulate

from cat_bench.report.canvas import WIDTH, render_figure
from cat_bench.report.cells import rows_of
from cat_bench.report.palette import series
from cat_bench.report.rounding import format_fixed, format_measured
from cat_bench.system.files import write_atomic
from cat_bench.types.calls import JSON, FloatArray
from tools.forecast.predict import SETTINGS
from tools.forecast.train import STEPS
from tools.tally.study_lines import CONTROLS

FOLDER = Path("results/forecast")
PUBLISHED = {
    "tally": Path("results/training/steps.csv"),
    "tally, hardest": Path("results/training-hard/steps.csv"),
    "counsel": Path("results/training-counsel/steps.csv"),
}
WINDOW = 10
"""The last steps that an outcome is the mean of."""
SEEDS = 3
RESAMPLES = 2000
MARK = 10
"""Half the size of a point in the figure, in pixels."""
BESIDE = (("left", (6, 3)), ("left", (6, -8)), ("right", (-6, 3)), ("right", (-6, -8)))
"""Where a point's name may be: its alignment and its offset in points."""
PAGE = (Path(__file__).parent / "page.md").read_text(encoding="utf-8")


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True)
def main(folder: Path) -> None:
    """Write the table, the figure and the page from the published steps."""
    pairs = compare(folder)
    drawn = render_figure(lambda: draw(pairs))
    missing = sorted(
        f"{setting.name}: {recipe}"
        for setting in SETTINGS
        for recipe in setting.recipes
        if not ((pairs["setting"] == setting.name) & (pairs["recipe"] == recipe)).any()
    )
    contents = {
        "outcomes.csv": pairs.to_csv(index=False, float_format="%.4f").encode(),
        "forecast.png": drawn["png"],
        "forecast.svg": drawn["svg"],
        "README.md": page(pairs, missing).encode(),
    }
    for name, content in contents.items():
        write_atomic(folder / name, content)
    click.echo(folder / "README.md")


def compare(folder: Path) -> pd.DataFrame:
    """Return a row for each pair of setting and recipe of which every seed was trained."""
    forecasts = pd.read_csv(folder / "forecasts.csv")
    initial = pd.read_csv(folder / "initial.csv").set_index("setting")["score"]
    own = pd.read_csv(folder / "steps.csv")
    published = [pd.read_csv(path).assign(setting=name) for name, path in PUBLISHED.items()]
    rows = []
    for forecast in rows_of(forecasts):
        steps = pd.concat(published) if forecast["known"] else own
        same = (steps["setting"] == forecast["setting"]) & (steps["recipe"] == forecast["recipe"])
        gains = _gains(steps[same]) - initial[forecast["setting"]]
        if len(gains) == SEEDS:
            told = {"gain": gains.mean(), "least": gains.min(), "most": gains.max()}
            rows.append({**forecast, "control": forecast["recipe"] in CONTROLS, **told})
    return pd.DataFrame(rows)


def _gains(steps: pd.DataFrame) -> FloatArray:
    """Return each seed's score of rollouts in the last steps; a training that lacks them has none.

    Published trainings went on; only their first steps count.
    """
    last = steps[(steps["step"] > STEPS - WINDOW) & (steps["step"] <= STEPS)]
    seeds = last.groupby("seed")["rollout_accuracy"].agg(["mean", "count"])
    found: FloatArray = seeds[seeds["count"] == WINDOW]["mean"].to_numpy(float)
    return found


def rank_correlation(pairs: pd.DataFrame, by: str) -> tuple[float, float, float]:
    """Return Spearman's correlation of a column with the gain, and its bootstrap over pairs."""
    if len(pairs) < 3:
        return np.nan, np.nan, np.nan
    values = pairs[[by, "gain"]].to_numpy(float)
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(RESAMPLES, len(values)))]
    low, high = np.nanquantile(_spearman(drawn), (0.025, 0.975))
    return float(_spearman(values[None])[0]), float(low), float(high)


def _spearman(samples: FloatArray) -> FloatArray:
    """Return Spearman's correlation in samples (..., pairs, 2); NaN where a side is constant."""
    ranks = rankdata(samples, axis=-2)
    apart = ranks - ranks.mean(axis=-2, keepdims=True)
    spread = (apart**2).sum(axis=-2)
    with np.errstate(invalid="ignore"):
        found: FloatArray = apart.prod(axis=-1).sum(axis=-1) / np.sqrt(spread.prod(axis=-1))
    return found


def page(pairs: pd.DataFrame, missing: Sequence[str]) -> str:
    """Return the page in Markdown."""
    groups = {
        "all pairs": pairs,
        "never trained on before the forecast": pairs[~pairs["known"]],
        "known before": pairs[pairs["known"]],
    }
    return PAGE.format(
        pairs=_table([_describe(row) for row in rows_of(pairs)]),
        correlations=_table([_summarise(name, group) for name, group in groups.items()]),
        missing=f"\nNot trained with every seed: {'; '.join(missing)}.\n" if missing else "",
        steps=STEPS,
        first=STEPS - WINDOW + 1,
        seeds=SEEDS,
    )


def _describe(row: Mapping[str, JSON]) -> dict[str, str]:
    ends = [row["forecast" + end] for end in ("", "_low", "_high")]
    return {
        "setting": row["setting"],
        "recipe": f"*{row['recipe']}*" if row["control"] else row["recipe"],
        "known before": "yes" if row["known"] else "",
        "forecast, points": format_measured(*ends, sign="+"),
        "gain, points (single seeds)": format_measured(
            row["gain"], row["least"], row["most"], sign="+"
        ),
        "gain minus forecast": format_measured(row["gain"] - row["forecast"], sign="+"),
        "best of n, points": format_measured(row["best_of_n"], sign="+"),
    }


def _summarise(name: str, group: pd.DataFrame) -> dict[str, str]:
    def told(by: str) -> str:
        return format_measured(*rank_correlation(group, by), scale=1, digits=2)

    errors = (group["gain"] - group["forecast"]).abs()
    return {
        "pairs": name,
        "number": str(len(group)),
        "rank correlation of the forecast": told("forecast"),
        "of best of n": told("best_of_n"),
        "mean absolute error, points": format_fixed(100 * errors.mean()),
    }


def _table(rows: Sequence[Mapping[str, str]]) -> str:
    return tabulate(rows, headers="keys", tablefmt="pipe", disable_numparse=True)


def draw(pairs: pd.DataFrame) -> Figure:
    """Return the figure: forecast against gain, one point for each pair."""
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for place, (setting, group) in enumerate(pairs.groupby("setting", sort=False)):
        look = series(place)
        for known, part in group.groupby("known"):
            axes.errorbar(
                100 * part["forecast"],
                100 * part["gain"],
                yerr=100 * np.array([part["gain"] - part["least"], part["most"] - part["gain"]]),
                fmt=look.marker,
                color=look.colour,
                markerfacecolor="white" if known else look.colour,
                label=f"{setting}{', known before' if known else ''}",
            )
    ends = [
        min(axes.get_xlim()[0], axes.get_ylim()[0]),
        max(axes.get_xlim()[1], axes.get_ylim()[1]),
    ]
    axes.plot(ends, ends, color="0.7", linestyle="--", label="gain = forecast")
    axes.set_xlabel("forecast before training, points of mean@1")
    axes.set_ylabel(f"gain after about {STEPS} steps, points")
    axes.legend(loc="upper left", frameon=False, title="without a name: controls")
    _write_names(figure, axes, pairs[~pairs["control"]])
    return figure


def _write_names(figure: Figure, axes: Axes, pairs: pd.DataFrame) -> None:
    """Write each recipe beside its point, where it covers the fewest points and names."""
    figure.draw_without_rendering()
    points = 100 * pairs[["forecast", "gain"]].to_numpy(float)
    taken = [
        Bbox.from_extents(*(at - MARK), *(at + MARK)) for at in axes.transData.transform(points)
    ]
    for recipe, point in zip(pairs["recipe"], map(tuple, points), strict=True):
        texts = [
            axes.annotate(recipe, point, offset, textcoords="offset points", ha=side, size=7)
            for side, offset in BESIDE
        ]
        boxes = [text.get_window_extent() for text in texts]
        best = int(np.argmin([_covered(box, taken) for box in boxes]))
        taken.append(boxes[best])
        for k, text in enumerate(texts):
            if k != best:
                text.remove()


def _covered(box: Bbox, taken: Sequence[Bbox]) -> float:
    """Return the area of a box that others take, in square pixels."""
    common = (Bbox.intersection(box, other) for other in taken)
    return sum(part.width * part.height for part in common if part)


if __name__ == "__main__":
    main()
