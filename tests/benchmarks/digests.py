"""What checking digests on reading costs: a run of which everything is cached, with and without.

    python -m tests.benchmarks.digests [--questions 10000] [--rollouts 16] [--rounds 3]

The task and the model are those of `scale`. Each round runs the same command with the check and
without it, in turn, each in a process of its own; only this benchmark can switch the check off.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.benchmarks.child import measured
from tests.benchmarks.scale import CHILD, commands, prepare

UNCHECKED = """\
from cat_bench.cache import rows
from cat_bench.cache.codec import Stored, load
rows._load = lambda key, slot, *parts: load(Stored(*parts[:-1]))
rows._holds = lambda *_: True
"""


def main() -> None:
    """Print the CPU seconds and seconds of each run, and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--rollouts", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    took: dict[str, list[float]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        prepare(folder, options.questions)
        steps = commands(options.rollouts, "single,majority", str(folder / "cache.sqlite"))
        measured(folder, "-c", CHILD, *steps["fill"])
        for _ in range(options.rounds):
            for name, program in (("without", UNCHECKED + CHILD), ("with", CHILD)):
                found = measured(folder, "-c", program, *steps["again"])
                took[name].append(found["CPU"])
                sys.stderr.write(f"{name} the check: {found}\n")
    before, after = (median(took[name]) for name in ("without", "with"))
    rows = options.questions * options.rollouts
    each = (after - before) / rows * 1e6
    sys.stdout.write(
        f"{rows:,} cached rollouts: {before:.1f} s of CPU time without, {after:.1f} s with the "
        f"check ({each:.1f} µs each; medians of {options.rounds})\n"
    )


if __name__ == "__main__":
    main()
