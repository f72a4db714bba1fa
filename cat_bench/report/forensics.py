"""Analyse syntheses: when they are right, which drafts they follow, what they copy.

A synthesising method writes its own text. Each draw is compared with the drafts that it read: their
answers, clustered as in the whole pool, their scores, and their order. A question's draws are
averaged first; the question, or the group of questions that the task names, is the unit of every
interval. If k answers tie in a vote, each of them counts 1/k as the majority's. A run without
answers to compare has no figures; draws whose scores are graded are left out, and `draws` counts
the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd

from cat_bench.report.cells import rows_of
from cat_bench.runs.parts import RowsByQuestion
from cat_bench.runs.tables import Reading, RunTables
from cat_bench.stats.intervals import Interval, mean_interval, ratio_interval
from cat_bench.types.calls import JSON

MAJORITY, MINORITY, NOBODY = "majority right", "right answer in the minority", "nobody right"
CASES = (MAJORITY, MINORITY, NOBODY)
COLUMNS = ("method", "n", "figure", "value", "se", "ci_low", "ci_high", "questions", "draws")
_SCORES = (
    *("question", "cluster", "method", "n", "draw", "score", "slots"),
    *("text", "answer", "answer_cluster"),
)
_ROLLOUTS = ("question", "slot", "digest", "cluster", "score", "characters", "failed")


@dataclass(frozen=True, slots=True)
class Draft:
    """One rollout as the synthesis read it."""

    digest: str
    cluster: int | None
    score: float
    characters: int


@dataclass(frozen=True, slots=True)
class Draw:
    """One synthesis and the drafts it read, in the order of its prompt."""

    question: str
    right: float
    cluster: int | None
    answered: bool
    digest: str
    characters: int
    drafts: tuple[Draft, ...]
    group: str | None = None
    """The group of questions that its question belongs to."""

    @property
    def votes(self) -> Counter[int]:
        """The number of drafts by answer."""
        return Counter(d.cluster for d in self.drafts if d.cluster is not None)

    @property
    def leaders(self) -> list[int]:
        """The most common answers: several if tied, none if no draft has an answer."""
        votes = self.votes
        return [cluster for cluster, count in votes.items() if count == max(votes.values())]

    @property
    def cases(self) -> dict[str, float]:
        """The share of each of `CASES`, summing to 1: which drafts were right."""
        right = fmean(map(self._score_of, self.leaders)) if self.leaders else 0.0
        somebody = any(draft.score == 1 for draft in self.drafts)
        rest = 1 - right
        return {MAJORITY: right, MINORITY: somebody * rest, NOBODY: (not somebody) * rest}

    @property
    def disagreement(self) -> float:
        """1 if this answer is not the majority's, 0 if it is, and between them for a tied vote."""
        leaders = self.leaders
        return 1 - (self.cluster in leaders) / len(leaders) if leaders else 0.0

    @property
    def disagrees(self) -> float:
        """1 if this is none of the most common answers, else 0: a tie does not count."""
        return float(self.disagreement == 1)

    @property
    def majority_right(self) -> float:
        """The scores of the leading answers other than this one, each counting 1/k of k leaders."""
        rest = [leader for leader in self.leaders if leader != self.cluster]
        return sum(map(self._score_of, rest)) / max(len(self.leaders), 1)

    @property
    def copies_text(self) -> bool:
        """Whether the synthesis copies a draft word for word."""
        return self.digest in {draft.digest for draft in self.drafts}

    @property
    def inflation(self) -> float:
        """The length in characters, divided by the mean length of the drafts."""
        return self.characters / max(fmean(draft.characters for draft in self.drafts), 1)

    def _score_of(self, cluster: int) -> float:
        """Return the mean score of the drafts that gave this answer."""
        return fmean(draft.score for draft in self.drafts if draft.cluster == cluster)

    def follows(self, place: int) -> bool:
        """Return whether the synthesis gives the answer of the draft at this place."""
        return self.cluster is not None and self.drafts[place].cluster == self.cluster


