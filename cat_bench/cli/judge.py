"""`cat-bench judge`: audits a judge, and compares how two judges rank methods."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from cat_bench.cli.options import PATH, configurations
from cat_bench.cli.output import json_option, print_record, print_rows
from cat_bench.errors import UnknownName
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    from cat_bench.scorers.rubric import Profile

_FIGURES = ("macro_f1", "kappa", "bias")


@click.group(name="judge")
def commands() -> None:
    """Compare a judge with people's labels, or with another judge."""


@commands.command()
@click.argument("labels", type=PATH)
@click.option("--judge", required=True, help="The model to audit: tally, hf:PATH, openai:NAME.")
@click.option(
    "--task",
    default="healthbench",
    show_default=True,
    help="The task that sets the judge's prompt.",
)
@click.option("--base-url", help="The URL of the server of `openai:` models.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As in `run`.")
@click.option("--profiles", help="ours, official, or ours,official.  [default: the task's profile]")
@json_option
def audit(
    labels: Path,
    judge: str,
    task: str,
    base_url: str | None,
    settings: tuple[str, ...],
    profiles: str | None,
    *,
    as_json: bool,
) -> None:
    """Compare the verdicts of --judge on the criteria in LABELS with the annotators' labels.

    LABELS is HealthBench's meta-evaluation file, or a file in its schema. The audit is kept beside
    the runs; reports print it under every table that the same judge scored. With two profiles, each
    is compared with the annotators and with the other.
    """
    from cat_bench.audit import judge as audits
    from cat_bench.audit.labels import read_labels

    config = configurations(
        task=task,
        methods=None,
        budgets=None,
        config=None,
        settings=settings,
        model=judge,
        judge=judge,
        base_url=base_url,
    )[0]
    if profiles is None:
        records = [asyncio.run(audits.audit(read_labels(labels), config))]
    else:
        profile_list = _profiles(profiles)
        records = asyncio.run(audits.audit_profiles(read_labels(labels), config, profile_list))
    paths = [audits.keep(record) for record in records]
    if as_json:
        print_record(records[0] if profiles is None else {"audits": records}, as_json=True)
    else:
        for record in records:
            _show(record)
    for path in paths:
        click.echo(f"wrote {path}", err=True)


def _profiles(text: str) -> list[Profile]:
    """Return the listed profiles without repetitions. Raises UnknownName."""
    from cat_bench.scorers.rubric import Profile

    profile_names = get_args(Profile)
    parts = list(dict.fromkeys(part.strip() for part in text.split(",")))
    if unknown := [name for name in parts if name not in profile_names]:
        raise UnknownName("profile", unknown[0], profile_names)
    return [name for name in profile_names if name in parts]


@commands.command()
@click.argument("run_a", type=PATH)
@click.argument("run_b", type=PATH)
@json_option
def compare(run_a: Path, run_b: Path, *, as_json: bool) -> None:
    """Compare two runs' judges: their verdicts on the same rollouts, and how they rank methods."""
    from cat_bench.audit.compare import rank_stability, verdicts_of
    from cat_bench.report import summarise

    agreement = verdicts_of(run_a, run_b)
    tables = [summarise(run) for run in (run_a, run_b)]
    tables = [table[(table["kind"] == "method") & table["score"].notna()] for table in tables]
    ranks = []
    for n in sorted({int(n) for n in tables[0]["n"]} & {int(n) for n in tables[1]["n"]}):
        scores = [table[table["n"] == n].set_index("method")["score"].to_dict() for table in tables]
        tau, methods = rank_stability(*({str(k): float(v) for k, v in s.items()} for s in scores))
        ranks.append({"n": n, "methods": methods, "kendall_tau": None if tau != tau else tau})
    figures = {
        name: [figure.value, figure.low, figure.high] for name, figure in agreement.figures.items()
    }
    judges = {name: _judge(run) for name, run in (("judge a", run_a), ("judge b", run_b))}
    facts = {**judges, "verdicts": agreement.pairs, "questions": agreement.examples, **figures}
    if as_json:
        print_record({**facts, "ranks": ranks}, as_json=True)
        return
    print_record(
        {k: _figure(v) if isinstance(v, list) else v for k, v in facts.items()}, as_json=False
    )
    click.echo()
    print_rows(ranks, as_json=False, empty="The runs share no n.")


def _show(record: Mapping[str, JSON]) -> None:
    labels = record["labels"]
    click.echo(f"judge   {record['judge']}, with the profile {record['judging']['profile']}")
    click.echo(f"labels  {labels['file']}, {labels['rows']:,} rows by {labels['annotators']}")
    if record["unobtained"]:
        click.echo(f"without a verdict: {record['unobtained']:,}")
    click.echo()
    parts = {
        "judge against annotators": record["judge_and_people"],
        "annotators among themselves": record["people_among_themselves"],
        **{
            f"profile {record['judging']['profile']} against {second}": part
            for second, part in record.get("profiles", {}).items()
        },
        **record["categories"],
    }
    print_rows([_row(name, part) for name, part in parts.items() if part], as_json=False)
    click.echo()


def _judge(run: Path) -> str:
    """Return a run's judge, and the profile by which it was asked."""
    from cat_bench.runs.folder import read_record
    from cat_bench.runs.judge_profile import judge_profile

    record = read_record(run)
    profile = judge_profile(record)
    return f"{record['config']['judge']}" + (f", with the profile {profile}" if profile else "")


def _row(name: str, part: Mapping[str, JSON]) -> Mapping[str, JSON]:
    figures = {figure: _figure(part[figure]) for figure in _FIGURES}
    return {"": name, "pairs": part["pairs"], "examples": part["examples"], **figures}


def _figure(figure: list[float | None]) -> str:
    from cat_bench.report.rounding import format_measured

    return format_measured(*figure, scale=1, digits=3) or "-"
