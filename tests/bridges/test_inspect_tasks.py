"""Our tasks and methods as a user of Inspect meets them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cat_bench.errors import UsageError
from tests.conftest import Workshop

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage

inspect_ai = pytest.importorskip("inspect_ai")
# Inspect leaves streams of its own open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def _model(*texts: str, **arguments: Any) -> object:
    """A model that gives each question these texts in turn."""
    from inspect_ai.model import GenerateConfig, ModelOutput, ModelUsage, get_model

    turns: dict[str, Iterator[str]] = {}

    def reply(messages: Sequence[ChatMessage], *_: object) -> ModelOutput:
        turn = turns.setdefault(messages[-1].text, cycle(texts))
        output = ModelOutput.from_content("mockllm/model", next(turn))
        output.usage = ModelUsage(input_tokens=3, output_tokens=2, total_tokens=5)
        return output

    config = GenerateConfig(**arguments.pop("config", {}))
    return get_model(
        "mockllm/model", custom_outputs=reply, memoize=False, config=config, **arguments
    )


def _score(task: object, model: object, **settings: object) -> set[float]:
    (log,) = inspect_ai.eval(task, model=model, log_dir="logs", display="none", **settings)
    assert log.status == "success", log.error
    return {sample.scores["expected"].value for sample in log.samples}


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


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ({"model_path": "a"}, {"model_path": "b"}, False),
        ({"config": {"temperature": 0.1}}, {"config": {"temperature": 0.2}}, False),
        ({"config": {"max_connections": 1}}, {"config": {"max_retries": 2}}, True),
        ({"base_url": "http://a"}, {"base_url": "http://b"}, True),
    ],
)
def test_models_share_rollouts_only_if_they_are_the_same(
    workshop: Workshop, first: dict[str, object], second: dict[str, object], shared: bool
) -> None:
    from cat_bench.bridges.inspect_tasks import aggregate

    task = aggregate(task="toy/task.yaml", method="single", n=2)
    assert _score(task, _model("so yes", **first)) == {1.0}
    assert _score(task, _model("so no", **second)) == {1.0 if shared else 0.0}


def test_the_parameters_of_an_evaluation_tell_rollouts_apart(workshop: Workshop) -> None:
    from cat_bench.bridges.inspect_tasks import aggregate

    task = aggregate(task="toy/task.yaml", method="single", n=2)
    assert _score(task, _model("so yes"), temperature=0.1) == {1.0}
    assert _score(task, _model("so no"), temperature=0.2) == {0.0}


RUBRIC = """\
version: 1
summary: essays
data: {file: rows.jsonl, fields: {problem: problem, answer: rubric}}
scorer: rubric
"""


def test_judges_share_no_verdicts(workshop: Workshop) -> None:
    from cat_bench.bridges.inspect_tasks import aggregate

    rubric = [{"criterion": "It is good.", "points": 1}]
    Path("essays").mkdir()
    Path("essays/prompt.txt").write_text("{{ problem }}")
    Path("essays/task.yaml").write_text(RUBRIC)
    row = {"id": "q", "problem": "Write.", "rubric": rubric}
    Path("essays/rows.jsonl").write_text(json.dumps(row) + "\n")
    task = aggregate(task="essays/task.yaml", method="single", n=1)
    for verdict, score in ((True, 1.0), (False, 0.0)):
        reply = json.dumps({"explanation": "so", "met": verdict})
        judge = _model(reply, model_path=str(verdict))
        assert _score(task, _model("an essay"), model_roles={"judge": judge}) == {score}


SCHEDULED = """\
from cat_bench.types.records import Estimate


class Scheduled:
    budgets = (1, 4)

    async def aggregate(self, question, rollouts, ctx):
        return Estimate.synthesised("so yes" if len(rollouts) == 4 else "so no")
"""


def test_a_method_with_budgets_of_its_own_is_reported_at_the_largest(workshop: Workshop) -> None:
    from cat_bench.bridges.inspect_tasks import aggregate

    Path("scheduled.py").write_text(SCHEDULED)
    task = aggregate(task="toy/task.yaml", method="./scheduled.py:Scheduled", n=8)
    assert _score(task, _model("so no")) == {1.0}
    with pytest.raises(UsageError, match="reads 4 rollouts of a pool of 2"):
        aggregate(task="toy/task.yaml", method="./scheduled.py:Scheduled", n=2)
    with pytest.raises(UsageError, match="n = 0 does not fit"):
        aggregate(task="toy/task.yaml", n=0)


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
