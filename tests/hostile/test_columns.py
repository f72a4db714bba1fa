"""A forged cell in every column of a leaderboard: refused, or marked as claimed everywhere.

The columns are those of the CSV's header: a new one without a forgery fails here. Each forger
changes one cell to another plausible value, and computes the row's digest again.
"""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from cat_bench.cli import commands
from cat_bench.leaderboard import COLUMNS, Finding, check, read, render
from cat_bench.leaderboard.rows import add_digest, append
from cat_bench.types.calls import JSON
from tests.hostile.world import fill_world

Row = dict[str, str]
GPT = '{"name":"gpt-5"}'
FORGERIES: Mapping[str, str | Callable[[str], str]] = {
    "version": "1",
    "date": "2026-01-01T00:00:00+00:00",
    "task": "tally",
    "task_version": "7",
    "task_digest": lambda cell: cell[::-1],
    "scorer": "math_equal 4 ordered",
    "model": "openai:gpt-5",
    "revision": GPT,
    "anchor": f"openai:gpt-5 {GPT}",
    "judge": f"openai:gpt-5 {GPT}",
    "judge_audit": "macro-F1 0.950 on physicians.jsonl",
    "method": "universal_consistency",
    "parameters": '{"weight":"rank"}',
    "n": "64",
    "pool_size": "64",
    "draws": "100",
    "questions": "500",
    "unscored": "0.01",
    "score": lambda cell: f"{float(cell) / 2 + 0.3:.6f}",
    "ci_low": "0.123456",
    "ci_high": "0.876543",
    "reference": "single",
    "diff": "0.123",
    "diff_low": "0.101",
    "diff_high": "0.145",
    "calls": "0.5",
    "tokens": "12",
    "pool_digest": lambda cell: cell[::-1],
    "pool": lambda cell: f"another-{cell}",
    "published_calls": "another-calls.parquet",
    "code": "9.0.0",
    "command": "cat-bench run tally",
    "as_claimed": "date judge_audit",
    "digest": lambda cell: cell[::-1],
}
SHOWN = ("model", "method", "n", "score", "diff", "tokens", "judge", "judge_audit")
"""The columns whose cells `render` prints."""
CLAIMED = {"date", "judge_audit", "code", "command"}
OF_A_POOL = {"model", "revision", "anchor"}
METHODS = "majority,best_of_n{by=length},vote{by=length}"
BUDGETS = ("--n", "1,2,3,4,5,6,7,8,9")


@dataclass(frozen=True, slots=True)
class Forged:
    """A board with one forged row for each column, and what was said of it."""

    rows: Mapping[str, Row]
    findings: Mapping[str, Finding]
    honest: Mapping[str, Row]


