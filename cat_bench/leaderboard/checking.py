"""Recompute a leaderboard's rows from the files that they name: nothing else is trusted.

Rows of methods that call no model are recomputed by replaying the published pool, the others from
the published calls. What says how the run was made is compared with the record in these files. A
row that names neither, or whose task or files are missing, is out of reach, with its reason; a row
that comes out differently, or of which too much has no score, is refused. A finding names the
columns that no file proves: they are as claimed by whoever wrote the row.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from cat_bench.cache import Cache, import_calls, import_pool, read_description
from cat_bench.errors import CatBenchError
from cat_bench.leaderboard.imported import Imported, read_import
from cat_bench.leaderboard.rows import (
    MOST_UNSCORED,
    NUMBERS,
    OWN,
    VERSION,
    Row,
    add_digest,
    claims,
    identity,
    read,
    rows_of,
)
from cat_bench.loading import catalog
from cat_bench.loading.trust import load_only
from cat_bench.runs import again as rerun
from cat_bench.runs.shape import check_whole
from cat_bench.types.calls import JSON

TOLERANCE = 2e-6
"""Numbers are written with six decimals."""
_COMPUTED = ("task_version", "task_digest", "scorer", "questions", "reference", *NUMBERS)
_RUN = ("pool_digest", "task", "model", "revision", "anchor", "judge", "pool_size", "draws")
"""What all rows of a run share and a published record says."""
_KEY = ("method", "parameters", "n")
_PUBLISHED = "published"
Verdict = Literal["reproduced", "out of reach", "refused"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one row; `line` counts from 1, the header included."""

    line: int
    method: str
    n: str
    verdict: Verdict
    reason: str = ""
    as_claimed: str = ""
    """The columns that nothing proves, of a row that was reproduced."""


@dataclass(frozen=True, slots=True)
class _Again:
    """A run that was run again: its rows by method and n, or why it could not be.

    `run` has the columns that all of its rows share.
    """

    rows: Mapping[tuple[str, ...], Row]
    run: Row
    problem: str = ""


async def check(
    board: Path, *, parallel: str | None = None, data: Path | None = None
) -> AsyncIterator[Finding]:
    """One finding per row, in the order of the file; `parallel` as in `open_executor`.

    `data` is read in the place of a task's own rows, where those are not here. Raises DataError
    where the file is not a leaderboard.
    """
    rows = read(board)
    play = partial(_play, parallel=parallel, data=data)
    seen: dict[tuple[str, ...], int] = {}
    runs: dict[tuple[str, str], _Again] = {}
    for line, row in enumerate(rows, 2):
        key = tuple(row[name] for name in OWN)
        if (flaw := _flaw(row)) or key in seen:
            reason = flaw or f"says what line {seen[key]} says"
            yield Finding(line, row["method"], row["n"], "refused", reason)
            continue
        seen[key] = line
        found = await _recompute(row, board.parent, runs, play)
        yield replace(found, line=line)


def _flaw(row: Row) -> str | None:
    """What is wrong with a row by itself."""
    if row["version"] != VERSION:
        return f"has columns of version {row['version']}, not {VERSION}"
    if add_digest(row)["digest"] != row["digest"]:
        return "was changed: its digest is another row's"
    if row["as_claimed"] != " ".join(claims(pool=bool(row["pool"]), calls=_calls(row))):
        return "does not name the columns that are as claimed"
    if float(row["unscored"]) > MOST_UNSCORED:
        return f"{row['unscored']} of it is unscored, and at most {MOST_UNSCORED} may be"
    return None


def _calls(row: Row) -> bool:
    return bool(row["published_calls"])


