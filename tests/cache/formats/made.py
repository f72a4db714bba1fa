"""What other tools write of small sums: made by the tools themselves, where they are installed.

The tools want libraries of their own, so each is in a venv: `CAT_BENCH_TOOLS` names a folder with
`evalscope`, `lighteval` (with xxhash below 4) and `verifiers`. Without them, the committed files
are read. `python -m tests.cache.formats.made` writes those again.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from cat_bench.testing import ChatRequest, ChatServer
from tests.cache.formats.tools.replies import reply_to

HERE = Path(__file__).parent
KEPT = HERE / "made"
FILES = {
    "evalscope": "reviews/*/*.jsonl",
    "lighteval": "details/*/*/*.parquet",
    "verifiers": "traces.jsonl",
}
"""The files that each tool writes and that are imported."""


def find_python(tool: str) -> Path | None:
    """Return the Python that has a tool, if there is one."""
    folder = os.environ.get("CAT_BENCH_TOOLS")
    python = Path(folder or "") / tool / "bin" / "python"
    return python if folder and python.exists() else None


async def run_tool(tool: str, python: Path, folder: Path) -> None:
    """Run a tool on the sums; its files and `figures.json` are then under `folder`."""
    asked: Counter[str] = Counter()

    def reply(request: ChatRequest) -> str:
        question = str(request.messages[-1]["content"]).split("?")[0]
        asked[question] += 1
        return reply_to(question, asked[question] - 1)

    async with ChatServer(reply=reply, reasoning=lambda _: "Add them.") as server:
        script = HERE / "tools" / f"{tool}_run.py"
        url = [] if tool == "lighteval" else [server.base_url]
        home = {"HOME": tempfile.gettempdir(), "HF_HUB_OFFLINE": "1"}
        done = await asyncio.create_subprocess_exec(
            python,
            *(str(script), *url, str(folder)),
            env={**os.environ, **home},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said, _ = await done.communicate()
    if done.returncode:
        raise AssertionError(said.decode())


def find_files(tool: str, folder: Path) -> list[Path]:
    """Return the files that a tool wrote under a folder."""
    return sorted(folder.glob(FILES[tool]))


def main() -> None:
    """Run every tool that is installed, and keep what it wrote."""
    for tool in FILES:
        python = find_python(tool)
        if python is None:
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / tool
            asyncio.run(run_tool(tool, python, folder))
            shutil.rmtree(KEPT / tool, ignore_errors=True)
            for file in (*find_files(tool, folder), folder / "figures.json"):
                kept = KEPT / tool / re.sub(r"[|:]", "_", str(file.relative_to(folder)))
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, kept)


if __name__ == "__main__":
    main()
