"""What servers say in their own words, read as records."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest

from cat_bench.models.backends import wire
from cat_bench.types.calls import Failure, Reply, Usage


def completion(*messages: dict[str, Any], finish: str | None = "stop", **more: Any) -> Any:
    choices = [
        {"index": index, "message": message, "finish_reason": finish}
        for index, message in enumerate(messages)
    ]
    return {"choices": choices, **more}


def only(data: Any) -> Reply | Failure:
    results = wire.replies(data, 1)
    if isinstance(results, Failure):
        return results
    (result,) = results
    return result


def test_a_thought_that_ran_out_of_tokens_is_a_reply() -> None:
    thinking = {"content": None, "reasoning_content": "Let me see"}
    assert only(completion(thinking, finish="length")) == Reply(
        text="", reasoning="Let me see", finish="length", seed=1
    )
    assert isinstance(failure := only(completion(thinking)), Failure)
    assert failure.kind == "null"


def test_reasoning_under_its_newer_name() -> None:
    reply = only(completion({"content": "4", "reasoning": "2 + 2"}))
    assert isinstance(reply, Reply)
    assert reply.reasoning == "2 + 2"


def test_an_empty_text_without_a_finish_reason_is_no_content() -> None:
    assert isinstance(failure := only(completion({"content": ""}, finish=None)), Failure)
    assert failure.kind == "null"


def test_choices_come_in_order_of_index() -> None:
    data = completion({"content": "a"}, {"content": "b"})
    data["choices"].reverse()
    results = wire.replies(data, None)
    assert not isinstance(results, Failure)
    assert [result.text for result in results if isinstance(result, Reply)] == ["a", "b"]


def test_a_missing_log_probability_is_not_a_number() -> None:
    data = completion({"content": "ab"})
    data["choices"][0]["logprobs"] = {"content": [{"logprob": -0.5}, {"logprob": None}]}
    reply = only(data)
    assert isinstance(reply, Reply)
    np.testing.assert_array_equal(reply.token_logprobs, np.array([-0.5, np.nan], np.float32))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {},
        {"choices": []},
        {"choices": [{"text": "not chat"}]},
        completion({"content": ["parts"]}),
        completion({"content": "a"}, usage=3),
        {"choices": [{"message": {"content": "a"}, "logprobs": {"content": [{"token": "a"}]}}]},
    ],
)
def test_another_shape_is_malformed(data: Any) -> None:
    assert isinstance(result := only(data), Failure)
    assert (result.kind, result.permanent) == ("malformed", False)


@pytest.mark.parametrize(
    ("total", "lengths", "expected"),
    [
        (9, [None], [9]),
        (9, [4], [9]),
        (None, [4], [4]),
        (None, [None, None], [0, 0]),
        (11, [None, None, None], [5, 3, 3]),
        (12, [4, 5], [4, 5]),
        (12, [4, None, None], [4, 4, 4]),
        (3, [4, None], [4, 0]),
    ],
)
def test_shares(total: int | None, lengths: list[int | None], expected: list[int]) -> None:
    assert wire.shares(total, lengths) == expected


def test_usage_without_details() -> None:
    reply = only(completion({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 2}))
    assert isinstance(reply, Reply)
    assert reply.usage == Usage(5, 2, 0)


@pytest.mark.parametrize(
    ("status", "body", "kind", "permanent"),
    [
        (400, {"error": {"message": "x", "code": "context_length_exceeded"}}, "context", True),
        (400, {"message": "This model's maximum context length is 9 tokens."}, "context", True),
        (
            400,
            {"error": {"message": "the request exceeds the available context size"}},
            "context",
            True,
        ),
        (
            422,
            {"error": "`inputs` tokens + `max_new_tokens` must be <= 9"},
            "context",
            True,
        ),
        (
            400,
            {"error": {"message": "The decoder prompt is longer than the maximum model length"}},
            "context",
            True,
        ),
        (413, "too large", "context", True),
        (400, {"error": {"message": "no", "code": "content_filter"}}, "refused", True),
        (400, {"error": {"message": "temperature must be positive"}}, "bad_request", True),
        (422, {"detail": [{"loc": ["body", "top_p"]}]}, "bad_request", True),
        (301, "", "bad_request", False),
        (404, "no such page", "bad_request", False),
        (401, {"error": {"message": "who?"}}, "auth", False),
        (402, {"error": {"message": "no credit"}}, "auth", False),
        (403, {}, "auth", False),
        (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, "auth", False),
        (429, {}, "rate_limit", False),
        (408, "", "server", False),
        (500, "<html>", "server", False),
        (529, {"error": {"message": "overloaded"}}, "server", False),
        (200, {"error": {"message": "upstream", "code": 502}}, "server", False),
        (200, {"error": {"message": "slow down", "code": 429}}, "rate_limit", False),
        (200, "<html>", "malformed", False),
    ],
)
def test_errors_as_servers_word_them(status: int, body: Any, kind: str, permanent: bool) -> None:
    raw = body if isinstance(body, str) else json.dumps(body)
    failure = wire.parse_body(status, {}, raw.encode())
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.permanent) == (kind, permanent)


def test_a_long_error_is_cut_short() -> None:
    failure = wire.failure(500, {}, b"x" * 10_000)
    assert len(failure.message) < 400


@pytest.mark.parametrize(
    ("status", "headers", "limited"),
    [(429, {}, True), (503, {"Retry-After": "7"}, True), (503, {}, False), (400, {}, False)],
)
def test_who_asks_to_be_left_alone(status: int, headers: dict[str, str], limited: bool) -> None:
    assert wire.failure(status, headers, b"busy").rate_limited is limited


def test_retry_after() -> None:
    assert wire.retry_after({"retry-after-ms": "250", "Retry-After": "9"}) == 0.25
    assert wire.retry_after({"Retry-After": "-3"}) == 0.0
    assert wire.retry_after({"Retry-After": "nan"}) is None
    assert wire.retry_after({}) is None
    past = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    assert wire.retry_after({"Retry-After": past}) == 0.0
