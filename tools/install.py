"""Install what a command needs into `.venv`: `python tools/install.py [EXTRA ...]`.

The package is installed from this checkout in editable form, with the extras that are named (`all`
means every one), at the versions of constraints.txt. uv installs them, with pip's settings, if uv
exists or pip can fetch it; otherwise pip does. The Makefile runs this file before anything is
installed, so it uses the standard library only.

Invariants: one process at a time changes `.venv`; a complete installation is not touched; an extra
is added without changing the rest; the next call completes an interrupted installation.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from ast import literal_eval
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]
CPU_TORCH = "https://download.pytorch.org/whl/cpu"
SHOWN = re.compile(r"\s*(Downloading .*\d ?[MG]i?B\)|Using cached .*[MG]B\)|.*\b[Ee]rror\b)")
"""The lines of an installer that are shown while it works: large downloads and errors."""

HANDED = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
}
"""pip's settings, and uv's variables for them."""
HARMLESS = re.compile(
    "break-system-packages|cache-dir|compile|config-file|debug|disable-pip-version-check|exists-action|log"
    "|no-(cache-dir|color|compile|input|python-version-warning|warn-(conflicts|script-location))"
    "|progress-bar|quiet|require-virtualenv|retries|root-user-action|use-(deprecated|feature)|verbose"
)
"""pip's settings that do not change which files are installed."""


class Unusable(Exception):
    """uv cannot be used here, for the reason in the text."""


def say(text: str) -> None:
    """Show a line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@dataclass(frozen=True)
class Stamp:
    """A complete installation: the digest of its requirements, its folder, its extras."""

    digest: str = ""
    folder: str = ""
    extras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the stamp of its installation."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def read(self) -> Stamp:
        """Return the stamp; an empty stamp if no installation is complete."""
        try:
            stamp = json.loads((self.folder / ".installed").read_text())
            known = Stamp(str(stamp["digest"]), str(stamp["folder"]), tuple(stamp["extras"]))
        except (OSError, ValueError, KeyError, TypeError):
            return Stamp()
        return known if self.python.exists() else Stamp()

    def write(self, stamp: Stamp) -> None:
        """Write the stamp."""
        (self.folder / ".installed").write_text(json.dumps(asdict(stamp)) + "\n")

    def create(self, *, anew: bool) -> None:
        """Create the environment unless it is complete; with `anew`, always."""
        if not anew and self.python.exists() and (self.folder / "bin" / "pip").exists():
            return
        say(f"Creating {self.folder.name} with Python {sys.version.split()[0]}")
        finished = subprocess.run(
            [sys.executable, "-m", "venv", "--clear", str(self.folder)],
            capture_output=True,
            text=True,
        )
        if finished.returncode:
            sys.exit(
                f"{finished.stdout}{finished.stderr}\n{sys.executable} cannot create a virtual "
                "environment (Debian: apt-get install python3-venv)."
            )

    def packages(self) -> tuple[int, int]:
        """Return the number of packages and their size in MB."""
        size, packages = 0, 0
        for folder, names, files in os.walk(self.folder):
            if folder.endswith("site-packages"):
                packages += sum(name.endswith(".dist-info") for name in names)
            size += sum(Path(folder, name).lstat().st_size for name in files)
        return packages, round(size / 1e6)


def list_extras() -> dict[str, list[str]]:
    """Return each extra of the package, with what it requires."""
    import tomllib  # an older Python, which lacks it, should get as far as main()'s message

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras: dict[str, list[str]] = tomllib.loads(text)["project"]["optional-dependencies"]
    return extras


def requirements(extras: Iterable[str]) -> list[str]:
    """Return the requirements of these extras, and of the extras that they include."""
    listed: list[str] = []
    for extra in extras:
        for requirement in list_extras()[extra]:
            included = re.fullmatch(r"cat-bench\[(.*)\]", requirement)
            listed += requirements(included[1].split(",")) if included else [requirement]
    return listed


def digest() -> str:
    """Identify the requirements and the versions that an installation follows."""
    files = (ROOT / name for name in ("pyproject.toml", "constraints.txt"))
    return sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


@contextmanager
def lock() -> Iterator[None]:
    """Hold the lock of this checkout; wait for another process that holds it."""
    with (ROOT / "pyproject.toml").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            say("Another process is installing; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def pip_settings(listing: str) -> dict[str, str]:
    """Read what `pip config list` prints; a later source replaces an earlier one, as for pip."""
    ranked: dict[str, tuple[int, str]] = {}
    sources = ("global", "install", ":env:")
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        source, _, option = name.rpartition(".")
        if source in sources:
            rank = sources.index(source)
            if rank >= ranked.get(option, (0, ""))[0]:
                ranked[option] = rank, str(literal_eval(value))
    return {option: value for option, (_, value) in ranked.items()}


def uv_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Return pip's settings as uv's variables; raises Unusable for a setting that uv lacks.

    pip takes the best version of all indexes, and uv the version of the first index that has the
    name.
    """
    variables = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for option, value in settings.items():
        if option in HANDED:
            separator = "," if option == "find-links" else " "
            variables[HANDED[option]] = separator.join(value.split())
        elif not HARMLESS.fullmatch(option):
            raise Unusable(f"pip is configured with {option!r}, which uv is not told")
    return variables


def has_gpu() -> bool:
    """Return whether a GPU that torch can use is visible."""
    smi = shutil.which("nvidia-smi")
    listed = smi and subprocess.run([smi, "-L"], capture_output=True, check=False)
    return bool(listed and listed.returncode == 0 and listed.stdout) or Path("/dev/kfd").exists()


