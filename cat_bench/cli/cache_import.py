"""`cat-bench cache import`: rollouts as a pool, from this package's files or another tool's."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cat_bench.cli.output import print_record
from cat_bench.errors import DataError, UsageError
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import AnswerScorer
from cat_bench.types.records import Sample
from cat_bench.types.traits import TEXT_READERS

if TYPE_CHECKING:
    from cat_bench.cache import Cache, PoolMetadata
    from cat_bench.cache.formats import Conversion, Findings
    from cat_bench.types.plugins import Scorer

_SHOWN = 12


@click.command(name="import")
@click.argument("names", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--task", help="The task that FILE answers, or pool:NAME if FILE has its own questions."
)
@click.option(
    "--model", help="The pool's name, for --model replay:NAME.  [default: the NAME of pool:NAME]"
)
@click.option("--format", "tool", metavar="NAME", help="The tool that wrote FILE, such as lm-eval.")
@click.option(
    "--map", "columns", metavar="COLUMN=PATH,...", help="Columns as JMESPath over FILE's rows."
)
@click.option("--from", "author", metavar="MODEL", help="The model that wrote the responses.")
@click.option("--scorer", help="For pool:NAME: the scorer of its questions.  [default: math_equal]")
@click.option(
    "--answer-pattern",
    metavar="REGEX",
    help="For pool:NAME: the pattern of an answer in a response.",
)
@click.option(
    "--not-exchangeable",
    is_flag=True,
    help="State that the responses are not i.i.d. samples of one model.",
)
@click.option("--seed", default=0, show_default=True, help="The seed that orders the responses.")
@click.option(
    "--replace", "overwrite", is_flag=True, help="Delete an existing pool with this name first."
)
@click.pass_obj
def import_(
    location: str | None,
    names: Sequence[str],
    *,
    task: str | None,
    model: str | None,
    tool: str | None,
    columns: str | None,
    author: str | None,
    scorer: str | None,
    answer_pattern: str | None,
    not_exchangeable: bool,
    seed: int,
    overwrite: bool,
) -> None:
    """Import the rollouts in FILE (.jsonl, .jsonl.gz, .parquet) as a pool, or published calls.

    FILE may be hub:OWNER/NAME@COMMIT/PATH, a file of a dataset. With --format or --map, another
    tool wrote FILE; several files, or their folder, become one pool.
    """
    from cat_bench.cache import calls, import_pool
    from cat_bench.cache.cards import read_card
    from cat_bench.cache.formats import Conversion
    from cat_bench.loading.trust import note_loaded

    files = _find_files(names, tool)
    if task is None and len(files) == 1 and calls.is_calls(files[0]):
        with open_cache(location) as cache:
            click.echo(f"{files[0]}: {calls.import_calls(cache, files[0]).results} results")
        return
    standalone, name = _name_pool(task, model, chosen=scorer or answer_pattern)
    params = {"pattern": answer_pattern} if answer_pattern else {}
    with note_loaded() as loaded:
        reader = _open_scorer(str(task), scorer, params)
    click.echo(f"Importing {', '.join(map(str, files))} ...", err=True)
    source = _read_source(files, tool, columns, reader)
    card = read_card(source) if isinstance(source, Path) else None
    writer = source.findings.model if isinstance(source, Conversion) else (card or {}).get("model")
    with open_cache(location) as cache:
        pool = import_pool(
            cache,
            source,
            name=name,
            questions=None if standalone else _texts_of(task),
            task=None if standalone else task,
            model=author or (writer if isinstance(writer, str) else None),
            exchangeable=not not_exchangeable,
            scorer=(scorer or "math_equal") if standalone else scorer,
            scorer_params=params,
            files=loaded,
            seed=seed,
            overwrite=overwrite,
        )
    print_record(describe_pool(pool), as_json=False)
    _print_source(source, card)
    command = shlex.join([str(task), "--model", f"replay:{name}"])
    click.echo(f"Run it: cat-bench run {command}", err=True)


def describe_pool(pool: PoolMetadata) -> dict[str, JSON]:
    """Return a pool's record as a table shows it."""
    sizes = ", ".join(f"{number} × {size}" for size, number in pool.sizes.items())
    return {
        "pool": pool.name,
        "task": pool.task or f"pool:{pool.name}",
        "model": pool.model or "-",
        "rollouts": sizes,
        "scores": ", ".join(pool.scores) or "-",
        "exchangeable": "yes" if pool.exchangeable else "no",
        "file": pool.file,
    }


