"""How every reading command prints: a table for people, or `--json` for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click

from cat_bench.types import JSON

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_rows(rows: Sequence[Mapping[str, JSON]], *, as_json: bool, empty: str = "none") -> None:
    """Rows as an aligned table (or one JSON list); `empty` is printed where there are none."""
    if as_json:
        click.echo(json.dumps(list(rows), indent=2, ensure_ascii=False, default=str))
    elif not rows:
        click.echo(empty, err=True)
    else:
        from tabulate import tabulate

        click.echo(tabulate([dict(row) for row in rows], headers="keys", tablefmt="plain"))


def print_record(record: Mapping[str, JSON], *, as_json: bool) -> None:
    """One record, a field a line (or one JSON object)."""
    if as_json:
        click.echo(json.dumps(dict(record), indent=2, ensure_ascii=False, default=str))
        return
    width = max((len(name) for name in record), default=0)
    for name, value in record.items():
        if isinstance(value, str) and "\n" in value:
            click.echo(f"{name}:\n{value}")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            click.echo(f"{name:{width}}  {shown}")
