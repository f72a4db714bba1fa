"""`cat-bench new task`: a folder that runs, or a clear error and no folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cat_bench.loading import catalog
from cat_bench.loading.new_task import EXAMPLES
from cat_bench.types.calls import JSON
from tests.conftest import Workshop


def write(path: Path, *rows: JSON) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize("scorer", EXAMPLES)
def test_an_example_runs_and_is_what_would_be_guessed(scorer: str, workshop: Workshop) -> None:
    status, printed, _ = workshop.run("new", "task", "mine", "--scorer", scorer)
    assert status == 0
    assert f"{scorer}: " in printed
    assert "as --scorer says" not in printed
    assert "Run it: cat-bench run ./mine --model MODEL" in printed
    task = catalog.task("mine")
    for sample in task.samples():
        asked = sample.question.messages[-1]["content"]
        assert asked.endswith(f"End with {task.prompts.closing}.")
    status, shown, _ = workshop.run(
        "run", "./mine", "--model", "scripted:./model.py:reply", "--pool", "2", "--method", "single"
    )
    assert (status, "3 questions" in shown) == (0, True)


def test_a_file_is_copied_and_its_columns_are_named(workshop: Workshop) -> None:
    rows = [
        {"nr": k, "query": f"1.{k}?", "target": f"1.{k}", "kind": "abc"[k % 2]} for k in range(4)
    ]
    write(workshop.folder / "sums.jsonl", *rows)
    status, printed, _ = workshop.run("new", "task", "made/sums", "--data", "sums.jsonl")
    assert status == 0
    assert "number: all answers are numbers, 0.05 more or less" in printed
    folder = workshop.folder / "made" / "sums"
    assert {path.name for path in folder.iterdir()} == {
        *("task.yaml", "prompt.txt", "README.md", "sums.jsonl")
    }
    written = yaml.safe_load((folder / "task.yaml").read_text())
    assert written["data"]["fields"] == {"problem": "query", "answer": "target", "meta": ["kind"]}
    assert written["with"] == {"absolute": 0.05}
    assert [path.name for path in folder.parent.iterdir()] == ["sums"]


def test_a_scorer_of_the_users_own_goes_with_the_folder(workshop: Workshop) -> None:
    write(workshop.folder / "yes.jsonl", {"question": "so?", "answer": "yes"})
    scorer = "./toy/scorer.py:LastWord"
    assert workshop.run("new", "task", "own", "--data", "yes.jsonl", "--scorer", scorer)[0] == 0
    assert (workshop.folder / "own" / "scorer.py").is_file()
    assert type(catalog.task("own").scorer).__name__ == "LastWord"


def test_a_conversation_is_asked_for_the_form_by_the_system(workshop: Workshop) -> None:
    turns = [{"role": "user", "content": "so?"}]
    write(workshop.folder / "chat.jsonl", {"messages": turns, "answer": "yes"})
    assert workshop.run("new", "task", "chat", "--data", "chat.jsonl")[0] == 0
    (sample,) = catalog.task("chat").samples()
    assert sample.question.messages[0]["content"].startswith('End with a line "Answer: "')


@pytest.mark.parametrize(
    ("rows", "options", "problem"),
    [
        ([], [], "holds no row"),
        ([{"question": "?", "reply": "x"}], [], "no column that looks like the answer"),
        ([{"frage": "?", "answer": "x"}], [], "name it by --problem COLUMN. The columns: 'frage'"),
        ([{"question": "?", "answer": None}], [], "has no answers: the column 'answer' is empty"),
        ([{"question": "?", "answer": "x"}], ["--answer", "y"], "there is no such column"),
        ([{"question": "?", "answer": "x"}], ["--scorer", "number"], "not a number"),
        ([{"question": "?", "answer": "x"}], ["--scorer", "nmber"], "Did you mean 'number'?"),
        ([{"question": "?", "answer": "x"}, {"question": "?"}], [], "mine.jsonl, line 2"),
    ],
)
def test_an_error_names_the_fix_and_leaves_nothing(
    rows: list[JSON], options: list[str], problem: str, workshop: Workshop
) -> None:
    write(workshop.folder / "mine.jsonl", *rows)
    before = sorted(workshop.folder.rglob("*"))
    status, _, error = workshop.run("new", "task", "mine", "--data", "mine.jsonl", *options)
    assert status == 2
    assert problem in error
    assert ".mine." not in error
    assert sorted(workshop.folder.rglob("*")) == before


def test_what_exists_is_kept(workshop: Workshop) -> None:
    status, _, error = workshop.run("new", "task", "toy")
    assert (status, "toy exists already" in error) == (2, True)
    assert workshop.run("new", "task", "x", "--data", "no.jsonl")[0] == 2
    status, _, error = workshop.run("new", "task", "x", "--scorer", "rubric")
    assert "pass --data. Known: text_equal, choice" in error
    (workshop.folder / "x").mkdir()
    assert workshop.run("new", "task", "x")[0] == 0
