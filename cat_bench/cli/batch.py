"""`cat-bench batch`: sample rollouts through OpenAI's batch API, which is cheaper and slower."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from cat_bench.cli.options import configurations, run_options
from cat_bench.cli.output import json_option, print_rows
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    from cat_bench.cache import Cache
    from cat_bench.runs.batches import Collected, State

POLL_S = 30.0
NOTHING = "No batch is open."
_order = click.argument("order", required=False)


@click.group(name="batch")
def commands() -> None:
    """Sample a pool through a batch endpoint, at half the price and within a day.

    ORDER is the tag that `submit` prints, or the server's id; the default is all open orders.
    """


@commands.command()
@run_options
def submit(**options: JSON) -> None:
    """Order the rollouts of TASK that the cache lacks; a later run reads them."""
    from cat_bench.runs import batches

    for config in configurations(**options):
        orders = asyncio.run(batches.submit(config))
        for order in orders:
            click.echo(f"{order.tag}  {order.id}  {order.size:,} rollouts of {config.task}")
        if not orders:
            click.echo(
                f"{config.task}: nothing is missing, or open batches hold all of it.", err=True
            )


@commands.command()
@_order
@json_option
def status(order: str | None, *, as_json: bool) -> None:
    """Show the state of the open orders."""
    from cat_bench.runs import batches

    with _cache() as cache:
        states = asyncio.run(batches.states(cache, order))
    print_rows([_row(state) for state in states], as_json=as_json, empty=NOTHING)


@commands.command()
@_order
@click.option("--wait", is_flag=True, help="Wait until all orders are finished.")
def collect(order: str | None, *, wait: bool) -> None:
    """Store the results of finished orders; missing rollouts can be ordered again."""
    with _cache() as cache:
        while asyncio.run(_collect(cache, order)) and wait:
            time.sleep(POLL_S)


@commands.command()
@click.argument("order")
@click.option("--forget", is_flag=True, help="Do not contact the server, which no longer exists.")
def cancel(order: str, *, forget: bool) -> None:
    """Ask the server to stop, and store the results so far."""
    from cat_bench.runs import batches

    with _cache() as cache:
        if forget:
            click.echo(f"{asyncio.run(batches.forget(cache, order)).tag}: forgotten")
            return
        state = asyncio.run(batches.cancel(cache, order))
        click.echo(f"{state.order.tag}: {state.status}")
        asyncio.run(_collect(cache, order))


async def _collect(cache: Cache, order: str | None) -> bool:
    """Store the results of ended orders; return whether an order is still open."""
    from cat_bench.runs import batches

    any_order = open_still = False
    async for outcome in batches.collect(cache, order):
        any_order = True
        if isinstance(outcome, batches.State):
            open_still = True
            click.echo(_sentence(outcome.order.tag, outcome.status, outcome.problem))
        else:
            click.echo(
                _sentence(outcome.order.tag, outcome.status, outcome.problem, *_results(outcome))
            )
    if not any_order:
        click.echo(NOTHING, err=True)
    return open_still


def _results(collected: Collected) -> Iterator[str]:
    yield f"{collected.stored:,} rollouts stored"
    yield f"{collected.usage.prompt:,} and {collected.usage.completion:,} tokens"
    yield from (f"{count:,} missing: {reason}" for reason, count in collected.missing.items())


def _sentence(tag: str, *parts: str) -> str:
    return f"{tag}: {'; '.join(part for part in parts if part)}"


def _row(state: State) -> dict[str, JSON]:
    order = state.order
    return {
        "order": order.tag,
        "id": order.id or "-",
        "task": order.config["task"],
        "model": order.config["model"],
        "rollouts": order.size,
        "requests": f"{state.done}/{order.requests}",
        "status": state.status,
        "hours": round((time.time() - order.created) / 3600, 1),
        "problem": state.problem,
    }


@contextmanager
def _cache() -> Iterator[Cache]:
    from cat_bench.cache import Cache

    with Cache() as cache:
        yield cache
