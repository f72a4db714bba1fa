"""Two processes train as one does on the same global batch, and resume after one was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from cat_bench.errors import UsageError
from cat_bench.models.backends.hf.loading import _own_gpu
from cat_bench.runs.config import RunConfig
from cat_bench.training import processes
from cat_bench.training.journal import last_checkpoint, read
from cat_bench.training.placement import check_placement
from tests.conftest import Workshop

LAUNCH = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TRAIN = ("train", "tally", "--questions", "0", "--save-every", "2", "--seed", "7")
GROUPS = ("--set", "num_generations=2")
SAME_ROLLOUTS = """
import random, sys
from pathlib import Path

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from cat_bench.bundled.tally.problems import TASK_COUNT, TASK_SEED, problems
from cat_bench.loading import catalog
from cat_bench.runs.config import RunConfig
from cat_bench.training import processes
from cat_bench.training.groups import GroupReward
from cat_bench.training.policy import Policy, weights
from cat_bench.training.rows import trl_row
from tools.tally.drafts import attempt

batch, out = int(sys.argv[1]), sys.argv[2]
processes.join()
policy = Policy.load(weights("tally"))
known = {p.text: p for p in problems(TASK_COUNT, seed=TASK_SEED)}


def rollouts(prompts, trainer):
    "The same completions of a question in whichever process it is."
    ids, seen = [], {}
    for prompt in prompts:
        text = prompt[-1]["content"]
        draw = seen[text] = seen.get(text, -1) + 1
        words = attempt(known[text], random.Random(f"{text} {draw}"))
        own = policy.tokenizer(words, add_special_tokens=False).input_ids
        ids.append([*own, policy.tokenizer.eos_token_id])
    asked = [list(policy.prompt(prompt).ids) for prompt in prompts]
    return {"prompt_ids": asked, "completion_ids": ids, "logprobs": None}


samples = list(catalog.task("tally").samples())[:16]
settings = GRPOConfig(
    output_dir=out, max_steps=2, num_generations=4, per_device_train_batch_size=batch,
    learning_rate=1e-4, beta=0.01, loss_type="grpo", use_cpu=True, bf16=False, seed=1,
    gradient_checkpointing=False, report_to="none", save_strategy="no", logging_steps=1,
)
config = RunConfig(task="tally", model="tally", methods=("single",))
trainer = GRPOTrainer(
    model=policy.model,
    reward_funcs=GroupReward("equivalence{estimator=majority}", config, policy=policy, size=4),
    args=settings,
    train_dataset=Dataset.from_list([trl_row(sample) for sample in samples]),
    processing_class=policy.tokenizer,
    rollout_func=rollouts,
)
trainer.train()
trainer.save_model(out)
if processes.is_main():
    logged = [row["reward"] for row in trainer.state.log_history if "reward" in row]
    Path(out, "rewards.txt").write_text(" ".join(f"{reward:.6f}" for reward in logged))
"""


def environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": root}


def launched(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`cat-bench ARGUMENTS` in two processes."""
    whole = [sys.executable, *LAUNCH, "-m", "cat_bench", *arguments]
    return subprocess.run(whole, capture_output=True, text=True, env=environment())


def farthest(one: Path, other: Path) -> float:
    """The largest difference of a weight."""
    mine, theirs = (load_file(path / "model.safetensors") for path in (one, other))
    return max(float((mine[name] - theirs[name]).abs().max()) for name in mine)


@pytest.mark.slow
def test_two_processes_imitate_as_one_does(workshop: Workshop) -> None:
    given = (*TRAIN, "--recipe", "sft", "--steps", "3", *GROUPS, "--set", "global_batch_size=4")
    alone = ("--set", "per_device_train_batch_size=4", "--out", "one")
    status, _, err = workshop.run(*given, *alone)
    assert status == 0, err
    done = launched(*given, "--set", "per_device_train_batch_size=2", "--out", "two")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("step 3/3") == 1, "one process speaks"
    assert done.stderr.count("Training: two") == 1
    assert Path("one/train.jsonl").read_text() == Path("two/train.jsonl").read_text()
    assert json.loads(Path("two/plan.json").read_text())["processes"] == 2
    assert farthest(Path("one/model"), Path("two/model")) < 2e-6
    assert [row["step"] for row in read(Path("two/metrics.jsonl"))] == [1, 2, 3]
    status, _, err = workshop.run(*given, *alone[:2], "--out", "two")
    assert status == 2
    assert "two holds a training with another" in err


