"""A real vLLM on a CPU against transformers: `make vllm-check`, which installs it in its own venv.

Rewards: each endpoint's number, for tiny random classifiers, on the same token ids. Generation: the
bundled model's log-probabilities, seeds, limits and failures, and its mean score. vLLM is asked for
float32, as transformers computes here; it would take float16 for a float32 checkpoint otherwise.
VLLM names the executable.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForSequenceClassification,
    Qwen3ForTokenClassification,
)

from cat_bench.bundled.tally import MODEL
from cat_bench.errors import ModelError
from cat_bench.models.backends import Request
from cat_bench.models.backends.conversations import STEP
from cat_bench.models.backends.hf import HuggingFace
from cat_bench.models.backends.hf.classifier import Classifier
from cat_bench.models.backends.numbers import activate
from cat_bench.models.backends.reward_server import API, RewardServer
from cat_bench.models.backends.vllm import Vllm
from cat_bench.models.backends.vllm_server import Server
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_rollouts
from cat_bench.runs.open_models import Environment
from cat_bench.runs.opening import run
from cat_bench.types.calls import Failure, FloatArray, Message, Reply, Sampling
from tests.models.backends.hf.conftest import CONTEXT, make_tokenizer

VLLM = os.environ["VLLM"]
WHOLE_PROMPTS = ("--max-num-batched-tokens", "65536")
"""On a CPU, vLLM 0.32 dies when it reads the prompt of a seeded request in chunks."""
CLOSE, STARTUP_S = 1e-3, 600.0
QUESTION: list[Message] = [{"role": "user", "content": "how many foxes jump"}]
RESPONSES = ("the quick brown fox", "a lazy dog, then 3 foxes", "jumps over " * 20)
STEPS = ["the fox jumps", "the dog is lazy", "so 1"]
SUMS: list[Message] = [{"role": "user", "content": "Compute 12 + 7 * 3."}]
QUESTIONS, POOL = 100, 16


@pytest.fixture(scope="module", autouse=True)
def environment() -> Iterator[None]:
    """What vLLM on a CPU wants to be told."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_NO_USAGE_STATS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


