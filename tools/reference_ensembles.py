"""Compute how often several models' votes together beat the best of them, for the reference table.

`ensembles.csv` has a row per task, set of models, n and kind of weights; `beaten.csv` a row per
task, number of models and n: the share of the sets that beat their best member, with an interval
over questions. An n of 0 stands for the limit of many samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from cat_bench.cache import Cache
from cat_bench.runs.ensemble import Ensemble, read_ensemble
from cat_bench.stats.ensembles import choose_members, equal_weights
from cat_bench.stats.intervals import paired_difference
from cat_bench.system.waiting import wait
from cat_bench.types.calls import FloatArray

LIMIT = 0
AT = 40
"""The samples in all that pairs of models share."""
RESAMPLES = 1_000
_SOME = 1e-9


@dataclass(frozen=True, slots=True)
class Together:
    """One task's rows of both files."""

    ensembles: pd.DataFrame
    beaten: pd.DataFrame


def combine_votes(
    task: str, folders: Sequence[Path], *, cache: Path, budgets: Sequence[int]
) -> Together:
    """Return the rows of a task, from the runs of its models."""
    with Cache(cache) as opened:
        members = wait(read_ensemble(folders, cache=opened))
    names = tuple(name.partition("__")[2] for name in members.models)
    members = Ensemble(names, members.questions, members.ballots)
    rows, sets = [], []
    for models, n, weights, scores, costs in _played(members, budgets):
        alone = _own_scores(members, n)[list(models)]
        row = {"task": task, "members": " + ".join(names[m] for m in models), "size": len(models)}
        compared = _compare(scores, alone, interval=len(models) in (2, len(names)))
        rows.append(row | {"n": n, "weights": weights} | compared | costs)
        sets.append((len(models), n, weights, scores, alone))
    return Together(pd.DataFrame(rows), pd.DataFrame(list(_beaten(task, sets))))


def _played(
    members: Ensemble, budgets: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], int, str, FloatArray, dict[str, float]]]:
    """Yield each set of models with its n, its weights, its questions' scores and its costs."""
    everyone = tuple(range(len(members.models)))
    sets = [s for k in range(2, len(everyone) + 1) for s in combinations(everyone, k)]
    for models in sets:
        chosen = members.of(models)
        yield models, LIMIT, "equal", chosen.limits(), {}
        if len(models) in (2, len(everyone)):
            learnt = chosen.learnt_weights()
            yield models, LIMIT, "learnt", chosen.limits(learnt), {}
            kinds = {"equal": equal_weights(len(models)), "learnt": learnt}
            for n in budgets if models == everyone else (AT,):
                for name, weights in kinds.items() if models == everyone else [*kinds.items()][:1]:
                    table = chosen.votes(n, weights)
                    costs = {
                        name: float(table[name].mean()) for name in ("tokens", "sequential_tokens")
                    }
                    costs["exact"] = float(table["error"].isna().mean())
                    costs["se_draws"] = float((table["error"] ** 2).sum() ** 0.5 / len(table))
                    yield models, n, name, table["score"].to_numpy(dtype=float), costs


_scores: dict[tuple[int, int], FloatArray] = {}


def _own_scores(members: Ensemble, n: int) -> FloatArray:
    """Return each member's scores of the questions with n samples, shape (models, questions)."""
    key = (id(members), n)
    if key not in _scores:
        votes = (members.votes(n, row)["score"] for row in np.eye(len(members.models)))
        _scores[key] = members.members() if n == LIMIT else np.array(list(votes))
    return _scores[key]


def _compare(scores: FloatArray, alone: FloatArray, *, interval: bool) -> dict[str, float]:
    """Return the fields of a set's score beside its best member's; some with an `interval`.

    The best is known only afterwards; the chosen one is best on the other questions.
    """
    best = alone[alone.mean(axis=1).argmax()]
    chosen = alone[choose_members(alone), np.arange(alone.shape[1])]
    fields = {"diff_chosen": float((scores - chosen).mean())}
    if interval:
        paired = paired_difference(scores, chosen)
        fields |= {"diff_chosen_low": paired.low, "diff_chosen_high": paired.high}
    return {
        "score": float(scores.mean()),
        "best": float(best.mean()),
        "chosen": float(chosen.mean()),
        "diff_best": float((scores - best).mean()),
        **fields,
    }


def _beaten(
    task: str, sets: Sequence[tuple[int, int, str, FloatArray, FloatArray]]
) -> Iterator[dict[str, object]]:
    """Yield the share of the sets of one size that score above their best member."""
    rng = np.random.default_rng(0)
    questions = len(sets[0][3])
    counts = rng.multinomial(questions, np.full(questions, 1 / questions), size=RESAMPLES).T
    for size, n, weights in sorted({played[:3] for played in sets}):
        group = [played for played in sets if played[:3] == (size, n, weights)]
        gains = np.array([(scores - alone).T for *_, scores, alone in group])
        whole = gains.mean(axis=1).min(axis=1)
        resampled = np.array([((gain.T @ counts) / questions).min(axis=0) for gain in gains])
        shares = (resampled > _SOME).mean(axis=0)
        low, high = np.quantile(shares, [0.025, 0.975])
        yield {
            "task": task,
            "size": size,
            "n": n,
            "weights": weights,
            "sets": len(group),
            "beats_best": float((whole > _SOME).mean()),
            "beats_best_low": float(low),
            "beats_best_high": float(high),
            "level_with_best": float((np.abs(whole) <= _SOME).mean()),
            "mean_gain": float(whole.mean()),
        }
