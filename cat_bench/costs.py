"""What a method costs: completions, tokens, FLOPs, money.

Figures are those of one stand-alone use on one question, scoring apart: n rollouts and the calls on
one bill, whether the cache had them or not. What was really `spent` now, by whoever asked first, is
kept beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cat_bench.errors import UsageError
from cat_bench.types import JSON, Usage
from cat_bench.validation import read_yaml, validated

ROLES = ("policy", "anchor", "judge")
PARTS = ("calls", "tokens", "completion_tokens")
TOTALS = (
    "calls",
    "prompt_tokens",
    "shared_prompt_tokens",
    "completion_tokens",
    "reasoning_tokens",
)
BY_ROLE = tuple(f"{role}_{part}" for role in ROLES for part in PARTS)
SPENT = ("spent_calls", "spent_prompt_tokens", "spent_completion_tokens")
ENDS = ("truncated", "empty")
COSTS = (*TOTALS, *BY_ROLE, *SPENT, *ENDS)


@dataclass(frozen=True, slots=True)
class Charge:
    """One call on a bill: the role asked, what it used, how it ended, whether it was made now."""

    role: str
    usage: Usage
    fresh: bool = False
    finish: str | None = None
    empty: bool = False


def costs(n: int, *, pool: Sequence[Usage], bill: Sequence[Charge]) -> dict[str, float]:
    """The `COSTS` of n average rollouts of a pool and of the calls on a bill.

    `prompt_tokens` counts the prompt once per rollout, `shared_prompt_tokens` once for all n.
    `truncated` and `empty` count the bill's replies that were cut off, or said nothing.
    """
    share = n / max(len(pool), 1)
    drafts, called = sum(pool, Usage()), sum((c.usage for c in bill), Usage())
    now = spent(bill)
    found = {
        "calls": n + len(bill),
        "prompt_tokens": share * drafts.prompt + called.prompt,
        "shared_prompt_tokens": (share / n * drafts.prompt if n else 0) + called.prompt,
        "completion_tokens": share * drafts.completion + called.completion,
        "reasoning_tokens": share * drafts.reasoning + called.reasoning,
        **{f"spent_{part}": count for part, count in now.items()},
        "truncated": sum(charge.finish == "length" for charge in bill),
        "empty": sum(charge.empty for charge in bill),
    }
    for role in ROLES:
        asked = [charge.usage for charge in bill if charge.role == role]
        found[f"{role}_calls"] = len(asked)
        found[f"{role}_tokens"] = sum(usage.prompt + usage.completion for usage in asked)
        found[f"{role}_completion_tokens"] = sum(usage.completion for usage in asked)
    found["policy_calls"] += n
    found["policy_tokens"] += share * (drafts.prompt + drafts.completion)
    found["policy_completion_tokens"] += share * drafts.completion
    return {name: float(found[name]) for name in COSTS}


def spent(bill: Sequence[Charge]) -> dict[str, int]:
    """The `calls`, `prompt_tokens` and `completion_tokens` of a bill that were made now."""
    fresh = [charge.usage for charge in bill if charge.fresh]
    usage = sum(fresh, Usage())
    return {
        "calls": len(fresh),
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
    }


@dataclass(frozen=True, slots=True)
class Price:
    """What a model's tokens cost, in one currency per million."""

    input: float
    output: float

    def of(self, usage: Usage) -> float:
        """What this usage costs."""
        return (self.input * usage.prompt + self.output * usage.completion) / 1e6


def read_prices(path: Path) -> dict[str, Price]:
    """The prices in a YAML file, `MODEL: {input: ..., output: ...}` per million tokens."""
    entries = read_yaml(path).items()
    return {
        str(model): validated(Price, values, source=f"{path}: {model}") for model, values in entries
    }


def price_of(model: str, prices: Mapping[str, Price]) -> Price:
    """The price of a model, by its whole name or the part after the backend's.

    Raises UsageError where there is none.
    """
    for name in (model, model.partition(":")[2]):
        if name in prices:
            return prices[name]
    raise UsageError(f"the price file names no price of {model!r}; it has {', '.join(prices)}.")


def flops(usage: Usage, parameters: float) -> float:
    """About 2 FLOPs per parameter and token, read or written (Kaplan et al. 2020, section 2.1)."""
    return 2 * parameters * (usage.prompt + usage.completion)


class Budget:
    """What a run may spend, in tokens and in money; past either, `stop` is called with the reason.

    What is in flight at that moment is still paid for.
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
            raise UsageError("--budget-cost needs a price file: give --prices FILE.")
        self._stop = stop
        self._tokens = tokens
        self._money = money
        self._prices = prices or {}
        self.spent_tokens = 0
        self.spent_money = 0.0

    def check(self, model: str) -> None:
        """Raises UsageError where money is counted and this model has no price."""
        if self._money is not None:
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
