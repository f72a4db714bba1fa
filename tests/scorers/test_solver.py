"""The scorer on real solving processes: verdicts, tolerances, clusters, time-outs."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cat_bench.errors import ConfigError, UsageError
from cat_bench.scorers.solver import Solver, Verdict, _verdict, close
from cat_bench.scorers.workers import Workers
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import AnswerScorer, Context
from cat_bench.types.records import Question, Sample, Score

ANY = cast("Context", None)
SCORER = Solver()
UNREADABLE = "max x"
INFEASIBLE = "max x\nst\nx <= 1\nx >= 2\nend"
UNBOUNDED = "max x\nst\nx >= 2\nend"
INTEGER_SQUARE = "min [ x^2 ] / 2\nst\nx >= 0.5\ngeneral\nx\nend"


def text(program: str, language: str = "lp") -> str:
    return f"The program:\n```{language}\n{program}\n```\nThat is it."


def maximum(value: float) -> str:
    return text(f"max x\nst\nc: x <= {value!r}\nend")


async def score(target: JSON, *texts: str, scorer: Solver = SCORER) -> list[Score]:
    return list(await scorer.score(Sample(Question("q", (), ""), target), texts, ANY))


async def test_it_has_answers() -> None:
    assert isinstance(SCORER, AnswerScorer)
    assert SCORER.answer("no program") is None
    assert SCORER.answer(maximum(3)) == "lp\nmax x\nst\nc: x <= 3\nend\n"


async def test_the_strict_column_is_the_score() -> None:
    given = (12.0, 12.00001, 12.004, 11.5, 11.0)
    scores = await score(12, *map(maximum, given))
    assert [s.value for s in scores] == [1, 1, 0, 0, 0]
    assert [s.parts["tolerance:two decimals"] for s in scores] == [1, 1, 1, 0, 0]
    assert [s.parts["tolerance:5 %"] for s in scores] == [1, 1, 1, 1, 0]


async def test_a_target_of_zero() -> None:
    scores = await score("0.0", *map(maximum, (0.0, 1e-7, 0.004, 0.04, 0.06)))
    assert [list(s.parts.values()) for s in scores] == [
        [1, 1, 1], [1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("target", "right"),
    [
        ("infeasible", (1, 0, 0)),
        ("Unbounded", (0, 1, 0)),
        ("No Best Solution", (1, 1, 0)),
        ("5", (0, 0, 1)),
    ],
)
async def test_a_status_is_an_answer(target: str, right: tuple[float, ...]) -> None:
    scores = await score(target, text(INFEASIBLE), text(UNBOUNDED), maximum(5))
    assert tuple(s.value for s in scores) == right


async def test_what_is_unreadable_is_wrong_and_what_is_not_solved_is_unscored() -> None:
    scores = await score(5, "no program", text(UNREADABLE), text(INTEGER_SQUARE))
    assert [s.value for s in scores] == [0, 0, None]
    assert [s.reason for s in scores] == [
        "no answer",
        "unreadable: line 1: the text ends without End",
        "unsupported: integer variables with a quadratic objective are not solved",
    ]


def knapsack(size: int) -> str:
    """A knapsack with several dimensions that takes a solver very long."""
    rng = random.Random(0)
    names = [f"x{k}" for k in range(size)]

    def total() -> str:
        return " + ".join(f"{rng.randint(500, 1000)} {name}" for name in names)

    rows = [f"c{k}: {total()} <= {250 * size}" for k in range(10)]
    return "\n".join([f"max {total()}", "st", *rows, "binary", " ".join(names), "end"])


async def test_a_lack_of_memory_is_no_time_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that really asks for more than its limit."""
    (tmp_path / "glutton.py").write_text(
        "from cat_bench.scorers.serving import MEMORY, serve\n"
        "serve({'judge': lambda text: len(bytearray(2 * MEMORY))}, work='solving')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    workers = Workers(1, "glutton")
    try:
        reply = await workers.ask("judge", "max x", timeout=20.0)
    finally:
        workers.close()
    found = _verdict(reply, 20.0)
    assert (found.status, found.reason) == ("undecided", "solving took more than 4 GiB")


async def test_a_time_out_is_neither_right_nor_wrong_and_costs_nobody_else() -> None:
    scorer = Solver(timeout=1.0, workers=1)
    slow = text(knapsack(400))
    late, quick = await score(5, slow, maximum(5), scorer=scorer)
    assert (late.value, late.details["verdict"]) == (None, "time-out")
    assert quick.value == 1
    assert await scorer.clusters([scorer.answer(slow)]) == [None]
    assert await scorer.clusters([scorer.answer(slow), scorer.answer(maximum(5))]) == [None, 0]


async def test_clusters_by_status_and_objective() -> None:
    texts = [
        maximum(4), maximum(4.000001), text("min 2 y\nst\ny >= 2\nend"), maximum(5),
        text(INFEASIBLE), text("max y\nst\ny = 1\ny = 2\nend"), text(UNBOUNDED),
        text(UNREADABLE), "nothing",
    ]  # fmt: skip
    labels = await SCORER.clusters([SCORER.answer(each) for each in texts])
    assert labels[0] == labels[1] == labels[2]
    assert labels[4] == labels[5]
    assert labels[7:] == [None, None]
    assert sorted(set(labels[:7]), key=str) == [0, 1, 2, 3]


@given(st.lists(st.sampled_from([1.0, 1 + 9e-7, 1 + 18e-7, 2.0, 1e9, 1e9 + 500, 1e9 + 1500])))
async def test_clusters_do_not_depend_on_order_or_copies(values: list[float]) -> None:
    answers = [SCORER.answer(maximum(value)) for value in values]
    labels = await SCORER.clusters(answers)
    back = await SCORER.clusters(answers[::-1] + answers[:1])
    assert labels == back[::-1][-len(values) :] if values else labels == []
    for one, label in zip(values, labels, strict=True):
        members = [v for v, other in zip(values, labels, strict=True) if other == label]
        assert all(close(one, min(members)) for _ in members)


@pytest.mark.parametrize("target", [True, None, [5], {"a": 1}, "five", "nan", "inf", ""])
def test_a_target_that_is_no_verdict_is_refused(target: JSON) -> None:
    assert SCORER.check(target) is not None


@pytest.mark.parametrize("target", [5, 5.5, "5", "1,250", "-3e2", "infeasible", "No Best Solution"])
def test_targets(target: JSON) -> None:
    assert SCORER.check(target) is None


async def test_a_decimal_comma_is_refused_rather_than_read_as_thousands() -> None:
    assert SCORER.check("3,14") is not None
    (score_of_1250,) = await score("1,250", maximum(1250))
    assert score_of_1250.value == 1


async def test_answers_that_wait_together_are_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def solve(self: Solver, answer: str) -> Verdict:
        asked.append(answer)
        await asyncio.sleep(0)
        return Verdict("undecided" if "undecided" in answer else "optimal", 5.0)

    monkeypatch.setattr(Solver, "_solve", solve)
    answers = ["lp\nnever seen before", "lp\nundecided so far"]
    for _ in range(2):
        await asyncio.gather(*(SCORER.clusters(answers * 2) for _ in range(3)))
    assert asked == [*answers, answers[1]]


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf")])
def test_a_timeout_must_be_finite_and_positive(timeout: float) -> None:
    with pytest.raises(ConfigError, match="is not a finite number of seconds above 0"):
        Solver(timeout=timeout)


PRINTS = """
rows = ["max " + " + ".join(f"{k} x{k}" for k in (1, 2, 3)), "st", "c: x1 + x2 + x3 <= 4", "end"]
print("\\n".join(rows))
"""


@pytest.mark.usefixtures("bubblewrap")
async def test_a_program_prints_its_formulation() -> None:
    scorer = Solver(dialect="python", timeout=5, packages=("numpy",))
    texts = [
        text(PRINTS, "python"),
        text("print('optimal 12')", "python"),
        text("print(12)", "py"),
        text("1 / 0", "python"),
        text("while True: pass", "python"),
        text("import scipy", "python"),
        maximum(12),
    ]
    scores = await score(12, *texts, scorer=scorer)
    assert [s.value for s in scores] == [1, 0, 0, 0, None, 0, 0]
    assert scores[3].reason == "unreadable: the program failed: ZeroDivisionError: division by zero"
    assert await scorer.clusters([scorer.answer(each) for each in texts]) == [0, *[None] * 6]


async def test_a_program_needs_permission() -> None:
    with pytest.raises(UsageError, match="--allow-code"):
        await score(12, text(PRINTS, "python"), scorer=Solver(dialect="python"))


def test_the_last_formulation_counts_and_other_languages_do_not() -> None:
    both = maximum(3) + "\n" + maximum(4) + "\n```python\nprint(5)\n```\n```lp\nmax"
    assert SCORER.answer(both) == "lp\nmax x\nst\nc: x <= 4\nend\n"
    assert SCORER.answer('```\n{"sense": "maximize"}\n```') == 'json\n{"sense": "maximize"}\n'
    assert SCORER.answer("```\nNAME x\nENDATA\n```") == "mps\nNAME x\nENDATA\n"
    assert SCORER.answer("  ```lp\n  max x\n  end\n  ```") == "lp\nmax x\nend\n"


def test_unsolved_verdicts_equal_nothing() -> None:
    for status in ("time-out", "unsupported", "too large", "unreadable", "undecided"):
        assert not Verdict(status).agrees(Verdict(status))
    assert Verdict("infeasible").agrees(Verdict("infeasible"))
