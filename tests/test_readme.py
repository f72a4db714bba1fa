"""What the README says works: every command and snippet in it is run, on fewer questions."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
SETUP = README.parent / ".venv" / ".installed"
SERVER = "http://127.0.0.1:8321"
QUESTIONS = 3


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def commands(start: str) -> Iterator[list[str]]:
    for block in blocks("console"):
        for line in block.splitlines():
            if line.startswith(f"$ {start}"):
                yield shlex.split(line.removeprefix("$ "), comments=True)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with what the README tells its reader to put there."""
    (snippet,) = blocks("python")
    (tmp_path / "longest.py").write_text(snippet)
    row = {"problem": "1 + 1?", "answer": "2", "responses": [r"\boxed{2}", r"\boxed{3}"] * 4}
    with gzip.open(tmp_path / "rollouts.jsonl.gz", "wt") as file:
        for index in range(QUESTIONS):
            scores = {"reward_model": [1.0, 0.5] * 4}
            file.write(json.dumps({"id": f"q{index}", **row, "scores": scores}) + "\n")
    return tmp_path


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from cat_bench.cli import main; main()", *command[1:]],
        cwd=folder,
        env={**os.environ, "CAT_BENCH_CACHE": str(folder / "cache.sqlite")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_the_readme_work_in_the_order_of_the_readme(workplace: Path) -> None:
    printed = []
    for command in commands("cat-bench"):
        if "RUN" in command:
            continue
        fewer = [
            str(QUESTIONS) if before == "--limit" else word for before, word in _pairs(command)
        ]
        printed.append(run(fewer, workplace))
    whole = "\n".join(printed)
    assert "Longest" in whole
    assert "best-of-n{by=reward_model}" in whole
    for folder in (workplace / "results" / "runs").iterdir():
        assert run(["cat-bench", "report", str(folder)], workplace)
        assert run(["cat-bench", "show", str(folder)], workplace)


@pytest.mark.skipif(not SETUP.exists(), reason="`make setup` was not run in this checkout")
def test_the_session_against_a_server_prints_what_the_readme_shows(tmp_path: Path) -> None:
    block = next(block for block in blocks("console") if "cat_bench.testing" in block)
    serve, *steps = re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", block, re.MULTILINE)
    assert len(steps) == 5
    with serving(serve[0].removesuffix("&")) as url:
        for command, shown in steps:
            done = subprocess.run(
                command.replace(SERVER, url.removesuffix("/v1")),
                shell=True,
                cwd=README.parent,
                env=_environment(tmp_path),
                capture_output=True,
                text=True,
                check=False,
            )
            said = (done.stdout + done.stderr).replace(url.removesuffix("/v1"), SERVER)
            assert [line for line in shown.splitlines() if line not in said] == [], said[-2000:]
            assert (done.returncode == 0) == ("completions made" in shown)


@contextmanager
def serving(command: str) -> Iterator[str]:
    """The test server that the command starts, on any free port; its URL."""
    words = shlex.split(re.sub(r"--port \d+", "--port 0", command))
    with subprocess.Popen(words, cwd=README.parent, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def _environment(folder: Path) -> dict[str, str]:
    places = {"CAT_BENCH_CACHE": "cache.sqlite", "CAT_BENCH_RESULTS": "runs"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "MAKE", "MFLAGS"))}
    return kept | {name: str(folder / place) for name, place in places.items()}


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (README.parent / "Makefile").read_text()
    targets = {command[1] for command in commands("make") if command[0] == "make"}
    assert targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_every_method_of_the_catalogue_is_in_the_readme() -> None:
    from cat_bench.catalog import method_names

    text = README.read_text()
    assert [name for name in method_names() if f"`{name}`" not in text] == []


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 165


def _pairs(command: list[str]) -> Iterator[tuple[str, str]]:
    return zip(["", *command], command, strict=False)
