"""Which model a name, or a task without one, means."""

from pathlib import Path

import pytest

from cat_bench.cache import Cache
from cat_bench.errors import ConfigError, UnknownName
from cat_bench.loading.catalog import model_of
from cat_bench.loading.registry import list_plugins
from cat_bench.models.backends.opening import open_backend


@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("tally", "tally"),
        ("counsel", "counsel"),
        ("counsel-judged", "counsel"),
        ("math500", None),
        ("./mine.yaml", None),
    ],
)
def test_a_bundled_task_names_its_model(task: str, model: str | None) -> None:
    assert model_of(task) == model


async def test_every_bundled_model_opens_and_is_one_of_its_own(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    models = [open_backend(name, cache) for name in list_plugins("model")]
    assert len({str(model.identity) for model in models}) == len(models) >= 2
    for model in models:
        await model.close()
    await cache.close()


@pytest.mark.parametrize(
    "spec",
    [
        "openai:m{api_key=sk-1}",
        "vllm:m{api_key = sk-1}",
        "lm-eval:openai-completions?model=m,auth_token=sk-1",
    ],
)
def test_a_key_in_a_name_is_refused_and_not_shown(spec: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="would be written to disk with the run") as refusal:
        open_backend(spec, Cache(tmp_path / "cache.sqlite"))
    assert "sk-1" not in str(refusal.value)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("openai:m{tiemout=3}", "tiemout: is not a known field. Did you mean 'timeout'?"),
        ("openai:m{timeout=soon}", "timeout: Input should be a valid number"),
        ("openai:m{choices=0}", "choices: Input should be greater than 0, not 0"),
        ("openai:m{scoring=ecko}", "scoring: Input should be 'auto', 'prompt_logprobs' or 'echo'"),
        ("tally{bach=3}", "bach: is not a known field. Did you mean 'batch'?"),
        ("lm-eval:hf{batch=0}", "batch: Input should be greater than 0, not 0"),
        ("vllm:m{startup_s=-1}", "startup_s: Input should be greater than 0, not -1"),
        ("inspect:a/b{choices=x}", "choices: Input should be a valid integer"),
    ],
)
def test_an_option_that_is_off_is_named(spec: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        open_backend(spec, Cache(tmp_path / "cache.sqlite"))
    assert str(refusal.value).startswith(f"model {spec!r}: {problem}")


@pytest.mark.parametrize("spec", ["opnai:m", "opnai:owner/m"])
def test_a_backend_that_is_none_is_told_the_nearest(spec: str, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no model 'opnai'\. Did you mean 'openai:NAME'"):
        open_backend(spec, Cache(tmp_path / "cache.sqlite"))


def test_the_bundled_models_are_offered_where_a_name_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'counsel'"):
        open_backend("counsle", Cache(tmp_path / "cache.sqlite"))


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("gpt-4o", "openai:gpt-4o"),
        ("o3", "openai:o3"),
        ("anthropic:claude-sonnet-4", "inspect:anthropic/claude-sonnet-4"),
        ("google:gemini-2.5-pro", "inspect:google/gemini-2.5-pro"),
    ],
)
def test_what_others_call_a_model_is_translated(spec: str, meant: str, cache: Cache) -> None:
    with pytest.raises(ConfigError, match=f"write {meant}"):
        open_backend(spec, cache)
