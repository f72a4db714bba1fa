"""One question of a page as JSON: its rollouts, its methods' estimates, and what was sent.

A message that quotes rollouts holds their slots in place of their texts, and equal requests are
kept once: a page with every prompt is little larger than one without.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite

import pandas as pd

from cat_bench.report.transcripts import Transcript
from cat_bench.runs.exchanges import Exchange, Sent
from cat_bench.types.calls import JSON, Reply, Result

LONGEST = 50_000
"""Characters of one text that the page keeps."""
PICKS = 8
"""The number of most probable picks that the page keeps."""
CALLS = 100
"""The number of calls of one row that the page keeps."""
QUOTED = 40
"""The fewest characters of a quoted text that is kept as a reference."""
QUESTION = -1
"""The reference to the question's text; a rollout's is its slot."""
_ROLLOUT = ("slot", "answer", "cluster", "score", "met", "finish", "failed", "completion_tokens")
_ROW = ("method", "n", "draw", "score", "text", "answer", "fallback", "failed", "abstained")


def encode_question(transcript: Transcript, *, sent: bool = True) -> JSON:
    """Return one question with its rollouts and estimates; with `sent`, what was sent for them."""
    calls = _Calls(transcript)
    first = transcript.exchanges.rollouts if sent and transcript.exchanges else None
    page = {
        "text": transcript.text,
        "meta": transcript.meta,
        "criteria": _criteria(transcript.target),
        **({"right": transcript.right[:LONGEST]} if transcript.right else {}),
        **({"asked": calls.index(first)} if first else {}),
        "rollouts": [
            {
                **select_fields(row, _ROLLOUT),
                **(_written(reply) if reply else {}),
                **calls.encode_calls("verdicts", transcript.verdicts(reply.text) if reply else ()),
            }
            for row, reply in transcript.rollouts
        ],
        "rows": [
            {
                **_estimate(row),
                **calls.encode_calls("calls", transcript.calls(row)),
                **calls.encode_calls("verdicts", transcript.verdicts(row["text"])),
            }
            for row in transcript.rows
        ],
    }
    return {**page, "sent": calls.sent}


class _Calls:
    """The requests of one question, each once, with references to the texts that they quote."""

    def __init__(self, transcript: Transcript) -> None:
        quoted = [(transcript.text, QUESTION)]
        quoted += [(reply.text, row["slot"]) for row, reply in transcript.rollouts if reply]
        lengths = range(QUOTED, LONGEST + 1)
        slots = {text: slot for text, slot in reversed(quoted) if len(text) in lengths}
        self._quoted = sorted(slots.items(), key=lambda item: (-len(item[0]), item[1]))
        self._places: dict[str, int] = {}
        self.sent: list[JSON] = []

    def encode_calls(self, name: str, calls: Sequence[Exchange]) -> dict[str, JSON]:
        """Return the first calls as a field: each one's place of the request, slot and reply."""
        listed = [[self.index(c.sent), c.slot, _result(c.result)] for c in calls[:CALLS]]
        size = {f"{name}_of": len(calls)} if len(calls) > CALLS else {}
        return {name: listed, **size} if listed else {}

    def index(self, sent: Sent) -> int:
        """Return the index of a request in `sent`; add it if it is new."""
        request = {
            "role": sent.role,
            "model": sent.model,
            "sampling": dict(sent.sampling),
            "messages": [[m["role"], *self._content(m["content"])] for m in sent.messages],
            **({"kind": sent.kind} if sent.kind != "generate" else {}),
            **({} if sent.text is None else {"text": self._content(sent.text)}),
        }
        key = json.dumps(request, sort_keys=True)
        if key not in self._places:
            self._places[key] = len(self.sent)
            self.sent.append(request)
        return self._places[key]

    def _content(self, text: str) -> list[JSON]:
        """Return a text as strings and references; a string that is cut has its length after it."""
        parts: list[str | int] = [text]
        for quoted, slot in self._quoted:
            if any(isinstance(part, str) and quoted in part for part in parts):
                parts = [piece for part in parts for piece in _split(part, quoted, slot)]
        return [
            {"cut": part[:LONGEST], "of": len(part)}
            if isinstance(part, str) and len(part) > LONGEST
            else part
            for part in parts
        ]


def _split(part: str | int, quoted: str, slot: int) -> Iterator[str | int]:
    """Yield a part with the reference in place of each quotation."""
    if isinstance(part, int):
        yield part
        return
    for number, piece in enumerate(part.split(quoted)):
        if number:
            yield slot
        if piece:
            yield piece


def _result(result: Result | None) -> dict[str, JSON]:
    """Return a reply, or why there is none."""
    if isinstance(result, Reply):
        tokens = result.usage.completion
        ending = {"finish": result.finish} if result.finish else {}
        return {**_written(result), **ending, "completion_tokens": tokens}
    return {"failed": f"{result.kind}: {result.message}"} if result else {}


def _written(reply: Reply) -> dict[str, JSON]:
    """Return a reply's texts, and the full length of a text that is cut."""
    return {
        "text": reply.text[:LONGEST],
        **({"cut": len(reply.text)} if len(reply.text) > LONGEST else {}),
        **({"reasoning": reply.reasoning[:LONGEST]} if reply.reasoning else {}),
    }


def _criteria(target: JSON) -> list[JSON]:
    """Return a rubric's criteria and points; empty if the target is not a rubric."""
    lines = target.get("rubric", ()) if isinstance(target, dict) else target
    if not isinstance(lines, list | tuple):
        return []
    rubric = (line for line in lines if isinstance(line, dict))
    texts = ((line.get("criterion", line.get("criterion_text")), line) for line in rubric)
    return [[text, line["points"]] for text, line in texts if text is not None]


def _estimate(row: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return an estimate: its picks with weights or its text, and the slots that it read."""
    weighed = sorted(zip(row["weights"], row["picks"], strict=True), key=lambda pair: -pair[0])
    picks = [[int(slot), encode_number(weight)] for weight, slot in weighed if weight > 0]
    read = [int(slot) for slot in row["slots"]]
    fields = select_fields(row, _ROW)
    text = fields.get("text")
    if isinstance(text, str):
        fields["text"] = text[:LONGEST]
    return {
        **fields,
        **({"picks": picks[:PICKS], "of": len(picks)} if picks else {}),
        **({"slots": read} if read else {}),
    }


def select_fields(row: Mapping[str, JSON], names: Sequence[str]) -> dict[str, JSON]:
    """Return these fields as JSON without missing and empty ones."""
    encoded = {name: _value(row[name]) for name in names if name in row}
    return {name: value for name, value in encoded.items() if value is not None and value != []}


def _value(value: JSON) -> JSON:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return encode_number(value)
    return None if value is pd.NA else value


def encode_number(value: float) -> float | int | None:
    """Return a number unrounded: the page rounds it as the table does."""
    number = round(float(value), 12)
    if not isfinite(number):
        return None
    return int(number) if number.is_integer() else number
