"""Train on rewards from estimates: adapters to trainers, and measurements before and after.

Input: a recipe, a policy and a run's configuration. Output: a trained policy and its measured
scores. This room implements no trainer: `groups` adapts a reward to TRL's GRPOTrainer and `verl` to
verl; `recipes` reads the settings; `training` runs a recipe on one machine and measures the policy
with the harness before and after. Rewards themselves are in `cat_bench.rewards`. TRL and torch are
imported when they are used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cat_bench.training.groups import GroupReward
    from cat_bench.training.own_dataset import OwnDataset

__all__ = ["GroupReward", "OwnDataset"]


def __getattr__(name: str) -> object:
    if name == "GroupReward":
        from cat_bench.training.groups import GroupReward

        return GroupReward
    if name == "OwnDataset":
        from cat_bench.training.own_dataset import OwnDataset

        return OwnDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
