"""The study of training is a table, a figure and a page of whatever is done."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from tools.tally.study import main
from tools.tally.study_lines import Training, published
from tools.tally.study_summary import summary

ROOT = Path(__file__).parents[3]


def test_nothing_done_is_nothing_to_show(tmp_path: Path) -> None:
    assert summary([Training("cat-rl", 1, tmp_path)]) == {}


def test_levels_are_tallys() -> None:
    refused = CliRunner().invoke(main, ["--task", "counsel", "--level", "4"])
    assert refused.exit_code == 2
    assert "--level is about tally's problems" in refused.output


def test_a_published_table_is_read_as_it_was_written() -> None:
    path = ROOT / "results" / "training" / "summary.csv"
    rows = pd.read_csv(path).to_dict("records")
    for line, row in zip(published(path), rows, strict=True):
        flat = {
            f"{part}{inner}" if inner else part: value
            for part, whole in asdict(line).items()
            for inner, value in (
                {f"_{name}": each for name, each in whole.items()}.items()
                if isinstance(whole, dict)
                else {"": whole}.items()
            )
        }
        assert flat.keys() >= row.keys()
        for name, value in zip(map(str, row), row.values(), strict=True):
            missing = flat[name] is None or flat[name] == "" or flat[name] != flat[name]
            assert missing if pd.isna(value) else flat[name] == value, name
    assert published(path.with_name("nothing.csv")) == []


def test_the_gain_beyond_a_control_is_the_difference_of_two_gains() -> None:
    lines = {line.recipe: line for line in published(ROOT / "results/training/summary.csv")}
    beyond = lines["ttrl"].beyond(lines["random"])
    assert lines["random"].control
    assert not lines["ttrl"].control
    assert beyond.mean == pytest.approx(lines["ttrl"].after - lines["random"].after, abs=2e-4)
    assert beyond.low < beyond.mean < beyond.high
    assert beyond.se >= lines["ttrl"].gain.se


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    monkeypatch.setenv("CAT_BENCH_RESULTS", str(tmp_path / "runs"))


@pytest.mark.slow
def test_a_study_without_votes(tmp_path: Path) -> None:
    options = ["--task", "counsel", "--recipes", "judge", "--seeds", "1", "--steps", "1"]
    done = CliRunner().invoke(main, [*options, "--questions", "4"])
    assert done.exit_code == 0, done.output
    page = (tmp_path / "training-counsel" / "README.md").read_text()
    assert "`counsel`" in page
    assert "majority" not in page


@pytest.mark.slow
def test_a_short_study(tmp_path: Path) -> None:
    options = ["--recipes", "ttrl,sft", "--seeds", "1", "--steps", "2", "--questions", "12"]
    done = CliRunner().invoke(main, [*options, "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "out" / "summary.csv").set_index("recipe")
    assert list(table.index) == ["ttrl", "sft"]
    assert table["gain_mean"].between(table["gain_low"], table["gain_high"]).all()
    assert table["gain_mean"].between(table["least"] - 1e-4, table["most"] + 1e-4).all()
    assert table["apart_mean"].iloc[0] == 0, "the first recipe is the one that others are held to"
    assert table["first_reference_accuracy"].between(0.05, 1).all()
    steps = pd.read_csv(tmp_path / "out" / "steps.csv")
    assert steps.groupby("recipe")["step"].apply(list).to_dict() == {"ttrl": [1, 2], "sft": [1, 2]}
    page = (tmp_path / "out" / "README.md").read_text()
    assert "| ttrl " in page
    assert "Missing" not in page
    figure = (tmp_path / "out" / "training.svg").read_text()
    for text in ("tally · tally, trained by each recipe · 12 questions", "%, mean of 7 steps"):
        assert text in figure
    again = CliRunner().invoke(main, options)
    assert "ttrl, seed 1: there already" in again.output
