"""Imported pools: rollouts sampled elsewhere, keyed by (pool, question, slot).

An import is all or nothing. A question's responses are assigned to slots in an order that is drawn
from the pool's seed and recorded, so that slots are exchangeable in whatever order the file has
them. A published pool keeps its slots, so that every draw reads the same rollouts as before.

Columns that are not part of the format (`correct`, a solution) are kept for scorers and reports.
Replies do not contain them, so aggregators cannot see gold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from cat_bench.cache import schema
from cat_bench.cache.call import Call
from cat_bench.cache.codec import pack, unpack
from cat_bench.cache.files import POOL_FORMAT, read_description
from cat_bench.cache.formats import Conversion
from cat_bench.cache.location import display_url
from cat_bench.cache.paging import pages
from cat_bench.cache.responses import PER_RESPONSE, results_of
from cat_bench.cache.rows import call_row, result_row
from cat_bench.cache.store import Cache
from cat_bench.errors import CacheError, DataError, UnknownName, UsageError, one_line
from cat_bench.system.rows import check_encodable, file_digest, read
from cat_bench.types.calls import JSON, Result

_OWN = {"id", "problem", "answer", "order", "responses", *PER_RESPONSE}
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class PoolMetadata:
    """The record of an imported pool. `sizes` counts questions by their number of responses."""

    name: str
    file: str
    sha256: str
    seed: int
    questions: int = 0
    responses: int = 0
    sizes: Mapping[str, int] = field(default_factory=dict)
    scores: tuple[str, ...] = ()
    task: str | None = None
    """The task whose questions the pool answers; None if the pool has its own questions."""
    model: str | None = None
    """The model that wrote the responses, if known."""
    exchangeable: bool = True
    """Whether the responses are draws of one distribution."""
    scorer: str | None = None
    scorer_params: Mapping[str, JSON] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """The Python files of the scorer: path → SHA-256."""
    format: str | None = None
    """The format, or the map of columns, by which another tool's files were read."""
    texts: bool = True
    """Whether responses are a model's texts, not only extracted answers."""


class PoolRow(NamedTuple):
    """One question of a pool. `meta` may contain gold; only scorers and reports read it."""

    id: str
    problem: str | None
    answer: JSON
    meta: Mapping[str, JSON]


