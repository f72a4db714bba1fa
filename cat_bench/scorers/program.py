"""Score a program in a sandbox: it must pass every test of its row.

The answer is the last Python code block. A test is `{"input", "output"}`, compared on standard
output (as in LiveCodeBench, arXiv 2403.07974), or an assertion `assert CALL == VALUE` (as in MBPP,
arXiv 2108.07732). Expected values never enter the sandbox: the program computes, this process
compares. So a program can neither read the answers nor print a verdict.
"""

from __future__ import annotations

import ast
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cat_bench.errors import ConfigError
from cat_bench.scorers.extraction import PYTHON, code_blocks
from cat_bench.system.sandbox import run_program
from cat_bench.system.supervision import Limits, Outcome
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Context
from cat_bench.types.records import Sample, Score

_VERSION = "2"
_CALLING = """\
import json, os, sys
_calls = json.load(sys.stdin)
_names = {"__name__": "solution"}
_values = []
try:
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "program.py")) as _file:
        exec(compile(_file.read(), "program.py", "exec"), _names)
    for _call in _calls:
        _values.append(repr(eval(_call, _names)))
finally:
    try:
        sys.stdout.flush()  # what the program printed, before the line with the values
    except Exception:
        pass
    os.write(1, ("\\n" + json.dumps(_values)).encode())
"""
_MISSING = object()
_UNREADABLE = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)
"""What `ast.literal_eval` raises for a text that is not a literal."""


@dataclass(frozen=True)
class Program:
    """1 if a text's program passes every test of its row, else 0.

    A target is a list of tests of one kind, or that list as a JSON text. `cpu` is the CPU time of
    one run in seconds (its wall time may be six times as long), `memory` its memory in MiB. Lines
    are compared as text, and values as Python literals: an object that is written otherwise, such
    as a Counter or a NumPy number, equals nothing. Raises ConfigError for a limit that is not
    positive.
    """

    cpu: int = 10
    memory: int = 1024
    packages: tuple[str, ...] = ()
    """Packages that a program may import besides the standard library, such as numpy."""

    runs_code = True
    closing = "the complete program in one Python code block"

    def __post_init__(self) -> None:
        for name in ("cpu", "memory"):
            if getattr(self, name) <= 0:
                raise ConfigError("program", name, f"{getattr(self, name)} is not above 0")

    @property
    def version(self) -> str:
        """This scorer's version, and that of the Python that runs the programs."""
        return f"program {_VERSION}, Python {sys.version_info.major}.{sys.version_info.minor}"

    def check(self, target: JSON) -> str | None:
        """Return what is wrong with a target; None if it is a list of tests."""
        tests = _parse_tests(target)
        if not isinstance(tests, list) or not tests:
            return "has an answer that is not a list of tests"
        if all(isinstance(test, str) for test in tests):
            return next((p for test in tests if isinstance(p := _split(test), str)), None)
        for test in tests:
            if not isinstance(test, dict) or not {"input", "output"} <= test.keys():
                return f"has the test {test!r}, which is neither an assertion nor input and output"
            if test.get("testtype", "stdin") != "stdin":
                kind = f"of the type {test['testtype']!r}"
                return f"has the test {test!r} {kind}: only those on standard input are run"
        return None

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> Sequence[Score]:
        """Return one score per text. Raises UsageError if running code was not allowed."""
        tests = _parse_tests(sample.target)
        return await asyncio.gather(*(self._grade(tests, text) for text in texts))

    async def _grade(self, tests: Sequence[JSON], text: str) -> Score:
        programs = [block for language, block in code_blocks(text) if language in PYTHON]
        if not programs:
            return Score(0.0, "no answer")
        if isinstance(tests[0], str):
            return await self._score_calls(tests, programs[-1])
        for number, test in enumerate(tests, 1):
            outcome = await self._run({"main.py": programs[-1]}, str(test["input"]))
            if outcome.ending == "broken":
                return _report_broken(outcome)
            same = _lines(outcome.stdout) == _lines(str(test["output"]).encode(errors="replace"))
            if outcome.problem or not same:
                return _fail_test(number, tests, outcome.problem or "another output")
        return Score(1.0, details={"passed": len(tests), "tests": len(tests)})

    async def _score_calls(self, tests: Sequence[str], program: str) -> Score:
        """Score a program whose functions are called: all calls in one run."""
        split = [_split(test) for test in tests]
        calls = [test.call for test in split if isinstance(test, _Test)]
        outcome = await self._run({"main.py": _CALLING, "program.py": program}, json.dumps(calls))
        if outcome.ending == "broken":
            return _report_broken(outcome)
        values = _values(outcome.stdout) if outcome.ending == "exited" else []
        for number, test in enumerate(split, 1):
            value = values[number - 1] if number <= len(values) else _MISSING
            if not isinstance(test, _Test) or not _is_same(value, test.value):
                reason = "another value" if value is not _MISSING else outcome.problem
                return _fail_test(number, tests, reason or "no plain value")
        return Score(1.0, details={"passed": len(tests), "tests": len(tests)})

    async def _run(self, files: dict[str, str], given: str) -> Outcome:
        limits = Limits(self.cpu, wall_s=6.0 * self.cpu, memory=self.memory << 20)
        stdin = given.encode(errors="replace")
        return await run_program(files, stdin=stdin, packages=self.packages, limits=limits)


@dataclass(frozen=True, slots=True)
class _Test:
    call: str
    value: Any


def _parse_tests(target: JSON) -> JSON:
    """Return the tests of a target; LiveCodeBench publishes them as a JSON text."""
    if not isinstance(target, str):
        return target
    try:
        return json.loads(target)
    except ValueError:
        return None


def _split(test: str) -> _Test | str:
    """Return an assertion's call and expected value, or what is wrong with it, as text."""
    problem = f"has the test {test!r}, which is not `assert CALL == VALUE` with a plain value"
    try:
        (statement,) = ast.parse(test.strip()).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return problem
    if not isinstance(statement, ast.Assert) or not isinstance(statement.test, ast.Compare):
        return problem
    compared = statement.test
    if len(compared.ops) != 1 or not isinstance(compared.ops[0], ast.Eq | ast.Is):
        return problem
    sides = (compared.left, compared.comparators[0])
    for call, value in (sides, sides[::-1]):
        try:
            return _Test(ast.unparse(call), ast.literal_eval(value))
        except _UNREADABLE:
            continue
    return problem


def _values(stdout: bytes) -> list[Any]:
    """Return the values on the last line; a value that is not plain equals nothing."""
    try:
        written = json.loads(stdout.rpartition(b"\n")[2])
        return [_value(text) for text in written] if isinstance(written, list) else []
    except (ValueError, RecursionError):
        return []


def _value(text: Any) -> Any:
    try:
        return ast.literal_eval(text)
    except _UNREADABLE:
        return _MISSING


def _is_same(value: Any, expected: Any) -> bool:
    try:
        return value is not _MISSING and bool(value == expected)
    except RecursionError:
        return False


def _lines(text: bytes) -> list[bytes]:
    """Return the lines without trailing white space, and without empty ones at the end."""
    return [line.rstrip() for line in text.rstrip().split(b"\n")]


def _fail_test(number: int, tests: Sequence[JSON], reason: str) -> Score:
    details = {"passed": number - 1, "tests": len(tests)}
    return Score(0.0, f"test {number} of {len(tests)}: {reason}", details)


def _report_broken(outcome: Outcome) -> Score:
    message = outcome.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return Score(None, f"the sandbox failed: {message or outcome.code}")
