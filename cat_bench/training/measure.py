"""Measure a policy with the harness, before and after training."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cat_bench import report
from cat_bench.report.compare import compare
from cat_bench.report.summary import SINGLE
from cat_bench.runs.config import RunConfig
from cat_bench.runs.opening import run
from cat_bench.types.calls import JSON

TEACHER = "cat"
METHODS = ("single", "greedy", "majority", "cat")
FIGURES = ("score", "se", "ci_low", "ci_high", "diff", "diff_low", "diff_high", "p")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exam:
    """The questions of a measurement: `questions` of `data`, or else of the task's rows.

    Methods read all `n` rollouts of a question, and the anchor is the initial model.
    """

    data: Path | None = None
    questions: int | None = None
    n: int = 8
    methods: tuple[str, ...] = METHODS


def measure(model: str, exam: Exam, *, session: RunConfig, out: Path) -> Path:
    """Run the exam on `model` with the session's anchor and judge; return the run's folder."""
    config = RunConfig(
        task=session.task,
        model=model,
        anchor=session.anchor or session.model,
        judge=session.judge,
        base_url=session.base_url,
        concurrency=session.concurrency,
        sampling=session.sampling,
        data=exam.data,
        limit=exam.questions,
        methods=exam.methods,
        n=(exam.n,),
        pool=exam.n,
        draws=1,
        out=out,
    )
    folder = asyncio.run(run(config, command=["train"])).folder
    report.write(folder)
    return folder


def measure_outcome(before: Path, after: Path, *, n: int) -> Mapping[str, JSON]:
    """Return every method's score before and after, in [0, 1], and the paired differences.

    Differences are to one rollout of the initial policy; `teacher` holds those between one rollout
    of the trained policy and the initial policy's synthesis of n. `tokens` are prompt and
    completion tokens per question in one use of the method; `single` is one generation.
    """
    runs = [before, after]
    table = compare(runs, reference=f"1:{SINGLE}@{n}")
    names = list(dict.fromkeys(table["run"]))
    outcome: dict[str, JSON] = {
        when: {
            str(row["method"]): _figures(row) for _, row in table[table["run"] == name].iterrows()
        }
        for when, name in zip(("before", "after"), names, strict=True)
    }
    if TEACHER in outcome["before"]:
        against = compare(runs, reference=f"1:{TEACHER}@{n}")
        trained = against[(against["run"] == names[1]) & (against["method"] == SINGLE)]
        outcome["teacher"] = _figures(trained.iloc[0])
    return outcome


def _figures(row: pd.Series[Any]) -> dict[str, float | None]:
    figures = {figure: _number(row[figure]) for figure in FIGURES}
    return {
        **figures,
        "tokens": float(row["tokens"]) / (row["n"] if row["method"] == SINGLE else 1),
    }


def _number(value: JSON) -> float | None:
    return None if value != value else float(value)
