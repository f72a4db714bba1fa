"""Messages of one line, and one tree."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from cat_bench import errors
from cat_bench.errors import (
    CallFailed,
    CatBenchError,
    ConfigError,
    ContextTooLong,
    DataError,
    UnknownName,
    UsageError,
)
from cat_bench.types.calls import Failure
from tests.places import ROOT


def test_the_docstring_draws_every_error() -> None:
    own = [each for _, each in inspect.getmembers(errors, inspect.isclass)]
    named = [each.__name__ for each in own if issubclass(each, Exception)]
    assert errors.__doc__
    assert [name for name in named if name not in errors.__doc__] == []
    assert all(issubclass(each, CatBenchError) for each in own if issubclass(each, Exception))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            UnknownName("method", "majorty", ["majority", "single"]),
            "there is no method 'majorty'. Did you mean 'majority'? Known: majority, single",
        ),
        (UnknownName("pool", "x", []), "there is no pool 'x'. Known: none"),
        (ConfigError("a.yaml", "data.file", "is missing"), "a.yaml: data.file: is missing"),
        (ConfigError(Path("a.yaml"), "", "is not YAML"), "a.yaml: is not YAML"),
        (DataError("rows.jsonl", "is not JSON", line=7), "rows.jsonl, line 7: is not JSON"),
        (CallFailed(Failure("timeout", "too slow")), "timeout: too slow"),
    ],
)
def test_messages(error: CatBenchError, message: str) -> None:
    assert str(error) == message


def test_what_is_the_callers_fault() -> None:
    assert issubclass(UnknownName, UsageError)
    assert issubclass(ConfigError, UsageError)
    assert issubclass(DataError, UsageError)
    assert not issubclass(CallFailed, UsageError)
    assert issubclass(ContextTooLong, CallFailed)


def last_words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line, and the end of the message, of each error that is made with a literal message."""
    kinds = {name for name, _ in inspect.getmembers(errors, inspect.isclass)}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args:
            message = call.args[-1]
            last = message.values[-1] if isinstance(message, ast.JoinedStr) else message
            if call.func.id in kinds and isinstance(last, ast.Constant):
                yield call.lineno, str(last.value)


def test_messages_end_without_a_full_stop() -> None:
    found = {
        path: dict(last_words(ast.parse(path.read_text("utf-8"))))
        for path in (ROOT / "cat_bench").rglob("*.py")
    }
    assert sum(map(len, found.values())) > 100
    stops = {
        f"{path}:{n}"
        for path, ends in found.items()
        for n, end in ends.items()
        if end.endswith(".") and not end.endswith("...")
    }
    assert stops == set()
