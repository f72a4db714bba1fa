"""`python -m cat_bench.testing`: the test server in a separate process, until interrupted.

Its base URL is the first line of its standard output.
"""

from __future__ import annotations

import asyncio

import click

from cat_bench.testing import FAULTS, ChatServer, Fault, Faults


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, help="0: any free one.")
@click.option("--model", default="test-model", show_default=True)
@click.option("--reply", default=None, help="The reply to every request (default: seeded babble).")
@click.option("--delay", default=0.0, help="Seconds per request.")
@click.option("--capacity", type=int, default=None, help="Concurrent requests before a 429.")
@click.option("--api-key", default=None, help="The key that it requires.")
@click.option("--fault", "faults", multiple=True, help=f"KIND=RATE; kinds: {', '.join(FAULTS)}.")
@click.option("--seed", default=0, help="The seed that chooses the requests with faults.")
def main(faults: tuple[str, ...], reply: str | None, seed: int, **options: object) -> None:
    """Serve the OpenAI protocol on a local port, with faults where asked."""
    rates = dict(_rate(fault) for fault in faults)
    fixed = {"reply": lambda _: reply} if reply is not None else {}
    server = ChatServer(faults=Faults(rates, seed=seed), **fixed, **options)  # type: ignore[arg-type]
    try:
        asyncio.run(_serve(server))
    except KeyboardInterrupt:
        click.echo("stopped", err=True)


def _rate(option: str) -> tuple[Fault, float]:
    kind, _, rate = option.partition("=")
    try:
        value = float(rate)
    except ValueError:
        value = -1.0
    if kind not in FAULTS or not 0 <= value <= 1:
        raise click.BadParameter(f"{option!r} is not KIND=RATE; kinds: {', '.join(FAULTS)}")
    return kind, value


async def _serve(server: ChatServer) -> None:
    async with server:
        click.echo(server.base_url)
        await asyncio.Event().wait()


if __name__ == "__main__":
    main()
