"""Opening checkpoints: what identifies them, and what is said when they cannot be opened."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from transformers import AutoTokenizer, GenerationConfig

from cat_bench.cache import Cache
from cat_bench.errors import ModelError
from cat_bench.models.backends import Request
from cat_bench.models.backends.hf import HuggingFace
from cat_bench.models.backends.hf.loading import defaults, folder_digest, locate, read_generation
from cat_bench.models.backends.opening import open_backend
from cat_bench.system.extras import install_command
from cat_bench.types.calls import Reply, Sampling
from tests.conftest import Workshop
from tests.models.backends.hf.conftest import TEMPLATE, save


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_a_copy_has_the_same_identity_and_a_changed_byte_another(
    folder: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    digests = [folder_digest(folder)]
    assert folder_digest(copy) == digests[0]
    (copy / "README.md").write_text("trained on a Tuesday")
    (copy / "trainer_state.json").write_text("{}")
    assert folder_digest(copy) == digests[0]
    for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"):
        flipped(copy / name)
        digests.append(folder_digest(copy))
    (copy / "generation_config.json").unlink()
    digests.append(folder_digest(copy))
    assert len(set(digests)) == 6


async def test_the_backend_is_identified_by_the_digest(folder: Path) -> None:
    backend = HuggingFace(str(folder))
    await backend.close()
    assert backend.identity == {"folder_digest": folder_digest(folder)}


@pytest.mark.parametrize("path", ["./no/such/folder", "/no/such", "a/b/c"])
def test_a_missing_folder_is_named(path: str) -> None:
    with pytest.raises(ModelError, match="there is no folder"):
        HuggingFace(path)


def test_a_folder_without_a_model_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        HuggingFace(str(tmp_path))


async def test_broken_weights_are_a_model_error(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "model.safetensors").write_bytes(b"not weights")
    backend = HuggingFace(str(broken))
    asked = Request(({"role": "user", "content": "hello"},), Sampling(), (0,))
    with pytest.raises(ModelError, match="cannot load"):
        await backend.generate(asked)


def test_offline_says_how_to_get_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="hf download nobody/no-such-model"):
        HuggingFace("nobody/no-such-model")


def test_nothing_heavy_is_imported_before_a_model_is_opened() -> None:
    program = """
import sys
import cat_bench.models.backends.hf as hf
from cat_bench.errors import ModelError
assert not {"torch", "transformers"} & set(sys.modules)
sys.modules["torch"] = None
try:
    hf.HuggingFace("any/model")
except ModelError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert install_command("hf") in done.stdout


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, Sampling()),
        ({"do_sample": False}, Sampling(temperature=0.0)),
        (
            {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20},
            Sampling(temperature=0.7, top_p=0.8, top_k=20),
        ),
        (
            {"do_sample": True, "max_new_tokens": 99, "repetition_penalty": 1.1},
            Sampling(max_tokens=99, extra={"repetition_penalty": 1.1}),
        ),
    ],
)
def test_defaults_are_what_the_generation_configuration_states(
    given: dict[str, object], expected: Sampling, tmp_path: Path
) -> None:
    (tmp_path / "generation_config.json").write_text(json.dumps(given))
    assert defaults(GenerationConfig.from_pretrained(tmp_path).to_dict()) == expected
    assert defaults(read_generation(tmp_path)) == expected


async def test_without_a_chat_template_the_contents_are_the_prompt(tmp_path: Path) -> None:
    backend = HuggingFace(str(save(tmp_path / "base", template=None)))
    asked = Request(
        ({"role": "system", "content": "count"}, {"role": "user", "content": "dog"}),
        Sampling(temperature=0, max_tokens=5),
        (1,),
    )
    joined = Request(
        ({"role": "user", "content": "count\n\ndog"},), Sampling(temperature=0, max_tokens=5), (1,)
    )
    (first,), (second,) = await backend.generate(asked), await backend.generate(joined)
    await backend.close()
    assert isinstance(first, Reply)
    assert first == second


def test_an_adapter_and_a_missing_device_are_said_in_a_line(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match="holds a LoRA adapter, and a whole model is needed"):
        locate(str(tmp_path), tmp_path)
    if not torch.cuda.is_available():
        with Cache(tmp_path / "cache.sqlite") as cache, pytest.raises(ModelError, match="no CUDA"):
            open_backend("hf:some/model{device=cuda}", cache)


@pytest.mark.parametrize("where", ["tokenizer_config.json", "chat_template.jinja", "neither"])
async def test_a_folder_tells_whether_it_has_a_chat_template(where: str, tmp_path: Path) -> None:
    folder = save(tmp_path / "model", template=None if where == "neither" else TEMPLATE)
    if where == "tokenizer_config.json":
        (folder / "chat_template.jinja").unlink()
        config = json.loads((folder / where).read_text())
        (folder / where).write_text(json.dumps({**config, "chat_template": TEMPLATE}))
    backend = HuggingFace(str(folder))
    loaded = AutoTokenizer.from_pretrained(folder)
    await backend.close()
    assert (backend.caution is None) is bool(loaded.chat_template) is (where != "neither")


def test_a_run_says_that_its_model_has_no_chat_template(workshop: Workshop) -> None:
    for name, template in (("base", None), ("chat", TEMPLATE)):
        save(workshop.folder / name, template=template)
        settings = ("--pool", "2", "--method", "majority", "--set", "policy.max_tokens=4")
        status, out, err = workshop.run("run", "toy", "--model", f"hf:{name}", *settings)
        assert status == 0, err
        (path,) = (workshop.folder / "results").glob(f"*{name}*")
        record = json.loads((path / "run.json").read_text())
        said = f"hf:{name} has no chat template: a prompt is the messages' texts without roles"
        expected = template is None
        assert (f"Warning: {said}" in " ".join(err.split())) is expected
        assert (said in out) is expected
        assert any(each.startswith(said) for each in record["warnings"]) is expected
