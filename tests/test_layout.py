"""The repository's own rules: what may stand where, and how long it may be."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import ROOT

LONGEST_MODULE, LONGEST_FUNCTION = 350, 60


def modules() -> Iterator[Path]:
    return (ROOT / "cat_bench").rglob("*.py")


@pytest.fixture(autouse=True)
def _no_finalisers() -> Iterator[None]:
    """In Python 3.11 a finaliser that formats a traceback inside `ast.parse` makes it fail."""
    gc.disable()
    yield
    gc.enable()


def test_the_catalogue_holds_no_python() -> None:
    folders = ("tasks", "baselines", "claims", "recipes")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert found == []


def test_no_module_and_no_function_is_too_long() -> None:
    long = []
    for path in modules():
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > LONGEST_MODULE:
            long.append(str(path))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    long.append(f"{path}: {node.name} ({lines} lines)")
    assert long == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [path for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []
