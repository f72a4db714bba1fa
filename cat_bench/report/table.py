"""The comparison table for people, in Markdown; scores in percent, differences in points.

Everything that could mislead a reader is under the table: what is missing, what was counted as what
and how the intervals are made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import isnan

import pandas as pd

from cat_bench.report.summary import FRAME, MAJORITY, ORACLE, SINGLE
from cat_bench.types import JSON

FRAMES = {SINGLE: "floor", ORACLE: "ceiling"}
_NOT_EXCHANGEABLE = (
    "The responses of one question are not i.i.d. samples: a score at n is not what n fresh "
    "rollouts would give."
)
_COUNTED = {
    "unscored": "Unscored questions are left out of means and differences, never counted as wrong.",
    "lost": (
        "Lost: the share of picks without a score, failed draws included; the rest carries the "
        "mean."
    ),
    "abstained": "An abstention counts 0.",
    "fallback": (
        "Fallback: a stand-in for a reply that could not be used; in brackets, the score if it "
        "counted 0."
    ),
}
_ALWAYS = (
    "The question is the unit. Intervals: Student's t, or Wilson's where every score is 0 or 1. "
    "Differences: over common questions, BCa bootstrap; p by sign flips, Holm-corrected over the "
    "methods.",
    "Tied picks count the mean of their scores. Calls and tokens: one stand-alone use per "
    "question, scoring apart.",
)
_SOME = 1e-9
"""A share below it is rounding."""
_ROLLOUTS = {
    "failed": "failed",
    "truncated": "cut off at the token limit",
    "no_answer": "without an answer",
    "unscored": "unscored",
}


def render(summary: pd.DataFrame, record: Mapping[str, JSON]) -> str:
    """The Markdown of a summary: every method at its largest n, the scores by n, the notes."""
    scored = summary[summary["n"].notna()]
    blocks = [_title(record)]
    if len(scored):
        blocks += ["## Every method at its largest n", _main(_ranked(scored), record)]
    if scored["n"].nunique() > 1:
        blocks += ["## Score by n, %", _by_n(scored)]
    notes = "\n".join(f"- {note}" for note in _notes(summary, record))
    return "\n\n".join([*blocks, "## Notes", notes]) + "\n"


def plain(text: JSON) -> str:
    """Text on one line, without what a terminal, a cell or an SVG cannot hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def questions(record: Mapping[str, JSON]) -> str:
    """How many questions the run asked, in words."""
    count = record["questions"]
    return f"{count:,} question" + ("" if count == 1 else "s")


def _title(record: Mapping[str, JSON]) -> str:
    config = record["config"]
    roles = [f"{role} {_cell(config[role])}" for role in ("anchor", "judge") if config.get(role)]
    facts = [questions(record), f"{config['pool']} rollouts each", *roles]
    return f"# {_cell(config['task'])} · {_cell(config['model'])}\n\n{' · '.join(facts)}"


def _ranked(scored: pd.DataFrame) -> pd.DataFrame:
    """Each method at its largest n: the best first, the frame's floor and ceiling last."""
    last = scored.drop_duplicates("method", keep="last")
    return last.assign(frame=last["kind"] == FRAME).sort_values(
        ["frame", "score"], ascending=[True, False], kind="stable", na_position="last"
    )


def _main(ranked: pd.DataFrame, record: Mapping[str, JSON]) -> str:
    rows = _records(ranked)
    present = {row["method"] for row in rows}
    compared = {}
    for base, name in ((MAJORITY, "diff"), (SINGLE, "diff_single")):
        if base in present:
            compared[f"vs {base}, points"] = [_difference(row, name, base=base) for row in rows]
            compared.setdefault("p (Holm)", [_p(row["p_holm"]) for row in rows])
    columns = {
        "method": [_label(row) for row in rows],
        "n": [str(row["n"]) for row in rows],
        "score ± SE, %": [_score(row) for row in rows],
        "95 % interval": [_interval(row) for row in rows],
        **compared,
        "calls": [f"{row['calls']:,.1f}" for row in rows],
        "tokens": [f"{row['prompt_tokens'] + row['completion_tokens']:,.0f}" for row in rows],
        "notes": [_remarks(row, record["questions"]) for row in rows],
    }
    return _pipe(columns, left=("method", "notes"))


def _by_n(scored: pd.DataFrame) -> str:
    """Scores, methods × n, in the order of the first table."""
    wide = scored.pivot(index="method", columns="n", values="score").sort_index(axis=1)
    ranked = _ranked(scored)
    wide = wide.loc[list(ranked["method"])]
    columns = {"method": [_label(row) for row in _records(ranked)]}
    columns |= {f"n = {n}": [_percent(score) for score in wide[n]] for n in wide.columns}
    return _pipe(columns, left=("method",))


