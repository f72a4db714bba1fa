"""All model providers of Inspect: Anthropic, Google, Mistral, Bedrock and more.

Inspect's cache stays off and it does not retry (a provider's SDK may, about twice): the caller
retries. Completions are counted, because some providers always return one. Each call has its own
transcript, which is dropped afterwards: a shared one would grow with the run.

Invariants: a failed call is a `Failure`, never an exception; null content, and an error that
Inspect returns as a completion, are failures; the API key is in no text that leaves this module.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn

from pydantic import PositiveInt

from cat_bench.errors import ModelError, NotAvailable, one_line
from cat_bench.models.backends import Request
from cat_bench.models.backends.content import content
from cat_bench.models.backends.refusals import objection
from cat_bench.system.extras import install_command
from cat_bench.types.calls import JSON, Capability, Failure, Message, Reply, Sampling

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage, ModelOutput

PLACEMENT = frozenset(
    {"base_url", "api_key", "client_timeout", "max_retries", "stream", "device", "batch_size"}
)
"""Model arguments that do not change the model, only the way to reach it."""


def identify(spec: str, arguments: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return Inspect's name of a model and the arguments that change it, files by their content.

    A Python object, which only a program can pass, is identified by its name or its type's.
    """
    changes = {k: content(v) for k, v in arguments.items() if k not in PLACEMENT}
    readable = json.loads(json.dumps(changes, default=_name_object))
    return {"inspect": spec, **({"args": readable} if readable else {})}


def _name_object(value: object) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


