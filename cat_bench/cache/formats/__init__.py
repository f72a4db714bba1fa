"""Samples that another tool wrote, read as a pool: one file for each format.

Input: the tool's files. Output: a pool's rows, and the findings: what was taken, left and guessed.
A verdict of the tool must never become a number that methods read: it is made from the gold answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cat_bench.cache.formats import (
    best_of_infinity,
    evalscope,
    every_eval_ever,
    inspect_log,
    lighteval,
    lm_eval,
    nemo_skills,
    verifiers,
)
from cat_bench.cache.formats.mapping import parse_map, read_mapped
from cat_bench.cache.formats.samples import Findings, Format, gather
from cat_bench.errors import DataError, UnknownName, UsageError
from cat_bench.system.rows import Row, file_digest, read

__all__ = ["FORMATS", "Conversion", "Findings", "convert", "list_files", "suggest_format"]

FORMATS: Mapping[str, Format] = {
    "best-of-infinity": best_of_infinity.FORMAT,
    "evalscope": evalscope.FORMAT,
    "every-eval-ever": every_eval_ever.FORMAT,
    "inspect": inspect_log.FORMAT,
    "lighteval": lighteval.FORMAT,
    "lm-eval": lm_eval.FORMAT,
    "nemo-skills": nemo_skills.FORMAT,
    "verifiers": verifiers.FORMAT,
}
_IN_FOLDERS = {
    "inspect": "*.eval",
    "lighteval": "details_*.parquet",
    "lm-eval": "samples_*.jsonl",
    "nemo-skills": "output-rs*.jsonl",
    "verifiers": "traces.jsonl",
}
_BARE = 200
"""The most characters of a response that may be only an answer."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """A pool's rows, numbered from 1, with the digest of the files and what was found in them."""

    name: str
    sha256: str
    rows: Sequence[Row]
    findings: Findings

    def read(self, *, texts: bool) -> Iterator[tuple[int, Row]]:
        """Yield the rows with their numbers; without `texts`, problems only where they are real."""
        for line, row in enumerate(self.rows, 1):
            hidden = {"problem"} if self.findings.placeholders and not texts else set[str]()
            yield line, {name: value for name, value in row.items() if name not in hidden}


def convert(
    files: Sequence[Path],
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    columns: str | None = None,
    answer: Callable[[str], str | None] | None = None,
) -> Conversion:
    """Read samples in a tool's format, or by a map of columns (see `formats.mapping`).

    `answer` reads a response as the pool's scorer does: bare answers are put into a box if that
    makes them readable. Raises UnknownName, UsageError, and DataError with the place.
    """
    if (format is None) == (columns is None):
        raise UsageError("name either --format or --map")
    if format is not None and format not in FORMATS:
        raise UnknownName("format", format, FORMATS)
    label = format or f"map {columns}"
    findings = Findings(format=label)
    reader = FORMATS[format].read if format else read_mapped(parse_map(columns or ""))
    source = ", ".join(file.name for file in files)
    rows: Sequence[Row] = gather(reader(files, findings), findings, source)
    if answer is not None and columns is not None:
        rows = _box_answers(rows, findings, answer)
    digests = [file_digest(file) for file in files]
    digest = digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()
    return Conversion(source, digest, rows, findings)


def list_files(paths: Sequence[Path], format: str | None) -> list[Path]:  # noqa: A002
    """Return the files, with a folder replaced by the files in it that the format reads.

    Raises DataError for a folder without any.
    """
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        pattern = _IN_FOLDERS.get(format or "", "*.jsonl")
        inside = sorted(path.glob(pattern), key=lambda p: (len(p.name), p.name))
        if not inside:
            raise DataError(path, f"is a folder without {pattern}; name the files")
        files += inside
    return files


def suggest_format(file: Path) -> str | None:
    """Return the format that a file seems to have, if it lacks a pool's own columns."""
    if file.suffix == ".eval":
        return "inspect"
    _, row = next(read(file))
    if "responses" in row:
        return None
    fitting = [name for name, form in FORMATS.items() if form.marks and form.marks <= row.keys()]
    return fitting[0] if fitting else None


def _box_answers(
    rows: Sequence[Row], findings: Findings, answer: Callable[[str], str | None]
) -> Sequence[Row]:
    """Return the rows with bare answers in boxes, if the scorer reads them only so."""
    texts = [text for row in rows for text in row["responses"] if text and text.strip()]
    short = all(len(text) <= _BARE and "\n" not in text.strip() for text in texts)
    if not texts or not short or any(answer(text) is not None for text in texts):
        return rows
    if all(answer(_box(text)) is None for text in texts):
        return rows
    findings.guess("responses: only answers, so each was put into \\boxed{}")
    findings.texts = False
    return [
        {**row, "responses": [_box(text) if text else text for text in row["responses"]]}
        for row in rows
    ]


def _box(text: str) -> str:
    return f"\\boxed{{{text.strip()}}}" if text.strip() else ""
