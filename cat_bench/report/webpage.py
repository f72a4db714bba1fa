"""A run as one page that opens from disk: the table, the curves, every question with its rollouts.

The page contains its style, scripts and data, and a content security policy that lists the scripts
by hash forbids everything else. Data are compressed JSON and only become text nodes, so that no
text of a model is interpreted as markup. A question's rollouts are
decompressed when it is opened, so a page of 500 × 64 rollouts opens as fast as one of ten.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import TextIO

import pandas as pd

from cat_bench.report.cells import FRAMES, describe_run, records
from cat_bench.report.palette import looks
from cat_bench.report.summary import summarise
from cat_bench.report.transcripts import Transcript, frames, transcripts
from cat_bench.report.values import Values, read_values
from cat_bench.runs.private import is_private_run
from cat_bench.runs.tables import RunTables
from cat_bench.system.files import atomic
from cat_bench.system.waiting import wait
from cat_bench.types.calls import JSON, Reply

SCRIPTS = ("vendor/uplot.min.js", "vendor/katex.min.js", "text.js", "curves.js", "page.js")
STYLES = ("vendor/uplot.min.css", "page.css")
HEADLINE = 160
"""Characters of a question that the list shows."""
LONGEST = 50_000
"""Characters of one text that the page keeps."""
PRIVATE = "this page holds the prompts of a private task: do not publish it"
PICKS = 8
"""The number of most probable picks that the page keeps."""
_TABLE = (
    *("method", "n", "kind", "score", "ci_low", "ci_high", "reference", "diff", "diff_low"),
    *("diff_high", "p_holm", "calls", "prompt_tokens", "completion_tokens", "questions"),
    *("unscored", "abstained", "fallback", "flag", "reason"),
)
_ROLLOUT = ("slot", "answer", "cluster", "score", "met", "finish", "failed", "completion_tokens")
_ROW = ("method", "n", "draw", "score", "text", "answer", "fallback", "failed", "abstained")


def write_page(
    run: RunTables | Path,
    *,
    reference: str | None = None,
    data: Path | None = None,
    place: Path | None = None,
) -> Path:
    """Write `page.html` into the run's folder; rollouts' texts come from the cache, if it has them.

    `place` is another file to write to; `data` is the file of the task's rows, if the run had one.
    Raises DataError where the folder is not a run, UsageError where it cannot be written.
    """
    run = RunTables.of(run)
    place = place or run.folder / "page.html"
    with atomic(place) as draft, draft.open("w", encoding="utf-8") as file:
        wait(_write(file, run, reference, data))
    return place


async def _write(file: TextIO, run: RunTables, reference: str | None, data: Path | None) -> None:
    """Write the page in parts, with each question's chunk as soon as it is made."""
    number = 0
    summary, (values, _) = summarise(run, reference=reference), read_values(run)
    index = _index(run.record, summary, run.questions, values)
    before, after = _frame(run.record, pack(index)).split("<!--chunks-->")
    file.write(before)
    async for transcript in transcripts(run, data=data):
        chunk = pack(_chunk(transcript))
        file.write(f'<script type="text/plain" id="q{number}">{chunk}</script>\n')
        number += 1
    file.write(after)


def pack(value: JSON) -> str:
    """Return compressed JSON as base64, which no parser changes."""
    raw = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return b64encode(gzip.compress(raw.encode(), 6, mtime=0)).decode()


def _frame(record: Mapping[str, JSON], index: str) -> str:
    """Return the page around its chunks."""
    page = files("cat_bench.report") / "page"
    style = "\n".join(_read_asset(name) for name in STYLES)
    scripts = [_read_asset(name) for name in SCRIPTS]
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


def _read_asset(name: str) -> str:
    path = files("cat_bench.report").joinpath("page", *name.split("/"))
    return path.read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return b64encode(sha256(text.encode()).digest()).decode()


def _index(
    record: Mapping[str, JSON], summary: pd.DataFrame, questions: pd.DataFrame, values: Values
) -> JSON:
    """Return the page's first view: the table, the curves, the list of questions."""
    config = record["config"]
    keys = sorted(values.columns, key=str)
    columns = [[_number(value) for value in values.columns[key].round(4)] for key in keys]
    scored = dict(zip(values.questions, zip(*columns, strict=True), strict=True))
    nothing = [None] * len(keys)
    return {
        "task": config["task"],
        "model": config["model"],
        "facts": [*describe_run(record), *([PRIVATE] if is_private_run(record) else [])],
        "graded": bool(record["task"].get("graded")),
        "frames": {name: FRAMES.get(name, "") for name in sorted(frames(record) | set(FRAMES))},
        "looks": {
            name: [look.colour, look.dash, look.outline]
            for name, look in looks(record, summary["method"]).items()
        },
        "table": [_select_fields(row, _TABLE) for row in records(summary)],
        "keys": [list(key) for key in keys],
        "questions": [
            [row["question"], _headline(row["text"]), scored.get(row["question"], nothing)]
            for row in records(questions)
        ],
    }


def _headline(text: str) -> str:
    return text if len(text) <= HEADLINE else f"{text[: HEADLINE - 1].rstrip()}…"


def _chunk(transcript: Transcript) -> JSON:
    """Return one question with its rollouts and estimates."""
    return {
        "text": transcript.text,
        "meta": transcript.meta,
        "criteria": _criteria(transcript.target),
        **({"right": transcript.right[:LONGEST]} if transcript.right else {}),
        "rollouts": [
            {**_select_fields(row, _ROLLOUT), **(_write_texts(reply) if reply else {})}
            for row, reply in transcript.rollouts
        ],
        "rows": [_estimate(row) for row in transcript.rows],
    }


def _write_texts(reply: Reply) -> dict[str, JSON]:
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
    weighed = sorted(zip(row["weights"], row["picks"], strict=True), key=lambda each: -each[0])
    picks = [[int(slot), _number(weight)] for weight, slot in weighed if weight > 0]
    read = [int(slot) for slot in row["slots"]]
    known = _select_fields(row, _ROW)
    text = known.get("text")
    if isinstance(text, str):
        known["text"] = text[:LONGEST]
    return {
        **known,
        **({"picks": picks[:PICKS], "of": len(picks)} if picks else {}),
        **({"slots": read} if read else {}),
    }


def _select_fields(row: Mapping[str, JSON], names: Sequence[str]) -> dict[str, JSON]:
    """Return these fields as JSON without missing and empty ones."""
    found = {name: _value(row[name]) for name in names if name in row}
    return {name: value for name, value in found.items() if value is not None and value != []}


def _value(value: JSON) -> JSON:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return _number(value)
    return None if value is pd.NA else value


def _number(value: float) -> float | int | None:
    """Return a number unrounded: the page rounds it as the table does."""
    number = round(float(value), 12)
    if not isfinite(number):
        return None
    return int(number) if number.is_integer() else number
