"""A run as one page that opens from disk: the table, the curves, every question with its rollouts.

Nothing is fetched: style, scripts and data are inside, and a content security policy that knows
each script by its hash forbids everything else. Data are JSON, compressed, and become text nodes
alone: nothing that a model wrote is ever markup. A question's rollouts are a chunk of their own
that is decompressed when it is opened, so a page of 500 × 64 rollouts opens like one of ten.
"""

from __future__ import annotations

import asyncio
import gzip
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.resources import files
from math import isfinite
from pathlib import Path

import pandas as pd

from cat_bench import rerun
from cat_bench.catalog import task as named_task
from cat_bench.errors import CatBenchError, UsageError
from cat_bench.report.summary import summarise
from cat_bench.report.values import Values, read_values
from cat_bench.results import read_questions, read_record, read_rollouts, read_scores
from cat_bench.types import JSON, Pool, Reply

SCRIPTS = ("vendor/uplot.min.js", "vendor/katex.min.js", "text.js", "curves.js", "page.js")
STYLES = ("vendor/uplot.min.css", "page.css")
HEADLINE = 160
"""Characters of a question that stand in the list."""
LONGEST = 50_000
"""Characters of one text that the page keeps."""
SEEN = 1e-3
"""The least weight of a pick that is kept."""
_TABLE = (
    *("method", "n", "kind", "score", "ci_low", "ci_high", "reference", "diff", "diff_low"),
    *("diff_high", "p_holm", "calls", "prompt_tokens", "completion_tokens", "questions"),
    *("unscored", "abstained", "fallback", "flag", "reason"),
)
_ROLLOUT = ("slot", "answer", "cluster", "score", "met", "finish", "failed", "completion_tokens")
_ROW = ("method", "n", "draw", "score", "text", "answer", "fallback", "failed", "abstained")


def write_page(folder: Path, *, reference: str | None = None) -> Path:
    """Write `page.html` into the run's folder; rollouts' texts come from the cache, if it has them.

    Raises DataError where the folder is no run, UsageError where it cannot be written.
    """
    place = folder / "page.html"
    draft = folder / ".page.html.draft"
    try:
        with draft.open("w", encoding="utf-8") as file:
            for part in asyncio.run(_collected(folder, reference)):
                file.write(part)
        return draft.replace(place)
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror}.") from error
    finally:
        draft.unlink(missing_ok=True)


async def _collected(folder: Path, reference: str | None) -> list[str]:
    """The page in its parts: what stands before the chunks, the chunks, what stands behind."""
    record = read_record(folder)
    run = _Run.of(folder, record)
    chunks = [
        f'<script type="text/plain" id="q{place}">{packed(chunk)}</script>\n'
        async for place, chunk in _chunks(run, record)
    ]
    index = run.index(record, summarise(folder, reference=reference))
    before, after = _frame(record, packed(index)).split("<!--chunks-->")
    return [before, *chunks, after]


def packed(value: JSON) -> str:
    """JSON, compressed, in letters that no parser stumbles over."""
    raw = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return b64encode(gzip.compress(raw.encode(), 6, mtime=0)).decode()


def _frame(record: Mapping[str, JSON], index: str) -> str:
    """The page around its chunks."""
    page = files("cat_bench.report") / "page"
    style = "\n".join(_asset(name) for name in STYLES)
    scripts = [_asset(name) for name in SCRIPTS]
    allowed = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    policy = f"default-src 'none'; script-src {allowed}; style-src 'sha256-{_hash(style)}'"
    config = record["config"]
    filled = {
        "policy": f"{policy}; base-uri 'none'; form-action 'none'",
        "title": escape(f"{config['task']} · {config['model']}"),
        "style": style,
        "index": index,
        "scripts": "".join(f"<script>{script}</script>\n" for script in scripts),
    }
    text = (page / "page.html").read_text(encoding="utf-8")
    for name, value in filled.items():
        before, mark, after = text.partition("{{" + name + "}}")
        assert mark, name
        text = before + value + after
    return text


def _asset(name: str) -> str:
    path = files("cat_bench.report").joinpath("page", *name.split("/"))
    return path.read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


@dataclass(frozen=True, slots=True)
class _Run:
    """A run's tables by question."""

    questions: pd.DataFrame
    rollouts: Mapping[str, pd.DataFrame]
    rows: Mapping[str, pd.DataFrame]
    values: Values

    @classmethod
    def of(cls, folder: Path, record: Mapping[str, JSON]) -> _Run:
        values, _ = read_values(folder)
        shown = {key[0] for key in values.columns}
        scores = read_scores(folder, columns=["question", *_ROW, "picks", "weights", "slots"])
        budgets = {key[1] for key in values.columns}
        scores = scores[scores["method"].isin(shown) & scores["n"].isin(budgets)]
        scores = scores[~scores["method"].isin(_frames(record))]
        rollouts = read_rollouts(folder, columns=["question", *_ROLLOUT])
        return cls(
            read_questions(folder),
            {str(name): rows for name, rows in rollouts.groupby("question")},
            {str(name): rows for name, rows in scores.groupby("question")},
            values,
        )

    def index(self, record: Mapping[str, JSON], summary: pd.DataFrame) -> JSON:
        """What the page shows at once: the table, the curves, the list of questions."""
        config, task = record["config"], record["task"]
        place = {name: index for index, name in enumerate(self.values.questions)}
        keys = sorted(self.values.columns, key=str)
        return {
            "task": config["task"],
            "model": config["model"],
            "anchor": config.get("anchor"),
            "judge": config.get("judge") if task.get("judging") else None,
            "pool": config["pool"],
            "graded": bool(task.get("graded")),
            "frames": sorted(_frames(record)),
            "table": [_plain(row, _TABLE) for row in _records(summary)],
            "keys": [list(key) for key in keys],
            "questions": [
                [
                    row["question"],
                    row["text"][:HEADLINE],
                    [
                        _number(self.values.columns[key][place[row["question"]]])
                        if row["question"] in place
                        else None
                        for key in keys
                    ],
                ]
                for row in _records(self.questions)
            ],
        }