def read_samples(task: str | None) -> Iterator[Sample]:
    """Yield the samples of a task. Raises UnknownName, ConfigError or DataError."""
    from cat_bench.loading import catalog

    return catalog.task(str(task)).samples()


def open_cache(location: str | None) -> AbstractContextManager[Cache]:
    """Return the cache at a path or URL."""
    from cat_bench.cache import Cache

    return Cache(location)


def _find_files(names: Sequence[str], tool: str | None) -> list[Path]:
    from cat_bench.cache.formats import list_files
    from cat_bench.cache.formats.hub import fetch, is_hub

    paths = [fetch(name) if is_hub(name) else Path(name) for name in names]
    return list_files(paths, tool)


def _name_pool(task: str | None, model: str | None, *, chosen: str | None) -> tuple[bool, str]:
    """Return whether the pool has questions of its own, and the pool's name."""
    if task is None:
        raise click.UsageError("--task is missing: name the task that FILE answers, or pool:NAME")
    standalone = task.startswith("pool:")
    name = model or (task.removeprefix("pool:") if standalone else None)
    if name is None:
        raise click.UsageError("--task TASK needs --model NAME: the pool's name, for replay:NAME")
    if not standalone and chosen:
        raise click.UsageError(
            f"--scorer and --answer-pattern are for pool:NAME only: the task {task} has its own"
        )
    return standalone, name


def _texts_of(task: str | None) -> dict[str, str]:
    """Return the questions' texts, by id."""
    return {sample.question.id: sample.question.text for sample in read_samples(task)}


def _open_scorer(task: str, scorer: str | None, params: dict[str, str]) -> Scorer:
    from cat_bench.loading import catalog
    from cat_bench.loading.registry import build

    if not task.startswith("pool:"):
        return catalog.task(task).scorer
    opened: Scorer = build("scorer", scorer or "math_equal", params, source="--answer-pattern")
    return opened


def _read_source(
    files: Sequence[Path], tool: str | None, columns: str | None, scorer: Scorer
) -> Path | Conversion:
    """Return a file of this package's as it is, or another tool's as rows."""
    from cat_bench.cache.formats import convert, suggest_format

    if tool or columns:
        answer = scorer.answer if isinstance(scorer, AnswerScorer) else None
        return convert(files, format=tool, columns=columns, answer=answer)
    if len(files) > 1:
        raise UsageError("several files are one pool only with --format or --map")
    if tool_name := suggest_format(files[0]):
        raise DataError(files[0], f"looks like another tool's file: give --format {tool_name}")
    return files[0]


def _describe_findings(findings: Findings) -> dict[str, JSON]:
    """Return what was taken, left and guessed, and the methods that need texts that are missing."""
    rest = sorted(findings.left)
    tail = f" and {len(rest) - _SHOWN} more" if len(rest) > _SHOWN else ""
    report: dict[str, JSON] = {
        "format": findings.format,
        "taken": "; ".join(f"{name} from {path}" for name, path in findings.taken.items()),
        "left": ", ".join(rest[:_SHOWN]) + tail or "nothing",
        "guessed": "; ".join(findings.guessed) or "nothing",
    }
    if findings.verdicts:
        figures = (f"{name} {mean:.4f}" for name, mean in findings.verdicts.items())
        report["its own scores"] = ", ".join(figures)
    if not findings.texts:
        report["no texts"] = f"these methods need texts: {', '.join(_list_unserved())}"
    return report


def _print_source(source: Path | Conversion, card: Mapping[str, JSON] | None) -> None:
    if card:
        click.echo("")
        print_record({"card of": card["file"], **_shorten_card(card)}, as_json=False)
    if not isinstance(source, Path):
        click.echo("")
        print_record(_describe_findings(source.findings), as_json=False)


def _shorten_card(card: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the facts of a card that an import cannot find out."""
    facts = ("licence", "sampling", "engine", "prompt_digest")
    return {name: "unknown" if card[name] is None else str(card[name]) for name in facts}


def _list_unserved() -> list[str]:
    """Return the catalogue's methods that show rollouts' texts to a model."""
    from cat_bench.loading import catalog

    methods = map(catalog.method, catalog.method_names())
    return [method.name for method in methods if not method.needs.isdisjoint(TEXT_READERS)]
