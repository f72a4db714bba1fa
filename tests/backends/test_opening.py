"""Which model a name, or a task without one, means."""

from pathlib import Path

import pytest

from cat_bench.backends.opening import BUNDLED, bundled, open_backend
from cat_bench.cache import Cache
from cat_bench.errors import UnknownName


@pytest.mark.parametrize(
    ("task", "model"),
    [("tally", "tally"), ("counsel", "counsel"), ("math500", "tally"), ("./mine.yaml", "tally")],
)
def test_a_bundled_task_is_played_by_the_model_of_its_name(task: str, model: str) -> None:
    assert bundled(task) == model


async def test_every_bundled_model_opens_and_is_one_of_its_own(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    models = [open_backend(name, cache) for name in BUNDLED]
    assert len({str(model.identity) for model in models}) == len(BUNDLED)
    for model in models:
        await model.close()
    await cache.close()


def test_the_bundled_models_are_offered_where_a_name_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'counsel'"):
        open_backend("counsle", Cache(tmp_path / "cache.sqlite"))
