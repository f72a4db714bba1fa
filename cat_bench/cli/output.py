"""Print the results of commands: a table for people, or `--json` for programs."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import isfinite

import click

from cat_bench.types.calls import JSON

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that would move a terminal's cursor or change its colours."""
_WORDS = ("answer", "text", "task", "model", "method", "name", "pool", "run", "file")
"""Columns of words: tabulate must not print an answer 2.50 as 2.5, or a pool 1e5 as 100000."""
_BAR = re.compile(r"(?<!\\)\|")
_SPARED = (
    *("notes", "vs single, points", "p (Holm)", "calls", "sequential", "95 % interval"),
    "tokens",
)
"""The columns that a narrow terminal hides, in this order."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_rows(rows: Sequence[Mapping[str, JSON]], *, as_json: bool, empty: str = "none") -> None:
    """Print rows as an aligned table or a JSON list; print `empty` if there are no rows."""
    if as_json:
        click.echo(_as_json(list(rows)))
    elif not rows:
        click.echo(empty, err=True)
    else:
        from tabulate import tabulate

        cleaned = [{name: _harmless(cell) for name, cell in row.items()} for row in rows]
        textual = [place for place, name in enumerate(rows[0]) if name in _WORDS]
        click.echo(tabulate(cleaned, headers="keys", tablefmt="plain", disable_numparse=textual))


def print_record(record: Mapping[str, JSON], *, as_json: bool) -> None:
    """Print one record, a field per line, or as a JSON object."""
    if as_json:
        click.echo(_as_json(dict(record)))
        return
    width = max((len(name) for name in record), default=0)
    for name, value in record.items():
        if isinstance(value, str) and "\n" in value:
            print_text(f"{name}:\n{value}")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            click.echo(f"{name:{width}}  {_harmless(text)}")


def flatten(value: JSON, path: str = "") -> list[tuple[str, JSON]]:
    """Return a mapping's leaves by their paths; lists and empty mappings are leaves."""
    if not (isinstance(value, dict) and value):
        return [(path, value)]
    return [
        leaf
        for name, part in value.items()
        for leaf in flatten(part, f"{path}.{name}" if path else str(name))
    ]


def _as_json(value: JSON) -> str:
    return json.dumps(_to_json(value), indent=2, ensure_ascii=False, allow_nan=False, default=str)


def _to_json(value: JSON) -> JSON:
    """Return the value as strict JSON: arrays as lists, NaN as null."""
    if isinstance(value, Mapping):
        return {name: _to_json(part) for name, part in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_to_json(part) for part in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def print_text(text: str) -> None:
    """Print an untrusted text line by line, without control characters."""
    click.echo(_harmless(text))


def _harmless(value: JSON) -> JSON:
    return _CONTROL.sub("\ufffd", value) if isinstance(value, str) else value


def print_report(text: str, *, file: str) -> None:
    """Print a report's Markdown; a terminal hides columns that do not fit and names `file`."""
    terminal = sys.stdout is not None and sys.stdout.isatty()  # None if it is closed
    width = shutil.get_terminal_size().columns if terminal else None
    print_text(text if width is None else fit(text, width, file=file))


def fit(text: str, width: int, *, file: str) -> str:
    """Return Markdown without the columns that make tables wider than `width`."""
    return "\n".join(_fit(text.split("\n"), width, file))


def _fit(lines: Sequence[str], width: int, file: str) -> Iterator[str]:
    for is_table, block in groupby(lines, key=lambda line: line.startswith("|")):
        rows = list(block)
        left_out: list[str] = []
        for name in _list_spared(rows[0]) if is_table else ():
            heads = [head.strip() for head in _BAR.split(rows[0])]
            if len(rows[0]) > width and name in heads:
                at = heads.index(name)
                left_out.append(name)
                rows = ["|".join(_drop_cell(_BAR.split(row), at)) for row in rows]
        yield from rows
        if left_out:
            hidden = "; ".join(left_out)
            yield f"\n(Columns hidden to fit the terminal: {hidden}. The whole table is in {file}.)"


def _list_spared(head: str) -> list[str]:
    """Return the columns that a narrow terminal hides; of scores by n, all but the last three."""
    budgets = [name for cell in _BAR.split(head) if (name := cell.strip()).startswith("n = ")]
    return [*_SPARED, *budgets[:-3]]


def _drop_cell(cells: Sequence[str], at: int) -> list[str]:
    return [*cells[:at], *cells[at + 1 :]]
