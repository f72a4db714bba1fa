"""How policy, anchor and judge sample in a training.

`--set role.parameter=value` decides; then what the task says; then, for policy and anchor, what the
recipe has for the family of the model; then the model's own default. The policy's parameters go to
TRL, which writes its rollouts, and to the harness, which measures it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from cat_bench.errors import ConfigError
from cat_bench.loading.validation import scalar, validate
from cat_bench.training.recipes import Recipe
from cat_bench.types.calls import JSON, RoleName, Sampling

ROLES: tuple[RoleName, ...] = get_args(RoleName)
TRL = {
    **{name: name for name in ("temperature", "top_p", "top_k", "min_p")},
    "max_tokens": "max_completion_length",
}
"""The parameters of sampling that TRL has, by its names."""
TEMPLATE = {"thinking": "enable_thinking", "reasoning_effort": "reasoning_effort"}
"""The parameters that are options of the chat template, by their names there."""
KWARGS = "chat_template_kwargs"

Roles = dict[RoleName, dict[str, JSON]]


def divide_changes(changes: Sequence[str]) -> tuple[Roles, list[str]]:
    """Return the changes of the form `role.parameter=value` by role, and the others.

    Raises ConfigError for a role or a parameter that there is not, and for a wrong value.
    """
    by_role: Roles = {}
    others = []
    for change in changes:
        key, equals, value = change.partition("=")
        role, dot, parameter = key.strip().partition(".")
        if not dot:
            others.append(change)
        elif not equals:
            raise ConfigError("--set", change, "should be written KEY=VALUE")
        elif role not in ROLES:
            raise ConfigError("--set", key, f"{role!r} is not one of {', '.join(ROLES)}")
        else:
            read = scalar(value, source="--set", field=key)
            by_role.setdefault(role, {})[parameter] = read
    for role, parameters in by_role.items():
        validate(Sampling, parameters, source=f"--set {role}")
    return by_role, others


def resolve_sampling(
    recipe: Recipe,
    given: Mapping[RoleName, Mapping[str, JSON]],
    *,
    task: Mapping[str, Sampling],
    model_type: str,
    anchor: str | None,
) -> Roles:
    """Return each role's parameters: those given, and the recipe's where the task has none.

    `model_type` is transformers' word for the policy's architecture, such as `qwen3`. An `anchor`
    that is another model is of the family that its name says.
    """
    resolved: Roles = {role: dict(parameters) for role, parameters in given.items()}
    families: dict[RoleName, str] = {"policy": model_type, "anchor": anchor or model_type}
    for role, word in families.items():
        published = next((p for name, p in recipe.sampling.items() if name in word.lower()), {})
        stated = task[role].given() if role in task else {}
        missing = {name: value for name, value in published.items() if name not in stated}
        if merged := {**missing, **resolved.get(role, {})}:
            resolved[role] = merged
    return resolved


def set_policy(recipe: Recipe, policy: Mapping[str, JSON], *, named: Collection[str]) -> Recipe:
    """Return a recipe whose policy samples so in TRL; `named` are TRL's settings given by name.

    Raises ConfigError for a parameter that is given under both names, or that TRL does not have.
    """
    if recipe.trainer != "grpo":
        return recipe
    settings = dict(recipe.settings)
    template = dict(settings.get(KWARGS) or {})
    for name, value in policy.items():
        if name in TEMPLATE:
            template[TEMPLATE[name]] = value
        elif name not in TRL:
            known = ", ".join([*TRL, *TEMPLATE])
            raise ConfigError("--set", f"policy.{name}", f"TRL samples by {known} alone")
        elif TRL[name] in named:
            raise ConfigError("--set", f"policy.{name}", f"is {TRL[name]} again: give one of them")
        else:
            settings[TRL[name]] = value
    return replace(recipe, settings={**settings, **({KWARGS: template} if template else {})})


def template_options(recipe: Recipe, policy: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the options of the chat template by which the policy is prompted."""
    own = {TEMPLATE[name]: value for name, value in policy.items() if name in TEMPLATE}
    return {**own, **(recipe.settings.get(KWARGS) or {})}
