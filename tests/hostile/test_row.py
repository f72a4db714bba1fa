"""A stranger's leaderboard row: what it lacks, what it points at, and numbers that are none.

`test_columns` has a forgery of every column.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cat_bench.errors import DataError
from cat_bench.leaderboard import COLUMNS, publishing, read, render
from cat_bench.leaderboard.rows import BOARD_MOST, NUMBERS, add_digest, append
from tests.conftest import SCORER, Workshop

RUN = ("run", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "9")
PUBLISHED = ("--pool", "results/pools/toy.parquet", "--calls", "results/pools/toy-calls.parquet")
Finding = dict[str, str]


def _published(workshop: Workshop, *options: str) -> Path:
    """The board with the rows of one run."""
    status, _, err = workshop.run(*RUN, *options)
    assert status == 0, err
    (path,) = Path(workshop.folder, "results").glob("*/run.json")
    status, _, err = workshop.run("leaderboard", "add", str(path.parent), *PUBLISHED)
    assert status == 0, err
    return workshop.folder / "results" / "leaderboard.csv"


def _findings(workshop: Workshop) -> list[Finding]:
    found: list[Finding] = json.loads(workshop.run("leaderboard", "check", "--json")[1])
    return found


def test_the_rollouts_alone_do_not_tell_who_wrote_them(workshop: Workshop) -> None:
    status, _, err = workshop.run(*RUN, "--n", "2", "--method", "majority")
    assert status == 0, err
    (path,) = Path(workshop.folder, "results").glob("*/run.json")
    workshop.run("leaderboard", "add", str(path.parent), *PUBLISHED[:2])
    (found,) = _findings(workshop)
    assert found["verdict"] == "reproduced"
    assert {"model", "revision"} <= set(found["as_claimed"].split())
    _, out, _ = workshop.run("leaderboard", "check")
    assert "as claimed: date judge_audit code command model revision" in out
    (row,) = read(workshop.folder / "results" / "leaderboard.csv")
    assert row["as_claimed"] == found["as_claimed"]
    assert "reply (as claimed)" in render([row])


def test_what_is_unscored_is_refused_and_shown(workshop: Workshop) -> None:
    scorer = SCORER.replace("[Score(", '[Score(None, "too hard") if t == "so no" else Score(')
    Path("toy/scorer.py").write_text(scorer.replace("self.answer(text) ==", "self.answer(t) =="))
    text = Path("toy/scorer.py").read_text().replace("for text in texts]", "for t in texts]")
    Path("toy/scorer.py").write_text(text)
    status, _, err = workshop.run(*RUN, "--n", "2", "--method", "majority")
    assert status in {0, 1}, err
    (path,) = Path(workshop.folder, "results").glob("*/run.json")
    add = ("leaderboard", "add", str(path.parent), *PUBLISHED)
    status, _, err = workshop.run(*add)
    board = workshop.folder / "results" / "leaderboard.csv"
    assert (status, board.exists()) == (2, False)
    assert "unscored, but at most 0.05 is allowed" in err
    workshop.monkeypatch.setattr(publishing, "MOST_UNSCORED", 1.0)
    assert workshop.run(*add)[0] == 0
    (row,) = read(board)
    assert 0.2 < float(row["unscored"]) < 0.8
    assert "% unscored)" in render([row])
    assert "at most 0.05 is allowed" in _findings(workshop)[0]["reason"]
    board.unlink()
    append(board, [add_digest({**row, "unscored": "0"})])
    assert _findings(workshop)[0]["reason"].startswith("unscored is 0, and is recomputed as 0.")


@pytest.mark.parametrize("cell", ["", "nan", "inf", "1e999", "9" * 5000, "1\n2", "٣", "-"])
@pytest.mark.parametrize("name", ["score", "n", "unscored"])
def test_a_number_that_is_none_is_said_with_its_line(name: str, cell: str, tmp_path: Path) -> None:
    whole = {**dict.fromkeys(COLUMNS, ""), **dict.fromkeys(NUMBERS, "0")}
    counts = dict.fromkeys(("n", "pool_size", "draws", "questions"), "1")
    append(tmp_path / "board.csv", [add_digest({**whole, **counts, name: cell})])
    with pytest.raises(DataError, match=f"line 2: {name} is "):
        read(tmp_path / "board.csv")


def test_a_board_that_is_too_long_is_refused_unread(tmp_path: Path) -> None:
    board = tmp_path / "board.csv"
    with board.open("wb") as file:
        file.truncate(BOARD_MOST + 1)
    with pytest.raises(DataError, match=r"is longer than 67,108,864 bytes"):
        read(board)


def test_a_row_that_points_at_the_files_of_another_run_is_refused(workshop: Workshop) -> None:
    board = _published(workshop, "--n", "2", "--method", "majority")
    Path("model.py").write_text(Path("model.py").read_text().replace("seed % 2", "seed % 5"))
    status, _, err = workshop.run(*RUN, "--n", "2", "--method", "majority", "--out", "other")
    assert status == 0, err
    theirs = ("results/pools/other.parquet", "results/pools/other-calls.parquet")
    options = ("--pool", theirs[0], "--calls", theirs[1], "--board", "results/other.csv")
    status, _, err = workshop.run("leaderboard", "add", "other", *options)
    assert status == 0, err
    (row,) = read(board)
    for name, file in zip(("pool", "published_calls"), theirs, strict=True):
        board.unlink()
        append(board, [add_digest({**row, name: file.removeprefix("results/")})])
        (found,) = _findings(workshop)
        assert found["verdict"] == "refused"
        assert "and is recomputed as" in found["reason"]


@pytest.mark.parametrize("rename", ["methods", "rows"])
def test_a_method_that_the_record_does_not_list_is_refused(rename: str, workshop: Workshop) -> None:
    import pandas as pd

    status, _, err = workshop.run(*RUN, "--n", "2", "--method", "majority", "--out", "run")
    assert status == 0, err
    if rename == "rows":
        rows = pd.read_parquet("run/scores.parquet")
        rows.assign(method="forged").to_parquet("run/scores.parquet")
    else:
        record = json.loads(Path("run/run.json").read_text())
        record["methods"][0]["name"] = "forged"
        Path("run/run.json").write_text(json.dumps(record))
    for command in (("leaderboard", "add", "run"), ("report", "run"), ("compare", "run")):
        status, _, err = workshop.run(*command)
        assert status == 2
        assert "which is not among the methods in its run.json" in err