class Inspect:
    """The model that Inspect calls `spec`, such as `anthropic/claude-sonnet-4-5`.

    Further arguments go to Inspect's `get_model` (`base_url`, `api_key`, and the provider's own).
    `attempt_timeout` is in seconds per request, `choices` the most completions of one request,
    which falls if the provider returns fewer; `logprobs` requests each token's log-probability,
    until the provider omits or refuses them.

    Raises ModelError if Inspect is not installed or cannot open the model.
    """

    def __init__(
        self,
        spec: str,
        *,
        choices: PositiveInt = 8,
        logprobs: bool = True,
        max_connections: PositiveInt = 256,
        attempt_timeout: PositiveInt = 600,
        **arguments: JSON,
    ) -> None:
        self._inspect = _library()
        from cat_bench.models.backends.inspect_output import mask

        config = self._inspect.GenerateConfig(
            max_connections=max_connections, max_retries=0, attempt_timeout=attempt_timeout
        )
        try:
            self._model = self._inspect.get_model(spec, config=config, memoize=False, **arguments)
        except Exception as error:  # providers raise exceptions of their own
            problem = mask(str(getattr(error, "message", error)))
            raise ModelError(f"Inspect cannot open {spec!r}: {problem}") from error
        self._identity = identify(spec, arguments)
        self._choices = choices
        self._refused: set[str] = set() if logprobs else {"logprobs"}

    @property
    def identity(self) -> JSON:
        """Inspect's name of the model, and the arguments that change the model."""
        return self._identity

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Log-probabilities, until a reply comes without them."""
        return frozenset() if "logprobs" in self._refused else frozenset({"logprobs"})

    @property
    def choices(self) -> int:
        """The most completions of one request."""
        return self._choices

    @property
    def sampling(self) -> Sampling:
        """The provider's defaults, which are unknown."""
        return Sampling()

    async def generate(self, request: Request) -> Sequence[Reply | Failure]:
        """Return one result per seed, in order; missing completions are requested again at once.

        Several seeds share a request that is seeded with the first of them.
        """
        seeds, size = request.seeds, self._choices
        parts = [replace(request, seeds=seeds[i : i + size]) for i in range(0, len(seeds), size)]
        # Tasks, so that each call has its own context for its transcript.
        return [result for part in await asyncio.gather(*map(self._ask, parts)) for result in part]

    async def _ask(self, request: Request) -> list[Reply | Failure]:
        count = len(request.seeds)
        got = await self._complete(request)
        if isinstance(got, Failure):
            return [got] * count
        if len(got) < count:
            self._choices = min(self._choices, len(got))
            rest = replace(request, seeds=request.seeds[len(got) :])
            got = [*got, *await self.generate(rest)]
        return got[:count]

    async def _complete(self, request: Request) -> list[Reply | Failure] | Failure:
        from cat_bench.models.backends.inspect_output import read

        while True:
            config = self._translate(request)
            if isinstance(config, Failure):
                return config
            answer = await self._attempt(request.messages, config)
            if not isinstance(answer, Failure):
                replies = read(*answer, config.get("seed"))
                if any(isinstance(r, Reply) and r.token_logprobs is None for r in replies):
                    self._refused.add("logprobs")
                return replies
            refused = objection({**config, "n": config.get("num_choices", 1)}, answer)
            if refused == "n" and len(request.seeds) > 1:
                self._choices = 1
                return list(await self.generate(request))
            if refused not in ("logprobs", "seed") or refused in self._refused:
                return answer
            self._refused.add(refused)

    def _translate(self, request: Request) -> dict[str, JSON] | Failure:
        """Return the fields of Inspect's `GenerateConfig`."""
        params = request.sampling.given()
        extra = dict(params.pop("extra", {}))
        body: dict[str, JSON] = {
            name: params.pop(name) for name in ("top_k", "min_p") if name in params
        }
        thinking = params.pop("thinking", None)
        if thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": thinking}
        if not self._speaks_openai():
            if "top_k" in body:
                params["top_k"] = body.pop("top_k")
            if body:
                lacks = "min_p" if "min_p" in body else "thinking"
                problem = f"Inspect has no {lacks} for this provider; give its own field in `extra`"
                return Failure("bad_request", problem, permanent=True)
        if "stop" in params:
            params["stop_seqs"] = list(params.pop("stop"))
        fields = self._inspect.GenerateConfig.model_fields
        body.update({name: extra.pop(name) for name in list(extra) if name not in fields})
        config = {**params, **extra, "seed": request.seeds[0], "logprobs": True}
        if body:
            config["extra_body"] = {**body, **config.get("extra_body", {})}
        if len(request.seeds) > 1:
            config["num_choices"] = len(request.seeds)
        return {name: value for name, value in config.items() if name not in self._refused}

    def _speaks_openai(self) -> bool:
        from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI

        return isinstance(self._model.api, OpenAICompatibleAPI)

    async def _attempt(
        self, messages: Sequence[Message], body: Mapping[str, JSON]
    ) -> tuple[ModelOutput, JSON] | Failure:
        """Return Inspect's output, and the raw answer if its provider keeps it."""
        from inspect_ai.log._transcript import Transcript, init_transcript

        from cat_bench.models.backends.inspect_output import failure

        try:
            config = self._inspect.GenerateConfig(**body)
        except ValueError as error:
            problem = f"Inspect refuses this: {one_line(error)}"
            return Failure("bad_request", problem, permanent=True)
        transcript = Transcript()
        init_transcript(transcript)
        try:
            output = await self._model.generate(self._chat(messages), config=config, cache=False)
        except Exception as error:  # noqa: BLE001 - each SDK has exceptions of its own: a record
            return failure(error)
        call = getattr(transcript.events[-1], "call", None) if transcript.events else None
        return output, getattr(call, "response", None)

    def _chat(self, messages: Sequence[Message]) -> list[ChatMessage]:
        kinds = {
            "system": self._inspect.ChatMessageSystem,
            "user": self._inspect.ChatMessageUser,
            "assistant": self._inspect.ChatMessageAssistant,
        }
        return [kinds[message["role"]](content=message["content"]) for message in messages]

    async def logprob(self, messages: Sequence[Message], text: str) -> NoReturn:
        """Raise NotAvailable: Inspect's providers do not score given texts."""
        raise NotAvailable(f"{self._identity['inspect']} cannot score a given text through Inspect")

    async def close(self) -> None:
        """Close the provider's connections."""
        await self._model.__aexit__(None, None, None)


def _library() -> ModuleType:
    try:
        import inspect_ai.model
    except ImportError as error:
        raise ModelError(
            f"Inspect's models need inspect-ai ({error}): {install_command('inspect')}"
        ) from error
    return inspect_ai.model
