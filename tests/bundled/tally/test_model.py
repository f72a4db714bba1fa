"""The committed model is small, loads, and does its three jobs."""

import pytest
import torch
from transformers import Qwen3ForCausalLM

from cat_bench.bundled.tally import MODEL
from cat_bench.bundled.tally.problems import problems
from cat_bench.training.fresh import fresh_seed
from tools.tally.drafts import read_box
from tools.tally.subject import Subject

TASKS = list(problems(40, seed=11))
NOTHING: list[tuple[str, ...]] = [()] * len(TASKS)


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(0)
    return Subject(MODEL)


@pytest.fixture(scope="module")
def drafts(subject: Subject) -> list[tuple[str, ...]]:
    draws = [subject.replies("prompt", TASKS, NOTHING, temperature=1.0) for _ in range(8)]
    return list(zip(*draws, strict=True))


def share_right(boxes: list[str]) -> float:
    return sum(box == task.answer for box, task in zip(boxes, TASKS, strict=True)) / len(TASKS)


def test_it_is_small_and_in_half_precision() -> None:
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 4_000_000
    model = Qwen3ForCausalLM.from_pretrained(MODEL)
    assert 500_000 < sum(parameter.numel() for parameter in model.parameters()) < 2_000_000
    assert model.dtype == torch.bfloat16
    sampling = model.generation_config
    assert (sampling.do_sample, sampling.temperature, sampling.top_k) == (True, 1.0, 0)


def test_replies_end_by_themselves_in_one_box(drafts: list[tuple[str, ...]]) -> None:
    texts = [draft for row in drafts for draft in row]
    assert sum(text.count("\\boxed{") == 1 and text.endswith("}") for text in texts) > 0.98 * len(
        texts
    )


def test_the_mode_is_right_unless_loose_items_are_overlooked(subject: Subject) -> None:
    boxes = subject.boxes("prompt", TASKS, NOTHING)
    plain = [all(pile.kind != "mixed" for pile in task.piles) for task in TASKS]
    right = [box == task.answer for box, task in zip(boxes, TASKS, strict=True)]
    assert sum(right) > 0.35 * len(TASKS)
    assert sum(r for r, p in zip(right, plain, strict=True) if p) > 0.75 * sum(plain)


def test_synthesis_reads_the_drafts(subject: Subject, drafts: list[tuple[str, ...]]) -> None:
    first = share_right([read_box(row[0]) for row in drafts])
    assert share_right(subject.boxes("synthesis", TASKS, drafts)) > first + 0.15
    swapped = subject.boxes("synthesis", TASKS, drafts[1:] + drafts[:1])
    assert share_right(swapped) < 0.1, "another problem's drafts give another problem's answer"


def test_the_selector_names_a_draft(subject: Subject, drafts: list[tuple[str, ...]]) -> None:
    numbers = subject.boxes("select", TASKS, drafts)
    assert {int(number) for number in numbers} <= set(range(1, 9))


def test_the_fresh_seed_follows_the_weights() -> None:
    assert 0 <= fresh_seed(MODEL) < 2**32
