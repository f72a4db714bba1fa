"""What servers answer to a field that they do not take, in their own words."""

from __future__ import annotations

import json

import pytest

from cat_bench.models.backends import wire
from cat_bench.models.backends.refusals import cut_at_stop, objection
from cat_bench.types.calls import JSON, Failure, Reply

SENT = {
    "model": "m",
    "max_tokens": 5,
    "logprobs": True,
    "n": 2,
    "seed": 1,
    "temperature": 0,
    "top_p": 0.9,
    "top_k": 20,
    "stop": ["\n"],
    "frequency_penalty": 1,
    "reasoning_effort": "low",
    "chat_template_kwargs": {"enable_thinking": False},
}


def openai(message: str, param: str | None = None, code: str | None = None) -> JSON:
    return {
        "error": {"message": message, "type": "invalid_request_error"}
        | {"param": param, "code": code}
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            openai(
                "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
                "max_tokens",
                "unsupported_parameter",
            ),
            "max_tokens",
        ),
        (openai("You are not allowed to request logprobs from this model"), "logprobs"),
        (openai("'n' : number must be at most 1 with this model"), "n"),
        ({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "input": 123}]}, "seed"),
        (
            openai(
                "Unsupported value: 'temperature' does not support 0 with this model. Only the "
                "default (1) value is supported.",
                "temperature",
                "unsupported_value",
            ),
            "temperature",
        ),
        (
            openai(
                "Unsupported value: 'temperature' does not support 0.0 with this model. Only the "
                "default (1) value is supported."
            ),
            "temperature",
        ),
        (
            openai(
                "Unsupported parameter: 'top_p' is not supported with this model.",
                "top_p",
                "unsupported_parameter",
            ),
            "top_p",
        ),
        (
            openai(
                "Unsupported parameter: 'stop' is not supported with this model.",
                "stop",
                "unsupported_parameter",
            ),
            "stop",
        ),
        (openai("Unrecognized request argument supplied: top_k"), "top_k"),
        (
            openai("Unrecognized request arguments supplied: chat_template_kwargs, top_k"),
            "chat_template_kwargs",
        ),
        (
            openai(
                "Unsupported value: 'reasoning_effort' does not support 'low' with this model.",
                "reasoning_effort",
                "unsupported_value",
            ),
            "reasoning_effort",
        ),
        (
            {
                "type": "urn:inference-service:problem-details:unprocessable-entity",
                "detail": "body -> frequency_penalty\n  Extra inputs are not permitted "
                "(type=extra_forbidden)",
            },
            "frequency_penalty",
        ),
        (
            {
                "object": "error",
                "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'top_k'), "
                "'msg': 'Extra inputs are not permitted', 'input': 20}]",
                "code": 400,
            },
            "top_k",
        ),
        (
            {"error": "Input validation error: `temperature` must be strictly positive"},
            "temperature",
        ),
        (openai("max_tokens must be positive", "max_tokens"), None),
        (openai("top_p must be in (0, 1], got 1.5.", "top_p"), None),
        (openai("Unsupported parameter: 'tools'. The temperature is fine.", "tools"), None),
        (openai("Unknown model. Supported parameters: temperature, top_p."), None),
        (openai("The service will not stop today. It is not available."), None),
    ],
)
def test_what_servers_answer(body: JSON, expected: str | None) -> None:
    failure = wire.failure(400, {}, json.dumps(body).encode())
    assert objection(SENT, failure) == expected
    assert objection({}, failure) is None


def test_another_failure_refuses_no_field() -> None:
    assert objection(SENT, Failure("server", "'top_k' is not supported")) is None


def test_a_reply_is_cut_where_the_server_would_have_stopped() -> None:
    assert cut_at_stop(Reply(text="a b c", finish="length"), ["c", "b"]).text == "a "
    whole = Reply(text="a b c", finish="length")
    assert cut_at_stop(whole, ["x"]) == whole
