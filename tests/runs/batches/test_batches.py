"""Pools filled by the batch API of a real server, through the command line and killed processes."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator

import pandas as pd
import pytest

from cat_bench.cache import Cache
from cat_bench.cache.orders import open_orders
from cat_bench.errors import ModelError
from cat_bench.runs import batches
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_rollouts
from cat_bench.runs.opening import open_run
from cat_bench.testing import Faults
from cat_bench.types.calls import JSON
from tests.conftest import Workshop
from tests.journeys.faults.conftest import Serving, Stand, left_behind

KEY = "sk-secret0123456789"
PARTS = ("question", "slot", "digest", "finish", "completion_tokens")


@pytest.fixture
def stand(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """A server that wants a key, and a workshop that has it."""
    for name in ("OPENAI_BASE_URL", "CAT_BENCH_OPENAI_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    serving = Serving()
    serving.server.api_key = KEY
    serving.start()
    yield Stand(serving.server, workshop)
    serving.stop()


def batch(stand: Stand, command: str, *more: str) -> str:
    """What `cat-bench batch COMMAND` prints; it has to succeed."""
    arguments = stand.arguments("--method", "single", choices=2)[1:] if command == "submit" else ()
    status, out, err = stand.workshop.run("batch", command, *arguments, *more)
    assert status == 0, err
    return out + err


def collected(stand: Stand) -> str:
    """What `collect` says once nothing is under way."""
    while "in_progress" in (said := batch(stand, "collect")):
        time.sleep(0.02)
    return said


def completed(stand: Stand) -> dict[str, JSON]:
    """The only batch, as the server has it once it is done."""
    (made,) = stand.server.batches.batches.values()
    while made["status"] != "completed":
        time.sleep(0.02)
    return made


def run(stand: Stand, name: str) -> tuple[int, pd.DataFrame]:
    """How many completions a run made, and the rollouts that it read."""
    folder = stand.workshop.folder / name
    status, err = stand.run("--out", str(folder), choices=2)
    assert status == 0, err
    return int(re.findall(r"([\d,]+) completions made", err)[0]), read_rollouts(folder)[[*PARTS]]


def test_a_batch_fills_the_slots_of_a_live_run(stand: Stand) -> None:
    said = batch(stand, "submit")
    assert re.search(r"^[0-9a-f]{12}  batch_\d+  46 rollouts of toy/task.yaml", said)
    assert "46 rollouts stored" in collected(stand)
    assert {batch(stand, each) for each in ("status", "collect")} == {"No batch is open.\n"}
    made, rollouts = run(stand, "ordered")
    assert (made, len(rollouts)) == (0, 48)
    assert (stand.server.stats.requests, stand.server.stats.choices) == (1 + 23, 48)
    stand.workshop.monkeypatch.setenv("CAT_BENCH_CACHE", str(stand.workshop.folder / "new.sqlite"))
    live, again = run(stand, "live")
    assert live == 48
    pd.testing.assert_frame_equal(rollouts, again)
    assert KEY.encode() not in left_behind(stand.workshop.folder)


def test_what_is_on_order_is_paid_for_once(stand: Stand) -> None:
    stand.server.batches.delay = 60
    tag = batch(stand, "submit")[:12]
    status, err = stand.run(choices=2)
    assert status == 2
    assert "46 rollouts of this run are in an open batch: `cat-bench batch collect` stores" in err
    assert f"`cat-bench batch cancel {tag}` cancels it" in err
    assert "nothing is missing, or open batches hold all of it" in batch(stand, "submit")
    assert re.search(rf"{tag} +batch_\d+ .* 46 +0/23 +in_progress", batch(stand, "status"))
    more = batch(stand, "submit", "--pool", "10")
    assert " 10 rollouts" in more
    stand.server.batches.delay = 0
    assert "cancelled" in batch(stand, "cancel", tag)
    batch(stand, "cancel", more[:12])
    assert run(stand, "after")[0] == 46


def test_what_expires_is_ordered_again(stand: Stand) -> None:
    stand.server.batches.expires = 10
    batch(stand, "submit")
    said = collected(stand)
    assert "expired; 20 rollouts stored" in said
    assert "26 missing: batch_expired" in said
    stand.server.batches.expires = None
    assert " 24 rollouts" in batch(stand, "submit")
    assert "24 rollouts stored" in collected(stand)
    assert run(stand, "after")[0] == 0


def test_lines_that_fail_are_counted_and_made_up_for(stand: Stand) -> None:
    schedule = [None, *["server_error"] * 3, "null", "content_filter"]
    stand.server.faults = Faults(schedule=schedule)  # type: ignore[arg-type]
    batch(stand, "submit")
    said = collected(stand)
    assert "36 rollouts stored" in said
    assert "6 missing: server" in said
    assert "2 missing: null" in said
    assert "2 missing: refused" in said
    assert " 6 rollouts" in batch(stand, "submit")
    assert "6 rollouts stored" in collected(stand)


def test_a_file_that_is_not_what_was_ordered(stand: Stand) -> None:
    """A line is missing, two are there twice, others cannot be read or are about something else."""
    stand.server.faults = Faults(schedule=[None, "server_error"])
    batch(stand, "submit")
    made = completed(stand)
    files = stand.server.batches.files
    (failed,) = files[made["error_file_id"]].splitlines()
    _, one, two, three, *rest = files[made["output_file_id"]].splitlines()
    call, _, slots = json.loads(two)["custom_id"].partition("/")
    odd = [
        {"custom_id": f"{'0' * 24}/{slots}"},
        {"custom_id": f"{call}/1000"},
        {"custom_id": f"{call}/"},
        {"custom_id": None},
        {"id": 1},
        {**json.loads(three), "response": []},
        {**json.loads(three), "response": {"status_code": 200, "body": None}},
        {**json.loads(three), "response": None, "error": "overloaded"},
    ]
    made_up = [json.dumps(line).encode() for line in odd]
    ours = [failed, one, one, *made_up, b"{", b"[]", two, three, two, *rest]
    files[made["output_file_id"]] = b"\n".join(ours)
    said = collected(stand)
    assert "42 rollouts stored" in said
    assert "; 2 missing: server" in said
    assert "; 2 missing: never answered" in said
    assert "; 6 of its lines cannot be read" in said
    assert stand.stored == 2 + 42
    assert " 2 rollouts" in batch(stand, "submit")


def test_an_order_whose_file_is_gone(stand: Stand) -> None:
    batch(stand, "submit")
    made = completed(stand)
    del stand.server.batches.files[made["output_file_id"]]
    said = collected(stand)
    assert "completed; the server no longer has its files; 0 rollouts stored" in said
    assert "46 missing: never answered" in said


def test_an_order_whose_server_is_gone_can_be_forgotten(stand: Stand) -> None:
    tag = batch(stand, "submit")[:12]
    stand.server.batches.batches.clear()
    status, _, err = stand.workshop.run("batch", "cancel", tag)
    assert (status, "404" in err) == (1, True)
    assert batch(stand, "cancel", tag, "--forget") == f"{tag}: forgotten\n"
    assert run(stand, "after")[0] == 46


def test_a_batch_that_fails_as_a_whole(stand: Stand) -> None:
    stand.server.batches.most = 5
    batch(stand, "submit")
    said = collected(stand)
    assert "failed; too many requests" in said
    assert "46 missing: never answered" in said
    assert run(stand, "after")[0] == 46


def test_a_killed_process_finds_its_batch_again(stand: Stand) -> None:
    stand.server.batches.hesitation = 60
    arguments = ("batch", "submit", *stand.arguments(choices=2)[1:])
    doomed = stand.workshop.start(*arguments)
    while not stand.server.batches.batches:
        assert doomed.poll() is None, doomed.communicate()
        time.sleep(0.01)
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    with Cache() as cache:
        (order,) = open_orders(cache)
    assert (order.id, order.size) == (None, 46)
    assert "46 rollouts stored" in collected(stand)
    assert run(stand, "after")[0] == 0


def test_a_gateway_that_fails_after_the_batch_exists(stand: Stand) -> None:
    stand.server.batches.sound = 0
    status, _, err = stand.workshop.run("batch", "submit", *stand.arguments(choices=2)[1:])
    assert (status, "502" in err) == (1, True)
    assert len(stand.server.batches.batches) == 1
    assert "nothing is missing, or open batches hold all of it" in batch(stand, "submit")
    assert "46 rollouts stored" in collected(stand)
    assert run(stand, "after")[0] == 0


async def test_what_was_sent_before_a_failure_is_told(stand: Stand) -> None:
    stand.server.batches.sound = 1
    with pytest.raises(ModelError, match=r"a batch was not sent \(1 were sent before, which"):
        await batches.submit(configured(stand), max_requests=10)


def test_an_order_that_never_arrived(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    stand.server.batches.hesitation = 60
    doomed = stand.workshop.start("batch", "submit", *stand.arguments(choices=2)[1:])
    while not stand.server.batches.batches:
        time.sleep(0.01)
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    stand.server.batches.batches.clear()
    assert "not found yet" in batch(stand, "collect")
    monkeypatch.setattr("cat_bench.runs.batches.collection.LOST_S", 0.0)
    assert "lost; 0 rollouts stored" in batch(stand, "collect")
    assert run(stand, "after")[0] == 46


def test_a_task_that_changed_keeps_nothing(stand: Stand) -> None:
    batch(stand, "submit")
    (stand.workshop.folder / "toy" / "prompt.txt").write_text("Now: {{ problem }}")
    said = collected(stand)
    assert "0 rollouts stored" in said
    assert "46 missing: the task or its sampling has changed since" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("submit", "toy/task.yaml", "--model", "tally"),
            "only OpenAI models have a batch API: give --model",
        ),
        (("submit", "toy/task.yaml", "--model", "openai:m{api_key=x}"), "written to disk"),
        (("cancel", "nothing"), "there is no open order 'nothing'"),
    ],
)
def test_what_cannot_be_ordered(stand: Stand, arguments: tuple[str, ...], message: str) -> None:
    status, _, err = stand.workshop.run("batch", *arguments)
    assert status == 2
    assert message in err


def test_a_wrong_key_shows_at_once_and_nowhere(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong0123456789")
    command = ("batch", "submit", *stand.arguments(choices=2)[1:])
    status, _, err = stand.workshop.run(*command)
    assert (status, "no batch was sent, as a request failed: HTTP 401" in err) == (1, True)
    assert "sk-wrong" not in err
    assert not stand.server.batches.files


async def test_files_keep_to_the_limits(stand: Stand) -> None:
    config, stand.server.batches.delay = configured(stand), 60
    by_count = await batches.submit(config, max_requests=10)
    assert [order.requests for order in by_count] == [10, 10, 3]
    files = list(stand.server.batches.files.values())
    assert [len(data.splitlines()) for data in files] == [10, 10, 3]
    names = [json.loads(line)["custom_id"] for data in files for line in data.splitlines()]
    assert len(set(names)) == 23
    assert max(map(len, names)) <= 64
    stand.workshop.monkeypatch.setenv("CAT_BENCH_CACHE", str(stand.workshop.folder / "b.sqlite"))
    size = 3 * len(files[0].splitlines()[0]) + 10
    by_size = await batches.submit(config, max_bytes=size)
    assert {order.requests for order in by_size[:-1]} <= {2, 3}
    assert all(len(data) <= size for data in list(stand.server.batches.files.values())[3:])


def test_many_slots_of_one_request_have_a_short_name(stand: Stand) -> None:
    run = ("batch", "submit", *stand.arguments("--method", "single", choices=64)[1:])
    status, out, err = stand.workshop.run(*run, "--pool", "100")
    assert (status, " 536 rollouts" in out) == (0, True), err
    (file,) = list(stand.server.batches.files.values())[:1]
    names = [json.loads(line)["custom_id"] for line in file.splitlines()]
    assert len(set(names)) == 11
    assert max(map(len, names)) <= 64
    assert "536 rollouts stored" in collected(stand)


async def test_what_a_live_run_makes_is_not_ordered(stand: Stand) -> None:
    config = configured(stand)
    async with open_run(config) as live:
        sample = next(iter(live.samples()))
        claim = await live.cache.claim(live.call(sample.question), range(2, 8))
        assert len(claim.mine) == 6
        (order,) = await batches.submit(config)
        assert order.size == 40
        await live.cache.release(live.call(sample.question), claim.mine)


def configured(stand: Stand) -> RunConfig:
    return RunConfig(
        task="toy/task.yaml",
        model="openai:test-model{choices=2}",
        base_url=stand.server.base_url,
        methods=("single",),
        pool=8,
        n=(1,),
    )
