"""The rows of a leaderboard: their columns, how a run becomes rows, and the CSV file.

Free text is written by `system.spreadsheet`, so that no cell is a formula. Every row names the
columns that no published file proves, and ends in a digest of its other cells.
"""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from math import isnan
from pathlib import Path
from shlex import join
from types import MappingProxyType

import pandas as pd

from cat_bench.audit.judge import find
from cat_bench.cache import canonical
from cat_bench.errors import DataError
from cat_bench.leaderboard.identity import identity
from cat_bench.loading.catalog import root
from cat_bench.report import summarise
from cat_bench.report.cells import as_cell as markdown
from cat_bench.report.rounding import format_fixed, format_measured, percent
from cat_bench.runs.shape import check_whole
from cat_bench.runs.tables import RunTables
from cat_bench.system.spreadsheet import guard, unguard
from cat_bench.types.calls import JSON

VERSION = "2"
MOST_UNSCORED = 0.05
"""The largest share of a row's scores that may be missing."""
COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "version": "version of this set of columns",
        "date": "when the run was last made, UTC",
        "task": "the task, by the name given to the run",
        "task_version": "",
        "task_digest": "SHA-256 over every question and its target",
        "scorer": "the scorer, with every version that its verdicts depend on",
        "model": "the policy, by the name given to the run",
        "revision": "the policy's identity: name and revision, or a digest of its weights",
        "anchor": "the model that synthesises, if it is not the policy",
        "judge": "the model that scores, if a judge scores",
        "judge_audit": "the judge's agreement with people's labels, or `not audited`",
        "method": "",
        "parameters": "the method's parameters, as JSON",
        "n": "rollouts that the method may read",
        "pool_size": "rollouts sampled per question",
        "draws": "subsets per n of a method that calls a model",
        "questions": "number of questions with a score",
        "unscored": "share of the scores that are missing, in [0, 1]",
        "score": "mean over questions, in [0, 1]",
        "ci_low": "95 % interval of the score",
        "ci_high": "",
        "reference": "the method that the row is compared with",
        "diff": "score minus the reference's score, over common questions",
        "diff_low": "95 % interval of the difference",
        "diff_high": "",
        "calls": "calls per question, if only this method ran",
        "tokens": "prompt and completion tokens per question, if only this method ran",
        "pool_digest": "digest of every rollout's text",
        "pool": "the published pool, relative to this file",
        "published_calls": "the published calls, relative to this file",
        "code": "version of cat_bench",
        "command": "",
        "as_claimed": "the columns that no published file proves",
        "digest": "digest of all cells before it",
    }
)
BOARD_MOST = 1 << 26
"""The most bytes of a leaderboard: about 40,000 rows, which take half a second to read."""
TOLERANCE = 2e-6
"""The largest difference between equal numbers, which are written with six decimals."""
NUMBERS = (
    "unscored",
    "score",
    "ci_low",
    "ci_high",
    "diff",
    "diff_low",
    "diff_high",
    "calls",
    "tokens",
)
OWN = (
    *("task", "task_version", "task_digest", "scorer", "model", "revision", "anchor", "judge"),
    *("method", "parameters", "n", "pool_size", "draws", "pool_digest"),
)
"""The columns that identify a row: two rows that agree in these make the same statement."""
_COUNTS = ("n", "pool_size", "draws", "questions")
_CLAIMS = ("date", "judge_audit", "code", "command")
_WRITTEN = ("model", "revision")
"""The columns that only calls prove: a pool's rollouts do not show which model wrote them."""
_WHOLE, _DECIMAL = re.compile(r"[0-9]{1,9}"), re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")
_MAY_LACK = ("ci_low", "ci_high", "diff", "diff_low", "diff_high", "calls", "tokens")
Row = dict[str, str]


def rows_of(folder: Path, *, pool: str = "", calls: str = "") -> list[Row]:
    """Return a run's rows: one for every method at every n. Raises DataError."""
    run = RunTables(folder)
    check_whole(run.record, folder / "run.json")
    invocation = run.record["invocations"][-1:] or [{}]
    if not ({"started", "command"} <= invocation[0].keys() and run.record["questions"]):
        raise DataError(folder, "says nothing of how it was made: run it again from its cache")
    record, summary = run.record, summarise(run)
    scored = summary[(summary["kind"] == "method") & summary["score"].notna()]
    head = _head(record, folder) | {"pool": pool, "published_calls": calls}
    params = {entry["name"]: canonical(entry["params"]) for entry in record["methods"]}
    total = record["questions"]
    rows = [
        {name: re.sub(r"[\r\n]", " ", cell) for name, cell in cells.items()}
        for row in _records(scored)
        if (cells := head | _cells(row, params[row["method"]], total))
    ]
    return [add_digest(row | {"as_claimed": " ".join(claims(row))}) for row in rows]


