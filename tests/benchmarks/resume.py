"""What each client sends again after half of a run and a kill -9.

    python -m tests.benchmarks.resume [--rollouts 1000] [--in-flight 64]

Every client asks a local server for the same rollouts, is killed once the server has sent half of
them, and is started again with the same command, its own cache on: lm-eval's `use_cache`, Inspect's
`cache=True`, ours. `sent again` counts the requests that the server had answered before.
Ours sends again what was in flight at the kill and what came in while a batch waited or was written
(`GATHER_MOST_S` and a commit): at most 64 + 25 here, and 28 to 64 in six runs, the same whether a
batch waits 20 ms or not at all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from clients import MODEL, cat_bench, prompts, server  # type: ignore[import-not-found]
from tabulate import tabulate

LEASE_S = 2.0
"""So long a dead process keeps its slots (30 s unless told); lost time, not lost rollouts."""


async def inspect(url: str, asked: Sequence[str], *, in_flight: int) -> int:
    """Inspect's Model.generate with its cache."""
    from inspect_ai.model import GenerateConfig, get_model

    config = GenerateConfig(max_connections=in_flight, max_retries=3, max_tokens=64)
    model = get_model(f"openai-api/local/{MODEL}", base_url=url, api_key="none", config=config)

    async def one(prompt: str) -> int:
        return len((await model.generate(prompt, cache=True)).choices)

    return sum(await asyncio.gather(*map(one, asked)))


def lm_eval(url: str, asked: Sequence[str], *, in_flight: int) -> int:
    """lm-eval's local-chat-completions behind its CachingLM, as `--use_cache` puts it."""
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import CachingLM
    from lm_eval.api.registry import get_model
    from lm_eval.models.api_models import JsonChatStr

    arguments = f"model={MODEL},base_url={url}/chat/completions,num_concurrent={in_flight}"
    inner = get_model("local-chat-completions").create_from_arg_string(arguments, {})
    model = CachingLM(inner, os.environ["LM_EVAL_CACHE"])
    chats = (json.dumps([{"role": "user", "content": prompt}]) for prompt in asked)
    kwargs = {"until": [], "max_gen_toks": 64}
    asks = [
        Instance("generate_until", {}, (JsonChatStr(chat), kwargs), index)
        for index, chat in enumerate(chats)
    ]
    return len(model.generate_until(asks))


def one(client: str, url: str, count: int, in_flight: int) -> None:
    """One client's whole run."""
    asked = prompts(count)
    if client == "lm-eval":
        lm_eval(url, asked, in_flight=in_flight)
    elif client == "inspect":
        asyncio.run(inspect(url, asked, in_flight=in_flight))
    else:
        from cat_bench.cache import Cache

        Cache.__init__.__kwdefaults__ = {"lease_s": LEASE_S}
        asyncio.run(cat_bench(url, asked, in_flight=in_flight, choices=1))


def sent(url: str) -> int:
    """How many completions the server has sent."""
    with urlopen(f"{url.removesuffix('/v1')}/stats") as response:
        return int(json.load(response)["choices"])


def measure(client: str, count: int, in_flight: int) -> dict[str, Any]:
    """Half a run, a kill, and the run again."""
    with server(0.05) as url, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--one", client, "--url", url]
        command += ["--rollouts", str(count), "--in-flight", str(in_flight)]
        own = {
            "CAT_BENCH_CACHE": f"{folder}/ours.sqlite",
            "LM_EVAL_CACHE": f"{folder}/lm_eval.db",
            "INSPECT_CACHE_DIR": folder,
        }
        env = {**os.environ, **own}
        with (Path(folder) / "said.txt").open("w") as said:
            doomed = subprocess.Popen(command, env=env, stdout=said, stderr=said)
            while sent(url) < count // 2:
                if doomed.poll() is not None:
                    raise SystemExit((Path(folder) / "said.txt").read_text())
                time.sleep(0.005)
            doomed.send_signal(signal.SIGKILL)
            doomed.wait()
            time.sleep(0.2)
            before, started = sent(url), time.perf_counter()
            subprocess.run(command, env=env, stdout=said, stderr=said, check=True)
        after = sent(url)
    return {
        "client": client,
        "rollouts": count,
        "sent before the kill": before,
        "sent after": after - before,
        "sent again": after - count,
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    """Run every client in turn and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=1000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--clients", default="cat-bench,lm-eval,inspect")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one, options.url, options.rollouts, options.in_flight)
        return
    names = options.clients.split(",")
    rows = [measure(name, options.rollouts, options.in_flight) for name in names]
    print(tabulate(rows, headers="keys", floatfmt=".1f"))  # noqa: T201 - a script's output


if __name__ == "__main__":
    main()
