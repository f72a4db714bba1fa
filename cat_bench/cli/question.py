"""Print one question of a run: its rollouts, what methods made of them, and what was sent.

An excerpt of each text is one line; with `full`, every text, message and reply is whole. A private
task's texts are shown here, on the user's own screen, and nothing is written to a file.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cat_bench.cli.output import print_record, print_rows, print_text
from cat_bench.errors import UnknownName
from cat_bench.types.calls import JSON, Failure, Reply, Result

if TYPE_CHECKING:
    from cat_bench.report.transcripts import Transcript
    from cat_bench.runs.exchanges import Exchange, Sent

EXCERPT = 72
"""Characters of a text without `full`."""
PICKS = 3
PROMPTS_UNKNOWN = "The rollouts were imported, so the prompts behind them are unknown."
_COLUMNS = (
    "method",
    "n",
    "draw",
    "score",
    "picks",
    "weights",
    "answer",
    "text",
    "fallback",
    "failed",
)


def show_question(folder: Path, name: str, *, data: Path | None, full: bool, as_json: bool) -> None:
    """Print all that is known of one question; raises UnknownName if the run did not ask it."""
    transcript = asyncio.run(_find_transcript(folder, name, data))
    head = {
        "question": name,
        "text": transcript.text,
        "target": transcript.target,
        **transcript.meta,
    }
    if as_json:
        print_record({**head, **_tables(folder, transcript)}, as_json=True)
        return
    print_record(head, as_json=False)
    _show("Rollouts", _rollouts(transcript, full=full), full=full)
    _show("Methods", _estimates(transcript), full=full)
    if transcript.exchanges:
        _show_sent(transcript, transcript.exchanges.rollouts, full=full)
    if any(not (reply or _known(row["failed"])) for row, reply in transcript.rollouts):
        click.echo(
            f"\nThe rollouts' texts are not here. {transcript.problem or _no_texts()}", err=True
        )


def _show(title: str, rows: Iterator[dict[str, JSON]], *, full: bool) -> None:
    """Print rows whose last column is a text: a table of excerpts, or each text whole."""
    if not (listed := list(rows)):
        return
    click.echo(f"\n{title}")
    if not full:
        print_rows([{k: _excerpt(v) for k, v in row.items()} for row in listed], as_json=False)
    for row in listed if full else ():
        *facts, text = row.values()
        print_text(f"\n{'  '.join(filter(None, map(str, facts)))}\n{text}")


def _no_texts() -> str:
    from cat_bench.cache.location import display_url, resolve

    return (
        f"The cache {display_url(resolve(None))} lacks them: set CAT_BENCH_CACHE to the run's "
        "cache, or import the run's published calls: cat-bench cache import FILE."
    )


async def _find_transcript(folder: Path, name: str, data: Path | None) -> Transcript:
    """Return the question's transcript. Raises UnknownName if the run did not ask the question."""
    from cat_bench.report.transcripts import transcripts
    from cat_bench.runs.folder import read_questions

    asked = list(read_questions(folder)["question"])
    if name not in asked:
        raise UnknownName("question of this run", name, asked)
    listed = transcripts(folder, data=data, only=name, calls=True)
    (transcript,) = [transcript async for transcript in listed]
    return transcript


def _tables(folder: Path, transcript: Transcript) -> Mapping[str, JSON]:
    """Return all rows of the question with their calls, for `--json`; floor and ceiling too."""
    from cat_bench.report.cells import rows_of
    from cat_bench.runs.folder import read_scores

    rollouts = [
        {
            **row,
            "text": reply and reply.text,
            "reasoning": reply and reply.reasoning,
            "verdicts": _encode_exchanges(transcript.verdicts(reply.text)) if reply else [],
        }
        for row, reply in transcript.rollouts
    ]
    methods = [
        {
            **{name: row[name] for name in _COLUMNS},
            "calls": _encode_exchanges(transcript.calls(row)),
            "verdicts": _encode_exchanges(transcript.verdicts(row["text"])),
        }
        for row in rows_of(read_scores(folder, question=transcript.question))
    ]
    sent = transcript.exchanges.rollouts if transcript.exchanges else None
    return {"sent": sent and _record(sent), "rollouts": rollouts, "methods": methods}


def _encode_exchanges(calls: Sequence[Exchange]) -> list[JSON]:
    return [{**_record(call.sent), "slot": call.slot, **_reply(call.result)} for call in calls]


def _record(sent: Sent) -> dict[str, JSON]:
    """Return what was sent as a record; `text` is left out if the call has none."""
    return {
        "role": sent.role,
        "model": sent.model,
        "kind": sent.kind,
        "sampling": dict(sent.sampling),
        "messages": list(sent.messages),
        **({} if sent.text is None else {"text": sent.text}),
    }


def _reply(result: Result | None) -> dict[str, JSON]:
    if isinstance(result, Reply):
        facts = {"finish": result.finish, "seed": result.seed, "served_by": result.served_by}
        return {"reply": result.text, "reasoning": result.reasoning, **facts}
    return {"reply": None, "failed": _failed(result)}


