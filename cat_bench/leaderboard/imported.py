"""Rows of imported pools: the imported file is published.

A pool that defines its own task (`pool:NAME`) has questions, answers and rollouts in one file. A
row names it as its `pool`. The record of the run, and how the file was imported, lie beside it in
`FILE.run.json`: `check` imports the file again from them and plays the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from cat_bench.cache import Cache, import_pool, pool_metadata
from cat_bench.errors import DataError, UsageError
from cat_bench.loading.validation import validate
from cat_bench.system.files import write_atomic
from cat_bench.system.json_parts import read_json
from cat_bench.system.rows import file_digest
from cat_bench.types.calls import JSON

TASK = "pool:"


@dataclass(frozen=True, slots=True)
class Imported:
    """The settings of a pool's import."""

    name: str
    model: str | None
    scorer: str | None
    scorer_params: Mapping[str, JSON]
    exchangeable: bool
    seed: int
    files: Mapping[str, str]

    def load(self, cache: Cache, file: Path) -> str:
        """Import the file into a cache, and return the name of the model to replay."""
        import_pool(
            cache,
            file,
            name=self.name,
            model=self.model,
            scorer=self.scorer,
            scorer_params=self.scorer_params,
            exchangeable=self.exchangeable,
            seed=self.seed,
            files=self.files,
        )
        return f"replay:{self.name}"


def is_imported(record: Mapping[str, JSON]) -> bool:
    """Return whether the run's task is an imported pool."""
    return str(record["config"]["task"]).startswith(TASK)


def publish_import(record: Mapping[str, JSON], file: Path, *, cache: str | Path | None) -> None:
    """Write `FILE.run.json` beside the file that was imported.

    Raises UsageError if the file is not the one that the run's pool was imported from.
    """
    data = record["task"]["data"]
    if not file.is_file() or file_digest(file) != data["sha256"]:
        raise UsageError(
            f"{file} is not the file that {data['pool']} was imported from: an imported pool is "
            f"published as that file ({data['file']}, sha256 {data['sha256'][:12]}); name it"
        )
    with Cache(cache) as opened:
        pool = pool_metadata(opened, data["pool"])
    options = {field.name: getattr(pool, field.name) for field in fields(Imported)}
    content = {"run": dict(record), "pool": options}
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(place_of_run(file), text.encode())


def read_import(file: Path) -> tuple[Mapping[str, JSON], Imported] | None:
    """Return the record and the import beside a published file; None if there is none.

    Raises DataError.
    """
    place = place_of_run(file)
    if not place.is_file():
        return None
    try:
        content = read_json(place)
        return content["run"], validate(Imported, content["pool"], source=place)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(place, f"is not a run's record ({error}); fetch it again") from error


def place_of_run(file: Path) -> Path:
    """Return where the record of a published file lies."""
    return file.with_name(f"{file.name}.run.json")
