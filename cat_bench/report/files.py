"""A run's report on disk: `table.csv`, `table.md`, `curve.png` and `curve.svg`.

Each file is written beside its place and renamed into it: a reader never meets half of one.
"""

from __future__ import annotations

import os
from pathlib import Path

from cat_bench.errors import UsageError
from cat_bench.report.summary import summarise
from cat_bench.report.table import render
from cat_bench.results import read_record


def markdown(folder: Path) -> str:
    """The run's comparison table and the notes that go with it; raises DataError."""
    return render(summarise(folder), read_record(folder))


def write(folder: Path) -> list[Path]:
    """Write the four files into the run's folder, and say where they are.

    Raises DataError where the folder is not a run, UsageError where it cannot be written.
    """
    from cat_bench.report.figures import curve

    record, summary = read_record(folder), summarise(folder)
    contents = {
        "table.csv": summary.to_csv(index=False, lineterminator="\n").encode(),
        "table.md": render(summary, record).encode(),
        **{f"curve.{kind}": data for kind, data in curve(summary, record).items()},
    }
    return [_replace(folder / name, data) for name, data in contents.items()]


def _replace(path: Path, data: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        return draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)
