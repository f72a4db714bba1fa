"""Parts of a run on several machines make the whole run, through the cache alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cat_bench.runs.folder import read_record, read_scores
from tests.conftest import TOY, Workshop
from tests.documents import Document, Reader
from tests.places import ROOT

SCALE = Document(ROOT / "docs" / "scale.md")


def test_shards_fill_the_cache_for_the_whole_run(workshop: Workshop) -> None:
    jobs = [workshop.start(*TOY, "--shard", f"{part}/3") for part in (1, 2, 3)]
    said = [job.communicate(timeout=600) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0, 0], said
    assert all(out == "" for out, _ in said)
    asked = [read_record(path)["questions"] for path in (workshop.folder / "results").iterdir()]
    assert asked == [2, 2, 2]
    made = workshop.calls
    (shard, *_) = (workshop.folder / "results").iterdir()
    assert "of a run: run without --shard" in workshop.run("leaderboard", "add", str(shard))[2]
    status, table, _ = workshop.run(*TOY, "--out", "merged")
    assert (status, workshop.calls) == (0, made)
    assert "cat" in table
    workshop.monkeypatch.setenv("CAT_BENCH_CACHE", "another.sqlite")
    workshop.run(*TOY, "--out", "whole")
    assert workshop.calls == 2 * made
    merged, whole = (read_record(Path(name)) for name in ("merged", "whole"))
    assert merged["id"] == whole["id"]
    assert merged["pool_digest"] == whole["pool_digest"]
    left, right = (read_scores(Path(name)) for name in ("merged", "whole"))
    spent = [name for name in left.columns if name.startswith("spent")]
    assert left.drop(columns=spent).equals(right.drop(columns=spent))


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "-1/2"])
def test_a_shard_that_is_none_is_refused(shard: str, workshop: Workshop) -> None:
    status, _, error = workshop.run(*TOY, "--shard", shard)
    assert (status, workshop.calls) == (2, 0)
    assert "such as 2/8" in error


def test_a_shard_without_a_question_says_so(workshop: Workshop) -> None:
    status, _, error = workshop.run(*TOY, "--shard", "7/9")
    assert status == 2
    assert "shard 7/9 of task 'toy' has no questions" in error


SBATCH = """\
#!/bin/bash
# Does what sbatch does, here and now: every job of the array at once.
set -eu
while [[ $1 == --* ]]; do shift; done
script=$1; shift
last=$(sed -n 's/^#SBATCH --array=1-//p' "$script")
for job in $(seq "$last"); do
	SLURM_ARRAY_TASK_ID=$job SLURM_ARRAY_TASK_COUNT=$last bash "$script" "$@" >"job-$job.log" 2>&1 &
	jobs+=($!)
done
for job in "${jobs[@]}"; do wait "$job"; done
echo Submitted batch job 1
"""


def test_what_the_page_says_works(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    database: str,
) -> None:
    assert SCALE.broken_links() == []
    reader = Reader(tmp_path, monkeypatch, capsys)
    reader.moved["postgresql://cat@db.cluster/cat_bench"] = database
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sbatch").write_text(SBATCH)
    (programs / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    with reader.servers:
        reader.follow(SCALE)
    jobs = [read_record(path) for path in (tmp_path / "results" / "runs").iterdir()]
    assert sorted(job["config"]["shard"] or "" for job in jobs) == ["", "1/3", "2/3", "3/3"]
