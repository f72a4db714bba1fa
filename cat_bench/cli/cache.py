"""`cat-bench cache`: inspects, verifies, copies and prunes the cache; imports and exports pools."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from cat_bench.cache.call import Kind
from cat_bench.cli.cache_import import describe_pool, import_, open_cache, read_samples
from cat_bench.cli.options import add_options
from cat_bench.cli.output import json_option, print_record, print_rows
from cat_bench.cli.progress import Counted
from cat_bench.errors import CacheError, UsageError
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    from cat_bench.cache import Cache

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(name="cache")
@click.option(
    "--cache",
    "location",
    metavar="PATH|URL",
    help="File or database URL; default: CAT_BENCH_CACHE, else .cat_bench/cache.sqlite.",
)
@click.pass_context
def commands(context: click.Context, location: str | None) -> None:
    """Inspect, verify, copy and prune the cache; export and import pools."""
    context.obj = location


@commands.command()
@json_option
@click.pass_obj
def info(location: str | None, *, as_json: bool) -> None:
    """Show what the cache holds, by kind and model."""
    from cat_bench.cache import info as inspect

    with _open_existing(location) as cache:
        content = inspect(cache)
    if as_json:
        print_record(asdict(content), as_json=True)
        return
    holdings = [
        {**asdict(held), "model": _shorten(held.model), "bytes": _size(held.bytes)}
        for held in content.holdings
        if held.kind != "imported"
    ]
    size = "on a server" if content.bytes is None else _size(content.bytes)
    facts = {"cache": content.location, "size": size, "derived": content.derived}
    print_record({**facts, "leased": content.leased}, as_json=False)
    click.echo("")
    print_rows(holdings, as_json=False, empty="No model call is cached yet.")
    if content.origins:
        click.echo("")
        origins = [{"origin": name, "results": count} for name, count in content.origins.items()]
        print_rows(origins, as_json=False)
    if content.pools:
        click.echo("")
        print_rows([describe_pool(pool) for pool in content.pools], as_json=False)


@commands.command()
@json_option
@click.pass_obj
def verify(location: str | None, *, as_json: bool) -> None:
    """Recompute every key and digest; the exit status is 1 if one does not match."""
    from cat_bench.cache import verify as check

    with _open_existing(location) as cache:
        flaws = [asdict(flaw) for flaw in check(cache)]
    print_rows(flaws, as_json=as_json, empty="Every key and digest matches.")
    if flaws:
        raise CacheError(
            f"{len(flaws)} rows cannot be trusted: restore a copy of the cache, or delete them "
            "(`cat-bench cache prune --damaged`), import damaged pools again, and run again"
        )


commands.add_command(import_)


@commands.command()
@click.argument("file", type=_FILE)
@click.option("--pool", help="Write this imported pool.")
@click.option("--model", help="Write the rollouts of this model.")
@click.option("--task", help="Write only the rollouts of this task, with the task's ids.")
@click.option(
    "--calls",
    "run",
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="Write the calls of this run.",
)
@click.option("--licence", help="The licence that the pool's card names, such as CC-BY-4.0.")
@add_options("trust")
@click.pass_obj
def export(
    location: str | None,
    file: Path,
    *,
    pool: str | None,
    model: str | None,
    task: str | None,
    run: Path | None,
    licence: str | None,
) -> None:
    """Write rollouts to FILE (.jsonl, .jsonl.gz, .parquet), ready to be imported again.

    With --calls, write every cached call that the run in the folder RUN reads; FILE is a .parquet.
    Rollouts of a private task are refused.
    """
    from cat_bench.cache import export_pool, export_rollouts, pool_metadata
    from cat_bench.cache.cards import write_card

    if run is not None:
        from cat_bench.leaderboard.publishing import publish_calls
        from cat_bench.runs.folder import read_record

        done = asyncio.run(publish_calls(read_record(run), file, cache=location))
        click.echo(f"{file}: {done.results} results, digest {done.digest}")
        return
    if (pool is None) == (model is None) or (pool and task):
        raise click.UsageError("name one of --pool, --calls, and --model (with or without --task)")
    with _open_existing(location) as cache:
        if pool is not None:
            _refuse_private(pool_metadata(cache, pool).task)
            known = pool_metadata(cache, pool)
            count, about = export_pool(cache, file, name=pool), (known.task, known.model)
        else:
            _refuse_private(task)
            samples = None if task is None else read_samples(task)
            if task is None:
                _refuse_marked(cache, str(model))
            count = export_rollouts(cache, file, model=str(model), samples=samples)
            about = (task, None)
    click.echo(f"{file}: {count} questions")
    if count:
        card = write_card(file, task=about[0], model=about[1], licence=licence)
        click.echo(f"Its card: {card}", err=True)


@commands.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@add_options("trust")
def copy(source: str, target: str) -> None:
    """Copy the content of the cache FROM into the cache TO: files or database URLs.

    Rows of TO never change; an interrupted copy resumes with the missing rows. Scores are copied
    only with --trust; without it, they are computed again.
    """
    from cat_bench.cache import Copied
    from cat_bench.cache import copy as copied
    from cat_bench.loading.trust import is_trusted

    with (
        _open_existing(source) as opened,
        open_cache(target) as destination,
        Counted("rows copied") as counted,
    ):
        state = Copied(0)
        for state in copied(opened, destination, derived=is_trusted()):
            counted.show(state.done, of=state.rows)
    click.echo(
        f"{state.rows} rows: {state.copied} copied, {state.rows - state.copied} existed before"
    )
    if state.kept:
        click.echo(f"{state.kept} of them differ in TO, and were left unchanged.", err=True)
    if not is_trusted():
        click.echo("Scores were not copied and are graded again; --trust copies them.", err=True)


@commands.command()
@click.option("--model", help="A model's name, or an imported pool's.")
@click.option("--kind", type=click.Choice(get_args(Kind)))
@click.option(
    "--origin", help="Delete the results of this file or cache; `cache info` lists the names."
)
@click.option(
    "--damaged",
    is_flag=True,
    help="Delete the rows that `verify` cannot trust and that can be sampled again.",
)
@click.option("--yes", is_flag=True, help="Really delete. Without it, only the counts are shown.")
@click.pass_obj
def prune(
    location: str | None,
    *,
    model: str | None,
    kind: str | None,
    origin: str | None,
    damaged: bool,
    yes: bool,
) -> None:
    """Delete the results of a model, a pool, a kind of call or an origin, or damaged rows."""
    from cat_bench.cache import prune as drop
    from cat_bench.cache import prune_damaged

    if (damaged or origin) and (model or kind or (damaged and origin)):
        raise UsageError(
            "--damaged and --origin allow only --yes beside them: leave the other options out"
        )
    with _open_existing(location) as cache:
        if damaged:
            deleted = prune_damaged(cache, dry_run=not yes)
        else:
            deleted = drop(cache, model=model, kind=kind, origin=origin, dry_run=not yes)
    pools = f", pools {', '.join(deleted.pools)}" if deleted.pools else ""
    action = "Deleted" if yes else "Would delete"
    click.echo(f"{action} {deleted.results} results of {deleted.calls} calls{pools}.")
    if not yes:
        click.echo("Nothing was deleted: add --yes.", err=True)


def _open_existing(location: str | None) -> AbstractContextManager[Cache]:
    """Open a cache that exists: opening a missing file would create an empty cache."""
    from cat_bench.cache.location import resolve

    url = resolve(location)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        raise CacheError(f"there is no cache {url.database}: name an existing file or URL")
    return open_cache(location)


def _refuse_private(task: str | None) -> None:
    """Raise UsageError if the task is private."""
    from cat_bench.loading import catalog
    from cat_bench.runs.private import private_message

    if task is not None and catalog.is_private(task):
        raise UsageError(private_message(task, advice="`cache copy` copies it to another cache"))


def _refuse_marked(cache: Cache, model: str) -> None:
    """Raise UsageError if the model was asked about a private task."""
    from cat_bench.cache.private import find_private
    from cat_bench.runs.private import private_message

    for task in find_private(cache, model):
        raise UsageError(private_message(task, advice="--task TASK exports only another task's"))


def _shorten(model: JSON) -> str:
    from cat_bench.cache.upkeep import SHOWN

    if not isinstance(model, dict):
        return str(model)
    return " ".join(f"{name}={str(value)[:SHOWN]}" for name, value in model.items())


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
