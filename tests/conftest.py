"""What many tests share: a cache of their own, and a workshop to run the command line in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from cat_bench.cache import Cache
from cat_bench.cli import main
from cat_bench.runs.folder import read_record
from cat_bench.types.calls import JSON
from tests import postgresql

TASK = """\
version: 1
summary: a toy
data: {file: rows.jsonl, fields: {problem: problem}}
scorer: ./scorer.py:LastWord
methods: [single, majority, cat]
"""
SCORER = '''\
from cat_bench import Score


class LastWord:
    """1 where the last word is the answer."""

    version = "1"

    def answer(self, text):
        return text.split()[-1] if text.split() else None

    async def clusters(self, answers):
        distinct = sorted({answer for answer in answers if answer})
        return [distinct.index(answer) if answer else None for answer in answers]

    async def score(self, sample, texts, ctx):
        return [Score(float(self.answer(text) == sample.target)) for text in texts]
'''
MODEL = '''\
import asyncio
import os
from pathlib import Path

from cat_bench import Failure

HERE = Path(__file__).parent


async def reply(request, seed):
    """Says yes or no; counts each call when it begins; is down for as long as the file says."""
    with (HERE / "calls.txt").open("a") as file:
        file.write(f"{seed}\\n")
    await asyncio.sleep(float(os.environ.get("TOY_DELAY", 0)))
    if (HERE / "down").exists() and seed % 3 == 0:
        return Failure("server", "down")
    if "drafts" in request.messages[-1]["content"]:
        return "# UNIFIED RESPONSE\\nyes"
    return "so yes" if seed % 2 else "so no"
'''


def called(
    arguments: Sequence[str | Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of `cat-bench ARGUMENTS` in this process."""
    monkeypatch.setattr(sys, "argv", ["cat-bench", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr()
    return int(caught.value.code or 0), printed.out, printed.err


@dataclass(frozen=True, slots=True)
class Workshop:
    """A folder with a task of six questions and a scripted model, and the command line in it."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of `cat-bench ARGUMENTS` in this process."""
        return called(arguments, self.monkeypatch, self.capsys)

    def start(self, *arguments: str, lease_s: float = 30, **extra: str) -> subprocess.Popen[str]:
        """`cat-bench ARGUMENTS` in a process of its own, whose leases outlive it by `lease_s`."""
        program = (
            "from cat_bench.cache import Cache; from cat_bench.cli import main;"
            f"Cache.__init__.__kwdefaults__['lease_s'] = {lease_s}; main()"
        )
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, **extra},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def interrupt(self, *arguments: str, by: signal.Signals, after: int) -> None:
        """Send a signal to `cat-bench ARGUMENTS` after so many calls; it ends in order."""
        process = self.start(*arguments, "--set", "concurrency=2", TOY_DELAY="0.3")
        while self.calls < after:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(by)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 130, err
        assert "Traceback" not in err

    @property
    def calls(self) -> int:
        """How many completions the scripted model was asked for."""
        counted = self.folder / "calls.txt"
        return len(counted.read_text().splitlines()) if counted.exists() else 0

    @property
    def record(self) -> dict[str, JSON]:
        """The `run.json` of the only run."""
        (path,) = (self.folder / "results").glob("*/run.json")
        return read_record(path.parent)

    def clean(self, *, runs: int = 0) -> bool:
        """Whether nothing half-written lies about."""
        results = self.folder / "results"
        left = [path for path in self.folder.rglob("*") if path.name.startswith(".toy")]
        return not left and len(list(results.glob("*"))) == runs


TOY: Sequence[str] = ("run", "toy/task.yaml", "--model", "scripted:./model.py:reply")


@pytest.fixture
def workshop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Workshop:
    """A workshop; the test runs inside of it, and so does whatever it starts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    monkeypatch.setenv("CAT_BENCH_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("CAT_BENCH_TRUST", "1")  # the task's scorer is a file of Python
    (tmp_path / "toy").mkdir()
    rows = [f'{{"id": "q{k}", "problem": "Is it {k}?", "answer": "yes"}}\n' for k in range(6)]
    (tmp_path / "toy" / "rows.jsonl").write_text("".join(rows))
    (tmp_path / "toy" / "task.yaml").write_text(TASK)
    (tmp_path / "toy" / "prompt.txt").write_text("{{ problem }}")
    (tmp_path / "toy" / "scorer.py").write_text(SCORER)
    (tmp_path / "model.py").write_text(MODEL)
    return Workshop(tmp_path, capsys, monkeypatch)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Cache]:
    """An empty cache."""
    with Cache(tmp_path / "cache.sqlite") as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.Server]:
    """A PostgreSQL server of this session's own."""
    pytest.importorskip("psycopg", reason="cat-bench[postgresql] is not installed")
    there = postgresql.programs()
    if there is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    with postgresql.serving(there) as running:
        yield running


@pytest.fixture
def database(postgres: postgresql.Server) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgres.database()
