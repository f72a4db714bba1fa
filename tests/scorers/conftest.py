"""Permission to run programs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cat_bench.errors import UsageError
from cat_bench.system.sandbox import permit


@pytest.fixture
def bubblewrap() -> Iterator[None]:
    """Programs may run in bubblewrap during the test."""
    try:
        permit("bubblewrap")
    except UsageError as error:
        pytest.skip(str(error))
    yield
    os.environ.pop("CAT_BENCH_ALLOW_CODE", None)
