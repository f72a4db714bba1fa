"""The costs of a method: completions, tokens, FLOPs, money.

Figures are for one stand-alone use on one question, scoring excluded: the sampled rollouts and the
calls on one bill, cached or not. `sum_spent` returns the actual cost in this run.
`sequential_tokens` are the completion tokens that must be written one after another: the longest of
parallel rollouts, and the sum of successive rounds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Annotated, TypeAlias

import numpy as np
from pydantic import Field

from cat_bench.errors import ConfigError, UsageError
from cat_bench.loading.validation import read_yaml, validate
from cat_bench.stats.exact import max_at
from cat_bench.types.calls import JSON, Failure, FloatArray, Result, Usage

ROLES = ("policy", "anchor", "judge", "embedder", "reward")
PARTS = ("calls", "tokens", "completion_tokens")
TOTALS = (
    "calls",
    "prompt_tokens",
    "shared_prompt_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "sequential_tokens",
)
BY_ROLE = tuple(intern(f"{role}_{part}") for role in ROLES for part in PARTS)
"""Interned, because a row takes a third of the time to make from names that are."""
SPENT = ("spent_calls", "spent_prompt_tokens", "spent_completion_tokens")
ENDS = ("truncated", "refused", "empty", "missing")
NOTHING = frozenset({"refused", "missing"})
"""Endings without a whole reply."""
COSTS = (*TOTALS, *BY_ROLE, *SPENT, *ENDS)
_NONE = Usage()
_NOTHING_USED = dict.fromkeys(COSTS, 0.0)


@dataclass(frozen=True, slots=True)
class Charge:
    """One call on a bill: its role, its tokens, its ending, and whether it was made now."""

    role: str
    usage: Usage = field(default_factory=Usage)
    fresh: bool = False
    end: str | None = None
    """One of `ENDS`; None for a whole reply."""
    once: str | None = None
    """A key; calls that share it are billed once per use (the embedding of one text)."""
    place: tuple[str, int] | None = field(default=None, compare=False)
    """The key and the slot of the call in the cache; None for a rollout of the pool."""

    @classmethod
    def of(
        cls,
        role: str,
        result: Result,
        *,
        fresh: bool = False,
        place: tuple[str, int] | None = None,
    ) -> Charge:
        """Return the charge of one call's result; a failed call has no token counts."""
        if isinstance(result, Failure):
            return cls(role, end=_end_of(result), place=place)
        return cls(role, result.usage, fresh, _end_of(result), place=place)


def _end_of(result: Result) -> str | None:
    """Return how a call ended: one of `ENDS`, or None for a whole reply."""
    if isinstance(result, Failure):
        return "refused" if result.kind == "refused" else "missing"
    if not result.text or result.text.isspace():
        return "empty"
    return "truncated" if result.finish == "length" else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """The expected samples of one use from a pool.

    `drawn` and `written` (pool,) are the expected draws of each rollout and the written share of
    its tokens, or one number for all; `calls` counts rollouts, `slots` is the requested share of
    the pool's slots. `sequential` are the tokens on the critical path, including the bill's.
    """

    calls: float
    slots: float
    drawn: FloatArray | float
    written: FloatArray | float
    sequential: float


class Sampled:
    """The results of sampling a pool, one per slot, as the counts that all its uses share."""

    def __init__(self, results: Sequence[Result]) -> None:
        self.slots = len(results)
        usages = [result.usage for result in results if not isinstance(result, Failure)]
        self.prompt = _Counts([usage.prompt for usage in usages])
        self.completion = _Counts([usage.completion for usage in usages])
        self.reasoning = _Counts([usage.reasoning for usage in usages])
        self.ends = Counter(map(_end_of, results))
        self._longest: dict[int, float] = {}

    def use(self, n: int, *, path: float = 0.0) -> Use:
        """Return the use of n average rollouts, plus `path` sequential tokens of other calls."""
        share = n / max(len(self.completion.each), 1)
        slots = n / max(self.slots, 1)
        sequential = self.longest(n) + path
        return Use(calls=n, slots=slots, drawn=share, written=share, sequential=sequential)

    def longest(self, n: int) -> float:
        """Return the expected completion tokens of the longest of n random rollouts."""
        if n not in self._longest:
            lengths = self.completion.each
            found = max_at(lengths, [min(n, len(lengths))])[0] if lengths and n else 0.0
            self._longest[n] = float(found)
        return self._longest[n]


class _Counts:
    """The token counts of a pool's whole replies, and their sum."""

    def __init__(self, each: Sequence[int]) -> None:
        self.each = each
        self.sum = sum(each)

    def expect(self, shares: FloatArray | float) -> float:
        """Return the sum of counts times shares; a single share keeps whole numbers."""
        if isinstance(shares, float):
            return shares * self.sum
        return float(shares @ np.array(self.each, dtype=float))


