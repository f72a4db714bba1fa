"""The model in training, with its completions as replies of a backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cat_bench.errors import UsageError
from cat_bench.loading.registry import list_plugins, load
from cat_bench.loading.validation import split_inline
from cat_bench.models.backends.hf.loading import HUB_ID, Checkpoint
from cat_bench.types.calls import FloatArray, Message, Reply, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROWS = 16
"""Batch size for entropies, in completions."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A causal language model with its tokenizer; `ends` are the ids that end a turn."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    ends: tuple[int, ...]

    @classmethod
    def load(cls, path: str) -> Policy:
        """Load in full precision on a CPU, else in the checkpoint's; raises ModelError."""
        loaded = Checkpoint.load(path, revision=None, device=None, dtype="auto")
        return cls(loaded.model, loaded.tokenizer, loaded.ends)

    def replies(
        self,
        prompts: Sequence[Sequence[Message]],
        texts: Sequence[str],
        ids: Sequence[Sequence[int]],
        *,
        entropies: bool = False,
    ) -> list[Reply]:
        """Return the completions as replies, without the id that ends a turn.

        With `entropies`, replies have the entropy of every next-token distribution of the current
        model.
        """
        written = [list(row[:-1] if row and row[-1] in self.ends else row) for row in ids]
        asked = [self.prompt(messages) for messages in prompts]
        spread = self.entropies(asked, written) if entropies else [None] * len(texts)
        return [
            Reply(
                text=text,
                finish="stop" if len(own) < len(row) else "length",
                usage=Usage(len(prompt), len(own)),
                token_entropies=entropy,
            )
            for text, row, own, prompt, entropy in zip(
                texts, ids, written, asked, spread, strict=True
            )
        ]

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Return the ids of a prompt, up to where the reply begins."""
        chat: list[dict[str, str]] = [dict(message) for message in messages]  # type: ignore[arg-type]
        found: Any = self.tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return list(found)

    def entropies(
        self, prompts: Sequence[Sequence[int]], written: Sequence[Sequence[int]]
    ) -> list[FloatArray]:
        """Return the entropies in nats of the next-token distributions, at temperature 1."""
        found: list[FloatArray] = []
        for start in range(0, len(prompts), ROWS):
            chosen = slice(start, start + ROWS)
            found += self._entropies(prompts[chosen], written[chosen])
        return found

    def _entropies(
        self, prompts: Sequence[Sequence[int]], written: Sequence[Sequence[int]]
    ) -> list[FloatArray]:
        import torch

        rows = [[*prompt, *own] for prompt, own in zip(prompts, written, strict=True)]
        longest = max(map(len, rows))
        device = self.model.device
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        mask = torch.tensor(
            [[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device
        )
        with torch.no_grad():
            logits = self.model(input_ids=ids, attention_mask=mask).logits.float()
            logs = logits.log_softmax(-1)
            entropies = -(logs.exp() * logs).sum(-1).cpu().numpy()
        return [
            np.asarray(row[len(prompt) - 1 : len(prompt) + len(own) - 1], dtype=np.float64)
            for row, prompt, own in zip(entropies, prompts, written, strict=True)
        ]


def weights(spec: str) -> str:
    """Return the folder or the Hub's name of a model that transformers can load for training.

    Raises UsageError for any other model.
    """
    bare, options = split_inline(spec, source=f"model {spec!r}")
    bundled = {name: getattr(load("model", name), "folder", None) for name in list_plugins("model")}
    if folder := bundled.get(bare):
        return str(folder)
    name = bare.removeprefix("hf:")
    if (
        bare in bundled
        or options
        or not (Path(name).expanduser().is_dir() or HUB_ID.fullmatch(name))
    ):
        names = " or ".join(name for name, folder in bundled.items() if folder)
        raise UsageError(
            f"{spec!r} cannot be trained here: name {names}, a folder, or a model of the Hub"
        )
    return name
