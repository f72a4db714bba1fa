"""Reads several runs of one task as an ensemble: the votes of their models together.

Answers, scores and tokens of the rollouts come from the runs. The task's scorer puts the answers of
all models into one partition; no model is called. The weights and the best member of a question are
chosen on the other questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from cat_bench.cache import Cache
from cat_bench.errors import UsageError
from cat_bench.evaluation.grader import Grader
from cat_bench.loading import catalog
from cat_bench.loading.trust import load_only
from cat_bench.runs.labels import refuse_unlabelled
from cat_bench.runs.tables import RunTables
from cat_bench.stats.ensemble_votes import Ballots, vote_ensemble
from cat_bench.stats.ensembles import (
    FOLDS,
    choose_members,
    cross_fit,
    equal_weights,
    weighted_score,
)
from cat_bench.types.calls import FloatArray

EQUAL, LEARNT, MEMBER = "ensemble", "ensemble{weights=learnt}", "best member"
_COLUMNS = ["question", "answer", "score", "failed", "completion_tokens"]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Several models' pools of one task: `ballots` by question, models in the order of `models`."""

    models: tuple[str, ...]
    questions: tuple[str, ...]
    ballots: tuple[Ballots, ...] = field(repr=False)

    def of(self, models: Sequence[int]) -> Ensemble:
        """Return the ensemble of some of the models."""
        names = tuple(self.models[m] for m in models)
        return Ensemble(names, self.questions, tuple(b.of(models) for b in self.ballots))

    def limits(self, weights: FloatArray | None = None) -> FloatArray:
        """Return each question's score in the limit, shape (questions,); equal weights by default.

        `weights` have shape (models,), or (questions, models) for weights by question.
        """
        shares = equal_weights(len(self.models)) if weights is None else weights
        rows = np.broadcast_to(shares, (len(self.ballots), len(self.models)))
        polled = [ballots.polled for ballots in self.ballots]
        return np.array([weighted_score(q, w) for q, w in zip(polled, rows, strict=True)])

    def members(self) -> FloatArray:
        """Return each member's scores in the limit, shape (models, questions)."""
        return np.array([self.limits(row) for row in np.eye(len(self.models))])

    def learnt_weights(self, *, folds: int = FOLDS) -> FloatArray:
        """Return each question's weights, learnt on the other folds: (questions, models)."""
        return cross_fit([ballots.polled for ballots in self.ballots], folds=folds)[1]

    def votes(self, n: int, weights: FloatArray) -> pd.DataFrame:
        """Return each question's score, error, tokens and sequential_tokens for n samples in all.

        `error` is NaN where the score is exact. `weights` are as in `limits`. Raises ValueError if
        a pool has too few rollouts.
        """
        each = np.broadcast_to(weights, (len(self.ballots), len(self.models)))
        rows = [
            vote_ensemble(ballots, own, n, rng=_rng(question, n))
            for question, ballots, own in zip(self.questions, self.ballots, each, strict=True)
        ]
        names = ("score", "error", "tokens", "sequential_tokens")
        values = [(row.score, row.error, row.tokens, row.sequential) for row in rows]
        table = pd.DataFrame(values, columns=list(names), index=pd.Index(self.questions))
        return table.astype(float)


async def read_ensemble(runs: Sequence[RunTables | Path], *, cache: Cache) -> Ensemble:
    """Return the models' pools of several runs, named by their models.

    `cache` provides an imported pool's task and known partitions. Questions with an unscored
    rollout, such as unlabelled ones, are left out. Raises DataError, and UsageError if the runs did
    not ask the same questions, or if the task has no labels or no final answers.
    """
    tables = [RunTables.of(run) for run in runs]
    for run in tables:
        refuse_unlabelled(run.record, what="an ensemble", some=False)
    _check_same_questions(tables)
    rollouts = [_rollouts(run) for run in tables]
    grader = _grader(tables[0], cache)
    shared = set.intersection(*(set(pools) for pools in rollouts))
    questions, ballots = [], []
    for question in tables[0].questions["question"]:
        if question not in shared:
            continue
        pools = [pools_of_model[question] for pools_of_model in rollouts]
        if not any(pool["score"].isna().any() for pool in pools):
            questions.append(str(question))
            ballots.append(await _ballots(pools, grader))
    if not any(ballot.worth.size for ballot in ballots):
        raise UsageError("the runs hold no final answers: give runs of a task with answers")
    return Ensemble(_names(tables), tuple(questions), tuple(ballots))


