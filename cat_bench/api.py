"""cat_bench in Python: the command line's runs, for notebooks and scripts.

`run` does what `cat-bench run` does: the same code, the same folder, the same digits. `load` opens
a run that is on disk. `aggregate` combines the texts of one question, without a task.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from cat_bench.cli.output import flatten
from cat_bench.cli.progress import Progress
from cat_bench.models.costs import Price, read_prices
from cat_bench.models.throttling import Gate
from cat_bench.report import make_report, summarise
from cat_bench.report.compare import compare
from cat_bench.report.compute import Rates, compute
from cat_bench.report.figures import curve_figure
from cat_bench.report.table import as_html
from cat_bench.report.transcripts import transcripts
from cat_bench.report.webpage import write_page
from cat_bench.runs.config import RunConfig, as_command, configure
from cat_bench.runs.one_question import Aggregated, aggregate_texts
from cat_bench.runs.opening import run as run_session
from cat_bench.runs.shortfalls import shortfalls
from cat_bench.runs.tables import RunTables
from cat_bench.runs.watch import Watch
from cat_bench.system.sandbox import permit
from cat_bench.system.waiting import wait
from cat_bench.types.calls import JSON

Place = str | PathLike[str]


class Run:
    """A run on disk; its tables are read when they are first asked for. `load` makes one.

    `tables` is what the reports read; `tables.record` is `run.json` as a mapping.
    """

    def __init__(self, folder: Place) -> None:
        self.tables = RunTables(Path(folder))

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.tables.folder

    @property
    def table(self) -> pd.DataFrame:
        """A row per method and n, with the columns of `table.csv`; majority is the reference."""
        return self.compared_with(None)

    def compared_with(self, reference: str | None) -> pd.DataFrame:
        """Return the table with differences from another reference: METHOD or METHOD@N.

        Raises UnknownName if the run has no such method.
        """
        return summarise(self.tables, reference=reference)

    @property
    def scores(self) -> pd.DataFrame:
        """A row per question, method, n and draw: the columns of `scores.parquet`."""
        return self.tables.scores()

    @property
    def rollouts(self) -> pd.DataFrame:
        """A row per question and slot: the columns of `rollouts.parquet`, without texts."""
        return self.tables.rollouts()

    @property
    def questions(self) -> pd.DataFrame:
        """A row per question: its id, its text and its `meta` fields as a mapping."""
        return self.tables.questions

    @property
    def record(self) -> pd.DataFrame:
        """The run's `run.json`: a row per field, by its path such as `config.model`."""
        fields = dict(flatten(self.tables.record))
        index = pd.Index(list(fields), name="field")
        return pd.DataFrame({"value": pd.Series(list(fields.values()), index, dtype=object)})

    def texts(self, question: str | None = None, *, data: Place | None = None) -> pd.DataFrame:
        """Return `rollouts`, of one question if named, with the columns `text` and `reasoning`.

        Texts come from the cache, and are None if it lacks them. `data` is the run's data file, if
        it is not the task's.
        """
        rows = wait(_texts(self.tables, question, Path(data) if data else None))
        names = [*self.tables.rollouts(question="").columns, "text", "reasoning"]
        return pd.DataFrame(rows, columns=names)

    def compute(
        self,
        *,
        reference: str | None = None,
        parameters: float | None = None,
        prices: Place | Mapping[str, Price] | None = None,
    ) -> pd.DataFrame:
        """Return every method with its costs: the columns of `compute.csv`.

        `parameters` of the models give FLOPs; `prices`, as a file or by model, give money.
        """
        if prices is not None and not isinstance(prices, Mapping):
            prices = read_prices(Path(prices))
        return compute(self.tables, reference=reference, rates=Rates(parameters, prices))

    def curve(self) -> Figure:
        """Draw the scaling curves: score against n, with 95 % bands."""
        return curve_figure(self.table, self.tables.record)

    def page(self, path: Place | None = None, *, data: Place | None = None) -> Path:
        """Write the run as one HTML page, `page.html` in its folder unless `path` says where."""
        return write_page(
            self.tables, place=Path(path) if path else None, data=Path(data) if data else None
        )

    def report(self) -> list[Path]:
        """Write the files of `cat-bench report` into the run's folder; return their paths."""
        return make_report(self.tables).write()

    def compare(self, *others: Run, reference: str | None = None) -> pd.DataFrame:
        """Compare this run with others on the same questions: the columns of `cat-bench compare`.

        Raises UsageError if they did not ask the same questions.
        """
        return compare([self.tables, *(o.tables for o in others)], reference=reference)

    def __repr__(self) -> str:
        config = self.tables.record["config"]
        return f"<Run of {config['task']} by {config['model']}: {self.folder}>"

    def _repr_html_(self) -> str:
        return as_html(self.table, self.tables.record)


