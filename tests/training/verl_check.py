"""The reward under verl's own reward loop: `make verl-check`, where verl is installed.

The example configuration is composed by hydra with verl's own defaults, and only what needs GPUs
is left out: no rollout is sampled by verl and nothing is trained.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
import yaml
from hydra import compose, initialize_config_dir, initialize_config_module
from omegaconf import OmegaConf
from transformers import AutoTokenizer
from verl import DataProto
from verl.experimental.reward_loop.reward_loop import RewardLoopManager
from verl.trainer.ppo.reward import load_reward_manager, resolve_reward_manager_cls

from cat_bench.bundled.tally import MODEL
from cat_bench.bundled.tally.problems import Problem, problems
from cat_bench.errors import ConfigError
from cat_bench.loading import catalog
from cat_bench.runs.config import RunConfig
from cat_bench.training.rewarder import Rewarder
from cat_bench.training.rows import verl_row
from cat_bench.types.calls import JSON, Reply
from cat_bench.types.records import Sample
from tests.places import ROOT
from tools.tally.drafts import attempt

RECIPES = ROOT / "recipes" / "verl"
REWARD = "equivalence{estimator=cat}"
GROUP = 4


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JSON:
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    with initialize_config_dir(str(RECIPES), version_base=None):
        return compose(
            "cat-rl",
            overrides=[
                f"actor_rollout_ref.model.path={MODEL}",
                f"actor_rollout_ref.rollout.n={GROUP}",
                "cat_bench.task=tally",
                "cat_bench.model=tally",
                "cat_bench.base_url=null",
            ],
        )


def samples() -> list[Sample]:
    return list(catalog.task("tally").samples())[:3]


def texts(sample: Sample) -> list[str]:
    rng = random.Random(sample.question.id)
    known: dict[str, Problem] = {each.text: each for each in problems(300, seed=1)}
    return [attempt(known[sample.question.text], rng) for _ in range(GROUP)]


def batch(tokenizer: JSON) -> DataProto:
    """All rollouts of three questions, in an order that mixes the groups."""
    rows = [(s, k, t) for k, s in enumerate(samples()) for t in texts(s)]
    random.Random(0).shuffle(rows)
    ids = [
        [*tokenizer(t, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        for *_, t in rows
    ]
    width = max(map(len, ids))
    prompts = torch.ones(len(rows), 5, dtype=torch.long)
    responses = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in ids])
    written = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids])
    kept = [verl_row(s, task="tally", split="train", index=k) for s, k, _ in rows]
    return DataProto.from_dict(
        tensors={
            "prompts": prompts,
            "responses": responses,
            "attention_mask": torch.cat([torch.ones_like(prompts), written], dim=1),
        },
        non_tensors={
            "uid": np.array([f"u{k}" for _, k, _ in rows], dtype=object),
            **{name: np.array([r[name] for r in kept], dtype=object) for name in kept[0]},
        },
    )


async def expected(tokenizer: JSON) -> dict[str, float]:
    """Each text's reward in its group, from the harness itself."""
    rewarder = Rewarder(REWARD, RunConfig(task="tally", model="tally", methods=("single",)))
    found: dict[str, float] = {}
    for sample in samples():
        own = texts(sample)
        group = await rewarder.group(sample.question.id, [Reply(text=t) for t in own])
        found |= {
            f"{sample.question.id} {t}": float(v or 0)
            for t, v in zip(own, group.values, strict=True)
        }
    await rewarder.close()
    return found


def keys(tokenizer: JSON, data: DataProto) -> Iterator[str]:
    told = data.non_tensor_batch["extra_info"]
    for row, info in zip(data.batch["responses"], told, strict=True):
        yield f"{info['question_id']} {tokenizer.decode(row, skip_special_tokens=True)}"


def test_the_example_names_our_manager(config: JSON) -> None:
    assert resolve_reward_manager_cls(config).__name__ == "GroupRewards"
    assert config.algorithm.adv_estimator == "grpo"


def test_every_setting_of_the_example_is_one_of_verls(config: JSON) -> None:
    with initialize_config_module("verl.trainer.config", version_base=None):
        known = set(paths(OmegaConf.to_container(compose("ppo_trainer"))))
    written = yaml.safe_load((RECIPES / "cat-rl.yaml").read_text())
    mine = {
        name: written[name] for name in written if name not in {"hydra", "defaults", "cat_bench"}
    }
    free = {name for name in paths(mine) if name.rpartition(".")[0] in known}  # verl's mapping
    assert set(paths(mine)) <= known | free


def paths(tree: JSON, start: str = "") -> Iterator[str]:
    """The dotted names of all leaves."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from paths(value, f"{start}{name}.")
        else:
            yield f"{start}{name}"


def test_groups_are_gathered_from_single_rollouts(config: JSON) -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    data = batch(tokenizer)

    async def rewards() -> list[float]:
        manager = load_reward_manager(config, tokenizer)
        found = await asyncio.gather(
            *(manager.run_single(data[k : k + 1]) for k in range(len(data)))
        )
        return [each["reward_score"] for each in found]

    wanted = asyncio.run(expected(tokenizer))
    assert asyncio.run(rewards()) == [wanted[key] for key in keys(tokenizer, data)]
    assert 0 < sum(wanted.values()) < len(wanted)


def test_verls_own_loop_puts_each_reward_at_its_last_token(config: JSON) -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    data = batch(tokenizer)
    wanted = asyncio.run(expected(tokenizer))
    ray.init(address="local", num_cpus=2, include_dashboard=False)
    try:
        scored = RewardLoopManager(config).compute_rm_score(data)
    finally:
        ray.shutdown()
    found = scored.batch["rm_scores"]
    lengths = data.batch["attention_mask"][:, 5:].sum(dim=1)
    assert found.sum(dim=1).tolist() == [wanted[key] for key in keys(tokenizer, data)]
    assert all(not row[: n - 1].any() for row, n in zip(found, lengths, strict=True))
    assert set(scored.non_tensor_batch["unscored"]) == {0.0}


def test_several_workers_are_refused(config: JSON) -> None:
    config.reward.num_workers = 2
    with pytest.raises(ConfigError, match="should be 1, not 2"):
        load_reward_manager(config, AutoTokenizer.from_pretrained(MODEL))
