"""Everything that reads what a stranger wrote, each with a strategy for what it may be given.

A target survives an input if it reads it, or refuses it by an error of the package.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from cat_bench import leaderboard
from cat_bench.audit.judge import FORMAT
from cat_bench.cache import Cache, copy, import_calls, import_pool, info, verify
from cat_bench.cache.call import Call
from cat_bench.cache.codec import Stored
from cat_bench.leaderboard.imported import place_of_run, read_import
from cat_bench.loading import catalog
from cat_bench.loading.prompts.quoting import quote_tag
from cat_bench.models.backends import reward_server, wire
from cat_bench.models.backends.advice import page
from cat_bench.report.files import markdown
from cat_bench.report.rubric import _audits as audit_notes
from cat_bench.runs.again import configuration
from cat_bench.runs.batches import collection
from cat_bench.runs.folder import read_record
from cat_bench.scorers import rubric
from cat_bench.scorers.choice import Choice
from cat_bench.scorers.extraction import code_blocks
from cat_bench.scorers.math_equal import MathEqual
from cat_bench.scorers.number import Number
from cat_bench.scorers.solver_text import last_formulation
from cat_bench.scorers.text_equal import TextEqual
from cat_bench.signals.replies import number_in
from cat_bench.system.rows import read
from cat_bench.types.calls import Failure, flaw_of
from tests.hostile.strangers import ESCAPES, broken, changed, either, odd, text_of, writing

COMPLETION = {
    "id": "x",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"content": "so 4", "reasoning_content": "hm", "refusal": None},
            "finish_reason": "stop",
            "logprobs": {"content": [{"token": "4", "logprob": -0.5, "top_logprobs": []}]},
        }
    ],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
}
EMBEDDING = {"data": [{"embedding": [0.5, -1.0]}], "usage": {"prompt_tokens": 3}, "model": "e"}
POOL_ROW = {
    "id": "a",
    "problem": "2 + 2?",
    "answer": "4",
    "responses": ["so 4", None],
    "scores": {"rm": [0.5, None]},
    "reasoning": ["hm", None],
    "finish": ["stop", None],
    "usage": [{"prompt": 1, "completion": 2, "reasoning": 0}, None],
    "token_logprobs": [[-0.5, -1.0], None],
    "measures": [{"certainties": [0.5, 1.0]}, None],
    "seed": [1, None],
    "failures": [None, {"kind": "server", "message": "down"}],
}
METHOD = {
    "summary": "a vote",
    "aggregator": "vote",
    "with": {"by": "length", "weight": "rank", "power": 2.0},
    "budgets": [1, 2],
    "citation": "nobody",
}
AUDIT = {
    "format": FORMAT,
    "judge": "openai:m",
    "judging": {"profile": "ours", "digest": "abc"},
    "labels": {"file": "labels.jsonl", "sha256": "0", "rows": 2, "annotators": "physicians"},
    "unobtained": 0,
    "judge_and_people": {
        "pairs": 2,
        **{name: [0.5, 0.25, None] for name in ("macro_f1", "kappa", "bias")},
    },
    "people_among_themselves": None,
    "categories": {},
}
IMPORT: dict[str, Any] = {
    "name": "theirs",
    "model": None,
    "scorer": "math_equal",
    "scorer_params": {},
    "exchangeable": True,
    "seed": 0,
    "files": {},
}
STATUSES = (200, 200, 302, 400, 401, 404, 413, 429, 500, 503)


@dataclass(frozen=True, slots=True)
class Target:
    """A reader, by the kind of stranger whose work it reads."""

    stranger: str
    name: str
    given: st.SearchStrategy[Any]
    read: Callable[[Any], None]


def targets(world: Path) -> list[Target]:
    """All targets; `world` is the folder of `make_world`, in which they write."""
    record = json.loads((world / "run" / "run.json").read_text())
    task = yaml.safe_load((world / "toy" / "task.yaml").read_text())
    board = list(csv.reader((world / "results" / "leaderboard.csv").read_text().splitlines()))
    pool = text_of(POOL_ROW).encode() + b"\n"
    answer = st.tuples(st.sampled_from(STATUSES), either(COMPLETION) | either(EMBEDDING))
    cells = changed(board).map(_as_csv) | broken(_as_csv(board))
    imported = {"run": record, "pool": IMPORT}
    tables = st.sampled_from([*_as_tables().items()]).flatmap(
        lambda kind: st.tuples(st.just(kind[0]), broken(kind[1]))
    )
    place = st.tuples(st.sampled_from(TABLES), st.integers(0, 40), odd | st.binary(max_size=40))
    return [
        Target("server", "replies", answer, read_reply),
        Target("server", "rewards", changed({"data": [[{"data": [0.5]}]]}), read_rewards),
        Target("server", "batch files", changed({"response": {"body": COMPLETION}}), read_batch),
        Target("text", "answers and tags", writing, read_text),
        Target("file", "pools", either(POOL_ROW) | broken(pool), lambda raw: read_pool(world, raw)),
        Target("file", "task YAML", either(task), lambda raw: read_task(world, raw)),
        Target("file", "method YAML", either(METHOD), lambda raw: read_method(world, raw)),
        Target("record", "run records", either(record), lambda raw: read_run(world, raw)),
        Target("row", "leaderboard rows", cells, lambda raw: read_board(world, raw)),
        Target("record", "imports", either(imported), lambda raw: read_imported(world, raw)),
        Target("record", "audits", either(AUDIT), lambda raw: read_audit(world, raw)),
        Target("file", "Parquet and CSV", tables, lambda table: read_table(world, table)),
        Target("row", "published calls", st.data(), lambda data: read_calls(world, data)),
        Target("cache", "rows of a cache", place, lambda row: read_cache(world, row)),
    ]


def read_reply(answer: tuple[int, bytes]) -> None:
    """An answer of a server, from its bytes to sound replies or one printable line."""
    status, raw = answer
    headers = {"Location": ESCAPES, "Retry-After": raw[:9].decode("latin1")}
    data = wire.parse_body(status, headers, raw)
    if isinstance(data, Failure):
        assert data.message.isprintable()
        return
    for result in wire.replies(data, 1), [wire.read_embedding(data)]:
        for one in [result] if isinstance(result, Failure) else result:
            assert one.message.isprintable() if isinstance(one, Failure) else not flaw_of(one)


def read_rewards(answer: Any) -> None:
    """An answer of a reward server, by each of the four protocols."""
    for reader in reward_server._READ.values():
        try:
            reader(answer)
        except wire.BROKEN:  # what the caller takes for malformed
            continue


def read_batch(line: Any) -> None:
    """A line of a batch's output file."""
    try:
        found = collection._results(line, [0, 1], 7)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return  # counted as a line that cannot be read
    for one in found.values():
        assert one.message.isprintable() if isinstance(one, Failure) else not flaw_of(one)


