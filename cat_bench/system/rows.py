"""Rows of JSONL and Parquet files, read as a stream: memory does not grow with their number.

The first broken row stops the reading with an error that names its line.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zlib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from cat_bench.errors import DataError, one_line, printable
from cat_bench.system.json_parts import parse_json, read_json
from cat_bench.types.calls import JSON

Row: TypeAlias = dict[str, JSON]
LONGEST = 1 << 28
"""The most bytes of a line, which is held in memory."""
UNPACKED, RATIO = 1 << 28, 200
"""The bytes that any gzip file may unpack to, and the largest ratio for a larger one."""


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises DataError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror}); name a file") from error


def read(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield each row of a JSONL (or gzipped), JSON, CSV or Parquet file, numbered from 1."""
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        numbered = _jsonl(path)
    elif path.suffix == ".parquet":
        numbered = _parquet(path)
    elif path.suffix == ".json":
        numbered = _array(path)
    elif path.suffix == ".csv":
        numbered = _csv(path)
    else:
        raise DataError(path, "is not .jsonl, .jsonl.gz, .json, .csv or .parquet; convert it")
    first = next(numbered, None)
    if first is None:
        raise DataError(path, "holds no row; name another file")
    yield first
    yield from numbered


def check_encodable(path: Path, line: int, name: str) -> None:
    """Raise DataError for an id that UTF-8 cannot encode, such as a lone surrogate."""
    try:
        name.encode()
    except UnicodeEncodeError as error:
        problem = f"the id {printable(name)!r} holds half of a character; correct it"
        raise DataError(path, problem, line=line) from error


def _array(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield the objects of one JSON array, which is read as a whole."""
    try:
        content = read_json(path)
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror}); fetch it again") from error
    except json.JSONDecodeError as error:
        raise DataError(path, f"is not JSON ({error.msg})", line=error.lineno) from error
    except ValueError as error:
        raise DataError(path, f"cannot be read as JSON ({error})") from error
    if not isinstance(content, list):
        raise DataError(path, "holds no JSON array of rows; write one, or a row a line as .jsonl")
    for number, row in enumerate(content, 1):
        if not isinstance(row, dict):
            raise DataError(path, f"is a JSON {type(row).__name__}, not an object", line=number)
        yield number, row


def _jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    number, size = 0, 0
    packed = path.suffix == ".gz"
    try:
        most = max(UNPACKED, RATIO * path.stat().st_size)
        with gzip.open(path) if packed else path.open("rb") as file:
            while line := file.readline(LONGEST + 1):
                number, size = number + 1, size + len(line)
                if len(line) > LONGEST:
                    problem = f"is longer than {LONGEST:,} bytes; split its row"
                    raise DataError(path, problem, line=number)
                if packed and size > most:
                    problem = f"unpacks to more than {most:,} bytes; unpack it yourself"
                    raise DataError(path, problem, line=number)
                text = line.removeprefix(BOM_UTF8) if number == 1 else line
                if text.strip():
                    yield number, _object(path, number, text)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            path, f"cannot be read ({error}); fetch it again", line=number + 1
        ) from error


def _csv(path: Path) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(LONGEST)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file, strict=True)
            if repeated := [n for n, count in Counter(lines.fieldnames or ()).items() if count > 1]:
                raise DataError(path, f"has two columns {repeated[0]!r}; rename one", line=1)
            for row in lines:
                if None in row or None in row.values():
                    problem = f"needs {len(lines.fieldnames or ())} cells, like the first line"
                    raise DataError(path, problem, line=lines.line_num)
                yield lines.line_num, dict(row)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(path, f"cannot be read as CSV in UTF-8 ({error})") from error


def _object(path: Path, number: int, line: bytes) -> Row:
    try:
        row = parse_json(line.decode())
    except json.JSONDecodeError as error:
        problem = f"is not JSON ({error.msg}, column {error.colno}); correct or drop it"
        raise DataError(path, problem, line=number) from error
    except UnicodeDecodeError as error:
        raise DataError(path, "is not UTF-8 text; save the file as UTF-8", line=number) from error
    except ValueError as error:
        raise DataError(path, f"{error}; simplify or drop it", line=number) from error
    if not isinstance(row, dict):
        raise DataError(path, f"is a JSON {type(row).__name__}, not an object", line=number)
    return row


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    from cat_bench.system.parquet import batches

    number = 0
    for batch in batches(path, rows=256):
        try:
            rows = batch.to_pylist()
        except (ValueError, OverflowError, LookupError) as error:
            problem = f"holds a value that is not text or a number ({one_line(error)}); correct it"
            raise DataError(path, problem, line=number + 1) from error
        for row in rows:
            number += 1
            yield number, row