def costs(use: Use, *, pool: Sampled, bill: Sequence[Charge]) -> dict[str, float]:
    """Return the `COSTS` of a use of a pool and of the calls on a bill.

    `prompt_tokens` counts the prompt once per rollout, `shared_prompt_tokens` once for all.
    `truncated`, `refused`, `empty` and `missing` count the requested slots and the bill's calls
    with that ending; a reply that was cut off without any text is empty.
    """
    calls, prompt = float(use.calls), pool.prompt.expect(use.drawn)
    completion = pool.completion.expect(use.written)
    sampled = {
        **_NOTHING_USED,
        "calls": calls,
        "prompt_tokens": prompt,
        "shared_prompt_tokens": prompt / calls if calls else 0.0,
        "completion_tokens": completion,
        "reasoning_tokens": pool.reasoning.expect(use.written),
        "sequential_tokens": float(use.sequential),
        "policy_calls": calls,
        "policy_tokens": prompt + completion,
        "policy_completion_tokens": completion,
        **{end: use.slots * pool.ends[end] for end in ENDS},
    }
    if not bill:
        return sampled
    called = _sum_calls(_drop_repeats(bill))
    return {name: number + called[name] for name, number in sampled.items()}


def _sum_calls(bill: Sequence[Charge]) -> Counter[str]:
    """Return the `COSTS` of the calls on a bill, without those that are 0."""
    spent = sum_spent(bill)
    called = Counter({f"spent_{part}": count for part, count in spent.items()})
    for charge in bill:
        usage = charge.usage
        called.update(
            {
                "calls": 1,
                "prompt_tokens": usage.prompt,
                "shared_prompt_tokens": usage.prompt,
                "completion_tokens": usage.completion,
                "reasoning_tokens": usage.reasoning,
                f"{charge.role}_calls": 1,
                f"{charge.role}_tokens": usage.prompt + usage.completion,
                f"{charge.role}_completion_tokens": usage.completion,
                **({charge.end: 1} if charge.end else {}),
            }
        )
    return called


def sum_spent(bill: Sequence[Charge]) -> dict[str, int]:
    """Return a bill's `calls`, `prompt_tokens`, `completion_tokens` that this run made."""
    fresh = [charge.usage for charge in bill if charge.fresh]
    usage = sum(fresh, _NONE)
    return {
        "calls": len(fresh),
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
    }


def _drop_repeats(bill: Sequence[Charge]) -> list[Charge]:
    """Return the bill with one charge for each `once` key, preferably one made now."""
    charges: dict[object, Charge] = {}
    for charge in bill:
        key = object() if charge.once is None else charge.once
        if charge.fresh or key not in charges:
            charges[key] = charge
    return list(charges.values())


Amount: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model's tokens, per million, in one currency."""

    input: Amount
    output: Amount

    def of(self, usage: Usage) -> float:
        """Return the cost of this usage."""
        return (self.input * usage.prompt + self.output * usage.completion) / 1e6


def read_prices(path: Path) -> dict[str, Price]:
    """Return the prices in a YAML file, `MODEL: {input: ..., output: ...}` per million tokens.

    Raises ConfigError.
    """
    prices = {}
    for model, values in read_yaml(path).items():
        if not isinstance(values, Mapping):
            raise ConfigError(path, str(model), "should be {input: ..., output: ...}, per million")
        prices[str(model)] = validate(Price, values, source=f"{path}: {model}")
    return prices


def price_of(model: str, prices: Mapping[str, Price]) -> Price:
    """Return the price of a model, by its name, with or without its backend and its options.

    Raises UsageError if it is missing.
    """
    bare = model.partition("{")[0]
    short = bare.partition(":")[2] or bare
    for name in (model, model.partition(":")[2], bare, short):
        if name in prices:
            return prices[name]
    raise UsageError(
        f"the price file has no price of {model!r}, only for {', '.join(prices)}: add a line "
        f"`{short}: {{input: ..., output: ...}}`"
    )


def flops(usage: Usage, parameters: float) -> float:
    """Return 2 FLOPs per parameter and token, read or written (Kaplan et al. 2020, section 2.1)."""
    return 2 * parameters * (usage.prompt + usage.completion)


def estimate_usage(usage: Usage, *, prompt: int, text: str) -> Usage:
    """Return the usage that a budget counts; numbers that a server omits are estimated.

    `prompt` is the estimate of the prompt's tokens. A token counts as four characters.
    """
    read = usage.prompt if usage.prompt > 0 else prompt
    written = usage.completion if usage.completion > 0 else -(-len(text) // 4)
    return Usage(max(read, 1), max(written, 0))


class Budget:
    """The limits on a run's tokens and money; past either, `stop` is called with the reason.

    Calls in flight at that moment are still paid for.
    """

    def __init__(
        self,
        stop: Callable[[str], JSON],
        *,
        tokens: int | None = None,
        money: float | None = None,
        prices: Mapping[str, Price] | None = None,
    ) -> None:
        if money is not None and not prices:
            raise UsageError("--budget-cost needs a price file: give --prices FILE")
        self._stop = stop
        self._tokens = tokens
        self._money = money
        self._prices = prices or {}
        self.spent_tokens = 0
        self.spent_money = 0.0

    def check(self, model: str) -> None:
        """Raise UsageError if there are prices, but none for this model."""
        if self._prices:
            price_of(model, self._prices)

    def spend(self, model: str, usage: Usage) -> None:
        """Count one completion."""
        self.spent_tokens += usage.prompt + usage.completion
        if self._tokens is not None and self.spent_tokens >= self._tokens:
            self._stop(f"the budget of {self._tokens:,} tokens is spent")
        if self._money is not None:
            self.spent_money += price_of(model, self._prices).of(usage)
            if self.spent_money >= self._money:
                self._stop(f"the budget of {self._money:g} is spent")
