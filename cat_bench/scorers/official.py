"""HealthBench's prompt for a judge of one rubric item, and the reading of the reply.

As openai/simple-evals does it (Arora et al. 2025, arXiv 2505.08775): the judge sees the whole
conversation, system messages included, with the answer as its last turn, and the item with its
points. The text around them is the authors' template (`loading.grader_template`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, StrictBool, ValidationError

from cat_bench.loading.grader_template import CONVERSATION, ITEM
from cat_bench.types.calls import JSON, Message, Sampling

ATTEMPTS = 10
"""The most replies to ask for until one can be read; simple-evals has no limit."""
SAMPLING = Sampling(temperature=0.5, max_tokens=2048)
"""The sampling parameters of simple-evals' grader."""
SYSTEM = "You are a helpful assistant."
"""The system message that simple-evals gives its grader."""
_FENCE = re.compile(r"^```(?:json)?\s*|\s*```$")
_PLACES = re.compile(f"{re.escape(CONVERSATION)}|{re.escape(ITEM)}")


class OfficialVerdict(BaseModel):
    """What a judge must reply: this as JSON, in a code fence or not; other fields are ignored."""

    model_config = ConfigDict(frozen=True)
    criteria_met: StrictBool
    explanation: JSON = None


def official_item(criterion: str, points: float | None) -> str:
    """Return a rubric item as the judge sees it: `[points] criterion`, or only the criterion."""
    return criterion if points is None else f"[{points}] {criterion}"


def official_prompt(
    template: str, messages: Sequence[Message], response: str, item: str
) -> list[Message]:
    """Return the template with the item and the conversation, which ends in the response.

    A placeholder inside the conversation or the item is not replaced.
    """
    turns = [*messages, Message(role="assistant", content=response)]
    values = {
        CONVERSATION: "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in turns),
        ITEM: item,
    }
    filled = _PLACES.sub(lambda place: values[place[0]], template)
    return [Message(role="system", content=SYSTEM), Message(role="user", content=filled)]


def read_official(text: str) -> OfficialVerdict | None:
    """Return the verdict if the reply consists of one; else None."""
    try:
        return OfficialVerdict.model_validate(json.loads(_FENCE.sub("", text.strip())))
    except (ValueError, RecursionError, ValidationError):
        return None