async def _recompute(
    row: Row,
    base: Path,
    runs: dict[tuple[str, str], _Again],
    play: Callable[[str, Path], Awaitable[_Again]],
) -> Finding:
    """The finding on a row, from every file that it names: none may contradict the row."""
    finding = partial(Finding, 0, row["method"], row["n"])
    reasons, proofs, agree = [], list[str](), set[str]()
    for kind in ("pool", "published_calls"):
        if not row[kind]:
            reasons.append(f"no {'calls are' if kind != 'pool' else 'pool is'} published")
            continue
        place = (kind, row[kind])
        if place not in runs:
            runs[place] = await play(kind, base / row[kind])
        again = runs[place]
        if again.problem:
            reasons.append(again.problem)
            continue
        found = again.rows.get(tuple(row[name] for name in _KEY))
        if differs := _difference(row, again.run, _RUN):
            return finding("refused", differs)
        agree.add(kind)
        if found is None:
            calls = "it calls a model" if kind == "pool" else "the calls do not hold it"
            reasons.append(calls)
        elif differs := _difference(row, found, _COMPUTED):
            return finding("refused", differs)
        else:
            proofs.append(row[kind])
    if not proofs:
        return finding("out of reach", "; ".join(dict.fromkeys(reasons)))
    lacking = [kind for kind in ("pool", "published_calls") if row[kind] and kind not in agree]
    unproven = claims(pool="pool" in agree, calls="published_calls" in agree)
    return finding("reproduced", f"from {proofs[0]}", " ".join([*unproven, *lacking]))


async def _play(kind: str, file: Path, *, parallel: str | None, data: Path | None) -> _Again:
    with TemporaryDirectory() as folder:
        out, cache = Path(folder, "run"), Path(folder, "cache.sqlite")
        try:
            record, imported = _read_published(file)
            if not record:
                return _Again({}, {}, f"{file} is not a published file")
            check_whole(record, file)
            with load_only(record.get("files", {})):
                rows_at = data if data and not _has_rows(record) else None
                model = _load(kind, file, cache, record, data=rows_at, imported=imported)
            again = await rerun.replay_run(
                record, out, cache=cache, model=model, parallel=parallel, data=rows_at
            )
        except CatBenchError as error:
            return _Again({}, {}, str(error))
        rows = rows_of(out)
    run = {**identity(record), "pool_digest": again["pool_digest"]}
    return _Again({tuple(row[name] for name in _KEY): row for row in rows}, run)


def _read_published(file: Path) -> tuple[Mapping[str, JSON], Imported | None]:
    """Return the record in a published file or beside it, and how an imported file was imported."""
    if beside := read_import(file):
        return beside
    return read_description(file).get("run") or {}, None


def _has_rows(record: Mapping[str, JSON]) -> bool:
    """Whether the run's task has its rows where it looks for them."""
    try:
        next(iter(catalog.task(record["config"]["task"]).samples()), None)
    except CatBenchError:
        return False
    return True


def _load(
    kind: str,
    file: Path,
    cache: Path,
    record: Mapping[str, JSON],
    *,
    data: Path | None,
    imported: Imported | None,
) -> str | None:
    """Put the file into an empty cache; the model to replay, where it is a pool."""
    with Cache(cache) as opened:
        if imported:
            return imported.load(opened, file)
        if kind == "published_calls":
            import_calls(opened, file)
            return None
        task = catalog.task(record["config"]["task"], data=data, cache=opened)
        texts = {s.question.id: s.question.text for s in task.samples()}
        import_pool(opened, file, name=_PUBLISHED, questions=texts, task=task.name)
    return f"replay:{_PUBLISHED}"


def _difference(row: Row, again: Row, names: Sequence[str]) -> str:
    """The first of these columns that does not come out again; empty where all do."""
    for name in names:
        said, found = row[name], again[name]
        if said != found and not (name in NUMBERS and _close(said, found)):
            return f"{name} is {said or 'empty'}, and comes out as {found or 'empty'}"
    return ""


def _close(said: str, found: str) -> bool:
    try:
        return abs(float(said) - float(found)) <= TOLERANCE
    except ValueError:
        return False
