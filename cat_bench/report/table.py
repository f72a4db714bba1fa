"""The comparison table in Markdown; scores in percent, differences in points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape

import pandas as pd

from cat_bench.report.cells import (
    as_cell,
    as_table,
    describe_run,
    format_interval,
    format_points,
    label,
    make_plain,
    rows_of,
)
from cat_bench.report.notes import list_notes
from cat_bench.report.readability import unreadable_shares
from cat_bench.report.rounding import format_count, format_fixed, p_value, percent
from cat_bench.report.summary import FRAME, MAJORITY, SINGLE
from cat_bench.runs.labels import is_unlabelled
from cat_bench.types.calls import JSON

DETAILS = "## How sure a score is"
_AGAIN = (
    "The standard error of a score over new rollouts of the same questions, estimated from values "
    "that share no rollout; empty if too few of them exist. The SE beside a score is for new "
    "questions and includes this one."
)
_ROUNDING = 1e-9
"""Smaller shares are rounding errors."""


def render(
    summary: pd.DataFrame,
    record: Mapping[str, JSON],
    *,
    reference: str | None = None,
    more: Sequence[str] = (),
    remarks: Sequence[str] = (),
) -> str:
    """Return the Markdown of a summary: every method at its largest n, the scores by n, the notes.

    `reference` is the reference of the summary; `more` are blocks before the notes, and `remarks`
    are the first notes. The part from `DETAILS` on is about the certainty of scores.
    """
    scored = summary[summary["n"].notna()]
    blocks = [_title(record)]
    if len(scored):
        blocks += [
            "## Every method at its largest n",
            as_table(_main(rank_last(scored), record, reference), left=("method", "notes")),
        ]
    if scored["n"].nunique() > 1 and scored["score"].notna().any():
        blocks += ["## Score by n, %", _render_by_n(scored, "score")]
    details = []
    if scored["se_rollouts"].notna().any():
        by_n = _render_by_n(scored, "se_rollouts")
        details += ["### Same questions, new rollouts: ± points by n", _AGAIN, by_n]
    if len(drawn := scored[scored["se_draws"] > _ROUNDING]):
        details += ["### Subsets drawn: Monte-Carlo ± points by n", _render_by_n(drawn, "se_draws")]
    notes = "\n".join(f"- {note}" for note in list_notes(summary, record, remarks=remarks))
    blocks += [*more, "## Notes", notes, *([DETAILS, *details] if details else [])]
    return "\n\n".join(blocks) + "\n"


def _title(record: Mapping[str, JSON]) -> str:
    config = record["config"]
    described = " · ".join(map(as_cell, describe_run(record)))
    return f"# {as_cell(config['task'])} · {as_cell(config['model'])}\n\n{described}"


def rank_last(scored: pd.DataFrame) -> pd.DataFrame:
    """Return each method at its largest n: the best first, the frame's floor and ceiling last."""
    last = scored.drop_duplicates("method", keep="last")
    return last.assign(frame=last["kind"] == FRAME).sort_values(
        ["frame", "score"], ascending=[True, False], kind="stable", na_position="last"
    )


def as_html(summary: pd.DataFrame, record: Mapping[str, JSON]) -> str:
    """Return every method at its largest n as a table of HTML, as a notebook shows it."""
    ranked = rank_last(summary[summary["n"].notna()])
    columns = _main(ranked, record, None, name=lambda row: str(row["method"]))
    head = " · ".join(make_plain(record["config"][name]) for name in ("task", "model"))
    subtitle = " · ".join(map(make_plain, describe_run(record)))
    table = pd.DataFrame(columns).to_html(index=False, border=0)
    return f"<p><b>{escape(head)}</b><br>{escape(subtitle)}</p>\n{table}"


def _main(
    ranked: pd.DataFrame,
    record: Mapping[str, JSON],
    reference: str | None,
    *,
    name: Callable[[Mapping[str, JSON]], str] = label,
) -> dict[str, list[str]]:
    """Return the columns of the main table; `name` gives the name of a row's method."""
    rows = rows_of(ranked)
    present = {row["method"] for row in rows}
    compared: dict[str, list[str]] = {}
    labelled = not is_unlabelled(record)
    if labelled:
        compared["95 % interval"] = [format_interval(row) for row in rows]
    for base, field in ((reference or MAJORITY, "diff"), (SINGLE, "diff_single")):
        comparable = labelled and (base in present or base == reference)
        if comparable and f"vs {base}, points" not in compared:
            compared[f"vs {base}, points"] = [_difference(row, field, base=base) for row in rows]
            compared.setdefault("p (Holm)", [p_value(row["p_holm"]) for row in rows])
    return {
        "method": [name(row) for row in rows],
        "n": [str(row["n"]) for row in rows],
        "score ± SE, %": [_score(row) for row in rows],
        **compared,
        "calls": [format_fixed(row["calls"]) for row in rows],
        "tokens": [format_count(row["prompt_tokens"] + row["completion_tokens"]) for row in rows],
        "sequential": [format_count(row["sequential_tokens"]) for row in rows],
        "notes": [_remarks(row, record) for row in rows],
    }


def _render_by_n(scored: pd.DataFrame, column: str) -> str:
    """Return a share in percent, methods × n, in the order of the first table."""
    wide = scored.pivot(index="method", columns="n", values=column).sort_index(axis=1)
    ranked = rank_last(scored)
    wide = wide.loc[list(ranked["method"])]
    columns = {"method": [label(row) for row in rows_of(ranked)]}
    columns |= {f"n = {n}": [percent(share) for share in wide[n]] for n in wide.columns}
    return as_table(columns, left=("method",))


def _remarks(row: Mapping[str, JSON], record: Mapping[str, JSON]) -> str:
    """Return the remarks of a row, separated by commas."""
    questions = record["questions"] - record.get("unlabelled", 0)
    unread = unreadable_shares(record).get((row["method"], row["n"]), 0.0)
    strict, without = (
        f" ({score})" if (score := percent(row[name])) else ""
        for name in ("score_fallback_0", "score_exhausted_out")
    )
    remarks = (
        (row["questions"] < questions, f"{row['questions']:,} of {questions:,} questions"),
        (row["unscored"] > 0, f"{row['unscored']:,} unscored"),
        (row["abstained"] > _ROUNDING, f"abstained {percent(row['abstained'])} %"),
        (row["exhausted"] > _ROUNDING, f"exhausted {percent(row['exhausted'])} %{without}"),
        (row["fallback"] > _ROUNDING, f"fallback {percent(row['fallback'])} %{strict}"),
        (row["lost"] > _ROUNDING, f"lost {percent(row['lost'])} %"),
        (_is_partly_exact(row), f"exact on {percent(row['exact'])} %"),
        (unread > 0, f"no readable answer in {percent(unread)} % of what it wrote"),
    )
    return ", ".join(text for holds, text in remarks if holds)


def _is_partly_exact(row: Mapping[str, JSON]) -> bool:
    """Return whether some values are exact and others means over random orders."""
    return bool(row["draws"] != row["draws"] and row["exact"] < 1)


def _score(row: Mapping[str, JSON]) -> str:
    error = percent(row["se"])
    if row["unlabelled"] and not row["questions"]:
        return "unlabelled"
    return percent(row["score"]) + (error and f" ± {error}")


def _difference(row: Mapping[str, JSON], name: str, *, base: str) -> str:
    if row["method"] == base or f"{row['method']}@{row['n']}" == base:
        return "reference"
    return format_points(row, name)
