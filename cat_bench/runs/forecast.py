"""Forecast the costs of a run by playing its methods against placeholder replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from cat_bench.evaluation.method_rows import FRAMES
from cat_bench.models.cached import Meter
from cat_bench.runs.config import RunConfig
from cat_bench.runs.opening import open_run
from cat_bench.runs.watch import Watch

PARTS = ("calls", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Forecast:
    """The calls of a run by purpose (rollouts, each method, scoring) and by model.

    A purpose counts `calls`, `prompt_tokens` and `completion_tokens`.
    """

    purposes: Mapping[str, Counter[str]]
    meters: Mapping[str, Meter]


async def forecast_run(config: RunConfig, *, watch: Watch | None = None) -> Forecast:
    """Play a run through against placeholder replies; calls no model and stores nothing."""
    async with open_run(config, planning=True) as ready:
        purposes = {"rollouts": Counter[str]()}
        if watch:
            watch.start(ready.bench.task.name, ready.survey.questions, ready.meters)
        async for rows, _ in ready.bench.run(ready.samples()):
            if watch:
                watch.advance()
            for row in rows:
                if row.method not in FRAMES:
                    spent = purposes.setdefault(row.method, Counter())
                    spent.update({part: getattr(row, f"spent_{part}") for part in PARTS})
        purposes["scoring"] = ready.bench.census.scoring
    counts = Counter[str]()
    for meter in ready.meters.values():
        usage = meter.usage
        counts.update(calls=meter.made, prompt_tokens=usage.prompt)
        counts.update(completion_tokens=usage.completion)
    purposes["rollouts"] = counts - sum(purposes.values(), Counter[str]())
    return Forecast(purposes, ready.meters)
