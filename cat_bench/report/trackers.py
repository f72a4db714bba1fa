"""A run's table in an experiment tracker: Trackio, Weights & Biases or MLflow.

Each method has metrics `METHOD/COLUMN` with n as their step, so that a tracker draws curves. The
run's configuration becomes the tracker's, and `table.csv` an artifact. A tracker is an extra, and
is imported only if it is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import time
from types import ModuleType

from cat_bench.errors import UnknownName, UsageError
from cat_bench.models.costs import COSTS
from cat_bench.report.cells import rows_of
from cat_bench.report.summary import summarise
from cat_bench.runs.tables import RunTables
from cat_bench.system.extras import install_command
from cat_bench.types.calls import JSON

METRICS = (
    *("score", "se", "ci_low", "ci_high", "diff", "diff_low", "diff_high", "p_holm"),
    *("abstained", "unlabelled", "unscored", "exact", *COSTS),
)
"""The columns of the table that are logged, where a row has them."""


@dataclass(frozen=True, slots=True)
class Logged:
    """What a tracker gets of a run: metrics by n, parameters, and the file of the table."""

    project: str
    name: str
    parameters: Mapping[str, str]
    metrics: Mapping[int, Mapping[str, float]]
    table: Path


def log_run(run: RunTables | Path, target: str, *, reference: str | None = None) -> str:
    """Log a run to `trackio:PROJECT`, `wandb:PROJECT` or `mlflow:URI`; return where it is.

    The run's folder must hold `table.csv`, as `report.write` leaves it. Every call adds a run to
    the tracker. `reference` is as in `summarise`. Raises UnknownName, and UsageError if the tracker
    is not installed or refuses.
    """
    run = RunTables.of(run)
    kind, colon, place = target.partition(":")
    if kind not in _TRACKERS:
        raise UnknownName("tracker", kind, _TRACKERS)
    if not colon or not place:
        raise UsageError(f"--log {kind} names no place: write {_PLACES[kind]}")
    tracker = _import_tracker(kind)
    record = run.record
    counts = {name: record.get(name, 0) for name in ("questions", "unlabelled")}
    logged = Logged(
        project=place,
        name=f"{record['config']['task']} {record['id']}",
        parameters=dict(_flatten({**record["config"], **counts})),
        metrics=_collect_metrics(rows_of(summarise(run, reference=reference))),
        table=run.folder / "table.csv",
    )
    if not logged.table.is_file():
        raise UsageError(f"{logged.table} is missing: `cat-bench report {run.folder}` writes it")
    return _TRACKERS[kind](tracker, logged)


def _import_tracker(kind: str) -> ModuleType:
    try:
        return import_module(kind)
    except ImportError as error:
        raise UsageError(f"{kind} is not installed: {install_command(kind)}") from error


def _collect_metrics(rows: Iterable[Mapping[str, JSON]]) -> dict[int, dict[str, float]]:
    """Return the metrics of each n; a number that a row does not have is left out."""
    metrics: dict[int, dict[str, float]] = {}
    for row in rows:
        if row["n"] != row["n"]:  # a method that was not available has no n
            continue
        values = {column: row[column] for column in METRICS if row[column] == row[column]}
        metrics.setdefault(int(row["n"]), {}).update(
            {f"{row['method']}/{column}": float(value) for column, value in values.items()}
        )
    return dict(sorted(metrics.items()))


def _flatten(values: Mapping[str, JSON], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the leaves of nested mappings as `outer.inner` and a text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)


def _log_to_trackio(trackio: JSON, logged: Logged) -> str:
    """Log to a project of Trackio: in its local database, unless its variables name a Space."""
    run = trackio.init(
        logged.project,
        name=logged.name,
        config=dict(logged.parameters),
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    for n, metrics in logged.metrics.items():
        run.log(dict(metrics), step=n)
    run.log_artifact(str(logged.table), name="table", type="result")
    trackio.finish()
    return f"`trackio show --project {logged.project}` shows the run {logged.name!r}"


def _log_to_wandb(wandb: JSON, logged: Logged) -> str:
    """Log to a project of Weights & Biases; WANDB_MODE=offline keeps the run on disk."""
    try:
        run = wandb.init(
            project=logged.project, name=logged.name, config=dict(logged.parameters), reinit=True
        )
    except wandb.errors.Error as error:
        problem = str(error).partition("\n")[0]
        raise UsageError(
            f"wandb: {problem}; set WANDB_API_KEY, or WANDB_MODE=offline to keep the run on disk"
        ) from error
    for n, metrics in logged.metrics.items():
        run.log(dict(metrics), step=n)
    artifact = wandb.Artifact("table", type="result")
    artifact.add_file(str(logged.table))
    run.log_artifact(artifact)
    where = run.url or f"{run.dir} (offline: `wandb sync` uploads it)"
    run.finish()
    return str(where)


def _log_to_mlflow(mlflow: JSON, logged: Logged) -> str:
    """Log to the experiment `cat_bench` of a tracking server, or of a database.

    MLflow allows few special characters in a metric's name; the others become hyphens. A parameter
    `metric.NAME` holds the method's own name.
    """
    names = _rename([name for metrics in logged.metrics.values() for name in metrics])
    methods = {
        f"metric.{new.rpartition('/')[0]}": name.rpartition("/")[0]
        for name, new in names.items()
        if name != new
    }
    entities, now = mlflow.entities, int(time() * 1000)
    parameters = [entities.Param(*item) for item in {**logged.parameters, **methods}.items()]
    values = [
        entities.Metric(names[name], value, now, n)
        for n, metrics in logged.metrics.items()
        for name, value in metrics.items()
    ]
    try:
        client = mlflow.MlflowClient(tracking_uri=logged.project)
        experiment = client.get_experiment_by_name("cat_bench")
        number = experiment.experiment_id if experiment else client.create_experiment("cat_bench")
        run = client.create_run(number, run_name=logged.name).info.run_id
        for start in range(0, len(parameters), 100):
            client.log_batch(run, params=parameters[start : start + 100])
        for start in range(0, len(values), 1000):
            client.log_batch(run, metrics=values[start : start + 1000])
        client.log_artifact(run, str(logged.table))
        client.set_terminated(run)
    except mlflow.MlflowException as error:
        problem = str(error).partition("\n")[0]
        raise UsageError(f"mlflow: {logged.project}: {problem}; check the URI") from error
    return f"experiment 'cat_bench' of {logged.project}, run {run}"


def _rename(names: Sequence[str]) -> dict[str, str]:
    """Return a name for each metric with characters that MLflow allows; no two are the same."""
    renamed: dict[str, str] = {}
    for name in dict.fromkeys(names):
        method, _, column = name.rpartition("/")
        base = re.sub(r"[^\w. /-]+", "-", method).strip("-")
        used = set(renamed.values())
        number = 1
        while (new := f"{base}{f'-{number}' if number > 1 else ''}/{column}") in used:
            number += 1
        renamed[name] = new
    return renamed


_TRACKERS: Mapping[str, Callable[[ModuleType, Logged], str]] = {
    "trackio": _log_to_trackio,
    "wandb": _log_to_wandb,
    "mlflow": _log_to_mlflow,
}
_PLACES = {
    "trackio": "trackio:PROJECT",
    "wandb": "wandb:PROJECT",
    "mlflow": "mlflow:URI, such as mlflow:http://localhost:5000 or mlflow:sqlite:///mlflow.db",
}
