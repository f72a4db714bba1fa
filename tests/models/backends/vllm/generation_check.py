"""The bundled model behind a real vLLM: its log-probabilities and mean score beside those of `hf`,
seeds, limits and failures.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cat_bench.bundled.tally import MODEL
from cat_bench.errors import ModelError
from cat_bench.models.backends import Request
from cat_bench.models.backends.hf import HuggingFace
from cat_bench.models.backends.vllm import Vllm
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_rollouts
from cat_bench.runs.open_models import Environment
from cat_bench.runs.opening import run
from cat_bench.types.calls import Failure, FloatArray, Message, Sampling
from tests.models.backends.vllm.conftest import (
    CLOSE,
    SUMS,
    Measured,
    asked,
    cat_bench,
    executable,
    serving,
    started,
)

WHOLE_PROMPTS = ("--max-num-batched-tokens", "65536")
"""On a CPU, vLLM 0.32 dies when it reads the prompt of a seeded request in chunks."""
GREEDY, WARM = Sampling(temperature=0.0, max_tokens=64), Sampling(temperature=1.0, max_tokens=64)
QUESTIONS, POOL = 100, 16
CALLS = Path(__file__).parents[4] / "results" / "pools" / "tally-calls.parquet"
EXPECTED = "as it should be"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The bundled model behind vLLM."""
    with serving(MODEL, *WHOLE_PROMPTS) as place:
        yield place


async def test_log_probabilities_are_those_of_hf(url: str, measured: Measured) -> None:
    model, local = Vllm(str(MODEL), attach=url), HuggingFace(str(MODEL), dtype="float32")
    given, sampled = [], []
    for reply in await asked(model, WARM, *range(8)):
        assert reply.token_logprobs is not None
        ours, theirs = [await m.logprob(SUMS, reply.text) for m in (local, model)]
        assert not isinstance(ours, Failure)
        assert not isinstance(theirs, Failure)
        np.testing.assert_allclose(theirs, ours, atol=CLOSE)
        given.append(np.abs(theirs - ours).max())
        if len(ours) <= len(reply.token_logprobs) <= len(ours) + 1:  # and the end of the turn
            own = reply.token_logprobs[: len(ours)]
            np.testing.assert_allclose(own, ours, atol=CLOSE)
            sampled.append(np.abs(own - ours).max())
    assert len(sampled) >= 4
    await model.close()
    await local.close()
    for what, gaps in (("of given texts", given), ("of sampled tokens", sampled)):
        found = f"{len(gaps)} texts; largest difference {max(gaps):.1e}"
        measured.add(f"log-probabilities {what}", "`hf`, float32", found)


async def test_a_seed_gives_its_text_again_and_n_texts_differ(url: str, measured: Measured) -> None:
    model = Vllm(str(MODEL), attach=url)
    first, again = [await asked(model, WARM, 5) for _ in range(2)]
    assert first[0].text == again[0].text
    several = await asked(model, WARM, *range(8))
    assert len(several) == 8
    distinct = len({reply.text for reply in several})
    assert distinct > 1
    # vLLM refuses n = 2 without sampling; each is then asked for alone
    greedy = await asked(model, GREEDY, 1, 2)
    assert greedy[0].text == greedy[1].text
    await model.close()
    measured.add("a seed", "the same request again", "the same text")
    measured.add("`n=8` in one request", "itself", f"{distinct} distinct texts")


async def test_stop_and_max_tokens_end_a_reply(url: str, measured: Measured) -> None:
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
    measured.add("`stop`, `max_tokens`", "the whole reply", EXPECTED)


async def test_too_long_a_prompt_is_a_permanent_failure(url: str, measured: Measured) -> None:
    model = Vllm(str(MODEL), attach=url)
    long: Message = {"role": "user", "content": "1 + " * 5000}
    (found,) = await model.generate(Request((long,), Sampling(max_tokens=8), (0,)))
    assert isinstance(found, Failure)
    assert (found.kind, found.permanent) == ("context", True)
    await model.close()
    measured.add("a prompt longer than the context", "", "a permanent failure that says so")


async def test_prefix_caching_changes_nothing_and_a_killed_server_is_an_error(
    url: str, measured: Measured
) -> None:
    texts: list[list[str]] = []
    scores: list[FloatArray] = []
    cached, uncached = Vllm(str(MODEL), attach=url), started(enable_prefix_caching=False)
    for model in (cached, uncached):  # vLLM caches prefixes by default
        texts.append([r.text for _ in range(3) for r in await asked(model, GREEDY, 0)])
        found = await model.logprob(SUMS, texts[0][0])
        assert not isinstance(found, Failure)
        scores.append(found)
    await cached.close()
    assert texts[0] == texts[1]
    np.testing.assert_allclose(scores[0], scores[1], atol=CLOSE)
    gap = np.abs(scores[0] - scores[1]).max()
    same = f"the same greedy text; largest difference {gap:.1e}"
    measured.add("prefix caching", "none", same)

    process = uncached._server._process
    assert process is not None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in children:  # the process itself is the leash of the server
        os.kill(int(child), signal.SIGKILL)
    process.wait()
    with pytest.raises(ModelError, match="vLLM ended with exit status"):
        await asked(uncached, GREEDY, 0)
    await uncached.close()
    measured.add("a server that is killed", "", "an error with the end of its log")


async def test_its_mean_score_is_that_of_hf(url: str, tmp_path: Path, measured: Measured) -> None:
    place = executable().parents[1] / "calls.sqlite"  # beside this vLLM: resumed, never carried on
    cat_bench("cache", "--cache", place, "import", CALLS)
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
    assert abs(gap) < 1.96 * error
    points = f"{100 * gap:+.2f} ± {196 * error:.2f} points"
    means = [100 * float(each["mean"].mean()) for each in shares]
    found = f"{means[1]:.2f} % beside {means[0]:.2f} %: {points} (95 %)"
    measured.add(f"mean@1 of {QUESTIONS} × {POOL} rollouts", "the bundled model", found)
