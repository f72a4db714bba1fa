"""The study's page: the table of recipes, what it was measured on, and what is missing."""

from collections.abc import Mapping, Sequence

from cat_bench.tally.study_lines import Line
from cat_bench.types import JSON

PAGE = """\
# Training the bundled model on estimates

`make train` makes this folder: every recipe with several seeds, measured on {questions} fresh
problems (seeded by the digest of the initial weights, and of the split that is never trained on).
Before training: mean@1 {single:.1f} %, greedy {greedy:.1f}, majority@8 {majority:.1f}, and the
initial policy's synthesis of 8 rollouts, the teacher, {cat:.1f}. One generation takes {one:.0f}
tokens a problem, synthesis at 8 + 1 takes {nine:.0f}.

| recipe | mean@1 after, % | gain, points | of single seeds (how many) | less the teacher, points \
| greedy | majority@8 | cat@8 | tokens, one generation | references right at first | at last \
| rewards right at first | at last |
|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
{rows}

Intervals are over problems (95 %, paired), for the mean of these seeds' policies. `cat@8` is the
initial model's synthesis of the trained policy's rollouts. "At first" and "at last" are means over
10 steps, of the references and rewards that were trained on; `sft` has one set of references,
made before. `steps.csv` has every step, `summary.csv` the table.
{missing}
The model is a test subject made for the harness; it says nothing about real models. Made with
{versions}, on CPU, one thread a process.
"""


def page(
    lines: Sequence[Line],
    before: Mapping[str, JSON],
    told: Mapping[str, JSON],
    missing: Sequence[str],
) -> str:
    """The Markdown; `before` holds the initial policy's scores, `told` one training's record."""
    rows = "\n".join(_row(line) for line in lines)
    single, cat = before["single"], before["cat"]
    lacking = f"\nMissing: {', '.join(missing)}.\n" if missing else ""
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items() if number)
    return PAGE.format(
        rows=rows,
        questions=told["exam"]["questions"],
        single=100 * single["score"],
        majority=100 * before["majority"]["score"],
        greedy=100 * before["greedy"]["score"],
        cat=100 * cat["score"],
        one=single["tokens"],
        nine=cat["tokens"],
        missing=lacking,
        versions=versions,
    )


def _row(line: Line) -> str:
    def percent(value: float | None) -> str:
        return "" if value is None else f"{100 * value:.1f}"

    gain = f"{100 * line.gain:+.1f} [{100 * line.low:+.1f}, {100 * line.high:+.1f}]"
    seeds = f"{100 * line.least:+.1f} to {100 * line.most:+.1f} ({line.seeds})"
    behind = (
        f"{100 * line.behind:+.1f} [{100 * line.behind_low:+.1f}, {100 * line.behind_high:+.1f}]"
    )
    others = [line.greedy, line.majority, line.cat]
    rights = [line.reference_first, line.reference_last, line.reward_first, line.reward_last]
    cells = [line.recipe, percent(line.after), gain, seeds, behind, *map(percent, others)]
    cells += [f"{line.tokens:.0f}", *map(percent, rights)]
    return f"| {' | '.join(cells)} |"
