"""The study's page: its tables, the problems measured on, and the missing trainings."""

from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate

from cat_bench.report.rounding import format_count, format_measured, percent
from cat_bench.stats.intervals import Difference
from cat_bench.types.calls import JSON
from tools.tally.study_lines import EDGE, GOOD, Line

PAGE = """\
# Training the bundled model `{task}` on estimates

`make train` makes this folder: every recipe with several seeds, trained on fresh problems
{trained}, and measured on {questions} others of every level (seeded by the digest
of the initial weights, and of the split that is never trained on).

Before training: mean@1 {single} %, greedy {greedy}{majority}, and the
initial policy's synthesis of 8 rollouts, the teacher, {cat}. One generation takes {one}
tokens a problem, synthesis at 8 + 1 takes {nine}.

![mean@1 after training, and shares over steps](training.svg)

After {steps} steps of training:

{after}

**mean@1 is the evidence.** Intervals are over problems (95 %, paired), for the mean of these
seeds' policies; *single seeds* are the smallest and the largest gain.
A higher {surer} score does not show that a reward is right: being surer may raise it,
whatever the policy is surer of.
`cat@8` is the initial model's synthesis of the trained policy's rollouts; `tokens` are those of one
generation.
{controls}{notes}
In training:

{during}

"At first" and "at last" are means over {edge} steps, of references those that there are; `sft` has
one set of references, made before.
The last column is the step by which rollouts in training score {good} % (mean of 7 steps).
`steps.csv` has every step, `summary.csv` every figure.
{missing}
The model is a test subject made for the harness; it says nothing about real models. Made with
{versions}, on CPU, one thread a process.
"""
ANY = "of every level"
LEVEL = "of level {level} alone (`--level {level}`; the level is the number of piles in boxes)"


CONTROLLED = """
Recipes in italics are controls, trained for as many steps with {seeds} seeds each. {told}.
{added}
"""
BEYOND = """\
What a label-free reward adds is its gain *beyond the best control*, `{best}`. The two gains are
taken for independent, which makes that interval rather wide."""
NOTHING = "No control gains anything on average, so what a label-free reward adds is its gain."


def page(
    lines: Sequence[Line],
    before: Mapping[str, JSON],
    record: Mapping[str, JSON],
    missing: Sequence[str],
    *,
    level: int | None = None,
) -> str:
    """Return the Markdown; `before` has the initial policy's scores, `record` is a training's."""
    versions = [f"{name} {number}" for name, number in record["versions"].items() if number]
    majority = (
        f", majority@8 {percent(before['majority']['score'])}" if "majority" in before else ""
    )
    surer = "*greedy* or *majority@8*" if majority else "*greedy*"
    controls = [line for line in lines if line.control]
    best = max(controls, key=lambda line: line.gain.mean, default=None)
    return PAGE.format(
        task=record["session"]["task"],
        after=_table(_describe_after(line, lines[0].recipe, best) for line in lines),
        steps=record["recipe"]["settings"]["max_steps"],
        controls=_describe_controls(lines, before, best) if best else "",
        notes="".join(f"\n{note}\n" for note in _notes(lines)),
        during=_table(_describe_during(line) for line in lines),
        trained=ANY if level is None else LEVEL.format(level=level),
        questions=record["exam"]["questions"],
        **{name: percent(before[name]["score"]) for name in ("single", "greedy", "cat")},
        majority=majority,
        surer=surer,
        one=format_count(before["single"]["tokens"]),
        nine=format_count(before["cat"]["tokens"]),
        edge=EDGE,
        good=format_count(100 * GOOD),
        missing=f"\nMissing: {', '.join(missing)}.\n" if missing else "",
        versions=", ".join(versions),
    )


def _describe_controls(lines: Sequence[Line], before: Mapping[str, JSON], best: Line) -> str:
    """Return how the controls changed mean@1 and greedy decoding."""
    controls = [line for line in lines if line.control]
    told = "; ".join(
        f"`{line.recipe}` moves mean@1 from {percent(before['single']['score'])} to "
        f"{percent(line.after)} % and greedy from {percent(before['greedy']['score'])} to "
        f"{percent(line.greedy)}"
        for line in controls
    )
    seeds = " or ".join(sorted({str(line.seeds) for line in controls}))
    added = BEYOND.format(best=best.recipe) if best.gain.mean > 0 else NOTHING
    return CONTROLLED.format(told=told, added=added, seeds=seeds)


def _notes(lines: Sequence[Line]) -> Iterable[str]:
    """Yield each note with the recipes that it is about."""
    for note in dict.fromkeys(line.note for line in lines if line.note):
        named = ", ".join(f"`{line.recipe}`" for line in lines if line.note == note)
        yield f"The rows of {named} {note}."


def _describe_after(line: Line, base: str, best: Line | None) -> dict[str, str]:
    raised = best is not None and best.gain.mean > 0 and not line.control
    beyond = _points(line.beyond(best)) if best and raised else ""
    return {
        "recipe": _name(line),
        "mean@1, %": percent(line.after),
        "gain, points": _points(line.gain),
        "single seeds": " to ".join(_describe_gains(line)) + f" ({line.seeds})",
        "less the teacher": _points(line.behind),
        f"less {base}": "" if line.recipe == base else _points(line.apart),
        "beyond the best control": beyond,
        "greedy": percent(line.greedy),
        "majority@8": percent(line.majority),
        "cat@8": percent(line.cat),
        "tokens": format_count(line.tokens),
    }


def _describe_during(line: Line) -> dict[str, str]:
    return {
        "recipe": _name(line),
        "with a reference at first, %": percent(line.first["referenced"]),
        "references right at first": percent(line.first["reference_accuracy"]),
        "at last": percent(line.last["reference_accuracy"]),
        "rewards right at first": percent(line.first["reward_accuracy"]),
        "at last ": percent(line.last["reward_accuracy"]),
        f"steps to {format_count(100 * GOOD)} %": format_count(line.until),
    }


def _name(line: Line) -> str:
    return f"*{line.recipe}*" if line.control else line.recipe


def _table(rows: Iterable[Mapping[str, str]]) -> str:
    """Return a table without the columns that are empty in every row."""
    listed = list(rows)
    names = [name for name in listed[0] if any(row[name] for row in listed)]
    shown = [{name: row[name] for name in names} for row in listed]
    return tabulate(shown, headers="keys", tablefmt="pipe", disable_numparse=True)


def _describe_gains(line: Line) -> Iterable[str]:
    return (format_measured(gain, sign="+") for gain in (line.least, line.most))


def _points(difference: Difference) -> str:
    return format_measured(difference.mean, difference.low, difference.high, sign="+")