def saved(folder: Path, kind: type[PreTrainedModel], labels: int) -> str:
    """A tiny random classifier with a tokenizer that has a step token."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [STEP]})
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        initializer_range=0.4,
        pad_token_id=tokenizer.pad_token_id,
    )
    config.num_labels = labels
    kind(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def served(folder: str, *options: str) -> Iterator[str]:
    """The URL of a pooling server, until the module is done."""
    command = [VLLM, "serve", folder, "--runner", "pooling", "--enforce-eager"]
    server = Server(
        [*command, "--dtype", "float32", *options],
        host="127.0.0.1",
        port=None,
        startup_s=STARTUP_S,
        needs_gpu=False,
        log=None,
    )
    yield asyncio.run(server.start())
    server.stop()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of one number for a response."""
    return saved(tmp_path_factory.mktemp("outcome"), Qwen3ForSequenceClassification, 1)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model of two labels for each token."""
    return saved(tmp_path_factory.mktemp("process"), Qwen3ForTokenClassification, 2)


@pytest.fixture(scope="module")
def outcome_url(outcome: str) -> Iterator[str]:
    yield from served(outcome)


@pytest.fixture(scope="module", params=["numbers of all tokens", "step pooling"])
def stepwise(process: str, request: pytest.FixtureRequest) -> Iterator[tuple[str, str | None]]:
    """The URL of a server that reads steps, and the tokenizer that a client of it needs."""
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [STEP]})
    tag = tokenizer.convert_tokens_to_ids(STEP)
    pooling = json.dumps({"pooling_type": "STEP", "step_tag_id": tag})
    every = request.param == "numbers of all tokens"
    for url in served(process, *([] if every else ["--pooler-config", pooling])):
        yield url, process if every else None


def by_hand(folder: str, ids: list[int], kind: type[PreTrainedModel]) -> FloatArray:
    """The logits of one conversation, by transformers alone."""
    model = kind.from_pretrained(folder, dtype="float32")
    model.config.pad_token_id = None
    with torch.inference_mode():
        found: FloatArray = model(torch.tensor([ids])).logits[0].double().numpy()
    return found


def chat_ids(response: str) -> list[int]:
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": [STEP]})
    turns = [{"role": "user", "content": QUESTION[0]["content"]}]
    turns.append({"role": "assistant", "content": response})
    text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def numbers(result: Reply | Failure) -> FloatArray:
    assert isinstance(result, Reply), result
    return np.asarray(result.measures["rewards"])


@pytest.mark.parametrize("activation", ["raw", "default"])
@pytest.mark.parametrize("api", ["pooling", "classify"])
@pytest.mark.parametrize("written_here", [False, True])
async def test_an_endpoint_gives_the_number_of_transformers(
    outcome: str, outcome_url: str, api: API, activation: str, written_here: bool
) -> None:
    tokenizer = outcome if written_here else None
    model = RewardServer(
        outcome,
        base_url=outcome_url,
        api=api,
        activation=activation,  # type: ignore[arg-type]
        tokenizer=tokenizer,
    )
    local = Classifier(outcome, activation=activation)  # type: ignore[arg-type]
    for response in RESPONSES:
        ids = chat_ids(response)
        logits = by_hand(outcome, ids, Qwen3ForSequenceClassification)
        expected = logits if activation == "raw" else activate(logits)
        found = await model.reward(QUESTION, response)
        np.testing.assert_allclose(numbers(found), expected, atol=CLOSE)
        np.testing.assert_allclose(
            numbers(await local.reward(QUESTION, response)), expected, atol=CLOSE
        )
        assert isinstance(found, Reply)
        assert found.usage.prompt == len(ids)
    await model.close()


@pytest.mark.parametrize("activation", ["raw", "default"])
async def test_score_gives_the_number_of_the_pair(
    outcome: str, outcome_url: str, activation: str
) -> None:
    model = RewardServer(
        outcome,
        base_url=outcome_url,
        api="score",
        activation=activation,  # type: ignore[arg-type]
    )
    local = Classifier(outcome, form="pair", activation=activation)  # type: ignore[arg-type]
    tokenizer = make_tokenizer()
    for response in RESPONSES:
        ids = list(tokenizer(QUESTION[0]["content"], response).input_ids)
        logits = by_hand(outcome, ids, Qwen3ForSequenceClassification)
        expected = logits if activation == "raw" else activate(logits)
        found = await model.reward(QUESTION, response)
        np.testing.assert_allclose(numbers(found), expected, atol=CLOSE)
        alike = numbers(await local.reward(QUESTION, response))
        np.testing.assert_allclose(alike, expected, atol=CLOSE)
    await model.close()


async def test_a_batch_gives_what_each_gives_alone(outcome: str, outcome_url: str) -> None:
    model = RewardServer(outcome, base_url=outcome_url, tokenizer=outcome, batch=3)
    together = await asyncio.gather(*(model.reward(QUESTION, r) for r in RESPONSES * 3))
    for response, found in zip(RESPONSES * 3, together, strict=True):
        expected = by_hand(outcome, chat_ids(response), Qwen3ForSequenceClassification)
        np.testing.assert_allclose(numbers(found), expected, atol=CLOSE)
    await model.close()


async def test_what_does_not_fit_is_a_permanent_failure(outcome: str, outcome_url: str) -> None:
    model = RewardServer(outcome, base_url=outcome_url)
    await model.reward(QUESTION, "fox")
    found = await model.reward(QUESTION, "fox " * CONTEXT)
    await model.close()
    assert isinstance(found, Failure)
    assert (found.kind, found.permanent) == ("context", True)


async def test_steps_have_the_probabilities_of_transformers(
    process: str, stepwise: tuple[str, str | None]
) -> None:
    url, tokenizer = stepwise
    model = RewardServer(process, base_url=url, api="pooling", tokenizer=tokenizer)
    ids = chat_ids("".join(step + STEP for step in STEPS))
    marks = [k for k, token in enumerate(ids) if token == chat_ids(STEP)[-2]]
    logits = by_hand(process, ids, Qwen3ForTokenClassification)[marks]
    expected = activate(logits)[:, 1]
    np.testing.assert_allclose(numbers(await model.reward(QUESTION, STEPS)), expected, atol=CLOSE)
    local = await Classifier(process).reward(QUESTION, STEPS)
    np.testing.assert_allclose(numbers(local), expected, atol=CLOSE)
    await model.close()


def opened(**options: object) -> Vllm:
    return Vllm(
        str(MODEL),
        executable=VLLM,
        gpu="any",
        startup_s=STARTUP_S,
        enforce_eager=True,
        dtype="float32",
        **options,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The bundled model behind vLLM."""
    server = Server(
        [VLLM, "serve", str(MODEL), "--enforce-eager", "--dtype", "float32", *WHOLE_PROMPTS],
        host="127.0.0.1",
        port=None,
        startup_s=STARTUP_S,
        needs_gpu=False,
        log=None,
    )
    yield asyncio.run(server.start())
    server.stop()


async def asked(model: Vllm, sampling: Sampling, *seeds: int) -> list[Reply]:
    found = await model.generate(Request(tuple(SUMS), sampling, seeds))
    assert all(isinstance(each, Reply) for each in found), found
    return [each for each in found if isinstance(each, Reply)]


