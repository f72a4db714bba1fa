"""What checking digests on reading costs: a run of which everything is cached, with and without.

    python -m tests.benchmarks.digests [--questions 10000] [--rollouts 16] [--out FILE.csv]

The task and the model are those of `scale`. The run that reads the cache is made once, with the
check. Every digest that it computes is timed by the CPU clock of its thread, minus what the timing
takes. The run without the check takes the CPU time that is left: no noise between two runs enters.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import pandas as pd

from tests.benchmarks.child import measured
from tests.benchmarks.scale import CHILD, commands, prepare

TIMED = """\
import atexit, json
from pathlib import Path
from statistics import median
from time import thread_time_ns
from cat_bench.cache.codec import Stored

compute, spent = Stored.digest, [0, 0]

def digest(self, key, slot):
    begun = thread_time_ns()
    found = compute(self, key, slot)
    spent[0] += thread_time_ns() - begun
    spent[1] += 1
    return found

def tell():
    empty = median(-thread_time_ns() + thread_time_ns() for _ in range(10_000))
    seconds = (spent[0] - empty * spent[1]) / 1e9
    Path("digests.json").write_text(json.dumps({"seconds": seconds, "digests": spent[1]}))

Stored.digest = digest
atexit.register(tell)
"""


def main() -> None:
    """Print the CPU seconds of the run with and without the check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--rollouts", type=int, default=16)
    parser.add_argument("--out", type=Path, help="a CSV of the figures")
    options = parser.parse_args()
    rollouts = options.questions * options.rollouts
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        prepare(folder, options.questions)
        steps = commands(options.rollouts, "single,majority", str(folder / "cache.sqlite"))
        sys.stderr.write(f"fill: {measured(folder, '-c', CHILD, *steps['fill'])}\n")
        again = measured(folder, "-c", TIMED + CHILD, *steps["again"])
        sys.stderr.write(f"again: {again}\n")
        spent = json.loads((folder / "digests.json").read_text())
    if spent["digests"] < rollouts:
        raise SystemExit(f"only {spent['digests']:,} digests were checked")
    share = spent["seconds"] / again["CPU"]
    sys.stdout.write(
        f"{options.questions:,} questions x {options.rollouts} cached: "
        f"{again['CPU'] - spent['seconds']:.1f} s of CPU time without the check, "
        f"{again['CPU']:.1f} s with it; {spent['digests']:,} digests take {spent['seconds']:.2f} s "
        f"({share:.1%}, {spent['seconds'] / spent['digests'] * 1e6:.1f} µs each)\n"
    )
    if options.out:
        row = {"questions": options.questions, "rollouts": options.rollouts}
        row |= {"cpu_s_without": again["CPU"] - spent["seconds"], "cpu_s_with": again["CPU"]}
        pd.DataFrame([row | {"digests": spent["digests"]}]).round(3).to_csv(
            options.out, index=False
        )


if __name__ == "__main__":
    main()
