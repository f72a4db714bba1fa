"""The cells of a Markdown table: scores in percent, differences in points, escaped text.

A number that does not exist is an empty cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import pandas as pd

from cat_bench.report.rounding import format_measured, percent
from cat_bench.report.summary import ORACLE, SINGLE, WORST
from cat_bench.runs.judge_profile import judge_profile
from cat_bench.types.calls import JSON

T = TypeVar("T")
BOUNDS = {SINGLE: "floor", ORACLE: "ceiling", WORST: "worst pick"}


def make_plain(text: JSON) -> str:
    """Return text on one line, without unprintable characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def as_cell(text: JSON) -> str:
    """Return text on one line for a table of Markdown.

    Bars, links, HTML, code and asterisks are escaped; `_`, `~` and `&` are not.
    """
    return re.sub(r"([\\`*|<\[])", r"\\\1", make_plain(text))


def label(row: Mapping[str, JSON]) -> str:
    """Return a row's method; floor, ceiling and worst pick are in italics with their meaning."""
    name = as_cell(row["method"])
    return f"*{name}* ({BOUNDS[row['method']]})" if row["method"] in BOUNDS else name


def describe_run(record: Mapping[str, JSON]) -> list[str]:
    """Describe a run in words: its questions, its rollouts and its models."""
    config = record["config"]
    optional = ("anchor", "judge", "embedder", "reward_model")
    roles = [f"{role.replace('_', ' ')} {config[role]}" for role in optional if config.get(role)]
    judged = [f"judged by the profile {profile}"] if (profile := judge_profile(record)) else []
    return [count_questions(record), _rollouts(record), *roles, *judged]


def count_questions(record: Mapping[str, JSON]) -> str:
    """Return the number of the run's questions in words."""
    count, unlabelled = record["questions"], record.get("unlabelled", 0)
    words = f"{count:,} question{'s' * (count != 1)}"
    share = "" if unlabelled == count else f"{unlabelled:,} "
    return f"{words}, {share}unlabelled" if unlabelled else words


def _rollouts(record: Mapping[str, JSON]) -> str:
    """Return the number of rollouts per question in words."""
    pool, counts = record["config"]["pool"], record.get("rollouts") or {}
    lost = sum(counts.get(name, 0) for name in ("failed", "refused"))
    full = counts.get("asked", pool * record["questions"]) - lost >= pool * record["questions"]
    return ("" if full else "up to ") + f"{pool} rollout{'s' * (pool != 1)} each"


def format_interval(row: Mapping[str, JSON], name: str = "ci") -> str:
    """Return the interval in the fields NAME_low and NAME_high, in percent."""
    low, high = percent(row[f"{name}_low"]), percent(row[f"{name}_high"])
    return low and f"[{low}, {high}]"


def format_points(row: Mapping[str, JSON], name: str) -> str:
    """Return the difference in the field NAME with its interval, in points."""
    return format_measured(*(row[name + end] for end in ("", "_low", "_high")), sign="+")


def rows_of(table: pd.DataFrame) -> list[dict[str, JSON]]:
    """Return a table's rows as mappings."""
    rows: JSON = table.to_dict("records")
    return list(rows)


def group_warnings(
    rows: Sequence[T], flags: Sequence[str | None], name: Callable[[list[T]], str]
) -> Iterator[str]:
    """Yield each warning once, with the rows that have it (by `name`) unless all rows have it."""
    rows_of: dict[str, list[T]] = {}
    for row, joined in zip(rows, flags, strict=True):
        for warning in joined.split("; ") if isinstance(joined, str) else ():
            rows_of.setdefault(warning, []).append(row)
    for warning, warned in rows_of.items():
        yield warning if len(warned) == len(rows) else f"{warning} ({name(warned)})"


def as_sentence(text: str) -> str:
    """Return text with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def as_table(columns: Mapping[str, Sequence[str]], *, left: Sequence[str]) -> str:
    """Return a Markdown table of these columns; those in `left` are aligned to the left."""
    from tabulate import tabulate

    if not any(columns.values()):
        return "*no rows*"
    align = ["left" if name in left else "right" for name in columns]
    rows = zip(*columns.values(), strict=True)
    return tabulate(rows, list(columns), tablefmt="pipe", disable_numparse=True, colalign=align)
