"""A folder with a LoRA adapter opens as its base with the change merged in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cat_bench.errors import ModelError
from cat_bench.models.backends import Request
from cat_bench.models.backends.content import content
from cat_bench.models.backends.hf import HuggingFace
from cat_bench.models.backends.hf.adapters import CONFIG, Adapter
from cat_bench.models.backends.hf.loading import Checkpoint, folder_digest
from cat_bench.models.backends.small import Small
from cat_bench.models.backends.vllm import Vllm
from cat_bench.types.calls import FloatArray, Message, Reply, Sampling

peft = pytest.importorskip("peft", reason="cat-bench[lora] is not installed")

QUESTION: tuple[Message, ...] = ({"role": "user", "content": "the quick fox"},)


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    """An adapter of rank 4 on the tiny model, far enough from zero to change every number."""
    torch.manual_seed(1)
    base = Checkpoint.load(str(folder), revision=None, device="cpu", dtype="float32").model
    wanted = peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules="all-linear")
    adapted = peft.get_peft_model(base, wanted)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.2)
    adapted.save_pretrained(tmp_path / "adapter")
    merged = adapted.merge_and_unload()
    merged.save_pretrained(tmp_path / "merged")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(folder / name, tmp_path / "merged")
    return tmp_path / "adapter"


async def logprobs(path: Path, text: str = "a lazy dog, 3 4") -> FloatArray:
    backend = HuggingFace(str(path), dtype="float32")
    found = await backend.logprob(QUESTION, text)
    await backend.close()
    assert isinstance(found, np.ndarray)
    return found


async def test_its_numbers_are_those_of_the_merged_model(adapter: Path, folder: Path) -> None:
    merged, opened = await logprobs(adapter.parent / "merged"), await logprobs(adapter)
    np.testing.assert_allclose(opened, merged, atol=1e-5)
    assert np.abs(opened - await logprobs(folder)).max() > 0.1


async def test_it_writes_with_the_tokenizer_of_its_base(adapter: Path) -> None:
    backend = HuggingFace(str(adapter))
    asked = Request(QUESTION, Sampling(temperature=0, max_tokens=4), (0,))
    (reply,) = await backend.generate(asked)
    await backend.close()
    assert isinstance(reply, Reply)
    assert reply.usage.completion == 4


def test_its_identity_has_both_digests_wherever_they_lie(
    adapter: Path, folder: Path, tmp_path: Path
) -> None:
    whole = {
        "folder_digest": folder_digest(adapter),
        "base": {"folder_digest": folder_digest(folder)},
    }
    assert HuggingFace(str(adapter)).identity == whole
    assert content(str(adapter)) == whole
    assert Vllm(str(adapter)).identity == whole
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved / "base")
    shutil.copytree(adapter, moved / "adapter")
    config = json.loads((moved / "adapter" / CONFIG).read_text())
    config["target_modules"].reverse()
    config["base_model_name_or_path"] = "../base"
    (moved / "adapter" / CONFIG).write_text(json.dumps(config))
    assert HuggingFace(str(moved / "adapter")).identity == whole, "beside it, in another order"
    config["lora_alpha"] *= 2
    (moved / "adapter" / CONFIG).write_text(json.dumps(config))
    assert HuggingFace(str(moved / "adapter")).identity["folder_digest"] != whole["folder_digest"]


def test_a_base_that_has_moved_can_be_named(adapter: Path, folder: Path) -> None:
    config = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": "/no/such"}))
    with pytest.raises(ModelError, match=r"is not at /no/such: say where it is, hf:.*\{base=PATH}"):
        HuggingFace(str(adapter))
    assert HuggingFace(str(adapter), base=str(folder)).identity["base"]
    (adapter / CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": None}))
    with pytest.raises(ModelError, match="names no base model"):
        HuggingFace(str(adapter))
    (adapter / CONFIG).write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        HuggingFace(str(adapter))


async def test_an_adapter_of_another_model_is_refused(adapter: Path, tmp_path: Path) -> None:
    config = json.loads((adapter / CONFIG).read_text())
    (adapter / CONFIG).write_text(json.dumps({**config, "r": 8}))
    backend = HuggingFace(str(adapter))
    with pytest.raises(ModelError, match=r"the adapter .* does not fit"):
        await backend.logprob(QUESTION, "dog")
    await backend.close()


def test_where_a_whole_model_is_needed_an_adapter_is_refused(adapter: Path) -> None:
    with pytest.raises(ModelError, match="a whole model is needed here: load it as hf:"):
        Small(str(adapter))


def test_without_peft_the_install_is_named(adapter: Path) -> None:
    program = (
        "import sys; sys.modules['peft'] = None\n"
        "from cat_bench.models.backends.hf.loading import Checkpoint\n"
        f"Checkpoint.load({str(adapter)!r}, revision=None, device='cpu', dtype='auto')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ)
    )
    assert "holds a LoRA adapter, which needs peft" in done.stderr.splitlines()[-1]


def test_vllm_serves_it_on_its_base(adapter: Path, folder: Path) -> None:
    command = Vllm(str(adapter))._server._command
    assert command[1:3] == ["serve", str(folder)]
    flags = ["--enable-lora", "--lora-modules", f"adapter={adapter}", "--max-lora-rank", "8"]
    assert command[3:] == flags
    found = Adapter.find(adapter)
    assert found
    assert found.rank == 4
