"""Convert between messages and token ids: prompts, replies, stop strings, reasoning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from jinja2 import TemplateError

from cat_bench.cache.reasoning import opens_reasoning, split
from cat_bench.models.backends.hf.work import Watch, Written
from cat_bench.types.calls import JSON, Message, Reply, Sampling, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


TEMPLATES = ("chat_template.jinja", "additional_chat_templates")
"""Where transformers keeps chat templates, if not in the tokenizer's configuration."""
UNTEMPLATED = (
    "has no chat template: a prompt is the messages' texts without roles, and a reply may never "
    "end; name the checkpoint that was trained to answer, if there is one"
)
"""The caution about a model that only continues texts."""


class Tokenizer(Protocol):
    """Converts text to token ids and back, and messages to text."""

    @property
    def chat_template(self) -> object:
        """The chat template; None without one."""
        ...

    def render(self, messages: Sequence[Message], options: Mapping[str, JSON]) -> str:
        """Return the rendered messages, up to the beginning of the reply. Raises TemplateError."""
        ...

    def encode(self, text: str, *, special: bool) -> Sequence[int]:
        """Return the token ids; `special` adds what the tokenizer puts around any text."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids, special tokens left out."""
        ...


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A tokenizer from transformers."""

    tokenizer: PreTrainedTokenizerBase

    @property
    def chat_template(self) -> object:
        """The chat template; None without one."""
        return self.tokenizer.chat_template

    def render(self, messages: Sequence[Message], options: Mapping[str, JSON]) -> str:
        """Return the rendered messages, up to the beginning of the reply. Raises TemplateError."""
        text_messages = [{"role": m["role"], "content": m["content"]} for m in messages]
        return str(
            self.tokenizer.apply_chat_template(
                text_messages, tokenize=False, add_generation_prompt=True, **options
            )
        )

    def encode(self, text: str, *, special: bool) -> Sequence[int]:
        """Return the token ids; `special` adds what the tokenizer puts around any text."""
        ids: Sequence[int] = self.tokenizer(
            text, add_special_tokens=special, verbose=False
        ).input_ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids, special tokens left out."""
        return str(
            self.tokenizer.decode(
                list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )


def has_template(folder: Path) -> bool:
    """Return whether a tokenizer's folder holds a chat template, as its files tell."""
    if any((folder / name).exists() for name in TEMPLATES):
        return True
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):  # what cannot be read is reported when it is loaded
        return False
    return bool(config.get("chat_template"))


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt that a model continues; `thinking`: the template has opened the reasoning."""

    ids: tuple[int, ...]
    thinking: bool


@dataclass(frozen=True, slots=True)
class Chat:
    """A tokenizer and its chat template; `served_by` goes into each reply."""

    tokenizer: Tokenizer
    served_by: str

    def prompt(self, messages: Sequence[Message], sampling: Sampling) -> Prompt:
        """Return the messages up to the reply; raises ValueError if the template refuses them.

        The chat template gets `enable_thinking` and `reasoning_effort` if they are set. Without a
        template, the prompt is the tokenizer's usual first token and the contents in order, without
        roles, with a blank line between them.
        """
        if not self.tokenizer.chat_template:
            text = "\n\n".join(message["content"] for message in messages)
            ids = self.ids(text, special=True)
        else:
            options: dict[str, JSON] = {
                "enable_thinking": sampling.thinking,
                "reasoning_effort": sampling.reasoning_effort,
            }
            template_options = {name: value for name, value in options.items() if value is not None}
            try:
                text = self.tokenizer.render(messages, template_options)
            except TemplateError as error:
                raise ValueError(f"the chat template refuses these messages: {error}") from error
            ids = self.ids(text)
        if not ids:
            raise ValueError("the prompt is empty: this tokenizer turns it into no token")
        return Prompt(ids, opens_reasoning(text))

    def ids(self, text: str, *, special: bool = False) -> tuple[int, ...]:
        """Return the token ids of a text; `special` adds what the tokenizer puts around any text.

        A lone surrogate, which no tokenizer encodes, is read as a question mark.
        """
        text = text.encode("utf-8", "replace").decode("utf-8")
        return tuple(self.tokenizer.encode(text, special=special))

    def text(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids, special tokens left out."""
        return self.tokenizer.decode(tokens)

    def watch(self, stop: Sequence[str]) -> Watch | None:
        """Return a watch for stop strings; a character takes at most four tokens (its bytes)."""
        if not stop:
            return None
        return Watch(
            reach=4 * max(map(len, stop)),
            found=lambda tail: any(s in self.text(tail) for s in stop),
        )

    def composer(self, prompt: Prompt, stop: Sequence[str]) -> Callable[[Written, int], Reply]:
        """Return a function that turns the written tokens and the seed into the reply."""

        def compose(written: Written, seed: int) -> Reply:
            tokens, finish = written.tokens, "stop" if written.ended else "length"
            text = self.text(tokens)
            places = [text.find(s) for s in stop if s in text]
            if places:
                text, finish = text[: min(places)], "stop"
                while any(s in self.text(tokens[:-1]) for s in stop):
                    tokens = tokens[:-1]
            reasoning, answer = split(text, thinking=prompt.thinking)
            thought = len(self.ids(reasoning)) if reasoning else 0
            return Reply(
                text=answer,
                reasoning=reasoning,
                finish=finish,
                usage=Usage(len(prompt.ids), len(tokens), min(thought, len(tokens))),
                token_logprobs=written.logprobs[: len(tokens)],
                token_entropies=written.entropies[: len(tokens)],
                measures={n: array[: len(tokens)] for n, array in written.measures.items()},
                served_by=self.served_by,
                seed=seed,
            )

        return compose
