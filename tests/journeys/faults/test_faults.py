"""What goes wrong on the way to a model: all that can be had is had, the rest is counted."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from cat_bench.testing import Fault, Faults
from tests.journeys.faults.conftest import SLOTS, Stand


@pytest.mark.parametrize(
    ("rates", "options", "kind"),
    [
        ({"server_error": 0.3}, ("--set", "retries=0"), "server"),
        ({"server_error": 0.3}, ("--set", "retries=1"), "server"),
        ({"truncated": 0.05}, ("--set", "retries=0"), "malformed"),
        ({"null": 0.02}, ("--set", "retries=0"), "null"),
        ({"drop": 0.2}, ("--set", "retries=0"), "connection"),
        ({"hang": 0.1}, ("--set", "retries=0", "--set", "deadline=5"), "timeout"),
        ({"rate_limit": 0.3}, ("--set", "retries=0"), "rate_limit"),
    ],
)
def test_what_can_be_had_is_had_and_the_rest_is_counted(
    rates: Mapping[Fault, float], options: tuple[str, ...], kind: str, stand: Stand
) -> None:
    stand.server.faults = Faults(rates, seed=2)
    stand.server.retry_after = "0.05"
    status, err = stand.run(*options)
    failed = stand.missing
    assert 0 < len(failed) < SLOTS
    assert (status, stand.stored) == (1, SLOTS - len(failed))
    assert {why.partition(":")[0] for why in failed} == {kind}
    assert f"{len(failed)} rollouts" in err
    assert "run the same command again to fill the gaps" in err

    stand.server.faults, before = Faults(), stand.server.stats.requests
    status, err = stand.run(*options)
    assert (status, stand.stored, stand.missing) == (0, SLOTS, [])
    assert stand.server.stats.requests - before == len(failed)


def test_retries_see_a_run_through(stand: Stand) -> None:
    stand.server.faults = Faults({"server_error": 0.2, "truncated": 0.05, "null": 0.02}, seed=1)
    status, err = stand.run("--set", "retries=8")
    assert (status, stand.stored, stand.missing) == (0, SLOTS, []), err
    assert stand.server.stats.faults.total() > 5
    assert stand.server.stats.requests == SLOTS + stand.server.stats.faults.total()


def test_a_storm_of_429_is_waited_out(stand: Stand) -> None:
    stand.server.capacity, stand.server.delay, stand.server.retry_after = 4, 0.02, "0.1"
    status, err = stand.run()
    assert (status, stand.stored) == (0, SLOTS), err
    assert stand.server.stats.turned_away > 0
    assert stand.server.stats.requests == SLOTS


def test_a_server_that_dies_and_comes_back_loses_nothing_for_long(stand: Stand) -> None:
    stand.server.faults = Faults(schedule=[None] * 20 + ["die"])
    stand.server.delay = 0.02
    few = ("--set", "concurrency=4")
    status, err = stand.run("--set", "retries=0", *few)
    assert status == 1, err
    failed = stand.missing
    assert 0 < len(failed) < SLOTS
    assert stand.stored == SLOTS - len(failed)
    status, err = stand.run("--set", "retries=0", *few)
    assert (status, stand.stored, stand.missing) == (0, SLOTS, []), err


def test_a_short_outage_is_retried_over(stand: Stand) -> None:
    stand.server.faults = Faults(schedule=[None] * 20 + ["die"])
    stand.server.delay, stand.server.outage = 0.02, 0.3
    status, err = stand.run("--set", "concurrency=4")
    assert (status, stand.stored) == (0, SLOTS), err


@pytest.mark.parametrize("ignores", [(), ("n",), ("seed",), ("n", "seed"), ("logprobs",)])
def test_a_pool_is_whole_and_of_different_texts(ignores: tuple[str, ...], stand: Stand) -> None:
    stand.server.ignores = ignores
    status, err = stand.run(choices=8)
    assert (status, stand.stored, stand.texts) == (0, SLOTS, SLOTS), err
    assert stand.server.stats.choices == SLOTS
    assert "Warning" not in err
    assert (stand.server.stats.requests == SLOTS) == ("n" in ignores)


def test_a_pool_without_diversity_is_warned_about_once(stand: Stand) -> None:
    stand.server.constant_seed = 7
    status, err = stand.run()
    assert (status, stand.texts) == (0, 6)
    assert err.count("all rollouts of a question are the same text") == 1


def test_temperature_0_is_no_lack_of_diversity(stand: Stand) -> None:
    _, err = stand.run("--set", "policy.temperature=0")
    assert stand.texts == 6
    assert "Warning" not in err


def test_a_model_that_changes_within_a_pool_is_warned_about(stand: Stand) -> None:
    stand.run("--pool", "4")
    stand.server.fingerprint = "fp_new"
    status, err = stand.run()
    assert status == 0
    assert err.count("changed within 6 of 6 pools (test-model fp_test, test-model fp_new)") == 1


@pytest.mark.parametrize("fault", ["refusal", "content_filter"])
def test_a_refusal_is_kept_and_counted_and_not_asked_for_again(fault: Fault, stand: Stand) -> None:
    stand.server.faults = Faults({fault: 0.2}, seed=2)
    for _ in range(2):
        status, err = stand.run()
        refused = len(stand.missing)
        assert (status, stand.stored) == (0, SLOTS)
        assert refused == stand.server.stats.faults[fault] > 0
        assert f"Refused and not requested again: {refused} rollouts" in err
        assert "Incomplete" not in err
        assert stand.server.stats.requests == SLOTS