def _failed(result: Failure | None) -> str:
    return f"{result.kind}: {result.message}" if result else "the call is not in this cache"


def _rollouts(transcript: Transcript, *, full: bool) -> Iterator[dict[str, JSON]]:
    """Yield a row per slot."""
    for row, reply in transcript.rollouts:
        yield {
            "slot": row["slot"],
            "score": _known(row["score"]),
            "answer": _known(row["answer"]),
            "finish": _known(row["finish"]),
            "text": _text_of(reply, full=full) if reply else _known(row["failed"]),
        }


def _text_of(reply: Reply, *, full: bool) -> str:
    """Return the reply's text; with `full`, its reasoning precedes it."""
    if not (full and reply.reasoning):
        return reply.text
    return f"<reasoning>\n{reply.reasoning}\n</reasoning>\n{reply.text}"


def _estimates(transcript: Transcript) -> Iterator[dict[str, JSON]]:
    """Yield a row per method, n and draw: what was picked or written, and its score."""
    for row in transcript.rows:
        wrote = isinstance(row["text"], str)
        picks = sorted(zip(row["weights"], row["picks"], strict=True), reverse=True)
        picked = ", ".join(f"{slot} ({weight:.0%})" for weight, slot in picks[:PICKS] if weight > 0)
        more = ", …" if sum(weight > 0 for weight, _ in picks) > PICKS else ""
        trouble = "; ".join(filter(None, (_known(row["fallback"]), _known(row["failed"]))))
        yield {
            "method": row["method"],
            "n": row["n"],
            "draw": _known(row["draw"]),
            "score": _known(row["score"]),
            "answer": _known(row["answer"]) if wrote else "",
            "picked slots": picked + more,
            "remark": trouble,
            "text": row["text"] if wrote else "",
        }


def _show_sent(transcript: Transcript, sent: Sent | None, *, full: bool) -> None:
    """Print what was sent for the rollouts and, in full, for the methods' rows and to the judge."""
    click.echo("\nSent for each rollout")
    if sent is None:
        click.echo(PROMPTS_UNKNOWN)
    else:
        click.echo(_how(sent))
        print_text(_messages(sent) if full else str(_excerpt(_messages(sent))))
    calls, verdicts = list(_calls(transcript)), list(_verdicts(transcript))
    if full:
        _show("Calls of methods", (_call(*call) for call in calls), full=True)
        _show("Verdicts", (_call(*call) for call in verdicts), full=True)
    elif calls or verdicts:
        judge = f" and {len(verdicts):,} for verdicts" if verdicts else ""
        shows = "--full or --json shows what was sent and each whole reply."
        click.echo(f"\n{len(calls):,} calls of methods{judge}: {shows}")


def _calls(transcript: Transcript) -> Iterator[tuple[dict[str, JSON], Exchange]]:
    """Yield each call of a method, with the row that it is for."""
    for row in transcript.rows:
        for call in transcript.calls(row):
            yield {"of": _row(row)}, call


def _verdicts(transcript: Transcript) -> Iterator[tuple[dict[str, JSON], Exchange]]:
    """Yield each call of the judge, with the text that it is about."""
    for row, reply in transcript.rollouts:
        for call in transcript.verdicts(reply.text) if reply else ():
            yield {"of": f"rollout {row['slot']}"}, call
    for row in transcript.rows:
        for call in transcript.verdicts(row["text"]):
            yield {"of": _row(row)}, call


def _row(row: Mapping[str, JSON]) -> str:
    draw = "" if row["draw"] != row["draw"] or row["draw"] is None else f" draw {row['draw']:.0f}"
    return f"{row['method']} n = {row['n']}{draw}"


def _call(whose: Mapping[str, JSON], call: Exchange) -> dict[str, JSON]:
    """Return one call as a row: its owner, what was sent, and the reply."""
    reply = call.result
    text = _text_of(reply, full=True) if isinstance(reply, Reply) else _failed(reply)
    whole = f"{_messages(call.sent)}\n[reply]\n{text}"
    return {**whose, "how": _how(call.sent), "slot": f"slot {call.slot}", "text": whole}


def _how(sent: Sent) -> str:
    """Return the role, the model, and the sampling parameters."""
    kind = "" if sent.kind == "generate" else sent.kind
    sampling = (f"{name}={json.dumps(value)}" for name, value in sent.sampling.items())
    return " ".join(filter(None, (sent.role, sent.model, kind, *sampling)))


def _messages(sent: Sent) -> str:
    """Return each message after its role, and then a text that was scored."""
    parts = [f"[{message['role']}]\n{message['content']}" for message in sent.messages]
    return "\n".join([*parts, *([] if sent.text is None else [f"[text]\n{sent.text}"])])


def _known(value: JSON) -> JSON:
    """Return a value as a cell; a missing value is empty."""
    if value is None or value != value:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else value


def _excerpt(cell: JSON) -> JSON:
    """Return the end of a text on one line: its answer is at the end."""
    if not isinstance(cell, str):
        return cell
    line = " ".join(cell.split())
    return line if len(line) <= EXCERPT else "… " + line[-EXCERPT:]
