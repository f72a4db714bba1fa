"""A policy is measured as its training rewards it."""

from __future__ import annotations

from pathlib import Path

from cat_bench.runs.config import RunConfig
from cat_bench.training.measure import Exam, exam_run


def test_an_exam_has_the_models_and_the_judging_of_its_training() -> None:
    session = RunConfig(
        task="t",
        model="hf:start",
        judge="openai:judge",
        judge_profile="official",
        judge_template=Path("judge.py"),
        embedder="hf:embed",
        reward_model="hf:reward",
        retries=1,
        deadline=9.0,
        seed=7,
        label="mine",
    )
    config = exam_run("hf:end", Exam(n=4), session=session, out=Path("after"))
    shared = {"task", "judge", "judge_profile", "judge_template", "embedder", "reward_model"}
    shared |= {"retries", "deadline"}
    assert config.model_dump(include=shared) == session.model_dump(include=shared)
    assert (config.model, config.anchor, config.n, config.pool) == ("hf:end", "hf:start", (4,), 4)
    assert (config.seed, config.label) == (0, None), "the pool that any run reads"