def forensics(run: RunTables | Path) -> pd.DataFrame:
    """Return one row per synthesising method × n × figure, with its interval, by n.

    Figures are shares in [0, 1] (`inflation` a ratio) of `draws` draws on `questions` questions:

    - for each of `CASES`, its share (`CASE`), and the share with a right synthesis (`CASE, right`);
    - `disagrees`: another answer than the majority's, or none; of these draws `disagrees: right`
      and `disagrees: majority right`; one of several tied answers does not disagree;
    - `disagrees in part`, with the same two: each of k tied answers counts 1/k as the majority's;
    - `recovers`: right although no draft is;
    - `copies a text`, `copies an answer`, `new answer` (one that no draft gives), `no answer`;
    - `follows the first`, `follows the last` and `follows any` draft, where drafts differ; and how
      much more it follows the first, and the last, than any (`first bias`, `last bias`);
    - `inflation`: characters per character of a mean draft.

    Raises DataError.
    """
    rows = [
        {"method": method, "n": n, "figure": name, **_fields(interval), "draws": len(draws)}
        for (method, n), draws in RunTables.of(run).reading(Draws).by_key.items()
        for name, interval in _figures(draws)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def figures_of(run: RunTables, method: str, n: int) -> dict[str, Interval]:
    """Return the figures of one method at one n by name; empty without draws. Raises DataError."""
    return dict(_figures(run.reading(Draws).by_key.get((method, n), [])))


class Draws(Reading):
    """Every method's syntheses that can be judged, beside the drafts that they read."""

    score_columns = _SCORES
    rollout_columns = _ROLLOUTS

    def __init__(self, record: Mapping[str, JSON]) -> None:
        super().__init__(record)
        self._draws: dict[tuple[str, int], list[Draw]] = {}
        self._comparable = False

    def add_scores(self, rows: pd.DataFrame, pools: RowsByQuestion) -> None:
        """Take in score rows of whole questions."""
        for question, group in _select_written(rows).groupby("question", sort=False):
            drafts = _drafts(pools.of(str(question)))
            for row in rows_of(group.sort_values(["method", "n", "draw"], kind="stable")):
                if draw := _draw(row, drafts):
                    self._comparable = self._comparable or bool(draw.votes)
                    self._draws.setdefault((row["method"], int(row["n"])), []).append(draw)

    @cached_property
    def by_key(self) -> dict[tuple[str, int], list[Draw]]:
        """The draws by method and n, each list in the order of the questions' names.

        Empty if no draft of the run has an answer that can be compared.
        """
        ordered = sorted(self._draws) if self._comparable else ()
        return {key: sorted(self._draws[key], key=lambda draw: draw.question) for key in ordered}


def _select_written(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the syntheses among these rows that are right or wrong."""
    written = rows[rows["text"].notna() & rows["score"].isin((0, 1))]
    return written[written["slots"].map(len) > 0]


def _drafts(rollouts: pd.DataFrame | None) -> dict[int, Draft]:
    """Return one question's rollouts that are right or wrong, by slot."""
    if rollouts is None:
        return {}
    rollouts = rollouts[rollouts["failed"].isna() & rollouts["score"].isin((0, 1))]
    return {
        row["slot"]: Draft(row["digest"], label_of(row["cluster"]), row["score"], row["characters"])
        for row in rows_of(rollouts)
    }


def _draw(row: Mapping[str, JSON], drafts: Mapping[int, Draft]) -> Draw | None:
    """Return a synthesis with its drafts; None if one of them is unscored or graded."""
    read = tuple(drafts[slot] for slot in row["slots"] if slot in drafts)
    if len(read) < len(row["slots"]):
        return None
    return Draw(
        question=row["question"],
        right=row["score"],
        cluster=label_of(row["answer_cluster"]),
        answered=isinstance(row["answer"], str),
        digest=sha256(row["text"].encode("utf-8", "surrogatepass")).hexdigest(),
        characters=len(row["text"]),
        drafts=read,
        group=row["cluster"] if isinstance(row["cluster"], str) else None,
    )


def _figures(draws: Sequence[Draw]) -> Iterator[tuple[str, Interval]]:
    if not draws:
        return
    always = [1.0] * len(draws)
    for case in CASES:
        shares = [draw.cases[case] for draw in draws]
        yield case, _share(draws, shares, always)
        right = [share * draw.right for share, draw in zip(shares, draws, strict=True)]
        yield f"{case}, right", _share(draws, right, always)
        if case == NOBODY:
            yield "recovers", _share(draws, right, shares)
    for strict in (True, False):
        yield from _disagreement(draws, strict=strict)
    hits = [float(any(draw.follows(k) for k in range(len(draw.drafts)))) for draw in draws]
    answers = [float(draw.answered) for draw in draws]
    yield "copies a text", _share(draws, [float(draw.copies_text) for draw in draws], always)
    yield "copies an answer", _share(draws, hits, always)
    new = [a - g for a, g in zip(answers, hits, strict=True)]
    yield "new answer", _share(draws, [max(share, 0.0) for share in new], always)
    yield "no answer", _share(draws, [1 - share for share in answers], always)
    if mixed := [draw for draw in draws if len(draw.votes) > 1]:
        yield from _places(mixed)
    yield "inflation", _mean(draws, [draw.inflation for draw in draws])


def _disagreement(draws: Sequence[Draw], *, strict: bool) -> Iterator[tuple[str, Interval]]:
    """Yield how often synthesis and majority disagree, and which of them is right then."""
    name = "disagrees" if strict else "disagrees in part"
    differs = [draw.disagrees if strict else draw.disagreement for draw in draws]
    yield name, _share(draws, differs, [1.0] * len(draws))
    right = [share * draw.right for share, draw in zip(differs, draws, strict=True)]
    yield f"{name}: right", _share(draws, right, differs)
    others = [d.majority_right * (d.disagrees if strict else 1) for d in draws]
    yield f"{name}: majority right", _share(draws, others, differs)


def _places(mixed: Sequence[Draw]) -> Iterator[tuple[str, Interval]]:
    """Yield which draft the synthesis follows if drafts differ; their order is random."""
    always = [1.0] * len(mixed)
    follows = {
        "first": [float(draw.follows(0)) for draw in mixed],
        "last": [float(draw.follows(-1)) for draw in mixed],
        "any": [fmean(draw.follows(k) for k in range(len(draw.drafts))) for draw in mixed],
    }
    for name, shares in follows.items():
        article = "" if name == "any" else "the "
        yield f"follows {article}{name}", _share(mixed, shares, always)
    for name in ("first", "last"):
        bias = np.subtract(follows[name], follows["any"]).tolist()
        yield f"{name} bias", _mean(mixed, bias, bounds=(-1.0, 1.0))


def _share(draws: Sequence[Draw], hits: Sequence[float], trials: Sequence[float]) -> Interval:
    """Return hits per trial; a question's draws are averaged first."""
    averages = (_average_by_question(draws, values) for values in (hits, trials))
    return ratio_interval(*averages, clusters=_groups(draws))


def _mean(
    draws: Sequence[Draw], values: Sequence[float], *, bounds: tuple[float, float] | None = None
) -> Interval:
    """Return the mean of values that are not shares, such as differences."""
    averages = _average_by_question(draws, values)
    return mean_interval(averages, clusters=_groups(draws), bounds=bounds)


def _average_by_question(draws: Sequence[Draw], values: Sequence[float]) -> list[float]:
    """Return the mean of each question's draws, in the order of the questions."""
    names = [draw.question for draw in draws]
    return pd.Series(values, dtype=float).groupby(names, sort=False).mean().tolist()


def _groups(draws: Sequence[Draw]) -> list[str | None]:
    """Return each question's group, in the order of the questions."""
    return list({draw.question: draw.group for draw in draws}.values())


def _fields(interval: Interval) -> dict[str, JSON]:
    return {
        "value": interval.mean,
        "se": interval.se,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "questions": interval.n,
    }


def label_of(cluster: float | None) -> int | None:
    """Return an answer's label as a table holds it; None for no answer."""
    return None if cluster is None or np.isnan(cluster) else int(cluster)
