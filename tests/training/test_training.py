"""A training from the command line: what it leaves, that it goes on, what it says if it can't."""

from __future__ import annotations

import fcntl
import inspect
import json
import logging
import os
import signal
import time
from pathlib import Path
from typing import get_type_hints

import pandas as pd
import pytest
from transformers import Trainer
from trl.trainer.sft_config import SFTConfig

from cat_bench.runs.folder import read_record
from cat_bench.system.extras import install_command
from cat_bench.training import training
from cat_bench.training.conversion import convert_settings
from cat_bench.training.journal import read
from cat_bench.training.recipes import recipe
from cat_bench.types.calls import JSON
from tests.conftest import Workshop

TINY = ("--set", "num_generations=2", "--set", "per_device_train_batch_size=4")


def command(recipe: str = "cat-rl", *, steps: int = 2, questions: int = 4) -> tuple[str, ...]:
    options = ("--steps", str(steps), "--questions", str(questions), "--save-every", "2")
    return ("train", "tally", "--recipe", recipe, *options, "--seed", "7", *TINY)


def steps(folder: Path) -> list[JSON]:
    return [
        {name: value for name, value in row.items() if name not in {"seconds", "calls_made"}}
        for row in read(folder / "metrics.jsonl")
    ]


def test_a_training_leaves_its_whole_record(workshop: Workshop) -> None:
    status, out, err = workshop.run(*command(), "--out", "one", "--json")
    assert status == 0, err
    assert "step 2/2: loss" in err
    record = json.loads(Path("one/train.json").read_text())
    assert json.loads(out) == record
    assert record["recipe"]["reward"] == "equivalence{estimator=cat}"
    assert set(record["outcome"]["before"]) == {"single", "greedy", "majority", "cat", "oracle"}
    assert record["outcome"]["after"]["single"]["diff_low"] is not None
    rows = read(Path("one/metrics.jsonl"))
    assert [row["step"] for row in rows] == [1, 2]
    wanted = {"loss", "reward", "reference_accuracy", "reward_accuracy", "no_advantage", "calls"}
    assert wanted | {"completion_tokens", "truncated", "seconds", "entropy"} <= set(rows[0])
    assert Path("one/curves.svg").read_text().count("<svg") == 1
    after = read_record(Path("one/after"))
    assert after["config"]["model"] == "hf:one/model"
    assert after["config"]["anchor"] == "tally", "the anchor stays the initial model"
    assert after["models"]["policy"] != read_record(Path("one/before"))["models"]["policy"]

    status, table, err = workshop.run(*command(), "--out", "one")
    assert status == 0
    assert [line.split()[:2] for line in table.splitlines()[1:3]] == [
        ["before", "single"],
        ["before", "greedy"],
    ]
    assert "step" not in err, "what is done is not done again"
    status, _, err = workshop.run(*command(steps=4), "--out", "one")
    assert status == 2
    assert "one holds a training with another recipe" in err


def test_problems_that_are_measured_are_never_trained_on(workshop: Workshop) -> None:
    from cat_bench.bundled.tally.problems import split_of

    workshop.run(*command(steps=40, questions=300), "--out", "one", "--verl-rows", "rows.parquet")
    split = {
        name: {
            json.loads(line)["problem"]
            for line in Path(f"one/{name}.jsonl").read_text().splitlines()
        }
        for name in ("train", "exam")
    }
    assert len(split["train"]) == 80
    assert {split_of(text) for text in split["train"]} == {"train"}
    assert {split_of(text) for text in split["exam"]} == {"test"}
    rows = pd.read_parquet("rows.parquet")
    assert len(rows) == 80
    assert rows["extra_info"][0]["split"] == "train"
    assert rows["prompt"][0][0]["role"] == "user"


@pytest.mark.parametrize("task", ["tally", "counsel"])
def test_references_are_imitated(workshop: Workshop, task: str) -> None:
    _, _, *options = command("sft", questions=0)
    status, _, err = workshop.run("train", task, *options, "--out", "one")
    assert status == 0, err
    record = json.loads(Path("one/train.json").read_text())
    assert record["training"]["references"] == record["training"]["questions"] == 8
    assert 0 <= record["training"]["reference_accuracy"] <= 1
    assert record["training"]["calls_made"] == 8 * (2 + 1), "nobody is rewarded"
    assert "outcome" not in record
    first, last = read(Path("one/metrics.jsonl"))
    assert 0 < first["token_accuracy"] <= 1
    assert last["loss"] > 0


def test_a_reward_that_was_edited_is_another_training(workshop: Workshop) -> None:
    own = Path("mine.py")
    own.write_text(
        "class Short:\n    async def rewards(self, question, rollouts, ctx):\n"
        "        return [1 / len(rollout.text) for rollout in rollouts]\n"
    )
    given = (*command(questions=0, steps=1), "--reward", "./mine.py:Short", "--out", "one")
    assert workshop.run(*given)[0] == 0
    assert workshop.run(*given)[0] == 0, "the same one goes on"
    own.write_text(own.read_text().replace("1 /", "2 /"))
    status, _, err = workshop.run(*given)
    assert status == 2
    assert "one holds a training with another code" in err


