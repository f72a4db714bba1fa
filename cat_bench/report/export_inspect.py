"""A run as a log that `inspect view` shows: one sample per question, one score per method.

A sample's messages are the question and then each rollout; its scores hold each method's answer at
its largest n. The log names `cat_bench` as its solver, because Inspect generated no text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from cat_bench.errors import UsageError
from cat_bench.report.cells import rows_of
from cat_bench.report.summary import summarise
from cat_bench.report.transcripts import NO_TEXT, Answer, Transcript, transcripts
from cat_bench.runs.folder import as_utf8
from cat_bench.runs.labels import refuse_unlabelled
from cat_bench.runs.private import refuse_private
from cat_bench.runs.tables import RunTables
from cat_bench.system.extras import install_command
from cat_bench.system.waiting import call_without_loop, wait
from cat_bench.types.calls import JSON, Reply

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSample, EvalScore
    from inspect_ai.model import ChatMessageAssistant

_STOPS: Mapping[str, Literal["stop", "max_tokens", "content_filter"]] = {
    "stop": "stop",
    "length": "max_tokens",
    "refusal": "content_filter",
    "content_filter": "content_filter",
}


def export_inspect(run: RunTables | Path, *, data: Path | None = None) -> Path:
    """Write `inspect/<time>_<task>_<id>.eval` into the run's folder.

    `data` is the run's data file, if it is not the task's. Raises DataError if the folder is not a
    run, UsageError if Inspect is not installed, the task is private or rows are unlabelled.
    """
    try:
        from inspect_ai.log import write_eval_log
    except ImportError as error:
        raise UsageError(f"Inspect is not installed: {install_command('inspect')}") from error
    run = RunTables.of(run)
    refuse_private(run.record, advice="`report --html` writes a page for your own use")
    refuse_unlabelled(run.record, what="an export")
    log = wait(_log(run, data))
    stamp = re.sub(r"[^0-9A-Za-z]+", "-", log.eval.created)
    task = re.sub(r"[^0-9A-Za-z]+", "-", log.eval.task)
    place = run.folder.resolve() / "inspect" / f"{stamp}_{task}_{log.eval.task_id}.eval"
    place.parent.mkdir(exist_ok=True)
    call_without_loop(write_eval_log, log, place)
    return place


async def _log(run: RunTables, data: Path | None) -> EvalLog:
    from inspect_ai import log

    record = run.record
    samples = [_sample(transcript) async for transcript in transcripts(run, data=data)]
    config, last = record["config"], record["invocations"][-1]
    ids: list[str | int] = [sample.id for sample in samples]
    return log.EvalLog(
        status="success",
        eval=log.EvalSpec(
            created=last["started"],
            task=config["task"],
            task_id=record["id"],
            task_version=record["task"]["version"],
            run_id=record["id"],
            eval_id=record["id"],
            dataset=log.EvalDataset(name=config["task"], samples=len(ids), sample_ids=ids),
            model=config["model"],
            solver="cat_bench",
            config=log.EvalConfig(epochs=1),
            packages=record["versions"],
            metadata={
                "pool_digest": record["pool_digest"],
                "config": config,
                "judging": record["task"].get("judging"),
            },
        ),
        results=log.EvalResults(
            total_samples=len(ids), completed_samples=len(ids), scores=_scores(run)
        ),
        stats=log.EvalStats(started_at=last["started"], completed_at=_end_time(last)),
        samples=samples,
    )


def _scores(run: RunTables) -> list[EvalScore]:
    """Return each method's mean and standard error at its largest n."""
    from inspect_ai.log import EvalMetric, EvalScore

    summary = summarise(run)
    scored = summary[summary["score"].notna() & (summary["method"] != "oracle")]
    return [
        EvalScore(
            name=row["method"],
            scorer=row["method"],
            params={"n": int(row["n"])},
            scored_samples=int(row["questions"]),
            unscored_samples=int(row["unscored"]),
            metrics={
                name: EvalMetric(name=name, value=float(row[column]))
                for name, column in (("mean", "score"), ("stderr", "se"))
                if pd.notna(row[column])
            },
        )
        for row in rows_of(scored.drop_duplicates("method", keep="last"))
    ]


def _sample(transcript: Transcript) -> EvalSample:
    from inspect_ai.log import EvalSample
    from inspect_ai.model import ChatCompletionChoice, ChatMessageUser, ModelOutput
    from inspect_ai.scorer import Score

    rollouts = [(row, reply, _message(row, reply)) for row, reply in transcript.rollouts]
    choices = [
        ChatCompletionChoice(message=message, stop_reason=_STOPS.get(reply.finish or "", "unknown"))
        for _, reply, message in rollouts
        if reply
    ]
    return EvalSample(
        id=transcript.question,
        epoch=1,
        input=transcript.text,
        target=as_utf8(transcript.right),
        messages=[ChatMessageUser(content=transcript.text), *(m for _, _, m in rollouts)],
        output=ModelOutput(model="", choices=choices),
        scores={
            method: Score(
                value=_value(answer.score),
                answer=answer.answer if answer.answer is not None else answer.text,
                explanation=_explain(answer),
                metadata={"n": answer.n},
            )
            for method, answer in transcript.answers().items()
        },
        metadata={**transcript.meta, "rollouts": len(rollouts)},
    )


def _message(row: Mapping[str, JSON], reply: Reply | None) -> ChatMessageAssistant:
    from inspect_ai.model import ChatMessageAssistant, ContentReasoning, ContentText

    failed = row["failed"] if isinstance(row["failed"], str) else ""
    scored: str = "unscored" if pd.isna(row["score"]) else f"score {row['score']:.3g}"
    head = f"[rollout {row['slot']}: {failed or scored}]"
    text = reply.text if reply else ("" if failed else NO_TEXT)
    content = ContentText(text=as_utf8(f"{head}\n\n{text}"))
    if reply and reply.reasoning:
        return ChatMessageAssistant(content=[ContentReasoning(reasoning=reply.reasoning), content])
    return ChatMessageAssistant(content=[content])


def _value(score: float | None) -> float:
    return float("nan") if score is None else score


def _explain(answer: Answer) -> str:
    return answer.explanation + (f"\n\n{answer.text}" if answer.text else "")


def _end_time(invocation: Mapping[str, JSON]) -> str:
    started = datetime.fromisoformat(invocation["started"]).timestamp()
    zone = datetime.fromisoformat(invocation["started"]).tzinfo
    return datetime.fromtimestamp(started + invocation["seconds"], zone).isoformat()