def claims(row: Row) -> tuple[str, ...]:
    """Return the columns that the row's published files cannot prove.

    A pool proves only what is computed from rollouts: no synthesis, no verdict of a judge. If a
    judge scores, a pool cannot be played: nothing shows that it has the rollouts of the calls.
    """
    if row["published_calls"]:
        return (*_CLAIMS, "pool") if row["pool"] and row["judge"] else _CLAIMS
    replays = not row["judge"] and float(row["calls"] or "inf") <= int(row["n"])
    if row["pool"] and replays:
        return (*_CLAIMS, *_WRITTEN, *(["anchor"] if row["anchor"] else []))
    return tuple(name for name in COLUMNS if name not in {"version", "as_claimed", "digest"})


def add_digest(row: Row) -> Row:
    """Return the row with its digest."""
    cells = [row[name] for name in COLUMNS if name != "digest"]
    return row | {"digest": sha256("\x1f".join(cells).encode()).hexdigest()[:16]}


def read(board: Path) -> list[Row]:
    """Return the rows of a leaderboard, oldest first. Raises DataError."""
    if not board.is_file():
        raise DataError(board, "is not a leaderboard; `cat-bench leaderboard add RUN` begins one")
    if board.stat().st_size > BOARD_MOST:
        raise DataError(board, f"is longer than {BOARD_MOST:,} bytes; split it by task")
    try:
        with board.open(encoding="utf-8-sig", newline="") as file:
            header, *lines = [*csv.reader(file)] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(board, f"cannot be read as CSV in UTF-8 ({error})") from error
    if header != list(COLUMNS):
        raise DataError(board, f"does not have the columns of a leaderboard of version {VERSION}")
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise DataError(board, f"has {len(line)} cells, not {len(header)}", line=number)
    rows = [dict(zip(header, map(unguard, line), strict=True)) for line in lines]
    for number, row in enumerate(rows, 2):
        _check_numbers(board, number, row)
    return rows


def append(board: Path, rows: Iterable[Row]) -> None:
    """Append rows to a leaderboard, which is created if it does not exist."""
    board.parent.mkdir(parents=True, exist_ok=True)
    new = not board.exists()
    with board.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(COLUMNS)
        writer.writerows([_write_cell(name, row[name]) for name in COLUMNS] for row in rows)


def render(rows: Sequence[Row]) -> str:
    """Return the leaderboard as Markdown: a table per task, each method at its largest n."""
    from tabulate import tabulate

    if not rows:
        return "no rows yet\n"
    table = pd.DataFrame(rows).assign(n=lambda t: t["n"].astype(int))
    entry = ["task", "revision", "anchor", "judge", "method", "parameters", "pool_digest"]
    best = table.sort_values("n", kind="stable").drop_duplicates(entry, keep="last")
    best = best.assign(rank=best["score"].astype(float)).sort_values("rank", ascending=False)
    blocks = []
    for task, group in best.groupby("task"):
        lines = [
            {
                "model": markdown(_mark(row, "model")),
                "method": markdown(_mark(row, "method")),
                "n": _mark(row, "n", f"{row['n']} of {row['pool_size']}"),
                "score, %": _mark(row, "score", _format_score(row)),
                "difference, points": _mark(row, "diff", _difference(row)),
                "tokens": _mark(row, "tokens", _format_tokens(row)),
                **({"judge": markdown(_judge(row))} if row["judge"] else {}),
            }
            for row in _records(group)
        ]
        blocks.append(f"## {markdown(task)}\n\n{tabulate(lines, 'keys', 'pipe')}\n")
    return "\n".join(blocks)


def _judge(row: Mapping[str, JSON]) -> str:
    """Return the judge, its audit and the scorer's version, which names the profile."""
    return f"{_mark(row, 'judge')} ({row['scorer']}; {_mark(row, 'judge_audit')})"


def _records(table: pd.DataFrame) -> list[dict[str, JSON]]:
    records: JSON = table.to_dict("records")
    return list(records)


