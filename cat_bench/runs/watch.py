"""The interface of a progress display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from cat_bench.models.cached import Meter


class Watch(Protocol):
    """Follows the progress of a run."""

    def warn(self, warning: str) -> None:
        """Show a warning to look at before the run begins."""
        ...

    def start(self, task: str, questions: int, meters: Mapping[str, Meter]) -> None:
        """Begin to follow a run; `meters` are updated while it runs."""
        ...

    def advance(self) -> None:
        """Count one more finished question."""
        ...
