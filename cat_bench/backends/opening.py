"""From a model's spec, `[backend:]name{option=value}`, to the backend that serves it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import get_args

from cat_bench.backends import Backend
from cat_bench.backends.replay import Replay
from cat_bench.cache import Cache
from cat_bench.cache.pools import pool_metadata
from cat_bench.errors import ConfigError, UnknownName
from cat_bench.registry import known, load
from cat_bench.types import Capability
from cat_bench.validation import keywords, split_inline

BUNDLED = ("tally", "counsel")
"""Models that come with the package; each is made for the task of its name, and its variants."""

SECRET = re.compile(r"\b(api_key|auth_token|header)\s*=")


def bundled(task: str) -> str:
    """The bundled model for a task, such as `counsel-judged`, for which no model is named."""
    model = task.partition("-")[0]
    return model if model in BUNDLED else BUNDLED[0]


def open_backend(
    spec: str, cache: Cache, *, base_url: str | Sequence[str] | None = None
) -> Backend:
    """The backend that `spec` names.

    `openai:NAME`, `hf:PATH`, `replay:POOL`, `scripted:./file.py:function`, or an installed one's;
    `tally` and `counsel` are the bundled models; a folder, or a Hub id such as `Qwen/Qwen3-4B`,
    means `hf`. Options in braces go to the backend; `base_url` is for an `openai` one that names
    none. A key is none of them: runs, and the names of their folders, hold what a user named.
    Raises UnknownName, ConfigError, ModelError.
    """
    source = f"model {spec!r}"
    bare, options = split_inline(spec, source=source)
    if secret := SECRET.search(spec):
        problem = (
            "would be written to disk with the run: leave it out and set the environment's variable"
            " ({key_variable=NAME} says which holds openai's key)."
        )
        raise ConfigError(f"model {bare.partition('?')[0]!r}", secret[1], problem)
    kind, colon, name = bare.partition(":")
    if kind not in known("backend"):
        if not (Path(bare).is_dir() or (bare.count("/") == 1 and not colon)):
            raise _unknown(kind if colon else bare)
        kind, name = "hf", bare
    if not name and kind not in BUNDLED:
        raise ConfigError(source, "", f"names no model: write {kind}:NAME.")
    if kind == "openai" and base_url:
        options.setdefault("base_url", base_url)
    if kind == "replay":
        return _replayed(name, cache)
    factory = partial(load("backend", kind), *([name] if name else []))
    try:
        opened: Backend = factory(**keywords(factory, options, source=source))
    except TypeError as error:
        raise ConfigError(source, "", f"{error}.") from error
    return opened


def _unknown(name: str) -> UnknownName:
    others = sorted(set(known("backend")) - set(BUNDLED))
    return UnknownName("model", name, [*BUNDLED, *(f"{each}:NAME" for each in others)])


def _replayed(name: str, cache: Cache) -> Replay:
    """The imported pool as a backend; whether it carries log-probabilities shows when read."""
    pool = pool_metadata(cache, name)
    size = max(map(int, pool.sizes), default=0)
    carried: frozenset[Capability] = frozenset(get_args(Capability)) - {"scoring", "embeddings"}
    return Replay(
        name, size, scores=pool.scores, capabilities=carried, exchangeable=pool.exchangeable
    )
