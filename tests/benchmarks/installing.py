"""What the first minute takes: from a fresh clone, in an empty environment, to a table.

    python -m tests.benchmarks.installing [--steps core,core-pip,hf,hf-pip,bench,openai,uvx,pipx]
                                          [--of CHECKOUT] [--out CSV]

Each step starts from a new clone of the checkout (its last commit) in a new folder, with no
variable but PATH, SSL_CERT_FILE and HOME, and with HOME empty: nothing is cached. `core` and `hf`
only install, by uv or by pip; `bench` and `openai` are `make bench`, the latter against the test
server; `uvx` and `pipx` run the wheel of the checkout in an empty folder. Sizes are those of
`.venv` at the end.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.clients import server
from tests.benchmarks.table import show

ASKED = "MODEL=openai:test-model TASK=tally LIMIT=20 N=8"
STEPS = {
    "core": "python3 tools/install.py",
    "core-pip": "python3 tools/install.py --by pip",
    "hf": "python3 tools/install.py hf",
    "hf-pip": "python3 tools/install.py hf --by pip",
    "bench": "make bench",
    "openai": f"make bench {ASKED}",
    "uvx": "uvx --from {wheel} cat-bench run tally --limit 20",
    "pipx": "pipx run --spec {wheel} cat-bench run tally --limit 20",
    "all": "make setup",
}


def measure(step: str, checkout: Path, url: str, *, wheel: Path) -> dict[str, Any]:
    """What a step took, and what it left in `.venv`."""
    with tempfile.TemporaryDirectory() as made:
        folder, home = Path(made) / "clone", Path(made) / "home"
        home.mkdir()
        if "{wheel}" in STEPS[step]:
            folder.mkdir()
        else:
            subprocess.run(["git", "clone", "-q", str(checkout), str(folder)], check=True)
        kept = {name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE") if name in os.environ}
        place = {**kept, "HOME": str(home)}
        if step == "openai":
            place |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
        before, started, load = _cpu(), time.perf_counter(), os.getloadavg()[0]
        command = STEPS[step].format(wheel=wheel).split()
        done = subprocess.run(command, cwd=folder, env=place, capture_output=True, text=True)
        took = {"s": time.perf_counter() - started, "CPU": _cpu() - before, "load": load}
        if done.returncode:
            return {"step": step, **took, "error": done.stderr[-300:]}
        return {"step": step, **took, **_installed(folder / ".venv", place)}


def _installed(venv: Path, place: dict[str, str]) -> dict[str, Any]:
    """The packages, the size and the soundness of an environment."""
    if not venv.exists():
        return {}
    sites = next(venv.glob("lib/python*/site-packages"))
    size = sum(path.lstat().st_size for path in venv.rglob("*") if path.is_file())
    checked = subprocess.run([venv / "bin" / "pip", "check"], env=place, capture_output=True)
    return {
        "packages": len(list(sites.glob("*.dist-info"))),
        "MB": size / 1e6,
        "torch": (sites / "torch").exists(),
        "pip check": "clean" if not checked.returncode else checked.stdout.decode()[-200:],
    }


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _build(checkout: Path, folder: Path) -> Path:
    """The wheel of a checkout."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    subprocess.run([*command, str(checkout)], check=True)
    return next(folder.glob("*.whl"))


def main() -> None:
    """Measure the steps one after another and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", default="core,core-pip,bench,openai")
    parser.add_argument("--of", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    steps: Sequence[str] = options.steps.split(",")
    rows = []
    with tempfile.TemporaryDirectory() as made, server(0.05) as url:
        packed = any("{wheel}" in STEPS[step] for step in steps)
        wheel = _build(options.of, Path(made)) if packed else Path()
        for step in steps:
            rows.append(measure(step, options.of, url, wheel=wheel))
            sys.stderr.write(f"{rows[-1]}\n")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    show([{name: row.get(name, "") for name in columns} for row in rows], options.out)


if __name__ == "__main__":
    main()
