"""What a client costs: requests per second and CPU, against one local server, in one run.

    python -m tests.benchmarks.clients [--rollouts 2000] [--in-flight 64,256] [--choices 1,8]

The server answers after 50 ms and runs in a process of its own; each client too, so that its CPU
(threads and children included) is its own. cat-bench stores every rollout durably, and its cache is
held against what the server says it sent. `floor` is a bare aiohttp loop that keeps nothing. With
`choices` above 1, clients that cannot ask for several completions send one request each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tabulate import tabulate

MODEL = "test-model"
WARM = 4
"""Requests that go first, so that imports are not counted."""


def prompts(count: int) -> list[str]:
    """Different prompts, a few hundred characters each, as a judge's are."""
    filler = "The response says what the criterion asks for, or it does not. " * 5
    return [f"{filler}Item {index}: answer yes or no." for index in range(count)]


async def floor(url: str, asked: Sequence[str], *, in_flight: int, choices: int) -> int:
    """Bare aiohttp: post, read, parse."""
    import aiohttp

    places = asyncio.Semaphore(in_flight)

    async def one(session: aiohttp.ClientSession, prompt: str) -> int:
        message = {"role": "user", "content": prompt}
        body = {"model": MODEL, "messages": [message], "n": choices, "max_tokens": 64}
        async with places, session.post(f"{url}/chat/completions", json=body) as response:
            return len((await response.json())["choices"])

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        return sum(await asyncio.gather(*(one(session, prompt) for prompt in asked)))


async def cat_bench(url: str, asked: Sequence[str], *, in_flight: int, choices: int) -> int:
    """Our model layer, every rollout durably cached."""
    from cat_bench.cache import Cache
    from cat_bench.models.backends.openai import OpenAI
    from cat_bench.models.cached import Model
    from cat_bench.models.throttling import Limits
    from cat_bench.system.garbage import rare_garbage_collection
    from cat_bench.types.calls import Reply, Sampling

    limits = Limits(concurrency=in_flight, start=in_flight)
    with rare_garbage_collection():
        async with Cache() as cache:
            backend = OpenAI(MODEL, base_url=url, choices=choices, logprobs=False)
            model = Model(MODEL, backend, cache=cache, limits=limits)
            sampling = Sampling(max_tokens=64)

            async def one(prompt: str) -> int:
                drawn = await model.draw(
                    [{"role": "user", "content": prompt}], range(choices), sampling
                )
                return sum(isinstance(result, Reply) for result in drawn.values())

            got = sum(await asyncio.gather(*(one(prompt) for prompt in asked)))
            await model.close()
    return got


def kept(asked: Sequence[str], *, choices: int) -> int:
    """How many rollouts the cache holds that are what the server sent, word for word."""
    from cat_bench.cache import Cache, Call
    from cat_bench.testing.protocol import ChatRequest, babble
    from cat_bench.types.calls import Message, Reply

    async def count() -> int:
        same = 0
        async with Cache() as cache:
            for prompt in asked:
                messages = (Message(role="user", content=prompt),)
                model = {"name": MODEL}
                call = Call("generate", model, messages=messages, sampling={"max_tokens": 64})
                for index, result in (await cache.lookup(call, range(choices))).items():
                    assert isinstance(result, Reply)
                    assert result.seed is not None
                    sent = babble(ChatRequest(messages, result.seed + index, index, {}))
                    same += result.text == sent
        return same

    return asyncio.run(count())


async def inspect(url: str, asked: Sequence[str], *, in_flight: int, choices: int) -> int:
    """Inspect's Model.generate, its cache off."""
    from inspect_ai.model import GenerateConfig, get_model

    config = GenerateConfig(max_connections=in_flight, max_retries=3, max_tokens=64)
    model = get_model(f"openai-api/local/{MODEL}", base_url=url, api_key="none", config=config)

    async def one(prompt: str) -> int:
        return len((await model.generate(prompt)).choices)

    repeated = [prompt for prompt in asked for _ in range(choices)]
    return sum(await asyncio.gather(*(one(prompt) for prompt in repeated)))


async def lm_eval(url: str, asked: Sequence[str], *, in_flight: int, choices: int) -> int:
    """lm-eval's local-chat-completions, as its harness calls it."""
    return await _lm_eval(url, asked, in_flight=in_flight, choices=choices)


