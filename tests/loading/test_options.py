"""Options of a row: where they are read, which one is right, how they are shuffled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from cat_bench.errors import DataError
from cat_bench.loading.data import Data, rows
from cat_bench.loading.options import Arranged, arrange
from cat_bench.types.calls import JSON


def arranged(options: JSON, answer: JSON, **given: JSON) -> Arranged:
    row = {"options": options, "answer": answer}
    return arrange(row, "q1", options="options", answer="answer", **given)


@pytest.mark.parametrize(
    "options",
    [
        ["red", "green", "blue"],
        {"A": "red", "B": "green", "C": "blue"},
        {"text": ["red", "green", "blue"], "label": ["A", "B", "C"]},
        '["red", "green", "blue"]',
        "A) red\nB) green\nC) blue",
        "(A) red\n(B) green\n(C) blue\n",
    ],
)
@pytest.mark.parametrize("answer", ["B", "b", "(B)", "green", "Green"])
def test_options_and_the_right_one_are_read(options: JSON, answer: JSON) -> None:
    found = arranged(options, answer)
    assert found.options == {"A": "red", "B": "green", "C": "blue"}
    assert found.answer == "B"
    assert found.permutation == (0, 1, 2)


def test_a_position_counts_from_0() -> None:
    assert arranged(["red", "green"], 1).answer == "B"
    assert arranged(["1", "2", "3"], "2").answer == "B"
    assert arranged(["1", "2", "3"], "2", answer_by="position").answer == "C"


@pytest.mark.parametrize(
    ("options", "answer", "problem"),
    [
        ([1, 2, 3], 2, "say which by `answer_by`"),
        ({"A": "B", "B": "A"}, "A", "say which by `answer_by`"),
        (["red", "green"], "blue", "of none of its options"),
        (["red", "green"], 2, "of none of its options"),
        (["red", "green"], ["red"], "of none of its options"),
        (["red"], "red", "give two or more"),
        ("red or green", "red", "holds no options"),
        (7, "red", "holds no options"),
        (["same", "same"], "same", "of none of its options"),
        ([str(k) for k in range(30)], "3", "letters"),
    ],
)
def test_what_is_unclear_is_said(options: JSON, answer: JSON, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        arranged(options, answer)


def test_each_shuffle_is_a_permutation_and_every_place_is_as_likely() -> None:
    places = Counter[str]()
    for k in range(400):
        row = {"right": "yes", "w1": "no", "w2": "maybe", "w3": "never"}
        columns = list(row)
        found = arrange(row, f"q{k}", options=columns, answer="right", shuffle=0)
        assert found.answer is not None
        assert [found.options[found.answer], sorted(found.permutation)] == ["yes", [0, 1, 2, 3]]
        shown = list(found.options.values())
        assert shown == [row[columns[place]] for place in found.permutation]
        again = arrange(row, f"q{k}", options=columns, answer="right", shuffle=0)
        assert again == found
        places[found.answer] += 1
    assert set(places) == set("ABCD")
    assert min(places.values()) > 60


def test_an_option_about_the_others_stays_where_it_makes_sense() -> None:
    for seed in range(9):
        last = arranged(["None of the above", "x", "y", "z"], "x", shuffle=seed)
        assert last.options["D"] == "None of the above"
        fixed = arranged(["x", "y", "Both A and B"], "Both A and B", shuffle=seed)
        assert fixed.permutation == (0, 1, 2)


def data(**fields: JSON) -> Data:
    return Data.model_validate({"file": "rows.csv", "fields": {"problem": "Frage", **fields}})


def test_rows_from_csv_show_their_options(tmp_path: Path) -> None:
    text = 'Frage,R,F1,F2,Fach\n"Wie viel, ungefähr?","1,5",2,,Mathe\n'
    (tmp_path / "rows.csv").write_text(text, encoding="utf-8-sig")
    found = data(answer="R", options=["R", "F1", "F2"], shuffle=3, meta=["Fach"])
    (row,) = rows(found, base=tmp_path)
    options = row["meta"]["options"]
    assert sorted(options.values()) == ["1,5", "2"]
    assert options[row["answer"]] == "1,5"
    assert row["stem"] == "Wie viel, ungefähr?"
    assert row["problem"].splitlines()[2:] == [f"{k}) {v}" for k, v in options.items()]
    assert row["meta"]["Fach"] == "Mathe"
    assert len(row["id"]) == 12


def test_a_bad_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("Frage,a,b,answer\nWas?,x,y,z\n")
    with pytest.raises(DataError, match=r"rows\.csv, line 2: .*the answer 'z'"):
        list(rows(data(options=["a", "b"]), base=tmp_path))
    (tmp_path / "rows.csv").write_text("Frage,a,b,answer\nWas?,x,y\n")
    with pytest.raises(DataError, match="line 2: needs 4 cells"):
        list(rows(data(options=["a", "b"]), base=tmp_path))


def test_rows_without_an_id_are_named_by_their_content(tmp_path: Path) -> None:
    lines = ["Frage,answer", "Eins?,1", "Zwei?,2", "Eins?,3", "Eins?,3"]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    names = {row["id"]: row["answer"] for row in rows(data(), base=tmp_path)}
    assert list(names.values()) == ["1", "2", "3", "3"]
    (tmp_path / "rows.csv").write_text("\n".join([lines[0], *lines[:0:-1]]))
    turned = {row["id"] for row in rows(data(), base=tmp_path)}
    assert {name for name in names if "-" not in name} <= turned
    with pytest.raises(DataError, match="lacks 'id'"):
        list(rows(data(id="id"), base=tmp_path))
