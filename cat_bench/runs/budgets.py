"""The sizes of a run: the pool, the budgets of its methods, and where they end.

If no budgets are named, methods that call a model get `BUDGETS`, because every n costs calls. Other
methods also get larger n, up to the pool's size.
"""

from __future__ import annotations

from collections.abc import Sequence

from cat_bench.errors import UsageError
from cat_bench.evaluation.settings import Settings
from cat_bench.loading.catalog import Method
from cat_bench.models.lending import Roles
from cat_bench.runs.config import RunConfig

POOL, EXACT_POOL, BUDGETS = 16, 1024, (1, 2, 4, 8)


def plan_settings(config: RunConfig, roles: Roles) -> Settings:
    """Return a run's sizes; raise UsageError for a number that does not fit."""
    imported = roles.policy.model.imported
    largest = imported.size if imported else None
    pool = config.pool or largest or POOL
    if largest is not None and pool > largest:
        raise UsageError(f"--pool {pool} is more than the {largest} rollouts of the imported pool")
    budgets = config.n or tuple(n for n in BUDGETS if n <= pool)
    for n in budgets:
        if not 1 <= n <= pool:
            more = f"--pool {n}, or " if largest is None and n > 0 else ""
            raise UsageError(
                f"--n {n} does not fit a pool of {pool} rollouts: give {more}an n from 1 to {pool}"
            )
    larger = _extend_budgets(max(budgets), pool)
    free = config.free_n
    if free is None:
        free = () if config.n else larger
    elif odd := [n for n in free if not 1 <= n <= pool]:
        raise UsageError(f"free_n {odd[0]} does not fit: give an n from 1 to {pool}, the pool")
    return Settings(
        budgets=tuple(sorted(set(budgets))),
        pool=pool,
        draws=config.draws,
        free=tuple(sorted({*free} - {*budgets})),
        beyond=tuple(n for n in larger if n not in free),
    )


def _extend_budgets(n: int, pool: int) -> tuple[int, ...]:
    """Return doublings of n below the pool's size, and that size; nothing above `EXACT_POOL`."""
    doubled = (n << k for k in range(1, pool.bit_length()))
    sizes = {size for size in doubled if size < pool} | {pool}
    return tuple(sorted(sizes - {n})) if pool <= EXACT_POOL else ()


def check_budgets(methods: Sequence[Method], settings: Settings) -> None:
    """Raise UsageError if a method reads more rollouts than the pool holds."""
    for method in methods:
        if odd := [n for n in method.budgets or () if not 0 <= n <= settings.pool]:
            raise UsageError(f"{method.name} reads {odd[0]} rollouts of a pool of {settings.pool}")
