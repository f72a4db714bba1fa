"""The study's page: its tables, what they were measured on, and what is missing."""

from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate

from cat_bench.intervals import Difference
from cat_bench.tally.study_lines import EDGE, GOOD, Line
from cat_bench.types import JSON

PAGE = """\
# Training the bundled model `{task}` on estimates

`make train` makes this folder: every recipe with several seeds, trained on fresh problems
{trained}, and measured on {questions} others of every level (seeded by the digest
of the initial weights, and of the split that is never trained on).

Before training: mean@1 {single:.1f} %, greedy {greedy:.1f}{majority}, and the
initial policy's synthesis of 8 rollouts, the teacher, {cat:.1f}. One generation takes {one:.0f}
tokens a problem, synthesis at 8 + 1 takes {nine:.0f}.

![mean@1 after training, and shares over steps](training.svg)

After training:

{after}

Intervals are over problems (95 %, paired), for the mean of these seeds' policies. `cat@8` is the
initial model's synthesis of the trained policy's rollouts; `tokens` are those of one generation.

In training:

{during}

"At first" and "at last" are means over {edge} steps, of references those that there are; `sft` has
one set of references, made before.
The last column is the step by which rollouts in training score {good:.0f} % (mean of 7 steps).
`steps.csv` has every step, `summary.csv` every figure.
{missing}
The model is a test subject made for the harness; it says nothing about real models. Made with
{versions}, on CPU, one thread a process.
"""
ANY = "of every level"
LEVEL = "of level {level} alone (`--level {level}`; the level is the number of piles in boxes)"


def page(
    lines: Sequence[Line],
    before: Mapping[str, JSON],
    told: Mapping[str, JSON],
    missing: Sequence[str],
    *,
    level: int | None = None,
) -> str:
    """The Markdown; `before` holds the initial policy's scores, `told` one training's record."""
    versions = [f"{name} {number}" for name, number in told["versions"].items() if number]
    majority = (
        f", majority@8 {_percent(before['majority']['score'])}" if "majority" in before else ""
    )
    return PAGE.format(
        task=told["session"]["task"],
        after=_table(_after(line, lines[0].recipe) for line in lines),
        during=_table(_during(line) for line in lines),
        trained=ANY if level is None else LEVEL.format(level=level),
        questions=told["exam"]["questions"],
        **{name: 100 * before[name]["score"] for name in ("single", "greedy", "cat")},
        majority=majority,
        one=before["single"]["tokens"],
        nine=before["cat"]["tokens"],
        edge=EDGE,
        good=100 * GOOD,
        missing=f"\nMissing: {', '.join(missing)}.\n" if missing else "",
        versions=", ".join(versions),
    )


def _after(line: Line, base: str) -> dict[str, str]:
    return {
        "recipe": line.recipe,
        "mean@1, %": _percent(line.after),
        "gain, points": _points(line.gain),
        "single seeds": f"{100 * line.least:+.1f} to {100 * line.most:+.1f} ({line.seeds})",
        "less the teacher": _points(line.behind),
        f"less {base}": "" if line.recipe == base else _points(line.apart),
        "greedy": _percent(line.greedy),
        "majority@8": _percent(line.majority),
        "cat@8": _percent(line.cat),
        "tokens": f"{line.tokens:.0f}",
    }


def _during(line: Line) -> dict[str, str]:
    return {
        "recipe": line.recipe,
        "with a reference at first, %": _percent(line.first["referenced"]),
        "references right at first": _percent(line.first["reference_accuracy"]),
        "at last": _percent(line.last["reference_accuracy"]),
        "rewards right at first": _percent(line.first["reward_accuracy"]),
        "at last ": _percent(line.last["reward_accuracy"]),
        f"steps to {100 * GOOD:.0f} %": "" if line.until is None else f"{line.until:.0f}",
    }


def _table(rows: Iterable[Mapping[str, str]]) -> str:
    """Columns that are empty in every row are left out."""
    listed = list(rows)
    told = [name for name in listed[0] if any(row[name] for row in listed)]
    kept = [{name: row[name] for name in told} for row in listed]
    return tabulate(kept, headers="keys", tablefmt="pipe", disable_numparse=True)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _points(found: Difference) -> str:
    return f"{100 * found.mean:+.1f} [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
