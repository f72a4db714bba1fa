"""What parameters and fields mean: the texts that `docs/reference.md` shows beside them.

A field's own docstring in the code comes first; this module has the others. `parameter` raises
LookupError for a field without a text, so that the page cannot be written with a gap.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping
from functools import cache

ATTEMPTS = "how many replies are asked for until one can be read"
TEMPERATURE = "the sampling temperature of these calls; by default the role's"
PATTERN = "a regular expression with one group, which finds the final answer"
SHARED: Mapping[str, str] = {
    "attempts": ATTEMPTS,
    "by": "the role that is asked",
    "temperature": TEMPERATURE,
    "style": "`math` asks for reconciled reasoning and a boxed answer, `free` for one response",
    "question": "whether the anchor sees the question",
    "estimator": "the method whose result is the reference",
    "length_limit": "tokens above which a response loses `length_penalty`; by default none",
    "length_penalty": "what a response above `length_limit` loses",
    "window": "how many rollouts are compared at once",
}
"""Parameters that several plug-ins have, with one meaning."""
PARAMETERS: Mapping[str, Mapping[str, str]] = {
    "aggregator adaptive_consistency": {
        "rule": "when to stop: by the chance that the top answer stays first (`beta`), by its "
        "share of the votes (`majority`), or by the entropy of the votes (`entropy`)",
        "threshold": "the value at which the rule stops; by default 0.95, 0.8 and 0.75",
    },
    "aggregator agreement_gate": {
        "threshold": "the share of the rollouts from which on the vote decides",
    },
    "aggregator best_of_infinity": {
        "threshold": "the Bayes factor at which sampling stops",
        "unseen": "the votes of all answers that were not seen yet, taken as one answer",
    },
    "aggregator best_of_n": {"by": "the signal or imported score that ranks the rollouts"},
    "aggregator coordinated": {
        "rounds": "the number of responses in each round before the last one",
        "prompt": "the prompt text",
    },
    "aggregator deepconf_online": {
        "warmup": "rollouts that are written to their end and set the bar",
        "keep": "the share of the warm-up rollouts that reach the bar",
        "window": "the tokens in a group",
        "of": "the number of each token that is averaged",
    },
    "aggregator early_stopping": {"window": "rollouts that are sampled at once"},
    "aggregator majority_of_the_bests": {
        "by": "the signal or imported score that ranks the rollouts",
        "m": "the size of the random subsets; by default the square root of n, rounded up",
    },
    "aggregator mixture": {
        "layers": "how often all proposers write",
        "proposers": "the roles that write in each layer",
    },
    "aggregator pairwise": {
        "schedule": "`league`: all pairs or random ones; `knockout`: winners meet winners",
        "matches": "random comparisons per rollout in a league; by default all pairs",
        "scoring": "what ranks a league: the share of comparisons won, or Bradley-Terry strength",
    },
    "aggregator pandora": {
        "by": "the signal that ranks the rollouts; it must depend on a rollout alone",
        "cost": "the cost of a rollout, in units of the numbers' spread",
        "doubt": "the error probability of the confidence bound",
    },
    "aggregator recursive_synthesis": {
        "population": "the size of the population; by default the number of rollouts",
        "subset": "how many members one synthesis reads",
        "rounds": "how often the population is replaced",
    },
    "aggregator select": {"check": "whether the model reads the rollouts in reverse order, too"},
    "aggregator universal_consistency": {
        "check": "whether the model reads the rollouts in reverse order, too"
    },
    "aggregator swiss": {
        "budget": "comparisons per rollout, each of which is one call",
        "coverage": "random rounds before the Swiss rounds",
        "floor": "the least weight of a comparison, above 0 and at most 1",
    },
    "aggregator synthesis": {
        "inputs": "what is shown of each rollout: all of it, its final answer, or a summary",
    },
    "aggregator vote": {
        "by": "the signal that weights the votes; by default each rollout has one vote",
        "weight": "what a vote weighs: its rank, its softmax, or the number itself",
        "power": "the power of the rank",
        "temperature": "the temperature of the softmax",
        "keep": "the share of the rollouts, by their numbers, that vote",
        "unanswered": "whether rollouts without an answer vote, as one cluster",
    },
    "signal confidence": {
        "part": "which groups count: the mean, the least, the lowest tenth, or the last group",
        "window": "the tokens in a group",
        "of": "the number of each token that is averaged",
    },
    "signal consistency": {"by": "what makes two rollouts similar"},
    "signal dawid_skene": {"of": "the imported scores, joined by `+`; by default all"},
    "signal length": {"shortest": "whether the shortest rollout ranks first"},
    "signal mutual_predictability": {
        "given": "whether all others are shown at once (`all`) or one by one (`each`)",
    },
    "signal process_reward": {
        "steps": "the text between two steps",
        "reduce": "how the steps' numbers become one",
    },
    "scorer program": {
        "cpu": "the limit of one run, in seconds of CPU time",
        "memory": "the limit of one run, in MiB",
    },
    "scorer rubric": {
        "penalty": "what every 500 characters above 2,000 cost in a second score",
        "attempts": "how often a malformed verdict is asked for: 3, or 10 for `official`",
        "profile": "the judge's prompt: this package's (`ours`) or HealthBench's (`official`)",
        "template": "your own file in place of the `official` profile's pinned template",
    },
    "reward rubric": {
        "criteria": "the least number of criteria that the anchor proposes",
        "most": "the largest number of criteria",
    },
    "reward scrl": {
        "clear": "the least share of the top answer that makes it the label",
        "lead": "by how much the label's share leads the second answer's",
        "rare": "the share below which an answer counts as rare",
        "entropy": "whether the terms with token entropies count",
    },
    "lm-eval": {
        "name": "the task's name in lm-eval",
        "include_path": "a folder of YAMLs, in which alone tasks are searched",
        "filter": "the filter whose output is scored; by default the task's first",
        "metric": "the metric; by default the task's first",
        "fewshot": "solved examples in the prompt; by default as many as the task sets",
    },
    "task.yaml": {
        "version": "raise it when questions, targets or prompts change",
        "summary": "one sentence, shown by `list` and `show`",
        "data": "where the rows are: see below",
        "prompt": "the name of the prompt text, without `.txt`",
        "system": "a system message before the prompt",
        "scorer": "the scorer: a name, or `./file.py:Class`",
        "with": "the scorer's parameters",
        "sampling": "the sampling parameters of each role",
        "methods": "the methods of a run that names none",
        "closing": 'completes "End with …" in the prompt texts; by default the scorer\'s phrase',
        "caveats": "sentences that stand under the task's tables and audits",
    },
    "data": {
        "revision": "the full commit of the repository",
        "path": "the file's path in the repository",
        "sha256": "the file's digest, which is checked",
        "fields": "which column is what: see below",
    },
    "data.fields": {
        "problem": "the column with the problem's text",
        "messages": "in place of `problem`: the column with a conversation",
    },
    "method": {
        "summary": "one sentence, shown by `list` and `show`",
        "aggregator": "the aggregator: a name, or `./file.py:Class`",
        "with": "the aggregator's parameters",
        "budgets": "the only n at which the method runs; by default the run's",
        "citation": "the paper",
    },
    "inspect": {
        "task": "the task of this package: a name, or the path of a `task.yaml`",
        "method": "the method that combines the rollouts",
        "n": "rollouts per question",
    },
}
"""Parameters by plug-in, options of the bridges, and fields of YAML files."""


def parameter(place: str, kind: type, name: str) -> str:
    """Return what a parameter of a class means; its docstring in the code comes first."""
    for part in kind.__mro__:
        if text := _documented(part).get(name):
            return f"{text[0].lower()}{text[1:]}".removesuffix(".")
    if text := PARAMETERS.get(place, {}).get(name, SHARED.get(name)):
        return text
    raise LookupError(f"{place}: write a docstring under the field {name!r} of {kind.__name__}")


@cache
def _documented(kind: type) -> Mapping[str, str]:
    """Return the docstrings that stand under a class's fields."""
    try:
        source = inspect.getsource(kind)
    except (OSError, TypeError):  # a built-in class has no source
        return {}
    (body,) = ast.parse(textwrap.dedent(source)).body
    texts = {}
    for field, after in zip(body.body, body.body[1:], strict=False):  # type: ignore[attr-defined]
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=text)):
                texts[name] = " ".join(str(text).split())
    return texts
