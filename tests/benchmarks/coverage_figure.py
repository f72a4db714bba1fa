"""The figure of the coverage grid: every cell of `coverage.csv`, before and after.

python -m tests.benchmarks.coverage_figure
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd

from tests.benchmarks.coverage import COVERED, ERRED

RESULTS = Path(__file__).parent / "results"
PANELS = (
    ("covered", "intervals of means: share that holds the truth, %", COVERED),
    ("covered", "intervals of differences: share that holds the truth, %", COVERED),
    ("told", "no true difference: share with p below 0.05, %", ERRED),
)


def main() -> None:
    """Write coverage.png beside the CSV."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    table = pd.read_csv(RESULTS / "coverage.csv")
    scores = list(dict.fromkeys(table["scores"]))
    means = table["effect"].isna()
    null = table["effect"].abs() == 0
    figure, axes = plt.subplots(3, 1, figsize=(9, 9), sharex=True, layout="constrained")
    for axis, (column, title, limit), rows in zip(axes, PANELS, (means, ~means, null), strict=True):
        for name, shift, colour in (("_before", -0.18, "0.6"), ("", 0.18, "tab:blue")):
            shown = table[rows & table[column + name].notna()]
            spread = np.linspace(-0.13, 0.13, 9)[np.arange(len(shown)) % 9]
            at = shown["scores"].map(scores.index) + shift + spread
            label = "before" if name else "now"
            axis.plot(at, 100 * shown[column + name], "o", ms=3.5, color=colour, label=label)
        axis.axhline(100 * limit, color="tab:red", lw=1)
        axis.set_title(title, loc="left", fontsize=10)
        axis.grid(axis="y", alpha=0.3)
    axes[0].legend(loc="lower left", ncols=2)
    axes[-1].set_xticks(range(len(scores)), [name.replace(" ", "\n") for name in scores])
    figure.savefig(RESULTS / "coverage.png", dpi=110)


if __name__ == "__main__":
    main()
