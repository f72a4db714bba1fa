"""`--map`: a pool's columns as JMESPath expressions over the rows of any file.

Example: `responses=all_answers[*][0], answer=gold_answer`. A comma outside brackets and quotes
separates columns. `responses` or `answers` is required; a list gives several responses, a text
gives one, and rows of one id are one question. `answers` are extracted answers without a model's
text.

A null among responses is a failed response. JMESPath drops nulls from the list that a projection
such as `all_answers[*].text` finds; here they are kept, so that each response keeps its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from os.path import commonpath
from pathlib import Path

from cat_bench.cache.formats.samples import Findings, Reader, Sampled, name_by_text, read_files
from cat_bench.errors import DataError, UsageError
from cat_bench.system.rows import Row
from cat_bench.types.calls import JSON

QUESTION = ("id", "problem", "answer")
PER_RESPONSE = ("responses", "answers", "reasoning", "finish", "tokens", "failures")
_NAME = re.compile(r"\s*([\w.-]+)\s*=(?!=)")
_OPEN, _CLOSE = "[{(", "]})"


def parse_map(text: str) -> Mapping[str, JSON]:
    """Return the compiled expression of each column. Raises UsageError."""
    import jmespath
    from jmespath.exceptions import JMESPathError

    expressions: dict[str, JSON] = {}
    for part in _split(text):
        match = _NAME.match(part)
        if match is None:
            raise UsageError(f"--map: {part.strip()!r} is not COLUMN=EXPRESSION")
        name, expression = match[1], part[match.end() :].strip()
        if name not in (*QUESTION, *PER_RESPONSE) and not name.startswith(("scores.", "meta.")):
            names = ", ".join((*QUESTION, *PER_RESPONSE, "scores.NAME", "meta.NAME"))
            raise UsageError(f"--map: there is no column {name!r}; known: {names}")
        if name in expressions:
            raise UsageError(f"--map: names {name!r} twice")
        try:
            expressions[name] = jmespath.compile(expression)
        except JMESPathError as error:
            reason = str(error).splitlines()[0]
            raise UsageError(f"--map: {name}={expression} is not JMESPath ({reason})") from error
    return expressions


def read_mapped(columns: Mapping[str, JSON]) -> Reader:
    """Return a reader of these columns. Raises UsageError unless one gives the responses."""
    if ("responses" in columns) == ("answers" in columns):
        raise UsageError("--map: name either responses=… (texts) or answers=… (only answers)")
    return partial(_read, columns)


def _read(
    columns: Mapping[str, JSON], files: Sequence[Path], findings: Findings
) -> Iterator[Sampled]:
    column = "responses" if "responses" in columns else "answers"
    findings.texts = column == "responses"
    findings.taken = {name: str(expression.expression) for name, expression in columns.items()}
    used, names = set(re.findall(r"\w+", " ".join(findings.taken.values()))), _name_files(files)
    for file, line, row in read_files(files, findings, used):
        values = {name: _search(name, expression, row) for name, expression in columns.items()}
        found, failed = values[column], values.get("failures") is not None
        problem = f"--map {column}={columns[column].expression} finds"
        if found is None and not failed:
            present = ", ".join(map(repr, row))
            hint = "; for a failed sample, name the reason by failures=…"
            raise DataError(file, f"{problem} nothing; there are {present}{hint}", line=line)
        if found == []:
            hint = "write null for a response that failed, or leave the row out"
            raise DataError(
                file, f"{problem} an empty list, so the question has no response: {hint}", line=line
            )
        place = f"{names[file]}/{line}"
        question = _question(file, line, values, findings, place=place)
        yield from _samples(file, line, values, column, question)


def _search(name: str, expression: JSON, row: Row) -> JSON:
    """Return what an expression finds; a column of responses keeps the nulls of its projection."""
    from jmespath.visitor import TreeInterpreter

    node = expression.parsed
    if name in QUESTION or name.startswith("meta.") or node["type"] != "projection":
        return expression.search(row)
    visit, (whole, part) = TreeInterpreter().visit, node["children"]
    entries = visit(whole, row)
    return [visit(part, entry) for entry in entries] if isinstance(entries, list) else None


def _name_files(files: Sequence[Path]) -> dict[Path, str]:
    """Return names that tell files apart: their stems, or else their paths below all of them."""
    names = {file: file.stem for file in files}
    if len(set(names.values())) < len(names):
        top = commonpath([file.absolute().parent for file in files])
        names = {file: file.absolute().relative_to(top).as_posix() for file in files}
    return names


def _samples(
    file: Path, line: int, values: Mapping[str, JSON], column: str, question: Row
) -> Iterator[Sampled]:
    value = values[column]
    texts = value if isinstance(value, list) else [value]
    many = isinstance(value, list)

    def column_of(name: str) -> list[JSON]:
        entries = values.get(name)
        if entries is None:
            return [None] * len(texts)
        entries = entries if isinstance(entries, list) and many else [entries]
        if len(entries) != len(texts):
            problem = f"has {len(texts)} responses, and --map {name} finds {len(entries)} entries"
            raise DataError(file, problem, line=line)
        return list(entries)

    scores = {
        name.removeprefix("scores."): column_of(name) for name in values if name[:7] == "scores."
    }
    meta = {name.removeprefix("meta."): v for name, v in values.items() if name[:5] == "meta."}
    lists = {name: column_of(name) for name in ("reasoning", "finish", "tokens", "failures")}
    for index, text in enumerate(texts):
        if not isinstance(text, str | int | float | None) or isinstance(text, bool):
            problem = f"--map {column} finds {type(text).__name__}, not a text"
            raise DataError(file, problem, line=line)
        tokens = lists["tokens"][index]
        if isinstance(tokens, bool) or not isinstance(tokens, int | None):
            raise DataError(file, f"--map tokens finds {tokens!r}, not a whole number", line=line)
        yield Sampled(
            **question,
            text=text if text is None else str(text),
            reasoning=lists["reasoning"][index],
            finish=lists["finish"][index],
            failure=lists["failures"][index],
            completion_tokens=tokens or 0,
            scores={name: column_scores[index] for name, column_scores in scores.items()},
            meta=meta,
        )


def _question(
    file: Path, line: int, values: Mapping[str, JSON], findings: Findings, *, place: str
) -> Row:
    """Return the question's id, text and answer; what the file lacks is guessed and reported."""
    name, problem, answer = (values.get(column) for column in QUESTION)
    for column, value in (("id", name), ("problem", problem)):
        if column in values and (value is None or isinstance(value, list | dict | bool)):
            raise DataError(file, f"--map {column} finds {value!r}, not a text", line=line)
    if name is None and problem is None:
        findings.guess("id: the row's number in its file, because --map has no id=… or problem=…")
        name = place
    elif name is None:
        findings.guess("id: a digest of the problem, because --map has no id=…")
        name = name_by_text(str(problem))
    if problem is None:
        findings.guess("problem: a placeholder, because --map has no problem=…")
        findings.placeholders = True
        problem = f"question {name} (its text is not in the file)"
    if "answer" not in values:
        findings.guess("answer: none, so nothing can be scored; --map answer=… names it")
    number = isinstance(answer, int | float) and not isinstance(answer, bool)
    return {"id": str(name), "problem": str(problem), "answer": str(answer) if number else answer}


def _split(text: str) -> Iterator[str]:
    """Yield the parts between commas outside brackets and quotes."""
    depth, quote, start = 0, "", 0
    for place, mark in enumerate(text):
        if quote:
            quote = "" if mark == quote else quote
        elif mark in "'\"`":
            quote = mark
        elif mark in _OPEN:
            depth += 1
        elif mark in _CLOSE:
            depth -= 1
        elif mark == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    if text[start:].strip():
        yield text[start:]