def import_pool(
    cache: Cache,
    file: Path | Conversion,
    *,
    name: str,
    questions: Mapping[str, str] | None = None,
    task: str | None = None,
    model: str | None = None,
    exchangeable: bool = True,
    scorer: str | None = None,
    scorer_params: Mapping[str, JSON] | None = None,
    files: Mapping[str, str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> PoolMetadata:
    """Import the rows `{id, problem, answer, responses, scores}` of a JSONL or Parquet file.

    A `Conversion` holds such rows, made from another tool's files (see `cache.formats`).
    `questions` are a task's problem texts by id: every row must match one. Importing the same file
    in the same way again changes nothing. Raises DataError (a row is broken or matches nothing),
    UsageError (another import has that name and `overwrite` is off), CacheError.
    """
    _check_name(name)
    converted = file if isinstance(file, Conversion) else None
    wanted = PoolMetadata(
        name=name,
        file=file.name,
        sha256=file.sha256 if isinstance(file, Conversion) else file_digest(file),
        seed=seed,
        task=task,
        model=model,
        exchangeable=exchangeable,
        scorer=scorer,
        scorer_params=dict(scorer_params or {}),
        files=dict(files or {}),
        format=converted.findings.format if converted else None,
        texts=converted.findings.texts if converted else True,
    )
    with cache.begin_writing() as connection:
        before = _metadata(connection, name)
        if before and _origin(before) == _origin(wanted):
            return before
        if before and not overwrite:
            raise UsageError(
                f"the pool {name!r} was imported from {before.file} with other options: "
                f"choose another --model name, or give --replace to delete the old pool"
            )
        drop_pool(connection, name)
        return _insert(connection, file, wanted, questions)


def pool_metadata(cache: Cache, name: str) -> PoolMetadata:
    """Return the record of a pool. Raises UnknownName."""
    with cache.begin_reading() as connection:
        metadata = _metadata(connection, name)
        if metadata is None:
            names = connection.scalars(sa.select(schema.pools.c.name))
            raise UnknownName("imported pool", name, names)
    return metadata


def pool_names(cache: Cache) -> list[str]:
    """Return the names of all imported pools, sorted."""
    with cache.begin_reading() as connection:
        return sorted(connection.scalars(sa.select(schema.pools.c.name)))


def pool_rows(cache: Cache, name: str) -> Iterator[PoolRow]:
    """Yield a pool's questions in the order of its file. Raises UnknownName."""
    pool_metadata(cache, name)
    for row, _ in stored_rows(cache, name):
        yield PoolRow(row["id"], row.get("problem"), row.get("answer"), row["meta"])


def stored_rows(cache: Cache, name: str) -> Iterator[tuple[dict[str, JSON], str]]:
    """Yield a pool's stored questions, each with the key of its rollouts."""
    rows = schema.pool_questions.c
    of_pool = sa.select(rows.position, rows.row, rows.key).where(rows.pool == name)
    for page in pages(cache, of_pool, [rows.position]):
        for _, row, key in page:
            yield unpack(row), key


def drop_pool(connection: sa.Connection, name: str) -> None:
    """Delete a pool and its rollouts, within the caller's transaction."""
    rows = schema.pool_questions.c
    keys = sa.select(rows.key).where(rows.pool == name)
    for table in (schema.results, schema.origins, schema.leases, schema.calls):
        connection.execute(sa.delete(table).where(table.c.key.in_(keys)))
    connection.execute(sa.delete(schema.pool_questions).where(rows.pool == name))
    connection.execute(sa.delete(schema.pools).where(schema.pools.c.name == name))


def deal(seed: int, question: str, count: int) -> list[int]:
    """Return the index of the response for each slot; it depends on the seed and question only."""
    return sorted(
        range(count),
        key=lambda index: sha256(
            f"{seed}/{index}/{question}".encode("utf-8", "surrogatepass")
        ).digest(),
    )


def _insert(
    connection: sa.Connection,
    source: Path | Conversion,
    pool: PoolMetadata,
    questions: Mapping[str, str] | None,
) -> PoolMetadata:
    matcher = None if questions is None else _Matcher(questions)
    if isinstance(source, Conversion):
        file, rows, published = Path(source.name), source.read(texts=matcher is None), False
    else:
        file, rows = source, read(source)
        published = read_description(file).get("format") == POOL_FORMAT
    seen: dict[str, int] = {}
    sizes = Counter[int]()
    scores: set[str] = set()
    for position, (line, row) in enumerate(rows):
        question = matcher.match(line, row) if matcher else _read_id(file, line, row)
        if question is None:
            continue
        if question in seen:
            repeated = f"answers {question!r} again, after line {seen[question]}"
            raise DataError(file, f"{repeated}; put all its responses into one row", line=line)
        seen[question] = line
        if row.get("answer") != row.get("answer"):  # only NaN differs from itself
            raise DataError(file, "has NaN as its answer; write null or a text", line=line)
        results = results_of(file, line, row)
        order = list(range(len(results))) if published else deal(pool.seed, question, len(results))
        dealt = [results[index] for index in order]
        _insert_question(connection, pool, position, {**row, "id": question, "order": order}, dealt)
        sizes[len(results)] += 1
        scores.update(name for result in results for name in getattr(result, "scores", ()))
    if matcher:
        matcher.check(file)
    done = replace(
        pool,
        questions=len(seen),
        responses=sum(size * number for size, number in sizes.items()),
        sizes={str(size): sizes[size] for size in sorted(sizes)},
        scores=tuple(sorted(scores)),
    )
    schema.insert(connection, schema.pools, [{"name": pool.name, "metadata": pack(asdict(done))}])
    return done


def _insert_question(
    connection: sa.Connection,
    pool: PoolMetadata,
    position: int,
    row: Mapping[str, JSON],
    dealt: Sequence[Result],
) -> None:
    call = Call.imported(pool.name, row["id"])
    fields = {name: row[name] for name in ("id", "problem", "answer", "order") if name in row}
    meta = {name: value for name, value in row.items() if name not in _OWN}
    place = {"pool": pool.name, "position": position, "key": call.key}
    try:
        stored = pack({**fields, "meta": meta})
    except (TypeError, ValueError) as error:
        problem = f"{row['id']!r} holds a value that JSON cannot ({one_line(error)}); write text"
        raise DataError(pool.file, problem) from error
    schema.insert(connection, schema.pool_questions, [{**place, "row": stored}])
    schema.insert(connection, schema.calls, [call_row(call)])
    rows = [result_row((call.key, slot), result) for slot, result in enumerate(dealt)]
    schema.insert(connection, schema.results, rows)


class _Matcher:
    """Matches rows to a task's questions: by id, and by the exact text of the problem."""

    def __init__(self, questions: Mapping[str, str]) -> None:
        self._texts = questions
        self._ids = {text: question for question, text in questions.items()}
        self._missed: list[str] = []

    def match(self, line: int, row: Mapping[str, JSON]) -> str | None:
        """Return the question's id; None if no question has the row's id and text."""
        question, problem = str(row.get("id")), row.get("problem")
        text = self._texts.get(question)
        if text is not None and (problem is None or _is_same(problem, text)):
            return question
        if isinstance(problem, str) and problem in self._ids:
            return self._ids[problem]
        why = "no such question" if text is None else "that question has another text"
        self._missed.append(f"line {line} ({question!r}: {why})")
        return None

    def check(self, file: Path) -> None:
        """Raise DataError with the first rows that match nothing."""
        if self._missed:
            first = ", ".join(self._missed[:_SHOWN])
            count = f"{len(self._missed)} row{'s match' if len(self._missed) > 1 else ' matches'}"
            raise DataError(
                file,
                f"{count} no question of the task: {first}"
                f"{', …' if len(self._missed) > _SHOWN else ''}; "
                f"import the file as a pool with its own questions: --task pool:NAME",
            )


def _is_same(problem: JSON, text: str) -> bool:
    return isinstance(problem, str) and problem.split() == text.split()


def _read_id(file: Path, line: int, row: Mapping[str, JSON]) -> str:
    if not isinstance(row.get("id"), str | int) or not isinstance(row.get("problem"), str):
        fields = ", ".join(map(repr, row))
        raise DataError(file, f"needs an 'id' and a text 'problem'; it has {fields}", line=line)
    check_encodable(file, line, str(row["id"]))
    return str(row["id"])


def _check_name(name: str) -> None:
    if not name or not name.isprintable():
        raise UsageError(f"{name!r} cannot name a pool: use letters, digits and punctuation")


def _metadata(connection: sa.Connection, name: str) -> PoolMetadata | None:
    pools = schema.pools.c
    data = connection.scalar(sa.select(pools.metadata).where(pools.name == name))
    if data is None:
        return None
    try:
        return parse_metadata(data)
    except ValueError as error:
        problem = f"its record of the pool {name!r} is damaged ({one_line(error)})"
        raise CacheError(f"cache {display_url(connection.engine.url)}: {problem}") from error


def parse_metadata(data: bytes) -> PoolMetadata:
    """Return the record in a row of `pools`. Raises ValueError for one of another shape."""
    from pydantic import TypeAdapter

    return TypeAdapter(PoolMetadata).validate_python(unpack(data))


def _origin(pool: PoolMetadata) -> dict[str, JSON]:
    """Return the fields that make two imports the same."""
    counted = {"file", "questions", "responses", "sizes", "scores"}
    return {name: value for name, value in asdict(pool).items() if name not in counted}
