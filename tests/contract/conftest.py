"""Every method of the catalogue, every registered aggregator and signal, and what they touch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import FunctionType, MethodType, ModuleType

import pytest

from cat_bench.loading import catalog
from cat_bench.loading.catalog import Method
from cat_bench.loading.registry import build, list_plugins
from cat_bench.types.calls import JSON
from cat_bench.types.records import Pool
from tests import toy

REDUCE = ("last", "prod", "mean")
VARIANTS: Mapping[str, list[str]] = {
    "confidence": [f"confidence{{part={part},window=2}}" for part in ("mean", "lowest", "tail")],
    "consistency": ["consistency{by=rouge}", "consistency{by=embedding}"],
    "mutual_predictability": ["mutual_predictability{given=each}"],
    "preference": ["preference{by=anchor}"],
    "ratings": ["ratings{by=anchor}"],
    "process_reward": [f"process_reward{{steps=' ',reduce={how}}}" for how in REDUCE],
}
SIGNALS = sorted(
    spec for name in list_plugins("signal") for spec in [name, *VARIANTS.get(name, [])]
)
"""Every registered signal, and what else its parameters can make of it."""
PARAMS: Mapping[str, list[dict[str, JSON]]] = {
    "best_of_n": [{"by": by} for by in SIGNALS],
    "vote": [
        {},
        *({"by": by} for by in SIGNALS),
        *({"by": "length", "weight": weight} for weight in ("softmax", "value")),
        {"by": "perplexity", "weight": "softmax", "keep": 0.5},
    ],
    "adaptive_consistency": [{"rule": rule} for rule in ("beta", "majority", "entropy")],
    "pandora": [{"by": by} for by in ("length", "perplexity")],
    "deepconf_online": [{"warmup": 2, "window": 2}],
    "early_stopping": [{"window": 2}],
    "majority_of_the_bests": [{"by": by} for by in ("length", "perplexity", "consistency")],
    "select": [{"check": check} for check in (False, True)],
    "pairwise": [
        *({"schedule": schedule} for schedule in ("league", "knockout")),
        *({"matches": 2, "scoring": scoring} for scoring in ("wins", "bradley-terry")),
    ],
    "coordinated": [{"rounds": (3,)}, {"prompt": "agglm"}],
    "genselect": [{}, {"window": 2}],
    "synthesis": [{"inputs": inputs} for inputs in ("whole", "answers", "summaries")],
}
"""Parameters for the aggregators that cannot be made without, or that they change much."""
POOLS: Mapping[str, Pool] = {
    "one": toy.pool("the only one = right"),
    "equal": toy.pool(*["the same = right"] * 4),
    "empty": toy.pool("", "", "", ""),
    "unparseable": toy.pool("no idea", "lorem ipsum", "\\boxed{", "</draft>"),
    "ties": toy.pool("one = a", "two = b", "three = b", "four = a"),
    "odd": toy.pool("\x00 = \ud800", "{{ 7 * 7 }} {% raw %} = a", "𝔘 = 🙂", "= " + "9" * 5000),
}
"""What a plug-in may be handed."""


@cache
def methods() -> dict[str, Method]:
    """The catalogue's methods, and each registered aggregator with its default parameters."""
    found = {name: catalog.method(name) for name in catalog.method_names()}
    for name in sorted(list_plugins("aggregator")):
        for params in PARAMS.get(name, [{}]):
            label = ",".join([name, *(f"{key}={value}" for key, value in params.items())])
            found[label] = toy.method(build("aggregator", name, params), label)
    return found


def strings(root: object) -> Iterator[str]:
    """Every string that can be reached from an object by its attributes and items."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
        if id(item) in seen or isinstance(item, str | type | ModuleType | FunctionType):
            continue
        seen.add(id(item))
        waiting.extend(_parts(item))


def _parts(item: object) -> Iterator[object]:
    if isinstance(item, Mapping):
        yield from item.keys()
        yield from item.values()
    elif isinstance(item, list | tuple | set | frozenset):
        yield from item
    elif isinstance(item, MethodType):
        yield item.__self__
    if is_dataclass(item):
        yield from (getattr(item, field.name) for field in fields(item))
    yield from vars(item).values() if hasattr(item, "__dict__") else ()


@pytest.fixture(params=sorted(methods()))
def method(request: pytest.FixtureRequest) -> Method:
    """Each method in turn."""
    return methods()[request.param]
