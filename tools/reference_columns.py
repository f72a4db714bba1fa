"""What the columns of tables and files mean: the texts that `docs/reference.md` shows beside them.

`meaning` raises LookupError for a column without a text, so that the page cannot be written with a
gap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

COLUMNS: Mapping[str, str] = {
    "task": "the task, by the name given to the run",
    "model": "the policy, by the name given to the run",
    "run": "the run: its model, or its folder where two runs have one model",
    "question": "the question's id",
    "text": "the text",
    "method": "the method",
    "n": "rollouts that the method may read",
    "kind": "`method`, or `frame` for the floor and the ceiling",
    "questions": "questions with a value",
    "score": "the mean score, in [0, 1]",
    "se": "its standard error",
    "ci_low": "lower end of the score's 95 % interval",
    "ci_high": "upper end of the score's 95 % interval",
    "se_rollouts": "standard error over new rollouts of the same questions; empty if unknown",
    "reference": "the method that the row is compared with",
    "diff": "the score minus the reference's, over common questions",
    "p": "two-sided p value of `diff`",
    "p_holm": "the same, corrected over the methods at their largest n",
    "questions_needed": "questions that would settle `diff` (5 %, two-sided; power 80 %)",
    "diff_single": "the score minus that of a single rollout",
    "p_single": "two-sided p value of `diff_single`",
    "unlabelled": "questions without a target, which have no score",
    "unscored": "questions without a score",
    "failed": "draws that failed",
    "score_fallback_0": "the score if every fallback counted 0",
    "score_exhausted_out": "the score without answers that exhausted the grader",
    "calls": "calls per question, if only this method ran",
    "tokens": "prompt and completion tokens per question, if only this method ran",
    "prompt_tokens": "prompt tokens; a prompt counts once for each of its rollouts",
    "shared_prompt_tokens": "prompt tokens; the rollouts' common prompt counts once",
    "completion_tokens": "completion tokens",
    "reasoning_tokens": "the part of the completion tokens that is reasoning",
    "sequential_tokens": "tokens that must be written one after another",
    "spent_calls": "calls that the run made anew, not from the cache",
    "spent_prompt_tokens": "prompt tokens of those calls",
    "spent_completion_tokens": "completion tokens of those calls",
    "truncated": "replies that ended at the token limit",
    "refused": "replies that the server's filter withheld",
    "empty": "replies without a text",
    "missing": "calls that failed",
    "abstained": "share of the draws' weights without an answer, which counts 0",
    "exhausted": "share of the draws' weights that exceeded the grader's limits, which counts 0",
    "fallback": "share of the draws' weights that is a fallback",
    "lost": "share of the draws' weights that could not be scored, which does not count",
    "draws": "draws per question; empty where the value is an exact expectation",
    "se_draws": "Monte-Carlo standard error of the score",
    "exact": "share of the questions whose value has no such error",
    "flag": "why not to trust the row's numbers; empty if nothing is known",
    "reason": "why the method is not available",
    "pairs": "questions that both sides have",
    "shared_tokens": "the same, with the rollouts' common prompt counted once",
    "flops": "floating-point operations per question, from --parameters",
    "shared_flops": "the same for `shared_tokens`",
    "money": "cost per question, from --prices",
    "front": "whether no row has as high a score for as few `tokens`",
    "sequential_front": "whether no row has as high a score for as few `sequential_tokens`",
    "gap_closed": "(score - single) / (oracle - single) at the same n",
    "gap_low": "lower end of the 95 % interval of `gap_closed`",
    "gap_high": "upper end of the 95 % interval of `gap_closed`",
    "matched_n": "the n at which the reference costs the same tokens",
    "matched_score": "the reference's score there",
    "field": "the field of the data's meta",
    "group": "the field's value",
    "part": "the rubric's part",
    "examples": "examples that have the part",
    "figure": "what is measured: see below",
    "value": "its value",
    "signal": "the signal",
    "auroc": "how often the better of two rollouts has the higher number; 0.5 is chance",
    "n_highest": "the n at which best-of-n by the signal is highest",
    "score_highest": "its score there",
    "n_last": "the largest n",
    "score_last": "the score of best-of-n there",
    "fall": "`score_highest` minus `score_last`, over common questions",
    "calibration_error": "mean distance of number and score; only for numbers from 0 to 1",
    "slot": "the rollout's place in the pool, from 0",
    "cluster": "the number of the answer's cluster; empty without an answer",
    "answer": "the final answer that was read",
    "finish": "why the text ended: `stop` or `length`",
}
"""Columns by name; those of one file alone are in `OF_FILE`."""
OF_FILE: Mapping[str, Mapping[str, str]] = {
    "scores.parquet": {
        "cluster": "questions of one cluster are resampled together; empty: its own",
        "draw": "the number of the draw; empty where the value is an exact expectation",
        "score": "the score, in [0, 1] unless a rubric goes below; empty if nothing was scored",
        "lost": "share of the pick's mass that could not be scored, which does not count",
        "abstained": "share of the pick's mass without an answer, which counts 0",
        "exhausted": "share of the pick's mass that exceeded the grader's limits, which counts 0",
        "unlabelled": "1 if the question has no target, else 0",
        "failed": "why there is no score",
        "fallback": "why the estimate is not the requested one",
        "picks": "the slots of the rollouts that were picked",
        "weights": "the weight of each pick",
        "text": "the text that the method wrote",
        "parts": "the parts of the rubric that have scores",
        "part_scores": "the score of each part",
        "slots": "the slots that the draw read, in the order of reading",
        "answer": "the final answer of `text`",
        "answer_cluster": "the pool's cluster of that answer; empty if no rollout gives it",
        "rollout_var": "variance of an exact value over new rollouts; empty if unknown",
        "subsets": "how many subsets a draw may read",
        "draw_se": "Monte-Carlo standard error of a stopping rule's score",
        "calls": "calls of one use of the method",
    },
    "rollouts.parquet": {
        "digest": "SHA-256 of the text",
        "score": "the score; empty if it could not be scored",
        "met": "the judge's verdict on each criterion, 1 or 0",
        "failed": "why there is no text",
        "characters": "characters of the text",
        "rated_by": "the signals of single rollouts that a method used",
        "ratings": "their numbers",
    },
    "questions.parquet": {
        "text": "the problem as it can be quoted",
        "meta": "the fields of the row's meta, as JSON",
    },
    "signals-curve.csv": {
        "questions": "questions with the largest pool",
        "score": "mean score of best-of-n by the signal",
    },
    "signals-bins.csv": {
        "bin": "tenth of the rollouts by the signal, from 1, the lowest",
        "number": "mean number that the signal gives them",
        "score": "their mean score",
        "rollouts": "rollouts in the bin",
    },
    "breakdown.csv": {
        "kind": "the text before the part's colon, such as theme; empty if there is none"
    },
    "forensics.csv": {
        "draws": "syntheses that were read",
        "ci_low": "lower end of the value's 95 % interval",
        "ci_high": "upper end of the value's 95 % interval",
    },
    "compare --csv": {
        "reference": "the run, method and n that the row is compared with",
        "calls": "calls per question, if only this method ran",
    },
    "ensemble --csv": {
        "method": "a model, the best member, or a weighted vote of all",
        "n": "samples in all, over the models",
        "diff": "the score minus the best member's at the same n",
    },
    "audit.csv": {
        "name": "the candidate: ESTIMATOR with REWARD, or REWARD",
        "estimator": "the method whose result is the reference; empty if none is used",
        "reward": "the reward, with its parameters",
        "supervised": "whether it sees the right answer",
        "control": "whether it is a control: it sees the right answer, or needs no reference",
        "reason": "why the reward is not available",
        "groups": "groups that were rewarded, one for each question",
        "unlabelled": "groups without a target: only `rewarded` and `silent` count them",
        "abstained": "groups whose reference abstained",
        "fallbacks": "groups whose reference is a fallback",
        "failed": "groups whose reward failed",
        "unscored": "rollouts without a reward",
        "flag": "why not to trust the reward accuracy; empty if nothing is known",
    },
    "a pool": {
        "id": "the question's id",
        "problem": "its text",
        "answer": "the right answer, in an imported pool that has one",
        "responses": "the rollouts' texts, in the order of their slots; null for a missing one",
        "scores": "named numbers of each response, which methods may read",
        "reasoning": "the reasoning before each response",
        "finish": "why each response ended: `stop` or `length`",
        "usage": "prompt, completion and reasoning tokens of each response",
        "token_logprobs": "log-probability of each token, in nats",
        "token_entropies": "entropy of each next-token distribution, in nats",
        "measures": "other numbers of each token, by name",
        "served_by": "the model that the server named",
        "seed": "the seed of each response",
        "failures": "kind and message of each missing response",
        "messages": "the prompt (in `cache export` without a pool)",
        "sampling": "the sampling parameters, as JSON (in `cache export` without a pool)",
        "label": "the label of the pool, if the run had one",
    },
    "calls": {
        "key": "SHA-256 of the call: the model's identity, messages, sampling and label",
        "slot": "which of the call's results it is, from 0",
        "document": "the call, as canonical JSON",
        "body": "the result, as JSON: text, reasoning, ending, tokens, or the failure",
        "logprobs": "the tokens' log-probabilities, as float32",
        "entropies": "the tokens' entropies, as float32",
        "digest": "a digest of the row's place and content, by which damage is found",
    },
}
"""Columns of one file."""
_ROLE = re.compile(r"(policy|anchor|judge|embedder|reward)_(calls|tokens|completion_tokens)")
_ENDS = {"low": "lower", "high": "upper"}
_AT_EQUAL = ("shared", "sequential")


def meaning(place: str, name: str) -> str:
    """Return what a column of a file means. Raises LookupError for an unknown one."""
    if text := OF_FILE.get(place, {}).get(name, COLUMNS.get(name)):
        return text
    base, _, end = name.rpartition("_")
    if end in _ENDS:
        return f"{_ENDS[end]} end of the 95 % interval of `{base}`"
    if role := _ROLE.fullmatch(name):
        return f"{role[2].replace('_', ' ')} of the {role[1].replace('reward', 'reward model')}"
    prefix, _, rest = name.partition("_")
    if prefix in _AT_EQUAL and rest in COLUMNS:
        return f"`{rest}` at equal `{prefix}_tokens`"
    raise LookupError(f"tools/reference_columns.py does not say what {name!r} of {place} means")
