"""Audit a judge: collect its verdicts on labelled answers and compare them with the labels.

An audit belongs to one combination of model, sampling and prompt. It is one JSON file beside the
runs; the report finds it for every run that this judge scored.
"""

from __future__ import annotations

import json
import math
from asyncio import gather
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel

from cat_bench.audit.agreement import Agreement, Pair, agreement, between_annotators
from cat_bench.audit.labels import Labelled, Labels
from cat_bench.cache import Cache
from cat_bench.errors import DataError, UsageError, one_line
from cat_bench.loading import catalog
from cat_bench.loading.validation import validate
from cat_bench.models.backends.opening import open_backend
from cat_bench.models.cached import Model
from cat_bench.models.lending import QuestionContext, Role, Roles
from cat_bench.runs.config import RunConfig
from cat_bench.runs.judge_profile import apply_profile
from cat_bench.runs.places import results_root
from cat_bench.runs.record import digest
from cat_bench.scorers.rubric import Profile, Rubric, Verdict, describe_judging
from cat_bench.system.files import write_atomic
from cat_bench.system.json_parts import parse_json
from cat_bench.types.calls import JSON, Sampling

FORMAT = 1
_Figure: TypeAlias = tuple[float | None, float | None, float | None]
"""A value and its interval."""


async def audit(labels: Labels, config: RunConfig) -> dict[str, JSON]:
    """Judge every labelled answer as `config.task` does; return the record of the audit.

    Raises UsageError if no judge is named, DataError if the labels lack prompts or answers.
    """
    verdicts, asks = await _judge(labels, config)
    return record_of(labels, verdicts, judge=str(config.judge), asks=asks)


async def audit_profiles(
    labels: Labels, config: RunConfig, profiles: Sequence[Profile]
) -> list[dict[str, JSON]]:
    """Audit the judge by each profile; each record includes its agreement with the others.

    Raises as `audit` does.
    """
    verdicts: dict[Profile, list[bool | None]] = {}
    records = []
    for profile in profiles:
        chosen: dict[str, JSON] = {"judge_profile": profile}
        if profile != "official":
            chosen["judge_template"] = None
        verdicts[profile], asks = await _judge(labels, config.model_copy(update=chosen))
        records.append(record_of(labels, verdicts[profile], judge=str(config.judge), asks=asks))
    for profile, record in zip(profiles, records, strict=True):
        record["profiles"] = {
            other: _to_json(agreement(_pair_verdicts(labels, verdicts[profile], verdicts[other])))
            for other in profiles
            if other != profile
        }
    return records


def _pair_verdicts(
    labels: Labels, verdicts: Sequence[bool | None], others: Sequence[bool | None]
) -> Iterator[Pair]:
    """Yield the pair of verdicts on each row that has both."""
    for row, verdict, other in zip(labels.rows, verdicts, others, strict=True):
        if verdict is not None and other is not None:
            yield Pair(verdict, other, row.example)


async def _judge(labels: Labels, config: RunConfig) -> tuple[list[bool | None], Mapping[str, JSON]]:
    """Return the judge's verdict on each row, or None, and how the judge was asked."""
    if config.judge is None:
        raise UsageError("no judge is named: give --judge MODEL")
    if lacking := sum(not row.messages or row.response is None for row in labels.rows):
        raise DataError(
            labels.name,
            f"{lacking:,} of {len(labels.rows):,} rows have no prompt or no completion, so they "
            "cannot be judged; give the whole file of labels",
        )
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(Cache())
        task = apply_profile(catalog.task(config.task, cache=cache), config)
        backend = open_backend(config.judge, cache, base_url=config.base_url)
        model = Model(
            config.judge,
            backend,
            cache=cache,
            limits=config.limits,
            offline=config.offline,
            seed=config.seed,
        )
        stack.push_async_callback(model.close)
        given = validate(Sampling, config.sampling.get("judge", {}), source="sampling.judge")
        judge = Role(model, given.over(task.sampling.get("judge", Sampling())))
        asks = describe_judging(judge, task.prompts, task.scorer, fetch=not config.offline)
        ctx = QuestionContext(Roles(judge, judge=judge), None, task.prompts)
        scorer = task.scorer if isinstance(task.scorer, Rubric) else Rubric()
        verdicts = await gather(*(_verdict(row, scorer, ctx) for row in labels.rows))
    return verdicts, asks