def call(*arguments: str) -> None:
    """Run `cat-bench ARGUMENTS` in this process."""
    done = CliRunner().invoke(commands, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A world with two boards: of a run with its calls, and of an imported pool."""
    place = tmp_path_factory.mktemp("columns")
    with pytest.MonkeyPatch.context() as here:
        here.chdir(place)
        here.setenv("CAT_BENCH_CACHE", str(place / "cache.sqlite"))
        here.setenv("CAT_BENCH_RESULTS", str(place / "results"))
        fill_world(place)
        run = ("run", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "9")
        call(*run, *BUDGETS, "--set", "draws=1", "--method", f"{METHODS},cat", "--out", "run")
        files = ("--pool", "pool.parquet", "--calls", "calls.parquet")
        call("leaderboard", "add", "run", "--board", "sampled.csv", *files)
        said = [("so yes" if (slot + k) % 3 else "so no") for k in range(3) for slot in range(9)]
        lines = [
            json.dumps({**json.loads(line), "responses": said[9 * k : 9 * k + 9]}) + "\n"
            for k, line in enumerate(Path("toy/rows.jsonl").read_text().splitlines())
        ]
        Path("theirs.jsonl").write_text("".join(lines))
        named = ("--task", "pool:theirs", "--scorer", "text_equal")
        call("cache", "import", "theirs.jsonl", *named)
        more = f"{METHODS},vote{{by=length,power=2.0}}"
        call("run", "pool:theirs", *BUDGETS, "--method", more, "--out", "imported")
        add = ("leaderboard", "add", "imported", "--board", "imported.csv")
        call(*add, "--pool", "theirs.jsonl")
        yield place


def examine(board: Path) -> list[Finding]:
    """The findings on a board."""

    async def collect() -> list[Finding]:
        return [finding async for finding in check(board)]

    return asyncio.run(collect())


@pytest.fixture(scope="module", params=["sampled", "imported"])
def forged(request: pytest.FixtureRequest, folder: Path) -> Forged:
    board = folder / f"{request.param}.csv"
    honest = read(board)
    assert {finding.verdict for finding in examine(board)} == {"reproduced"}
    assert len(honest) >= len(COLUMNS)  # no two forgers take the same row
    names = dict(zip(COLUMNS, honest, strict=False))
    rows = {name: _forge(row, name) for name, row in names.items()}
    copy = folder / f"forged-{request.param}.csv"
    append(copy, rows.values())
    return Forged(rows, dict(zip(COLUMNS, examine(copy), strict=True)), names)


def _forge(row: Row, name: str) -> Row:
    forgery = FORGERIES[name]
    cell = forgery if isinstance(forgery, str) else forgery(row[name])
    assert cell != row[name], name
    changed = {**row, name: cell}
    return changed if name == "digest" else add_digest(changed)


@pytest.mark.parametrize("name", COLUMNS)
def test_a_forged_cell_is_refused_or_as_claimed(name: str, forged: Forged) -> None:
    finding, row = forged.findings[name], forged.rows[name]
    imported = not forged.honest[name]["published_calls"]
    expected = CLAIMED | (OF_A_POOL if imported else set())
    if name not in expected:
        missing = name in {"pool", "published_calls"}
        assert finding.verdict in ({"out of reach", "refused"} if missing else {"refused"})
        assert finding.reason
        return
    if finding.verdict == "refused":  # it is compared with the record, or fits no other cell
        return
    assert finding.verdict == "reproduced"
    assert name in finding.as_claimed.split()
    assert name in row["as_claimed"].split()
    if name in SHOWN and row[name]:
        assert f"{row[name]} (as claimed)" in render([row])


def test_every_column_of_the_csv_has_a_forgery(folder: Path) -> None:
    with (folder / "sampled.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert header == list(COLUMNS)
    assert set(header) == set(FORGERIES)


def _rewrite(file: str, change: Callable[[dict[str, JSON]], None]) -> str:
    """Another published file whose record is changed; the name of the copy."""
    table, metadata = pq.read_table(file), pq.read_metadata(file).metadata
    said = json.loads(metadata[b"cat_bench"])
    change(said["run"])
    pq.write_table(table.replace_schema_metadata({"cat_bench": json.dumps(said)}), f"forged-{file}")
    return f"forged-{file}"


def _rename(record: dict[str, JSON]) -> None:
    record["config"]["model"] = "openai:gpt-5"


def _anchor(record: dict[str, JSON]) -> None:
    record["config"]["anchor"] = "openai:gpt-5"
    record["models"]["anchor"] = {"name": "gpt-5"}


def _judge(record: dict[str, JSON]) -> None:
    record["config"]["judge"] = "openai:gpt-5"
    record["models"]["judge"] = {"name": "gpt-5"}
    record["task"]["judging"] = {"digest": "x"}


def _identity(record: dict[str, JSON]) -> None:
    _rename(record)
    for role in record["models"]:
        record["models"][role] = {"name": "gpt-5"}
        record["config"][role if role != "policy" else "model"] = "openai:gpt-5"


def _set(part: str, name: str, value: JSON) -> Callable[[dict[str, JSON]], None]:
    return lambda record: record[part].update({name: value})


FILES: Mapping[str, tuple[Callable[[dict[str, JSON]], None], Row]] = {
    "the policy's name": (_rename, {"model": "openai:gpt-5"}),
    "the policy": (_identity, {"model": "openai:gpt-5", "revision": GPT}),
    "the anchor": (_anchor, {"anchor": f"openai:gpt-5 {GPT}"}),
    "the judge": (_judge, {"judge": f"openai:gpt-5 {GPT}"}),
    "a larger pool": (_set("config", "pool", 64), {"pool_size": "64"}),
    "more draws": (_set("config", "draws", 100), {"draws": "100"}),
    "fewer questions": (_set("config", "limit", 2), {"questions": "2"}),
    "another task": (_set("config", "task", "tally"), {"task": "tally"}),
    "another version": (_set("task", "version", "7"), {"task_version": "7"}),
    "another scorer": (_set("task", "scorer", "math_equal 4"), {"scorer": "math_equal 4"}),
    "a label": (_set("config", "label", "lucky"), {}),
    "a seed": (_set("config", "sampling", {"policy": {"temperature": 0.1}}), {}),
}


@pytest.mark.parametrize("name", FILES)
def test_a_row_with_forged_files_is_refused(name: str, folder: Path) -> None:
    """The forger writes the same lie into the row and into the records of both files."""
    change, cells = FILES[name]
    places = {"pool": "pool.parquet", "published_calls": "calls.parquet"}
    changed = {column: _rewrite(file, change) for column, file in places.items()}
    rows = [row for row in read(folder / "sampled.csv") if row["n"] == "4"]
    board = folder / "files.csv"
    board.unlink(missing_ok=True)
    append(board, [add_digest({**row, **changed, **cells}) for row in rows])
    drawn = {finding.method: finding for finding in examine(board)}
    assert drawn["cat"].verdict == "refused", drawn["cat"]
    if name == "more draws":  # no other method draws: the cell says nothing of them
        return
    assert {finding.verdict for finding in drawn.values()} == {"refused"}, drawn


def test_no_cell_of_a_row_that_nothing_proves_looks_proven(folder: Path) -> None:
    """A synthesis with a published pool alone, and a row without any file."""
    rows = read(folder / "sampled.csv")
    synthesis = next(row for row in rows if row["method"] == "cat")
    for files in ({"published_calls": ""}, {"published_calls": "", "pool": ""}):
        board = folder / "alone.csv"
        board.unlink(missing_ok=True)
        append(board, [add_digest({**synthesis, **files})])
        (finding,) = examine(board)
        assert finding.reason == "has a column `as_claimed` that does not fit its published files"
    claimed = " ".join(n for n in COLUMNS if n not in {"version", "as_claimed", "digest"})
    row = {**synthesis, "published_calls": "", "as_claimed": claimed}
    board.unlink()
    append(board, [add_digest(row)])
    (finding,) = examine(board)
    assert finding.verdict == "out of reach"
    line = render([row]).splitlines()[-1]
    shown = [cell.strip() for cell in line.strip("|").split("|")]
    assert all(cell.endswith("(as claimed)") for cell in shown if cell)
    assert len([cell for cell in shown if cell]) >= 4
