"""Roles sample as they were told, as the task says, as the recipe's paper says: in this order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cat_bench.errors import ConfigError
from cat_bench.models.backends.hf.chat import Chat, Pretrained
from cat_bench.models.backends.hf.work import Written
from cat_bench.training.policy import Policy
from cat_bench.training.recipes import recipe
from cat_bench.training.sampling import (
    divide_changes,
    resolve_sampling,
    set_policy,
    template_options,
)
from cat_bench.types.calls import Message, Sampling
from tests.models.backends.hf.conftest import save

QWEN = {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "thinking": False}
ASKED: tuple[Message, ...] = ({"role": "user", "content": "how many dogs"},)


def test_changes_are_divided_into_roles_and_settings() -> None:
    roles, others = divide_changes(["beta=0.1", "anchor.thinking=false", "judge.temperature=1"])
    assert roles == {"anchor": {"thinking": False}, "judge": {"temperature": 1}}
    assert others == ["beta=0.1"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("anchr.thinking=false", "'anchr' is not one of policy, anchor, judge"),
        ("anchor.thinking", "should be written KEY=VALUE"),
        ("anchor.thinkin=false", "Did you mean 'thinking'"),
        ("judge.temperature=hot", "temperature"),
    ],
)
def test_a_role_that_cannot_be_told_so_is_named(change: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        divide_changes([change])


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [
        ("qwen3", QWEN),
        ("gemma3_text", {"temperature": 1.0, "top_k": 64, "top_p": 0.95}),
        ("llama", {"temperature": 0.7, "top_k": 50, "top_p": 0.9}),
        ("mistral", None),
    ],
)
@pytest.mark.parametrize("name", ["cat-rl", "ttrl", "cat-rl-rubric", "sft"])
def test_the_papers_sampling_is_the_familys(
    name: str, model_type: str, expected: dict[str, object] | None
) -> None:
    found = resolve_sampling(
        recipe(name, scale="paper"), {}, task={}, model_type=model_type, anchor=None
    )
    assert found == ({"policy": expected, "anchor": expected} if expected else {})


def test_what_is_given_and_what_the_task_says_come_first() -> None:
    found = resolve_sampling(
        recipe("cat-rl", scale="paper"),
        {"anchor": {"top_p": 1.0}, "judge": {"temperature": 0.5}},
        task={"anchor": Sampling(temperature=0.0), "policy": Sampling(max_tokens=9)},
        model_type="qwen3",
        anchor=None,
    )
    assert found["policy"] == QWEN
    assert found["anchor"] == {"top_k": 20, "top_p": 1.0, "thinking": False}
    assert found["judge"] == {"temperature": 0.5}


@pytest.mark.parametrize(
    ("anchor", "top_k"), [("openai:Qwen/Qwen3-4B", 20), ("hf:google/gemma-3-4b-it", 64)]
)
def test_another_anchor_is_of_the_family_of_its_name(anchor: str, top_k: int) -> None:
    paper = recipe("cat-rl", scale="paper")
    found = resolve_sampling(paper, {}, task={}, model_type="llama", anchor=anchor)
    assert found["anchor"]["top_k"] == top_k
    assert found["policy"]["top_k"] == 50
    other = resolve_sampling(paper, {}, task={}, model_type="llama", anchor="openai:gpt-4.1")
    assert "anchor" not in other


def test_the_policys_parameters_are_trls() -> None:
    found = set_policy(recipe("cat-rl", scale="paper"), {**QWEN, "max_tokens": 99})
    settings = found.settings
    assert (settings["temperature"], settings["top_k"], settings["top_p"]) == (0.7, 20, 0.8)
    assert settings["max_completion_length"] == 99
    assert settings["chat_template_kwargs"] == {"enable_thinking": False}
    assert template_options(found, {}) == {"enable_thinking": False}
    sft = recipe("sft", scale="paper")
    assert set_policy(sft, QWEN).settings == sft.settings
    assert template_options(sft, QWEN) == {"enable_thinking": False}


def test_a_parameter_is_given_once_and_must_be_trls() -> None:
    paper = recipe("cat-rl", scale="paper")
    given, named = {"max_tokens"}, {"max_completion_length"}
    with pytest.raises(ConfigError, match="is also set as max_completion_length"):
        set_policy(paper, {"max_tokens": 9}, given=given, named=named)
    with pytest.raises(ConfigError, match="TRL can only set temperature, top_p"):
        set_policy(paper, {"presence_penalty": 1.0}, given={"presence_penalty"})


def test_a_setting_under_trls_name_takes_the_place_of_the_recipes() -> None:
    paper = recipe("cat-rl", scale="paper", changes=["temperature=1.0"])
    assert set_policy(paper, QWEN, named={"temperature"}).settings["temperature"] == 1.0


def test_rollouts_in_training_are_sampled_as_the_task_says() -> None:
    task = Sampling(temperature=0.6, thinking=True, stop=("Q:",), max_tokens=32768)
    paper = recipe("cat-rl", scale="paper")
    given = resolve_sampling(paper, {}, task={"policy": task}, model_type="qwen3", anchor=None)
    settings = set_policy(paper, given["policy"], task=task).settings
    assert (settings["temperature"], settings["top_k"]) == (0.6, 20)
    assert settings["chat_template_kwargs"] == {"enable_thinking": True}
    assert settings["max_completion_length"] == paper.settings["max_completion_length"]


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("text", ["dog</think>\n3 dogs", "<think>dog</think>3 dogs", "3 dogs"])
def test_a_rollout_reads_the_same_in_training_as_in_a_run(
    tmp_path: Path, thinking: bool, text: str
) -> None:
    folder = save(tmp_path / "model")
    policy = Policy.load(str(folder), template={"enable_thinking": thinking})
    ids = policy.tokenizer(text, add_special_tokens=False).input_ids
    (mine,) = policy.replies([ASKED], [[*ids, policy.ends[0]]])
    chat = Chat(Pretrained(policy.tokenizer), "")
    prompt = chat.prompt(ASKED, Sampling(thinking=thinking))
    assert policy.prompt(ASKED) == prompt
    numbers = np.zeros(len(ids))
    written = Written(tokens=ids, ended=True, logprobs=numbers, entropies=numbers, measures={})
    run = chat.composer(prompt, ())(written, 0)
    assert (mine.text, mine.reasoning, mine.usage) == (run.text, run.reasoning, run.usage)
    assert "dog<" not in mine.text
