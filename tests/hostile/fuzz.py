"""Send generated inputs to every reader of what strangers write, and count what survives.

    python -m tests.hostile.fuzz --seconds 60 --write docs/trust.md

Every target gets a process of its own, `--seconds` long, with 4 GiB of memory. An input is lost if
it ends in another exception than the package's own, takes more than 5 s of CPU time, or ends the
process. With `--write`, the table between the marks of that page is replaced.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from cat_bench.errors import CatBenchError
from tests.documents import replace_between
from tests.hostile.targets import Target, targets
from tests.hostile.world import make_world

CPU_S = 5.0
"""CPU seconds that one input may take."""
MEMORY = 4 << 30
"""Bytes of address space that a target's process has."""
ROUND = 100
"""Inputs between looks at the clock."""
MARKS = ("<!-- fuzzed -->", "<!-- /fuzzed -->")


class Hang(BaseException):
    """An input took longer than it may; no `except Exception` catches it."""


@dataclass(slots=True)
class Tally:
    """What became of the inputs; `lost` counts by exception and place, `first` has an input."""

    inputs: int = 0
    refused: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0


def tried(target: Target, tally: Tally, *, examples: int, round_: int = 0) -> None:
    """Send `examples` inputs to a target; the same ones for the same `round_`."""

    @seed(round_)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(target.given)
    def one(value: Any) -> None:
        _send(target, value, tally)

    one()


def _send(target: Target, value: Any, tally: Tally) -> None:
    tally.inputs += 1
    begun = time.process_time()
    before = signal.signal(signal.SIGPROF, _stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_S)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(value)
    except CatBenchError:
        tally.refused += 1
    except (Exception, Hang) as error:  # noqa: BLE001 - counted
        place = traceback.extract_tb(error.__traceback__)[-1]
        inner = next(
            (f for f in reversed(traceback.extract_tb(error.__traceback__)) if _own(f.filename)),
            place,
        )
        kind = f"{type(error).__name__} at {Path(inner.filename).name}:{inner.lineno}"
        tally.lost[kind] += 1
        tally.first.setdefault(kind, f"{error!r:.200} <- {value!r:.1500}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        tally.slowest = max(tally.slowest, time.process_time() - begun)


def _own(file: str) -> bool:
    return "/cat_bench/" in file and "site-packages" not in file


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Hang


def _child(world: Path, name: str, seconds: float) -> None:
    """Try one target for so long, and print the tally as JSON."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    (target,) = (each for each in targets(world) if each.name == name)
    tally, end, round_ = Tally(), time.monotonic() + seconds, 1
    while time.monotonic() < end:
        tried(target, tally, examples=ROUND, round_=round_)
        round_ += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    sys.stdout.write(
        json.dumps(
            {
                "stranger": target.stranger,
                "name": name,
                "inputs": tally.inputs,
                "refused": tally.refused,
                "lost": dict(tally.lost),
                "first": tally.first,
                "slowest": tally.slowest,
                "peak": peak,
            }
        )
    )


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--only", help="one target, by its name")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given_ = parser.parse_args()
    if given_.child:
        _child(given_.child, given_.only, given_.seconds)
        return 0
    found = []
    with TemporaryDirectory() as folder:
        world = make_world(Path(folder, "world"))
        for target in targets(world):
            if given_.only in (None, target.name):
                found.append(_told(target, world, given_.seconds))
                sys.stderr.write(_line(found[-1]) + "\n")
                for kind, first in found[-1]["first"].items():
                    sys.stderr.write(f"  {kind}: {first}\n")
    if given_.write:
        replace_between(given_.write, MARKS, _table(found, given_.seconds))
    return int(any(each["lost"] for each in found))


def _told(target: Target, world: Path, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.hostile.fuzz", "--child", str(world)]
    command += ["--only", target.name, "--seconds", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        told: dict[str, Any] = json.loads(done.stdout)
        return told
    lost = {f"its process ended with {done.returncode}": 1}
    none = {"inputs": 0, "refused": 0, "slowest": 0.0, "peak": 0}
    first = {"its process": done.stderr[-500:]}
    return {"stranger": target.stranger, "name": target.name, "lost": lost, "first": first, **none}


def _line(told: dict[str, Any]) -> str:
    lost = sum(told["lost"].values())
    read = told["inputs"] - told["refused"] - lost
    cells = [told["stranger"], told["name"], f"{told['inputs']:,}", f"{read:,}"]
    cells += [f"{told['refused']:,}", f"{lost:,}", f"{told['slowest']:.1f}", f"{told['peak']:,}"]
    return f"| {' | '.join(cells)} |"


def _table(found: list[dict[str, Any]], seconds: float) -> str:
    inputs = sum(each["inputs"] for each in found)
    lost = sum(sum(each["lost"].values()) for each in found)
    spent = len(found) * seconds
    head = "| stranger | given | inputs | read | refused | lost | slowest, CPU s | peak, MiB |"
    return "\n".join(
        [
            f"{inputs:,} inputs in {spent:.0f} s, {lost:,} lost:",
            "",
            head,
            "| --- | --- | --: | --: | --: | --: | --: | --: |",
            *map(_line, found),
        ]
    )


if __name__ == "__main__":
    sys.exit(_main())
