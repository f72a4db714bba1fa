"""Judge formulations with random changes: ``python -m tools.mini_or.mutants --out DIR``.

Formulations of `mini-or` with one to three tokens changed are read and solved, and compared with
their problem's optimum, which no solver found. HiGHS's own reader then reads those that were
solved: if both solve a text with different results, one of them read it wrongly. `verdicts.csv`
counts, `differences.jsonl` holds each text on which the readers differ.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import pandas as pd

from cat_bench.bundled.mini_or.problems import Problem, problems
from cat_bench.scorers.solver import close
from cat_bench.scorers.solver_solving import judge
from cat_bench.system.files import write_atomic
from cat_bench.types.calls import JSON

COUNT, SEED = 10_000, 1
_STRAY = (
    "", "<=", ">=", "=", "-", "+", "2", "1e30", "nan", "inf", "(", "[", "]", "x", "\n", "End",
    "free", ":",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed formulation of a problem, and its verdict; `same`: the change had no effect."""

    problem: Problem
    text: str
    same: bool
    verdict: JSON

    @property
    def solved(self) -> bool:
        """Whether the status of the program is known."""
        return self.verdict["verdict"] in ("optimal", "infeasible", "unbounded")

    @property
    def right(self) -> bool:
        """Whether it has the problem's optimum."""
        optimal = self.verdict["verdict"] == "optimal"
        return optimal and close(self.verdict["objective"], self.problem.optimum)

    @property
    def outcome(self) -> str:
        """Its verdict, in the words of the table."""
        if not self.solved:
            return str(self.verdict["verdict"])
        if not self.right:
            return "solved: another optimum or status"
        return "solved: right, unchanged" if self.same else "solved: right, changed"


def mutants(count: int = COUNT, *, seed: int = SEED) -> Iterator[Mutant]:
    """Judge `count` changed formulations."""
    rng, bundled = random.Random(seed), tuple(problems())
    for _ in range(count):
        problem = rng.choice(bundled)
        original = problem.formulation()
        text = mutate(original, rng)
        yield Mutant(problem, text, text.split() == original.split(), judge(f"lp\n{text}"))


def mutate(text: str, rng: random.Random) -> str:
    """Return a text with one to three tokens changed, dropped, doubled or swapped."""
    words = text.split(" ")
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(words))
        chosen = words[at]
        others = (f"{chosen} {chosen}", rng.choice(words), chosen[::-1])
        words[at] = rng.choice([*others, *_STRAY])
    return " ".join(words)


def ask_highs(text: str, folder: Path) -> JSON:
    """Return the verdict on a text that HiGHS itself reads; None if it refuses the text."""
    import highspy

    path = folder / "formulation.lp"
    path.write_text(text)
    highs = highspy.Highs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("output_flag", False)  # noqa: FBT003
    highs.setOptionValue("mip_rel_gap", 0.0)
    if highs.readModel(str(path)) != highspy.HighsStatus.kOk:
        return None
    highs.run()
    status = highs.modelStatusToString(highs.getModelStatus()).lower()
    if status == "optimal":
        return {"verdict": status, "objective": highs.getInfo().objective_function_value}
    return {"verdict": status}


def differ(first: JSON, second: JSON) -> bool:
    """Return whether two verdicts contradict each other; HiGHS may say that it cannot tell."""
    if first["verdict"] == second["verdict"] == "optimal":
        return not close(first["objective"], second["objective"])
    return str(first["verdict"]) not in str(second["verdict"])


def count_outcomes(judged: Sequence[Mutant], others: Sequence[JSON]) -> pd.DataFrame:
    """Return the count of each outcome; `others` are HiGHS's verdicts on the solved ones."""
    solved = [mutant for mutant in judged if mutant.solved]
    pairs = [(mutant, other) for mutant, other in zip(solved, others, strict=True) if other]
    counts = dict(sorted(Counter(mutant.outcome for mutant in judged).items()))
    counts["read by HiGHS, of the solved ones"] = len(pairs)
    counts["where both readers differ"] = sum(differ(e.verdict, other) for e, other in pairs)
    return pd.DataFrame(counts.items(), columns=["outcome", "formulations"])


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--count", default=COUNT, show_default=True)
@click.option("--seed", default=SEED, show_default=True)
def main(out: Path, count: int, seed: int) -> None:
    """Judge `count` formulations, and write `verdicts.csv` and `differences.jsonl`."""
    begin = time.process_time()
    judged = list(mutants(count, seed=seed))
    seconds = time.process_time() - begin
    solved = [mutant for mutant in judged if mutant.solved]
    with tempfile.TemporaryDirectory() as folder:
        others = [ask_highs(mutant.text, Path(folder)) for mutant in solved]
    table = count_outcomes(judged, others)
    lines = [
        json.dumps({"text": mutant.text, "ours": mutant.verdict, "highs": other})
        for mutant, other in zip(solved, others, strict=True)
        if other and differ(mutant.verdict, other)
    ]
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "verdicts.csv", table.to_csv(index=False, lineterminator="\n").encode())
    write_atomic(out / "differences.jsonl", "".join(f"{line}\n" for line in lines).encode())
    click.echo(table.to_string(index=False))
    click.echo(f"{seconds:.1f} seconds of CPU time for {count:,} verdicts", err=True)


if __name__ == "__main__":
    main()