def _frames(record: Mapping[str, JSON]) -> set[str]:
    return {entry["name"] for entry in record["methods"] if entry["kind"] == "frame"}


async def _chunks(run: _Run, record: Mapping[str, JSON]) -> AsyncIterator[tuple[int, JSON]]:
    """Each question with all that is known of it, by its place in the list."""
    criteria = _criteria(record)
    texts = _Texts(record)
    for place, row in enumerate(_records(run.questions)):
        name = row["question"]
        yield (
            place,
            {
                "text": row["text"],
                "meta": row["meta"],
                "criteria": criteria.get(name, []),
                "rollouts": [
                    {**_plain(rollout, _ROLLOUT), **(await texts.of(name, rollout["slot"]))}
                    for rollout in _records(run.rollouts.get(name))
                ],
                "rows": [_estimate(each) for each in _records(run.rows.get(name))],
            },
        )
    await texts.close()


class _Texts:
    """The rollouts' texts, read from the cache question by question; none where it has none."""

    def __init__(self, record: Mapping[str, JSON]) -> None:
        self._pools: AsyncIterator[Pool] | None = rerun.pools(record)
        self._now: dict[int, Reply] = {}
        self._question = ""

    async def of(self, question: str, slot: int) -> dict[str, JSON]:
        """The fields of a rollout that the run's folder does not hold."""
        while self._pools is not None and self._question != question:
            await self._next()
        reply = self._now.get(slot) if self._question == question else None
        if reply is None:
            return {}
        return {
            "text": reply.text[:LONGEST],
            **({"cut": len(reply.text)} if len(reply.text) > LONGEST else {}),
            **({"reasoning": reply.reasoning[:LONGEST]} if reply.reasoning else {}),
        }

    async def close(self) -> None:
        """Let go of the cache."""
        if self._pools is not None:
            await self._pools.aclose()  # type: ignore[attr-defined]

    async def _next(self) -> None:
        assert self._pools is not None
        try:
            pool = await anext(self._pools, None)
        except CatBenchError:  # the task or the cache is not here: the page says so
            pool = None
        if pool is None:
            self._pools = None
            return
        self._question = pool.question.id
        self._now = {rollout.slot: rollout.reply for rollout in pool.rollouts}


def _criteria(record: Mapping[str, JSON]) -> dict[str, list[JSON]]:
    """Each question's criteria where a rubric scores, if the task's data are here."""
    if not record["task"].get("judging"):
        return {}
    try:
        samples = list(named_task(record["config"]["task"]).samples())
    except CatBenchError:
        return {}
    rubrics = ((sample.question.id, sample.target) for sample in samples)
    return {
        name: [[line["criterion"], line["points"]] for line in _lines(target)]
        for name, target in rubrics
    }


def _lines(target: JSON) -> Sequence[Mapping[str, JSON]]:
    lines: Sequence[Mapping[str, JSON]] = target["rubric"] if isinstance(target, dict) else target
    return lines


def _estimate(row: Mapping[str, JSON]) -> dict[str, JSON]:
    """A method's estimate: what it picked with which weight, or what it wrote, from which slots."""
    picks = [
        [int(slot), round(float(weight), 4)]
        for slot, weight in zip(row["picks"], row["weights"], strict=True)
        if weight >= SEEN
    ]
    read = [int(slot) for slot in row["slots"]]
    known = _plain(row, _ROW)
    text = known.get("text")
    if isinstance(text, str):
        known["text"] = text[:LONGEST]
    return {**known, **({"picks": picks} if picks else {}), **({"slots": read} if read else {})}


def _plain(row: Mapping[str, JSON], names: Sequence[str]) -> dict[str, JSON]:
    """These fields as JSON; what is missing or empty is left out."""
    found = {name: _value(row[name]) for name in names if name in row}
    return {name: value for name, value in found.items() if value is not None and value != []}


def _value(value: JSON) -> JSON:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return _number(value)
    return None if value is pd.NA else value


def _number(value: float) -> float | int | None:
    """Four digits are more than a page shows."""
    number = float(value)
    if not isfinite(number):
        return None
    return int(number) if number.is_integer() else round(number, 4)


def _records(table: pd.DataFrame | None) -> Iterator[dict[str, JSON]]:
    if table is not None:
        records: JSON = table.to_dict("records")
        yield from records
