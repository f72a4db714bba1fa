"""The rows of a run's tables: a score, a rollout, a question.

A run makes dozens for each question. The first two are not frozen, because a frozen one of 50
fields takes three times as long to make; nothing changes a row.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class ScoreRow:
    """One question × method × n × draw of a run.

    `draw` is None where the value is the exact expectation over all n-subsets. `score` is None
    where nothing could be scored; `failed` holds the reason, or `unlabelled` is 1: the question has
    no target. `lost`, `abstained` and `exhausted`
    are shares of the pick's mass in [0, 1]. `lost` could not be scored and is left out of `score`;
    `abstained` gave no answer and counts 0; `exhausted` exceeded the grader's limit of time or
    memory and counts 0. `slots` are those that a draw read, in the order of reading. A synthesised
    `text` has its `answer`, and the pool's cluster of that answer in `answer_cluster`, None if no
    rollout gives it. `rollout_var` is the variance of an exact value over fresh rollouts of the
    same question; None if it is unknown. `subsets` is the number of subsets that a draw may read,
    if its value depends on nothing else. `draw_se` is the Monte-Carlo standard error of a stopping
    rule's score over random orders, 0 where it is exact; None for other methods. `part_scores` are
    the score's counterparts for `parts` of the question's rubric (a theme, an axis). The fields
    from `calls` on are costs: see `cat_bench.models.costs`.
    """

    question: str
    cluster: str | None = None
    method: str
    n: int
    draw: int | None = None
    score: float | None = None
    lost: float = 0.0
    abstained: float = 0.0
    exhausted: float = 0.0
    unlabelled: float = 0.0
    failed: str | None = None
    fallback: str | None = None
    picks: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    text: str | None = None
    parts: tuple[str, ...] = ()
    part_scores: tuple[float, ...] = ()
    slots: tuple[int, ...] = ()
    answer: str | None = None
    answer_cluster: int | None = None
    rollout_var: float | None = None
    subsets: float | None = None
    draw_se: float | None = None
    calls: float = 0.0
    prompt_tokens: float = 0.0
    shared_prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    reasoning_tokens: float = 0.0
    sequential_tokens: float = 0.0
    policy_calls: float = 0.0
    policy_tokens: float = 0.0
    policy_completion_tokens: float = 0.0
    anchor_calls: float = 0.0
    anchor_tokens: float = 0.0
    anchor_completion_tokens: float = 0.0
    judge_calls: float = 0.0
    judge_tokens: float = 0.0
    judge_completion_tokens: float = 0.0
    embedder_calls: float = 0.0
    embedder_tokens: float = 0.0
    embedder_completion_tokens: float = 0.0
    reward_calls: float = 0.0
    reward_tokens: float = 0.0
    reward_completion_tokens: float = 0.0
    spent_calls: float = 0.0
    spent_prompt_tokens: float = 0.0
    spent_completion_tokens: float = 0.0
    truncated: float = 0.0
    refused: float = 0.0
    empty: float = 0.0
    missing: float = 0.0


@dataclass(slots=True, kw_only=True)
class RolloutRow:
    """One slot of one question's pool: its answer, cluster and score, or why it has no text.

    `digest` is the SHA-256 of the text (surrogates escaped), from which the pool's digest is made.
    `met` holds a judge's verdicts in the order of the rubric, 1 or 0. `ratings` are the numbers of
    the signals `rated_by`: signals of single rollouts that a method used.
    """

    question: str
    slot: int
    digest: str | None = None
    answer: str | None = None
    cluster: int | None = None
    score: float | None = None
    met: tuple[int, ...] = ()
    finish: str | None = None
    failed: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    characters: int = 0
    rated_by: tuple[str, ...] = ()
    ratings: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRow:
    """One question: the problem as it can be quoted, and its meta fields as JSON."""

    question: str
    text: str
    meta: str = "{}"
