"""Run an untrusted Python program: no network, no home, and limits on all that it uses.

    runner = open_runner("bubblewrap")
    outcome = runner.run({"main.py": program}, stdin=b"3\\n", limits=Limits())

A runner starts one process tree per run and ends all of it. `bubblewrap` needs Debian's package of
that name, `docker` a daemon and an image. `none` isolates nothing: it must be named explicitly, and
is for programs that the user has read.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from cat_bench.errors import UsageError
from cat_bench.system.seccomp import write_filter
from cat_bench.system.supervision import Limits, Outcome, supervise

DEFAULT = Limits()
RUNNERS = ("bubblewrap", "docker", "none")
IMAGE = "python:3.11-slim"
"""The image of the runner `docker` unless CAT_BENCH_SANDBOX_IMAGE names another one."""

_PERMISSION = "CAT_BENCH_ALLOW_CODE"
_FIRST_USER, _USERS = 200_000, 50_000
_turns = itertools.count(os.getpid())
_LIMITER = """\
import os, resource, sys
cpu, memory, processes, disk, user = map(int, sys.argv[1:6])
for limit, value in (
    (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, disk),
    (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 64), (resource.RLIMIT_NPROC, processes),
):
    if value >= 0:
        resource.setrlimit(limit, (value, value + (limit == resource.RLIMIT_CPU)))
if user:
    os.setgroups([]); os.setgid(user); os.setuid(user)
os.execv(sys.executable, [sys.executable, "-P", "-B", *sys.argv[6:]])
"""
"""Sets limits that the kernel enforces, then becomes the program."""


class Runner(ABC):
    """Runs programs in isolation; `name` is the runner's name in `--allow-code`."""

    name: str

    def run(
        self,
        files: Mapping[str, str],
        *,
        stdin: bytes = b"",
        packages: Sequence[str] = (),
        limits: Limits = DEFAULT,
    ) -> Outcome:
        """Run `main.py` of these files; it may import `packages` besides the standard library."""
        with tempfile.TemporaryDirectory() as folder:
            return self._run(_write(folder, files), stdin, packages, limits)

    @abstractmethod
    def _run(self, box: str, stdin: bytes, packages: Sequence[str], limits: Limits) -> Outcome:
        """Run `main.py` of the folder `box`."""


@dataclass(frozen=True, slots=True)
class Bubblewrap(Runner):
    """Linux namespaces by `bwrap`: a file system with Python only, no network, no other process.

    If this user is root, the program runs as a user of its own, because the kernel exempts root
    from the limit on processes. Any other user owns the files inside, so all but /tmp is read-only.
    `bwrap` gets none of our variables, because the program can read its variables.
    """

    name: str = "bubblewrap"

    def _run(self, box: str, stdin: bytes, packages: Sequence[str], limits: Limits) -> Outcome:
        user = _FIRST_USER + next(_turns) % _USERS if os.geteuid() == 0 else 0
        reading, writing = os.pipe()
        with tempfile.TemporaryFile() as denied, os.fdopen(reading, "rb") as status:
            command = [
                shutil.which("bwrap") or "bwrap", "--json-status-fd", str(writing),
                *_isolation(root=bool(user)), *_system_calls(denied), *_python(),
                *_packages(packages), "--ro-bind", box, "/box",
                "--perms", "1777", "--size", str(limits.disk), "--tmpfs", "/tmp",
                "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp",
                _interpreter(), "-I", "-c", _LIMITER, *_numbers(limits), str(user), "/box/main.py",
            ]  # fmt: skip
            try:
                inherited = (writing, denied.fileno())
                outcome = supervise(command, stdin, limits, inherited=inherited, variables={})
            finally:
                os.close(writing)
            started = any("exit-code" in json.loads(line) for line in status)
        if outcome.ending == "exited" and not started:
            return replace(outcome, ending="broken")
        return _decode_signal(outcome)


@dataclass(frozen=True, slots=True)
class Docker(Runner):
    """A fresh container: no network, read-only, no capabilities, only the image's packages."""

    image: str = IMAGE
    name: str = "docker"

    def _run(self, box: str, stdin: bytes, packages: Sequence[str], limits: Limits) -> Outcome:
        container = f"cat-bench-{os.getpid()}-{next(_turns)}"
        command = [
            "docker", "run", "--rm", "--interactive", "--name", container, "--network", "none",
            "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
            "--user", "65534:65534", "--memory", str(limits.memory), "--cpus", "1",
            "--memory-swap", str(limits.memory), "--pids-limit", str(limits.processes),
            "--tmpfs", f"/tmp:size={limits.disk}", "--workdir", "/tmp",
            "--volume", f"{box}:/box:ro", self.image,
            "python3", "-I", "-c", _LIMITER, *_numbers(limits, processes=-1), "0",
            "/box/main.py",
        ]  # fmt: skip
        try:
            outcome = supervise(command, stdin, limits)
        finally:
            subprocess.run(["docker", "rm", "--force", container], capture_output=True)
        if outcome.ending == "exited" and outcome.code in (125, 126, 127):
            return replace(outcome, ending="broken")
        return _decode_signal(outcome)


@dataclass(frozen=True, slots=True)
class Unprotected(Runner):
    """No isolation: only the kernel's limits, with this user's rights, files, network, packages."""

    name: str = "none"

    def _run(self, box: str, stdin: bytes, packages: Sequence[str], limits: Limits) -> Outcome:
        numbers = _numbers(limits, processes=-1)
        command = [sys.executable, "-I", "-c", _LIMITER, *numbers, "0", f"{box}/main.py"]
        return supervise(command, stdin, limits)


