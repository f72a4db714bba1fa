"""Rewards for the rollouts of one question, from an estimate of its answer; one file for each.

An estimator (any method) turns a group into one reference text, and a reward compares each rollout
with it (Compute as Teacher, arXiv 2509.14234). Rules for what is missing:

- if an estimator abstains, or its reference has nothing to compare, every rollout gets 0, with the
  reason under `abstained`, and no advantage (`scrl`, which also punishes answers, differs);
- an empty rollout gets 0, as does one without an answer if answers are compared (not by `random`);
- a rollout for which a signal has no number is unscored;
- a call that fails for good leaves its rollout unscored: None, with the reason. Never 0, which
  would teach that the rollout was bad.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from cat_bench.errors import ConfigError
from cat_bench.loading.registry import build, list_plugins, load
from cat_bench.loading.validation import split_inline
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Reward, SupervisedReward

SIGNAL = "signal"
"""The reward that takes a signal's numbers."""


def reward(spec: str, **given: JSON) -> Reward | SupervisedReward:
    """Return the reward `NAME{field=value,...}`; `given` holds values for other fields.

    A name is a registered one or `./file.py:Class`. The name of a signal stands for
    `signal{by=NAME}`. Raises UnknownName, ConfigError.
    """
    name, params = _split(spec)
    plugin = build("reward", name, {**given, **params}, source=f"reward {spec!r}")
    if not callable(getattr(plugin, "rewards", None)):
        raise ConfigError(f"reward {spec!r}", "", "has no method `rewards`: add it")
    return plugin  # type: ignore[no-any-return]


def estimates(spec: str) -> bool:
    """Return whether a reward takes an estimator as a parameter."""
    name, params = _split(spec)
    kind = load("reward", name)
    parameters = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    return "estimator" in parameters and "estimator" not in params


def _split(spec: str) -> tuple[str, dict[str, JSON]]:
    """Return a reward's name and parameters."""
    name, params = split_inline(spec, source=f"reward {spec!r}")
    if name in list_plugins("signal") and name not in list_plugins("reward"):
        return SIGNAL, {"by": spec}
    return name, params
