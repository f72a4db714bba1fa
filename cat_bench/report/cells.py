"""What goes into a cell of a Markdown table: scores in percent, differences in points, safe text.

A number that does not exist is an empty cell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isnan

import pandas as pd

from cat_bench.report.summary import ORACLE, SINGLE, WORST
from cat_bench.types import JSON

FRAMES = {SINGLE: "floor", ORACLE: "ceiling", WORST: "worst pick"}


def plain(text: JSON) -> str:
    """Text on one line, without what a terminal, a cell or an SVG cannot hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def cell(text: JSON) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*|<\[])", r"\\\1", plain(text))


def label(row: Mapping[str, JSON]) -> str:
    """A row's method; the floor and the ceiling say what they are."""
    name = cell(row["method"])
    return f"*{name}* ({FRAMES[row['method']]})" if row["method"] in FRAMES else name


def questions(record: Mapping[str, JSON]) -> str:
    """How many questions the run asked, in words."""
    count = record["questions"]
    return f"{count:,} question" + ("" if count == 1 else "s")


def percent(share: float) -> str:
    """A share in percent."""
    return "" if isnan(share) else f"{100 * share:.1f}"


def interval(row: Mapping[str, JSON], name: str = "ci") -> str:
    """The interval in the fields NAME_low and NAME_high, in percent."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "" if isnan(low) else f"[{percent(low)}, {percent(high)}]"


def points(row: Mapping[str, JSON], name: str) -> str:
    """The difference in the field NAME with its interval, in points."""
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    mean, low, high = (round(100 * row[name + end], 1) + 0.0 for end in ("", "_low", "_high"))
    if isnan(mean):
        return ""
    return f"{mean:+.1f}" + ("" if isnan(low) else f" [{low:+.1f}, {high:+.1f}]")


def whole(count: float) -> str:
    """A count without decimals."""
    return "" if isnan(count) else f"{count:,.0f}"


def p_value(p: float) -> str:
    """A p value to three digits."""
    if isnan(p):
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def records(table: pd.DataFrame) -> list[dict[str, JSON]]:
    """A table's rows."""
    rows: JSON = table.to_dict("records")
    return list(rows)


def pipe(columns: Mapping[str, Sequence[str]], *, left: Sequence[str]) -> str:
    """A Markdown table of these columns, those in `left` aligned to the left."""
    from tabulate import tabulate

    align = ["left" if name in left else "right" for name in columns]
    rows = zip(*columns.values(), strict=True)
    return tabulate(rows, list(columns), tablefmt="pipe", disable_numparse=True, colalign=align)