async def _verdict(row: Labelled, scorer: Rubric, ctx: QuestionContext) -> bool | None:
    """Return the judge's verdict on one row; None if it gave none."""
    verdict = await scorer.verdict(
        row.criterion, row.question, row.response or "", ctx, points=row.points
    )
    return verdict.met if isinstance(verdict, Verdict) else None


def record_of(
    labels: Labels,
    verdicts: Sequence[bool | None],
    *,
    judge: str,
    asks: Mapping[str, JSON],
) -> dict[str, JSON]:
    """Return the audit of one verdict per row of `labels`; rows without a verdict are counted."""
    rows = [(row, met) for row, met in zip(labels.rows, verdicts, strict=True) if met is not None]
    by_category: dict[str, list[tuple[Labelled, bool]]] = {}
    for row, met in rows:
        by_category.setdefault(row.category, []).append((row, met))
    people = between_annotators((row.example, row.labels) for row in labels.rows)
    return {
        "format": FORMAT,
        "judge": judge,
        "judging": {"profile": "ours", **asks, "digest": digest(asks)},
        "labels": {
            "file": labels.name,
            "sha256": labels.sha256,
            "rows": len(labels.rows),
            "annotators": labels.annotators,
        },
        "unobtained": len(labels.rows) - len(rows),
        "judge_and_people": _to_json(agreement(pairs(rows))),
        "people_among_themselves": _to_json(agreement(people)) if people else None,
        "categories": {
            name: _to_json(agreement(pairs(group))) for name, group in sorted(by_category.items())
        },
        "audited": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def pairs(rows: Iterable[tuple[Labelled, bool]]) -> list[Pair]:
    """Return every pair of a verdict and one label of its row."""
    return [Pair(met, label, row.example) for row, met in rows for label in row.labels]


def keep(record: Mapping[str, JSON]) -> Path:
    """Write an audit where reports look for it; it replaces an earlier one of the same labels."""
    name = f"{record['judging']['digest'][:12]}-{record['labels']['sha256'][:8]}.json"
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False)
    return write_atomic(results_root() / "audits" / name, f"{text}\n".encode())


def find(asked: str, run: Path) -> list[dict[str, JSON]]:
    """Return the audits of the judge with this digest, beside `run` and in the results folder.

    Anyone may have written the digest, in a run's record: it is no pattern of files.
    """
    folders = {run.resolve().parent / "audits", (results_root() / "audits").resolve()}
    paths = {
        path.name: path
        for folder in sorted(folders)
        for path in sorted(folder.glob("*.json"))
        if path.name.startswith(f"{asked[:12]}-")
    }
    records = [_read(path) for path in paths.values()]
    return [record for record in records if record["judging"]["digest"] == asked]


def _read(path: Path) -> dict[str, JSON]:
    try:
        record = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        problem = f"is not a readable audit ({one_line(error)}); run the audit again"
        raise DataError(path, problem) from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(path, f"is not an audit of format {FORMAT}; run the audit again")
    validate(_Shape, record, source=path)
    return record


class _Measured(BaseModel):
    """An agreement, as reports read it."""

    pairs: int
    macro_f1: _Figure
    kappa: _Figure
    bias: _Figure


class _Judging(BaseModel):
    digest: str


class _Labels(BaseModel):
    file: str
    annotators: int | str


class _Kappa(BaseModel):
    kappa: _Figure


class _Shape(BaseModel):
    """The parts of an audit's record that reports read; anyone may have written the file."""

    judging: _Judging
    labels: _Labels
    unobtained: int
    judge_and_people: _Measured
    people_among_themselves: _Measured | None
    profiles: dict[str, _Kappa] = {}


def _to_json(measured: Agreement) -> dict[str, JSON]:
    """Return an agreement as JSON: figures as [value, low, high], undefined ones as null."""
    figures = {
        name: [None if math.isnan(x) else round(x, 6) for x in asdict(figure).values()]
        for name, figure in measured.figures.items()
    }
    return {"pairs": measured.pairs, "examples": measured.examples, **figures}
