"""Score a formulation by solving it: by its status and its optimal objective.

The answer is the last code block in CPLEX-LP, free MPS or JSON (`solver_json`); it is read, never
executed, and solved by HiGHS in a worker with limits from the kernel. With `dialect: python`, it is
the last Python block: a program that runs in a sandbox (`system.sandbox`) and prints a formulation,
which is judged in the same way. An unreadable formulation is wrong; a formulation that cannot be
solved (a time-out, unsupported, too large) is unscored and joins no cluster. Formulations are never
changed, and the solver never sees the gold.

The score's parts report the tolerances of other papers beside the strict one: two decimals (AutoOR,
arXiv 2604.16804) and 5 % (ORLM, arXiv 2405.17743).
"""

from __future__ import annotations

import asyncio
import math
import re
import signal
from asyncio import gather
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from typing import Literal
from weakref import WeakKeyDictionary

from cat_bench.errors import ConfigError
from cat_bench.scorers.solver_text import dialect, last_formulation, last_program
from cat_bench.scorers.workers import Undecided, Workers, workers
from cat_bench.system.sandbox import run_program
from cat_bench.system.supervision import Limits
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Context
from cat_bench.types.records import Sample, Score

STRICT = 1e-6
"""The tolerance between equal objectives, relative to the larger absolute value, at least 1."""
TWO_DECIMALS, FIVE_PERCENT = 0.005, 0.05
"""The tolerances of the other parts: absolute, and relative to the gold."""
STRICT_PART = "tolerance:1e-6"
_VERSION = "2"
_PROGRAM = "cat_bench.scorers.solver_solving"
_STATUSES = {
    "infeasible": ("infeasible",),
    "unbounded": ("unbounded",),
    "no best solution": ("infeasible", "unbounded"),
}
"""The statuses that a target in words accepts; NL4OPT's `No Best Solution` means either."""
_REMEMBERED = 1 << 16
_Key = tuple[float, tuple[str, ...], str]
_verdicts: dict[_Key, Verdict] = {}
_pending: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, asyncio.Future[Verdict]]] = (
    WeakKeyDictionary()
)
"""The verdicts that each event loop waits for."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The solver's verdict on one formulation."""

    status: str
    """optimal, infeasible, unbounded; or unreadable, unsupported, too large, time-out, undecided"""
    objective: float | None = None
    reason: str | None = None

    @property
    def solved(self) -> bool:
        """Whether the formulation's status is known."""
        return self.status in ("optimal", "infeasible", "unbounded")

    def agrees(self, other: Verdict) -> bool:
        """Return whether both are solved, with the same status and objective."""
        if not self.solved or self.status != other.status:
            return False
        if self.objective is None or other.objective is None:
            return True
        return close(self.objective, other.objective)

    def __str__(self) -> str:
        return self.status if self.objective is None else f"{self.status} {self.objective:.10g}"


