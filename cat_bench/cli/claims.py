"""`cat-bench claims RUN`: a paper's claims as a checklist over one run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from cat_bench.cli.output import json_option, print_rows


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--claims",
    "name",
    default="compute-as-teacher",
    show_default=True,
    help="A list of claims, or a YAML.",
)
@json_option
def claims(folder: Path, name: str, *, as_json: bool) -> None:
    """Check a paper's claims against the folder RUN; writes claims.md and claims.json."""
    from cat_bench.report import claims as checks

    claim_list = checks.read_claims(name)
    findings = checks.write(folder, claim_list)
    if as_json:
        print_rows([asdict(finding) for finding in findings], as_json=True)
    else:
        click.echo(checks.checklist(claim_list, findings))
