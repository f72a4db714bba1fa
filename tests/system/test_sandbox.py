"""Hostile programs under each runner that works here; what they try must not succeed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cat_bench.errors import UsageError
from cat_bench.system.sandbox import Runner, open_runner, permit, require_runner
from cat_bench.system.supervision import Limits, Outcome

SHORT = Limits(cpu_s=2, wall_s=6, memory=256 << 20, processes=8, disk=1 << 20, output=1 << 16)


@pytest.fixture(params=["bubblewrap", "docker"])
def runner(request: pytest.FixtureRequest) -> Runner:
    try:
        return open_runner(request.param)
    except UsageError as error:
        pytest.skip(str(error))


def run(runner: Runner, program: str, limits: Limits = SHORT) -> Outcome:
    return runner.run({"main.py": program, "tests.txt": "visible"}, limits=limits)


def marked(marker: str) -> list[int]:
    """The processes of this machine whose command line holds a marker."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [int(entry.parent.name)] if marker.encode() in entry.read_bytes() else []
        except OSError:
            continue
    return found


def test_a_program_runs(runner: Runner) -> None:
    program = "import sys; print(int(input()) * 2); print('note', file=sys.stderr); sys.exit(3)"
    outcome = runner.run({"main.py": program}, stdin=b"21\n", limits=SHORT)
    assert (outcome.ending, outcome.code) == ("exited", 3)
    assert (outcome.stdout, outcome.stderr) == (b"42\n", b"note\n")


def test_packages_are_those_that_were_named(runner: Runner) -> None:
    if runner.name == "docker":
        pytest.skip("the image decides what can be imported")
    assert run(runner, "import numpy").code == 1
    limits = Limits(cpu_s=20)
    outcome = runner.run({"main.py": "import numpy"}, packages=["numpy"], limits=limits)
    assert outcome.succeeded, outcome


def test_a_fork_bomb(runner: Runner) -> None:
    bomb = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass\n"
    begin = time.monotonic()
    outcome = run(runner, f"'a-fork-bomb'\n{bomb}")
    assert not outcome.succeeded
    assert time.monotonic() - begin < 60
    assert run(runner, "print(1)").succeeded


def test_the_number_of_processes(runner: Runner) -> None:
    count = """
import os, time
made = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    print(made, flush=True)
    os._exit(0)
"""
    outcome = run(runner, count)
    assert 0 < int(outcome.stdout or 0) < SHORT.processes


def test_memory(runner: Runner) -> None:
    assert not run(runner, "x = bytearray(1 << 30)\nprint(len(x))").succeeded


def test_cpu_time(runner: Runner) -> None:
    assert not run(runner, "while True: pass", Limits(cpu_s=1)).succeeded
    stubborn = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert not run(runner, stubborn, Limits(cpu_s=1)).succeeded


def test_sleeping(runner: Runner) -> None:
    assert run(runner, "import time; time.sleep(600)", Limits(wall_s=1)).ending == "time"


def test_what_a_daemon_holds_open_ends_with_its_program(runner: Runner) -> None:
    daemon = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    for fd in (0, 1, 2):
        os.close(fd)
    os.execv(sys.executable, [sys.executable, "-c", "'left-behind'\\nimport time; time.sleep(600)"])
time.sleep(0.5)
"""
    assert run(runner, daemon).succeeded
    for _ in range(600):
        if not marked("'left-behind'"):
            return
        time.sleep(0.05)
    pytest.fail("a process outlived its program")


def test_output(runner: Runner) -> None:
    outcome = run(runner, "while True: print('x' * 1000)")
    assert outcome.ending == "output"
    assert len(outcome.stdout) <= SHORT.output + (1 << 16)


def test_disk(runner: Runner) -> None:
    fill = "for n in range(99):\n with open(f'/tmp/{n}', 'wb') as f: f.write(b'x' * 500_000)\n"
    assert not run(runner, fill).succeeded
    for path in ("/usr/x", "/box/main.py", "/x", "/etc/x", "/packages/x"):
        assert not run(runner, f"open({path!r}, 'w').write('x')").succeeded


def test_network(runner: Runner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), 1)"
        subprocess.run([sys.executable, "-c", connect], check=True)
        assert not run(runner, connect).succeeded


def test_no_file_of_ours_is_there(runner: Runner, tmp_path: Path) -> None:
    secret = tmp_path / "gold.txt"
    secret.write_text("42")
    here = str(Path(__file__).resolve())
    for path in (str(secret), here, "/etc/passwd", str(Path.home())):
        listed = f"import os; print(os.listdir({path!r}))"
        assert b"." not in run(runner, listed).stdout.replace(b".pyenv", b"")
        assert not run(runner, f"print(open({path!r}).read())").succeeded
    outcome = run(runner, "import cat_bench")
    assert b"ModuleNotFoundError" in outcome.stderr


def test_no_variable_of_ours_is_there(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    read = """
import glob
for path in glob.glob('/proc/*/environ'):
    try:
        print(path, open(path, 'rb').read())
    except OSError:
        continue
