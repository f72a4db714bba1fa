"""The options that several commands share, and the configurations made from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from cat_bench.errors import ConfigError
from cat_bench.loading.trust import trust
from cat_bench.loading.validation import read_yaml, scalar, split_list
from cat_bench.runs.config import RunConfig, configure
from cat_bench.system.sandbox import permit
from cat_bench.types.calls import JSON, RoleName, Sampling

Command = TypeVar("Command", bound=Callable[..., Any])

ROLES = get_args(RoleName)
PARAMETERS = [parameter.name for parameter in fields(Sampling)]
PATH = click.Path(path_type=Path)
OPTIONS = {
    "task": click.argument("task", required=False),
    "model": click.option(
        "--model", "-m", help="[BACKEND:]NAME: tally, hf:PATH, openai:NAME, replay:POOL."
    ),
    "methods": click.option(
        "--method", "methods", help="Comma-separated; NAME{key=value} sets parameters."
    ),
    "budgets": click.option(
        "--n",
        "budgets",
        help="Budgets in rollouts, comma-separated.  [default: 1,2,4,8; for methods "
        "without calls, also 16, 32, ... up to the pool]",
    ),
    "pool": click.option("--pool", type=int, help="Rollouts per question.  [default: 16]"),
    "draws": click.option("--draws", type=int, hidden=True),
    "limit": click.option("--limit", type=int, help="Only the first questions."),
    "shard": click.option("--shard", hidden=True),
    "seed": click.option("--seed", type=int, hidden=True),
    "anchor": click.option("--anchor", help="The model that synthesises.  [default: the policy]"),
    "judge": click.option("--judge", help="The model that judges.  [default: the policy]"),
    "reward_model": click.option(
        "--reward-model",
        help="The reward model of the signal `reward_model`: hf:PATH, openai:NAME.",
    ),
    "base_url": click.option(
        "--base-url", multiple=True, help="The URL of the server of `openai:` models; may repeat."
    ),
    "data": click.option("--data", type=PATH, help="The task's data file."),
    "prices": click.option("--prices", type=PATH, hidden=True),
    "config": click.option("--config", type=PATH, help="A run.yaml; options override it."),
    "allow_code": click.option(
        "--allow-code",
        metavar="bubblewrap|docker|none",
        expose_value=False,
        callback=lambda _context, _option, name: name and permit(name),
        help="The sandbox for programs that models write, if the task needs one.",
    ),
    "trust": click.option(
        "--trust",
        is_flag=True,
        expose_value=False,
        callback=lambda _context, _option, given: trust() if given else None,
        help="Load the Python files that a record or a pool names, if their digests match.",
    ),
    "settings": click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Any setting below, such as policy.temperature=0.7; may repeat.",
    ),
}


parallel_option = click.option(
    "--parallel",
    metavar="N|dask:ADDRESS|ray:ADDRESS",
    help="Processes that score and resample.  [default: this one and its grading workers]",
)
RARE = (
    "Settings (`cat-bench list settings` explains each), by --set KEY=VALUE or in a run.yaml:"
    " draws, seed, shard, prices, budget_tokens, budget_cost, parallel, judge_profile,"
    " judge_template, embedder, label,"
    " concurrency, retries, deadline, requests_per_minute, tokens_per_minute, and ROLE.PARAMETER"
    " for sampling."
    " The first seven are options too: --budget-tokens N."
)
"""The last paragraph of the help: the settings that have no option."""


def run_options(command: Command) -> Command:
    """Give a command the options of a run."""
    return add_options(*OPTIONS)(command)


def add_options(*names: str) -> Callable[[Command], Command]:
    """Give a command some of a run's options."""

    def given(command: Command) -> Command:
        for name in reversed(names):
            command = OPTIONS[name](command)
        return command

    return given


def configurations(
    *,
    task: str | None,
    methods: str | None,
    budgets: str | None,
    config: Path | None,
    settings: Sequence[str],
    **options: JSON,
) -> list[RunConfig]:
    """Return one configuration per task; raise UsageError for an invalid one."""
    values = read_yaml(config) if config else {}
    options |= {"methods": split_list(methods) if methods else None}
    options |= {"n": read_budgets(budgets) if budgets else None}
    options |= {"base_url": options.get("base_url") or None}
    values |= {key: value for key, value in options.items() if value is not None}
    for setting in settings:
        _set(values, setting)
    tasks = split_list(task or str(values.pop("task", "")))
    if not tasks:
        command = click.get_current_context().command_path
        raise click.UsageError(
            f"name a task, such as: {command} tally (`cat-bench list tasks` lists them)"
        )
    if out := values.pop("out", None):
        outs = [Path(out)] if len(tasks) == 1 else _folders(Path(out), tasks)
        targets = [{"task": name, "out": out} for name, out in zip(tasks, outs, strict=True)]
    else:
        targets = [{"task": name} for name in tasks]
    source = config or "options"
    return [
        configure(str(target["task"]), {**values, **target}, source=source) for target in targets
    ]


def _folders(out: Path, tasks: Sequence[str]) -> list[Path]:
    """Return a folder within `out` for the run of each task; a task may be named by a path."""
    folders = [
        out.joinpath(*(part for part in Path(task).parts if part not in {"/", ".."}))
        for task in tasks
    ]
    if len(set(folders)) < len(folders):
        raise click.UsageError(f"two of {','.join(tasks)} would be one folder: run one at a time")
    return folders


def read_budgets(text: str) -> list[int]:
    """Return the numbers of `--n 1,2,4`; raise UsageError for anything else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--n {text} should be whole numbers, such as --n 1,2,4,8") from None


def _set(values: dict[str, JSON], setting: str) -> None:
    """Put `key=value` or `role.parameter=value` where it belongs in a run's configuration."""
    key, equals, value = setting.partition("=")
    if not equals:
        raise ConfigError("--set", setting, "should be written KEY=VALUE")
    read = scalar(value, source="--set", field=key)
    role, dot, parameter = key.partition(".")
    if dot and role not in ROLES:
        raise ConfigError("--set", key, f"{role!r} is not one of {', '.join(ROLES)}")
    if key in PARAMETERS:
        raise ConfigError("--set", key, f"is a role's: write policy.{setting}")
    if dot:
        values.setdefault("sampling", {}).setdefault(role, {})[parameter] = read
    else:
        values[key] = read
