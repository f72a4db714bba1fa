"""A run question by question, with the texts of its rollouts from the cache.

Questions are yielded one at a time, in the run's order, so that memory holds one pool. If the cache
lacks a rollout, or the task cannot be loaded, the rollout has no text, and `problem` says why.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

from cat_bench.cache import Cache
from cat_bench.errors import CatBenchError
from cat_bench.evaluation.rows import RolloutRow, ScoreRow
from cat_bench.loading import catalog
from cat_bench.loading.trust import load_only
from cat_bench.report.cells import rows_of
from cat_bench.report.values import budget_test
from cat_bench.runs.exchanges import Exchange, Exchanges, read_exchanges
from cat_bench.runs.parts import RecordsByQuestion
from cat_bench.runs.tables import RunTables
from cat_bench.types.calls import JSON, Reply

_ROWS = [field.name for field in fields(ScoreRow)]
_ROLLOUTS = [field.name for field in fields(RolloutRow)]
NO_TEXT = "The text is not in the cache from which this page was made."


@dataclass(frozen=True, slots=True)
class Transcript:
    """One question: its `ScoreRow`s, and its `RolloutRow`s beside the replies that the cache has.

    `target` is the task's target, None if it is not here. `exchanges` are the calls of the methods
    and the judge; None if no cache could be read, and `problem` says why.
    """

    question: str
    text: str
    meta: Mapping[str, JSON]
    rows: Sequence[Mapping[str, JSON]]
    rollouts: Sequence[tuple[Mapping[str, JSON], Reply | None]]
    target: JSON = None
    exchanges: Exchanges | None = None
    problem: str = ""

    def calls(self, row: Mapping[str, JSON]) -> Sequence[Exchange]:
        """Return the calls of a method's row: for a synthesis, a selection, a rating."""
        if self.exchanges is None:
            return ()
        drawn: JSON = row["draw"]
        key = (row["method"], int(row["n"]), None if pd.isna(drawn) else int(drawn))
        return self.exchanges.methods.get(key, ())

    def verdicts(self, text: JSON) -> Sequence[Exchange]:
        """Return a judge's calls about the text of a rollout or of a method."""
        return self.exchanges.verdicts.get(text, ()) if self.exchanges else ()

    @property
    def right(self) -> str:
        """The right answer; empty if the target is not an answer, for example a rubric."""
        return str(self.target) if isinstance(self.target, str | int | float) else ""

    def answers(self) -> dict[str, Answer]:
        """Return each method's answer at its largest n: the answer of its first draw."""
        largest: dict[str, list[Mapping[str, JSON]]] = {}
        for row in self.rows:
            group = largest.setdefault(row["method"], [])
            if group and row["n"] > group[0]["n"]:
                group.clear()
            if not group or row["n"] == group[0]["n"]:
                group.append(row)
        return {method: self._answer(rows) for method, rows in largest.items()}

    def _answer(self, rows: Sequence[Mapping[str, JSON]]) -> Answer:
        first = rows[0]
        scores = [row["score"] for row in rows if pd.notna(row["score"])]
        text, answer = first["text"], first["answer"]
        remarks = [f"n = {first['n']}", f"{len(rows)} draws" if len(rows) > 1 else ""]
        if len(first["picks"]):
            weight, slot = max(zip(first["weights"], first["picks"], strict=True))
            row, reply = next(pair for pair in self.rollouts if pair[0]["slot"] == slot)
            answer, text = row["answer"], reply.text if reply else None
            remarks.append(f"picked rollout {slot} with probability {weight:.3g}")
        remarks += [str(first[name]) for name in ("fallback", "failed") if pd.notna(first[name])]
        return Answer(
            score=round(sum(scores) / len(scores), 6) if scores else None,
            text=text if isinstance(text, str) else None,
            answer=answer if isinstance(answer, str) else None,
            n=int(first["n"]),
            explanation="; ".join(filter(None, remarks)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A method's answer to one question; `text` is None if the cache lacks it."""

    score: float | None
    text: str | None
    answer: str | None
    n: int
    explanation: str


async def transcripts(
    run: RunTables | Path,
    *,
    data: Path | None = None,
    only: str | None = None,
    calls: bool = False,
) -> AsyncIterator[Transcript]:
    """Yield the run's questions in its order, or only one of them. Raises DataError.

    `data` is the run's data file, if it is not the task's. With `calls`, the methods that called a
    model are replayed from the cache to find what they sent.
    """
    run = RunTables.of(run)
    record, table = run.record, run.questions
    if only is None:
        scores, pools = run.score_parts(_ROWS), run.rollout_parts(_ROLLOUTS)
    else:
        scores, pools = iter([run.scores(question=only)]), iter([run.rollouts(question=only)])
    rows, rollouts = RecordsByQuestion(_select_shown(scores, record)), RecordsByQuestion(pools)
    methods = _find_calling(run) if calls else None
    texts = _Texts(read_exchanges(record, methods=methods, data=data, only=only))
    targets = _targets(record, data)
    try:
        for question in rows_of(table if only is None else table[table["question"] == only]):
            name = question["question"]
            exchanges = await texts.of(name)
            replies = {r.slot: r.reply for r in exchanges.pool.rollouts} if exchanges else {}
            pairs = [(row, replies.get(row["slot"])) for row in rollouts.of(name) or ()]
            yield Transcript(
                name,
                question["text"],
                question["meta"],
                rows.of(name) or [],
                pairs,
                target=targets.get(name),
                exchanges=exchanges,
                problem=texts.problem,
            )
    finally:
        run.no_texts = texts.problem
        await texts.close()


def _targets(record: Mapping[str, JSON], data: Path | None) -> dict[str, JSON]:
    """Return the targets by question; empty if the task or its data are not here."""
    with Cache() as cache, load_only(record.get("files", {})):
        try:
            samples = catalog.task(record["config"]["task"], data=data, cache=cache).samples()
            return {sample.question.id: sample.target for sample in samples}
        except CatBenchError:
            return {}


def _find_calling(run: RunTables) -> set[str]:
    """Return the methods that have more calls than rollouts in some row."""
    names: set[str] = set()
    for rows in run.score_parts(["question", "method", "n", "calls"]):
        names.update(rows["method"][rows["calls"] > rows["n"]].unique())
    return names


def frames(record: Mapping[str, JSON]) -> set[str]:
    """Return the names of a table's frame: its rows that are not methods."""
    return {entry["name"] for entry in record["methods"] if entry["kind"] == "frame"}


def _select_shown(
    parts: Iterator[pd.DataFrame], record: Mapping[str, JSON]
) -> Iterator[pd.DataFrame]:
    """Yield only the rows of methods at the run's budgets."""
    in_table, frame = budget_test(record), frames(record)
    for rows in parts:
        keys = zip(rows["method"], rows["n"], strict=True)
        selected = [method not in frame and in_table(method, n) for method, n in keys]
        yield rows[np.array(selected, dtype=bool)]


class _Texts:
    """What models were sent and replied, read from the cache in the order of the questions."""

    def __init__(self, stream: AsyncGenerator[Exchanges, None]) -> None:
        self._stream = stream
        self._current: Exchanges | None = None
        self._ended = False
        self.problem = ""

    async def of(self, question: str) -> Exchanges | None:
        """Return the question's exchanges; ask for questions in the run's order."""
        while not self._ended and (
            self._current is None or self._current.pool.question.id != question
        ):
            try:
                self._current = await anext(self._stream, None)
            except CatBenchError as error:  # without the task or the cache, there are no texts
                self._current, self.problem = None, str(error)
            self._ended = self._current is None
        return self._current

    async def close(self) -> None:
        """Close the cache."""
        await self._stream.aclose()
