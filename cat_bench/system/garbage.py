"""Python's garbage collector during a run."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS = 50_000
"""Allocations between two garbage collections of a run; a waiting call makes dozens of them."""


@contextmanager
def rare_garbage_collection() -> Iterator[None]:
    """Collect garbage rarely, and skip all that exists already.

    Collecting as often as Python does took a third of a call's CPU time.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
