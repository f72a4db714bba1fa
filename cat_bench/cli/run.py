"""`cat-bench run TASK`: sample what is missing, aggregate, score, report."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cat_bench.cli.progress import Progress
from cat_bench.errors import ConfigError
from cat_bench.session import Outcome, RunConfig
from cat_bench.session import run as run_session
from cat_bench.types import JSON
from cat_bench.validation import read_yaml, scalar, split_list, validated

ROLES = ("policy", "anchor", "judge")


@click.command()
@click.argument("task", required=False)
@click.option(
    "--model", "-m", help="[BACKEND:]NAME of the policy, such as tally, hf:PATH, openai:NAME."
)
@click.option(
    "--method", "methods", help="Methods, comma-separated; NAME{key=value} sets parameters."
)
@click.option("--n", "budgets", help="Budgets in rollouts, comma-separated.  [1,2,4,8]")
@click.option("--pool", type=int, help="Rollouts per question.  [16]")
@click.option("--draws", type=int, help="Subsets per budget for methods that call a model.  [4]")
@click.option("--limit", type=int, help="Only the first questions.")
@click.option("--seed", type=int, help="Seed of the samples that are not in the cache yet.  [0]")
@click.option("--judge", help="Model that judges.  [the policy]")
@click.option("--anchor", help="Model that synthesises.  [the policy]")
@click.option("--data", type=click.Path(path_type=Path), help="The task's data file.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--offline", is_flag=True, default=None, help="Call no model: use the cache alone.")
@click.option("--config", type=click.Path(path_type=Path), help="A run.yaml; options override it.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Such as policy.temperature=0.7."
)
def run(
    task: str | None,
    methods: str | None,
    budgets: str | None,
    config: Path | None,
    settings: Sequence[str],
    **options: JSON,
) -> None:
    """Run methods on TASK (several by commas) and print the comparison table.

    Rollouts come from the cache where it has them; a run that ran before calls no model.
    """
    values = read_yaml(config) if config else {}
    options |= {"methods": split_list(methods) if methods else None}
    options |= {"n": _numbers(budgets) if budgets else None}
    values |= {key: value for key, value in options.items() if value is not None}
    for setting in settings:
        _set(values, setting)
    values.setdefault("model", "tally")
    tasks = split_list(task or str(values.pop("task", "")))
    if not tasks:
        raise click.UsageError("which task? Such as: cat-bench run tally (`cat-bench list tasks`).")
    complete = True
    for name in tasks:
        out = (
            Path(values["out"]) / name if len(tasks) > 1 and "out" in values else values.get("out")
        )
        whole = {**values, "task": name, **({"out": out} if out else {})}
        checked = validated(RunConfig, whole, source=config or "cat-bench run")
        complete &= _run(checked)
    if not complete:
        sys.exit(1)


def _run(config: RunConfig) -> bool:
    """One task from start to printed table; whether all of it could be had."""
    from cat_bench import report

    with Progress() as progress:
        outcome = asyncio.run(run_session(config, command=sys.argv[1:], watch=progress))
    report.write(outcome.folder)
    click.echo((outcome.folder / "table.md").read_text(encoding="utf-8"))
    click.echo(_summary(outcome), err=True)
    return outcome.census.complete


def _summary(outcome: Outcome) -> str:
    made = sum(meter.made for meter in outcome.meters.values())
    cached = sum(meter.cached for meter in outcome.meters.values())
    lines = [
        f"{made:,} completions made, {cached:,} from the cache, in {outcome.seconds:.1f} s.",
        f"Run: {outcome.folder}",
    ]
    census = outcome.census
    if not census.complete:
        failed = census.rollouts["failed"]
        lines.append(
            f"Incomplete: {failed:,} rollouts and {census.failed_rows:,} estimates are missing;"
            " run the same command again to fill the gaps."
        )
    return "\n".join(lines)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(
            f"--n {text} should be whole numbers, such as --n 1,2,4,8."
        ) from None


def _set(values: dict[str, JSON], setting: str) -> None:
    """Put `key=value` or `role.parameter=value` where it belongs in a run's configuration."""
    key, equals, value = setting.partition("=")
    if not equals:
        raise ConfigError("--set", setting, "should be written KEY=VALUE.")
    read = scalar(value, source="--set", field=key)
    role, dot, parameter = key.partition(".")
    if dot and role in ROLES:
        values.setdefault("sampling", {}).setdefault(role, {})[parameter] = read
    else:
        values[key] = read
