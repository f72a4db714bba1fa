"""The interface of a progress display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from cat_bench.models.cached import Meter


class Watch(Protocol):
    """Follows the progress of a run."""

    def warn(self, warning: str) -> None:
        """Something should be looked at before the run begins."""
        ...

    def start(self, task: str, questions: int, meters: Mapping[str, Meter]) -> None:
        """The run is about to begin; `meters` are updated while it runs."""
        ...

    def advance(self) -> None:
        """One more question is done."""
        ...