def read_text(text: str) -> None:
    """A model's text, by everything that looks for something in one."""
    for scorer in (MathEqual(), Number(), TextEqual(), Choice()):
        scorer.answer(text)
    number_in(text, low=0, high=10)
    last_formulation(text)
    code_blocks(text)
    rubric.read_verdict(text)
    page(f"<html>{text}")
    assert "</draft>" not in quote_tag(text, "draft")


def read_pool(world: Path, raw: bytes) -> None:
    """A pool to import."""
    file = world / "theirs.jsonl"
    file.write_bytes(raw)
    with Cache(world / "pools.sqlite") as cache:
        import_pool(cache, file, name="theirs", overwrite=True)
        assert not list(verify(cache))


def read_task(world: Path, raw: bytes) -> None:
    """A task's YAML, with the samples that it names."""
    file = world / "toy" / "theirs.yaml"
    file.write_bytes(raw)
    for sample in catalog.task(str(file), fetch=False).samples():
        assert sample.question.id


def read_method(world: Path, raw: bytes) -> None:
    """A method's YAML."""
    file = world / "theirs.yaml"
    file.write_bytes(raw)
    assert catalog.method(str(file)).name


def read_run(world: Path, raw: bytes) -> None:
    """A run's folder: its table, its leaderboard rows, its configuration."""
    folder = world / "theirs"
    if not folder.exists():
        shutil.copytree(world / "run", folder)
    (folder / "run.json").write_bytes(raw)
    record = read_record(folder)
    assert markdown(folder)
    leaderboard.rows_of(folder)
    configuration(record)


def read_board(world: Path, raw: bytes) -> None:
    """A leaderboard: its rows as a table."""
    file = world / "theirs.csv"
    file.write_bytes(raw)
    leaderboard.render(leaderboard.read(file)).encode("utf-8", "backslashreplace")