def permit(name: str) -> Runner:
    """Allow this process and its children to run models' programs by that runner.

    Raises UsageError if there is no such runner, or it does not work here.
    """
    runner = open_runner(name)
    os.environ[_PERMISSION] = name
    return runner


def require_runner() -> Runner:
    """Return the runner that was allowed. Raises UsageError if none was."""
    name = os.environ.get(_PERMISSION)
    if not name:
        raise UsageError(
            "this task runs programs that a model writes: allow it by --allow-code bubblewrap "
            f"(or docker; or none, without any protection), or by {_PERMISSION} in the environment"
        )
    return _open(name)


async def run_program(
    files: Mapping[str, str],
    *,
    stdin: bytes = b"",
    packages: Sequence[str] = (),
    limits: Limits = DEFAULT,
) -> Outcome:
    """Run `main.py` of these files by the permitted runner; at most one per core at a time.

    Raises UsageError if running code was not allowed.
    """
    run = partial(require_runner().run, files, stdin=stdin, packages=packages, limits=limits)
    return await asyncio.get_running_loop().run_in_executor(_threads(), run)


@lru_cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sandbox")


@lru_cache
def _open(name: str) -> Runner:
    return open_runner(name)


def open_runner(name: str) -> Runner:
    """Return the runner of that name after a trial run. Raises UsageError if that fails."""
    runners: dict[str, Runner] = {
        "bubblewrap": Bubblewrap(),
        "docker": Docker(os.environ.get("CAT_BENCH_SANDBOX_IMAGE", IMAGE)),
        "none": Unprotected(),
    }
    if name not in runners:
        raise UsageError(f"--allow-code {name} should be one of {', '.join(RUNNERS)}")
    if name != "none" and shutil.which("bwrap" if name == "bubblewrap" else name) is None:
        hint = "apt-get install bubblewrap" if name == "bubblewrap" else "install docker"
        raise UsageError(f"--allow-code {name}: the program is not installed; {hint}")
    outcome = runners[name].run({"main.py": "print(6 * 7)"})
    if outcome.stdout.strip() != b"42":
        reason = outcome.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise UsageError(f"--allow-code {name} does not work here: {reason or outcome}")
    return runners[name]


def _isolation(*, root: bool) -> list[str]:
    namespaces = ["ipc", "pid", "net", "uts", "cgroup-try"] + ([] if root else ["user"])
    rights = ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if root else []
    return [
        *(f"--unshare-{name}" for name in namespaces), *rights,
        "--die-with-parent", "--new-session", "--clearenv",
        "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/tmp",
        "--setenv", "PYTHONPATH", "/packages", "--setenv", "OPENBLAS_NUM_THREADS", "1",
        "--setenv", "OMP_NUM_THREADS", "1", "--proc", "/proc", "--dev", "/dev",
    ]  # fmt: skip


def _system_calls(file: IO[bytes]) -> list[str]:
    """Write the filter of system calls into a file, and return the option that applies it."""
    content = write_filter()
    if content is None:
        return []
    file.write(content)
    file.seek(0)
    return ["--seccomp", str(file.fileno())]


def _python() -> list[str]:
    """Return the system's libraries and this Python's library, without installed packages."""
    base = Path(sys.base_prefix).resolve()
    folders = [Path("/usr"), *([] if base.is_relative_to("/usr") else [base])]
    parents = [path for path in reversed(base.parents) if not path.is_relative_to("/usr")][1:]
    binds = [part for path in parents for part in ("--perms", "0755", "--dir", str(path))]
    binds += [part for path in folders for part in ("--ro-bind", str(path), str(path))]
    for name in ("bin", "lib", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            binds += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            binds += ["--ro-bind", str(path), str(path)]
    hidden = {Path(sysconfig.get_path(kind, vars=_BASE)) for kind in ("purelib", "platlib")}
    hidden |= {Path(__file__).resolve().parents[1]}
    for path in sorted(path for path in hidden if any(path.is_relative_to(s) for s in folders)):
        if path.is_dir():
            binds += ["--tmpfs", str(path)]
    return binds


_BASE = {"base": sys.base_prefix, "platbase": sys.base_exec_prefix}


def _interpreter() -> str:
    return str(Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}").resolve())


def _packages(names: Iterable[str]) -> list[str]:
    """Mount each package's folder, and its shared libraries' folder, under /packages."""
    binds = ["--perms", "0755", "--dir", "/packages"]
    for name in names:
        spec = find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(f"a program may import {name!r}, which is not installed")
        folder = Path(spec.submodule_search_locations[0])
        for path in (folder, folder.with_name(f"{name}.libs")):
            if path.is_dir():
                binds += ["--ro-bind", str(path), f"/packages/{path.name}"]
    return binds


def _write(folder: str, files: Mapping[str, str]) -> str:
    """Write the files where any user can read them and return their folder."""
    Path(folder).chmod(0o755)
    for name, text in files.items():
        Path(folder, name).write_text(text, encoding="utf-8", errors="replace")
        Path(folder, name).chmod(0o644)
    return folder


def _numbers(limits: Limits, processes: int | None = None) -> list[str]:
    count = limits.processes if processes is None else processes
    return list(map(str, (limits.cpu_s, limits.memory, count, limits.disk)))


def _decode_signal(outcome: Outcome) -> Outcome:
    """Turn a shell's code for a signal (above 128) into Python's negative number."""
    return replace(outcome, code=128 - outcome.code) if outcome.code > 128 else outcome
