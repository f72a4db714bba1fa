"""An audit of rewards on disk: `audit.md` for people, `audit.csv` and `audit.json` for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cat_bench.report.cells import as_cell, as_table, count_questions, group_warnings
from cat_bench.report.rounding import format_fixed, format_measured, p_value, percent
from cat_bench.runs.judge_profile import judge_profile
from cat_bench.runs.labels import is_unlabelled
from cat_bench.system.files import write_atomic
from cat_bench.types.calls import JSON

_SHARE_TITLES = {
    "label_accuracy": "label accuracy, %",
    "reward_accuracy": "reward accuracy, %",
    "false_positives": "false positives, %",
    "false_negatives": "false negatives, %",
    "silent": "no advantage, %",
    "advantage_error": "advantage error, %",
}
_GAINS = {"best_of_n": "best of n, points", "forecast": "forecast, points"}
_UNLABELLED = {"rewarded": "rewarded, %", "silent": "no advantage, %"}
_RUBRIC_TITLES = {
    "duplicates": "duplicates, %",
    "always_yes": "always yes, %",
    "always_no": "always no, %",
}
_COUNTS = ("abstained", "fallbacks", "unscored")
_LEGEND = (
    "A rollout is *right* if its score is at least 0.5, and *rewarded* if its reward is at least "
    "0.5 (`scrl`: 0.1875). *Label accuracy* is the reference's score, 0 for an abstention. "
    "*Advantage error* is the share of all absolute group-normalised advantages with the wrong "
    "sign. The right sign is that of the gold reward's advantage; if gold gives none, it is up for "
    "right rollouts and down for wrong ones. *Best of n* is the score of the best-rewarded rollout "
    "of a group minus the group's mean. *Forecast* is the predicted gain of training in mean@1: "
    "the covariance of advantages and scores, as a share of gold's, times the gain of a group's "
    "best rollout over its mean (below 0: times the mean). Intervals are 95 %, over questions; "
    "calls and tokens are per group and include its rollouts."
)
_LEGEND_UNLABELLED = (
    "The task is unlabelled, so nothing here says which reward is right. *Rewarded* is the share "
    "of rollouts that get at least 0.5 (`scrl`: 0.1875); for `majority` with `equivalence`, it is "
    "the agreement of the rollouts. A group without an advantage teaches nothing. Intervals are 95 "
    "%, over questions; calls and tokens are per group and include its rollouts."
)
FEWEST = 30
"""With fewer questions, the two best rewards are not compared."""


def write(folder: Path, record: Mapping[str, JSON]) -> list[Path]:
    """Write the three files and return their paths; raise UsageError if they cannot be written."""
    table = io.StringIO()
    rows = record["rewards"]
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    whole = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False, default=str)
    contents = {
        "audit.md": render(record),
        "audit.csv": table.getvalue(),
        "audit.json": whole + "\n",
    }
    return [
        write_atomic(folder / name, text.encode("utf-8", "backslashreplace"))
        for name, text in contents.items()
    ]


def render(record: Mapping[str, JSON]) -> str:
    """Return the audit in Markdown: the tables, the notes, and the answer in the last line."""
    config, group = record["config"], record["audit"]["group"]
    available = [row for row in record["rewards"] if row["reason"] is None]
    ranked = _rank(available, by=(record["answer"] or {}).get("by", "reward_accuracy"))
    models = [f"{role} {as_cell(config[role])}" for role in ("anchor", "judge") if config.get(role)]
    judged = [f"judged by the profile {profile}"] if (profile := judge_profile(record)) else []
    facts = [count_questions(record), f"groups of {group} rollouts", *models, *judged]
    graded = record["task"]["graded"]
    blocks = [
        f"# Rewards on {as_cell(config['task'])} · {as_cell(config['model'])}",
        " · ".join(facts),
        *([_main(ranked, record, graded=graded)] if ranked else []),
        *(
            [_rubrics(with_rubrics)]
            if (with_rubrics := [r for r in ranked if r["criteria"] is not None])
            else []
        ),
        *_notes(record, ranked),
        _LEGEND_UNLABELLED if is_unlabelled(record) else _LEGEND,
        answer(record),
    ]
    return "\n\n".join(blocks) + "\n"


def answer(record: Mapping[str, JSON]) -> str:
    """Return which reference to train on, in one line."""
    best, title = record["answer"], "**Which reference should I train on?**"
    if is_unlabelled(record):
        return (
            f"{title} Unlabelled rows cannot tell: audit some rows with answers, by --data "
            "LABELLED.jsonl."
        )
    if not best:
        return f"{title} No reward could be measured."
    is_share = best["by"] == "reward_accuracy"
    scale, digits = (100, 1) if is_share else (1, 2)
    name, unit = ("reward accuracy", " %") if is_share else ("rank correlation", "")
    value = format_fixed(scale * best["value"], digits)
    first = f"{title} {as_cell(best['first'])}: {name} {value}{unit}"
    if "second" not in best:
        return f"{first}; no other reward was measured."
    second, n = as_cell(best["second"]), best["n"]
    if n < FEWEST:
        return f"{first}; {n} questions are too few to compare it with {second}."
    ends = (best[name] for name in ("mean", "low", "high"))
    gap = format_measured(*ends, scale=scale, digits=digits, sign="+") + (
        " points" if is_share else ""
    )
    tail = "" if (best["low"] or 0) > 0 else "; these questions do not tell them apart"
    return f"{first}, {gap} above {second} (paired, {n:,} questions, {_format_p(best['p'])}){tail}."


def _main(rows: Sequence[Mapping[str, JSON]], record: Mapping[str, JSON], *, graded: bool) -> str:
    shares = _UNLABELLED if is_unlabelled(record) else _SHARE_TITLES
    columns = {
        "estimator": [as_cell(row["estimator"] or "") for row in rows],
        "reward": [_reward(row) for row in rows],
        **{title: [_share(row, name) for row in rows] for name, title in shares.items()},
    }
    if graded and shares is _SHARE_TITLES:
        columns["rank correlation"] = [_correlation(row) for row in rows]
    for name, title in _GAINS.items() if shares is _SHARE_TITLES else ():
        columns[title] = [format_measured(*_ends(row, name), sign="+") for row in rows]
    columns |= {name: [f"{row[name]:,}" for row in rows] for name in _COUNTS}
    columns |= {
        "calls": [format_fixed(row["calls"]) for row in rows],
        "tokens": [format_fixed(row["tokens"], 0) for row in rows],
    }
    return as_table(columns, left=("estimator", "reward"))


def _rubrics(rows: Sequence[Mapping[str, JSON]]) -> str:
    columns = {
        "estimator": [as_cell(row["estimator"] or "") for row in rows],
        "reward": [_reward(row) for row in rows],
        "rank correlation": [_correlation(row) for row in rows],
        "criteria": [format_fixed(row["criteria"]) for row in rows],
        **{title: [percent(row[name]) for row in rows] for name, title in _RUBRIC_TITLES.items()},
    }
    return as_table(columns, left=("estimator", "reward"))


def _notes(record: Mapping[str, JSON], rows: Sequence[Mapping[str, JSON]]) -> Iterator[str]:
    yield from map(as_cell, record["task"].get("caveats", ()))
    if record.get("answers"):
        yield _describe_coverage(record["rollouts"])
    for row in record["rewards"]:
        if row["reason"] is not None:
            yield f"**{as_cell(row['name'])}** is not available: {as_cell(row['reason'])}"
    for name, reasons in record["reasons"].items():
        common = "; ".join(
            f"{as_cell(reason)} ({count:,})" for reason, count in list(reasons.items())[:3]
        )
        yield f"**{as_cell(name)}**: {common}"
    if groupless := record["groupless"]:
        yield f"{groupless:,} of the questions have no complete group and are left out."
    rated = [row for row in rows if row["reward_accuracy"] is not None]
    if flags := "; ".join(group_warnings(rated, [row["flag"] for row in rated], _names)):
        yield f"Intervals of reward accuracy: {flags}."


def _describe_coverage(rollouts: Mapping[str, int]) -> str:
    """Return how many rollouts have an answer that the task reads."""
    arrived = rollouts["asked"] - rollouts["failed"] - rollouts["refused"]
    read = arrived - rollouts["no_answer"]
    share = f" ({percent(read / arrived)} %)" if arrived else ""
    return f"Rollouts with a readable answer: {read:,} of {arrived:,}{share}."


def _names(rows: Sequence[Mapping[str, JSON]]) -> str:
    return ", ".join(as_cell(row["name"]) for row in rows)


def _rank(rows: Sequence[Mapping[str, JSON]], *, by: str) -> list[Mapping[str, JSON]]:
    """Sort the best first, unmeasured rewards after them, controls last."""
    return sorted(rows, key=lambda row: (row["control"], row[by] is None, -(row[by] or 0)))


def _reward(row: Mapping[str, JSON]) -> str:
    return f"*{as_cell(row['reward'])}* (control)" if row["control"] else as_cell(row["reward"])


def _share(row: Mapping[str, JSON], name: str) -> str:
    return format_measured(*_ends(row, name))


def _correlation(row: Mapping[str, JSON]) -> str:
    return format_measured(*_ends(row, "rank_correlation"), scale=1, digits=2)


def _ends(row: Mapping[str, JSON], name: str) -> Iterator[float | None]:
    return (row[name + end] for end in ("", "_low", "_high"))


def _format_p(value: float) -> str:
    text = p_value(value)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
