"""The commands for GPUs are read by the parsers of the programs that they start."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

import pytest
from accelerate.commands.launch import launch_command_parser
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.sft_config import SFTConfig

from cat_bench.cli.train import _choose
from cat_bench.cli.train import train as command
from cat_bench.rewards import reward
from cat_bench.training.arguments import _read_settings, trainer_arguments
from cat_bench.training.lora import read_lora
from cat_bench.training.recipes import Recipe
from cat_bench.training.sampling import Roles
from tests.documents import Document
from tests.places import ROOT

PAGE = Document(ROOT / "docs" / "training-on-gpus.md")
QWEN = {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "thinking": False}


@dataclass(frozen=True)
class Training:
    """One command of the page: the processes that it starts, and what it trains."""

    processes: int
    options: dict[str, object]
    recipe: Recipe
    sampling: Roles


def lines() -> list[list[str]]:
    found = [line for block in PAGE.blocks("console") for line, _ in block.commands]
    return [shlex.split(line) for line in found]


def bare(words: list[str]) -> list[str]:
    """Without the variables that stand before a command."""
    return [word for k, word in enumerate(words) if not (k < 2 and re.match(r"[A-Z_]+=", word))]


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    def qwen(source: str) -> dict[str, str]:
        assert source == "Qwen/Qwen3-4B"
        return {"model_type": "qwen3"}

    monkeypatch.setattr("cat_bench.cli.train.checkpoint_config", qwen)
    found = []
    for words in map(bare, lines()):
        processes, given = 1, words
        if words[:2] == ["accelerate", "launch"]:
            launch = launch_command_parser().parse_args(words[2:])
            assert (launch.module, launch.training_script) == (True, "cat_bench")
            assert launch.use_fsdp
            assert launch.mixed_precision == "bf16"
            processes, given = launch.num_processes, ["cat-bench", *launch.training_script_args]
        if given[:2] != ["cat-bench", "train"]:
            continue
        with command.make_context("train", given[2:]) as context:
            own = context.params
            chosen, sampling = _choose(
                own["name"],
                own["scale"] or "paper",
                own["task"],
                own["model"],
                own["reward"],
                own["changes"],
                anchor=own["anchor"],
            )
        found.append(Training(processes, own, chosen, sampling))
    return found


def test_every_command_is_of_a_program_that_is_known() -> None:
    programs = {Path(bare(words)[0]).name for words in lines()}
    assert programs == {"python3", "pip", "export", "vllm", "accelerate", "cat-bench"}


def test_trl_takes_each_training_and_the_paper_is_followed(
    trainings: list[Training], tmp_path: Path
) -> None:
    assert [each.recipe.name for each in trainings] == ["cat-rl", "cat-rl-rubric", "sft", "cat-rl"]
    for each in trainings:
        recipe = each.recipe
        kind = GRPOConfig if recipe.trainer == "grpo" else SFTConfig
        settings = _read_settings(recipe, kind, source="the page")
        assert settings.keys() <= get_type_hints(kind).keys()
        made = trainer_arguments(recipe, out=tmp_path, seed=0, save_every=50)
        assert made.max_steps == 1000
        whole = each.processes * made.per_device_train_batch_size
        assert recipe.accumulation(each.processes) * whole == (256 if kind is GRPOConfig else 32)
        assert callable(reward(recipe.reward).rewards)
        for role in ("policy", "anchor"):
            assert {n: each.sampling[role].get(n) for n in QWEN} == QWEN
        if isinstance(made, GRPOConfig):
            assert made.use_vllm
            assert (made.temperature, made.top_k, made.top_p) == (0.7, 20, 0.8)
            assert made.chat_template_kwargs == {"enable_thinking": False}
            assert made.beta == 0.001
    *_, sft, lora = trainings
    assert sft.recipe.settings["lora_r"] == lora.recipe.settings["lora_r"] == 32
    found = read_lora(lora.recipe.settings, source="the page")
    assert found is not None
    assert trainings[1].recipe.settings["max_completion_length"] == 1024


def test_the_memory_that_is_worked_out_adds_up() -> None:
    rows = re.findall(r"(?m)^\| ([\w ,.()']+?) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", PAGE.text)
    *parts, (name, *totals) = rows
    assert name == "sum"
    assert len(parts) == 6
    for column, total in enumerate(totals, start=1):
        assert sum(float(row[column]) for row in parts) == pytest.approx(float(total), abs=0.06)
    assert 2 * 36 * 8 * 128 * 2 == 147_456
    assert pytest.approx(19.3, abs=0.05) == 64 * 2048 * 147_456 / 1e9
    assert pytest.approx(6.0, abs=0.05) == 36 * 8 * 2048 * 2560 * 4 / 1e9
    assert pytest.approx(3.7, abs=0.05) == 8 * 1536 * 151_936 * 2 / 1e9
    adapters = 36 * 32 * (2 * (2560 + 4096) + 2 * (2560 + 1024) + 3 * (2560 + 9728))
    gradients, moments = (float(row[3]) for row in parts[1:3])
    assert gradients == pytest.approx(4 * adapters / 1e9, abs=0.05)
    assert moments == pytest.approx(8 * adapters / 1e9, abs=0.05)
