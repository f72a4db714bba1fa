"""`cat-bench report RUN`: write a run's tables and figures again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Write table.md, table.csv, curve.png and curve.svg into the folder RUN; print the table."""
    from cat_bench import report as reports

    written = reports.write(folder)
    click.echo((folder / "table.md").read_text(encoding="utf-8"))
    click.echo("\n".join(f"wrote {path}" for path in written), err=True)
