"""Sample rollouts once, compare every way of aggregating them.

`run`, `load` and `aggregate` are for notebooks and scripts; the other names are what a plug-in
uses. Importing this package loads nothing heavy: the functions are imported when they are used.
"""

from typing import TYPE_CHECKING

from cat_bench.errors import (
    CacheError,
    CallFailed,
    CatBenchError,
    ConfigError,
    ContextTooLong,
    DataError,
    ModelError,
    NotAvailable,
    UnknownName,
    UsageError,
)
from cat_bench.types.calls import Failure, Message, Reply, Sampling, Usage
from cat_bench.types.plugins import (
    Aggregator,
    Context,
    GroupContext,
    Reward,
    Scorer,
    Signal,
    SupervisedReward,
)
from cat_bench.types.records import Estimate, Marks, Pool, Question, Rollout, Sample, Score

if TYPE_CHECKING:
    from cat_bench import training
    from cat_bench.api import Run, aggregate, arun, load, run

    __version__: str

__all__ = [
    "Aggregator",
    "CacheError",
    "CallFailed",
    "CatBenchError",
    "ConfigError",
    "Context",
    "ContextTooLong",
    "DataError",
    "Estimate",
    "Failure",
    "GroupContext",
    "Marks",
    "Message",
    "ModelError",
    "NotAvailable",
    "Pool",
    "Question",
    "Reply",
    "Reward",
    "Rollout",
    "Run",
    "Sample",
    "Sampling",
    "Score",
    "Scorer",
    "Signal",
    "SupervisedReward",
    "UnknownName",
    "Usage",
    "UsageError",
    "__version__",
    "aggregate",
    "arun",
    "load",
    "run",
    "training",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("cat-bench")
    if name == "training":
        from importlib import import_module

        return import_module("cat_bench.training")
    if name in __all__:
        from cat_bench import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
