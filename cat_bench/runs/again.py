"""Runs a recorded run again from stored calls alone: to see what it read, and if it reproduces.

The run's record says everything that is needed. No model is opened: each is replaced by a stand-in
that answers no new call, under the identity by which its calls are keyed. The Python files that the
record names are loaded only where they are the recorded ones and trusted: see `loading.trust`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from cat_bench.cache import Cache, Places
from cat_bench.errors import UsageError
from cat_bench.loading.catalog import method_names
from cat_bench.loading.registry import is_file, list_plugins
from cat_bench.loading.trust import load_only
from cat_bench.loading.validation import validate
from cat_bench.models.backends import Backend, ImportedPool
from cat_bench.models.backends.recorded import Recorded
from cat_bench.models.backends.replay import Replay
from cat_bench.models.cached import Served
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_record
from cat_bench.runs.open_models import Environment
from cat_bench.runs.opening import run
from cat_bench.runs.shape import check_whole
from cat_bench.types.calls import JSON

_PROFILE = ("judge_profile", "judge_template")
NAMED = {
    "policy": "model",
    "anchor": "anchor",
    "judge": "judge",
    "embedder": "embedder",
    "reward": "reward_model",
}


def configuration(
    record: Mapping[str, JSON], *, model: str | None = None, data: Path | None = None
) -> RunConfig:
    """The configuration that gives this run again, offline.

    With `model`, an imported pool replaces the policy; the other roles are then empty, and methods
    that call a model are not available. `data` is where the task's rows are, if not in their own
    place. Methods whose file is missing are left out. Raises UsageError where none is left.
    """
    check_whole(record, Path("the run's record"))
    config = record["config"]
    same = ("task", "limit", "shard", "seed", "label", "pool", "draws", *_PROFILE)
    values = {name: config[name] for name in same if config.get(name) is not None}
    values |= {"n": config["budgets"], "free_n": config.get("free_budgets", ())}
    values |= {"offline": True, "methods": [*list_methods(record).values()], "data": data}
    if not values["methods"]:
        raise UsageError("none of the run's methods is known here")
    template = config.get("judge_template")
    pinned = (record["task"].get("judging") or {}).get("template") == "pinned"
    if template and pinned and not Path(template).is_file():
        del values["judge_template"]  # the pinned file is the same, and is fetched
    if model is None:
        values |= {name: config[name] for name in ("model", "anchor", "judge", "sampling")}
        values |= {name: config.get(name) for name in ("embedder", "reward_model")}
    else:
        values["model"] = model
    return validate(RunConfig, values, source="the run's record")


async def replay_run(
    record: Mapping[str, JSON],
    out: Path,
    *,
    cache: str | Path | None = None,
    model: str | None = None,
    served: Served | None = None,
    parallel: str | None = None,
    data: Path | None = None,
) -> dict[str, JSON]:
    """Play the run again into the folder `out`; its new record. `served`: see `Environment`."""
    config = configuration(record, model=model, data=data).model_copy(
        update={"out": out, "parallel": parallel}
    )
    backend = None if model else StandIns(record).backend
    environment = Environment(cache=cache, backend=backend, served=served, fetches=True)
    with load_only(record.get("files", {})):
        await run(config, environment=environment)
    return read_record(out)


async def trace_places(
    record: Mapping[str, JSON],
    places: Places,
    *,
    cache: str | Path | None = None,
    data: Path | None = None,
) -> None:
    """Note every place in the cache that the run reads: rollouts, syntheses, verdicts alike.

    Raises UsageError where this cache does not hold what the run read.
    """
    with TemporaryDirectory() as folder:
        out = Path(folder, "run")
        again = await replay_run(record, out, cache=cache, served=places.add, data=data)
    if again["pool_digest"] != record["pool_digest"]:
        raise UsageError("this cache does not hold the run's rollouts: name the one that does")


class StandIns:
    """Replaces the models of a run, by the names that the run used."""

    def __init__(self, record: Mapping[str, JSON]) -> None:
        config = record["config"]
        self._identities = {config[NAMED[role]]: i for role, i in record["models"].items()}
        self._pool, self._exchangeable = config["pool"], record["task"]["exchangeable"]

    def backend(self, name: str, cache: Cache) -> Backend:
        """The replacement of the model called `name`."""
        if (identity := self._identities.get(name)) is None:
            raise UsageError(f"the run's record does not say which model {name!r} is")
        if name.startswith("replay:"):
            pool = ImportedPool(identity["pool"], self._pool, exchangeable=self._exchangeable)
            return Replay(pool)
        return Recorded(identity)


def list_methods(record: Mapping[str, JSON]) -> dict[str, str]:
    """The run's methods that were available: by name, as they can be named here."""
    there = {*method_names(), *list_plugins("aggregator")}
    named = {}
    for entry in record["methods"]:
        base, brace, parameters = entry["name"].partition("{")
        if entry["kind"] != "method" or entry["reason"]:
            continue
        if is_file(entry["spec"]) and Path(entry["spec"].rpartition(":")[0]).is_file():
            named[entry["name"]] = entry["spec"] + brace + parameters
        elif base in there:
            named[entry["name"]] = entry["name"]
    return named
