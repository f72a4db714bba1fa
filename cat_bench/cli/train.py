"""`cat-bench train TASK`: train a policy on rewards from estimates, measured before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click

from cat_bench.cli.options import PATH
from cat_bench.cli.output import json_option, print_record, print_rows
from cat_bench.loading import catalog
from cat_bench.loading.catalog import model_of
from cat_bench.loading.registry import list_plugins
from cat_bench.report.rounding import format_count, percent
from cat_bench.runs.config import BUNDLED, RunConfig
from cat_bench.runs.places import results_root
from cat_bench.training import processes
from cat_bench.training.fresh import fresh_seed, write_fresh_rows
from cat_bench.training.measure import Exam
from cat_bench.training.policy import checkpoint_config, weights
from cat_bench.training.recipes import Recipe, recipe
from cat_bench.training.rows import write_verl
from cat_bench.training.sampling import Roles, divide_changes, resolve_sampling, set_policy
from cat_bench.training.training import Plan, count_unlabelled, questions
from cat_bench.training.training import train as run_training
from cat_bench.types.calls import JSON

RARE = (
    "Further options: --base-url URL (where openai models are served), --save-every N (steps"
    " between checkpoints; 10), --verl-rows FILE (only write the questions as rows for verl)."
)
QUESTIONS = 500
"""Fresh problems that a bundled model is measured on."""


@click.command(epilog=RARE)
@click.argument("task")
@click.option("--recipe", "name", default="cat-rl", show_default=True, help="A recipe, or a YAML.")
@click.option(
    "--model", "-m", help="tally, counsel, hf:PATH or PATH.  [default: the task's bundled one]"
)
@click.option("--reward", help="Replaces the recipe's, such as equivalence{estimator=majority}.")
@click.option(
    "--scale",
    type=click.Choice(["small", "paper"]),
    help="The scale of the recipe's settings.  [default: small for a bundled model, else paper]",
)
@click.option("--steps", type=click.IntRange(1), help="Optimiser steps.  [default: the recipe's]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the training.")
@click.option("--anchor", help="The model that writes references.  [default: the initial policy]")
@click.option("--judge", help="The model that judges.  [default: the initial policy]")
@click.option("--base-url", hidden=True)
@click.option(
    "--data", type=PATH, help="Rows to train on.  [default: the task's, fresh ones if bundled]"
)
@click.option("--exam", "exam_data", type=PATH, help="Rows to measure on.  [default: as --data]")
@click.option("--questions", type=click.IntRange(0), help="How many to measure on; 0: none.")
@click.option("--save-every", type=click.IntRange(1), default=10, hidden=True)
@click.option("--out", type=PATH, help="Folder of the training.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of TRL or LoRA, or a role's, such as anchor.thinking=false; may repeat.",
)
@click.option("--verl-rows", type=PATH, hidden=True)
@json_option
def train(
    task: str,
    name: str,
    model: str | None,
    reward: str | None,
    scale: str | None,
    steps: int | None,
    changes: tuple[str, ...],
    out: Path | None,
    verl_rows: Path | None,
    as_json: bool,
    **rest: JSON,
) -> None:
    """Train MODEL on TASK by a recipe (cat-rl, ttrl, scrl, judge, gold, sft) with TRL.

    A training that was killed or interrupted resumes from its last checkpoint: run the same command
    again. The harness itself measures the policy before and after. On several GPUs, start it by
    `accelerate launch -m cat_bench train ...` or `torchrun -m cat_bench train ...`.
    """
    model = model or model_of(task) or BUNDLED
    scale = scale or ("small" if model in list_plugins("model") else "paper")
    if steps is not None:
        changes = (*changes, f"max_steps={steps}")
    chosen, sampling = _choose(name, scale, task, model, reward, changes, anchor=rest["anchor"])
    folder = out or results_root().parent / "training" / f"{task}-{chosen.name}-{rest['seed']}"
    if verl_rows is None:
        _place()
    plan = _plan(task, model, chosen, folder, sampling=sampling, **rest)
    if verl_rows:
        count = write_verl(verl_rows, questions(plan), task=task, split="train")
        click.echo(f"{count:,} questions: {verl_rows}", err=True)
        return
    result = run_training(plan, tell=partial(_print_step, chosen.steps))
    if not result:  # one of several processes, and another one speaks
        return
    if as_json or not plan.exam:
        print_record(result if as_json else result["training"], as_json=as_json)
    else:
        print_rows(_rows(result["outcome"]), as_json=False)
    click.echo(f"Training: {folder}", err=True)


def _choose(
    name: str,
    scale: str,
    task: str,
    model: str,
    reward: str | None,
    changes: Sequence[str],
    *,
    anchor: str | None,
) -> tuple[Recipe, Roles]:
    """Return the recipe with its changes, and how each role samples."""
    roles, settings = divide_changes(changes)
    chosen = recipe(name, scale=scale, reward=reward, changes=settings)  # type: ignore[arg-type]
    config = checkpoint_config(weights(model)) if chosen.sampling else {}
    stated = catalog.task(task).sampling
    sampling = resolve_sampling(
        chosen,
        roles,
        task=stated,
        model_type=str(config.get("model_type", "")),
        anchor=anchor,
    )
    direct = {change.partition("=")[0].strip() for change in settings}
    chosen = set_policy(
        chosen,
        sampling.get("policy", {}),
        task=stated.get("policy"),
        given=roles.get("policy", {}),
        named=direct,
    )
    return chosen, sampling


def _place() -> None:
    """Meet the processes that a launcher started, or else keep to one GPU."""
    if find_spec("torch") is None:
        return
    visible = processes.use_one_gpu()
    if visible > 1:
        click.echo(
            f"{visible} GPUs are visible, and one process was started: it trains on the first GPU. "
            "To use all of them, begin the command with: accelerate launch --num_processes "
            f"{visible} -m cat_bench",
            err=True,
        )
    processes.join()


def _is_unlabelled(session: RunConfig) -> bool:
    """Return whether no row to train on has an answer; then the policy is not measured on them."""
    unlabelled, total = count_unlabelled(session)
    if unlabelled < total:
        return False
    if processes.is_main():
        click.echo(
            f"{session.task} is unlabelled: the policy is trained but not measured. Name rows with "
            "answers by --exam LABELLED.jsonl to measure it",
            err=True,
        )
    return True


def _rows(outcome: JSON) -> list[dict[str, JSON]]:
    """Return the measurements, one row per method before and after."""

    def shares(row: JSON, *names: str) -> str:
        return " to ".join(filter(None, (percent(row[name]) for name in names)))

    return [
        {
            "policy": when,
            "method": method,
            "score, %": shares(row, "score"),
            "95 %": shares(row, "ci_low", "ci_high"),
            "minus one rollout before, points": shares(row, "diff"),
            "95 % of the difference": shares(row, "diff_low", "diff_high"),
            "tokens": format_count(row["tokens"]),
        }
        for when in ("before", "after")
        for method, row in outcome[when].items()
    ]


def _print_step(steps: int, row: Mapping[str, JSON]) -> None:
    """Print a step as a line on stderr."""
    names = ("loss", "reward", "reference_accuracy", "reward_accuracy", "completion_tokens")
    parts = [f"{n.replace('_', ' ')} {row[n]:.3g}" for n in names if row.get(n) is not None]
    parts += ["unlabelled"] if row.get("unlabelled") == 1 else []
    click.echo(f"step {row['step']}/{steps}: {', '.join(parts)}", err=True)


def _plan(
    task: str,
    model: str,
    chosen: Recipe,
    out: Path,
    *,
    sampling: Roles,
    seed: int,
    anchor: str | None,
    judge: str | None,
    base_url: str | None,
    data: Path | None,
    exam_data: Path | None,
    questions: int | None,
    save_every: int,
) -> Plan:
    """Return the plan; fresh rows are generated apart for training and for measuring."""
    if task in list_plugins("generator"):
        if data is None:
            data = out / "train.jsonl"
            count = chosen.questions(processes.count())
            written = partial(write_fresh_rows, data, task=task, seed=seed, split="train")
            processes.agree(partial(written, count=count))
        if exam_data is None:
            exam_data, questions = out / "exam.jsonl", QUESTIONS if questions is None else questions
            unseen = fresh_seed(Path(weights(model_of(task) or model)))
            write_rows = partial(write_fresh_rows, exam_data, task=task, count=max(questions, 1))
            processes.agree(partial(write_rows, seed=unseen))
    session = RunConfig(
        task=task,
        model=model,
        anchor=anchor,
        judge=judge,
        base_url=base_url,
        data=data,
        methods=("single",),
        seed=seed,
        sampling=sampling,
    )
    exam = None if questions == 0 else Exam(data=exam_data or data, questions=questions)
    if exam_data is None and questions is None and _is_unlabelled(session):
        exam = None
    return Plan(
        recipe=chosen,
        session=session,
        out=out,
        seed=seed,
        save_every=save_every,
        exam=exam,
        processes=processes.count(),
    )
