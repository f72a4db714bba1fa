"""The files: whole, the same every time, and legible."""

from __future__ import annotations

import csv
import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from cat_bench.errors import DataError
from cat_bench.evaluation.rows import ScoreRow
from cat_bench.report import markdown, summarise, write
from cat_bench.report.summary import is_settled
from cat_bench.types.records import Question, Sample
from tests.report.conftest import WARNINGS_FAIL

if TYPE_CHECKING:
    from tests.report.conftest import Runs

pytestmark = WARNINGS_FAIL

NAMES = [
    *("table.csv", "table.md", "compute.csv", "compute.md", "forensics.csv", "forensics.md"),
    *("curve.png", "curve.svg", "compute.png", "compute.svg", "forest.png", "forest.svg"),
]
FIGURE = NAMES.index("curve.svg")
HOSTILE = ["a|b{x=1}", "=cmd()", "_under", "$x_1$ & <b>", "投票", "two\nlines", "\x00\x1b"]
LEADING = (
    "task,model,method,n,questions,score,se,ci_low,ci_high,reference,diff,diff_low,diff_high,p,"
    "diff_single,diff_single_low,diff_single_high,p_single,unscored,calls,prompt_tokens,"
    "shared_prompt_tokens,completion_tokens,reasoning_tokens,abstained,fallback,lost,draws,kind,"
    "flag,reason"
)


def random_rows(names: list[str], budgets: list[int], *, questions: int = 6) -> list[ScoreRow]:
    rng = np.random.default_rng(1)
    return [
        ScoreRow(
            question=f"q{i}", method=name, n=n, score=float(rng.random()), completion_tokens=1 + n
        )
        for i in range(questions)
        for name in names
        for n in budgets
    ]


def texts(path: Path) -> list[str]:
    return [e.text or "" for e in ElementTree.parse(path).iter() if e.tag.endswith("}text")]


def test_a_second_report_has_the_same_bytes(runs: Runs) -> None:
    folder = runs.build(random_rows(["single", "majority", "cat", "oracle"], [1, 2, 4]))
    before = sorted(path.name for path in folder.iterdir())
    paths = write(folder)
    assert paths == [folder / name for name in NAMES]
    first = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in write(folder)] == first
    assert sorted(path.name for path in folder.iterdir()) == sorted([*before, *NAMES])
    assert (folder / "table.md").read_text(encoding="utf-8") == markdown(folder)


def test_another_process_writes_the_same_bytes(runs: Runs) -> None:
    folder = runs.build(random_rows(["single", "majority", "cat", "oracle", "a", "b"], [1, 2]))
    code = "import pathlib, sys, cat_bench.report as r; r.write(pathlib.Path(sys.argv[1]))"
    contents = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env=environment)
        contents.append([(folder / name).read_bytes() for name in NAMES])
    assert contents[0] == contents[1]


def test_the_csv_keeps_its_columns_and_every_digit(runs: Runs) -> None:
    folder = runs.build(random_rows(["majority", "=cmd()"], [1, 2]))
    write(folder)
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        lines = list(reader)
    known = LEADING.split(",")
    assert [name for name in reader.fieldnames or () if name in known] == known
    assert [(line["method"], line["n"]) for line in lines] == [
        ("'=cmd()", "1"),
        ("'=cmd()", "2"),
        ("majority", "1"),
        ("majority", "2"),
    ]
    assert [float(line["score"]) for line in lines] == list(summarise(folder)["score"])
    assert lines[-1]["diff"] == lines[-1]["draws"] == lines[-1]["reason"] == ""


def test_the_figure_is_sized_for_print_and_names_every_method(runs: Runs) -> None:
    rows = [
        *random_rows(["single", "majority", "cat", "oracle"], [1, 2, 4]),
        *random_rows(["cat-1"], [1]),
        *random_rows(["greedy"], [0]),
        *runs.scores("hopeless", 4, [None] * 6),
    ]
    png, svg = write(runs.build(rows))[FIGURE - 1 : FIGURE + 1]
    assert struct.unpack(">II", png.read_bytes()[16:24]) == (1300, 780)
    words = texts(svg)
    assert {"single (floor)", "oracle (ceiling)", "majority", "cat", "cat-1", "greedy"} <= set(
        words
    )
    assert {"1", "2", "4", "rollouts read per question, n"} <= set(words)
    assert "hopeless" not in words
    assert all(float(e) >= 8 for e in font_sizes(svg))


def font_sizes(path: Path) -> list[str]:
    styles = [e.get("style", "") for e in ElementTree.parse(path).iter() if e.tag.endswith("}text")]
    return [style.split("px")[0].split()[-1] for style in styles]


