"""A low-rank change is trained, saved, and opened like any model; SFT stops early."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from cat_bench.bundled.tally import MODEL
from cat_bench.models.backends.hf import HuggingFace
from cat_bench.models.backends.hf.loading import folder_digest
from cat_bench.training.journal import read
from cat_bench.types.calls import FloatArray, Message
from tests.conftest import Workshop

peft = pytest.importorskip("peft", reason="cat-bench[lora] is not installed")

SUMS: tuple[Message, ...] = ({"role": "user", "content": "Compute 3 + 4 * 5 - 6."},)
SIZES = ("--set", "num_generations=2", "--set", "per_device_train_batch_size=4")
LORA = ("--set", "lora_r=4", "--set", "learning_rate=1e-3")


def logprobs(folder: Path) -> FloatArray:
    async def asked() -> FloatArray:
        backend = HuggingFace(str(folder))
        found = await backend.logprob(SUMS, "3 + 20 = 23, 23 - 6 = 17")
        await backend.close()
        assert isinstance(found, np.ndarray)
        return found

    return asyncio.run(asked())


def test_an_adapter_is_trained_saved_and_opened(workshop: Workshop) -> None:
    given = ("--recipe", "ttrl", "--steps", "2", "--questions", "0", *SIZES, *LORA)
    status, _, err = workshop.run(
        "train", "tally", *given, "--set", "beta=0.001", "--seed", "3", "--out", "one"
    )
    assert status == 0, err
    folder = Path("one/model")
    assert "kl" in read(Path("one/metrics.jsonl"))[0]
    assert not list(folder.glob("*.bin")), "no pickle"
    change = load_file(folder / "adapter_model.safetensors")
    assert {weight.dtype for weight in change.values()} == {torch.float32}
    assert max(float(w.abs().max()) for name, w in change.items() if "lora_B" in name) > 1e-4
    assert HuggingFace(str(folder)).identity == {
        "folder_digest": folder_digest(folder),
        "base": {"folder_digest": folder_digest(MODEL)},
    }

    whole = AutoModelForCausalLM.from_pretrained(str(MODEL), dtype="float32")
    merged = peft.PeftModel.from_pretrained(whole, str(folder)).merge_and_unload()
    merged.save_pretrained("merged")
    AutoTokenizer.from_pretrained(str(MODEL)).save_pretrained("merged")
    opened = logprobs(folder)
    np.testing.assert_allclose(opened, logprobs(Path("merged")), atol=1e-5)
    assert np.abs(opened - logprobs(MODEL)).max() > 1e-4


@pytest.mark.slow
def test_an_adapter_is_trained_further_from_its_merged_model(workshop: Workshop) -> None:
    given = ("--recipe", "ttrl", "--steps", "1", "--questions", "0", *SIZES, *LORA)
    assert workshop.run("train", "tally", *given, "--out", "one")[0] == 0
    status, _, err = workshop.run(
        *("train", "tally", "-m", "one/model", "--scale", "small", *given),
        *("--set", "beta=0.001", "--out", "two"),
    )
    assert status == 0, err
    first = read(Path("two/metrics.jsonl"))[0]
    assert first["kl"] == 0, "the reference is the model it begins with, not the adapter's base"
    config = json.loads(Path("two/model/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "two/initial"


def test_sft_stops_where_the_loss_on_held_out_references_does_not_fall(
    workshop: Workshop,
) -> None:
    status, out, err = workshop.run(
        *("train", "tally", "--recipe", "sft", "--steps", "6", "--questions", "0", *SIZES),
        *("--set", "lora_r=4", "--set", "learning_rate=0.0", "--set", "held_out=0.25"),
        *("--set", "early_stopping_patience=2", "--save-every", "1", "--out", "one", "--json"),
    )
    assert status == 0, err
    told = json.loads(out)["training"]
    assert told["references"] == 24
    assert (told["held_out"], told["best_step"], told["stopped_at"]) == (6, 1, 3)
    losses = [row["eval_loss"] for row in read(Path("one/metrics.jsonl")) if "eval_loss" in row]
    assert losses == [told["best_loss"]] * 3
    assert Path("one/model/adapter_model.safetensors").is_file()


@pytest.mark.parametrize(
    ("recipe", "change", "problem"),
    [
        ("cat-rl", "lora_alpha=16", "lora_alpha: has no effect without lora_r"),
        ("cat-rl", "lora_r=x", "lora_r: Input should be a valid integer"),
        ("cat-rl", "lora_rank=4", "lora_rank"),
        ("cat-rl", "early_stopping_patience=2", "early_stopping_patience: is for sft"),
        ("sft", "held_out=2", "held_out: should be a share between 0 and 1, not 2"),
        ("sft", "early_stopping_patience=0", "should be a whole number from 1 on, not 0"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    workshop: Workshop, recipe: str, change: str, problem: str
) -> None:
    given = ("train", "tally", "--recipe", recipe, "--out", "one", "--steps", "1")
    status, _, err = workshop.run(*given, "--set", change)
    assert status == 2
    assert problem in err
    assert not Path("one/plan.json").exists()