def make_method_rows(ensemble: Ensemble, budgets: Sequence[int]) -> pd.DataFrame:
    """Return a row per question, method and n: score, error, tokens, sequential_tokens.

    The methods are each member's vote, the vote of the member that is best on the other questions,
    and all members' vote with equal and with learnt weights. n counts the samples of all models.
    Raises UsageError for an n that some pool does not have, and for fewer questions than folds.
    """
    count = len(ensemble.models)
    most = min((int(ballots.sizes.min()) for ballots in ensemble.ballots), default=0)
    if wrong := [n for n in budgets if not 1 <= n <= most]:
        raise UsageError(f"n = {wrong[0]} exceeds a pool: give an n from 1 to {most}")
    if len(ensemble.questions) < FOLDS:
        raise UsageError(
            f"the runs share {len(ensemble.questions)} scored questions, but learning weights "
            f"needs at least {FOLDS}: run more questions"
        )
    learnt = ensemble.learnt_weights()
    parts = []
    for n in budgets:
        single = [ensemble.votes(n, row) for row in np.eye(count)]
        scores = np.array([row["score"] for row in single])
        best = choose_members(scores)
        chosen = pd.concat([single[m].iloc[[k]] for k, m in enumerate(best)])
        rows = dict(zip(ensemble.models, single, strict=True)) | {MEMBER: chosen}
        rows[EQUAL] = ensemble.votes(n, equal_weights(count))
        rows[LEARNT] = ensemble.votes(n, learnt)
        parts += [part.assign(method=name, n=n) for name, part in rows.items()]
    table: pd.DataFrame = pd.concat(parts)
    return table.rename_axis("question").reset_index()


def _names(runs: Sequence[RunTables]) -> tuple[str, ...]:
    """Return each run's model, or its folder's name if two runs have the same model."""
    models = [str(run.record["config"]["model"]) for run in runs]
    names = [
        model if models.count(model) == 1 else run.folder.resolve().name
        for model, run in zip(models, runs, strict=True)
    ]
    if len(set(names)) < len(names):
        raise UsageError("two of the runs are the same folder, or have the same name: rename one")
    return tuple(names)


def _rollouts(run: RunTables) -> Mapping[str, pd.DataFrame]:
    """Return each question's rollouts, without the failed ones."""
    table = run.rollouts(columns=_COLUMNS)
    answered = table[table["failed"].isna()]
    return {str(question): rows for question, rows in answered.groupby("question", sort=False)}


async def _ballots(pools: Sequence[pd.DataFrame], grader: Grader) -> Ballots:
    """Return a question's pools with one partition of all answers."""
    joined = pd.concat(pools, keys=range(len(pools)), names=["model", None])
    answers = [answer if isinstance(answer, str) else None for answer in joined["answer"]]
    joined["cluster"] = pd.array(await grader.partition(answers), dtype="Int64")
    voting = joined.dropna(subset=["cluster"])
    scores = voting.groupby("cluster")["score"].mean()
    counts = np.zeros((len(pools), len(scores)), dtype=np.int64)
    places = scores.index.get_indexer(pd.Index(voting["cluster"]))
    np.add.at(counts, (voting.index.get_level_values("model"), places), 1)
    tokens = [pool["completion_tokens"].to_numpy(dtype=float) for pool in pools]
    return Ballots(counts, scores.to_numpy(dtype=float), tokens)


def _grader(run: RunTables, cache: Cache) -> Grader:
    """Return the grader of the run's task."""
    config = run.record["config"]
    with load_only(run.record.get("files", {})):
        task = catalog.task(config["task"], cache=cache, fetch=False)
    return Grader(task.scorer, cache)


def _check_same_questions(runs: Sequence[RunTables]) -> None:
    if len(runs) < 2:
        raise UsageError("an ensemble has at least two members: name two runs or more")
    first = runs[0]
    for run in runs[1:]:
        if run.record["task"]["digest"] != first.record["task"]["digest"]:
            raise UsageError(
                f"{first.folder} and {run.folder} did not ask the same questions: make an ensemble "
                "of runs of one task, with the same --limit and data"
            )


def _rng(question: str, n: int) -> np.random.Generator:
    """Return a generator that depends only on the question and n."""
    return np.random.default_rng(int.from_bytes(sha256(f"{question} {n}".encode()).digest()[:8]))
