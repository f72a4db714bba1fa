"""The recipe runs both courses, and the same seed gives the same weights."""

from dataclasses import replace
from pathlib import Path

import pytest

from cat_bench.counsel.rows import ROLES
from cat_bench.counsel.train import COURSE, SECOND, judging, lesson
from cat_bench.tally.training import Recipe, train


def test_lessons_go_from_few_and_clean_to_all() -> None:
    assert lesson(0).most_parts == 2
    assert lesson(0.5).most_parts == 8
    assert lesson(0).noise < lesson(0.1).noise < lesson(0.5).noise == 1.0
    assert set(lesson(0.5).weights) == set(ROLES)
    assert set(judging(0).weights) == {*ROLES, "rubrics"} - {"rubric"}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_model(tmp_path: Path) -> None:
    weights = []
    for name in ("one", "two"):
        recipe = Recipe(out=tmp_path / name, steps=2, processes=1, seed=3)
        train(recipe, replace(COURSE, refills=()))
        first = (recipe.out / "model.safetensors").read_bytes()
        train(recipe, replace(SECOND, refills=()), further=True)
        weights.append((first, (recipe.out / "model.safetensors").read_bytes()))
    assert weights[0] == weights[1]
    assert weights[0][0] != weights[0][1], "the second course goes on"
    assert len(weights[0][1]) < 1_500_000
