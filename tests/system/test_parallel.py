"""Work in real processes elsewhere: this machine's, a Dask cluster's, a Ray cluster's."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import pytest

from cat_bench.cache import Cache
from cat_bench.errors import CatBenchError, UsageError
from cat_bench.evaluation.grader import Grader
from cat_bench.report.values import Values
from cat_bench.runs.folder import read_rollouts, read_scores
from cat_bench.scorers.math_equal import MathEqual
from cat_bench.system.parallel import Executor, open_executor
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Sample, Score
from tests.conftest import Workshop

NOBODY = cast(Context, None)
TOWER = "9^{9^{9^{9}}}"
ANSWERS = ["1/2", "0.5", r"\frac{2}{4}", "x+1", "1+x", "50%", "(1,2)", "1,2", ""]
BIN = Path(sys.executable).parent


@contextmanager
def running(*command: str, **extra: str) -> Iterator[None]:
    with subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **extra},
    ) as process:
        try:
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers, each a process."""
    pytest.importorskip("distributed")
    folder = tmp_path_factory.mktemp("dask")
    file, quiet = folder / "scheduler.json", ("--no-dashboard", "--scheduler-file")
    here = ("--host", "127.0.0.1")
    with running("dask", "scheduler", *here, "--port", "0", *quiet, str(file)):
        while not file.exists():
            time.sleep(0.05)
        two = ("--nworkers", "2", "--nthreads", "1", "--local-directory", str(folder))
        with running("dask", "worker", *here, *two, *quiet, str(file)):
            address = f"dask:{json.loads(file.read_text())['address']}"
            for _ in range(600):
                try:
                    with open_executor(address) as executor:
                        if executor and executor.size == 2:
                            break
                except UsageError:
                    time.sleep(0.1)
            yield address


@pytest.fixture(params=["2", "dask"])
def spec(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name if name.isdigit() else str(request.getfixturevalue(name))


async def graded(
    cache: Cache, executor: Executor | None
) -> tuple[list[dict[str, Score]], list[object]]:
    """Scores against several targets, and the partition of all answers."""
    grader = Grader(MathEqual(timeout=1), cache, executor=executor)
    texts = [rf"so \boxed{{{answer}}}" for answer in ANSWERS]
    scores = []
    for target in ("0.5", "x + 1", "2,1"):
        sample = Sample(Question(target, (), target), target)
        more = [rf"so \boxed{{{TOWER}}}"] if target == "0.5" else []
        scores.append(await grader.scores(sample, [*texts, *more], NOBODY))
    return scores, [await grader.partition(ANSWERS), await grader.place("2/4", {"1/2": 4, "7": 5})]


async def test_grading_elsewhere_is_grading_here(spec: str, tmp_path: Path) -> None:
    with Cache(tmp_path / "here.sqlite") as cache:
        here = await graded(cache, None)
    with Cache(tmp_path / "there.sqlite") as cache:
        with open_executor(spec) as executor:
            there = await graded(cache, executor)
        assert await graded(cache, None) == here
    assert there == here
    late = here[0][0][rf"so \boxed{{{TOWER}}}"]
    assert (late.value, late.reason) == (0.0, "grading took more than 1 s")


def lingering(files: Sequence[str]) -> Sequence[str]:
    """Each name once a file of that name is there."""
    for file in files:
        while not Path(file).exists():
            time.sleep(0.02)
    return files


async def test_what_is_done_does_not_wait_for_what_is_slow(tmp_path: Path) -> None:
    slow, fast = str(tmp_path / "slow"), str(tmp_path / "fast")
    Path(fast).touch()
    with open_executor("2") as executor:
        assert executor
        asked = [asyncio.create_task(executor.ask(lingering, each)) for each in (slow, fast)]
        try:
            async with asyncio.timeout(300):
                assert await asked[1] == fast
            assert not asked[0].done()
        finally:
            Path(slow).touch()
        assert await asked[0] == slow


def values() -> Values:
    rng = np.random.default_rng(3)
    keys = [("vote", 1), ("vote", 4), ("cat", 4)]
    wide = pd.DataFrame(rng.random((60, 3)), index=[f"q{k:02}" for k in range(60)])
    wide.columns = pd.Index(keys, tupleize_cols=False)
    wide.iloc[3, 1] = np.nan
    return Values.of(wide, {"q01": "twin", "q02": "twin"})


def test_resampling_elsewhere_is_resampling_here(spec: str) -> None:
    here, there = values(), values()
    pairs = [(a, b) for a in here.columns for b in here.columns if a != b]
    with open_executor(spec) as executor:
        there.resample(((a, there.columns[b]) for a, b in pairs), executor)
        assert len(there.known) == 6
        assert executor
        assert executor.map(math.sqrt, [4.0, 9.0, 16.0]) == [2, 3, 4]
        with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
            executor.map(math.sqrt, [4.0, -1.0])
    assert [there.difference(*pair) for pair in pairs] == [here.difference(*pair) for pair in pairs]
    assert there.difference(*pairs[0], level=0.5) == here.difference(*pairs[0], level=0.5)


async def test_versions_that_differ_are_not_believed(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Sample(Question("q", (), "?"), "1")
    with open_executor(2) as executor:
        grader = Grader(MathEqual(), cache, executor=executor)
        assert (await grader.scores(sample, [r"\boxed{1}"], NOBODY))[r"\boxed{1}"].value == 1
        monkeypatch.setattr("cat_bench.scorers.math_equal._VERSION", "0")
        with pytest.raises(CatBenchError, match=r"grades with math_equal \d.*math_equal 0"):
            await grader.scores(sample, [r"\boxed{2}"], NOBODY)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("many", "--parallel many should be a number of processes, dask:ADDRESS or ray:ADDRESS"),
        ("0", "--parallel 0 should be"),
        ("dask:", "--parallel dask: should be"),
        ("dask:nonsense", "--parallel dask:nonsense: a Dask scheduler does not answer there"),
        ("dask:127.0.0.1:9", r"a Dask scheduler does not answer there.*is it running"),
        ("ray:127.0.0.1:9", "--parallel ray:127.0.0.1:9: Ray does not answer there"),
    ],
)
def test_what_cannot_be_reached(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message), open_executor(spec):
        pass


