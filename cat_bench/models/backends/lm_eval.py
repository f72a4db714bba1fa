"""Any model class that lm-eval registers: `hf`, `vllm`, `sglang`, `local-chat-completions`, …

lm-eval's caches and retries are off, because the caller has both. lm-eval returns only texts, so a
reply has no log-probabilities and, for classes that run in this process, no finish reason. Token
counts come from the class's tokenizer, or from its server.

Invariants: a failed call is a `Failure` and affects no other call; nothing is truncated.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2 import TemplateError
from pydantic import PositiveInt

from cat_bench.errors import CatBenchError, ModelError, NotAvailable, UnknownName, one_line
from cat_bench.loading.secrets import mask
from cat_bench.models.backends import Request
from cat_bench.models.backends.content import content
from cat_bench.models.backends.hf.chat import UNTEMPLATED
from cat_bench.system.extras import install_command
from cat_bench.types.calls import JSON, Capability, Failure, FloatArray, Message, Reply, Sampling

PLACEMENT = frozenset(
    {
        *("base_url", "api_key", "auth_token", "header", "ca_cert_path", "verify_certificate"),
        *("num_concurrent", "max_retries", "timeout", "seed", "batch_size", "max_batch_size"),
        *("device", "parallelize", "max_memory_per_gpu", "max_cpu_memory", "offload_folder"),
        *("tensor_parallel_size", "data_parallel_size", "gpu_memory_utilization"),
    }
)
"""Arguments that do not change the model, only where and how it runs."""


class LmEval:
    """The model that lm-eval calls `CLASS?ARGUMENTS`, such as `hf?pretrained=PATH,dtype=float32`.

    A class that runs in this process gets micro-batches of up to `batch` requests of concurrent
    callers, in a thread of its own; a class that talks to a server gets up to `concurrency`
    requests at a time. `chat=False` replaces the chat template by the contents in order, with a
    blank line between them.

    A slot's seed is sent to a server whose class takes one. In this process, torch is seeded once
    per batch, from the seeds of all its slots. The slots are independent draws, but a slot's text
    can be reproduced only in the same batch.

    Raises UnknownName for a class that lm-eval does not have, ModelError if lm-eval is not
    installed or cannot open the model.
    """

    def __init__(
        self,
        spec: str,
        *,
        batch: PositiveInt = 16,
        concurrency: PositiveInt = 64,
        chat: bool = True,
    ) -> None:
        kind, _, arguments = spec.partition("?")
        self._name = f"lm-eval:{kind}"
        self._lm = _open(kind, arguments, batch)
        from cat_bench.models.backends.lm_eval_calls import InProcess, OverHttp, is_served

        served = is_served(self._lm)
        self._calls = OverHttp(self._lm, concurrency) if served else InProcess(self._lm, batch)
        self.choices = 1 if served else batch
        """Completions per request: a batch in this process, one for a server."""
        self._chat = chat and self._calls.takes_chat
        self.caution = UNTEMPLATED if chat and not self._chat else None
        self._sampling = _defaults(self._lm)
        self.identity = _identity(kind, arguments, self._lm)
        """lm-eval's name of the class and the arguments that change the model."""
        if not chat:
            self.identity["chat"] = False

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Scoring a text, if the class has a tokenizer and its prompts are text."""
        return frozenset({"scoring"} if self._calls.scores else ())

    @property
    def sampling(self) -> Sampling:
        """The defaults that lm-eval sets silently: `max_tokens` is the class's limit.

        The limit is 256 for most classes; other parameters are the checkpoint's.
        """
        return self._sampling

    async def generate(self, request: Request) -> Sequence[Reply | Failure]:
        """Return one result per seed, in order."""
        sampling = request.sampling.over(self._sampling)
        try:
            prompt, parameters = self._prompt(request.messages, sampling.thinking)
        except ValueError as error:
            problem = Failure("bad_request", str(error), permanent=True)
            return [problem] * len(request.seeds)
        return await self._calls.generate(
            prompt, {**_parameters(sampling), **parameters}, request.seeds
        )

    async def logprob(self, messages: Sequence[Message], text: str) -> FloatArray | Failure:
        """Return the log-probability in nats of each token of `text` as the reply to `messages`.

        lm-eval gives the sum over the text, which is divided evenly among the tokens: sum, mean and
        number of tokens are right, single values are unknown.
        """
        if not self._calls.scores:
            raise NotAvailable(f"{self._name} cannot score a given text")
        if not text:
            return np.zeros(0, dtype=np.float32)
        try:
            prompt, _ = self._prompt(messages, None)
        except ValueError as error:
            return Failure("bad_request", str(error), permanent=True)
        return await self._calls.score(str(prompt), text)

    async def close(self) -> None:
        """End the threads; calls in flight fail."""
        await self._calls.close()

    def _prompt(
        self, messages: Sequence[Message], thinking: bool | None
    ) -> tuple[Any, dict[str, JSON]]:
        """Return the prompt and the parameters for the class."""
        lm, parameters = self._lm, dict[str, JSON]()
        chat: list[dict[str, Any]] = [dict(message) for message in messages]
        options = getattr(lm, "chat_template_args", None)
        if thinking is not None and options is not None and self._chat:
            options = {**options, "enable_thinking": thinking}
        elif thinking is not None and self._calls.takes_body:
            parameters["chat_template_kwargs"] = {"enable_thinking": thinking}
        elif thinking is not None:
            raise ValueError(f"{self._name} has no switch for thinking")
        if not self._chat:
            return "\n\n".join(message["content"] for message in messages), parameters
        try:
            if options is None:
                return lm.apply_chat_template(chat), parameters
            # The class's own method drops a system message that the template refuses.
            template = lm.tokenizer.apply_chat_template
            return template(chat, tokenize=False, add_generation_prompt=True, **options), parameters
        except TemplateError as error:
            raise ValueError(f"the chat template refuses these messages: {error}") from error


def _open(kind: str, arguments: str, batch: int) -> Any:
    try:
        import lm_eval.models  # noqa: F401 - fills the registry
        from lm_eval.api.registry import get_model, model_registry
    except ImportError as error:
        raise ModelError(
            f"lm-eval's models need lm-eval ({error}): {install_command('lm-eval')}"
        ) from error
    if kind not in model_registry:
        raise UnknownName("lm-eval model class", kind, model_registry.keys())
    try:
        cls = get_model(kind)
        additional = _add_arguments(cls, _parse(arguments), batch)
        return cls.create_from_arg_string(arguments, additional)
    except CatBenchError:
        raise
    except Exception as error:  # classes raise exceptions of their own
        problem = one_line(f"{type(error).__name__}: {error}")
        raise ModelError(f"lm-eval cannot open {kind}?{mask(arguments)}: {problem}") from error


def _add_arguments(cls: type, params: Mapping[str, JSON], batch: int) -> dict[str, JSON]:
    """Return what was not given: the batch size, and a device that this machine has."""
    from lm_eval.models.api_models import TemplateAPI

    additional: dict[str, JSON] = {}
    if not issubclass(cls, TemplateAPI) and "batch_size" not in params:
        additional["batch_size"] = batch
    device = inspect.signature(cls).parameters.get("device")
    if device is not None and device.default == "cuda" and "device" not in params:
        import torch

        additional["device"] = "cuda" if torch.cuda.is_available() else "cpu"
    return additional


def _parse(arguments: str) -> dict[str, JSON]:
    from lm_eval.utils import simple_parse_args_string

    return dict(simple_parse_args_string(arguments))


def _identity(kind: str, arguments: str, lm: Any) -> dict[str, JSON]:
    args = {k: content(v) for k, v in _parse(arguments).items() if k not in PLACEMENT}
    commit = getattr(getattr(getattr(lm, "model", None), "config", None), "_commit_hash", None)
    if commit is not None:
        args["revision"] = commit
    return {"lm-eval": kind, "args": args}


def _defaults(lm: Any) -> Sampling:
    limit = getattr(lm, "max_gen_toks", None) or getattr(lm, "_max_gen_toks", None) or 256
    general = Sampling(temperature=1.0, max_tokens=int(limit))
    config = getattr(getattr(lm, "model", None), "generation_config", None)
    if config is None:
        return general
    from cat_bench.models.backends.hf.loading import defaults

    return defaults(config.to_dict()).over(general)


def _parameters(sampling: Sampling) -> dict[str, JSON]:
    """Return lm-eval's `gen_kwargs`; its default `until` would end a reply at a blank line."""
    params = sampling.given()
    extra = params.pop("extra", {})
    params.pop("thinking", None)
    greedy = params["temperature"] == 0
    if greedy:
        for name in ("top_p", "top_k", "min_p"):
            params.pop(name, None)
    until, limit = list(params.pop("stop", ())), params.pop("max_tokens")
    return {**params, "do_sample": not greedy, "until": until, "max_gen_toks": limit, **extra}
