"""`cat-bench audit`: tables, answers, exports, and what is refused before anything is paid for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset

from tests.conftest import Workshop

OWN = ("audit", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "8")
COLUMNS = ["prompt", "question_id", "reference", "rewards", "rollouts", "rubric"]


def test_an_audit_prints_its_table_and_answers(workshop: Workshop) -> None:
    status, out, err = workshop.run(*OWN, "--group", "4", "--reward", "equivalence,gold")
    assert status == 0
    assert out.startswith("# Rewards on toy/task.yaml · scripted:./model.py:reply")
    assert "6 questions · groups of 4 rollouts" in out
    assert out.rstrip().splitlines()[-1].startswith("**Which reference should I train on?**")
    (folder,) = (workshop.folder / "results").glob("audit-*")
    assert str(folder) in err
    assert (folder / "audit.md").read_text() == out
    made = workshop.calls
    again = workshop.run(*OWN, "--group", "4", "--reward", "equivalence,gold")
    assert again[:2] == (status, out)
    assert workshop.calls == made


def test_references_alone_lose_no_reward(workshop: Workshop) -> None:
    status, out, _ = workshop.run(*OWN, "--estimator", "cat", "--reward", "imitation", "--json")
    (row,) = json.loads(out)["rewards"]
    assert (status, row["unscored"], row["reward_accuracy"]) == (0, 6 * 8, None)
    assert row["label_accuracy"] is not None


def test_what_a_task_warns_of_is_said(workshop: Workshop) -> None:
    with Path("toy/task.yaml").open("a") as file:
        file.write("caveats: [Toys say nothing.]\n")
    assert "\n\nToys say nothing.\n\n" in workshop.run(*OWN)[1]
    assert "- Toys say nothing.\n" in workshop.run("run", *OWN[1:])[1]


def test_json_is_the_record(workshop: Workshop) -> None:
    _, out, _ = workshop.run(*OWN, "--estimator", "majority", "--json")
    (folder,) = (workshop.folder / "results").glob("audit-*")
    assert json.loads(out) == json.loads((folder / "audit.json").read_text())


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_export_for_trl_is_read_back(workshop: Workshop, suffix: str) -> None:
    path = workshop.folder / f"labels.{suffix}"
    status, _, err = workshop.run(*OWN, "--estimator", "cat", "--export", str(path))
    assert status == 0
    assert f"wrote 6 questions to {path}" in err
    found = read_back(path, workshop.folder)
    assert sorted(found.column_names) == COLUMNS
    row = found[0]
    assert pytest.importorskip("trl.data_utils").is_conversational(row)
    assert row["prompt"] == [{"role": "user", "content": "Is it 0?"}]
    assert (row["question_id"], row["reference"], row["rubric"]) == ("q0", "yes", None)
    assert len(row["rollouts"]) == 8
    assert row["rewards"] == [float(text.endswith("yes")) for text in row["rollouts"]]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_export_for_verl_is_read_back(workshop: Workshop, suffix: str) -> None:
    path = workshop.folder / f"labels.{suffix}"
    workshop.run(*OWN, "--estimator", "cat", "--export", str(path), "--format", "verl")
    found = read_back(path, workshop.folder)
    columns = ["ability", "data_source", "extra_info", "prompt", "reward_model"]
    assert sorted(found.column_names) == columns
    row = found[1]
    assert row["prompt"] == [{"role": "user", "content": "Is it 1?"}]
    assert (row["data_source"], row["ability"]) == ("toy", "toy")
    assert row["reward_model"] == {"style": "rule", "ground_truth": "yes"}
    extra = row["extra_info"]
    assert (extra["index"], extra["split"], extra["question_id"]) == (1, "train", "q1")
    assert len(extra["rollouts"]) == len(extra["rewards"]) == 8


def read_back(path: Path, folder: Path) -> Dataset:
    kind = "json" if path.suffix == ".jsonl" else "parquet"
    return load_dataset(
        kind, data_files=str(path), split="train", cache_dir=str(folder / "datasets")
    )


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_prompt_with_odd_characters_is_exported_all_the_same(
    workshop: Workshop, suffix: str
) -> None:
    rows = workshop.folder / "toy" / "rows.jsonl"
    rows.write_text('{"id": "q", "problem": "Is it \\u2028 \\"so\\" \\ud800?", "answer": "yes"}\n')
    path = workshop.folder / f"labels.{suffix}"
    assert workshop.run(*OWN, "--estimator", "majority", "--export", str(path))[0] == 0
    (row,) = read_back(path, workshop.folder)
    assert row["prompt"][0]["content"] == 'Is it \u2028 "so" ??'


def test_a_reward_from_a_file_of_ones_own(workshop: Workshop) -> None:
    (workshop.folder / "mine.py").write_text(
        "class Short:\n    async def rewards(self, question, rollouts, ctx):\n"
        "        return [1 / len(rollout.text) for rollout in rollouts]\n"
    )
    status, out, _ = workshop.run(*OWN, "--reward", "./mine.py:Short", "--json")
    (row,) = json.loads(out)["rewards"]
    assert status == 0
    assert (row["name"], row["estimator"], row["label_accuracy"]) == ("./mine.py:Short", None, None)
    assert row["rank_correlation"] == pytest.approx(-1)  # "so no" is the shorter one


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--estimator", "majorty"), "there is no method 'majorty'. Did you mean 'majority'?"),
        (("--reward", "equivalense"), "Did you mean 'equivalence'?"),
        (("--reward", "rubric{criterea=3}"), "criterea: is not a known field"),
        (("--reward", "rubric{criteria=30}"), "criteria should be from 1 to most"),
        (("--group", "9"), "--group 9 does not fit a pool of 8 rollouts"),
        (("--group", "1"), "--group 1 does not fit"),
        (("--export", "labels.csv", "--estimator", "cat"), "should end in .jsonl or .parquet"),
        (("--export", "no/labels.jsonl", "--estimator", "cat"), "there is no folder no"),
        (("--export", "labels.jsonl"), "--export takes one estimator and one reward"),
        (("--reward", ","), "give --reward"),
    ],
)
def test_what_is_off_is_said_before_anything_is_paid_for(
    workshop: Workshop, options: tuple[str, ...], problem: str
) -> None:
    status, out, err = workshop.run(*OWN, *options)
    assert status == 2
    assert problem in err
    assert (out, workshop.calls) == ("", 0)
    assert workshop.clean()


def test_gaps_are_an_exit_status_and_the_same_command_fills_them(workshop: Workshop) -> None:
    (workshop.folder / "down").touch()
    status, out, err = workshop.run(*OWN, "--set", "retries=0", "--estimator", "majority")
    assert status == 1
    assert "Incomplete" in err
    assert "have no complete group" in out
    (workshop.folder / "down").unlink()
    assert workshop.run(*OWN, "--set", "retries=0", "--estimator", "majority")[0] == 0
