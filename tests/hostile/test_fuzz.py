"""Generated inputs of every kind of stranger: read, or refused by an error of the package."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.fuzz import Tally, tried
from tests.hostile.targets import targets
from tests.hostile.world import make_world

EXAMPLES = 30
NAMES = (
    *("replies", "rewards", "batch files", "answers and tags", "pools", "task YAML"),
    *("method YAML", "run records", "leaderboard rows", "published calls", "rows of a cache"),
    *("imports", "audits", "Parquet and CSV"),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world") / "folder")


@pytest.mark.parametrize("name", NAMES)
def test_a_generated_input_is_read_or_refused(name: str, world: Path) -> None:
    by_name = {target.name: target for target in targets(world)}
    assert set(by_name) == set(NAMES)
    tally = Tally()
    tried(by_name[name], tally, examples=EXAMPLES)
    assert tally.lost == {}
    assert tally.inputs >= EXAMPLES // 2
