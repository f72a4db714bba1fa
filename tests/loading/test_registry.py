"""Plug-ins by name: what is there, and one line for what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from cat_bench.errors import ConfigError, UnknownName
from cat_bench.loading.registry import BUILT_IN, Kind, build, list_ignored, list_plugins, load

FILE = """
from dataclasses import dataclass

def shout(text):
    return text.upper()

@dataclass(frozen=True)
class Mine:
    power: float = 1.0

class Fussy:
    def __init__(self, needed):
        raise RuntimeError("not today,\\nnot tomorrow")

a_number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_built_in_loads(kind: Kind) -> None:
    assert list_plugins(kind).items() >= BUILT_IN[kind].items()
    for name in BUILT_IN[kind]:
        assert callable(load(kind, name))


def test_a_class_in_a_file(file: Path) -> None:
    assert build("aggregator", f"{file}:Mine", {"power": 2}).power == 2.0
    assert build("aggregator", "mine.py:Mine", {}, base=file.parent).power == 1.0
    assert load("backend", f"{file}:shout")("a") == "A"
    assert load("aggregator", f"{file}:Mine") is load("signal", f"{file}:Mine")


@pytest.mark.parametrize(
    ("spec", "params", "message"),
    [
        ("{file}:Mien", {}, "has no class or function 'Mien'. Did you mean 'Mine'"),
        ("{file}:a_number", {}, "has no class or function 'a_number'"),
        ("{file}:", {}, "has no class or function ''"),
        ("{file}", {}, "does not name a class: write .*mine.py:CLASS"),
        ("{folder}/none.py:Mine", {}, "there is no such file"),
        ("{folder}/broken.py:Mine", {}, "fails on import: ZeroDivisionError"),
        ("{folder}/garbage.py:Mine", {}, "fails on import: SyntaxError"),
        ("{folder}/script.py:Mine", {}, "fails on import: SystemExit: usage"),
        ("{file}:Mine", {"powr": 2}, "powr: is not a known field. Did you mean 'power'"),
        ("{file}:Mine", {"power": "much"}, "power: Input should be a valid number"),
        ("{file}:Fussy", {}, "missing 1 required positional argument: 'needed'"),
        ("{file}:Fussy", {"needed": 1}, "RuntimeError: not today"),
    ],
)
def test_what_is_wrong_with_a_file(
    spec: str, params: dict[str, object], message: str, file: Path
) -> None:
    (file.parent / "broken.py").write_text("1 / 0\n")
    (file.parent / "garbage.py").write_text("class Mine(:\n")
    (file.parent / "script.py").write_text("raise SystemExit('usage')\n")
    with pytest.raises(ConfigError, match=message):
        build("aggregator", spec.format(file=file, folder=file.parent), params)


def test_a_file_that_failed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "late.py"
    path.write_text("1 / 0")
    with pytest.raises(ConfigError):
        load("signal", f"{path}:Late")
    path.write_text("class Late:\n    pass\n")
    assert load("signal", f"{path}:Late")().__class__.__name__ == "Late"


def test_entry_points_that_nothing_finds_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "ideas-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ideas\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[cat_bench]\naggregator.mine = ideas:Mine\n"
        "reward.gold = ideas:Gold\nagregator.typo = ideas:Typo\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert list_plugins("aggregator")["mine"] == "ideas:Mine"
    found = list_ignored()
    assert found["reward.gold"] == "ideas:Gold (ignored: the built-in one keeps its name)"
    assert found["agregator.typo"] == "ideas:Typo (ignored: no such kind)"
    assert "aggregator.mine" not in found


def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(UnknownName, match=r"there is no aggregator 'voet'\. Did you mean 'vote'"):
        load("aggregator", "voet")


def test_looking_at_names_imports_nothing() -> None:
    program = (
        "import sys; from cat_bench.loading.registry import list_ignored, list_plugins;"
        "list_plugins('aggregator');"
        "print([m for m in sys.modules if m.startswith('cat_bench.agg')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