@dataclass(frozen=True)
class Solver:
    """1 where a text's formulation has the target's status and objective, else 0.

    A target is a number, `infeasible`, `unbounded` or `No Best Solution` (either of the two).
    Raises ConfigError for a timeout that is not finite and positive.
    """

    timeout: float = 20.0
    """The CPU seconds for reading and solving one formulation."""

    workers: int | None = None
    """The number of solving processes; None: one for each core, at most 8."""

    dialect: Literal["declarative", "python"] = "declarative"
    """Whether a text states a formulation, or a program that prints one."""

    packages: tuple[str, ...] = ("numpy", "scipy", "highspy")
    """Packages that a Python program may import besides the standard library."""

    def __post_init__(self) -> None:
        if not 0 < self.timeout < math.inf:
            problem = f"{self.timeout} is not a finite number of seconds above 0"
            raise ConfigError("solver", "timeout", problem)

    @property
    def version(self) -> str:
        """This scorer's version and that of HiGHS."""
        return f"solver {_VERSION}, highspy {version('highspy')}"

    @property
    def runs_code(self) -> bool:
        """Whether code that a model wrote is run; the user has to allow that."""
        return self.dialect == "python"

    @property
    def closing(self) -> str:
        """The required ending of a response."""
        kind = "Python program" if self.dialect == "python" else "formulation"
        return f"the complete {kind} in one code block, in the format of the drafts"

    def answer(self, text: str) -> str | None:
        """Return the last formulation or program, after a line with its dialect, or None."""
        return last_program(text) if self.runs_code else last_formulation(text)

    def check(self, target: JSON) -> str | None:
        """Return what is wrong with a target; None if it is an optimum or a status."""
        if isinstance(target, bool) or not isinstance(target, int | float | str):
            return f"has a {type(target).__name__} as its answer: write the optimal objective"
        if _number(target) is None and str(target).strip().lower() not in _STATUSES:
            words = ", ".join(_STATUSES)
            return f"has the answer {target!r}, which is neither a number nor one of {words}"
        return None

    async def score(self, sample: Sample, texts: Sequence[str], ctx: Context) -> Sequence[Score]:
        """Return one score per text; `details` holds the verdict and a part per tolerance."""
        verdicts = await gather(*(self.verdict(self.answer(text)) for text in texts))
        return [_grade(verdict, sample.target) for verdict in verdicts]

    async def clusters(self, answers: Sequence[str | None]) -> list[int | None]:
        """Return labels by status and objective; None if a formulation is not solved.

        Objectives are taken in ascending order. Each joins the current cluster if it equals the
        smallest objective there, and else starts a new cluster. So the labels depend neither on the
        order of the answers nor on the number of copies.
        """
        verdicts = await gather(*(self.verdict(answer) for answer in answers))
        solved = {verdict for verdict in verdicts if verdict and verdict.solved}
        labels: dict[Verdict, int] = {}
        head: Verdict | None = None
        for verdict in sorted(solved, key=lambda v: (v.status, v.objective or 0.0)):
            if head is None or not head.agrees(verdict):
                head = verdict
            labels[verdict] = labels.get(head, len(set(labels.values())))
        return [None if verdict is None else labels.get(verdict) for verdict in verdicts]

    async def verdict(self, answer: str | None) -> Verdict | None:
        """Return the solver's verdict on an answer; each answer is solved once per process.

        An `undecided` verdict is not kept: its cause may pass.
        """
        if answer is None:
            return None
        key = (self.timeout, self.packages, answer)
        if key in _verdicts:
            return _verdicts[key]
        pending = _pending.setdefault(asyncio.get_running_loop(), {})
        if key not in pending:
            pending[key] = asyncio.ensure_future(self._decide(answer))
            pending[key].add_done_callback(lambda _: pending.pop(key))
        verdict = await asyncio.shield(pending[key])
        if verdict.status != "undecided":
            if len(_verdicts) >= _REMEMBERED:
                _verdicts.pop(next(iter(_verdicts)))
            _verdicts[key] = verdict
        return verdict

    async def _decide(self, answer: str) -> Verdict:
        return await (self._run(answer) if self.runs_code else self._solve(answer))

    async def _solve(self, answer: str) -> Verdict:
        reply = await self._workers.ask("judge", answer, timeout=self.timeout)
        return _verdict(reply, self.timeout)

    async def _run(self, answer: str) -> Verdict:
        """Return the verdict on a program's output; a program that fails is unreadable."""
        files = {"main.py": answer.partition("\n")[2]}
        limits = Limits(math.ceil(self.timeout), wall_s=6 * self.timeout)
        outcome = await run_program(files, packages=self.packages, limits=limits)
        if outcome.ending == "broken":
            return Verdict("undecided", reason=f"the sandbox failed: {outcome.problem}")
        if outcome.ending == "time" or outcome.code == -signal.SIGXCPU:
            return Verdict("time-out", reason=f"the program: {outcome.problem}")
        if outcome.problem:
            return Verdict("unreadable", reason=f"the program failed: {outcome.problem}")
        printed = outcome.stdout.decode(errors="replace")
        return await self._solve(f"{dialect(printed)}\n{printed}")

    def for_worker(self) -> Solver:
        """Return the same scorer with a single solving process, for one of many processes."""
        return replace(self, workers=1)

    @cached_property
    def _workers(self) -> Workers:
        return workers(self.workers, _PROGRAM)


def close(first: float, second: float) -> bool:
    """Return whether two objectives are the same by the strict rule; symmetric."""
    return abs(first - second) <= STRICT * max(1.0, abs(first), abs(second))


def scores_by_tolerance(objective: float, gold: float) -> dict[str, float]:
    """Return 1 or 0 for each tolerance; the strict one is the score."""
    distance = abs(objective - gold)
    return {
        STRICT_PART: float(close(objective, gold)),
        "tolerance:two decimals": float(distance <= TWO_DECIMALS * (1 + STRICT)),
        "tolerance:5 %": float(distance <= FIVE_PERCENT * (abs(gold) or 1.0) * (1 + STRICT)),
    }


def _grade(verdict: Verdict | None, target: JSON) -> Score:
    if verdict is None:
        return Score(0.0, "no answer", {"parts": dict.fromkeys(scores_by_tolerance(0, 0), 0.0)})
    gold = _number(target)
    details: dict[str, JSON] = {"answer": str(verdict), "verdict": verdict.status}
    if verdict.status != "unreadable" and not verdict.solved:
        return Score(None, f"{verdict.status}: {verdict.reason}", details)
    if verdict.objective is not None and gold is not None:
        details["parts"] = scores_by_tolerance(verdict.objective, gold)
        return Score(details["parts"][STRICT_PART], details=details)
    accepted = () if gold is not None else _STATUSES[str(target).strip().lower()]
    value = float(verdict.status in accepted)
    details["parts"] = dict.fromkeys(scores_by_tolerance(0, 0), value)
    reason = f"unreadable: {verdict.reason}" if verdict.status == "unreadable" else None
    return Score(value, reason, details)


def _verdict(reply: Mapping[str, JSON] | Undecided, timeout: float) -> Verdict:
    if isinstance(reply, Undecided):
        if reply.timed_out:
            return Verdict("time-out", reason=f"solving took more than {timeout:g} CPU seconds")
        return Verdict("undecided", reason=reply.reason)
    return Verdict(reply["verdict"], reply.get("objective"), reply.get("reason"))


_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")


def _number(target: JSON) -> float | None:
    """Return a target as a number; None if it is in words."""
    try:
        value = float(_THOUSANDS.sub("", str(target)))
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