def read_calls(world: Path, data: st.DataObject) -> None:
    """Published calls, with changed cells that are sealed again, or with broken bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sound, file = world / "results" / "calls.parquet", world / "theirs.parquet"
    if data.draw(st.booleans()):
        file.write_bytes(data.draw(broken(sound.read_bytes())))
    else:
        table = pq.read_table(sound)
        rows = table.to_pylist()
        row = rows[data.draw(st.integers(0, len(rows) - 1))]
        name = data.draw(st.sampled_from(sorted(row)))
        old = row[name]
        row[name] = data.draw(broken(old) if isinstance(old, bytes) else st.just(old))
        if name == "body":
            row[name] = data.draw(either(json.loads(old)))
        row["digest"] = Stored(row["body"], None, None).digest(row["key"], row["slot"])
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), file)
    (world / "calls.sqlite").unlink(missing_ok=True)
    with Cache(world / "calls.sqlite") as cache:
        import_calls(cache, file)
        assert not list(verify(cache))


TABLES = (
    *(("calls", "document"), ("calls", "model"), ("calls", "kind"), ("results", "body")),
    *(("results", "logprobs"), ("results", "digest"), ("results", "slot"), ("derived", "value")),
    *(("derived", "namespace"), ("meta", "value"), ("leases", "owner"), ("origins", "origin")),
)


def read_cache(world: Path, changed_row: tuple[tuple[str, str], int, Any]) -> None:
    """A colleague's cache: summarised, verified, looked up and copied."""
    (table, column), number, value = changed_row
    file, target = world / "theirs.sqlite", world / "copied.sqlite"
    for each in (file, target):
        each.unlink(missing_ok=True)
    shutil.copy(world / "cache.sqlite", file)
    value = value if isinstance(value, bytes | str | float | None) else text_of(value)
    with closing(sqlite3.connect(file)) as database:
        value = value.encode("utf-8", "replace") if isinstance(value, str) else value
        database.execute("INSERT INTO leases SELECT key, 7, 'a/1/b', 1e10 FROM calls LIMIT 1")
        database.execute(
            f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid IN "
            f"(SELECT rowid FROM {table} LIMIT 1 OFFSET ?)"
            if table in {"calls", "results", "meta"}
            else f"UPDATE OR IGNORE {table} SET {column} = ? WHERE ? >= 0",
            (value, number % 9),
        )
        database.commit()
    with Cache(file) as theirs, Cache(target) as own:
        info(theirs)
        list(verify(theirs))
        list(copy(theirs, own, derived=False))
        asyncio.run(_look_up(theirs))


async def _look_up(cache: Cache) -> None:
    await cache.lookup(Call("generate", {"name": "m"}), [0])
    await cache.recall("score x", ["a"])
    await cache.claim(Call("generate", {"name": "m"}), [0, 7])


def read_imported(world: Path, raw: bytes) -> None:
    """The record beside a published pool, and the pool by the settings in it."""
    file = world / "published.jsonl"
    file.write_text(text_of(POOL_ROW) + "\n")
    place_of_run(file).write_bytes(raw)
    if (found := read_import(file)) is not None:
        (world / "imports.sqlite").unlink(missing_ok=True)
        with Cache(world / "imports.sqlite") as cache:
            found[1].load(cache, file)


def read_audit(world: Path, raw: bytes) -> None:
    """An audit beside a run, as a report shows it."""
    (world / "audits").mkdir(exist_ok=True)
    (world / "audits" / "abc-1.json").write_bytes(raw)
    record = {"config": {"judge": "openai:m"}, "task": {"judging": {"digest": "abc"}}}
    assert list(audit_notes(record, world / "run"))


def read_table(world: Path, table: tuple[str, bytes]) -> None:
    """A data file by its rows, and as a pool."""
    end, raw = table
    file = world / f"theirs{end}"
    file.write_bytes(raw)
    for _ in read(file):
        pass
    with Cache(world / "pools.sqlite") as cache:
        import_pool(cache, file, name="table", overwrite=True)
        assert not list(verify(cache))


def _as_tables() -> dict[str, bytes]:
    """A pool's row as a file, by its suffix."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {name: POOL_ROW[name] for name in ("id", "problem", "answer", "responses")}
    parquet, written = io.BytesIO(), io.StringIO()
    pq.write_table(pa.Table.from_pylist([row] * 3), parquet)
    csv.writer(written).writerows([list(row), [str(cell) for cell in row.values()]])
    array = text_of([row]).encode()
    return {".parquet": parquet.getvalue(), ".csv": written.getvalue().encode(), ".json": array}


def _as_csv(lines: Any) -> bytes:
    """Lines of cells as CSV; what is no line of cells is one cell."""
    written = io.StringIO()
    lines = lines if isinstance(lines, list) else [lines]
    rows = (line if isinstance(line, list) else [line] for line in lines)
    csv.writer(written).writerows([[str(cell)[:200] for cell in row] for row in rows])
    return written.getvalue().encode("utf-8", "replace")
