"""Reward models that transformers runs in this process: sequence and token classifiers.

A conversation's number is read at its last token. transformers looks for the last token that is not
padding, so each batch is padded with a token that none of its conversations ends in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock

import numpy as np
from pydantic import PositiveInt

from cat_bench.errors import ConfigError, NotAvailable
from cat_bench.models.backends.conversations import NO_TEMPLATE, STEP, Conversations, Form, Input
from cat_bench.models.backends.gathering import Gathering
from cat_bench.models.backends.hf.chat import has_template
from cat_bench.models.backends.hf.loading import Checkpoint, folder_digest, locate
from cat_bench.models.backends.numbers import Activation, Labels, activate, make_reply
from cat_bench.models.backends.silent import Silent
from cat_bench.types.calls import JSON, Failure, FloatArray, Message, Reply

WHOLE, STEPWISE = "AutoModelForSequenceClassification", "AutoModelForTokenClassification"


class Classifier(Silent):
    """A `…ForSequenceClassification` or `…ForTokenClassification` from a folder or the Hub.

    `form` is `chat` (the model's chat template) or `pair` (two texts, as for cross-encoders).
    `activation`, `label`: see `Activation` and `Labels`. `step` is the token that marks the end of
    a step for a token classifier, which always returns probabilities. `device` and `dtype`
    are torch's names. A batch holds at most `batch` conversations and `tokens` tokens, padding
    included. A folder's weights are loaded by the first call that the cache cannot answer.

    Loading raises ModelError if it fails, ConfigError for `form=chat` without a chat template.
    """

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        form: Form = "chat",
        activation: Activation = "raw",
        label: int | None = None,
        step: str = STEP,
        batch: PositiveInt = 32,
        tokens: PositiveInt = 65536,
    ) -> None:
        self._path, self._revision, self._device, self._dtype = path, revision, device, dtype
        self._form, self._activation, self._step = form, activation, step
        self._labels, self._tokens = Labels(label), tokens
        self._loading = Lock()
        self._loaded: tuple[Checkpoint, Conversations] | None = None
        self._gathering = Gathering(self._rate, size=batch, lanes=1)
        folder = Path(path).expanduser()
        if folder.is_dir():
            locate(path, folder)
            if form == "chat" and not has_template(folder):
                raise ConfigError("reward model", "tokenizer", NO_TEMPLATE)
            self._model_identity: JSON = {"folder_digest": folder_digest(folder)}
        else:
            self._model_identity = self._running[0].identity

    @property
    def identity(self) -> JSON:
        """The checkpoint and the settings for reading it."""
        form, activation, step = self._form, self._activation, self._step
        read = {"form": form, "activation": activation, "step": step, **asdict(self._labels)}
        return {**self._model_identity, "reward": read}

    async def reward(
        self, messages: Sequence[Message], response: str | Sequence[str]
    ) -> Reply | Failure:
        """Return the number of a response or of each step; raises NotAvailable for the other."""
        checkpoint, conversations = await asyncio.to_thread(lambda: self._running)
        single = isinstance(response, str)
        if single != (checkpoint.kind == WHOLE):
            has = "a number for each token" if single else "one number for a response"
            raise NotAvailable(f"{self._path} gives {has}: it is another kind of reward model")
        try:
            if isinstance(response, str):
                conversation = conversations.whole(messages, response)
            else:
                conversation = conversations.stepwise(messages, response)
        except ValueError as error:
            return Failure("bad_request", str(error), permanent=True)
        if len(conversation.ids) > checkpoint.context:
            problem = f"{len(conversation.ids)} tokens do not fit the model's context"
            return Failure("context", f"{problem} of {checkpoint.context}", permanent=True)
        return await self._gathering(conversation)

    @property
    def _running(self) -> tuple[Checkpoint, Conversations]:
        with self._loading:
            if self._loaded is None:
                checkpoint = Checkpoint.load(
                    self._path,
                    revision=self._revision,
                    device=self._device,
                    dtype=self._dtype,
                    kinds=(WHOLE, STEPWISE),
                )
                conversations = Conversations(checkpoint.tokenizer, self._form, self._step)
                self._loaded = checkpoint, conversations
            return self._loaded

    async def _rate(self, inputs: Sequence[Input]) -> Sequence[Reply | Failure]:
        return await asyncio.to_thread(lambda: [*self._run_batch(inputs)])

    def _run_batch(self, inputs: Sequence[Input]) -> Iterator[Reply | Failure]:
        start = 0
        for stop in range(1, len(inputs) + 1):
            longest = max(len(item.ids) for item in inputs[start : stop + 1])
            if stop == len(inputs) or (stop + 1 - start) * longest > self._tokens:
                yield from map(self._reply, inputs[start:stop], self._logits(inputs[start:stop]))
                start = stop

    def _reply(self, conversation: Input, logits: FloatArray) -> Reply | Failure:
        checkpoint, _ = self._running
        regression = checkpoint.model.config.problem_type == "regression"
        try:
            if conversation.ends:
                shares = activate(logits[list(conversation.ends)], regression=regression)
                numbers: FloatArray | float = self._labels.steps_of(shares)
            elif self._activation == "raw":
                numbers = self._labels.reward_of(logits)
            else:
                numbers = self._labels.reward_of(activate(logits, regression=regression))
        except ValueError as error:
            return Failure("bad_request", str(error), permanent=True)
        return make_reply(numbers, tokens=len(conversation.ids), served_by=checkpoint.served_by)

    def _logits(self, inputs: Sequence[Input]) -> list[FloatArray]:
        """Return logits per input: (labels,), or (tokens, labels) from a token classifier."""
        import torch

        checkpoint, _ = self._running
        model, longest = checkpoint.model, max(len(item.ids) for item in inputs)
        ends = {item.ids[-1] for item in inputs}
        padding = next(token for token in range(len(ends) + 1) if token not in ends)
        for config in (model.config, model.config.get_text_config()):
            config.pad_token_id = padding
        rows = [[*item.ids, *[padding] * (longest - len(item.ids))] for item in inputs]
        mask = [[1] * len(item.ids) + [0] * (longest - len(item.ids)) for item in inputs]
        arguments = {"input_ids": rows, "attention_mask": mask}
        if all(item.segments for item in inputs):
            segments = (item.segments or () for item in inputs)
            arguments["token_type_ids"] = [[*s, *[0] * (longest - len(s))] for s in segments]
        sent = {name: torch.tensor(value, device=model.device) for name, value in arguments.items()}
        with torch.inference_mode():
            logits = model(**sent).logits.to("cpu", torch.float64).numpy()
        return [
            np.asarray(row[: len(item.ids)]) if row.ndim > 1 else row
            for item, row in zip(inputs, logits, strict=True)
        ]
