"""The committed model is small, loads, and does its jobs."""

from copy import copy

import numpy as np
import pytest
import torch
from transformers import Qwen3ForCausalLM

from cat_bench.bundled.counsel import MODEL
from cat_bench.bundled.counsel.journeys import journeys
from cat_bench.bundled.tally import MODEL as TALLY
from cat_bench.training.fresh import fresh_seed
from tools.counsel.assess import Panel, assess_rewards, scores

ASKED = list(journeys(30, seed=11))


@pytest.fixture(scope="module")
def panel() -> Panel:
    torch.manual_seed(0)
    return Panel(MODEL, ASKED)


@pytest.fixture(scope="module")
def table(panel: Panel) -> dict[str, float]:
    return {name: float(np.mean(values)) for name, values in assess_rewards(panel).items()}


def test_it_is_small_and_in_half_precision() -> None:
    assert sum(file.stat().st_size for file in MODEL.iterdir()) < 2_000_000
    model = Qwen3ForCausalLM.from_pretrained(MODEL)
    assert 500_000 < sum(parameter.numel() for parameter in model.parameters()) < 750_000
    assert model.dtype == torch.bfloat16


def test_drafts_err_and_syntheses_put_them_right(panel: Panel) -> None:
    first = scores(ASKED, [drafts[0] for drafts in panel.drafts]).mean()
    assert 0.45 < first < 0.7
    assert scores(ASKED, panel.combine("synthesis", 8)).mean() > first + 0.2
    alone = scores(ASKED, panel.combine("synthesis", 1)).mean()
    assert abs(alone - first) < 0.1, "one draft alone gains little"


def test_synthesis_reads_the_drafts(panel: Panel) -> None:
    other = copy(panel)
    other.drafts = panel.drafts[1:] + panel.drafts[:1]
    swapped = scores(ASKED, other.combine("synthesis", 8))
    assert swapped.mean() < 0.25, "another journey's drafts give another journey's advice"


def test_rubrics_and_verdicts_can_be_trusted(table: dict[str, float]) -> None:
    assert table["rubric valid"] > 0.95
    assert 6 <= table["criteria per rubric"] <= 8
    assert table["criteria true of reference"] > 0.95
    assert table["verdict right"] > 0.98
    assert table["rubric reward"] > 0.7


def test_the_fresh_seed_follows_the_weights() -> None:
    assert fresh_seed(MODEL) != fresh_seed(TALLY)
