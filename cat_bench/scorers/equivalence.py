"""The one notion of "same answer" for vote, reward and score.

Two answers are the same if their forms agree. Answers without algebra are read in this process;
workers read the others, each distinct answer once. Equality of keys is transitive. Agreement of
names and units is not: 5 agrees with 5 cm and with 5 m. Therefore the partition of answers depends
neither on their order nor on their number of copies.
"""

from __future__ import annotations

from asyncio import gather
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from cat_bench.scorers.plain import tidy
from cat_bench.scorers.reading import Form, read
from cat_bench.scorers.workers import Undecided, workers

_REMEMBERED = 1 << 16
_read: dict[tuple[float, str], Form | Undecided] = {}


class _NeedsAlgebraError(Exception):
    """Reading an answer needs algebra."""


@dataclass(frozen=True, slots=True)
class Equivalence:
    """The relation between answers; reading one answer may take `timeout` seconds."""

    timeout: float
    workers: int | None = None

    async def form(self, answer: str) -> Form | Undecided:
        """Return the form of an answer, or Undecided if it could not be determined."""
        text = tidy(answer)
        if (self.timeout, text) not in _read:
            form = form_at_sight(text) or await self._ask(text)
            if len(_read) >= _REMEMBERED:
                del _read[next(iter(_read))]
            _read[self.timeout, text] = form
        return _read[self.timeout, text]

    async def partition(self, answers: Iterable[str]) -> dict[str, int]:
        """Return a label for each answer: 0 for the cluster of the shortest answer, and so on.

        This is complete linkage in the order of (length, text): each answer joins the first cluster
        with whose members it all agrees. An answer that could not be read forms its own cluster.
        """
        tidied = {answer: tidy(answer) for answer in answers}
        distinct = sorted(set(tidied.values()), key=lambda text: (len(text), text))
        if len(distinct) == 1:
            return dict.fromkeys(tidied, 0)
        forms = dict(zip(distinct, await gather(*map(self.form, distinct)), strict=True))
        labels = _complete_linkage(forms)
        return {answer: labels[text] for answer, text in tidied.items()}

    async def _ask(self, text: str) -> Form | Undecided:
        reply = await workers(self.workers).ask("form", text, timeout=self.timeout)
        return reply if isinstance(reply, Undecided) else Form(*reply)


@lru_cache(maxsize=4096)
def form_at_sight(text: str) -> Form | None:
    """Return the form of a tidied answer without algebra; None for any other."""
    try:
        return read(text, _refuse)
    except _NeedsAlgebraError:
        return None


def _refuse(kind: str, text: str) -> str:
    raise _NeedsAlgebraError(f"{kind} {text}")


def _complete_linkage(forms: dict[str, Form | Undecided]) -> dict[str, int]:
    clusters: dict[str, list[tuple[int, list[Form]]]] = {}
    labels: dict[str, int] = {}
    number = 0
    for text, parsed in forms.items():
        form = Form(f"unread {text}") if isinstance(parsed, Undecided) else parsed
        candidates = clusters.setdefault(form.key, [])
        fit = next((c for c in candidates if all(form.agrees(member) for member in c[1])), None)
        if fit is None:
            fit = (number, [])
            candidates.append(fit)
            number += 1
        fit[1].append(form)
        labels[text] = fit[0]
    return labels