def test_the_legend_follows_the_lines_down(runs: Runs) -> None:
    rows = [row for k, name in enumerate("abc") for row in runs.scores(name, 1, [k / 2, 0.5])]
    words = texts(write(runs.build(rows))[FIGURE])
    assert [word for word in words if word in "abc"] == ["c", "b", "a"]


def test_hostile_names_reach_the_figure_as_text(runs: Runs) -> None:
    svg = write(runs.build(random_rows([*HOSTILE, "x" * 90], [1, 2])))[FIGURE]
    assert {"a|b{x=1}", "=cmd()", "_under", "$x_1$ & <b>", "投票", "two lines"} <= set(texts(svg))
    assert "x" * 14 + "…" + "x" * 15 in texts(svg)


def test_of_a_long_model_name_the_title_keeps_the_end(runs: Runs) -> None:
    config = {"task": "sums", "model": "org/" * 40 + "tail", "pool": 8}
    svg = write(runs.build(random_rows(["single"], [1, 2]), config=config))[FIGURE]
    title = next(text for text in texts(svg) if text.startswith("…"))
    assert title.endswith("/tail")
    assert len(title) == 45
    assert "sums · 6 questions" in texts(svg)


@pytest.mark.parametrize("budgets", [[8], [0], list(range(1, 17))])
@pytest.mark.parametrize("questions", [1, 5])
def test_runs_of_any_shape_have_a_figure(runs: Runs, budgets: list[int], questions: int) -> None:
    names = ["single", "oracle", *"abcdefgh"]
    paths = write(runs.build(random_rows(names, budgets, questions=questions)))
    assert all(path.stat().st_size for path in paths)


def test_a_run_without_scores_has_an_empty_figure(runs: Runs) -> None:
    paths = write(runs.build([], [runs.method("cat", reason="no anchor was given")]))
    assert all(path.stat().st_size for path in paths)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        write(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_other_figures_name_what_they_show(runs: Runs) -> None:
    metas = [{"level": 1 + k % 3} for k in range(6)]
    samples = [Sample(Question(f"q{i}", (), "", meta), "") for i, meta in enumerate(metas)]
    rows = [
        *random_rows(["single", "majority", "cat", "oracle", "$x_1$"], [1, 2, 4]),
        *random_rows(["greedy"], [0]),
    ]
    rows = [replace(row, prompt_tokens=10.0, completion_tokens=5.0 * row.n) for row in rows]
    folder = runs.build(rows, samples=samples)
    assert [path.name for path in write(folder)][-2:] == ["by-level.png", "by-level.svg"]
    compute, forest, level = (
        texts(folder / f"{name}.svg") for name in ("compute", "forest", "by-level")
    )
    assert {"majority", "cat", "$x_1$", "greedy", "Pareto front"} <= set(compute)
    assert "oracle (ceiling)" not in compute
    assert {"cat, n = 4", "$x_1$, n = 4", "greedy, n = 0"} <= set(forest)
    assert {"score minus majority, points", "(95 % interval; hollow: not settled)"} <= set(forest)
    assert {"level (questions)", "single (floor)", "majority", "cat", "1", "(2)"} <= set(level)
    for words in (compute, forest, level):
        assert "sums · tiny · 6 questions" in words


def test_a_run_of_failures_alone_has_all_its_files(runs: Runs) -> None:
    folder = runs.build([], ["single", "majority"], dropped={"1": 3})
    assert [path.name for path in write(folder)] == [
        name for name in NAMES if name not in {"compute.png", "compute.svg"}
    ]
    for name in ("compute.md", "forensics.md"):
        assert "*no rows*" in (folder / name).read_text()


def test_a_field_of_odd_name_has_a_file(runs: Runs) -> None:
    samples = [Sample(Question(f"q{k}", (), "", {"../a b": k % 2}), "") for k in range(6)]
    paths = write(runs.build(random_rows(["vote"], [1]), samples=samples))
    assert paths[-1].name == "by--a-b.svg"


def test_fields_with_names_alike_have_a_figure_each(runs: Runs) -> None:
    fields = ("год", "век", "a b", "a/b")
    samples = [
        Sample(Question(f"q{k}", (), "", dict.fromkeys(fields, k % 2)), "") for k in range(6)
    ]
    names = {path.name for path in write(runs.build(random_rows(["vote"], [1]), samples=samples))}
    assert {"by-год.svg", "by-век.svg", "by-a-b.svg", "by-a-b-2.svg"} <= names


def test_a_dot_is_filled_where_the_interval_and_the_corrected_p_agree() -> None:
    rows = pd.DataFrame(
        {
            "diff_low": [0.1, 0.1, -0.1, -0.3, 0.1],
            "diff_high": [0.3, 0.3, 0.3, -0.1, 0.3],
            "p_holm": [0.01, 0.06, 0.01, 0.01, float("nan")],
        }
    )
    assert is_settled(rows).tolist() == [True, False, False, True, True]
