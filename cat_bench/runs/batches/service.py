"""The batch endpoint of a run's policy, by the official client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from cat_bench.errors import ModelError, UsageError
from cat_bench.models.backends import Backend
from cat_bench.models.backends.openai import OpenAI

if TYPE_CHECKING:
    from openai import AsyncOpenAI

PATH: Literal["/v1/chat/completions"] = "/v1/chat/completions"
TAG = "cat_bench"
"""The metadata field that holds an order's tag."""
LONGEST = 64
"""Characters of a `custom_id`."""


def openai_only(backend: Backend) -> OpenAI:
    """Return the backend, if it has a batch API; raises UsageError otherwise."""
    if not isinstance(backend, OpenAI):
        raise UsageError("batches are OpenAI's: give --model openai:NAME")
    return backend


@asynccontextmanager
async def service(backend: OpenAI) -> AsyncIterator[AsyncOpenAI]:
    """The client; what it raises becomes a ModelError of one line that does not quote the key."""
    from openai import OpenAIError

    endpoint = backend.endpoint
    try:
        async with endpoint.sdk() as client:
            yield client
    except OpenAIError as error:
        problem = endpoint.hide_key(" ".join(str(error).split()))
        raise ModelError(f"{endpoint.url}: {problem}") from None


def line_name(key: str, slots: Sequence[int]) -> str:
    """The `custom_id` of a request: which call, and which of the slots that are on order of it."""
    whole = f"{prefix(key)}/{'.'.join(map(str, slots))}"
    return whole if len(whole) <= LONGEST else f"{prefix(key)}/{slots[0]}+{len(slots)}"


def prefix(key: str) -> str:
    """Return the part of a call's key that names it in a line."""
    return key[:24]


def parse_id(line: str, ordered: Mapping[str, Sequence[int]]) -> tuple[str, Sequence[int]]:
    """Return the call's prefix and the slots of a `custom_id`; `ordered` are all slots by prefix.

    Raises ValueError or KeyError where it names nothing of them.
    """
    call, _, slots = line.partition("/")
    first, several, count = slots.partition("+")
    if several:
        start = ordered[call].index(int(first))
        return call, ordered[call][start : start + int(count)]
    return call, [int(slot) for slot in slots.split(".")]
