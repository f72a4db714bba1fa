"""Our tasks and methods as a user of Inspect meets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Workshop

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage

inspect_ai = pytest.importorskip("inspect_ai")
# Inspect leaves streams of its own open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def _model(*texts: str) -> object:
    """A model that gives each question these texts in turn."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    turns: dict[str, Iterator[str]] = {}

    def reply(messages: Sequence[ChatMessage], *_: object) -> ModelOutput:
        turn = turns.setdefault(messages[-1].text, cycle(texts))
        output = ModelOutput.from_content("mockllm/model", next(turn))
        output.usage = ModelUsage(input_tokens=3, output_tokens=2, total_tokens=5)
        return output

    return get_model("mockllm/model", custom_outputs=reply, memoize=False)


@pytest.mark.parametrize(("method", "answer"), [("majority", "so yes"), ("cat", "yes")])
def test_a_method_answers_inside_of_inspect(workshop: Workshop, method: str, answer: str) -> None:
    from cat_bench.bridges.inspect_tasks import aggregate

    texts = ("so yes", "so no", "so yes") if method == "majority" else ("# UNIFIED RESPONSE\nyes",)
    task = aggregate(task="toy/task.yaml", method=method, n=3)
    (log,) = inspect_ai.eval(task, model=_model(*texts), log_dir="logs", display="none")
    assert log.status == "success", log.error
    assert len(log.samples) == 6
    assert {sample.output.completion for sample in log.samples} == {answer}
    assert {sample.scores["expected"].value for sample in log.samples} == {1.0}
    assert log.results.scores[0].metrics["mean"].value == 1.0


def test_rollouts_are_shared_between_methods_through_the_cache(workshop: Workshop) -> None:
    from cat_bench.bridges.inspect_tasks import aggregate

    values = []
    for method in ("majority", "single"):
        task = aggregate(task="toy/task.yaml", method=method, n=3)
        text = "so yes" if method == "majority" else "so no"
        (log,) = inspect_ai.eval(task, model=_model(text), log_dir="logs", display="none")
        values.append({sample.scores["expected"].value for sample in log.samples})
    assert values == [{1.0}, {1.0}]


def test_rollouts_that_cannot_be_had_are_the_samples_error(workshop: Workshop) -> None:
    from inspect_ai.model import get_model

    from cat_bench.bridges.inspect_tasks import aggregate

    def down(*_: object) -> None:
        raise ValueError("the model is down")

    model = get_model("mockllm/model", custom_outputs=down, memoize=False)
    task = aggregate(task="toy/task.yaml", n=2)
    (log,) = inspect_ai.eval(task, model=model, log_dir="logs", limit=1, display="none")
    assert log.status == "error"
    assert "2 rollouts of q0 could not be sampled" in log.error.message
    assert "the model is down" in log.error.message


def test_inspect_finds_the_task_by_its_entry_point(tmp_path: Path) -> None:
    from importlib.metadata import entry_points

    named = {point.name: point.value for point in entry_points(group="inspect_ai")}
    if "cat_bench" not in named:
        pytest.skip("this installation is older than the entry point: run `make setup`")
    from inspect_ai._util.registry import registry_lookup

    assert named["cat_bench"] == "cat_bench.bridges.inspect_tasks"
    assert registry_lookup("task", "cat_bench/aggregate") is not None
