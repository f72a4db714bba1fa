"""The identity of a run's models: the columns that all of its rows share."""

from __future__ import annotations

from collections.abc import Mapping

from cat_bench.cache import canonical
from cat_bench.runs.again import NAMED
from cat_bench.types.calls import JSON

_FIELDS = {"openai": "name", "inspect": "inspect", "replay": "pool", "scripted": "script"}
"""The field of a model's identity that holds its name, by the backend."""
_MAY_HAVE_DIGESTS = ("hf", "vllm")
"""Backends whose models have a `name` on the Hub, or digests if they are folders."""


def identity(record: Mapping[str, JSON]) -> dict[str, str]:
    """Return the columns that identify the run.

    The anchor is left out if it is the policy, or if the record says that it was not called.
    """
    config, models = record["config"], record["models"]
    anchored = models.get("anchor") not in (None, models["policy"]) and _is_called(record)
    judged = bool(record["task"]["judging"])
    return {
        "task": config["task"],
        "model": config["model"],
        "revision": canonical(models["policy"]),
        "anchor": f"{config['anchor']} {canonical(models['anchor'])}" if anchored else "",
        "judge": f"{config['judge']} {canonical(models['judge'])}" if judged else "",
        "pool_size": str(config["pool"]),
        "draws": str(config["draws"]),
    }


def find_misnamed(record: Mapping[str, JSON]) -> str:
    """Return the model whose name contradicts its recorded identity; empty if there is none.

    No name contradicts a digest, because the owner of a folder of weights chooses its name.
    """
    for role, model in record["models"].items():
        spec = record["config"].get(NAMED.get(role))
        if isinstance(spec, str) and not _fits(spec.partition("{")[0], model):
            return f"its {role} {spec} is recorded as {canonical(model)[:80]}"
    return ""


def _fits(spec: str, model: Mapping[str, JSON]) -> bool:
    """Return whether `[backend:]name` can be the name of the model of this identity."""
    backend, _, name = spec.partition(":")
    if field := _FIELDS.get(backend):
        return model.get(field) in (name, name.rpartition(":")[2])
    if backend in _MAY_HAVE_DIGESTS or not name:
        return bool(model.get("name", name or backend) == (name or backend))
    return True


def _is_called(record: Mapping[str, JSON]) -> bool:
    """Return whether the anchor was called; a record without invocations does not tell."""
    name = record["config"]["anchor"]
    runs = [roles.get("models", {}) for roles in record.get("invocations", ())]
    meters = [models[name] for models in runs if name in models]
    return not meters or any(meter.get("made") or meter.get("cached") for meter in meters)
