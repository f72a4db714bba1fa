"""`cat-bench list`: tasks, methods, plug-ins, rewards, pools, runs and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, get_args

import click

from cat_bench.cli.output import json_option, print_rows
from cat_bench.errors import CatBenchError
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def _tasks() -> list[Mapping[str, JSON]]:
    from cat_bench.loading import catalog

    tasks = map(catalog.task, catalog.task_names())
    return [{"task": t.name, "version": t.version, "summary": t.summary} for t in tasks]


def _methods() -> list[Mapping[str, JSON]]:
    from cat_bench.loading import catalog

    methods = map(catalog.method, catalog.method_names())
    return [{"method": m.name, "aggregator": m.spec, "summary": m.summary} for m in methods]


def _plugins() -> list[Mapping[str, JSON]]:
    from cat_bench.loading.registry import Kind, list_ignored, list_plugins

    rows = [(kind, *row) for kind in get_args(Kind) for row in sorted(list_plugins(kind).items())]
    ignored = [(*name.partition(".")[::2], why) for name, why in sorted(list_ignored().items())]
    return [{"kind": kind, "name": name, "from": place} for kind, name, place in rows + ignored]


def _rewards() -> list[Mapping[str, JSON]]:
    """Return every reward, and every signal that is a reward under its own name."""
    from cat_bench.audit.candidates import Candidate
    from cat_bench.loading.registry import list_plugins
    from cat_bench.rewards import reward
    from cat_bench.signals import signal

    rows: list[Mapping[str, JSON]] = []
    rewards = list_plugins("reward")
    for name in sorted({*rewards, *list_plugins("signal")}):
        row = {"reward": name, "control": "", "needs": ""}
        try:
            if name not in rewards and signal(name).reads != "self":
                continue
            item = Candidate(None, name, reward(name))
        except CatBenchError as error:
            rows.append({**row, "summary": f"cannot be used by this name: {error}"})
            continue
        row["control"] = "sees the target" if item.supervised else "yes" if item.control else ""
        row["needs"] = ", ".join(sorted(item.needs))
        rows.append({**row, "summary": _summary(name, item.reward)})
    return rows


def _summary(name: str, plugin: object) -> str:
    """Return the first paragraph about a reward, or about the signal of that name."""
    from cat_bench.rewards.signal import BySignal
    from cat_bench.signals import signal

    same = isinstance(plugin, BySignal) and plugin.by == name
    text = type(signal(name) if same else plugin).__doc__ or ""
    return text.split("\n\n")[0].replace("\n", " ").strip()


def _pools() -> list[Mapping[str, JSON]]:
    from cat_bench.cache import Cache
    from cat_bench.cache.pools import pool_metadata, pool_names

    with Cache() as cache:
        pools = [pool_metadata(cache, name) for name in pool_names(cache)]
    return [
        {"pool": p.name, "questions": p.questions, "rollouts": p.responses, "file": p.file}
        for p in pools
    ]


def _runs() -> list[Mapping[str, JSON]]:
    from cat_bench.runs.folder import read_record
    from cat_bench.runs.places import results_root

    rows: list[Mapping[str, JSON]] = []
    for path in sorted(results_root().glob("*/run.json")):
        try:
            record = read_record(path.parent)
        except CatBenchError as error:
            rows.append({"run": str(path.parent), "task": f"unreadable: {error}"})
            continue
        rows.append({"run": str(path.parent), **_describe(record)})
    return rows


def _describe(record: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return the fields that distinguish a run from other runs."""
    config = record["config"]
    last: Mapping[str, JSON] = next(iter(record["invocations"][-1:]), {})
    return {
        **{key: config.get(key) for key in ("task", "model", "pool", "limit")},
        "questions": record["questions"],
        "n": ",".join(map(str, (*(config.get("budgets") or ()), *config.get("free_budgets", ())))),
        "methods": ",".join(config.get("methods", ())),
        "seed": config.get("seed"),
        "started": last.get("started", ""),
    }


def _settings() -> list[Mapping[str, JSON]]:
    from cat_bench.runs.config import RunConfig

    return [
        {"setting": name, "default": _default(field), "meaning": field.description}
        for name, field in RunConfig.model_fields.items()
    ]


def _default(field: FieldInfo) -> JSON:
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    return None if default in ((), {}) else default


KINDS: Mapping[str, Callable[[], list[Mapping[str, JSON]]]] = {
    "tasks": _tasks,
    "methods": _methods,
    "plugins": _plugins,
    "rewards": _rewards,
    "pools": _pools,
    "runs": _runs,
    "settings": _settings,
}


@click.command(name="list")
@click.argument("kind", type=click.Choice([*KINDS]))
@json_option
def list_kind(kind: str, *, as_json: bool) -> None:
    """List tasks, methods, plugins, rewards, pools, runs, or the settings that --set takes."""
    print_rows(KINDS[kind](), as_json=as_json, empty=f"There are no {kind} yet.")