@pytest.mark.slow
def test_two_processes_learn_from_the_same_rollouts_as_one_does(workshop: Workshop) -> None:
    Path("same.py").write_text(SAME_ROLLOUTS)
    for launch, batch, out in (((), "16", "one"), (LAUNCH, "8", "two")):
        words = [sys.executable, *launch, "same.py", batch, out]
        done = subprocess.run(words, capture_output=True, text=True, env=environment())
        assert done.returncode == 0, done.stderr
    assert Path("one/rewards.txt").read_text() == Path("two/rewards.txt").read_text()
    assert farthest(Path("one"), Path("two")) < 2e-6


@pytest.mark.slow
def test_after_kill_9_of_a_process_the_same_command_goes_on(workshop: Workshop) -> None:
    given = (*TRAIN, "--steps", "6", *GROUPS, "--set", "per_device_train_batch_size=4")
    done = launched(*given, "--out", "whole")
    assert done.returncode == 0, done.stderr
    launcher = subprocess.Popen(
        [sys.executable, *LAUNCH, "-m", "cat_bench", *given, "--out", "killed"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
    )
    while len(read(Path("killed/metrics.jsonl"))) < 3:
        assert launcher.poll() is None, launcher.communicate()[0]
        time.sleep(0.01)
    second = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()[1]
    os.kill(int(second), signal.SIGKILL)
    said, _ = launcher.communicate()
    assert launcher.returncode != 0
    assert not Path("killed/model").exists(), said
    done = launched(*given, "--out", "killed")
    assert done.returncode == 0, done.stderr
    assert "step 1/6" not in done.stderr, "it goes on from a checkpoint"
    assert farthest(Path("whole/model"), Path("killed/model")) < 2e-6


@pytest.mark.slow
def test_a_group_divided_between_processes_is_refused(workshop: Workshop) -> None:
    done = launched(*TRAIN, *GROUPS, "--set", "per_device_train_batch_size=1", "--out", "one")
    assert done.returncode != 0
    assert "gives each process 1 completions at a time, which are not whole groups" in done.stderr
    assert not Path("one/plan.json").exists()


@pytest.mark.slow
def test_what_the_main_process_refuses_ends_all(workshop: Workshop) -> None:
    Path("one").mkdir()
    Path("one/plan.json").write_text('{"format": 0}')
    sizes = ("--set", "per_device_train_batch_size=2")
    done = launched(*TRAIN, *GROUPS, *sizes, "--steps", "1", "--out", "one")
    assert done.returncode != 0
    assert done.stderr.count("one holds a training with another format") == 1


def test_a_process_uses_the_gpu_of_its_own_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert _own_gpu(torch) == "cuda"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert _own_gpu(torch) == "cuda:3"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert _own_gpu(torch) == "cuda:0", "where each process sees its own alone"


@pytest.mark.parametrize(
    ("there", "seen", "left"), [(8, None, "0"), (2, "5, 6", "5"), (1, None, None), (0, None, None)]
)
def test_without_a_launcher_one_gpu_is_used(
    monkeypatch: pytest.MonkeyPatch, there: int, seen: str | None, left: str | None
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen or "")
    if seen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert processes.use_one_gpu() == there
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == left
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    assert processes.use_one_gpu() == 0
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,4"


class Arguments:
    """What is read of TRL's."""

    def __init__(self, stage: int | None = None) -> None:
        self.deepspeed_plugin: Any = None
        if stage is not None:
            self.deepspeed_plugin = type("Plugin", (), {"zero_stage": stage})


def test_models_are_placed_where_processes_can_ask_them(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = RunConfig(task="tally", model="Qwen/Qwen3-4B")
    served = RunConfig(task="tally", model="tally", anchor="vllm:Qwen/Qwen3-4B")
    attached = served.model_copy(update={"anchor": "vllm:x{attach=http://h/v1}"})
    check_placement(served, Arguments(), measured=True)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="2 processes would each start anchor vllm:Qwen/Qwen3-4B"):
        check_placement(served, Arguments(), measured=False)
    check_placement(attached, Arguments(stage=3), measured=False)
    check_placement(hub, Arguments(stage=2), measured=True)
    with pytest.raises(UsageError, match="under DeepSpeed's stage 3, transformers divides every"):
        check_placement(hub, Arguments(stage=3), measured=False)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match=r"such as --reward 'scrl\{entropy=false\}'"):
        check_placement(hub, Arguments(), measured=True)


def test_a_checkpoint_of_several_processes_is_complete_with_all_their_states(
    tmp_path: Path,
) -> None:
    for step in (1, 2):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text("{}")
        (folder / "rng_state_0.pth").touch()
    (tmp_path / "checkpoint-1" / "rng_state_1.pth").touch()
    assert last_checkpoint(tmp_path, processes=2) == tmp_path / "checkpoint-1"
    assert not (tmp_path / "checkpoint-2").exists()
