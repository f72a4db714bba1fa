"""A run as one page that opens from disk: the table, the curves, every question with its rollouts.

The page contains its style, scripts and data, and a content security policy that lists the scripts
by hash forbids everything else. Data are compressed JSON and only become text nodes, so that no
text of a model is interpreted as markup. A question's rollouts are decompressed when it is opened
or searched, so a page of 500 × 64 rollouts opens as fast as one of ten.
"""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TextIO

import pandas as pd

from cat_bench.report.cells import BOUNDS, describe_run, rows_of
from cat_bench.report.errata import errata_note
from cat_bench.report.groups import find_groups, sort_groups
from cat_bench.report.notes import list_notes
from cat_bench.report.page_question import encode_number, encode_question, select_fields
from cat_bench.report.palette import looks, series
from cat_bench.report.signals import (
    COLUMNS,
    NOTES,
    Ratings,
    best_of_curves,
    calibration_bins,
    quality,
)
from cat_bench.report.summary import summarise
from cat_bench.report.transcripts import frames, transcripts
from cat_bench.report.values import read_values
from cat_bench.runs.labels import is_unlabelled
from cat_bench.runs.private import is_private_run
from cat_bench.runs.tables import RunTables
from cat_bench.system.files import atomic
from cat_bench.system.waiting import wait
from cat_bench.types.calls import JSON

SCRIPTS = (
    *("vendor/uplot.min.js", "vendor/katex.min.js"),
    *("text.js", "curves.js", "signals.js", "question.js", "page.js"),
)
STYLES = ("vendor/uplot.min.css", "page.css")
HEADLINE = 160
"""Characters of a question that the list shows."""
PRIVATE = "this page holds the prompts of a private task: do not publish it"
UNSENT = (
    "What was sent is not on the page of a private task: cat-bench show RUN --question ID --full."
)
_TABLE = (
    *("method", "n", "kind", "score", "ci_low", "ci_high", "reference", "diff", "diff_low"),
    *("diff_high", "p_holm", "calls", "prompt_tokens", "completion_tokens", "questions"),
    *("unlabelled", "unscored", "abstained", "fallback", "flag", "reason"),
)


def write_page(
    run: RunTables | Path,
    *,
    reference: str | None = None,
    data: Path | None = None,
    place: Path | None = None,
) -> Path:
    """Write `page.html` into the run's folder; rollouts' texts come from the cache, if it has them.

    `place` is another file to write to; `data` is the run's data file, if it is not the task's.
    Raises DataError if the folder is not a run, UsageError if it cannot be written.
    """
    run = RunTables.of(run)
    place = place or run.folder / "page.html"
    with atomic(place) as draft, draft.open("w", encoding="utf-8") as file:
        wait(_write(file, run, reference, data))
    return place


async def _write(file: TextIO, run: RunTables, reference: str | None, data: Path | None) -> None:
    """Write the page in parts, with each question's chunk as soon as it is made."""
    number = 0
    summary, private = summarise(run, reference=reference), is_private_run(run.record)
    index = _index(run, summary, private=private)
    before, after = _frame(run.record, pack(index)).split("<!--chunks-->")
    file.write(before)
    async for transcript in transcripts(run, data=data, calls=not private):
        chunk = pack(encode_question(transcript, sent=not private))
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


def _index(run: RunTables, summary: pd.DataFrame, *, private: bool) -> JSON:
    """Return the page's first view: the table, the curves, the list of questions."""
    record, (values, _) = run.record, read_values(run)
    config = record["config"]
    keys = sorted(values.columns, key=str)
    columns = [[encode_number(value) for value in values.columns[key].round(4)] for key in keys]
    scored = dict(zip(values.questions, zip(*columns, strict=True), strict=True))
    nothing = [None] * len(keys)
    remarks = list(errata_note(record, values))
    ids = list(run.questions["question"])
    fields = find_groups(run, ids)
    return {
        "task": config["task"],
        "model": config["model"],
        "facts": [*describe_run(record), *([PRIVATE] if private else [])],
        "notes": [*map(_remove_marks, list_notes(summary, record, remarks=remarks))],
        "graded": bool(record["task"].get("graded")),
        "lack": _explain_lack(record),
        "unsent": UNSENT if private else "",
        "frames": {name: BOUNDS.get(name, "") for name in sorted(frames(record) | set(BOUNDS))},
        "looks": {
            name: [look.colour, look.dash, look.outline]
            for name, look in looks(record, summary["method"]).items()
        },
        "table": [select_fields(row, _TABLE) for row in rows_of(summary)],
        "signals": [] if is_unlabelled(record) else list(_signals(run)),
        "signal_notes": list(NOTES),
        "keys": [list(key) for key in keys],
        "groups": {field: [sort_groups(groups), list(groups)] for field, groups in fields.items()},
        "questions": [
            [name, _headline(text), scored.get(name, nothing)]
            for name, text in zip(ids, run.questions["text"], strict=True)
        ],
    }


def _signals(run: RunTables) -> Iterator[JSON]:
    """Yield each signal's row, with its look, its best-of-n and its bins."""
    rated = run.reading(Ratings).records
    curves, bins = best_of_curves(rated), calibration_bins(rated)
    for place, row in enumerate(rows_of(quality(rated))):
        look = series(place)
        curve, bars = (table[table["signal"] == row["signal"]] for table in (curves, bins))
        yield {
            **select_fields(row, COLUMNS),
            "look": [look.colour, look.dash],
            "curve": [
                select_fields(item, ("n", "score", "ci_low", "ci_high")) for item in rows_of(curve)
            ],
            "bins": [
                select_fields(item, ("bin", "number", "score", "rollouts"))
                for item in rows_of(bars)
            ],
        }


def _explain_lack(record: Mapping[str, JSON]) -> str:
    """Return why a response of the run has no score."""
    if is_unlabelled(record):
        return "unlabelled"
    return "unlabelled or unscored" if record.get("unlabelled") else "unscored"


def _remove_marks(note: str) -> str:
    """Return a note of the table without its Markdown."""
    return re.sub(r"\\([\\`*|<\[])|\*+", lambda match: match[1] or "", note)


def _headline(text: str) -> str:
    return text if len(text) <= HEADLINE else f"{text[: HEADLINE - 1].rstrip()}…"
