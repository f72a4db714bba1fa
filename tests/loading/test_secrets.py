"""Keys in specs, settings and commands: refused before a run, and masked in what is recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cat_bench.errors import ConfigError
from cat_bench.loading.secrets import find_secret, mask
from cat_bench.models.backends.opening import open_backend
from cat_bench.runs.config import configure
from cat_bench.runs.record import invocation
from cat_bench.types.calls import JSON
from tests.conftest import TOY, Workshop

KEY = "v3ry-s3cret-value"
SHAPED = "sk-proj-0123456789abcdefghij"
SPECS = [
    f"openai:m{{api_key={KEY}}}",
    f"openai:m{{api-key={KEY}}}",
    f"inspect:azureai/m{{azure_api_key={KEY}}}",
    f"inspect:bedrock/m{{aws_secret_access_key={KEY}}}",
    f"inspect:openai/m{{default_headers={{Authorization: {KEY}}}}}",
    f"lm-eval:local-completions?base_url=http://h/v1,auth_token={KEY}",
    f"lm-eval:hf?pretrained=x,token={KEY}",
    f"vllm:m{{hf_token={KEY}}}",
    f"inspect:openai/m{{base_url=https://me:{KEY}@host/v1}}",
    f"openai:{SHAPED}",
    f"openai:m{{name={SHAPED}}}",
]
SETTINGS: list[dict[str, JSON]] = [
    {"sampling": {"policy": {"extra": {"api_key": KEY}}}},
    {"sampling": {"judge": {"extra": {"headers": {"Authorization": f"Bearer {KEY}"}}}}},
    {"sampling": {"policy": {"extra": {"user": SHAPED}}}},
    {"sampling": {"policy": {"extra": {"note": ["x", f"Bearer {KEY}"]}}}},
    {"label": SHAPED},
    {"base_url": f"http://me:{KEY}@host/v1"},
]
SOUND = [
    "openai:gpt-4.1-mini{key_variable=MY_KEY,max_tokens=20}",
    "lm-eval:hf?pretrained=x,add_bos_token=true,eos_token=</s>",
    "hf:Qwen/Qwen3-4B{revision=main}",
    "hf:x{token=true}",
    "scripted:./token.py:reply",
    "vote{by=length,power=2.0}",
    "http://localhost:8000/v1",
    "dask:tcp://host:8786",
]


@pytest.mark.parametrize("spec", SPECS)
def test_no_model_is_opened_with_a_key_in_its_spec(spec: str, workshop: Workshop) -> None:
    from cat_bench.cache import Cache

    assert find_secret(spec)
    assert KEY not in mask(spec)
    assert SHAPED not in mask(spec)
    with Cache("other.sqlite") as cache, pytest.raises(ConfigError) as refused:
        open_backend(spec, cache)
    assert KEY not in str(refused.value)
    assert SHAPED not in str(refused.value)
    for values in ({"model": spec}, {"judge": spec}):
        with pytest.raises(ConfigError, match="would be written to disk"):
            configure("toy/task.yaml", values, source="run.yaml")


@pytest.mark.parametrize("values", SETTINGS, ids=str)
def test_no_setting_holds_a_key(values: dict[str, JSON]) -> None:
    with pytest.raises(ConfigError, match="would be written to disk") as refused:
        configure("tally", values, source="run.yaml")
    assert KEY not in str(refused.value)
    assert SHAPED not in str(refused.value)


@pytest.mark.parametrize("text", SOUND)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert find_secret(text) is None
    assert mask(text) == text


def test_the_value_of_a_key_in_the_environment_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_secret({"label": KEY}) is None
    monkeypatch.setenv("SOME_API_KEY", KEY)
    assert find_secret({"label": KEY}) == "label"
    assert mask(f"--set=policy.extra.user={KEY}") == "--set=policy.extra.user=[key]"


def test_a_refused_key_is_nowhere_on_disk(workshop: Workshop) -> None:
    for words in (
        ("--set", f"policy.extra={{api_key: {KEY}}}"),
        ("--judge", f"openai:m{{api_key={KEY}}}"),
        ("--anchor", f"openai:m{{base_url=http://me:{KEY}@host/v1}}"),
    ):
        status, _, err = workshop.run(*TOY, "--pool", "2", "--n", "1", *words)
        assert status == 2
        assert "would be written to disk" in err
    assert not _files_with(KEY, workshop.folder)


def test_the_recorded_command_holds_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    words = ["run", "tally", "--data", f"http://me:pass-word@host/{KEY}", "--out", f"run-{SHAPED}"]
    entry = invocation(words, {}, started=datetime.now(UTC), seconds=1)
    assert entry["command"][3:] == ["http://[key]@host/[key]", "--out", "run-[key]"]


def _files_with(text: str, folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if text.encode() in path.read_bytes()]
