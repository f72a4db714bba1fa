"""The profile of a rubric's judge, in a run's configuration and in its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cat_bench.errors import ConfigError
from cat_bench.loading.catalog import Task
from cat_bench.runs.config import RunConfig
from cat_bench.scorers.rubric import Rubric
from cat_bench.types.calls import JSON, Sampling


def apply_profile(task: Task, config: RunConfig) -> Task:
    """Return the task with the judge's profile and template that `config` names.

    A profile other than the task's brings its own sampling of the judge. Raises ConfigError if no
    rubric scores the task, or if the template belongs to another profile.
    """
    if config.judge_profile is None and config.judge_template is None:
        return task
    setting = "judge_profile" if config.judge_profile else "judge_template"
    if not isinstance(scorer := task.scorer, Rubric):
        raise ConfigError("--set", setting, f"task {task.name!r} is not scored by a rubric")
    profile = config.judge_profile or scorer.profile
    template = config.judge_template or (scorer.template if profile == "official" else None)
    try:
        chosen = replace(scorer, profile=profile, template=template)
    except ValueError as error:
        raise ConfigError("--set", setting, f"{error}") from error
    if profile == scorer.profile or chosen.judge_sampling is None:
        return replace(task, scorer=chosen)
    sampling: dict[str, Sampling] = {**task.sampling, "judge": chosen.judge_sampling}
    return replace(task, scorer=chosen, sampling=sampling)


def judge_profile(record: Mapping[str, JSON]) -> str | None:
    """Return the judge's profile, with a remark if its template was not the pinned one.

    None if no rubric was judged.
    """
    asks = record["task"].get("judging") or {}
    suffix = " (a template of the user's own)" if asks.get("template") == "own" else ""
    profile = asks.get("profile") or {"rubric 1": "ours"}.get(record["task"].get("scorer"))
    return f"{profile}{suffix}" if profile else None
