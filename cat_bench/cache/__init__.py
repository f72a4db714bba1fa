"""The cache: every model call's results, imported pools, and their upkeep."""

from cat_bench.cache.call import Call, Claim, canonical
from cat_bench.cache.export import export_pool, export_rollouts
from cat_bench.cache.pools import (
    PoolMetadata,
    PoolRow,
    import_pool,
    pool_metadata,
    pool_names,
    pool_rows,
)
from cat_bench.cache.store import Cache
from cat_bench.cache.upkeep import Flaw, Holding, Info, Pruned, info, prune, verify

__all__ = [
    "Cache",
    "Call",
    "Claim",
    "Flaw",
    "Holding",
    "Info",
    "PoolMetadata",
    "PoolRow",
    "Pruned",
    "canonical",
    "export_pool",
    "export_rollouts",
    "import_pool",
    "info",
    "pool_metadata",
    "pool_names",
    "pool_rows",
    "prune",
    "verify",
]