def test_a_rate_may_be_written_as_yaml_does_not_read_numbers(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "summary: mine\ntrainer: sft\nreward: gold\nsettings: {small: {num_generations: 2, "
        "per_device_train_batch_size: 1, max_steps: 1, learning_rate: 3e-4}}\n"
    )
    written = recipe(str(path), scale="small", changes=["weight_decay=1e-2"]).settings
    trl = {name: value for name, value in written.items() if name != "num_generations"}
    read_as = convert_settings(trl, get_type_hints(SFTConfig), source=path)
    assert (read_as["learning_rate"], read_as["weight_decay"]) == (3e-4, 1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["cat-rl", "sft"])
def test_after_kill_9_the_same_command_goes_on(workshop: Workshop, recipe: str) -> None:
    whole = command(recipe, steps=8, questions=0)
    assert workshop.run(*whole, "--out", "whole")[0] == 0
    process = workshop.start(*whole, "--out", "killed", lease_s=2)
    while len(read(Path("killed/metrics.jsonl"))) < 3:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not Path("killed/model").exists()
    status, _, err = workshop.run(*whole, "--out", "killed")
    assert status == 0, err
    assert "step 1/8" not in err, "it goes on from a checkpoint"
    assert "step 8/8" in err
    assert steps(Path("killed")) == steps(Path("whole")), "as if it had not been killed"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "calls"), [("cat-rl-rubric", 2 * (1 + 2 * 5)), ("judge", 4)])
def test_a_judge_rewards_where_there_is_no_final_answer(
    workshop: Workshop, name: str, calls: int
) -> None:
    options = ("--recipe", name, "--steps", "1", "--questions", "3", *TINY)
    status, _, err = workshop.run("train", "counsel", *options, "--out", "one")
    assert status == 0, err
    record = json.loads(Path("one/train.json").read_text())
    assert "majority" not in record["outcome"]["after"], "there are no final answers to count"
    assert {"single", "greedy", "cat"} <= set(record["outcome"]["after"])
    (row,) = read(Path("one/metrics.jsonl"))
    assert row["calls"] >= 2 + calls, "two syntheses, and criteria or verdicts on two groups of two"
    assert row["unscored"] == 0


def test_a_tied_head_that_a_checkpoint_lacks_alarms_nobody() -> None:
    logger, said = logging.getLogger("transformers.trainer"), inspect.getsource(Trainer)
    assert "There were missing keys in the checkpoint model loaded: {load" in said

    def told(key: str) -> bool:
        text = f"There were missing keys in the checkpoint model loaded: ['{key}']."
        return bool(logger.filter(logging.makeLogRecord({"msg": text})))

    with training._hide_head_warning():
        assert not told("lm_head.weight")
        assert told("model.norm.weight")
    assert told("lm_head.weight")


def test_two_processes_do_not_train_in_one_folder(workshop: Workshop) -> None:
    Path("one").mkdir()
    other = os.open("one", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    status, _, err = workshop.run(*command(), "--out", "one")
    os.close(other)
    assert status == 2
    assert "another process trains in one" in err


def test_the_dataset_must_have_answers_for_gold(workshop: Workshop) -> None:
    Path("mine.py").write_text(
        "from cat_bench.scorers.math_equal import MathEqual\n"
        "from cat_bench.types.records import Question, Sample\n"
        "class Mine:\n"
        "    scorer = MathEqual()\n"
        "    def samples(self):\n"
        "        yield Sample(Question('p', ({'role': 'user', 'content': 'p'},), 'p'), None)\n"
    )
    status, _, err = workshop.run("train", "./mine.py:Mine", "--recipe", "gold", "-m", "tally")
    assert status == 2
    assert "cannot be rewarded by gold: 1 of 1 questions have no target" in err
    assert "only gold needs targets" in err


def test_a_task_without_final_answers_is_refused_what_compares_them(workshop: Workshop) -> None:
    status, _, err = workshop.run("train", "counsel", "--steps", "1", "--out", "one")
    assert status == 2
    assert "the task has no final answers to compare" in err
    assert "cat-rl-rubric, judge and sft" in err
    assert not Path("one/plan.json").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--recipe", "cat-lr"), "Did you mean 'cat-rl'"),
        (("--set", "learning_rat=1"), "Did you mean 'learning_rate'"),
        (("--set", "num_generations=7"), "TRL refuses it"),
        (("--set", "beta=abc"), "beta: Input should be a valid number"),
        (("--set", "report_to=trakio"), "no tracker 'trakio'. Did you mean 'trackio'?"),
        (("--recipe", "sft", "--set", "report_to=x"), "there is no tracker 'x'"),
        (("--set", "seed=3"), "seed: cannot be set by a recipe"),
        (("--exam", "none.jsonl"), "none.jsonl: is not a file"),
        (("--save-every", "0"), "'--save-every': 0 is not in the range"),
        (("--out", "/proc/one"), "/proc/one/train.jsonl cannot be written"),
        (("--verl-rows", "/proc/rows.parquet"), "/proc/rows.parquet cannot be written"),
        (("--reward", "equivalence{estimator=catt}"), "no method 'catt'"),
        (("--model", "openai:gpt"), "cannot be trained here"),
    ],
)
def test_a_slip_is_answered_before_anything_is_made(
    workshop: Workshop, options: tuple[str, ...], problem: str
) -> None:
    status, _, err = workshop.run("train", "tally", "--out", "one", "--steps", "1", *options)
    assert status == 2
    assert problem in err
    assert not Path("one/plan.json").exists()


def test_where_trl_is_missing_the_install_is_named(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "TRL", "trl_of_another_world")
    status, _, err = workshop.run(*command(), "--out", "one")
    assert status == 2
    assert install_command("train") in err
