"""A private task is run and read like any other, and no file with its prompts is published."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode
from pathlib import Path

import pytest

from cat_bench.runs.private import is_private_run
from tests.conftest import TOY, Workshop

PUBLISHING = (
    ("leaderboard", "add", "{run}", "--pool", "pool.parquet"),
    ("leaderboard", "add", "{run}", "--calls", "calls.parquet"),
    ("cache", "export", "calls.parquet", "--calls", "{run}"),
    ("cache", "export", "out.jsonl", "--model", "{model}", "--task", "toy/task.yaml"),
    ("report", "{run}", "--export", "inspect"),
    ("report", "{run}", "--export", "lm-eval"),
)


@pytest.fixture
def run(workshop: Workshop) -> Path:
    """The folder of a private task's run."""
    _say_private(workshop)
    status, _, err = workshop.run(*TOY, "--pool", "4", "--method", "single,majority,cat")
    assert status == 0, err
    return _folder(workshop)


def _say_private(workshop: Workshop) -> None:
    with (workshop.folder / "toy" / "task.yaml").open("a") as file:
        file.write("private: true\n")


def _folder(workshop: Workshop) -> Path:
    (record,) = (workshop.folder / "results").glob("*/run.json")
    return record.parent


@pytest.mark.parametrize("command", PUBLISHING, ids=" ".join)
def test_no_prompt_leaves(workshop: Workshop, run: Path, command: tuple[str, ...]) -> None:
    if "--export" in command:
        pytest.importorskip("inspect_ai" if "inspect" in command else "lm_eval")
    words = [word.format(run=run, model=workshop.record["config"]["model"]) for word in command]
    status, _, err = workshop.run(*words)
    assert status == 2
    assert "the task 'toy/task.yaml' is private" in err
    assert not [path for path in workshop.folder.rglob("*") if path.name in command]
    assert not (workshop.folder / "results" / "leaderboard.csv").exists()


def test_its_scores_are_published(workshop: Workshop, run: Path) -> None:
    status, out, err = workshop.run("leaderboard", "add", str(run))
    assert (status, "rows added" in out) == (0, True), err


def test_its_page_says_so(workshop: Workshop, run: Path) -> None:
    status, _, err = workshop.run("report", str(run), "--html")
    assert status == 0, err
    found = re.search(r'id="index">([^<]+)<', (run / "page.html").read_text())
    assert found
    index = json.loads(gzip.decompress(b64decode(found[1])))
    assert any("do not publish" in fact for fact in index["facts"])
    assert "not on the page of a private task" in index["unsent"]
    packed = re.findall(r'id="q\d+">([^<]+)<', (run / "page.html").read_text())
    chunks = [json.loads(gzip.decompress(b64decode(chunk))) for chunk in packed]
    assert len(chunks) == 6
    assert not any(chunk["sent"] or "asked" in chunk for chunk in chunks)
    assert "drafts" not in json.dumps(chunks)


def test_its_owner_sees_what_was_sent(workshop: Workshop, run: Path) -> None:
    _, out, _ = workshop.run("show", str(run), "--question", "q1", "--full")
    assert "drafts" in out


def test_an_older_run_is_private_by_its_tasks_yaml(workshop: Workshop) -> None:
    assert workshop.run(*TOY, "--pool", "2", "--method", "single")[0] == 0
    assert not is_private_run(workshop.record)
    _say_private(workshop)
    assert is_private_run(workshop.record)


def test_a_pool_imported_for_it_is_not_exported(workshop: Workshop) -> None:
    _say_private(workshop)
    rows = [{"id": f"q{k}", "responses": ["so yes"]} for k in range(6)]
    Path("rollouts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ("rollouts.jsonl", "--task", "toy/task.yaml", "--model", "mine")
    assert workshop.run("cache", "import", *given)[0] == 0
    status, _, err = workshop.run("cache", "export", "out.jsonl", "--pool", "mine")
    assert (status, "is private" in err) == (2, True)
    assert not Path("out.jsonl").exists()


def test_a_models_calls_stay_where_some_are_about_a_private_task(
    workshop: Workshop, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAT_BENCH_TRUST")  # scores are not copied
    assert workshop.run("cache", "copy", "cache.sqlite", "copy.sqlite")[0] == 0
    for cache in ("cache.sqlite", "copy.sqlite"):
        monkeypatch.setenv("CAT_BENCH_CACHE", cache)
        status, _, err = workshop.run("cache", "export", "out.jsonl", "--model", "reply")
        assert (status, "'toy/task.yaml' is private" in err) == (2, True)
        assert "--task TASK exports only another task's" in err
        assert not Path("out.jsonl").exists()


def test_another_models_calls_are_exported(workshop: Workshop) -> None:
    assert workshop.run(*TOY, "--pool", "2", "--method", "single")[0] == 0
    assert workshop.run("cache", "export", "out.jsonl", "--model", "reply")[0] == 0
    assert len(Path("out.jsonl").read_text().splitlines()) == 6