"""
    outcome = run(runner, read)
    assert b"/proc/self/environ" in outcome.stdout
    assert b"secret-key" not in outcome.stdout


CALL = """
import ctypes, os
kernel, intel = ctypes.CDLL(None, use_errno=True), os.uname().machine == 'x86_64'
"""
CLONE = """
child = kernel.syscall(56 if intel else 220, 0x10000000 | 17, 0, 0, 0, 0)
child or os._exit(0)
assert child > 0
"""
BEYOND = {
    "a namespace of its own": CALL + "assert kernel.unshare(0x10000000 | 0x20000) == 0",
    "a process in a namespace": CALL + CLONE,
    "a mount": CALL + "assert kernel.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0",
    "a writable root": CALL + "assert kernel.mount(None, b'/', None, 4096 | 32, None) == 0",
    "memory outside of the count": "import os; os.memfd_create('x')",
    "shared memory": CALL + "assert kernel.shmget(0, 100 << 20, 0o1600) >= 0",
    "a key": CALL + "assert kernel.syscall(248 if intel else 217, b'user', b'a', b'b', 1, -3) > 0",
    "tracing its parent": CALL + "assert kernel.ptrace(16, os.getppid(), 0, 0) == 0",
    "its parent's memory": "import os; open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
    "a file of ours by its parent": "import os; open(f'/proc/{os.getppid()}/root/etc/passwd')",
    "a link to a file of ours": "import os; os.symlink('/etc/passwd', '/tmp/a'); open('/tmp/a')",
    "shared files in memory": "open('/dev/shm/x', 'wb').write(b'x')",
    "a device": "open('/dev/x', 'wb').write(b'x')",
    "a socket of ours": "import socket; socket.socket(socket.AF_UNIX).connect('/run/dbus/socket')",
    "stopping its parent": "import os, signal; os.kill(os.getppid(), signal.SIGSTOP); 1 / 0",
}


@pytest.mark.parametrize("attempt", BEYOND)
def test_what_is_beyond_the_limits_is_denied(runner: Runner, attempt: str) -> None:
    if runner.name == "docker":
        pytest.skip("docker applies a filter of its own")
    assert not run(runner, BEYOND[attempt]).succeeded
    assert run(runner, "print(1)").succeeded


def test_zombies_end_with_their_program(runner: Runner) -> None:
    orphans = """
import os, time
for _ in range(2):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
"""
    begin = time.monotonic()
    assert run(runner, orphans, Limits(wall_s=20)).ending in ("exited", "time")
    assert time.monotonic() - begin < 60
    assert run(runner, "print(1)").succeeded


def test_errors_without_end(runner: Runner) -> None:
    flood = "import sys\nwhile True: sys.stderr.write('x' * 1000)"
    assert run(runner, flood).ending == "output"


def test_killing_the_parent(runner: Runner) -> None:
    kill = """
import os, signal
for pid in [1, os.getppid(), *range(2, 70000)]:
    if pid != os.getpid():
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
print('done')
"""
    run(runner, kill, Limits(cpu_s=5))
    assert run(runner, "print(1)").stdout == b"1\n"


def test_no_rights_to_gain(runner: Runner) -> None:
    for attempt in (
        "os.setuid(0)", "os.chroot('/tmp')", "os.nice(-5)",
        "resource.setrlimit(resource.RLIMIT_NPROC, (9999, 9999))",
        "resource.setrlimit(resource.RLIMIT_CPU, (9999, 9999))",
    ):  # fmt: skip
        assert not run(runner, f"import os, resource\n{attempt}\nprint('done')").succeeded


def test_none_must_be_spelled_out_and_still_limits() -> None:
    runner = open_runner("none")
    assert runner.run({"main.py": "print(input())"}, stdin=b"x").stdout == b"x\n"
    assert not run(runner, "x = bytearray(1 << 30)").succeeded
    assert run(runner, "import time; time.sleep(600)", Limits(wall_s=1)).ending == "time"


def test_an_unknown_runner_is_refused() -> None:
    with pytest.raises(UsageError, match="should be one of bubblewrap, docker, none"):
        open_runner("dokcer")


@pytest.fixture
def unpermitted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CAT_BENCH_ALLOW_CODE", raising=False)
    yield
    os.environ.pop("CAT_BENCH_ALLOW_CODE", None)


@pytest.mark.usefixtures("unpermitted")
def test_nothing_runs_without_permission() -> None:
    with pytest.raises(UsageError, match="--allow-code bubblewrap"):
        require_runner()
    permit("none")
    assert require_runner().name == "none"


def test_a_runner_that_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="apt-get install bubblewrap"):
        open_runner("bubblewrap")
