"""Writes a new task's folder from a data file, or from a small example of its own.

The folder is complete or absent: it is written under a hidden name, every row is read as a run
would read it, and then it is renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from cat_bench.errors import DataError, UsageError
from cat_bench.loading import catalog
from cat_bench.loading.closing import asks_for_a_box, describe_closing
from cat_bench.loading.data import Fields
from cat_bench.loading.guessing import ANSWERS, Columns, Scoring, guess_columns, guess_scorer
from cat_bench.loading.options import AnswerBy
from cat_bench.loading.registry import build, is_file
from cat_bench.system.rows import Row, read
from cat_bench.types.calls import JSON

EXAMPLES: Mapping[str, Sequence[Row]] = {
    "text_equal": (
        {"id": "fr", "question": "What is the capital of France?", "answer": "Paris"},
        {"id": "jp", "question": "What is the capital of Japan?", "answer": ["Tokyo", "Tōkyō"]},
        {"id": "pe", "question": "What is the capital of Peru?", "answer": "Lima"},
    ),
    "choice": (
        {"id": "1", "question": "Which is a fruit?", "options": ["car", "pear"], "answer": "B"},
        {"id": "2", "question": "Which is a bird?", "options": ["owl", "cow"], "answer": "A"},
        {"id": "3", "question": "Which is blue?", "options": ["the sky", "snow"], "answer": "A"},
    ),
    "number": (
        {"id": "1", "question": "What is 17 + 25?", "answer": 42},
        {"id": "2", "question": "What is 1 / 8 as a decimal?", "answer": 0.125},
        {"id": "3", "question": "How many metres are 3 km?", "answer": 3000},
    ),
    "math_equal": (
        {"id": "1", "problem": "Expand (x + 1)^2.", "answer": "x^2 + 2x + 1"},
        {"id": "2", "problem": "What is 1/2 + 1/3?", "answer": "\\frac{5}{6}"},
        {"id": "3", "problem": "Which number is both even and prime?", "answer": "2"},
    ),
}
"""Example rows, for a task without data."""
_ANSWER = str(Fields.model_fields["answer"].default)
"""The default column of answers."""
_TOKENS = 2048
"""The token limit of a response, which the user can change."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """What was written, and what was guessed for it."""

    folder: Path
    questions: int
    columns: Columns
    scoring: Scoring
    closing: str
    """The required ending of a response; "" for free text."""


def write_task(
    folder: Path,
    *,
    data: Path | None = None,
    scorer: str | None = None,
    problem: str | None = None,
    answer: str | None = None,
    answer_by: AnswerBy | None = None,
    unlabelled: bool = False,
) -> NewTask:
    """Write a task with the rows of `data`, or with an example, and return what was guessed.

    `scorer`, and the columns `problem` and `answer`, are guessed if they are not given. The rows of
    an `unlabelled` task have no answers, or their answers are not read. Raises UsageError for a
    folder that is not empty, DataError for a file that cannot be read or has no answers,
    ConfigError for a scorer that does not fit.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} exists already: name another folder, or remove it first")
    rows = [row for _, row in read(data)] if data else _example(scorer)
    roles = {"problem": problem, "answer": answer}
    for role, column in roles.items():
        if column is not None and column not in rows[0]:
            raise UsageError(f"--{role} {column}: there is no such column. {_list_columns(rows)}")
    if unlabelled and (answer or answer_by):
        raise UsageError("an unlabelled task has no column of answers: leave --answer out")
    columns = guess_columns(rows, problem=problem, answer=answer, answer_by=answer_by)
    if unlabelled:
        columns = replace(columns, answer=None, answer_by=None, shuffle=None)
    source = data or folder
    _check(columns, rows, source, unlabelled=unlabelled)
    targets = [row.get(str(columns.answer)) for row in rows]
    scoring = guess_scorer(
        [t for t in targets if t not in (None, "")], options=bool(columns.options)
    )
    if scorer is not None and scorer != scoring.scorer:
        scoring = Scoring(scorer, {}, "as --scorer says")
    file = data.name if data else "rows.jsonl"
    draft = folder.absolute().with_name(f".{folder.absolute().name}.{os.getpid()}")
    try:
        draft.mkdir(parents=True)
        if data:
            shutil.copyfile(data, draft / file)
        else:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (draft / file).write_text("".join(lines), encoding="utf-8")
        scoring, closing = _settle(scoring, draft, source)
        task = NewTask(folder, len(rows), columns, scoring, closing)
        _write(draft, task, file, rows)
        for _ in catalog.task(str(draft / "task.yaml"), data=data).samples():
            pass  # every row is read, as a run reads it
        draft.replace(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return task


def _example(scorer: str | None) -> list[Row]:
    scorer = scorer or "text_equal"
    if scorer not in EXAMPLES:
        names = ", ".join(EXAMPLES)
        raise UsageError(
            f"there is no example for the scorer {scorer}: pass --data. Known: {names}"
        )
    return [*EXAMPLES[scorer]]


def _check(columns: Columns, rows: Sequence[Row], source: Path, *, unlabelled: bool) -> None:
    """Raise DataError if no column holds the questions, or none the answers."""
    if not (columns.problem or columns.messages):
        problem = "has no column that looks like the question: name it by --problem COLUMN."
        raise DataError(source, f"{problem} {_list_columns(rows)}")
    if unlabelled:
        return
    if columns.answer is None:
        problem = "has no column that looks like the answer: name it by --answer COLUMN, or pass "
        problem += "--unlabelled where there is none."
        raise DataError(
            source, f"{problem} {_list_columns(rows)}. Known names: {', '.join(ANSWERS)}"
        )
    if all(row.get(columns.answer) in (None, "") for row in rows):
        raise DataError(
            source, f"has no answers: the column {columns.answer!r} is empty: pass --unlabelled"
        )


def _list_columns(rows: Sequence[Row]) -> str:
    return f"The columns: {', '.join(map(repr, rows[0]))}"


def _settle(scoring: Scoring, folder: Path, source: Path) -> tuple[Scoring, str]:
    """Return the scorer as the YAML names it, its file copied beside it, and its closing."""
    name = scoring.scorer
    if is_file(name):
        path, _, kind = name.rpartition(":")
        shutil.copy(path, folder)
        name = f"./{Path(path).name}:{kind}"
    built = build("scorer", name, scoring.params, base=folder, source=source)
    return Scoring(name, scoring.params, scoring.reason), describe_closing(built)


def _write(folder: Path, new: NewTask, file: str, rows: Sequence[Row]) -> None:
    """Write task.yaml, the prompt text and the README."""
    columns, scoring = new.columns, new.scoring
    fields: dict[str, JSON] = {
        name: value
        for name in ("id", "problem", "messages", "options", "answer", "answer_by", "shuffle")
        if (value := getattr(columns, name)) is not None
    }
    if columns.answer is None and any(row.get(_ANSWER) is not None for row in rows):
        fields[_ANSWER] = None
    if columns.meta:
        fields["meta"] = columns.meta
    task: dict[str, JSON] = {
        "version": 1,
        "summary": f"{new.questions:,} questions of {file}",
        "data": {"file": file, "fields": fields},
        "scorer": scoring.scorer,
    }
    if scoring.params:
        task["with"] = dict(scoring.params)
    boxed = columns.problem and all(asks_for_a_box(str(row[columns.problem])) for row in rows)
    ending = "End with {{ closing }}." if new.closing and not boxed else ""
    if columns.messages and new.closing:
        task["system"] = f"End with {new.closing}."
    task["sampling"] = {role: {"max_tokens": _TOKENS} for role in ("policy", "anchor", "judge")}
    written = yaml.safe_dump(task, sort_keys=False, allow_unicode=True, width=100)
    (folder / "task.yaml").write_text(written, encoding="utf-8")
    if not columns.messages:
        prompt = "\n\n".join(part for part in ("{{ problem }}", ending) if part)
        (folder / "prompt.txt").write_text(prompt + "\n", encoding="utf-8")
    (folder / "README.md").write_text(_readme(new, file), encoding="utf-8")


def _readme(task: NewTask, file: str) -> str:
    """Return the README: what the folder holds, how it runs, and what was guessed."""
    rows = "".join(f"| {name} | {value} |\n" for name, value in describe(task).items())
    name = task.folder.absolute().name
    return (
        f"# {name}\n\n{task.questions:,} questions of `{file}`.\n\n"
        f"| | |\n| --- | --- |\n{rows}\n"
        "This was guessed from the names of the columns and from the answers: where a guess is "
        "wrong, correct `task.yaml`.\n\n"
        f"    cat-bench show ./{name}\n    cat-bench run ./{name} --model MODEL\n"
    )


def describe(task: NewTask) -> dict[str, str]:
    """Return how the data are read, in words: part of the data → description."""
    columns = task.columns
    options = columns.options if isinstance(columns.options, str) else columns.options or []
    facts = {
        "question": columns.problem or columns.messages or "",
        "options": options if isinstance(options, str) else ", ".join(options),
        "answer": columns.answer or "none: the task is unlabelled",
        "id": columns.id or "none: rows are named by their content",
        "meta": ", ".join(columns.meta),
        "scorer": f"{task.scoring.scorer}: {task.scoring.reason}",
        "asked for": task.closing or "free text",
    }
    return {name: value for name, value in facts.items() if value}
