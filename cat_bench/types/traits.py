"""The optional attributes by which a plug-in describes itself, read in one place.

A class with one method is a plug-in; an attribute that it lacks has the default below. All other
code reads these records, so that misspelling an attribute in it is a type error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from operator import index
from typing import Literal, NoReturn, TypeAlias, TypeVar, get_args

from cat_bench.errors import ConfigError
from cat_bench.types.calls import JSON, Sampling

Need: TypeAlias = str
"""What a plug-in needs:

- a capability of the model, or a role (`anchor`, `judge`, `embedder`, `reward`, `policy`);
- `answers`: final answers that can be compared; `others`: the other questions of the run;
- `score:NAME`: a number imported with each rollout; `scores`: any such number;
- `reward:NAME`: a reward model; without one, the imported number NAME.
"""
Reads: TypeAlias = Literal["self", "pairs", "subset"]
"""Whether a rollout's number depends on the rollout, on its pairs, or on the whole subset."""
TEXT_READERS: tuple[Need, ...] = ("anchor", "judge", "embedder", "reward")
"""The roles that are shown rollouts' texts."""
PER_TOKEN: tuple[Need, ...] = ("logprobs", "entropies", "certainties", "confidences")
"""The numbers that a model gives for each token that it writes."""
POSITIVE = 0.5
NOTHING: frozenset[Need] = frozenset()


@dataclass(frozen=True, slots=True)
class AggregatorTraits:
    """The optional attributes of an aggregator.

    `budgets` lists the only n that make sense, such as `(0,)` for a method that reads no rollout.
    If `reads` is `self` or `pairs`, the aggregator must make its calls through `ctx.once`, so that
    further subsets cost no call.
    """

    needs: frozenset[Need] = NOTHING
    budgets: tuple[int, ...] | None = None
    reads: Reads = "subset"


@dataclass(frozen=True, slots=True)
class SignalTraits:
    """The attributes of a signal; `reads` is required.

    `from_replies` says that a rollout's number is read only from its reply, without a model: the
    numbers of many rollouts are then asked for at once.
    """

    reads: Reads | None = None
    needs: frozenset[Need] = NOTHING
    from_replies: bool = False


@dataclass(frozen=True, slots=True)
class ScorerTraits:
    """The optional attributes of a scorer.

    `graded` says that scores are shares, not right or wrong. `check` returns what is wrong with a
    target, or None; it is called for every row before anything is paid for. `doubt` returns why a
    target may not suit this scorer, or None; many doubts cause a warning before the run. `closing`
    completes "End with …" and says how to state an answer. `targetless` says that it scores without
    a target; for all others, a row whose target is None is unlabelled and gets no score. For a
    scorer with a judge, `profile` names how the judge is asked, and `judge_sampling` holds the
    judge's default sampling parameters.
    """

    needs: frozenset[Need] = NOTHING
    graded: bool = False
    check: Callable[[JSON], str | None] | None = None
    doubt: Callable[[JSON], str | None] | None = None
    closing: str | None = None
    targetless: bool = False
    profile: str | None = None
    judge_sampling: Sampling | None = None


@dataclass(frozen=True, slots=True)
class RewardTraits:
    """The optional attributes of a reward.

    `positive` is the least reward that means "right"; None if rewards mean something only within a
    group. `control` marks a baseline, which shows what training does without a reference.
    """

    needs: frozenset[Need] = NOTHING
    positive: float | None = POSITIVE
    control: bool = False


T = TypeVar("T", AggregatorTraits, SignalTraits, ScorerTraits, RewardTraits)


def traits(kind: type[T], plugin: object) -> T:
    """Return a plug-in's attributes, with the defaults of its kind.

    Raises ConfigError for an attribute of another type.
    """
    declared = {f.name: getattr(plugin, f.name) for f in fields(kind) if hasattr(plugin, f.name)}

    def refuse(name: str, problem: str) -> NoReturn:
        raise ConfigError(type(plugin).__qualname__, name, problem)

    for field in fields(kind):
        if isinstance(field.default, bool) and not isinstance(declared.get(field.name, True), bool):
            refuse(field.name, "should be True or False")
    if "needs" in declared:
        if isinstance(declared["needs"], str) or not isinstance(declared["needs"], Iterable):
            refuse("needs", f'is {declared["needs"]!r}, and should be a set, such as {{"answers"}}')
        declared["needs"] = frozenset(declared["needs"])
    if declared.get("budgets") is not None:
        try:
            declared["budgets"] = tuple(map(index, declared["budgets"]))
        except TypeError:
            refuse("budgets", f"is {declared['budgets']!r}, and should be a tuple, such as (4, 8)")
    if kind is AggregatorTraits and declared.get("reads", "subset") not in get_args(Reads):
        refuse("reads", f"is {declared['reads']!r}; known: {', '.join(get_args(Reads))}")
    return kind(**declared)


def reads_tokens(needs: frozenset[Need]) -> bool:
    """Return whether a plug-in with these needs reads numbers of the rollouts' tokens."""
    return not needs.isdisjoint(PER_TOKEN)


def is_labelled(target: JSON, scorer: object) -> bool:
    """Return whether responses to a question with this target can be scored."""
    return target is not None or traits(ScorerTraits, scorer).targetless
