"""Repeats a recorded run from stored calls only, to check the run or to find its calls.

No model is opened. A stand-in with the recorded identity finds a model's stored calls. The Python
files that the record names are loaded only if they are unchanged or trusted: see `loading.trust`.
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
    """Return the configuration that repeats this run offline.

    With `model`, an imported pool replaces the policy; the other roles are then empty, and methods
    that call a model are not available. `data` replaces the task's data file. Methods whose file is
    missing are left out. Raises UsageError if no method is left.
    """
    check_whole(record, Path("the run's record"))
    config = record["config"]
    same = ("task", "limit", "shard", "seed", "label", "pool", "draws", *_PROFILE)
    values = {name: config[name] for name in same if config.get(name) is not None}
    values |= {"n": config["budgets"], "free_n": config.get("free_budgets", ())}
    values |= {"offline": True, "methods": [*list_methods(record).values()], "data": data}
    if not values["methods"]:
        raise UsageError("none of the run's methods is installed here: install their plug-ins")
    template = config.get("judge_template")
    pinned = (record["task"].get("judging") or {}).get("template") == "pinned"
    if template and pinned and not Path(template).is_file():
        del values["judge_template"]  # the pinned template is fetched instead; its text is the same
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
    """Repeat the run into the folder `out` and return its new record; see `Environment.served`."""
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
    """Add to `places` each place in the cache that the run reads: rollouts, syntheses, verdicts.

    Raises UsageError if this cache lacks rollouts of the run.
    """
    with TemporaryDirectory() as folder:
        out = Path(folder, "run")
        replayed = await replay_run(record, out, cache=cache, served=places.add, data=data)
    if replayed["pool_digest"] != record["pool_digest"]:
        raise UsageError("this cache lacks the run's rollouts: name the cache that the run used")


class StandIns:
    """The stand-ins for a run's models, by the names that the run used."""

    def __init__(self, record: Mapping[str, JSON]) -> None:
        config = record["config"]
        self._identities = {config[NAMED[role]]: i for role, i in record["models"].items()}
        self._pool, self._exchangeable = config["pool"], record["task"]["exchangeable"]

    def backend(self, name: str, cache: Cache) -> Backend:
        """Return the stand-in for the model called `name`."""
        if (identity := self._identities.get(name)) is None:
            raise UsageError(f"the run's record does not say which model {name!r} is")
        if name.startswith("replay:"):
            pool = ImportedPool(identity["pool"], self._pool, exchangeable=self._exchangeable)
            return Replay(pool)
        return Recorded(identity)


def list_methods(record: Mapping[str, JSON]) -> dict[str, str]:
    """Return the run's methods that can run here: recorded name → the name to use here."""
    installed = {*method_names(), *list_plugins("aggregator")}
    names = {}
    for entry in record["methods"]:
        base, brace, parameters = entry["name"].partition("{")
        if entry["kind"] != "method" or entry["reason"]:
            continue
        if is_file(entry["spec"]) and Path(entry["spec"].rpartition(":")[0]).is_file():
            names[entry["name"]] = entry["spec"] + brace + parameters
        elif base in installed:
            names[entry["name"]] = entry["name"]
    return names
