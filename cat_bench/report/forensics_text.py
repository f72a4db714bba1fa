"""The forensics of a run in Markdown: what syntheses did, and the failures of every method."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from cat_bench.report.cells import as_cell, as_table, label, rows_of
from cat_bench.report.diversity import TIED_OVER, copies, tie_shares
from cat_bench.report.forensics import CASES
from cat_bench.report.rounding import format_fixed, format_measured, percent
from cat_bench.runs.parts import RowsByQuestion
from cat_bench.runs.tables import Reading, RunTables
from cat_bench.stats.intervals import Interval
from cat_bench.types.calls import JSON

_SHOWN = {
    "disagrees": "disagrees with the majority",
    "disagrees: right": "… the synthesis is right",
    "disagrees: majority right": "… the majority is right",
    "disagrees in part": "disagrees, ties counted in part",
    "disagrees in part: right": "… the synthesis is right",
    "disagrees in part: majority right": "… the majority is right",
    "recovers": "right although no draft is",
    "copies a text": "copies a draft word for word",
    "copies an answer": "gives the answer of a draft",
    "new answer": "gives an answer that no draft gives",
    "no answer": "no answer",
    "follows the first": "follows the first draft, if drafts differ",
    "follows the last": "follows the last draft",
    "follows any": "follows any one draft",
    "first bias": "first minus any, points",
    "last bias": "last minus any, points",
    "inflation": "length, % of a mean draft",
}
_NOTES = (
    "Shares of draws in % with 95 % intervals over questions. A synthesis without an answer "
    "counts as disagreeing. One that gives one of k tied answers counts as agreeing, or by 1/k if "
    "ties are counted in part. Draws with a draft that is unscored, or scored between 0 "
    "and 1, are left out.",
    "The order of the drafts is random: following the first or the last draft more than any one is "
    "a position bias.",
)


def render_forensics(
    table: pd.DataFrame,
    pool: Mapping[str, Interval],
    summary: pd.DataFrame,
    *,
    run: RunTables | Path,
) -> str:
    """Return the Markdown of `forensics`, the pool's `diversity` and a summary's failures."""
    run = RunTables.of(run)
    blocks = list(_synthesis(table))
    if rollouts := "\n".join(f"- {note}" for note in _pool(pool, summary, run=run)):
        blocks += ["## The pool", rollouts]
    blocks += ["## What went wrong", _accounts(summary)]
    reasons = "\n".join(f"- {line}" for line in _reasons(run))
    return "\n\n".join([*blocks, reasons] if reasons else blocks) + "\n"


def _synthesis(table: pd.DataFrame) -> Iterator[str]:
    if table.empty:
        return
    largest = table.groupby("method", sort=False)["n"].transform("max")
    last = {
        f"{as_cell(method)}@{n}": rows.set_index("figure")
        for (method, n), rows in table[table["n"] == largest].groupby(["method", "n"], sort=False)
    }
    yield "## Whose draft was right, and was the synthesis? % of draws"
    heads = [f"{case}: {verdict}" for case in CASES for verdict in ("right", "wrong")]
    cases: dict[str, list[str]] = {"method": list(last)}
    for case, head in zip((c for c in CASES for _ in range(2)), heads, strict=True):
        cases[head] = [_case(rows, case, right=head.endswith("right")) for rows in last.values()]
    yield as_table(cases, left=("method",))
    yield "## What it does with its drafts"
    figures: dict[str, list[str]] = {"": list(_SHOWN.values())}
    figures |= {name: [_figure(rows, key) for key in _SHOWN] for name, rows in last.items()}
    yield as_table(figures, left=("",))
    yield "\n".join(f"- {note}" for note in _NOTES)


def _case(rows: pd.DataFrame, case: str, *, right: bool) -> str:
    value = float(rows.loc[f"{case}, right", "value"])  # type: ignore[arg-type]
    return percent(value if right else float(rows.loc[case, "value"]) - value)  # type: ignore[arg-type]


def _figure(rows: pd.DataFrame, key: str) -> str:
    if key not in rows.index:
        return ""
    row: JSON = rows.loc[key]
    three = (row[name] for name in ("value", "ci_low", "ci_high"))
    return format_measured(*three, sign="+" if key.endswith("bias") else "")


def _pool(pool: Mapping[str, Interval], summary: pd.DataFrame, *, run: RunTables) -> Iterator[str]:
    """Yield notes on how much the rollouts of a question differ."""
    if any(interval.n for interval in pool.values()):
        figures = ", ".join(
            f"{name} {format_fixed(interval.mean, 2)}" for name, interval in pool.items()
        )
        yield f"Diversity, mean over questions with an answer: {figures} (bits)."
    share, rollouts = copies(run)
    if share > 0:
        total, different = format_fixed(rollouts, 1), format_fixed(rollouts * (1 - share), 1)
        yield (
            f"Exact copies: {percent(share)} % of the texts repeat an earlier one of their "
            f"question, so {total} rollouts hold {different} different texts. Short texts may be "
            "equal by chance. Equal long texts mean that the server repeats replies; a score at n "
            "then rests on fewer than n independent rollouts."
        )
    budgets = sorted({int(n) for n in summary["n"].dropna() if n > 1})
    ties = ", ".join(
        f"{percent(share)} % at n = {n}" for n, share in tie_shares(run, budgets).items()
    )
    if ties:
        first = f" (of the first {TIED_OVER:,})" if summary["questions"].max() > TIED_OVER else ""
        yield f"Share of subsets with a tied vote, over questions with an answer{first}: {ties}."


def _explain_lack(row: Mapping[str, JSON]) -> str:
    """Return why no question of a row has a score."""
    return "unlabelled" if row["unlabelled"] else "unscored"


def _accounts(summary: pd.DataFrame) -> str:
    """Return each method's failures at its largest n, and its score if fallbacks counted 0."""
    last = summary[summary["n"].notna()].drop_duplicates("method", keep="last")
    rows = rows_of(last[last["kind"] == "method"])
    columns = {
        "method": [label(row) for row in rows],
        "n": [f"{row['n']}" for row in rows],
        "score, %": [percent(row["score"]) or _explain_lack(row) for row in rows],
        "… fallbacks as 0": [percent(row["score_fallback_0"]) for row in rows],
        "fallbacks, %": [percent(row["fallback"]) for row in rows],
        "abstained, %": [percent(row["abstained"]) for row in rows],
        "draws failed": [f"{row['failed']}" for row in rows],
        "questions unscored": [f"{row['unscored']}" for row in rows],
        "replies cut off per use": [format_fixed(row["truncated"], 2) for row in rows],
        "replies empty per use": [format_fixed(row["empty"], 2) for row in rows],
    }
    return as_table(columns, left=("method",))


class Reasons(Reading):
    """How often draws fell back or failed, by kind, method, n and reason."""

    kinds = ("fallback", "failed")
    score_columns = ("question", "method", "n", *kinds)

    def __init__(self, record: Mapping[str, JSON]) -> None:
        super().__init__(record)
        self.counts = Counter[tuple[str, ...]]()

    def add_scores(self, rows: pd.DataFrame, pools: RowsByQuestion) -> None:
        """Take in score rows of whole questions."""
        for kind in self.kinds:
            groups: JSON = rows[rows[kind].notna()].groupby(["method", "n", kind]).size().items()
            self.counts.update({(kind, *key): count for key, count in groups})


def _reasons(run: RunTables) -> Iterator[str]:
    """Yield the ten most common reasons of fallbacks, then of failures."""
    counts = run.reading(Reasons).counts
    for kind in Reasons.kinds:
        counted = sorted((-count, key) for key, count in counts.items() if key[0] == kind)
        for count, (_, method, n, reason) in counted[:10]:
            yield f"{kind}: {as_cell(method)}@{n}, {-count:,} times: {as_cell(reason)}"
        if counted[10:]:
            yield f"{kind}: {len(counted[10:]):,} more, each as often or less"
