"""Add a run's rows to a leaderboard, and publish the files that they were computed from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from os.path import relpath
from pathlib import Path

from cat_bench.cache import Cache, Calls, Places, export_calls, publish_pools
from cat_bench.errors import UsageError
from cat_bench.leaderboard.imported import is_imported, publish_import
from cat_bench.leaderboard.rows import (
    MOST_UNSCORED,
    NUMBERS,
    OWN,
    append,
    find_difference,
    read,
    rows_of,
)
from cat_bench.runs import again as rerun
from cat_bench.runs.exchanges import read_exchanges
from cat_bench.runs.folder import read_record
from cat_bench.runs.labels import refuse_unlabelled
from cat_bench.runs.private import refuse_private
from cat_bench.types.calls import JSON
from cat_bench.types.records import Pool

_ONLY_SCORES = "publish only the scores: `leaderboard add` without --pool and --calls"


async def add(
    run: Path,
    board: Path,
    *,
    pool: Path | None = None,
    calls: Path | None = None,
    data: Path | None = None,
) -> tuple[int, int]:
    """Publish the run's pool and calls if files are named, and append its rows to the board.

    `data` is the file that the run read, if it is not the one in task.yaml. Returns the numbers of
    new and of existing rows. Raises UsageError if a row lacks more than `MOST_UNSCORED` of its
    questions' scores, if the board has a row with other numbers (rows never change), if some
    questions are unlabelled, or if the pool or the calls of a private task would be published.
    """
    record = read_record(run)
    if shard := record["config"].get("shard"):
        raise UsageError(f"{run} is shard {shard} of a run: run without --shard, and add that run")
    refuse_unlabelled(record, what="a leaderboard's row")
    if pool or calls:
        refuse_private(record, advice=_ONLY_SCORES)
    existing = {
        tuple(row[name] for name in OWN): row for row in (read(board) if board.exists() else ())
    }
    rows = rows_of(run, pool=_place_beside(board, pool), calls=_place_beside(board, calls))
    if incomplete := [row for row in rows if float(row["unscored"]) > MOST_UNSCORED]:
        first = incomplete[0]
        raise UsageError(
            f"{run}: {first['method']} at n = {first['n']} has a share of {first['unscored']} "
            f"unscored, but at most {MOST_UNSCORED} is allowed: run it again to score the rest, or "
            "leave out the method"
        )
    new = [row for row in rows if tuple(row[name] for name in OWN) not in existing]
    for row in rows:
        old = existing.get(tuple(row[name] for name in OWN), row)
        if name := find_difference(old, row, ("reference", *NUMBERS)):
            had, has = (cells[name] or "empty" for cells in (old, row))
            raise UsageError(
                f"{board} has {row['method']} at n = {row['n']} with the {name} {had}, and this "
                f"run has {has}: rows never change, so find out which is wrong"
            )
    if pool:
        await publish_pool(record, pool, data=data)
    if calls:
        await publish_calls(record, calls, data=data)
    if new:
        append(board, new)
    return len(new), len(rows) - len(new)


async def publish_pool(
    record: Mapping[str, JSON],
    file: Path,
    *,
    cache: str | Path | None = None,
    data: Path | None = None,
) -> int:
    """Write the run's rollouts as Parquet; return the number of questions.

    A pool that defines its own task is published as the file that it was imported from: see
    `imported`. Raises UsageError, also if the task is private.
    """
    refuse_private(record, advice=_ONLY_SCORES)
    if is_imported(record):
        publish_import(_drop_invocations(record), file, cache=cache)
        return int(record["questions"])
    _prepare_file(file)
    loop = asyncio.get_running_loop()
    async with aclosing(read_exchanges(record, cache=cache, data=data)) as questions:

        async def next_pool() -> Pool | None:
            question = await anext(questions, None)
            return question.pool if question else None

        def one_by_one() -> Iterator[Pool]:
            while pool := asyncio.run_coroutine_threadsafe(next_pool(), loop).result():
                yield pool

        return await asyncio.to_thread(
            publish_pools, file, one_by_one(), run=_drop_invocations(record)
        )


async def publish_calls(
    record: Mapping[str, JSON],
    file: Path,
    *,
    cache: str | Path | None = None,
    data: Path | None = None,
) -> Calls:
    """Write every cached call that the run reads.

    Raises UsageError if the cache lacks a call, or if the task is private.
    """
    refuse_private(record, advice=_ONLY_SCORES)
    _prepare_file(file)
    with Places() as places:
        await rerun.trace_places(record, places, cache=cache, data=data)
        with Cache(cache) as opened:
            return export_calls(opened, file, places, run=_drop_invocations(record))


def upload(file: Path, repository: str) -> str:
    """Upload a published pool to the Hugging Face Hub as a dataset; return its URL.

    Raises UsageError if the Hub refuses it.
    """
    from datasets import Dataset
    from huggingface_hub.constants import ENDPOINT

    try:
        Dataset.from_parquet(str(file)).push_to_hub(repository)
    except Exception as error:  # the Hub's client raises many kinds
        reason = str(error).strip().split("\n")[0]
        raise UsageError(f"{repository} cannot be written on the Hub: {reason}") from error
    return f"{ENDPOINT}/datasets/{repository}"


def _drop_invocations(record: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the record without its invocations."""
    return {name: value for name, value in record.items() if name != "invocations"}


def _place_beside(board: Path, file: Path | None) -> str:
    return "" if file is None else Path(relpath(file, board.parent)).as_posix()


def _prepare_file(file: Path) -> None:
    if file.suffix != ".parquet":
        raise UsageError(f"{file}: name a .parquet file")
    file.parent.mkdir(parents=True, exist_ok=True)
