"""Notice a server that gives the same text for several choices of one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cat_bench.types.calls import Failure, Reply

LONG, FEWEST = 200, 4
"""The fewest characters of a text that is not equal by chance, and the fewest copies to report."""


@dataclass(slots=True)
class Copies:
    """Counts texts that repeat another choice of their request; short ones may do so by chance."""

    long: int = 0
    copied: int = 0

    def look(self, choices: Sequence[Reply | Failure]) -> None:
        """Include the choices of one request, sampled at a temperature above 0."""
        texts = [reply.text for reply in choices if isinstance(reply, Reply)]
        long = [text for text in texts if len(text) >= LONG]
        if len(long) > 1:
            self.long += len(long)
            self.copied += len(long) - len(set(long))

    @property
    def caution(self) -> str | None:
        """The warning about a server that copies its choices; None if there is none."""
        if self.copied < FEWEST or self.copied <= self.long / 4:
            return None
        return (
            f"repeats itself among the choices of one request ({self.copied:,} of {self.long:,} "
            "texts are copies): add {choices=1} to its name, and --set label=NAME to sample again"
        )
