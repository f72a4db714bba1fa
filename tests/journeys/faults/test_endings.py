"""However a run ends, what was paid for is kept, and the same command goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cat_bench.cache import Cache, verify
from tests.journeys.faults.conftest import SLOTS, Stand, left_behind

LINE = ("--method", "single", "--set", "concurrency=4")
KEY = "sk-very-secret-0123456789"


def wait_for(stand: Stand, process: subprocess.Popen[str], requests: int) -> None:
    while stand.server.stats.requests < requests:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_one_ctrl_c_stores_what_is_in_flight(stand: Stand) -> None:
    stand.server.delay = 0.3
    process = stand.workshop.start(*stand.arguments(*LINE))
    wait_for(stand, process, 6)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    begun = stand.server.stats.requests
    assert process.returncode == 130, err
    assert "finishing the requests in flight" in err
    assert "Stopped early: the run was interrupted." in err
    assert stand.stored == begun < SLOTS
    stand.server.delay = 0
    assert stand.run("--set", "concurrency=4")[0] == 0
    assert (stand.stored, stand.server.stats.requests, stand.missing) == (SLOTS, SLOTS, [])


def test_a_second_ctrl_c_stops_now(stand: Stand) -> None:
    stand.server.delay = 0.1
    process = stand.workshop.start(*stand.arguments(*LINE))
    wait_for(stand, process, 9)
    stand.server.delay = 3600
    wait_for(stand, process, stand.server.stats.requests + 2)
    process.send_signal(signal.SIGINT)
    assert process.stderr
    assert any("Ctrl-C again" in line for line in process.stderr)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert err.rstrip().endswith("the samples so far are in the cache.")
    assert "Traceback" not in err
    kept = stand.stored
    assert 0 < kept < stand.server.stats.requests
    stand.server.delay, before = 0, stand.server.stats.requests
    assert stand.run("--set", "concurrency=4")[0] == 0
    assert stand.server.stats.requests - before == SLOTS - kept
    assert stand.workshop.clean(runs=1)


@pytest.mark.parametrize("budget", ["--budget-tokens", "--budget-cost"])
def test_a_budget_stops_in_order_and_a_larger_one_goes_on(budget: str, stand: Stand) -> None:
    model = "test-model{choices=1}"
    (stand.workshop.folder / "prices.yaml").write_text(f"'{model}': {{input: 1, output: 1}}\n")
    money = budget == "--budget-cost"
    small, large = ("3e-4", "1") if money else ("300", "1000000")
    options = (*LINE[2:], *(("--prices", "prices.yaml") if money else ()))
    status, err = stand.run(budget, small, *options)
    spent = stand.server.stats.prompt_tokens + stand.server.stats.completion_tokens
    assert status == 1
    assert f"the budget of {'0.0003' if money else '300 tokens'} is spent" in err
    assert 300 <= spent <= 300 + 4 * 40
    kept = stand.stored
    assert kept == stand.server.stats.choices == SLOTS - len(stand.missing)
    status, err = stand.run(budget, large, *options)
    assert (status, stand.stored, stand.missing) == (0, SLOTS, []), err
    assert stand.server.stats.choices == SLOTS


def test_two_processes_share_one_pool(stand: Stand) -> None:
    stand.server.delay = 0.05
    processes = [stand.workshop.start(*stand.arguments(*LINE)) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    assert (stand.stored, stand.missing) == (SLOTS, [])
    assert stand.server.stats.choices == SLOTS


def test_a_killed_process_costs_no_more_than_its_flight(stand: Stand) -> None:
    """What it had sent for, and the replies that came in while a batch was being stored."""
    stand.server.delay = 0.3
    doomed, heir = (stand.workshop.start(*stand.arguments(*LINE), lease_s=2) for _ in range(2))
    wait_for(stand, doomed, 12)
    doomed.kill()
    doomed.communicate()
    _, err = heir.communicate(timeout=120)
    assert heir.returncode == 0, err
    assert (stand.stored, stand.missing) == (SLOTS, [])
    assert stand.server.stats.requests <= SLOTS + 2 * 4


def test_a_full_disk_keeps_what_was_stored(stand: Stand) -> None:
    stand.server.reply = lambda request: f"{os.urandom(3000).hex()} {request.seed}"
    program = (
        "import resource, sys; from cat_bench.cli import main;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({200 * 1024}, {200 * 1024})); main()"
    )
    command = [sys.executable, "-c", program, *stand.arguments(*LINE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "what was stored is kept" in done.stderr
    check_it_goes_on(stand)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_small_disk_keeps_what_was_stored(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.server.reply = lambda request: f"{os.urandom(3000).hex()} {request.seed}"
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        cache = small / "cache.sqlite"
        process = stand.workshop.start(*stand.arguments(*LINE), CAT_BENCH_CACHE=str(cache))
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1, err
        assert "Traceback" not in err
        assert "free some space and run again; what was stored is kept" in err
        resize = ["mount", "-o", "remount,size=8m", str(small)]
        subprocess.run(resize, check=True)
        before = stand.server.stats.requests
        with Cache(cache) as opened:
            assert list(verify(opened)) == []
        process = stand.workshop.start(*stand.arguments(*LINE), CAT_BENCH_CACHE=str(cache))
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert 0 < stand.server.stats.requests - before < SLOTS
    finally:
        subprocess.run(["umount", str(small)], check=True)


def check_it_goes_on(stand: Stand) -> None:
    """What is stored is sound, and the next run asks for the rest alone."""
    with Cache(stand.workshop.folder / "cache.sqlite") as cache:
        assert list(verify(cache)) == []
    kept, before = stand.stored, stand.server.stats.requests
    assert 0 < kept < SLOTS
    status, err = stand.run(*LINE[2:])
    assert (status, stand.stored, stand.missing) == (0, SLOTS, []), err
    assert stand.server.stats.requests - before == SLOTS - kept


@pytest.mark.parametrize("source", ["variable", "file"])
def test_a_key_is_never_written_anywhere(
    source: str, stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source == "variable":
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
    else:
        elsewhere = tmp_path.with_name(f"{tmp_path.name}-key")
        elsewhere.write_text(f"{KEY}\n")
        monkeypatch.setenv("CAT_BENCH_OPENAI_KEY_FILE", str(elsewhere))
    stand.server.api_key = "another"
    status, err = stand.run("--limit", "2")
    assert status == 1
    assert any("check the API key" in why for why in stand.missing)
    assert KEY not in err
    stand.server.api_key = KEY
    status, err = stand.run()
    assert (status, stand.stored) == (0, SLOTS)
    assert KEY not in err
    assert KEY.encode() not in left_behind(stand.workshop.folder)
    assert b"Is it 0?" in left_behind(stand.workshop.folder)
