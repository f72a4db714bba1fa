"""How policy, anchor and judge sample in a training.

The first of these that states a parameter decides: `--set role.parameter=value`, the task, the
recipe (by the family of the policy or anchor), the model's own default. The policy's parameters go
to TRL, which writes the rollouts, and to the harness, which measures the policy. Two exceptions:
the length of a rollout in training is the recipe's, and a setting under TRL's own name, such as
`--set temperature=1`, holds for training only.
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

    Raises ConfigError for an unknown role or parameter, and for a wrong value.
    """
    by_role: Roles = {}
    rest = []
    for change in changes:
        key, equals, value = change.partition("=")
        role, dot, parameter = key.strip().partition(".")
        if not dot:
            rest.append(change)
        elif not equals:
            raise ConfigError("--set", change, "should be written KEY=VALUE")
        elif role not in ROLES:
            raise ConfigError("--set", key, f"{role!r} is not one of {', '.join(ROLES)}")
        else:
            read = scalar(value, source="--set", field=key)
            by_role.setdefault(role, {})[parameter] = read
    for role, parameters in by_role.items():
        validate(Sampling, parameters, source=f"--set {role}")
    return by_role, rest


def resolve_sampling(
    recipe: Recipe,
    given: Mapping[RoleName, Mapping[str, JSON]],
    *,
    task: Mapping[str, Sampling],
    model_type: str,
    anchor: str | None,
) -> Roles:
    """Return each role's parameters: those given, and the recipe's that the task does not state.

    The task's own parameters are not included. `model_type` is transformers' name of the policy's
    architecture, such as `qwen3`. If the anchor is another model, its family is read from its name.
    """
    resolved: Roles = {role: dict(parameters) for role, parameters in given.items()}
    model_names: dict[RoleName, str] = {"policy": model_type, "anchor": anchor or model_type}
    for role, model in model_names.items():
        recommended = next((p for name, p in recipe.sampling.items() if name in model.lower()), {})
        stated = task[role].given() if role in task else {}
        missing = {name: value for name, value in recommended.items() if name not in stated}
        if merged := {**missing, **resolved.get(role, {})}:
            resolved[role] = merged
    return resolved


def set_policy(
    recipe: Recipe,
    policy: Mapping[str, JSON],
    *,
    task: Sampling | None = None,
    given: Collection[str] = (),
    named: Collection[str] = (),
) -> Recipe:
    """Return the recipe with the policy's sampling parameters as TRL's settings.

    `policy` has the parameters of `resolve_sampling`, `task` those that the task states. `given`
    are the parameters that the user set, `named` the settings that the user set under TRL's names.
    Raises ConfigError for a parameter that the user set under both names, or that TRL lacks.
    """
    if recipe.trainer != "grpo":
        return recipe
    settings = dict(recipe.settings)
    template = dict(settings.get(KWARGS) or {})
    stated = task.given() if task else {}
    params = {n: stated[n] for n in (*TRL, *TEMPLATE) if n in stated and n != "max_tokens"}
    for name, value in {**params, **policy}.items():
        if name in TEMPLATE:
            template[TEMPLATE[name]] = value
        elif name not in TRL:
            names = ", ".join([*TRL, *TEMPLATE])
            raise ConfigError("--set", f"policy.{name}", f"TRL can only set {names}")
        elif TRL[name] not in named:
            settings[TRL[name]] = value
        elif name in given:
            problem = f"is also set as {TRL[name]}: give only one of them"
            raise ConfigError("--set", f"policy.{name}", problem)
    return replace(recipe, settings={**settings, **({KWARGS: template} if template else {})})


def template_options(recipe: Recipe, policy: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the options of the chat template for the policy's prompts; `policy` decides."""
    options = {TEMPLATE[name]: value for name, value in policy.items() if name in TEMPLATE}
    return {**(recipe.settings.get(KWARGS) or {}), **options}
