"""`cat-bench list`: what there is, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cat_bench.cache import Cache, import_pool
from cat_bench.loading import catalog
from tests.conftest import TOY, Workshop


@pytest.mark.parametrize("kind", ["tasks", "methods", "plugins", "pools", "runs"])
def test_json_is_json_even_where_there_is_nothing(kind: str, workshop: Workshop) -> None:
    status, out, err = workshop.run("list", kind, "--json")
    assert (status, err) == (0, "")
    assert isinstance(json.loads(out), list)


def test_the_catalogue(workshop: Workshop) -> None:
    _, out, _ = workshop.run("list", "methods", "--json")
    assert [row["method"] for row in json.loads(out)] == catalog.method_names()
    _, out, _ = workshop.run("list", "tasks")
    assert all(name in out for name in catalog.task_names())


def test_nothing_yet_is_said_on_stderr(workshop: Workshop) -> None:
    assert workshop.run("list", "runs") == (0, "", "There are no runs yet.\n")
    assert workshop.run("list", "pools") == (0, "", "There are no pools yet.\n")


def test_runs_and_pools(workshop: Workshop) -> None:
    with Cache() as cache:
        Path("pool.jsonl").write_text('{"id": "a", "problem": "?", "responses": ["x", "y"]}\n')
        import_pool(cache, Path("pool.jsonl"), name="mine")
    _, out, _ = workshop.run("list", "pools", "--json")
    assert json.loads(out)[0].items() >= {"pool": "mine", "questions": 1, "rollouts": 2}.items()
    workshop.run(*TOY, "--pool", "2", "--n", "1", "--method", "single")
    broken = workshop.folder / "results" / "broken"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    status, out, _ = workshop.run("list", "runs", "--json")
    assert status == 0
    rows = json.loads(out)
    assert sorted(row["task"].partition(":")[0] for row in rows) == ["toy/task.yaml", "unreadable"]


def test_a_default_that_is_zero_or_false_is_listed(workshop: Workshop) -> None:
    rows = json.loads(workshop.run("list", "settings", "--json")[1])
    defaults = {row["setting"]: row["default"] for row in rows}
    assert (defaults["seed"], defaults["offline"], defaults["retries"]) == (0, False, 5)
    assert (defaults["n"], defaults["sampling"], defaults["limit"]) == (None, None, None)


def test_a_run_without_optional_fields_is_listed(workshop: Workshop) -> None:
    workshop.run(*TOY, "--pool", "2", "--n", "1", "--method", "single")
    (path,) = (workshop.folder / "results").glob("*/run.json")
    record = json.loads(path.read_text())
    del record["config"]["limit"]
    record["config"]["budgets"] = None
    path.write_text(json.dumps(record))
    status, out, err = workshop.run("list", "runs", "--json")
    assert (status, err) == (0, "")
    assert [(row["task"], row["limit"]) for row in json.loads(out)] == [("toy/task.yaml", None)]


def test_a_plugin_that_cannot_be_built_is_a_row(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = workshop.folder / "broken-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    points = "[cat_bench]\nsignal.broken = broken:Signal\n"
    (package / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(workshop.folder))
    status, out, err = workshop.run("list", "rewards", "--json")
    assert status == 0, err
    rows = {row["reward"]: row["summary"] for row in json.loads(out)}
    assert "length" in rows
    assert "No module named 'broken'" in rows["broken"]


def test_an_unknown_kind(workshop: Workshop) -> None:
    status, out, err = workshop.run("list", "taks")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "'taks' is not one of" in err


def test_runs_are_told_apart(workshop: Workshop) -> None:
    for seed, method in (("0", "single"), ("1", "single"), ("0", "majority")):
        settings = ("--pool", "2", "--n", "1,2", "--seed", seed, "--method", method)
        assert workshop.run(*TOY, *settings)[0] == 0
    rows = json.loads(workshop.run("list", "runs", "--json")[1])
    assert len({(row["seed"], row["methods"], row["n"]) for row in rows}) == 3
    assert all(row["questions"] == 6 and row["started"] for row in rows)
