"""A real PostgreSQL server for tests, from Debian's packages, in a folder of its own.

It listens on one address, asks for a password, and ends with whoever started it. It refuses to run
as root, so root starts it as the user `postgres`, or `nobody`.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

USER = "tester"
_FAST = ("fsync=off", "full_page_writes=off", "max_connections=200", "shared_buffers=32MB")


@dataclass(frozen=True, slots=True)
class Server:
    """A server, where it is and how it is started."""

    host: str
    port: int
    password: str
    command: Sequence[str | Path]
    log: Path

    @contextmanager
    def running(self) -> Iterator[None]:
        """The server's process, until it has shut down; it may be started again."""
        with self.log.open("a") as log:
            process = _start(self.command, log)
        try:
            _await(self, process)
            yield
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait(300)

    def url(self, database: str = "postgres", *, password: str | None = None) -> str:
        """Where a database is, as CAT_BENCH_CACHE takes it."""
        where = f"{self.host}:{self.port}/{database}"
        return f"postgresql://{USER}:{password or self.password}@{where}"

    def database(self) -> str:
        """The URL of a new, empty database."""
        import psycopg

        name = f"cache_{secrets.token_hex(6)}"
        with closing(psycopg.connect(self.url(), autocommit=True)) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


def programs() -> Path | None:
    """Where PostgreSQL's programs are; None where there are none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def serving(there: Path, *, host: str = "127.0.0.1", fsync: bool = False) -> Iterator[Server]:
    """A server on `host`, its folder deleted in the end; with `fsync` a commit costs what it is."""
    with installed(there, host=host, fsync=fsync) as server, server.running():
        yield server


@contextmanager
def installed(there: Path, *, host: str = "127.0.0.1", fsync: bool = False) -> Iterator[Server]:
    """A server that is ready to be started, its folder deleted in the end."""
    folder = Path(tempfile.mkdtemp(prefix="cat-bench-postgresql-"))
    data, secret, log = folder / "data", folder / "password", folder / "log"
    secret.write_text(secrets.token_hex(8))
    port = _free(host)
    settings = [f"listen_addresses={host}", f"port={port}"]
    settings += [f"unix_socket_directories={folder}", *(_FAST[2:] if fsync else _FAST)]
    words = [word for setting in settings for word in ("-c", setting)]
    _give(folder, secret)
    options = ["-U", USER, f"--pwfile={secret}", "-A", "scram-sha-256", "-N"]
    options += ["--encoding=UTF8", "--locale=C.UTF-8"]
    try:
        with log.open("w") as said:
            _start([there / "initdb", "-D", data, *options], said).wait(300)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        command: list[str | Path] = [there / "postgres", "-D", data, *words]
        yield Server(host, port, secret.read_text(), command, log)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _give(*paths: Path) -> None:
    """Let the server's user have what root made for it."""
    if user := _user():
        for path in paths:
            shutil.chown(path, user.pw_uid, user.pw_gid)


def _start(command: Sequence[str | Path], log: IO[str]) -> subprocess.Popen[bytes]:
    """A process without root's rights that no Ctrl-C reaches, and that dies with this one."""
    user = _user()
    mortal = ["setpriv", "--pdeathsig", "QUIT"] if shutil.which("setpriv") else []
    return subprocess.Popen(
        [*mortal, *command],
        cwd=Path(log.name).parent,
        stdout=log,
        stderr=subprocess.STDOUT,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        start_new_session=True,
    )


def _await(server: Server, process: subprocess.Popen[bytes]) -> None:
    import psycopg

    deadline = time.monotonic() + 300
    while True:
        try:
            psycopg.connect(server.url(), connect_timeout=5).close()
            return
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(server.log.read_text()) from None
        time.sleep(0.05)


def _user() -> pwd.struct_passwd | None:
    """Whom root runs the server as; None where this is another user already."""
    if os.geteuid():
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _free(host: str) -> int:
    with closing(socket.socket()) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
