"""The server in a process of its own."""

import asyncio
import sys

import aiohttp
from click.testing import CliRunner

from cat_bench.testing.__main__ import main


async def test_serves_from_another_process() -> None:
    command = (sys.executable, "-m", "cat_bench.testing", "--reply", "four", "--model", "m")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        body = {"model": "m", "messages": [{"role": "user", "content": "2 + 2?"}]}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{url}/chat/completions", json=body) as reply:
                completion = await reply.json()
            async with session.get(f"{url.removesuffix('/v1')}/stats") as stats:
                assert (await stats.json())["requests"] == 1
    finally:
        process.terminate()
        await process.wait()
    assert completion["choices"][0]["message"]["content"] == "four"


def test_an_unknown_fault_is_refused_before_serving() -> None:
    result = CliRunner().invoke(main, ["--fault", "earthquake=0.5"])
    assert result.exit_code == 2
    assert "kinds: server_error" in result.output
