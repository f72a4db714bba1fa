"""Where runs are kept: the folder of all runs, and the name of one run's folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from cat_bench.loading.catalog import Task
from cat_bench.runs.config import RunConfig
from cat_bench.runs.record import digest
from cat_bench.types.calls import JSON

SHORT = 40
"""Characters of a model's name in the name of a run's folder."""


def results_root() -> Path:
    """Return the folder of all runs: CAT_BENCH_RESULTS, else `results/runs` in this folder."""
    return Path(os.environ.get("CAT_BENCH_RESULTS") or Path("results") / "runs")


def folder_of(task: Task, config: RunConfig, record: Mapping[str, JSON]) -> Path:
    """Return the folder of a run: the same configuration always gives the same folder.

    A model's specification is shortened to the last part of its path. The folder of an earlier
    version, named after the whole specification, is used if it exists.
    """
    suffix = digest(record)[:6]
    long, short = (_slug(part) for part in (config.model, _short_name(config.model)))
    earlier = results_root() / f"{task.name}-{long}-{suffix}"
    return earlier if earlier.exists() else results_root() / f"{task.name}-{short}-{suffix}"


def _short_name(model: str) -> str:
    """Return the last part of a model's path, without its options."""
    name = model.partition("{")[0].rstrip("/").rpartition("/")[2] or model
    return name[:SHORT]


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")
