"""Adds a run's rows to a leaderboard, and publishes what they were computed from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from os.path import relpath
from pathlib import Path

from cat_bench.cache import Cache, Calls, Places, export_calls, publish_pools
from cat_bench.errors import UsageError
from cat_bench.leaderboard.imported import is_imported, publish_import
from cat_bench.leaderboard.rows import MOST_UNSCORED, OWN, append, read, rows_of
from cat_bench.runs import again as rerun
from cat_bench.runs.exchanges import read_exchanges
from cat_bench.runs.folder import read_record
from cat_bench.runs.private import refuse_private
from cat_bench.types.calls import JSON
from cat_bench.types.records import Pool

_SCORES_ALONE = "publish scores alone: `leaderboard add` without --pool and --calls"


async def add(
    run: Path,
    board: Path,
    *,
    pool: Path | None = None,
    calls: Path | None = None,
    data: Path | None = None,
) -> tuple[int, int]:
    """Publish the run's pool and calls where files are named, and append its rows to the board.

    `data` is where the task's rows are, if the run was given them from elsewhere. Returns how many
    rows are new and how many were there. Raises UsageError where more than `MOST_UNSCORED` of a row
    has no score, where a row is there with other numbers (rows are never changed), and where the
    pool or the calls of a private task are to be published.
    """
    record = read_record(run)
    if shard := record["config"].get("shard"):
        raise UsageError(f"{run} is shard {shard} of a run: run it without --shard, and add that")
    if pool or calls:
        refuse_private(record, instead=_SCORES_ALONE)
    there = {
        tuple(row[name] for name in OWN): row for row in (read(board) if board.exists() else ())
    }
    rows = rows_of(run, pool=_place_beside(board, pool), calls=_place_beside(board, calls))
    if lacking := [row for row in rows if float(row["unscored"]) > MOST_UNSCORED]:
        first = lacking[0]
        raise UsageError(
            f"{run}: {first['unscored']} of {first['method']} at n = {first['n']} is unscored, and "
            f"at most {MOST_UNSCORED} may be: run again until it is scored, or without the method"
        )
    new = [row for row in rows if tuple(row[name] for name in OWN) not in there]
    for row in rows:
        other = there.get(tuple(row[name] for name in OWN), row)
        if other["score"] != row["score"]:
            raise UsageError(
                f"{board} has {row['method']} at n = {row['n']} with {other['score']}, and this "
                f"run says {row['score']}: one of them is wrong, and no row is ever changed"
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
    """Write the run's rollouts as Parquet; returns the number of questions.

    A pool that defines its own task is published as the file that it was imported from: see
    `imported`. Raises UsageError, also where the task is private.
    """
    refuse_private(record, instead=_SCORES_ALONE)
    if is_imported(record):
        publish_import(_drop_invocations(record), file, cache=cache)
        return int(record["questions"])
    _folder(file)
    loop = asyncio.get_running_loop()
    async with aclosing(read_exchanges(record, cache=cache, data=data)) as questions:

        async def following() -> Pool | None:
            found = await anext(questions, None)
            return found.pool if found else None

        def one_by_one() -> Iterator[Pool]:
            while pool := asyncio.run_coroutine_threadsafe(following(), loop).result():
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

    Raises UsageError where the cache lacks some, and where the task is private.
    """
    refuse_private(record, instead=_SCORES_ALONE)
    _folder(file)
    with Places() as places:
        await rerun.trace_places(record, places, cache=cache, data=data)
        with Cache(cache) as opened:
            return export_calls(opened, file, places, run=_drop_invocations(record))


def upload(file: Path, repository: str) -> str:
    """Put a published pool on the Hugging Face Hub as a dataset; returns where it is.

    Raises UsageError where the Hub refuses.
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
    """The record without its invocations."""
    return {name: value for name, value in record.items() if name != "invocations"}


def _place_beside(board: Path, file: Path | None) -> str:
    return "" if file is None else Path(relpath(file, board.parent)).as_posix()


def _folder(file: Path) -> None:
    if file.suffix != ".parquet":
        raise UsageError(f"{file}: name a .parquet file")
    file.parent.mkdir(parents=True, exist_ok=True)
