"""The cache: every model call's results, imported pools, and their upkeep.

Input: calls and their results, files of pools and calls. Output: stored results, by call and slot.
A result is durable before it is read, and no call is paid for twice. An existing result never
changes; a damaged one is never returned, and is replaced.
"""

from cat_bench.cache.call import Call, Claim, canonical
from cat_bench.cache.calls import Calls, export_calls, import_calls
from cat_bench.cache.copying import Copied, copy
from cat_bench.cache.export import export_pool, export_rollouts, publish_pools
from cat_bench.cache.files import read_description
from cat_bench.cache.places import Places
from cat_bench.cache.pools import (
    PoolMetadata,
    PoolRow,
    import_pool,
    pool_metadata,
    pool_names,
    pool_rows,
)
from cat_bench.cache.store import Cache
from cat_bench.cache.upkeep import Flaw, Holding, Info, Pruned, info, prune, prune_damaged, verify

__all__ = [
    "Cache",
    "Call",
    "Calls",
    "Claim",
    "Copied",
    "Flaw",
    "Holding",
    "Info",
    "Places",
    "PoolMetadata",
    "PoolRow",
    "Pruned",
    "canonical",
    "copy",
    "export_calls",
    "export_pool",
    "export_rollouts",
    "import_calls",
    "import_pool",
    "info",
    "pool_metadata",
    "pool_names",
    "pool_rows",
    "prune",
    "prune_damaged",
    "publish_pools",
    "read_description",
    "verify",
]