@pytest.mark.parametrize(("spec", "module"), [("dask:x:1", "distributed"), ("ray:x:1", "ray")])
def test_a_package_that_is_missing(spec: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with (
        pytest.raises(UsageError, match=r"not installed.*: .*(pip install|make setup)"),
        open_executor(spec),
    ):
        pass


def test_nobody_else_is_asked_by_default() -> None:
    with open_executor(None) as executor:
        assert executor is None


@pytest.fixture
def halves(workshop: Workshop) -> Workshop:
    """The workshop with a task of fractions, and a model that writes them in several ways."""
    task = workshop.folder / "toy" / "task.yaml"
    text = task.read_text().replace("./scorer.py:LastWord", "math_equal")
    task.write_text(text.replace("majority, cat", "majority"))
    rows = (f'{{"id": "q{k}", "problem": "{k}?", "answer": "{k}/2"}}\n' for k in range(12))
    (workshop.folder / "toy" / "rows.jsonl").write_text("".join(rows))
    (workshop.folder / "model.py").write_text(HALVES)
    return workshop


HALVES = """\
def reply(request, seed):
    k = int(request.messages[-1]["content"][:-1])
    ways = [rf"\\boxed{{{k}/2}}", rf"\\boxed{{\\frac{{{k}}}{{2}}}}", r"\\boxed{x+1}"]
    return ways[seed % 3]
"""
TOY = ("run", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "8")


def same(here: Path, there: Path) -> bool:
    """Whether two runs say the same, to the last bit."""
    pd.testing.assert_frame_equal(read_scores(here), read_scores(there), check_exact=True)
    pd.testing.assert_frame_equal(read_rollouts(here), read_rollouts(there), check_exact=True)
    return (here / "table.csv").read_bytes() == (there / "table.csv").read_bytes()


def test_runs_reports_and_checks_take_it(halves: Workshop) -> None:
    assert halves.run(*TOY, "--out", "here")[0] == 0
    halves.monkeypatch.setenv("CAT_BENCH_CACHE", str(halves.folder / "other.sqlite"))
    assert halves.run(*TOY, "--out", "there", "--parallel", "2")[0] == 0
    here, there = halves.folder / "here", halves.folder / "there"
    assert same(here, there)
    (there / "table.csv").unlink()
    assert halves.run("report", str(there), "--parallel", "2")[0] == 0
    assert same(here, there)
    pool = ("--pool", "pool.parquet", "--board", "board.csv")
    assert halves.run("leaderboard", "add", str(there), *pool)[0] == 0
    check = ("leaderboard", "check", "--board", "board.csv", "--parallel", "2")
    status, out, _ = halves.run(*check)
    assert (status, "reproduced" in out, "refused" in out) == (0, True, False)
    status, _, err = halves.run(*TOY, "--parallel", "ray:127.0.0.1:9")
    assert (status, "Ray does not answer there" in err) == (2, True)


def test_a_run_on_a_ray_cluster(halves: Workshop) -> None:
    """In processes of their own: Ray reads its environment once, when it is imported."""
    pytest.importorskip("ray")
    assert halves.run(*TOY, "--out", "here")[0] == 0
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(24)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    small = ("--num-cpus=2", "--object-store-memory=80000000", "--include-dashboard=false")
    start = ("start", "--head", "--block", f"--port={port}", "--disable-usage-stats", *small)
    with running("ray", *start, **token):
        for _ in range(600):
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            time.sleep(0.1)
        where = ("--out", "there", "--parallel", f"ray:127.0.0.1:{port}")
        other = {"CAT_BENCH_CACHE": str(halves.folder / "other.sqlite"), **token}
        run = halves.start(*TOY, *where, lease_s=30, **other)
        _, err = run.communicate(timeout=600)
    assert run.returncode == 0, err
    assert same(halves.folder / "here", halves.folder / "there")


PERISH = """
import os, signal, sys
from pathlib import Path
from cat_bench.errors import CatBenchError
from cat_bench.system.parallel import open_executor


def measure(item):
    "Its length; the process dies first if that is odd: always, or until the file is there."
    if len(item) % 2 and not Path(item).exists():
        if item.startswith("/"):
            Path(item).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return len(item)


try:
    with open_executor(sys.argv[1]) as executor:
        print(executor.map(measure, ["ab", sys.argv[2], "abcd", "", "abcdef"]))
except CatBenchError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    "kind",
    ["2", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("dask", "ray:local"))],
)
def test_a_process_that_is_killed_is_replaced_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    spec = str(request.getfixturevalue("dask")) if kind == "dask" else kind
    if kind == "ray:local":
        pytest.importorskip("ray")
    (tmp_path / "perish.py").write_text(PERISH)
    file = f"{tmp_path}/x" if len(str(tmp_path)) % 2 else f"{tmp_path}/xy"
    heard = []
    for item in (file, "odd"):
        words = [sys.executable, "perish.py", spec, item]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        heard += [line for line in done.stdout.splitlines() if line.startswith(("[", "Model"))]
    once, always = heard  # Ray gives its own account before
    assert once == str([2, len(file), 4, 0, 6])
    assert always.startswith("ModelError --parallel ")
    assert re.search(r"one of its processes died \(.+\), .* run the same command again$", always)


KILLED = """
def reply(request, seed):
    with open("calls.txt", "a") as file:
        file.write("call\\n")
    k = int(request.messages[-1]["content"][:-1])
    ways = [rf"\\boxed{{{k}/2}}", r"\\boxed{x+1}", r"\\boxed{%s}"]
    return ways[seed %% 3]
"""


@pytest.mark.slow
def test_a_run_outlives_a_ray_worker(halves: Workshop) -> None:
    """The tower keeps the grading worker busy for a CPU second, and its process is then killed."""
    pytest.importorskip("ray")
    (halves.folder / "model.py").write_text(KILLED % TOWER)
    task = halves.folder / "toy" / "task.yaml"
    task.write_text(task.read_text() + "with: {timeout: 1}\n")
    few = (*TOY, "--limit", "3")
    run = halves.start(*few, "--out", "there", "--parallel", "ray:local", lease_s=30)
    killed = None
    while run.poll() is None and not killed:
        time.sleep(0.02)
        if (halves.folder / "calls.txt").exists():
            killed = next(iter(titled(b"ray::PoolActor.run_batch", run.pid)), None)
    assert killed
    os.kill(killed, signal.SIGKILL)
    _, err = run.communicate(timeout=600)
    assert run.returncode == 0, err
    assert halves.calls == 3 * 8
    halves.monkeypatch.setenv("CAT_BENCH_CACHE", str(halves.folder / "other.sqlite"))
    assert halves.run(*few, "--out", "here")[0] == 0
    assert same(halves.folder / "here", halves.folder / "there")


def titled(title: bytes, ancestor: int) -> Iterator[int]:
    """The processes with this title below another process."""
    for folder in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            number = int(folder.name)
            if (folder / "cmdline").read_bytes().startswith(title) and ancestor in parents(number):
                yield number


def parents(number: int) -> Iterator[int]:
    while number > 1:
        number = int(Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[1])
        yield number