def run(
    task: Place,
    *,
    model: str | None = None,
    methods: str | Sequence[str] = (),
    n: int | Sequence[int] = (),
    progress: bool | Watch = True,
    allow_code: str | None = None,
    **settings: JSON,
) -> Run:
    """Run methods on a task, as `cat-bench run` does; the result is also on disk.

    `settings` are the other fields of a `run.yaml`: `pool`, `draws`, `limit`, `seed`, `anchor`,
    `judge`, `sampling={"policy": {"temperature": 0.7}}`, `offline`, `out`, and so on. The model is
    the task's own unless one is named. `progress` shows a bar (a line in a notebook); False shows
    nothing, and a `Watch` follows the run instead. `allow_code` names the sandbox in which models'
    programs may run. Works where an event loop runs, as in a notebook.

    Warns about what is missing from the run or doubtful. Raises UsageError, ConfigError and
    DataError before anything is paid for.
    """
    config = _config(task, model, methods, n, allow_code, settings)
    gate = Gate()
    finished, gaps = wait(
        _run(config, progress, gate),
        on_interrupt=lambda: gate.close("interrupted", "the run was interrupted"),
    )
    for sentence in gaps:
        warnings.warn(sentence, stacklevel=2)
    return finished


async def arun(
    task: Place,
    *,
    model: str | None = None,
    methods: str | Sequence[str] = (),
    n: int | Sequence[int] = (),
    progress: bool | Watch = True,
    allow_code: str | None = None,
    **settings: JSON,
) -> Run:
    """Do what `run` does, in the caller's event loop."""
    config = _config(task, model, methods, n, allow_code, settings)
    finished, gaps = await _run(config, progress, Gate())
    for sentence in gaps:
        warnings.warn(sentence, stacklevel=2)
    return finished


def load(folder: Place) -> Run:
    """Open a run that is on disk; raises DataError where the folder is not a run."""
    return Run(folder)


def aggregate(
    texts: Sequence[str],
    method: str = "majority",
    *,
    question: str = "",
    scorer: str = "math_equal",
    model: str | None = None,
) -> Aggregated:
    """Combine one question's texts by a method, without a task.

    `scorer` names how final answers are read and compared. `question` and `model` are for methods
    that call one, such as `cat`; the calls are cached as a run's are. The same texts give the same
    result. Raises UnknownName, and UsageError if the method needs more than was given.
    """
    return wait(aggregate_texts(texts, method, question=question, scorer=scorer, model=model))


class _Bar(Progress):
    """A run's progress, whose warnings are Python's."""

    def warn(self, warning: str) -> None:
        warnings.warn(f"{warning}.", stacklevel=2)


def _config(
    task: Place,
    model: str | None,
    methods: str | Sequence[str],
    n: int | Sequence[int],
    allow_code: str | None,
    settings: Mapping[str, JSON],
) -> RunConfig:
    """Return the configuration that `cat-bench run` makes of the same options."""
    if allow_code:
        permit(allow_code)
    options = {
        "model": model,
        "methods": [methods] if isinstance(methods, str) else list(methods),
        "n": [n] if isinstance(n, int) else list(n),
    }
    values = {name: value for name, value in options.items() if value}
    return configure(fspath(task), {**settings, **values}, source="cat_bench.run")


async def _run(config: RunConfig, progress: bool | Watch, gate: Gate) -> tuple[Run, list[str]]:
    """Return the finished run, and warnings about what is missing or doubtful."""
    prices = read_prices(config.prices) if config.prices else None
    with _Bar(shown=progress is True, prices=prices) as bar:
        watch = bar if isinstance(progress, bool) else progress
        outcome = await run_session(config, command=as_command(config), watch=watch, gate=gate)
    return Run(outcome.folder), list(shortfalls(outcome.census, gate))


async def _texts(tables: RunTables, question: str | None, data: Path | None) -> list[JSON]:
    return [
        {**row, "text": reply and reply.text, "reasoning": reply and reply.reasoning}
        async for transcript in transcripts(tables, data=data, only=question)
        for row, reply in transcript.rollouts
    ]
