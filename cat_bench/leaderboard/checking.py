"""Recompute a leaderboard's rows from the files that they name, which are the only evidence.

Rows of methods that call no model are recomputed from the published pool, all other rows from the
published calls. The columns that say how the run was made are compared with the record in these
files and with the run that is repeated from them. The verdicts:

- reproduced: the same numbers; `as_claimed` lists the columns that no file can prove;
- out of reach: the row names no file, or its task or a file is missing; the finding says why;
- refused: a file contradicts the row, or the row was altered, repeats another one, has columns of
  another version, or lacks too many scores.
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
from cat_bench.leaderboard.identity import find_misnamed, identity
from cat_bench.leaderboard.imported import Imported, read_import
from cat_bench.leaderboard.rows import (
    MOST_UNSCORED,
    NUMBERS,
    OWN,
    VERSION,
    Row,
    add_digest,
    claims,
    find_difference,
    read,
    rows_of,
)
from cat_bench.loading import catalog
from cat_bench.loading.trust import load_only
from cat_bench.runs import again as rerun
from cat_bench.runs.shape import check_whole
from cat_bench.types.calls import JSON

_COMPUTED = ("task_version", "task_digest", "scorer", "questions", "reference", *NUMBERS)
_RUN = ("pool_digest", "task", "model", "revision", "anchor", "judge", "pool_size", "draws")
"""The columns that all rows of a run share and that a published record proves."""
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
    """The columns of a reproduced row that no file proves."""


@dataclass(frozen=True, slots=True)
class _Replay:
    """A repeated run: its rows by method and n, or the problem that prevented it.

    `run` has the columns that all of its rows share. The file of a `forged` run contradicts itself.
    """

    rows: Mapping[tuple[str, ...], Row]
    run: Row
    methods: frozenset[str] = frozenset()
    problem: str = ""
    forged: bool = False

    def recomputed(self, row: Row) -> Row | None:
        """Return this row of the repeated run."""
        return self.rows.get(tuple(row[name] for name in _KEY))

    def contradicts(self, row: Row) -> str:
        """Return how the run contradicts the row; empty if it does not."""
        if self.forged:
            return self.problem
        if differs := _difference(row, self.run, [name for name in _RUN if name in self.run]):
            return differs
        if recomputed := self.recomputed(row):
            return _difference(row, recomputed, _COMPUTED)
        if (method := row["method"]) not in self.methods:
            return f"method is {method}, which its run does not list"
        if any(method == name for name, *_ in self.rows):
            return f"its run has no row of {method} with these parameters and n"
        return ""


async def check(
    board: Path, *, parallel: str | None = None, data: Path | None = None
) -> AsyncIterator[Finding]:
    """Yield one finding per row, in the order of the file; `parallel` as in `open_executor`.

    `data` replaces the data file of a task where that file is missing here. Raises DataError if the
    file is not a leaderboard.
    """
    rows = read(board)
    play = partial(_play, parallel=parallel, data=data)
    seen: dict[tuple[str, ...], int] = {}
    runs: dict[tuple[str, str], _Replay] = {}
    for line, row in enumerate(rows, 2):
        key = tuple(row[name] for name in OWN)
        if (flaw := _flaw(row)) or key in seen:
            reason = flaw or f"repeats line {seen[key]}"
            yield Finding(line, row["method"], row["n"], "refused", reason)
            continue
        seen[key] = line
        finding = await _recompute(row, board.parent, runs, play)
        yield replace(finding, line=line)


def _flaw(row: Row) -> str | None:
    """Return what is wrong with a row by itself, or None."""
    if row["version"] != VERSION:
        return f"has columns of version {row['version']}, not {VERSION}"
    if add_digest(row)["digest"] != row["digest"]:
        return "was changed: its cells do not match its digest"
    if row["as_claimed"] != " ".join(claims(row)):
        return "has a column `as_claimed` that does not fit its published files"
    if row["judge_audit"] and not row["judge"]:
        return "has the audit of a judge, and no judge"
    if float(row["unscored"]) > MOST_UNSCORED:
        return f"has a share of {row['unscored']} unscored; at most {MOST_UNSCORED} is allowed"
    return None


async def _recompute(
    row: Row,
    base: Path,
    runs: dict[tuple[str, str], _Replay],
    play: Callable[[str, Path], Awaitable[_Replay]],
) -> Finding:
    """Return the finding on a row from every file that it names; no file may contradict it."""
    finding = partial(Finding, 0, row["method"], row["n"])
    unread, reasons, proofs = [], [], list[str]()
    for kind in ("pool", "published_calls"):
        if not row[kind]:
            reasons.append(f"no {'calls are' if kind != 'pool' else 'pool is'} published")
            continue
        if kind == "pool" and row["published_calls"] and "pool" in row["as_claimed"].split():
            continue
        place = (kind, row[kind])
        if place not in runs:
            runs[place] = await play(kind, base / row[kind])
        replayed = runs[place]
        if replayed.problem and not replayed.forged:
            unread.append(replayed.problem)
        elif wrong := replayed.contradicts(row):
            return finding("refused", wrong)
        elif replayed.recomputed(row):
            proofs.append(row[kind])
        else:
            reason = "the method calls a model, which a pool cannot replay"
            reasons.append(reason if kind == "pool" else "the published calls lack this row")
    if unread or not proofs:
        return finding("out of reach", "; ".join(dict.fromkeys(unread or reasons)))
    return finding("reproduced", f"from {proofs[0]}", row["as_claimed"])


async def _play(kind: str, file: Path, *, parallel: str | None, data: Path | None) -> _Replay:
    with TemporaryDirectory() as folder:
        out, cache = Path(folder, "run"), Path(folder, "cache.sqlite")
        try:
            record, imported = _read_published(file)
            if not record:
                return _Replay({}, {}, problem=f"{file} is not a published file")
            check_whole(record, file)
            if flaw := find_misnamed(record):
                return _Replay({}, {}, problem=f"{file}: {flaw}", forged=True)
            with load_only(record.get("files", {})):
                data_file = data if data and not _has_rows(record) else None
                model = _load(kind, file, cache, record, data=data_file, imported=imported)
            rerun_record = await rerun.replay_run(
                record, out, cache=cache, model=model, parallel=parallel, data=data_file
            )
            rows = rows_of(out)
        except CatBenchError as error:
            return _Replay({}, {}, problem=str(error))
    shared = _shared(kind, record, rerun_record)
    run = {**shared, "pool_digest": rerun_record["pool_digest"]}
    methods = frozenset(method["name"] for method in record["methods"])
    return _Replay({tuple(row[name] for name in _KEY): row for row in rows}, run, methods)


def _shared(kind: str, record: Mapping[str, JSON], rerun_record: Mapping[str, JSON]) -> Row:
    """Return the columns of the run that this kind of file shows.

    Calls show who wrote every text: the repeated run names who was called. For a pool, only its
    record names the policy and the judge, and nothing shows the anchor.
    """
    if kind == "published_calls":
        return identity(rerun_record)
    columns = identity({**record, "task": rerun_record["task"]})
    return {name: cell for name, cell in columns.items() if name != "anchor"}


def _read_published(file: Path) -> tuple[Mapping[str, JSON], Imported | None]:
    """Return the record in or beside a published file, and the settings of an imported pool."""
    if described := read_import(file):
        return described
    return read_description(file).get("run") or {}, None


def _has_rows(record: Mapping[str, JSON]) -> bool:
    """Return whether the run's task finds its data here."""
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
    """Import the file into an empty cache; return the model to replay if the file is a pool."""
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


def _difference(row: Row, replayed: Row, names: Sequence[str]) -> str:
    """Return how the first of these columns differs; empty if all are equal."""
    if name := find_difference(row, replayed, names):
        claimed, computed = (cells[name] or "empty" for cells in (row, replayed))
        return f"{name} is {claimed}, and is recomputed as {computed}"
    return ""
