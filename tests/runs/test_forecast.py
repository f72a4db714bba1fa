"""What is foreseen of a run is what the run then makes."""

from __future__ import annotations

from cat_bench.runs.config import RunConfig
from cat_bench.runs.forecast import forecast_run
from cat_bench.runs.opening import run
from tests.conftest import Workshop

MODEL = "scripted:./model.py:reply"


async def test_a_forecast_is_what_the_run_then_makes(workshop: Workshop) -> None:
    plan = RunConfig(
        task="toy/task.yaml", model=MODEL, pool=4, n=(1, 2), limit=3, methods=("single", "cat")
    )
    foreseen = await forecast_run(plan)
    assert workshop.calls == 0
    outcome = await run(plan)
    made = outcome.meters[MODEL].made
    assert made == workshop.calls
    assert foreseen.purposes["rollouts"]["calls"] == 12
    assert sum(part["calls"] for part in foreseen.purposes.values()) >= made
    assert sum(part["calls"] for part in (await forecast_run(plan)).purposes.values()) == 0
