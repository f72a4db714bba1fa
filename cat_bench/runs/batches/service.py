"""The batch endpoint of a run's policy, through OpenAI's client."""

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
        raise UsageError("only OpenAI models have a batch API: give --model openai:NAME")
    return backend


@asynccontextmanager
async def service(backend: OpenAI) -> AsyncIterator[AsyncOpenAI]:
    """Yield the client; its errors become ModelErrors of one line that do not quote the key."""
    from openai import OpenAIError

    endpoint = backend.endpoint
    try:
        async with endpoint.sdk() as client:
            yield client
    except OpenAIError as error:
        problem = endpoint.hide_key(" ".join(str(error).split()))
        raise ModelError(f"{endpoint.url}: {problem}") from None


def line_name(key: str, slots: Sequence[int]) -> str:
    """Return the `custom_id` of a request: the prefix of its call and the slots that it fills."""
    name = f"{prefix(key)}/{'.'.join(map(str, slots))}"
    return name if len(name) <= LONGEST else f"{prefix(key)}/{slots[0]}+{len(slots)}"


def prefix(key: str) -> str:
    """Return the part of a call's key that names the call in a line."""
    return key[:24]


def parse_id(line: str, ordered: Mapping[str, Sequence[int]]) -> tuple[str, Sequence[int]]:
    """Return the prefix and the slots in a `custom_id`; `ordered` has the ordered slots by prefix.

    Raises ValueError or KeyError if the `custom_id` names none of them.
    """
    call, _, slots = line.partition("/")
    first, several, count = slots.partition("+")
    if several:
        start = ordered[call].index(int(first))
        return call, ordered[call][start : start + int(count)]
    return call, [int(slot) for slot in slots.split(".")]
