"""The rows of a run's tables: a score, a rollout, a question.

A run makes dozens of rows for each question. Score and rollout rows are not frozen only because a
frozen record of 50 fields takes three times as long to make: nothing changes them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class ScoreRow:
    """One question × method × n × draw of a run.

    A method may pick several rollouts with weights; `lost`, `abstained` and `exhausted` are the
    weights of some of its picks, in [0, 1]. The fields from `calls` on are the costs of one use of
    the method: see `cat_bench.models.costs`.
    """

    question: str
    cluster: str | None = None
    """The cluster of the question, such as the passage that several questions share."""
    method: str
    n: int
    draw: int | None = None
    """The number of the draw; None if the value is the expectation over all n-subsets."""
    score: float | None = None
    """The mean score of the picks that could be scored; None if none could."""
    lost: float = 0.0
    """The weight of the picks that could not be scored: they are left out of `score`."""
    abstained: float = 0.0
    """The weight that the method gave to no answer: it counts 0 in `score`."""
    exhausted: float = 0.0
    """The weight of the picks that exceeded the grader's time or memory: they count 0."""
    unlabelled: float = 0.0
    """1 if the question has no target, so that nothing can be scored."""
    failed: str | None = None
    """Why there is no score, unless the question is unlabelled."""
    fallback: str | None = None
    """Why the estimate is not the one that the method should give."""
    picks: tuple[int, ...] = ()
    """The slots of the picked rollouts."""
    weights: tuple[float, ...] = ()
    """The weight of each of the `picks`; for an expectation, its probability."""
    text: str | None = None
    """The text that the method wrote, if it picked no rollout."""
    parts: tuple[str, ...] = ()
    """The parts of the score, such as the themes of the question's rubric."""
    part_scores: tuple[float, ...] = ()
    """The score of each of the `parts`."""
    slots: tuple[int, ...] = ()
    """The slots that a draw read, in the order of reading."""
    answer: str | None = None
    """The answer in `text`."""
    answer_cluster: int | None = None
    """The cluster of the rollouts that give `answer`; None if no rollout does."""
    rollout_var: float | None = None
    """The variance of an exact value over fresh rollouts of the question; None if unknown."""
    subsets: float | None = None
    """How many subsets a draw may read; None if the value depends on more than the subset."""
    draw_se: float | None = None
    """The Monte-Carlo standard error of a rule that tried some of the orders; else None."""
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
    """One slot of one question's pool: its answer, cluster and score, or why it has no text."""

    question: str
    slot: int
    digest: str | None = None
    """SHA-256 of the text in UTF-8, lone surrogates included; it enters the pool's digest."""
    answer: str | None = None
    cluster: int | None = None
    """The cluster of the answer among the pool's answers."""
    score: float | None = None
    met: tuple[int, ...] = ()
    """A judge's verdict on each criterion of the rubric, 1 or 0."""
    finish: str | None = None
    """Why the completion ended, such as `stop` or `length`."""
    failed: str | None = None
    """Why there is no text."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    characters: int = 0
    rated_by: tuple[str, ...] = ()
    """The signals of single rollouts that a method used."""
    ratings: tuple[float, ...] = ()
    """The rollout's number by each of the signals in `rated_by`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRow:
    """One question: the problem as it can be quoted, and its meta fields as JSON."""

    question: str
    text: str
    meta: str = "{}"