@cache
def lacks_gpu() -> bool:
    """Return whether to install torch's CPU build: no GPU exists and its index answers."""
    if sys.platform != "linux" or has_gpu():
        return False
    try:
        request = urllib.request.Request(f"{CPU_TORCH}/torch/", method="HEAD")
        with urllib.request.urlopen(request, timeout=5):
            return True
    except (OSError, ValueError):
        say(f"{CPU_TORCH} does not answer: torch comes from the usual index, with GPU libraries")
        return False


def run(command: Sequence[str | Path]) -> None:
    """Run an installer and show what is large; raises CalledProcessError with its last lines."""
    lines: list[str] = []
    with subprocess.Popen(
        list(map(str, command)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if listed := re.match(r"Installing collected packages: (.*)", line):
                say(f"  Installing {len(listed[1].split(','))} packages")
            elif SHOWN.match(line):
                say(f"  {line.strip()}")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[0], "\n".join(lines[-20:]))


@contextmanager
def find_uv(environment: Environment) -> Iterator[str]:
    """Yield the path of uv, from PATH, the environment, or a temporary installation by pip.

    Raises Unusable if pip cannot fetch it.
    """
    places = f"{environment.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    if path := shutil.which("uv", path=places):
        yield path
        return
    with TemporaryDirectory() as folder:
        try:
            run([*pip(environment), "--target", folder, "uv"])
        except subprocess.CalledProcessError as error:
            raise Unusable(f"pip could not fetch uv ({error.output.splitlines()[-1]})") from error
        yield str(Path(folder, "bin", "uv"))


def pip(environment: Environment) -> list[str | Path]:
    """Return pip's command; like uv, it writes no byte code."""
    options = ["--disable-pip-version-check", "--no-compile", "--progress-bar=off"]
    return [environment.python, "-m", "pip", "install", *options, "-c", "constraints.txt"]


def install_by_uv(environment: Environment, targets: Sequence[str], *, cpu: bool) -> None:
    """Install with uv; raises Unusable if that is impossible."""
    backend = ["--torch-backend=cpu"] if cpu and "UV_TORCH_BACKEND" not in os.environ else []
    options = ["--python", str(environment.python), "-c", "constraints.txt", *backend]
    try:
        with find_uv(environment) as uv:
            run([uv, "pip", "install", *options, *targets])
    except (OSError, subprocess.CalledProcessError) as error:
        last = str(getattr(error, "output", None) or error)
        raise Unusable(f"uv failed ({' '.join(last.split())[-300:]})") from error


def install_by_pip(environment: Environment, targets: Sequence[str], *, cpu: bool) -> None:
    """Install with pip; a failure ends the process with pip's last lines."""
    index = ["--extra-index-url", CPU_TORCH] if cpu else []
    try:
        run([*pip(environment), *index, *targets])
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error.output}\npip could not install what is needed; its last lines are above.")


def install(environment: Environment, targets: Sequence[str], *, torch: bool, by: str) -> str:
    """Install with uv if that works, else with pip; returns the name of the installer."""
    config = [str(environment.python), "-m", "pip", "config", "list"]
    listing = subprocess.run(config, capture_output=True, text=True).stdout
    try:
        if by == "pip":
            raise Unusable("it was asked for")
        for name, value in uv_variables(pip_settings(listing)).items():
            os.environ.setdefault(name, value)
        install_by_uv(environment, targets, cpu=torch and lacks_gpu())
    except Unusable as problem:
        say(f"Installing by pip, because {problem}")
        install_by_pip(environment, targets, cpu=torch and lacks_gpu())
        return "pip"
    return "uv"


def ensure(environment: Environment, extras: Sequence[str], *, by: str) -> None:
    """Install what is missing of the core and these extras."""
    listed = list_extras()
    if unknown := sorted({*extras} - {*listed, "all"}):
        sys.exit(f"No extra is called {', '.join(unknown)}. Known: {', '.join(listed)}")
    asked = {*(listed if "all" in extras else extras)}
    now, folder = digest(), str(environment.folder)

    def current(stamp: Stamp) -> bool:
        return (stamp.digest, stamp.folder) == (now, folder)

    if current(stamp := environment.read()) and asked <= {*stamp.extras}:
        return
    with lock():
        stamp = environment.read()  # another process may have installed in the meantime
        every, missing = asked | ({*stamp.extras} & {*listed}), asked - {*stamp.extras}
        if current(stamp) and not missing:
            return
        began = time.monotonic()
        # An environment's files contain its folder's path, so it is useless after a move.
        environment.create(anew=bool(stamp.folder) and stamp.folder != folder)
        if current(stamp):
            names, targets = sorted(missing), requirements(sorted(missing))
        else:
            names = ["the core", *sorted(every)]
            targets = ["-e", f".[{','.join(sorted(every))}]" if every else "."]
        say(f"Installing {', '.join(names)} into {environment.folder.name}")
        torch = any(re.match(r"torch\b", requirement) for requirement in requirements(every))
        installer = install(environment, targets, torch=torch, by=by)
        environment.write(Stamp(now, folder, tuple(sorted(every))))
    packages, size = environment.packages()
    seconds = time.monotonic() - began
    say(f"Installed {packages} packages, {size:,} MB, in {seconds:.0f} s by {installer}")


def main() -> None:
    """Read the command line and install."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what tells a user so
        sys.exit("Python 3.11 or later is needed: name one by PYTHON=")
    parser = argparse.ArgumentParser(description="Install what a command needs into .venv.")
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="an extra, or `all`")
    parser.add_argument("--by", choices=("uv", "pip"), default="uv", help="uv falls back to pip")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="default: .venv")
    options = parser.parse_args()
    ensure(Environment(options.venv.resolve()), options.extras, by=options.by)


if __name__ == "__main__":
    main()
