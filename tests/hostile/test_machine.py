"""A machine that kills, fills up or takes away what a run stands on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import TOY, Workshop

SMALL = (*TOY, "--pool", "4", "--n", "1,2")
HOLDS = """
import os, time
from cat_bench.system.parallel import open_executor
with open_executor(2) as executor:
    found = executor.map(lambda _: (time.sleep(0.2), os.getpid())[1], range(8))
    print(*sorted(set(found)), flush=True)
    time.sleep(600)
"""
LIST = [sys.executable, "-m", "cat_bench", "list", "tasks"]


def alive(process: int) -> bool:
    """Whether a process runs; a dead one that nobody has waited for does not."""
    try:
        return ") Z" not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_no_process_outlives_a_killed_run() -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        held = [int(each) for each in process.stdout.readline().split()]
        assert held
        assert all(map(alive, held))
        process.kill()
    deadline = time.monotonic() + 60  # they outlived it by five minutes
    while any(map(alive, held)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [each for each in held if alive(each)] == []


def test_a_terminated_run_leaves_no_lease(workshop: Workshop) -> None:
    workshop.interrupt(*SMALL, by=signal.SIGTERM, after=4)
    with closing(sqlite3.connect(workshop.folder / "cache.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM leases").fetchone() == (0,)


def ended(command: Sequence[str], **options: object) -> tuple[int, str]:
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)  # type: ignore[call-overload]
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_output_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        status, said = ended(LIST, stdout=full)
    assert status == 1
    assert said.startswith("cat-bench: ")
    assert said.count("\n") == 1


def test_an_output_that_nobody_reads_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    status, said = ended(LIST, stdout=writing)
    os.close(writing)
    assert status == 1
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.parametrize("parallel", ["", "--parallel 2"])
def test_a_closed_output_is_no_traceback(parallel: str, workshop: Workshop) -> None:
    """A run asks its output for a width, and its workers would get a file by the same number."""
    run = f"{sys.executable} -m cat_bench {' '.join(SMALL)} --out run {parallel} >&-"
    status, said = ended(["sh", "-c", run])
    assert "Traceback" not in said
    assert status == 0, said
    assert (workshop.folder / "run" / "table.csv").exists()
    status, said = ended(["sh", "-c", f"{sys.executable} -m cat_bench report run --html >&- 2>&-"])
    assert (status, said) == (0, "")


def test_a_disk_that_is_full_before_the_tables_are_written_is_one_line(workshop: Workshop) -> None:
    small = workshop.folder / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(small)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a file system cannot be mounted here")
    try:
        command = [sys.executable, "-m", "cat_bench", *SMALL, "--out", "small/run"]
        status, said = ended(command, stdout=subprocess.DEVNULL)
        left = list(small.iterdir())
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert status == 1
    assert "Traceback" not in said
    assert "No space left" in said or "free some space" in said, said
    assert left == []
    made = workshop.calls
    assert workshop.run(*SMALL, "--out", "run")[0] == 0
    assert workshop.calls == made


def test_a_deleted_working_folder_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    tools = f"cd {folder} && rmdir {folder} && {sys.executable} -P -m cat_bench cache info"
    status, said = ended(["sh", "-c", tools])
    assert status == 1
    assert "Traceback" not in said
    assert said.count("cat-bench: ") == 1


DRAFTS = """
import sys, time
from pathlib import Path
from cat_bench.cli import ended_as_interrupted
from cat_bench.system.files import atomic
with ended_as_interrupted(), atomic(Path(sys.argv[1])) as draft:
    draft.write_text("half")
    print("writing", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("background", [False, True])
def test_a_command_that_is_ended_leaves_no_draft(
    ending: signal.Signals, background: bool, tmp_path: Path
) -> None:
    trap = "trap '' INT; " if background else ""  # as a shell does for a job in the background
    command = f'{trap}exec "$0" -c "$1" "$2"'
    place = [sys.executable, DRAFTS, str(tmp_path / "page.html")]
    with subprocess.Popen(
        ["sh", "-c", command, *place],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(ending, signal.SIG_DFL),  # nohup ignores it for all
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"writing\n"
            assert [path.name for path in tmp_path.iterdir()] == [f".page.html.{process.pid}"]
            process.send_signal(ending)
            assert process.wait(300) != 0
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_under_the_results_loses_nothing(workshop: Workshop) -> None:
    """Files may be as long as the cache's index, no longer: a figure cannot be written."""
    assert workshop.run(*SMALL, "--out", "whole")[0] == 0
    made = workshop.calls
    limited = f"ulimit -f 40; exec {sys.executable} -m cat_bench {' '.join(SMALL)} --out small"
    status, said = ended(["bash", "-c", limited])
    assert status in {1, 2}
    assert "Traceback" not in said
    assert "small" in said.splitlines()[-1]
    assert "cannot be written: File too large" in said.splitlines()[-1]
    assert not [path for path in workshop.folder.iterdir() if path.name.startswith(".small")]
    assert workshop.run(*SMALL, "--out", "small")[0] == 0
    assert workshop.calls == made


@pytest.mark.parametrize("limit", ["-n 7", "-n 10", "-v 400000"])
def test_few_files_or_little_memory_is_one_line(limit: str, tmp_path: Path) -> None:
    info = f"ulimit {limit}; exec {sys.executable} -m cat_bench --help"
    assert ended(["bash", "-c", info], stdout=subprocess.DEVNULL)[0] == 0
    place = {**os.environ, "CAT_BENCH_CACHE": str(tmp_path / "c.sqlite")}
    info = f"ulimit {limit}; exec {sys.executable} -m cat_bench cache info"
    status, said = ended(["bash", "-c", info], stdout=subprocess.DEVNULL, env=place)
    assert "Traceback" not in said
    assert status == 0 or said.startswith("cat-bench: ")


@pytest.mark.parametrize("kilobytes", [300_000, 500_000])
def test_little_memory_for_a_run_is_one_line(kilobytes: int, workshop: Workshop) -> None:
    """A library that cannot be mapped, an array, a thread that cannot start."""
    run = f"ulimit -v {kilobytes}; exec {sys.executable} -m cat_bench {' '.join(SMALL)}"
    status, said = ended(["bash", "-c", run], stdout=subprocess.DEVNULL)
    assert "Traceback" not in said
    assert status == 0 or "cat-bench: memory is short" in said.splitlines()[-1], said


@pytest.mark.parametrize("files", [5, 7, 10])
def test_few_files_are_blamed_and_nothing_else(files: int, tmp_path: Path) -> None:
    """Whatever could not be opened: an event loop, a cache, a prompt, a module."""
    options = f"run tally --limit 1 --pool 2 --n 1,2 --method majority --out {tmp_path}/run"
    command = f"ulimit -n {files}; exec {sys.executable} -m cat_bench {options}"
    place = {**os.environ, "CAT_BENCH_CACHE": str(tmp_path / "c.sqlite")}
    status, said = ended(["bash", "-c", command], stdout=subprocess.DEVNULL, env=place)
    assert "Traceback" not in said
    if status:
        assert said.startswith("cat-bench: ")
        assert said.count("\n") == 1
        assert "ulimit -n" in said
    if files == 5:
        assert status == 1