def _notes(summary: pd.DataFrame, record: Mapping[str, JSON]) -> Iterator[str]:
    for row in _records(summary[summary["n"].isna()]):
        yield f"**{_cell(row['method'])}** is not available: {_cell(row['reason'])}"
    yield from _missing(record)
    if not record["task"].get("exchangeable", True):
        yield _NOT_EXCHANGEABLE
    yield from _flags(summary)
    yield from _draws(summary)
    yield from (text for name, text in _COUNTED.items() if (summary[name] > _SOME).any())
    yield from _ALWAYS


def _missing(record: Mapping[str, JSON]) -> Iterator[str]:
    dropped = {int(n): count for n, count in record.get("dropped", {}).items() if count}
    if dropped:
        counts = ", ".join(f"{dropped[n]:,} at n = {n}" for n in sorted(dropped))
        yield f"Questions with too few rollouts, left out of every method: {counts}."
    rollouts = record.get("rollouts", {})
    met = {words: rollouts.get(name) for name, words in _ROLLOUTS.items()}
    counts = ", ".join(f"{count:,} {words}" for words, count in met.items() if count)
    if counts:
        yield f"Of {rollouts['asked']:,} rollouts: {counts}."


def _flags(summary: pd.DataFrame) -> Iterator[str]:
    """Each warning once, with the rows that it is about unless it is about all of them."""
    found = summary[["method", "n"]].assign(flag=summary["flag"].str.split("; ")).explode("flag")
    found = found[found["n"].notna()]
    for flag, rows in found.dropna(subset="flag").groupby("flag"):
        names = {
            _cell(method): ", ".join(str(n) for n in group["n"])
            for method, group in rows.groupby("method", sort=False)
        }
        where = "; ".join(f"{name} at n = {budgets}" for name, budgets in names.items())
        everywhere = len(rows) == summary["n"].notna().sum()
        yield f"{str(flag)[:1].upper()}{str(flag)[1:]}" + ("." if everywhere else f" ({where}).")


def _draws(summary: pd.DataFrame) -> Iterator[str]:
    sampled = summary[(summary["n"] > 0) & summary["score"].notna()]
    drawn = sampled[sampled["draws"].notna()]
    if drawn.empty:
        return
    low, high = drawn["draws"].min(), drawn["draws"].max()
    count = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    names = ", ".join(_cell(name) for name in drawn["method"].unique())
    yield f"Means over drawn subsets ({count} per question): {names}." + (
        " Other scores are exact expectations over all subsets."
        if len(drawn) < len(sampled)
        else ""
    )


def _remarks(row: Mapping[str, JSON], questions: int) -> str:
    """What a reader of this row must know."""
    strict = f" ({_percent(row['score_fallback_0'])})"
    remarks = (
        (row["questions"] < questions, f"{row['questions']:,} of {questions:,} questions"),
        (row["unscored"] > 0, f"{row['unscored']:,} unscored"),
        (row["abstained"] > _SOME, f"abstained {_percent(row['abstained'])} %"),
        (row["fallback"] > _SOME, f"fallback {_percent(row['fallback'])} %{strict}"),
        (row["lost"] > _SOME, f"lost {_percent(row['lost'])} %"),
    )
    return ", ".join(text for holds, text in remarks if holds)


def _label(row: Mapping[str, JSON]) -> str:
    name = _cell(row["method"])
    return f"*{name}* ({FRAMES[row['method']]})" if row["method"] in FRAMES else name


def _score(row: Mapping[str, JSON]) -> str:
    return _percent(row["score"]) + ("" if isnan(row["se"]) else f" ± {100 * row['se']:.1f}")


def _interval(row: Mapping[str, JSON]) -> str:
    if isnan(row["ci_low"]):
        return ""
    return f"[{_percent(row['ci_low'])}, {_percent(row['ci_high'])}]"


def _difference(row: Mapping[str, JSON], name: str, *, base: str) -> str:
    if row["method"] == base:
        return "reference"
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    mean, low, high = (round(100 * row[name + end], 1) + 0.0 for end in ("", "_low", "_high"))
    if isnan(mean):
        return ""
    return f"{mean:+.1f}" + ("" if isnan(low) else f" [{low:+.1f}, {high:+.1f}]")


def _percent(share: float) -> str:
    return "" if isnan(share) else f"{100 * share:.1f}"


def _p(p: float) -> str:
    if isnan(p):
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _cell(text: JSON) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*|<\[])", r"\\\1", plain(text))


def _records(table: pd.DataFrame) -> list[dict[str, JSON]]:
    records: JSON = table.to_dict("records")
    return list(records)


def _pipe(columns: Mapping[str, Sequence[str]], *, left: Sequence[str]) -> str:
    from tabulate import tabulate

    align = ["left" if name in left else "right" for name in columns]
    rows = zip(*columns.values(), strict=True)
    return tabulate(rows, list(columns), tablefmt="pipe", disable_numparse=True, colalign=align)
