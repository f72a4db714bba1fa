"""`cat-bench plan TASK`: the calls, tokens and cost of a run, before it is paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import click

from cat_bench.cli.options import configurations, run_options
from cat_bench.cli.output import json_option, print_rows
from cat_bench.cli.progress import Progress
from cat_bench.models.costs import price_of, read_prices
from cat_bench.runs.config import RunConfig
from cat_bench.runs.forecast import Forecast, forecast_run
from cat_bench.types.calls import JSON


@click.command()
@run_options
@json_option
def plan(*, as_json: bool, **options: JSON) -> None:
    """Count the calls, tokens and money that `run` with the same options would take.

    The methods run on placeholder replies of the greatest possible length, so completion tokens and
    money are upper bounds. A call that two methods share counts for the first one.
    """
    show_plan(configurations(**options), as_json=as_json)


def show_plan(configs: Sequence[RunConfig], *, as_json: bool) -> None:
    """Print the forecast of runs by purpose and by model."""
    rows: list[Mapping[str, JSON]] = []
    for config in configs:
        with Progress(foreseen=True) as progress:
            forecast = asyncio.run(forecast_run(config, watch=progress))
        of = {"task": config.task} if len(configs) > 1 else {}
        rows += [of | row for row in (*_purposes(forecast), *_models(forecast, config))]
    if as_json:
        print_rows(rows, as_json=True)
        return
    print_rows([row for row in rows if "for" in row], as_json=False)
    click.echo()
    print_rows([row for row in rows if "model" in row], as_json=False)


def _purposes(forecast: Forecast) -> list[dict[str, JSON]]:
    return [
        {
            "for": purpose,
            "calls to make": int(spent["calls"]),
            "prompt tokens": int(spent["prompt_tokens"]),
            "completion tokens, at most": int(spent["completion_tokens"]),
        }
        for purpose, spent in forecast.purposes.items()
    ]


def _models(forecast: Forecast, config: RunConfig) -> list[dict[str, JSON]]:
    prices = read_prices(config.prices) if config.prices else None
    rows: list[dict[str, JSON]] = []
    for model, meter in forecast.meters.items():
        row = {
            "model": model,
            "in the cache": meter.cached,
            "to make": meter.made,
            "prompt tokens": meter.usage.prompt,
            "completion tokens, at most": meter.usage.completion,
        }
        if prices is not None:
            row["cost, at most"] = round(price_of(model, prices).of(meter.usage), 4)
        rows.append(row)
    return rows
