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
    """What to measure on: the first `questions` rows of `data`, by default of the task's own rows.

    Methods read all `n` rollouts of a question, and the anchor is the initial model.
    """

    data: Path | None = None
    questions: int | None = None
    n: int = 8
    methods: tuple[str, ...] = METHODS


def measure(model: str, exam: Exam, *, session: RunConfig, out: Path) -> Path:
    """Run the exam on `model` with the session's other models; return the run's folder."""
    folder = asyncio.run(run(exam_run(model, exam, session=session, out=out), command=["train"]))
    report.write(folder.folder)
    return folder.folder


def exam_run(model: str, exam: Exam, *, session: RunConfig, out: Path) -> RunConfig:
    """Return the run of an exam: models, judging and limits are the session's.

    The seed and the label are not: a measurement reads the pool that any run would read.
    """
    return RunConfig(
        task=session.task,
        model=model,
        anchor=session.anchor or session.model,
        judge=session.judge,
        judge_profile=session.judge_profile,
        judge_template=session.judge_template,
        embedder=session.embedder,
        reward_model=session.reward_model,
        base_url=session.base_url,
        concurrency=session.concurrency,
        retries=session.retries,
        deadline=session.deadline,
        requests_per_minute=session.requests_per_minute,
        tokens_per_minute=session.tokens_per_minute,
        sampling=session.sampling,
        data=exam.data,
        limit=exam.questions,
        methods=exam.methods,
        n=(exam.n,),
        pool=exam.n,
        draws=1,
        out=out,
    )


def measure_outcome(before: Path, after: Path, *, n: int) -> Mapping[str, JSON]:
    """Return every method's score before and after, in [0, 1], and the paired differences.

    Each difference is the score minus that of one rollout before training. `teacher` compares one
    rollout after training with the synthesis of n rollouts before it. `tokens` are the prompt and
    completion tokens of one use of the method on one question; `single` counts one rollout, not n.
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
        to_teacher = compare(runs, reference=f"1:{TEACHER}@{n}")
        single = to_teacher[(to_teacher["run"] == names[1]) & (to_teacher["method"] == SINGLE)]
        outcome["teacher"] = _figures(single.iloc[0])
    return outcome


def _figures(row: pd.Series[Any]) -> dict[str, float | None]:
    figures = {figure: _number(row[figure]) for figure in FIGURES}
    return {
        **figures,
        "tokens": float(row["tokens"]) / (row["n"] if row["method"] == SINGLE else 1),
    }


def _number(value: JSON) -> float | None:
    return None if value != value else float(value)
