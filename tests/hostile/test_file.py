"""A stranger's file of rollouts: broken, huge when it is unpacked, or named after a formula."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from pathlib import Path

import pandas as pd
import pytest

from cat_bench.cache import Cache, import_pool
from cat_bench.cache.codec import UNPACKED, unpack
from cat_bench.errors import ConfigError, DataError
from cat_bench.loading.data import Data, Fields
from cat_bench.loading.data import rows as data_rows
from cat_bench.loading.validation import read_yaml
from cat_bench.system import rows
from cat_bench.system.rows import read
from cat_bench.system.spreadsheet import csv_of


def test_a_gzip_that_is_a_bomb_is_left_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "UNPACKED", 2**20)
    file = tmp_path / "bomb.jsonl.gz"
    with gzip.open(file, "wb", compresslevel=9) as packed:
        for _ in range(50):
            packed.write(b" " * 2**20 + b"\n")
    with pytest.raises(DataError, match="unpacks to more than"):
        list(read(file))


@pytest.mark.parametrize("name", ["line.jsonl", "line.jsonl.gz"])
def test_a_line_without_an_end_is_not_read_into_memory(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LONGEST", 1000)
    text = b'{"id": "' + b"x" * 2000
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    with pytest.raises(DataError, match=r"line 1: is longer than 1,000 bytes"):
        list(read(tmp_path / name))


def test_no_group_or_method_of_a_stranger_is_a_formula() -> None:
    table = pd.DataFrame({"group": ["=HYPERLINK(1)", "+1", "plain"], "score": [-1.0, 0.5, 1.0]})
    lines = list(csv.reader(csv_of(table).decode().splitlines()))[1:]
    assert [line[0][0] for line in lines] == ["'", "'", "p"]
    assert [line[1] for line in lines] == ["-1.0", "0.5", "1.0"]


FIELDS = Fields(problem="problem", answer="answer")
NINE = "".join(f"a{k}: &a{k} [{f'*a{k - 1}, ' * 9}]\n" for k in range(1, 9))
ALIASES = f"a0: &a0 [x, x]\n{NINE}"


@pytest.mark.parametrize("text", [ALIASES, "a: &a [*a]\n"], ids=["many", "a cycle"])
def test_aliases_that_unfold_without_end_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"unfold to more than 1,000,000 values"):
        read_yaml(tmp_path / "task.yaml")


def test_an_id_that_is_half_a_character_is_refused_with_its_line(tmp_path: Path) -> None:
    row = {"id": "q\ud800", "problem": "Is it?", "answer": "yes", "responses": ["yes"]}
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=r"line 1: the id 'q\\+ud800' holds half of a character"):
        list(data_rows(Data(file="rows.jsonl", fields=FIELDS), base=tmp_path))
    with Cache(tmp_path / "c.sqlite") as cache, pytest.raises(DataError, match="half of a"):
        import_pool(cache, file, name="p")


def test_a_compressed_text_that_is_a_bomb_is_left_before_it_is_unpacked() -> None:
    packed = zlib.compressobj()
    bomb = b"".join(packed.compress(bytes(1 << 20)) for _ in range((UNPACKED >> 20) + 2))
    with pytest.raises(ValueError, match="unpacks to more than"):
        unpack(bomb + packed.flush())