async def test_log_probabilities_are_those_of_hf(url: str) -> None:
    model, local = Vllm(str(MODEL), attach=url), HuggingFace(str(MODEL), dtype="float32")
    alike = 0
    for reply in await asked(model, Sampling(temperature=1.0, max_tokens=64), *range(8)):
        assert reply.token_logprobs is not None
        ours, theirs = [await m.logprob(SUMS, reply.text) for m in (local, model)]
        assert not isinstance(ours, Failure)
        assert not isinstance(theirs, Failure)
        np.testing.assert_allclose(theirs, ours, atol=CLOSE)
        if len(ours) <= len(reply.token_logprobs) <= len(ours) + 1:  # and the end of the turn
            np.testing.assert_allclose(reply.token_logprobs[: len(ours)], ours, atol=CLOSE)
            alike += 1
    assert alike >= 4
    await model.close()
    await local.close()


async def test_a_seed_gives_its_text_again_and_n_texts_differ(url: str) -> None:
    model, sampling = Vllm(str(MODEL), attach=url), Sampling(temperature=1.0, max_tokens=64)
    first, again = [await asked(model, sampling, 5) for _ in range(2)]
    assert first[0].text == again[0].text
    several = await asked(model, sampling, *range(8))
    assert len(several) == 8
    assert len({reply.text for reply in several}) > 1
    # vLLM refuses n = 2 without sampling; each is then asked for alone
    greedy = await asked(model, Sampling(temperature=0.0, max_tokens=64), 1, 2)
    assert greedy[0].text == greedy[1].text
    await model.close()


async def test_stop_and_max_tokens_end_a_reply(url: str) -> None:
    model = Vllm(str(MODEL), attach=url)
    (whole,) = await asked(model, Sampling(temperature=0.0, max_tokens=256), 0)
    assert whole.finish == "stop"
    (cut,) = await asked(model, Sampling(temperature=0.0, max_tokens=5), 0)
    assert (cut.finish, cut.usage.completion) == ("length", 5)
    mark = whole.text[4:7]
    (stopped,) = await asked(model, Sampling(temperature=0.0, max_tokens=256, stop=(mark,)), 0)
    assert mark not in stopped.text
    assert whole.text.startswith(stopped.text)
    await model.close()


async def test_too_long_a_prompt_is_a_permanent_failure(url: str) -> None:
    model = Vllm(str(MODEL), attach=url)
    long: Message = {"role": "user", "content": "1 + " * 5000}
    (found,) = await model.generate(Request((long,), Sampling(max_tokens=8), (0,)))
    assert isinstance(found, Failure)
    assert (found.kind, found.permanent) == ("context", True)
    await model.close()


async def test_prefix_caching_changes_nothing() -> None:
    texts, scores = [], []
    for caching in (True, False):
        model = opened(enable_prefix_caching=caching)
        greedy = Sampling(temperature=0.0, max_tokens=64)
        texts.append([r.text for _ in range(3) for r in await asked(model, greedy, 0)])
        scores.append(await model.logprob(SUMS, texts[0][0]))
        await model.close()
    assert texts[0] == texts[1]
    np.testing.assert_allclose(scores[0], scores[1], atol=CLOSE)  # type: ignore[arg-type]


async def test_a_killed_server_is_an_error_that_says_so() -> None:
    model = opened()
    await asked(model, Sampling(max_tokens=4), 0)
    process = model._server._process
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:  # the process itself is the leash of the server
        os.kill(int(child), signal.SIGKILL)
    process.wait()
    with pytest.raises(ModelError):
        await asked(model, Sampling(max_tokens=4), 0)
    await model.close()


async def test_its_mean_score_is_that_of_hf(
    url: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    calls = Path(__file__).parents[3] / "results" / "pools" / "tally-calls.parquet"
    place = tmp_path / "cache.sqlite"
    command = [
        sys.executable,
        "-m",
        "cat_bench",
        "cache",
        "--cache",
        str(place),
        "import",
        str(calls),
    ]
    subprocess.run(command, check=True)
    shares = []
    for name in ("tally", f"vllm:{MODEL}{{attach={url}}}"):
        config = RunConfig(
            task="tally",
            model=name,
            methods=("single",),
            limit=QUESTIONS,
            pool=POOL,
            offline=name == "tally",
            out=tmp_path / name[:4],
        )
        done = await run(config, environment=Environment(cache=place))
        rollouts = read_rollouts(done.folder)
        assert rollouts["failed"].isna().all(), rollouts["failed"].value_counts()
        shares.append(rollouts.groupby("question")["score"].agg(["mean", "var"]))
    ours, theirs = shares
    gap = float(theirs["mean"].mean() - ours["mean"].mean())
    error = float(np.sqrt((ours["var"] + theirs["var"]).sum() / POOL)) / QUESTIONS
    means = [float(each["mean"].mean()) for each in shares]
    record_property(
        "mean@1", f"hf {means[0]:.4f}, vLLM {means[1]:.4f}, gap {gap:+.4f} ± {error:.4f}"
    )
    assert abs(gap) < 1.96 * error
