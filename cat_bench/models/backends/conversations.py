"""Write a reward model's input: by its chat template, or as a pair of texts.

Markers inside a response are removed, so that no response can add a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from jinja2 import TemplateError

from cat_bench.errors import ConfigError
from cat_bench.models.backends.hf.loading import libraries
from cat_bench.types.calls import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Form: TypeAlias = Literal["chat", "pair"]
STEP = "<extra_0>"
"""The token after each step for the process reward models of Qwen."""


@dataclass(frozen=True, slots=True)
class Input:
    """Token ids, the ids of their segments where the tokenizer gives them, and the step ends."""

    ids: tuple[int, ...]
    segments: tuple[int, ...] | None = None
    ends: tuple[int, ...] = ()


NO_TEMPLATE = "has no chat template: give {form=pair} if it reads a pair of texts"


@dataclass(frozen=True, slots=True)
class Conversations:
    """Writes a reward model's input with its tokenizer; `step` is the marker after each step."""

    tokenizer: PreTrainedTokenizerBase
    form: Form = "chat"
    step: str = STEP

    @classmethod
    def load(cls, source: str, *, revision: str | None, form: Form, step: str) -> Conversations:
        """Load the tokenizer of a folder or a Hub name; raises ModelError, ConfigError."""
        _, transformers = libraries()
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(source, revision=revision)
        except (OSError, ValueError) as error:
            problem = f"no tokenizer can be loaded from {source!r}: {error}"
            raise ConfigError("reward model", "tokenizer", problem) from error
        return cls(tokenizer, form, step)

    def __post_init__(self) -> None:
        if self.form == "chat" and not self.tokenizer.chat_template:
            raise ConfigError("reward model", "tokenizer", NO_TEMPLATE)

    def text(self, messages: Sequence[Message], response: str) -> str:
        """Return the conversation in the chat template; raises ValueError if that refuses."""
        last: Message = {"role": "assistant", "content": response}
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    [{"role": m["role"], "content": m["content"]} for m in (*messages, last)],
                    tokenize=False,
                    add_generation_prompt=False,
                )
            )
        except TemplateError as error:
            raise ValueError(f"the chat template refuses these messages: {error}") from error

    def whole(self, messages: Sequence[Message], response: str) -> Input:
        """Return a conversation that ends in the response; raises ValueError."""
        if self.form == "pair":
            encoded = self.tokenizer(*pair(messages, response), verbose=False)
        else:
            text = self.text(messages, response)
            encoded = self.tokenizer(text, add_special_tokens=False, verbose=False)
        segments = encoded.get("token_type_ids")
        return Input(tuple(encoded["input_ids"]), tuple(segments) if segments else None)

    def stepwise(self, messages: Sequence[Message], steps: Sequence[str]) -> Input:
        """Return a conversation with a marker after each response step; raises ValueError."""
        marker = self.tokenizer.convert_tokens_to_ids(self.step)
        if marker is None or marker == self.tokenizer.unk_token_id:
            raise ValueError(f"the tokenizer has no token {self.step!r}: name one by {{step=…}}")
        conversation = self.whole(messages, mark_steps(steps, self.step))
        ends = tuple(k for k, token in enumerate(conversation.ids) if token == marker)
        if len(ends) != len(steps):
            counts = f"{len(ends)} tokens {self.step!r} for {len(steps)} steps"
            raise ValueError(f"the conversation has {counts}: the question may contain it")
        return Input(conversation.ids, conversation.segments, ends)


def mark_steps(steps: Sequence[str], marker: str) -> str:
    """Return the steps as one text with a marker after each."""
    return "".join(step.replace(marker, "") + marker for step in steps)


def pair(messages: Sequence[Message], response: str) -> tuple[str, str]:
    """Return the conversation so far, blank lines between its turns, and the response."""
    return "\n\n".join(message["content"] for message in messages), response
