"""Recipes are data that name a trainer, a reward and TRL's own settings."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.sft_config import SFTConfig

from cat_bench.errors import ConfigError, UnknownName, UsageError
from cat_bench.loading.validation import validate
from cat_bench.rewards import reward
from cat_bench.runs.config import RunConfig
from cat_bench.training.lora import is_lora
from cat_bench.training.recipes import HELD_OUT, OURS, Scale, names, recipe
from cat_bench.training.sft import _hold_out
from tests.places import ROOT


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("scale", ["paper", "small"])
def test_the_catalogues_recipes_are_what_trl_and_the_registry_know(name: str, scale: Scale) -> None:
    found = recipe(name, scale=scale)
    kind = GRPOConfig if found.trainer == "grpo" else SFTConfig
    ours = {name for name in found.settings if name in OURS or is_lora(name)}
    assert set(found.settings) - ours <= {f.name for f in fields(kind)}
    assert callable(reward(found.reward).rewards)
    assert found.summary


def test_reinforcement_recipes_differ_in_the_reward_alone() -> None:
    settings = [
        recipe(n, scale="small").settings for n in names() if not n.startswith(("sft", "cat-rl-"))
    ]
    assert all(each == settings[0] for each in settings)


def test_as_many_questions_as_the_steps_read() -> None:
    changes = ["per_device_train_batch_size=16", "gradient_accumulation_steps=2", "max_steps=3"]
    assert recipe("cat-rl", scale="small", changes=changes).questions(1) == 3 * 32 // 8
    assert recipe("cat-rl", scale="small", changes=changes).questions(2) == 3 * 64 // 8
    assert recipe("sft", scale="small", changes=changes).questions(1) == 3 * 32


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_a_global_batch_is_divided_among_the_processes(processes: int) -> None:
    found = recipe("cat-rl", scale="paper", changes=["max_steps=3"])
    assert found.accumulation(processes) == 256 // (8 * processes)
    assert found.questions(processes) == 3 * 256 // 8


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("gradient_accumulation_steps=2", "follows from global_batch_size: set only one"),
        ("per_device_train_batch_size=24", "256 cannot be divided among 1 processes in batches of"),
    ],
)
def test_a_global_batch_that_cannot_be_is_refused(change: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        recipe("cat-rl", scale="paper", changes=[change]).accumulation(1)


def test_changes_override() -> None:
    found = recipe("ttrl", scale="small", changes=["learning_rate=2", "loss_type=grpo"])
    assert (found.settings["learning_rate"], found.settings["loss_type"]) == (2, "grpo")


def test_a_reward_of_ones_own() -> None:
    assert recipe("cat-rl", scale="small", reward="gold").reward == "gold"


def test_a_recipe_of_ones_own_may_be_like_another(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("summary: mine\nlike: cat-rl\nreward: equivalence{estimator=mbr}\n")
    found = recipe(str(path), scale="paper")
    assert (found.name, found.trainer) == ("mine", "grpo")
    assert found.settings == recipe("cat-rl", scale="paper").settings


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'ttrl'"):
        recipe("ttlr", scale="small")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("summary: x\nreward: gold\n", "trainer: is missing"),
        ("summary: x\nreward: gold\ntrainer: grpo\n", "settings.small: is missing"),
        ("summary: x\nrewards: gold\n", "not a known field. Did you mean 'reward'"),
    ],
)
def test_what_is_off_in_a_recipe_is_named(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=problem):
        recipe(str(path), scale="small")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("beta", "beta: should be written KEY=VALUE"),
        ("max_steps=0", "max_steps: should be a whole number from 1 on, not 0"),
        ("num_generations=x", "num_generations: should be .* not 'x'"),
        ("per_device_train_batch_size=null", "should be .* not None"),
    ],
)
def test_a_change_has_a_value_that_can_be(change: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        recipe("cat-rl", scale="small", changes=[change])


def test_files_in_a_recipe_are_the_ones_beside_it(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(
        "summary: other\ntrainer: grpo\nreward: gold\n"
        "settings: {small: {max_steps: 7, num_generations: 2, per_device_train_batch_size: 2}}\n"
    )
    mine = tmp_path / "mine.yaml"
    mine.write_text("summary: x\nlike: other.yaml\nreward: './own.py:R{estimator=./m.yaml}'\n")
    found = recipe(str(mine), scale="small")
    assert found.reward == f"{tmp_path}/own.py:R{{estimator={tmp_path}/m.yaml}}"
    assert found.steps == 7


def test_verls_example_has_the_papers_settings() -> None:
    example = yaml.safe_load((ROOT / "recipes" / "verl" / "cat-rl.yaml").read_text())
    paper = recipe("cat-rl", scale="paper")
    session = dict(example["cat_bench"])
    assert session.pop("reward") == paper.reward
    config = validate(RunConfig, {"methods": ("single",), **session}, source="verl's example")
    qwen = dict(paper.sampling["qwen"])
    assert config.sampling == {"anchor": qwen}
    rollout, actor = (example["actor_rollout_ref"][part] for part in ("rollout", "actor"))
    assert example["data"]["apply_chat_template_kwargs"] == {
        "enable_thinking": qwen.pop("thinking")
    }
    assert {name: rollout[name] for name in qwen} == qwen
    settings = paper.settings
    assert rollout["n"] == settings["num_generations"]
    assert example["data"]["train_batch_size"] * rollout["n"] == settings["global_batch_size"]
    assert example["data"]["max_response_length"] == settings["max_completion_length"]
    assert example["trainer"]["total_training_steps"] == settings["max_steps"]
    assert (actor["optim"]["lr"], actor["kl_loss_coef"]) == (
        settings["learning_rate"],
        settings["beta"],
    )


@pytest.mark.parametrize(("count", "share"), [(1, 0.1), (3, 0.9)])
def test_early_stopping_that_leaves_nothing_to_train_on_is_refused(
    count: int, share: float
) -> None:
    found = replace(recipe("sft", scale="small"), settings={HELD_OUT: share})
    with pytest.raises(UsageError, match=f"holds out {count} of {count} references, so none is"):
        _hold_out([{}] * count, found, seed=0)


WITH_VERL = {
    *("aiohttp", "antlr4-python3-runtime", "click", "datasets", "huggingface-hub", "jinja2"),
    *("numpy", "pandas", "pyarrow", "pydantic", "pyyaml", "tokenizers"),
}
"""What verl and the packages that it needs bring."""


def test_what_verls_environment_lacks_is_in_its_requirements() -> None:
    listed = (ROOT / "recipes" / "verl" / "requirements.txt").read_text().splitlines()
    own = [line for line in requires("cat-bench") or () if "extra ==" not in line]
    assert {_name(line) for line in own} - WITH_VERL == {
        _name(line) for line in listed if not line.startswith("#")
    }


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].lower().replace("_", "-")