def _head(record: Mapping[str, JSON], folder: Path) -> Row:
    """Return the cells that all rows of a run share."""
    task, last = record["task"], record["invocations"][-1]
    return {
        **identity(record),
        "version": VERSION,
        "date": last["started"],
        "task_version": task["version"],
        "task_digest": task["digest"],
        "scorer": task["scorer"],
        "judge_audit": _audit(task["judging"]["digest"], folder) if task["judging"] else "",
        "pool_digest": record["pool_digest"],
        "code": _code(record),
        "command": f"cat-bench {join(last['command'])}",
    }


def _cells(row: Mapping[str, JSON], parameters: str, total: int) -> Row:
    covered = (row["questions"] + row["unscored"]) / total
    unscored = 1 - (1 - row["lost"]) * min(covered, 1)
    tokens = row["prompt_tokens"] + row["completion_tokens"]
    texts = {name: str(row[name]) for name in ("method", "n", "questions")}
    reference = "" if isnan(row["diff"]) else str(row["reference"])
    numbers = {name: _number(row[name]) for name in NUMBERS if name in row}
    numbers |= {"tokens": _number(tokens), "unscored": _number(unscored)}
    return {**texts, **numbers, "parameters": parameters, "reference": reference}


def _audit(judge: str, folder: Path) -> str:
    """Return a summary of the audits of the judge with this digest."""
    audits = find(judge, folder)
    agreed = ((a["judge_and_people"]["macro_f1"][0], a["labels"]["file"]) for a in audits)
    return (
        "; ".join(f"macro-F1 {format_fixed(f1, 3)} on {on}" for f1, on in agreed) or "not audited"
    )


def _code(record: Mapping[str, JSON]) -> str:
    """Return the version, with the commit if this is a checkout."""
    version = str(record["versions"].get("cat-bench", ""))
    if not (root() / ".git").exists():
        return version
    git = ["git", "-C", str(root()), "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(git, capture_output=True, text=True, check=False)
    return f"{version}+{done.stdout.strip()}" if done.returncode == 0 else version


def _number(value: float) -> str:
    return "" if isnan(value) else f"{round(value, 6) + 0.0:.6f}".rstrip("0").rstrip(".")


def _write_cell(name: str, cell: str) -> str:
    return cell if name in NUMBERS else guard(cell)


def find_difference(row: Row, second: Row, names: Sequence[str]) -> str | None:
    """Return the first of these columns in which the rows differ, or None."""
    for name in names:
        close = name in NUMBERS and _is_close(row[name], second[name])
        if row[name] != second[name] and not close:
            return name
    return None


def _is_close(first: str, second: str) -> bool:
    try:
        return abs(float(first) - float(second)) <= TOLERANCE
    except ValueError:
        return False


def _check_numbers(board: Path, line: int, row: Row) -> None:
    """Raise DataError for a cell that should be a number and is not."""
    for name in (*_COUNTS, *NUMBERS):
        cell = row[name]
        number = _WHOLE if name in _COUNTS else _DECIMAL
        if not (number.fullmatch(cell) or (cell == "" and name in _MAY_LACK)):
            raise DataError(board, f"{name} is {cell[:40]!r}, which is not a number", line=line)


def _format_figure(row: Mapping[str, JSON], name: str, ends: str, *, sign: str = "") -> str:
    three = (row[column] for column in (name, f"{ends}_low", f"{ends}_high"))
    return format_measured(*(float(cell) if cell else None for cell in three), sign=sign)


def _difference(row: Mapping[str, JSON]) -> str:
    if not row["diff"]:
        return ""
    return f"{_format_figure(row, 'diff', 'diff', sign='+')} vs {markdown(row['reference'])}"


def _format_score(row: Mapping[str, JSON]) -> str:
    share = float(row["unscored"])
    note = f" ({percent(share)} % unscored)" if share > 0 else ""
    return _format_figure(row, "score", "ci") + note


def _format_tokens(row: Mapping[str, JSON]) -> str:
    return format_fixed(float(row["tokens"]), 0) if row["tokens"] else ""


def _mark(row: Mapping[str, JSON], name: str, text: str | None = None) -> str:
    """Return a cell, by default as it is, marked if no published file proves it."""
    text = str(row[name]) if text is None else text
    return f"{text} (as claimed)" if text and name in row["as_claimed"].split() else text
