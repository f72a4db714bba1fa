"""Open the backend of a model's spec, `[backend:]name{option=value}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from cat_bench.cache import Cache
from cat_bench.cache.pools import pool_metadata
from cat_bench.errors import ConfigError, UnknownName
from cat_bench.loading.registry import list_plugins, load
from cat_bench.loading.secrets import WRITTEN, find_secret, mask
from cat_bench.loading.validation import convert_keywords, split_inline
from cat_bench.models.backends import Backend, ImportedPool
from cat_bench.models.backends.replay import Replay
from cat_bench.types.calls import JSON, Capability

OPENAI_NAME = re.compile(r"(?:gpt-|chatgpt-|o[1-9](?:$|-))")
"""How the names of OpenAI's models begin."""
PROVIDERS = {
    *("anthropic", "azureai", "bedrock", "cloudflare", "fireworks", "google", "grok", "groq"),
    *("mistral", "ollama", "openrouter", "perplexity", "sambanova", "together", "vertex"),
}
"""What Inspect calls providers."""


def open_backend(
    spec: str,
    cache: Cache,
    *,
    base_url: str | Sequence[str] | None = None,
    role: Literal["backend", "reward_model"] = "backend",
) -> Backend:
    """Open the backend that `spec` names.

    `openai:NAME`, `hf:PATH`, `replay:POOL`, `scripted:./file.py:function`, or an installed backend;
    a name without a backend is a registered model, such as the bundled `tally`; a folder, or a Hub
    id such as `Qwen/Qwen3-4B`, means `hf`. Options in braces go to the backend; `base_url` is the
    default of an `openai` backend. As a `reward_model`, `hf` opens a sequence or token classifier,
    and `openai` a reward server. A key is refused, because runs and the names of their folders
    contain the spec. Raises UnknownName, ConfigError, ModelError.
    """
    source = f"model {spec!r}"
    base, options = split_inline(spec, source=source)
    if secret := find_secret(spec):
        raise ConfigError(f"model {mask(base.partition('?')[0])!r}", secret, WRITTEN)
    kind, colon, name = base.partition(":")
    if role == "backend" and not colon and base in list_plugins("model"):
        return _open(load("model", base), options, source=source)
    if kind not in list_plugins(role):
        if not (Path(base).is_dir() or (base.count("/") == 1 and not colon)):
            raise _suggest_spec(base) or _unknown_name(kind if colon else base, role)
        kind, name = "hf", base
    if not name:
        raise ConfigError(source, "", f"names no model: write {kind}:NAME")
    if kind == "openai" and base_url:
        options.setdefault("base_url", base_url)
    if kind == "replay":
        return _open_replay(name, cache)
    return _open(partial(load(role, kind), name), options, source=source)


def _open(factory: Callable[..., Backend], options: Mapping[str, JSON], *, source: str) -> Backend:
    try:
        return factory(**convert_keywords(factory, options, source=source))
    except TypeError as error:
        raise ConfigError(source, "", f"{error}") from error


def _suggest_spec(spec: str) -> ConfigError | None:
    """Return the error that says how a name of other tools is written here; None if unknown."""
    kind, colon, name = spec.partition(":")
    if colon and name and kind in PROVIDERS:
        problem = f"{kind} is reached through Inspect: write inspect:{kind}/{name}"
    elif not colon and OPENAI_NAME.match(spec):
        problem = f"names no backend: write openai:{spec}"
    else:
        return None
    return ConfigError(f"model {spec!r}", "", problem)


def _unknown_name(name: str, role: Literal["backend", "reward_model"]) -> UnknownName:
    backends = [f"{plugin}:NAME" for plugin in sorted(list_plugins(role))]
    if role == "reward_model":
        return UnknownName("reward model", name, backends)
    return UnknownName("model", name, [*list_plugins("model"), *backends])


def _open_replay(name: str, cache: Cache) -> Replay:
    """Return the imported pool as a backend; only its rows show if it has log-probabilities."""
    pool = pool_metadata(cache, name)
    size = max(map(int, pool.sizes), default=0)
    carried: frozenset[Capability] = frozenset(get_args(Capability)) - {
        "scoring",
        "embeddings",
        "rewards",
    }
    imported = ImportedPool(
        name, size, scores=pool.scores, exchangeable=pool.exchangeable, texts=pool.texts
    )
    return Replay(imported, capabilities=carried)