async def lm_eval_cached(url: str, asked: Sequence[str], *, in_flight: int, choices: int) -> int:
    """The same with lm-eval's cache of responses (`--use_cache`)."""
    file = Path(os.environ["CAT_BENCH_CACHE"]).with_name("lm-eval.sqlite")
    return await _lm_eval(url, asked, in_flight=in_flight, choices=choices, cache=file)


async def _lm_eval(
    url: str, asked: Sequence[str], *, in_flight: int, choices: int, cache: Path | None = None
) -> int:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import CachingLM
    from lm_eval.api.registry import get_model

    arguments = f"model={MODEL},base_url={url}/chat/completions,num_concurrent={in_flight}"
    model = get_model("local-chat-completions").create_from_arg_string(arguments, {})
    if cache:
        model = CachingLM(model, str(cache))
    repeated = [prompt for prompt in asked for _ in range(choices)]

    def run() -> int:
        kwargs = {"until": [], "max_gen_toks": 64}
        chats = (json.dumps([{"role": "user", "content": prompt}]) for prompt in repeated)
        quiet = {} if cache else {"disable_tqdm": True}
        return len(model.generate_until(_instances(Instance, chats, kwargs), **quiet))

    return await asyncio.to_thread(run)


def _instances(kind: Any, chats: Iterator[str], kwargs: dict[str, Any]) -> list[Any]:
    from lm_eval.models.api_models import JsonChatStr

    return [
        kind("generate_until", {}, (JsonChatStr(chat), kwargs), index)
        for index, chat in enumerate(chats)
    ]


CLIENTS = {
    "floor": floor,
    "cat-bench": cat_bench,
    "lm-eval": lm_eval,
    "lm-eval-cached": lm_eval_cached,
    "inspect": inspect,
}


def measure(client: str, url: str, count: int, *, in_flight: int, choices: int) -> dict[str, float]:
    """One client's time and CPU, imports apart (a few requests go first)."""
    run = CLIENTS[client]
    asyncio.run(run(url, prompts(WARM), in_flight=WARM, choices=choices))
    asked = [f"{prompt} Please." for prompt in prompts(count)]
    before, started = _cpu(), time.perf_counter()
    got = asyncio.run(run(url, asked, in_flight=in_flight, choices=choices))
    found = {"got": got, "seconds": time.perf_counter() - started, "cpu": _cpu() - before}
    return found | ({"kept": kept(asked, choices=choices)} if run is cat_bench else {})


def _cpu() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextmanager
def server(delay: float) -> Iterator[str]:
    """The test server in a process of its own; its base URL."""
    command = [sys.executable, "-m", "cat_bench.testing", "--delay", str(delay)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main() -> None:
    """Run every client in turn and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=2000)
    parser.add_argument("--in-flight", default="64,256")
    parser.add_argument("--choices", default="1,8")
    parser.add_argument("--clients", default=",".join(CLIENTS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        count, in_flight = options.rollouts, int(options.in_flight)
        found = measure(
            options.one, options.url, count, in_flight=in_flight, choices=int(options.choices)
        )
        print(json.dumps(found))  # noqa: T201 - a script's output
        return
    rows = []
    for choices in map(int, options.choices.split(",")):
        for in_flight in map(int, options.in_flight.split(",")):
            count = options.rollouts // choices
            rows += [_row(each, count, in_flight, choices) for each in options.clients.split(",")]
    print(tabulate(rows, headers="keys", floatfmt=".2f"))  # noqa: T201 - a script's output


def _row(client: str, count: int, in_flight: int, choices: int) -> dict[str, Any]:
    with server(0.05) as url, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", client, "--url", url]
        command += ["--rollouts", str(count), "--in-flight", str(in_flight)]
        command += ["--choices", str(choices)]
        place = {**os.environ, "CAT_BENCH_CACHE": str(Path(folder) / "cache.sqlite")}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=place)
        with urlopen(f"{url.removesuffix('/v1')}/stats") as response:
            stats = json.load(response)
    if done.returncode:
        return {
            "client": client,
            "in flight": in_flight,
            "choices": choices,
            "error": done.stderr[-300:],
        }
    found = json.loads(done.stdout.splitlines()[-1])
    return {
        "client": client,
        "in flight": in_flight,
        "choices": choices,
        "rollouts/s": found["got"] / found["seconds"],
        "CPU s per 1,000": 1000 * found["cpu"] / max(found["got"], 1),
        "wanted": count * choices,
        "got": found["got"],
        "sent": stats["choices"] - WARM * choices,
        "cached as sent": found.get("kept"),
    }


if __name__ == "__main__":
    main()
