"""A run's report on disk: Markdown, CSV and figures, all from its records.

Tables:

- `table`: the methods compared;
- `compute`: the methods compared at their costs;
- `forensics`: what synthesis does with its drafts, and what went wrong;
- `groups.csv`: scores by a field of the data, such as the level;
- `breakdown.csv`: scores by part, where a score has parts;
- `signals`, `signals-curve.csv`, `signals-bins.csv`: how well signals rank rollouts, if any do.

A run without labels has only `table` and `forensics.md`.

Figures, as PNG and SVG: `curve`, `compute`, `latency` (score by sequential tokens), `forest`,
`signals` and `by-FIELD` (a level, a subject, a rubric's theme or axis).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cat_bench.report.compute import Axis, Rates, compute, render_compute
from cat_bench.report.diversity import Clusters, diversity
from cat_bench.report.errata import errata_note
from cat_bench.report.forensics import Draws, forensics
from cat_bench.report.forensics_text import Reasons, render_forensics
from cat_bench.report.groups import groups
from cat_bench.report.rubric import KINDS, TagRows, blocks, breakdown
from cat_bench.report.signals import (
    Ratings,
    best_of_curves,
    calibration_bins,
    quality,
    render_signals,
)
from cat_bench.report.summary import summarise
from cat_bench.report.table import DETAILS, render
from cat_bench.report.unlabelled import Agreement, agreement_blocks
from cat_bench.report.values import PerQuestion, read_values
from cat_bench.report.votes import Votes
from cat_bench.runs.labels import is_unlabelled
from cat_bench.runs.tables import RunTables
from cat_bench.system.files import write_atomic
from cat_bench.system.parallel import Executor
from cat_bench.system.spreadsheet import csv_of

if TYPE_CHECKING:
    import pandas as pd

COST_FIGURES: dict[str, Axis] = {"compute": "tokens", "latency": "sequential_tokens"}
"""The figures of the score by cost: name → the cost on the axis."""


@dataclass(frozen=True, slots=True)
class Report:
    """A run's report in memory: file name → content."""

    folder: Path
    files: Mapping[str, bytes]

    @property
    def in_short(self) -> str:
        """The table in Markdown without its details, for a terminal."""
        return self.files["table.md"].decode().partition(DETAILS)[0].rstrip() + "\n"

    def write(self) -> list[Path]:
        """Put the files into the run's folder; raise UsageError if it cannot be written."""
        return [write_atomic(self.folder / name, data) for name, data in self.files.items()]


def markdown(run: RunTables | Path, *, reference: str | None = None) -> str:
    """Return the run's comparison table with its notes. Raises DataError, UnknownName."""
    run = RunTables.of(run)
    return _table(run, summarise(run, reference=reference), breakdown(run), reference)


def write(run: RunTables | Path, **options: Any) -> list[Path]:
    """Write a run's report into its folder; return the paths. For the options see `make_report`."""
    return make_report(run, **options).write()


def make_report(
    run: RunTables | Path,
    *,
    reference: str | None = None,
    rates: Rates | None = None,
    executor: Executor | None = None,
) -> Report:
    """Make all files of a run's report; `executor` does the resampling.

    Raises DataError if the folder is not a run, UsageError if a model has no price,
    UnknownName for a `reference` that the run lacks.
    """
    run = RunTables.of(run)
    unlabelled = [Agreement] if run.record.get("unlabelled") else []
    run.read(PerQuestion, TagRows, Draws, Clusters, Ratings, Reasons, Votes, *unlabelled)
    if is_unlabelled(run.record):
        return Report(run.folder, dict(_unlabelled(run)))
    return Report(run.folder, dict(_contents(run, reference, rates, executor)))


def _contents(
    run: RunTables, reference: str | None, rates: Rates | None, executor: Executor | None
) -> Iterator[tuple[str, bytes]]:
    from cat_bench.report import charts
    from cat_bench.report.figures import curve
    from cat_bench.report.signal_chart import signal_chart

    record, summary = run.record, summarise(run, reference=reference, executor=executor)
    costs = compute(run, reference=reference, rates=rates, executor=executor)
    parts, by_group, drafts = breakdown(run), groups(run), forensics(run)
    yield "table.csv", csv_of(summary)
    yield "table.md", _table(run, summary, parts, reference).encode()
    if len(parts):
        yield "breakdown.csv", csv_of(parts)
    yield "compute.csv", csv_of(costs)
    yield "compute.md", render_compute(costs, record).encode()
    yield "forensics.csv", csv_of(drafts)
    yield "forensics.md", render_forensics(drafts, diversity(run), summary, run=run).encode()
    if rated := run.reading(Ratings).records:
        curves, bins = best_of_curves(rated), calibration_bins(rated)
        yield "signals.csv", csv_of(quality(rated))
        yield "signals-curve.csv", csv_of(curves)
        yield "signals-bins.csv", csv_of(bins)
        yield "signals.md", render_signals(rated).encode()
    if len(by_group):
        yield "groups.csv", csv_of(by_group)
    figures = {
        "curve": curve(summary, record),
        **{
            name: charts.compute_chart(costs, record, axis=axis)
            for name, axis in COST_FIGURES.items()
            if costs[axis].any()
        },
        "forest": charts.forest(summary, record),
    }
    if rated:
        figures["signals"] = signal_chart(curves, bins, record)
    for field in by_group["field"].unique():
        slug = re.sub(r"[^\w-]+", "-", str(field))
        figures[_unused(f"by-{slug}", figures)] = charts.group_dots(by_group, record, str(field))
    for kind in KINDS:
        if (parts["kind"] == kind).any():
            figures[_unused(f"by-{kind}", figures)] = charts.part_dots(parts, record, kind)
    for name, formats in figures.items():
        for extension, data in formats.items():
            yield f"{name}.{extension}", data


def _unused(name: str, figures: Container[str]) -> str:
    """Return the name, numbered if a figure has it already."""
    numbered = (name if k == 1 else f"{name}-{k}" for k in count(1))
    return next(candidate for candidate in numbered if candidate not in figures)


def _unlabelled(run: RunTables) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a run without labels, which has no score to draw or to compare."""
    summary, drafts = summarise(run), forensics(run)
    yield "table.csv", csv_of(summary)
    yield "table.md", _table(run, summary, breakdown(run), None).encode()
    yield "forensics.md", render_forensics(drafts, diversity(run), summary, run=run).encode()


def _table(
    run: RunTables, summary: pd.DataFrame, parts: pd.DataFrame, reference: str | None
) -> str:
    sections = [*agreement_blocks(run), *blocks(run.record, summary, parts, run=run.folder)]
    remarks = list(errata_note(run.record, read_values(run)[0]))
    return render(summary, run.record, reference=reference, more=sections, remarks=remarks)
