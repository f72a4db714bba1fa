"""The number of concurrent requests to one server, which adapts itself.

Additive increase, multiplicative decrease (Chiu and Jain 1989): the level grows by one per reply
until the first 429, then by one per round trip; a 429 halves it, at most once per round trip.
"""

from __future__ import annotations

PAUSE_MOST = 600.0
"""The longest pause in seconds that is waited for; a server that asks for more ends the run."""


class Pace:
    """A concurrency `level` between 1 and `most`, and the time at which a pause ends.

    All times are in seconds on one monotonic clock.
    """

    def __init__(self, start: float, most: float) -> None:
        self.level = min(start, most)
        self.paused_until = float("-inf")
        self._most = most
        self._met_limit = False
        self._cut_at = float("-inf")

    def rise(self) -> None:
        """Raise the level, because a reply came."""
        step = 1 / self.level if self._met_limit else 1.0
        self.level = min(self.level + step, self._most)

    def fall(self, *, started: float, now: float, pause: float = 0.0) -> None:
        """Halve the level after a refusal of a request sent at `started`; wait for `pause` seconds.

        The wait is at most `PAUSE_MOST`.
        """
        self._met_limit = True
        self.paused_until = max(self.paused_until, now + min(pause, PAUSE_MOST))
        if started > self._cut_at:
            self.level = max(1.0, self.level / 2)
            self._cut_at = now

    def restart(self, *, now: float, pause: float) -> None:
        """Try a server that fails with one request, after `pause` seconds."""
        self.level = 1.0
        self._met_limit = False
        self.paused_until = now + pause
