"""The sizes of a run: its budgets, its pool and its draws."""

from __future__ import annotations

from dataclasses import dataclass

FREE_DRAWS = 70
"""The number of subsets of 4 in a pool of 8: its most subsets of one size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The sizes of a run: `budgets` and `pool` in rollouts, draws in subsets per budget.

    `draws` is for methods that call a model for each subset; `free_draws` is for other methods
    without a closed form. Methods without calls also get rows at the budgets `free`; those that
    need no draws get rows at `beyond`, too.
    """

    budgets: tuple[int, ...]
    pool: int
    draws: int = 4
    free_draws: int = FREE_DRAWS
    free: tuple[int, ...] = ()
    beyond: tuple[int, ...] = ()

    @property
    def extra_budgets(self) -> tuple[int, ...]:
        """The budgets that only exact values without calls have."""
        return (*self.free, *self.beyond)
