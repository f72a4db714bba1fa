"""Numbers that rank rollouts, higher is better; one file is one idea."""

from __future__ import annotations

from functools import lru_cache

from cat_bench.registry import build, is_file, known
from cat_bench.signals.imported import Imported
from cat_bench.types import Signal


@lru_cache
def signal(name: str) -> Signal:
    """The registered signal of that name (or `./file.py:Class`), else the imported score so called.

    Whether a pool really carries that score is checked when the method's needs are.
    """
    if is_file(name) or name in known("signal"):
        return build("signal", name, {})  # type: ignore[no-any-return]
    return Imported(name)
