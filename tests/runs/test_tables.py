"""A run's tables are scanned once for all that reports it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest

from cat_bench.errors import DataError
from cat_bench.report import claims, make_report, summarise
from cat_bench.report.compute import compute
from cat_bench.report.groups import groups
from cat_bench.report.webpage import write_page
from cat_bench.runs import parts as streaming
from cat_bench.runs import tables
from cat_bench.runs.parts import RowsByQuestion
from cat_bench.runs.tables import Reading, RunTables
from tests.conftest import TOY, Workshop


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each Parquet file is scanned."""
    counts = Counter[str]()
    scan = streaming.parts

    def counted(path: Path, kind: type, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        counts[path.name] += 1
        return scan(path, kind, columns)

    monkeypatch.setattr(tables, "parts", counted)
    return counts


class Slots(Reading):
    """Each question's slots, as its score rows find them; and all slots, as they pass."""

    score_columns = ("question", "method")
    rollout_columns = ("question", "slot")

    def __init__(self, record: object) -> None:
        super().__init__({})
        self.beside: dict[str, int] = {}
        self.passed = 0

    def add_scores(self, rows: pd.DataFrame, pools: RowsByQuestion) -> None:
        for question in rows["question"].unique():
            own = pools.of(question)
            self.beside[question] = 0 if own is None else len(own)

    def add_rollouts(self, rows: pd.DataFrame) -> None:
        self.passed += len(rows)


class Rollouts(Reading):
    """How many rollouts pass where no score row asks for them."""

    rollout_columns = ("question",)
    passed = 0

    def add_rollouts(self, rows: pd.DataFrame) -> None:
        self.passed += len(rows)


@pytest.mark.parametrize("size", [3, 20_000])
def test_a_report_scans_each_table_once(
    size: int, workshop: Workshop, scans: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.run(*TOY, "--out", "run")
    whole = [summarise(workshop.folder / "run"), compute(workshop.folder / "run")]
    monkeypatch.setattr(streaming, "PART", size)
    scans.clear()
    run = RunTables(workshop.folder / "run")
    assert make_report(run).write()
    for name in claims.claim_list_names():
        claims.write(run, claims.read_claims(name))
    pd.testing.assert_frame_equal(summarise(run), whole[0])
    pd.testing.assert_frame_equal(compute(run), whole[1])
    groups(run)
    assert scans == {"scores.parquet": 1, "rollouts.parquet": 1}
    # Texts are streamed once more, after a look at which methods call a model.
    write_page(run)
    assert scans == {"scores.parquet": 3, "rollouts.parquet": 2}


@pytest.mark.parametrize("size", [3, 20_000])
def test_readings_share_a_pass_and_are_kept(
    size: int, workshop: Workshop, scans: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PART", size)
    workshop.run(*TOY, "--out", "run")
    scans.clear()
    run = RunTables(workshop.folder / "run")
    run.read(Slots, Rollouts)
    slots, pool = run.reading(Slots), len(run.rollouts())
    assert list(slots.beside) == list(run.questions["question"])
    assert sum(slots.beside.values()) == slots.passed == run.reading(Rollouts).passed == pool
    assert scans == {"scores.parquet": 1, "rollouts.parquet": 1}


def test_tables_of_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no readable run\.json"):
        RunTables.of(tmp_path)
