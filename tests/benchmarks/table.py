"""A benchmark's rows, printed as one table and written as CSV where asked."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate


def show(rows: Sequence[Mapping[str, Any]], out: Path | None = None) -> None:
    """Print the rows, and write them to `out`; the first one has all columns."""
    print(tabulate(rows, headers="keys", floatfmt=".4g"))  # noqa: T201 - a script's output
    if out:
        with out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: _short(value) for name, value in row.items()} for row in rows)


def _short(value: object) -> object:
    return f"{value:.4g}" if isinstance(value, float) else value
