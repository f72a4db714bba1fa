"""The bundled models by NumPy and by torch: the same numbers, completions and identity."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from cat_bench.bundled.checkpoints import counsel, tally
from cat_bench.bundled.counsel import MODEL as COUNSEL
from cat_bench.bundled.tally import MODEL as TALLY
from cat_bench.errors import ModelError
from cat_bench.loading.catalog import task
from cat_bench.models.backends import Request
from cat_bench.models.backends.hf import HuggingFace
from cat_bench.models.backends.hf.distribution import Distribution
from cat_bench.models.backends.small import Small
from cat_bench.models.backends.small.decoding import Prompts
from cat_bench.models.backends.small.network import Network, Past
from cat_bench.models.backends.small.shaping import History
from cat_bench.types.calls import Failure, Message, Reply, Sampling

# The random model has grouped attention, which the bundled ones have not.
from tests.models.backends.hf.conftest import folder

__all__ = ["folder"]

CLOSE = 1e-4


def asked(name: str, count: int) -> list[tuple[Message, ...]]:
    """The prompts of a bundled task's first questions."""
    return [sample.question.messages for sample in islice(task(name).samples(), count)]


def test_logits_are_those_of_torch(folder: Path) -> None:
    for checkpoint in (folder, TALLY, COUNSEL):
        network = Network.load(checkpoint)
        rng = np.random.default_rng(1)
        rows = [rng.integers(network.vocabulary, size=size).tolist() for size in (3, 40, 1, 17)]
        prompts = Prompts(rows)
        past = Past(network, *prompts.ids.shape)
        states = np.concatenate(list(prompts.states(network, past, last=40)))
        model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="float32")
        for row, found in zip(rows, network.logits(states), strict=True):
            with torch.inference_mode():
                expected = model(torch.tensor([row])).logits[0].log_softmax(-1)
            mine = torch.from_numpy(found[-len(row) :]).log_softmax(-1)
            torch.testing.assert_close(mine, expected, atol=CLOSE, rtol=CLOSE)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0),
        Sampling(temperature=0.7, top_k=5, presence_penalty=0.3),
        Sampling(top_p=0.8, min_p=0.05, stop=("\n(b)", "boxed"), frequency_penalty=0.2),
        Sampling(temperature=1.4, max_tokens=9, extra={"repetition_penalty": 1.2}),
    ],
    ids=lambda sampling: " ".join(sampling.given()) or "plain",
)
@pytest.mark.parametrize(("name", "opened"), [("tally", tally), ("counsel", counsel)])
async def test_completions_are_those_of_torch(
    name: str, opened: Callable[..., Small], sampling: Sampling
) -> None:
    mine, theirs = opened(threads=2), HuggingFace(str({"tally": TALLY, "counsel": COUNSEL}[name]))
    assert mine.identity == theirs.identity
    assert mine.sampling == theirs.sampling
    assert mine.capabilities == theirs.capabilities
    for messages in asked(name, 3):
        request = Request(messages, sampling, tuple(range(8)))
        ours, others = await asyncio.gather(mine.generate(request), theirs.generate(request))
        for our, other in zip(ours, others, strict=True):
            assert isinstance(our, Reply)
            assert isinstance(other, Reply)
            assert (our.text, our.finish, our.usage) == (other.text, other.finish, other.usage)
            assert_close(our.token_logprobs, other.token_logprobs)
            assert_close(our.token_entropies, other.token_entropies)
            assert our.measures.keys() == other.measures.keys()
            for measure, values in our.measures.items():
                assert_close(values, other.measures[measure])
            scored = [await model.logprob(messages, our.text) for model in (mine, theirs)]
            assert_close(*scored)
    await mine.close()
    await theirs.close()


def assert_close(found: object, expected: object) -> None:
    assert isinstance(found, np.ndarray)
    assert isinstance(expected, np.ndarray)
    np.testing.assert_allclose(found, expected, atol=CLOSE, rtol=CLOSE)


async def test_what_does_not_fit_the_context_is_told() -> None:
    model = tally(threads=1)
    messages: tuple[Message, ...] = ({"role": "user", "content": "1 2 3 4 5 6 7 8 " * 400},)
    (failure,) = await model.generate(Request(messages, Sampling(), (1,)))
    await model.close()
    assert isinstance(failure, Failure)
    assert failure.kind == "context"


def test_penalties_are_taken_off_the_logits_of_what_was_written() -> None:
    history = History(Distribution(presence=0.5, frequency=0.25, repetition=2.0), [[3]], 4)
    for token in (1, 1, 2):
        history.add(np.array([token]))
    found = history.penalise(np.array([[1.0, -2.0, 3.0, 0.5]], dtype=np.float32))
    np.testing.assert_allclose(found, [[1.0, -4.0 - 0.5 - 0.5, 1.5 - 0.5 - 0.25, 0.25]])


@pytest.mark.parametrize(
    ("file", "name", "value", "said"),
    [
        ("config.json", "model_type", "llama", "model_type is 'llama'"),
        ("config.json", "rope_parameters", {"rope_type": "yarn"}, "rotary positions are scaled"),
        ("model.safetensors", "", None, "cannot load"),
    ],
)
async def test_another_architecture_is_refused(
    tmp_path: Path, file: str, name: str, value: object, said: str
) -> None:
    shutil.copytree(TALLY, tmp_path / "model")
    path = tmp_path / "model" / file
    if name:
        path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    else:
        path.write_bytes(b"not weights")
    model = Small(str(tmp_path / "model"))
    with pytest.raises(ModelError, match=said):
        await model.generate(Request(({"role": "user", "content": "1"},), Sampling(), (1,)))


def test_the_bundled_models_need_no_torch(tmp_path: Path) -> None:
    program = """
import sys
class Absent:
    def find_spec(name, path=None, target=None):
        if name in ("torch", "transformers", "safetensors"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent)
sys.argv[1:] = "run tally --limit 1 --pool 2 --out run".split()
from cat_bench.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "| cat " in done.stdout
