from pathlib import Path

import numpy as np
import pytest

from cat_bench.errors import ConfigError, NotAvailable
from cat_bench.models.backends import Backend, Request
from cat_bench.models.backends.scripted import Scripted, open_file
from cat_bench.types.calls import Failure, Message, Reply, Sampling, Usage

MESSAGES: tuple[Message, ...] = ({"role": "user", "content": "What is two and two?"},)


def request(*seeds: int) -> Request:
    return Request(MESSAGES, Sampling(), seeds)


async def test_writes_one_reply_per_seed() -> None:
    backend: Backend = Scripted(lambda request, seed: f"it is {seed}", choices=2)
    assert await backend.generate(request(4, 5)) == [
        Reply(text=f"it is {seed}", finish="stop", usage=Usage(5, 3), seed=seed) for seed in (4, 5)
    ]


async def test_passes_replies_and_failures_through() -> None:
    failure = Failure("server", "down")
    outcomes: dict[int, Reply | Failure] = {
        1: Reply(text="own", seed=99),
        2: Reply(text="seedless"),
        3: failure,
    }
    backend = Scripted(lambda request, seed: outcomes[seed])
    assert await backend.generate(request(1, 2, 3)) == [
        Reply(text="own", seed=99),
        Reply(text="seedless", seed=2),
        failure,
    ]


async def test_async_scripts_delay_and_counts() -> None:
    async def reply(request: Request, seed: int) -> str:
        return request.messages[0]["content"]

    backend = Scripted(reply, delay=0.01)
    assert (await backend.generate(request(1)))[0] == Reply(
        text="What is two and two?", finish="stop", usage=Usage(5, 5), seed=1
    )
    await backend.generate(request(2, 3))
    assert (backend.calls, backend.completions) == (2, 3)
    assert [asked.seeds for asked in backend.requests] == [(1,), (2, 3)]


async def test_a_bug_in_the_script_is_raised() -> None:
    def reply(request: Request, seed: int) -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Scripted(reply).generate(request(1))


async def test_scoring() -> None:
    plain = Scripted(lambda request, seed: "", capabilities=["logprobs"])
    assert plain.capabilities == {"logprobs"}
    with pytest.raises(NotAvailable, match="no `scoring`"):
        await plain.logprob(MESSAGES, "four")
    able = Scripted(lambda request, seed: "", scoring=lambda messages, text: [-1.0] * len(text))
    assert able.capabilities == {"scoring"}
    np.testing.assert_array_equal(await able.logprob(MESSAGES, "four"), [-1.0] * 4)
    assert able.scored == 1


async def test_from_file_is_identified_by_its_text(tmp_path: Path) -> None:
    script = tmp_path / "model.py"
    script.write_text("def four(request, seed):\n    return '4'\n")
    first = open_file(f"{script}:four", choices=3)
    assert (await first.generate(request(1)))[0] == Reply(
        text="4", finish="stop", usage=Usage(5, 1), seed=1
    )
    assert first.choices == 3
    assert open_file(f"{script}:four").identity == first.identity
    script.write_text("def four(request, seed):\n    return 'four'\n")
    assert open_file(f"{script}:four").identity != first.identity


def test_from_file_says_what_is_missing(tmp_path: Path) -> None:
    script = tmp_path / "model.py"
    script.write_text("def four(request, seed):\n    return '4'\n")
    with pytest.raises(ConfigError, match="foru"):
        open_file(f"{script}:foru")
    with pytest.raises(ConfigError, match=r"scripted:\./file\.py:function"):
        open_file("four")
