"""`cat-bench show`: a task, a method, a run, one question of a run."""

from __future__ import annotations

import json

from tests.conftest import TOY, Workshop


def test_a_task_and_a_method(workshop: Workshop) -> None:
    _, out, _ = workshop.run("show", "tally", "--json")
    assert json.loads(out)["task"] == "tally"
    _, out, _ = workshop.run("show", "cat", "--json")
    assert json.loads(out).items() >= {"aggregator": "synthesis", "needs": ["anchor"]}.items()
    status, out, _ = workshop.run("show", "greedy")
    assert status == 0
    assert "temperature 0" in out


def test_a_run_and_one_question_of_it(workshop: Workshop) -> None:
    workshop.run(*TOY, "--pool", "2", "--n", "1,2", "--method", "majority")
    (folder,) = (workshop.folder / "results").iterdir()
    _, out, _ = workshop.run("show", str(folder), "--json")
    assert json.loads(out)["config"]["pool"] == 2
    status, out, err = workshop.run("show", str(folder), "--question", "q1", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert [row["slot"] for row in found["rollouts"]] == [0, 1]
    assert {row["method"] for row in found["methods"]} == {"majority", "oracle"}
    status, out, _ = workshop.run("show", str(folder), "--question", "q1")
    assert status == 0
    assert "majority" in out
    status, out, err = workshop.run("show", str(folder), "--question", "q77")
    assert (status, out) == (2, "")
    assert "there is no question of this run 'q77'" in err


def test_what_is_not_there(workshop: Workshop) -> None:
    for arguments in (("majorty",), ("toy",), ("majority", "--question", "q1")):
        status, out, err = workshop.run("show", *arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)
