"""A plug-in's optional attributes: what is refused, and where."""

from __future__ import annotations

import pytest

from cat_bench.errors import ConfigError
from cat_bench.types.calls import JSON
from cat_bench.types.traits import AggregatorTraits, RewardTraits, ScorerTraits, traits


class Plugin:
    """A plug-in with these attributes."""

    def __init__(self, **attributes: JSON) -> None:
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("needs", "judge", "Plugin: needs: is 'judge', and should be a set"),
        ("needs", 3, "Plugin: needs: is 3"),
        ("budgets", 4, r"Plugin: budgets: is 4, and should be a tuple, such as \(4, 8\)"),
        ("budgets", ("4",), "Plugin: budgets: is"),
        ("reads", "slf", "Plugin: reads: is 'slf'; known: self, pairs, subset"),
    ],
)
def test_an_attribute_of_another_type_is_refused(name: str, value: JSON, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        traits(AggregatorTraits, Plugin(**{name: value}))


@pytest.mark.parametrize("name", ["graded", "targetless"])
def test_a_flag_is_true_or_false(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: should be True or False"):
        traits(ScorerTraits, Plugin(**{name: "no"}))


def test_what_is_declared_is_read() -> None:
    read = traits(AggregatorTraits, Plugin(needs=["judge"], budgets=[4, 8], reads="self"))
    assert read == AggregatorTraits(frozenset({"judge"}), (4, 8), "self")
    assert traits(AggregatorTraits, Plugin()) == AggregatorTraits()
    assert traits(RewardTraits, Plugin(control=True)).control
