"""The model in training, with its completions as replies of a backend."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cat_bench.cache.reasoning import opens_reasoning, split
from cat_bench.errors import UsageError
from cat_bench.loading.registry import list_plugins, load
from cat_bench.loading.validation import split_inline
from cat_bench.models.backends.hf.adapters import Adapter
from cat_bench.models.backends.hf.chat import Pretrained, Prompt
from cat_bench.models.backends.hf.loading import HUB_ID, Checkpoint
from cat_bench.models.backends.hf.steps import LIKELIEST
from cat_bench.types.calls import JSON, FloatArray, Message, Reply, Usage

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROWS = 16
"""Batch size for the numbers of tokens, in completions."""
MEASURES = ("certainties", "confidences")
"""The numbers that a reply has among its measures."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A causal language model with its tokenizer.

    `ends` are the ids that end a turn, and `template` the options of the chat template, such as
    `enable_thinking`.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    ends: tuple[int, ...]
    template: Mapping[str, JSON] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str, *, template: Mapping[str, JSON] | None = None) -> Policy:
        """Load in float32 whatever the checkpoint's type, on the CPU; raises ModelError.

        A bfloat16 number near 0.02 has neighbours 1e-4 away, so a step of 5e-7 would be lost. The
        trainer moves the model to its device, and computes in bfloat16 by autocast.
        """
        loaded = Checkpoint.load(path, revision=None, device="cpu", dtype="float32")
        return cls(loaded.model, loaded.tokenizer, loaded.ends, template or {})

    def replies(
        self,
        prompts: Sequence[Sequence[Message]],
        ids: Sequence[Sequence[int]],
        *,
        measured: bool = False,
    ) -> list[Reply]:
        """Return completions as replies: reasoning apart, without the id that ends a turn.

        If `measured`, replies have the numbers of the current model for each token.
        """
        written = [list(row[:-1] if row and row[-1] in self.ends else row) for row in ids]
        encoded = [self.prompt(messages) for messages in prompts]
        numbers: Sequence[Mapping[str, FloatArray]] = [{}] * len(ids)
        if measured:
            numbers = self.measure([prompt.ids for prompt in encoded], written)
        return [
            self._reply(prompt, own, ended=len(own) < len(row), numbers=known)
            for row, own, prompt, known in zip(ids, written, encoded, numbers, strict=True)
        ]

    def _reply(
        self, prompt: Prompt, own: Sequence[int], *, ended: bool, numbers: Mapping[str, FloatArray]
    ) -> Reply:
        tokens = Pretrained(self.tokenizer)
        reasoning, answer = split(tokens.decode(own), thinking=prompt.thinking)
        thought = len(tokens.encode(reasoning, special=False)) if reasoning else 0
        return Reply(
            text=answer,
            reasoning=reasoning,
            finish="stop" if ended else "length",
            usage=Usage(len(prompt.ids), len(own), min(thought, len(own))),
            token_logprobs=numbers.get("logprobs"),
            token_entropies=numbers.get("entropies"),
            measures={kind: numbers[kind] for kind in MEASURES if kind in numbers},
        )

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """Return a prompt up to where the reply begins, by the chat template's options."""
        tokens = Pretrained(self.tokenizer)
        text = tokens.render(messages, self.template)
        return Prompt(tuple(tokens.encode(text, special=False)), opens_reasoning(text))

    def measure(
        self, prompts: Sequence[Sequence[int]], written: Sequence[Sequence[int]]
    ) -> list[dict[str, FloatArray]]:
        """Return the numbers of each completion's tokens, in nats at temperature 1, by capability.

        They are defined as those of a backend: `logprobs`, `entropies`, `certainties` and
        `confidences`, each of shape (tokens,).
        """
        arrays: list[dict[str, FloatArray]] = []
        for start in range(0, len(prompts), ROWS):
            chosen = slice(start, start + ROWS)
            arrays += self._measure(prompts[chosen], written[chosen])
        return arrays

    def _measure(
        self, prompts: Sequence[Sequence[int]], written: Sequence[Sequence[int]]
    ) -> list[dict[str, FloatArray]]:
        import torch

        rows = [[*prompt, *own] for prompt, own in zip(prompts, written, strict=True)]
        longest = max(map(len, rows))
        device = self.model.device
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        mask = torch.tensor(
            [[1] * len(row) + [0] * (longest - len(row)) for row in rows], device=device
        )
        with torch.no_grad():
            logs = self.model(input_ids=ids, attention_mask=mask).logits.float().log_softmax(-1)
            next_ids = ids.roll(-1, 1)[..., None]
            size = logs.shape[-1]
            numbers = {
                "logprobs": logs.gather(-1, next_ids).squeeze(-1),
                "entropies": -(logs.exp() * logs).sum(-1),
                "certainties": -logs.mean(-1) - log(size),
                "confidences": -logs.topk(min(LIKELIEST, size)).values.mean(-1),
            }
        arrays = {kind: array.cpu().numpy() for kind, array in numbers.items()}
        return [
            {
                kind: np.asarray(array[k, len(prompt) - 1 : len(prompt) + len(own) - 1], float)
                for kind, array in arrays.items()
            }
            for k, (prompt, own) in enumerate(zip(prompts, written, strict=True))
        ]


def weights(spec: str) -> str:
    """Return the folder or the Hub's name of a model that transformers can load for training.

    Raises UsageError for any other model.
    """
    model, options = split_inline(spec, source=f"model {spec!r}")
    bundled = {name: getattr(load("model", name), "folder", None) for name in list_plugins("model")}
    if folder := bundled.get(model):
        return str(folder)
    name = model.removeprefix("hf:")
    if (
        model in bundled
        or options
        or not (Path(name).expanduser().is_dir() or HUB_ID.fullmatch(name))
    ):
        names = " or ".join(name for name, folder in bundled.items() if folder)
        raise UsageError(
            f"{spec!r} cannot be trained here: name {names}, a folder, or a model of the Hub"
        )
    return name


def checkpoint_config(source: str) -> Mapping[str, JSON]:
    """Return the configuration of the model at `source`, or of its base if that is an adapter.

    A name of the Hub is looked up there; what cannot be found is empty.
    """
    folder = Path(source).expanduser()
    if adapter := Adapter.find(folder):
        return checkpoint_config(adapter.base)
    if folder.is_dir():
        path = folder / "config.json"
        config: dict[str, JSON] = json.loads(path.read_text(encoding="utf-8"))
        return config
    from transformers import AutoConfig

    try:
        return dict(AutoConfig.from_pretrained(source).to_dict())
    except (OSError, ValueError):
        return {}
