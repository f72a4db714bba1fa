"""`cat-bench run`, from end to end."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import TOY, Workshop

SMALL = (*TOY, "--pool", "4", "--n", "1,2")
"""Six questions of four rollouts; cat reads four blocks of one and two of two."""
SLOTS, SYNTHESES = 24, 36


def test_a_second_run_calls_no_model(workshop: Workshop) -> None:
    for expected in (True, False):
        process = workshop.start(*SMALL)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert out.startswith("# toy")
        assert "| majority" in out
        made = workshop.record["invocations"][-1]["calls"]["made"]
        assert (made > 0) == expected
        assert f"{made:,} completions made" in err
    assert workshop.calls == workshop.record["invocations"][0]["calls"]["made"]
    assert len(workshop.record["invocations"]) == 2
    assert workshop.record["invocations"][0]["command"][:2] == list(SMALL[:2])
    assert workshop.clean(runs=1)


def test_a_killed_run_loses_only_what_was_in_flight(workshop: Workshop) -> None:
    few = (*SMALL, "--method", "single", "--set", "concurrency=4")
    process = workshop.start(*few, TOY_DELAY="0.5", lease_s=1)
    while workshop.calls < 14:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    begun, durable = workshop.calls, stored(workshop)
    assert 0 < durable <= begun < SLOTS
    again = workshop.start(*few, lease_s=1)
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert workshop.calls == begun + SLOTS - durable
    assert workshop.record["rollouts"]["failed"] == 0


def stored(workshop: Workshop) -> int:
    """How many results the cache holds."""
    with closing(sqlite3.connect(workshop.folder / "cache.sqlite")) as database:
        (count,) = database.execute("SELECT count(*) FROM results").fetchone()
    return int(count)


def test_two_at_once_share_their_calls(workshop: Workshop) -> None:
    processes = [workshop.start(*SMALL, TOY_DELAY="0.02") for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    made = [each["calls"]["made"] for each in workshop.record["invocations"]]
    assert len(made) == 2
    assert sum(made) == workshop.calls <= SLOTS + SYNTHESES
    assert workshop.clean(runs=1)


def test_a_ctrl_c_ends_in_order(workshop: Workshop) -> None:
    workshop.interrupt(*SMALL, by=signal.SIGINT, after=4)
    begun = workshop.calls
    assert stored(workshop) == begun
    status, _, err = workshop.run(*SMALL)
    assert status == 0, err
    assert workshop.calls == stored(workshop) > begun


def test_a_run_again_fills_the_gaps(workshop: Workshop) -> None:
    down = workshop.folder / "down"
    down.touch()
    status, _, err = workshop.run(*SMALL, "--set", "retries=0")
    assert status == 1
    assert "run the same command again to fill the gaps" in err
    failed = workshop.record["rollouts"]["failed"]
    assert 0 < failed < SLOTS
    down.unlink()
    status, _, err = workshop.run(*SMALL, "--set", "retries=0")
    assert status == 0
    assert workshop.record["rollouts"]["failed"] == workshop.record["failed_rows"] == 0
    assert workshop.record["invocations"][-1]["calls"]["made"] >= failed


def test_growing_the_pool_pays_for_the_rest_alone(workshop: Workshop) -> None:
    for pool, calls in (("4", SLOTS), ("8", 2 * SLOTS)):
        status, _, _ = workshop.run(*TOY, "--pool", pool, "--n", "1", "--method", "majority")
        assert (status, workshop.calls) == (0, calls)


def test_offline_says_what_is_missing(workshop: Workshop) -> None:
    workshop.run(*SMALL, "--limit", "2", "--method", "majority")
    before = workshop.calls
    status, _, err = workshop.run(*SMALL, "--method", "majority", "--offline")
    assert (status, workshop.calls) == (1, before)
    assert f"{SLOTS - 8} rollouts" in err


def test_a_method_in_a_file_of_its_own(workshop: Workshop) -> None:
    (workshop.folder / "my_vote.py").write_text(
        "from dataclasses import dataclass\n"
        "from cat_bench import Estimate\n"
        "\n"
        "@dataclass(frozen=True)                 # fields are the parameters\n"
        "class Longest:\n"
        '    """Pick the longest rollout."""\n'
        "    async def aggregate(self, question, rollouts, ctx):\n"
        "        return Estimate.pick(max(rollouts, key=lambda r: len(r.text)))\n"
    )
    status, out, err = workshop.run(*SMALL, "--method", "majority,./my_vote.py:Longest")
    assert status == 0, err
    assert "Longest" in out


def test_a_configuration_file_and_its_overrides(workshop: Workshop) -> None:
    config = workshop.folder / "run.yaml"
    config.write_text(
        "task: toy/task.yaml\nmodel: scripted:./model.py:reply\nmethods: [majority]\n"
        "n: [1, 2]\npool: 4\nlimit: 3\nsampling: {policy: {temperature: 0.5}}\n"
    )
    options = ("--limit", "2", "--set", "policy.temperature=0.7", "--set", "seed=3")
    status, _, err = workshop.run("run", "--config", str(config), *options)
    assert status == 0, err
    found = workshop.record["config"]
    assert found["sampling"]["policy"] == {"temperature": 0.7}
    assert (found["limit"], found["seed"], found["pool"]) == (2, 3, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "name a task, such as: cat-bench run tally"),
        (("audit",), "name a task, such as: cat-bench audit tally"),
        (("run", "tlly"), "there is no task 'tlly'. Did you mean 'tally'?"),
        (("run", "toy/none.yaml"), "toy/none.yaml: cannot be read"),
        ((*TOY, "--bogus"), "No such option '--bogus'"),
        ((*TOY, "--method", "majorty"), "Did you mean 'majority'?"),
        ((*TOY, "--method", "cat{temprature=0}"), "Did you mean 'temperature'?"),
        ((*TOY, "--method", "cat{a"), "should be NAME or NAME{key=value,...}"),
        ((*TOY, "--method", "./gone.py:Mine"), "gone.py: there is no such file"),
        ((*TOY, "--method", "./model.py"), "write ./model.py:CLASS"),
        ((*TOY, "--method", "best_of_n{by=rewrd}"), "there is no signal or imported score 'rewrd'"),
        ((*TOY, "--method", "majority,./majority.yaml"), "two methods are called 'majority'"),
        ((*TOY, "--method", "./eager.yaml"), "eager reads 32 rollouts of a pool of 16"),
        ((*TOY, "--n", "1,x"), "--n 1,x should be whole numbers"),
        ((*TOY, "--n", "32"), "give --pool 32, or an n from 1 to 16"),
        ((*TOY, "--n", "0"), "give an n from 1 to 16"),
        ((*TOY, "--pool", "0"), "pool: Input should be greater than or equal to 1"),
        ((*TOY, "--pool", "many"), "'many' is not a valid integer"),
        ((*TOY, "--set", "pool"), "--set: pool: should be written KEY=VALUE"),
        ((*TOY, "--set", "poool=3"), "poool: is not a known field. Did you mean 'pool'"),
        ((*TOY, "--set", "policy.temprature=1"), "Did you mean 'temperature'?"),
        ((*TOY, "--set", "temperature=1"), "is a role's: write policy.temperature=1"),
        ((*TOY, "--set", "polcy.top_k=1"), "'polcy' is not one of policy, anchor, judge"),
        ((*TOY, "--set", "policy.temperature=-1"), "temperature: Input should be greater than"),
        ((*TOY, "--set", "policy.max_tokens=0"), "max_tokens: Input should be greater than"),
        ((*TOY, "--shard", "3/2"), "options: shard: should be I/K, I from 1 to K"),
        ((*TOY, "--limit", "9" * 20), "options: limit: Input should be less than"),
        ((*TOY, "--pool", "99999999999"), "options: pool: Input should be less than"),
        (("run", "a/toy,../a/toy", "--out", "x"), "two of a/toy,../a/toy would be one folder"),
        ((*TOY, "--set", "policy.stop=["), "'[' is not a YAML value"),
        ((*TOY, "--config", "gone.yaml"), "gone.yaml: cannot be read"),
        ((*TOY, "--config", "odd.yaml"), "odd.yaml: n: Input should be a valid tuple"),
        ((*TOY, "--data", "gone.jsonl"), "gone.jsonl"),
        ((*TOY, "--data", "broken.jsonl"), "broken.jsonl, line 7: is not JSON"),
        ((*TOY, "--out", "toy"), "toy holds files that are not a run"),
        ((*TOY, "--out", "model.py"), "model.py cannot be written"),
        (
            ("run", "toy/task.yaml", "--model", "scripted:./model.py:rely"),
            "has no class or function 'rely'. Did you mean 'reply'?",
        ),
        (("run", "toy/task.yaml", "--model", "scriptd:x"), "there is no model 'scriptd"),
        (("run", "toy/task.yaml", "--model", "replay:gone"), "there is no imported pool 'gone'"),
        (("run", "pool:gone", "--model", "tally"), "there is no imported pool 'gone'"),
    ],
)
def test_wrong_usage_is_one_line_before_anything_is_paid(
    arguments: tuple[str, ...], message: str, workshop: Workshop
) -> None:
    (workshop.folder / "majority.yaml").write_text("summary: mine\naggregator: vote\n")
    (workshop.folder / "eager.yaml").write_text("summary: e\naggregator: vote\nbudgets: [32]\n")
    (workshop.folder / "odd.yaml").write_text("n: 4\n")
    rows = (workshop.folder / "toy" / "rows.jsonl").read_text()
    (workshop.folder / "broken.jsonl").write_text(rows + '{"id": "q6"\n')
    status, out, err = workshop.run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("cat-bench: ")
    assert err.count("\n") == 1
    assert workshop.calls == 0
    assert workshop.clean(runs=0)


def test_a_cache_that_cannot_be_used(workshop: Workshop) -> None:
    (workshop.folder / "text.sqlite").write_text("no database at all, however long it is" * 99)
    for place in ("text.sqlite", "model.py/cache.sqlite", "toy"):
        workshop.monkeypatch.setenv("CAT_BENCH_CACHE", str(workshop.folder / place))
        status, out, err = workshop.run(*SMALL)
        assert (status, out, workshop.calls) == (1, "", 0)
        assert err.startswith(f"cat-bench: cache {workshop.folder / place}")
        assert err.count("\n") == 1


def test_a_damaged_result_is_made_again_and_said(workshop: Workshop) -> None:
    workshop.run(*SMALL, "--method", "majority")
    made = workshop.calls
    with closing(sqlite3.connect(workshop.folder / "cache.sqlite")) as database:
        database.execute("UPDATE results SET body = x'00ff'")
        database.commit()
    status, _, err = workshop.run(*SMALL, "--method", "majority")
    assert status == 0
    assert f"Warning: {made:,} rows of the cache are damaged" in err
    assert workshop.calls == 2 * made


def test_a_plug_in_that_breaks_is_counted_and_the_rest_is_there(workshop: Workshop) -> None:
    Path("broken.py").write_text(
        "class Broken:\n    async def aggregate(self, question, rollouts, ctx):\n        1 / 0\n"
    )
    status, out, err = workshop.run(*SMALL, "--method", "majority,./broken.py:Broken")
    assert status == 1
    assert "Incomplete: 0 rollouts" in err
    assert "Traceback" not in err
    assert "majority" in out


def test_several_tasks_each_have_their_folder(workshop: Workshop) -> None:
    for name in ("red", "blue"):
        (workshop.folder / "toy").joinpath(f"{name}.yaml").write_text(
            (workshop.folder / "toy" / "task.yaml").read_text()
        )
    tasks = "toy/red.yaml,toy/blue.yaml"
    status, out, err = workshop.run("run", tasks, *SMALL[2:], "--method", "single")
    assert status == 0, err
    assert out.count("# toy/red.yaml") == out.count("# toy/blue.yaml") == 1
    runs = [json.loads(p.read_text()) for p in (workshop.folder / "results").glob("*/run.json")]
    assert sorted(run["task"]["name"] for run in runs) == ["blue", "red"]
    assert workshop.calls == SLOTS


def test_the_folders_of_several_tasks_are_all_within_the_one_that_is_named(
    workshop: Workshop,
) -> None:
    paths = f"{workshop.folder}/toy,../{workshop.folder.name}/toy/task.yaml"
    status, _, err = workshop.run("run", paths, *SMALL[2:], "--method", "single", "--out", "o")
    assert status == 0, err
    assert len(list((workshop.folder / "o").rglob("run.json"))) == 2


def test_a_bug_in_a_method_is_not_to_be_run_again(workshop: Workshop) -> None:
    broken = "class Broken:\n    async def aggregate(self, *_):\n        return 1 / 0\n"
    (workshop.folder / "broken.py").write_text(broken)
    status, _, err = workshop.run(*SMALL, "--method", "single,./broken.py:Broken")
    assert status == 1
    assert "run the same command again" not in err
    assert "Broken crashed (a bug in the method)" in err
    assert "ZeroDivisionError: division by zero (broken.py, line 3)" in err


def test_a_folder_is_a_task_and_brings_its_methods(workshop: Workshop) -> None:
    pick = "from cat_bench import Estimate\n\n\nclass First:\n"
    pick += "    async def aggregate(self, question, rollouts, ctx):\n"
    pick += "        return Estimate.pick(rollouts[0])\n"
    (workshop.folder / "toy" / "first.py").write_text(pick)
    task = workshop.folder / "toy" / "task.yaml"
    task.write_text(task.read_text().replace("[single, majority, cat]", "[./first.py:First]"))
    status, out, err = workshop.run("run", "./toy", *SMALL[2:])
    assert status == 0, err
    assert "| First " in out
    status, _, err = workshop.run("run", ".", *SMALL[2:])
    assert status == 2
    assert "without a task.yaml" in err
