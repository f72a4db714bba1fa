"""Programs against their rows' tests, honest and hostile, in a sandbox."""

from __future__ import annotations

import os
from typing import cast

import pytest

from cat_bench.errors import UsageError
from cat_bench.scorers.program import Program
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Context
from cat_bench.types.records import Question, Sample, Score

ANY = cast("Context", None)
SCORER = Program(cpu=2)
CALLS = ["assert double(2) == 4", "assert double([0]) == [0, 0]", "assert double('a') == 'aa'"]
LINES = [{"input": "2\n", "output": "4\n"}, {"input": "5", "output": "10"}]


pytestmark = pytest.mark.usefixtures("bubblewrap")


async def score(tests: JSON, program: str, scorer: Program = SCORER) -> Score:
    sample = Sample(Question("q", (), ""), tests)
    (found,) = await scorer.score(sample, [f"So:\n```python\n{program}\n```\n"], ANY)
    return found


async def test_functions_are_called() -> None:
    calls = ["assert double(2) == 4", "assert double([1]) == [1, 1]", "assert 'aa' == double('a')"]
    assert (await score(calls, "def double(x):\n    return 2 * x")).value == 1
    wrong = await score(calls, "def double(x):\n    return x + 2")
    assert wrong.value == 0
    assert str(wrong.reason).startswith("test 2 of 3: TypeError")


@pytest.mark.parametrize(
    "printing",
    [
        "print(double(2))",
        "print('no line break', end='')",
        "import sys; sys.stdout.write('x' * 100_000)",
        "import sys; sys.stdout.close()",
        "import sys; sys.stdout = None",
        "import sys; print('[1]', file=sys.stderr)",
    ],
)
async def test_a_program_whose_functions_are_called_may_print(printing: str) -> None:
    assert (await score(CALLS, f"def double(x):\n    return 2 * x\n{printing}")).value == 1
    inside = "def double(x):\n    print(x)\n    return 2 * x"
    assert (await score(CALLS, inside)).value == 1


async def test_standard_output_is_compared() -> None:
    assert (await score(LINES, "print(2 * int(input()))  ")).value == 1
    wrong = await score(LINES, "print(2 + int(input()))")
    assert (wrong.value, wrong.reason) == (0, "test 2 of 2: another output")


async def test_no_program_is_no_answer() -> None:
    (found,) = await SCORER.score(Sample(Question("q", (), ""), LINES), ["no code"], ANY)
    assert (found.value, found.reason) == (0, "no answer")


@pytest.mark.parametrize(
    "hostile",
    [
        "print('PASS'); print([4, [0, 2], 'aa'])",
        "print('[\"4\", \"[0]\"]'); import os; os._exit(0)",
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "import atexit; atexit.register(print, '[\"4\"]')\ndef double(x): return None",
        "class A:\n  __eq__ = lambda *a: 1\n  __repr__ = lambda s: '1'\ndef double(x): return A()",
        "import builtins; builtins.repr = lambda x: '1'\ndef double(x): return x",
        "import gc\ndef double(x):\n  return [o for o in gc.get_objects() if 'assert' in str(o)]",
        "def double(x):\n  import glob\n  return [open(f).read() for f in glob.glob('/box/*')]",
        "import time; time.sleep(99)",
        "while True: pass",
        "x = [0]\nwhile True: x = x * 2",
        "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
        "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
        "def double(x): return double(x)",
        "def double(x): return eval('(' * 5000)",
        "import os; os.close(1)",
        "print('x' * (1 << 24))",
        "def double(",
        "\0",
    ],
)  # fmt: skip
@pytest.mark.parametrize("tests", [CALLS, LINES])
async def test_a_hostile_program_scores_0(hostile: str, tests: JSON) -> None:
    found = await score(tests, hostile, Program(cpu=1))
    assert found.value == 0
    assert (await score(LINES, "print(2 * int(input()))")).value == 1


async def test_a_sandbox_that_fails_scores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cat_bench.system.sandbox._interpreter", lambda: "/no/such/python")
    found = await score(LINES, "print(2 * int(input()))")
    assert found.value is None
    assert "sandbox failed" in str(found.reason)


async def test_without_permission_nothing_runs() -> None:
    del os.environ["CAT_BENCH_ALLOW_CODE"]
    with pytest.raises(UsageError, match="--allow-code"):
        await score(LINES, "print(1)")


@pytest.mark.parametrize(
    "target",
    [None, [], "x", 5, [5], [{"input": "x"}], ["assert f(1)"], ["f(1) == 2"], ["assert f("],
     ["assert f(1) == g(2)"], ["assert f() == {[]: 1}"], ["assert f() == " + "-" * 9999 + "1"],
     ["assert f(1) < 2"], ["assert f(1) == 2; g()"]],
)  # fmt: skip
def test_a_target_without_tests_is_refused(target: JSON) -> None:
    assert SCORER.check(target) is not None


def test_targets() -> None:
    assert SCORER.check(CALLS) is None
    assert SCORER.check(LINES) is None
    assert SCORER.check(["assert f(1) is True", "assert -1.5 == f()"]) is None
