"""A run's report on disk: `table.csv`, `table.md`, `curve.png` and `curve.svg`.

A run whose scores come in parts has a `breakdown.csv` besides. Each file is written beside its
place and renamed into it: a reader never meets half of one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cat_bench.errors import UsageError
from cat_bench.report.rubric import blocks, breakdown
from cat_bench.report.summary import summarise
from cat_bench.report.table import render
from cat_bench.results import read_record

if TYPE_CHECKING:
    import pandas as pd


def markdown(folder: Path, *, reference: str | None = None) -> str:
    """The run's comparison table and the notes that go with it; raises DataError, UnknownName."""
    record, summary = read_record(folder), summarise(folder, reference=reference)
    more = blocks(record, summary, breakdown(folder), run=folder)
    return render(summary, record, reference=reference, more=list(more))


def write(folder: Path) -> list[Path]:
    """Write the files into the run's folder, and say where they are.

    Raises DataError where the folder is not a run, UsageError where it cannot be written.
    """
    from cat_bench.report.figures import curve

    record, summary, parts = read_record(folder), summarise(folder), breakdown(folder)
    more = blocks(record, summary, parts, run=folder)
    contents = {
        "table.csv": _csv(summary),
        "table.md": render(summary, record, more=list(more)).encode(),
        **({"breakdown.csv": _csv(parts)} if len(parts) else {}),
        **{f"curve.{kind}": data for kind, data in curve(summary, record).items()},
    }
    return [_replace(folder / name, data) for name, data in contents.items()]


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, lineterminator="\n").encode()


def _replace(path: Path, data: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        return draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)
