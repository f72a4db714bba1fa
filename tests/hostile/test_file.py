"""A stranger's file of rollouts: broken, huge when it is unpacked, or named after a formula."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cat_bench.cache import Cache, import_pool, pool_names
from cat_bench.cache.codec import UNPACKED, unpack
from cat_bench.cache.formats import convert, inspect_log
from cat_bench.errors import ConfigError, DataError
from cat_bench.loading.data import Data, Fields
from cat_bench.loading.data import rows as data_rows
from cat_bench.loading.validation import read_yaml, split_inline
from cat_bench.scorers.math_equal import MathEqual
from cat_bench.system import rows
from cat_bench.system.rows import read
from cat_bench.system.spreadsheet import csv_of
from cat_bench.types.calls import JSON


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


@pytest.mark.parametrize("compression", ["DEFLATED", "ZSTANDARD"])
@pytest.mark.parametrize("lies", [False, True])
@pytest.mark.parametrize(
    ("content", "said"),
    [(b" " * 2**20, "unpacks to more than"), (b"[]," * 2000, "has more than 1,000 objects")],
)
def test_a_log_of_inspect_is_measured_before_it_is_read(
    content: bytes, said: str, lies: bool, compression: str, tmp_path: Path
) -> None:
    pytest.importorskip("inspect_ai.log")
    with pytest.MonkeyPatch.context() as small:
        small.setattr(inspect_log, "UNPACKED", 2**20)
        small.setattr(inspect_log, "PARTS_MOST", 1000)
        file = tmp_path / "log.eval"
        with zipfile.ZipFile(file, "w", getattr(zipfile, f"ZIP_{compression}")) as archive:
            for number in range(3):
                archive.writestr(f"samples/{number}_epoch_1.json", content)
        if lies:
            raw, size = bytearray(file.read_bytes()), len(content).to_bytes(4, "little")
            while (place := raw.find(size)) >= 0:
                raw[place : place + 4] = b"\1\0\0\0"
            file.write_bytes(raw)
        with pytest.raises(DataError, match="Bad CRC-32" if lies else said):
            list(convert([file], format="inspect").rows)


def test_an_encrypted_log_of_inspect_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai.log")
    file = tmp_path / "log.eval"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.json", "{}")
    raw = bytearray(file.read_bytes())
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        raw[raw.find(signature) + flags] |= 1
    file.write_bytes(raw)
    with pytest.raises(DataError, match="is encrypted"):
        list(convert([file], format="inspect").rows)


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


VALUES = {
    "a number of 5,000 digits": "9" * 5000,
    "a hexadecimal number": "0x" + "f" * 5000,
    "a number by sixties": ":".join(["1"] * 3000),
    "the 13th month": "2020-13-45",
    "a zone of four days": "2020-01-01T00:00:00+99:99",
    "a tag that does not fit": "!!int abc",
    "no truth": "!!bool maybe",
    "no time": "!!timestamp then",
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_yaml_cannot_hold_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(f"summary: {VALUES[name]}\n")
    with pytest.raises(ConfigError, match="is not YAML") as refused:
        read_yaml(tmp_path / "task.yaml")
    assert str(refused.value).isprintable()
    with pytest.raises(ConfigError, match="is not a YAML value"):
        split_inline(f"vote{{power={VALUES[name]}}}", source="a method")


def test_a_value_that_is_nested_too_deep_is_one_line() -> None:
    with pytest.raises(ConfigError):
        split_inline(f"vote{{power={'[' * 20_000}{']' * 20_000}}}", source="a method")


@pytest.mark.parametrize("pattern", ["(a{4294967295})", "(" * 3000 + ")" * 3000])
def test_a_pattern_that_cannot_be_compiled_is_one_line(pattern: str) -> None:
    with pytest.raises(ConfigError, match="pattern"):
        MathEqual(pattern=pattern)


LARGE = 10**400
ROW = {"id": "a", "problem": "2 + 2?", "answer": "4", "responses": ["4"]}


@pytest.mark.parametrize(
    "more",
    [
        {"scores": {"rm": [LARGE]}},
        {"usage": [{"prompt": LARGE, "completion": 1, "reasoning": 0}]},
        {"usage": [{"prompt": -1, "completion": 1, "reasoning": 0}]},
        {"usage": ["many"]},
        {"token_logprobs": [[LARGE]]},
        {"token_logprobs": [[[0.5]]]},
        {"measures": [[0.5]]},
        {"failures": [7], "responses": [None]},
    ],
    ids=str,
)
def test_a_response_that_could_not_be_loaded_is_not_imported(
    more: dict[str, JSON], tmp_path: Path
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({**ROW, **more}) + "\n")
    with Cache(tmp_path / "c.sqlite") as cache:
        with pytest.raises(DataError, match="line 1: has a malformed entry"):
            import_pool(cache, file, name="p")
        assert pool_names(cache) == []


def _parquet(file: Path, **columns: JSON) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({**{name: [value] for name, value in ROW.items()}, **columns}),
        file,
        compression="zstd",
        dictionary_pagesize_limit=1 << 30,
        store_schema=False,
    )
    return file


def _repeated() -> dict[str, JSON]:
    """A text of 16 MiB a thousand times; the file has two kilobytes."""
    import pyarrow as pa

    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), ["x" * (16 << 20)])
    return {"responses": pa.ListArray.from_arrays(pa.array([0, 1000], pa.int32()), text)}


def _blank() -> dict[str, JSON]:
    """A text of 300 MiB; the file has some kilobytes."""
    return {"problem": [" " * (300 << 20)]}


def _column(values: list[JSON], kind: str) -> dict[str, JSON]:
    import pyarrow as pa

    return {"meta": pa.array(values, pa.int64()).cast(kind)}


def _bytes() -> dict[str, JSON]:
    """A text that is no text."""
    import pyarrow as pa

    offsets = pa.py_buffer(b"\0\0\0\0\2\0\0\0")
    return {
        "meta": pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff\xfe")])
    }


PARQUETS: dict[str, tuple[Callable[[], dict[str, JSON]], str]] = {
    "repeated": (_repeated, "rows hold more than 268,435,456 bytes"),
    "blank": (_blank, "'problem' unpacks to 31"),
    "no text": (_bytes, "holds a value that is not text or a number"),
    "too late": (lambda: _column([2**62], "timestamp[us]"), "not text or a number"),
    "bytes": (lambda: {"meta": [b"x"]}, "holds a value that JSON cannot"),
}


@pytest.mark.parametrize("name", PARQUETS)
def test_a_parquet_file_that_is_a_bomb_or_no_text_is_refused(name: str, tmp_path: Path) -> None:
    columns, problem = PARQUETS[name]
    file = _parquet(tmp_path / "rows.parquet", **columns())
    assert file.stat().st_size < 200_000
    with Cache(tmp_path / "c.sqlite") as cache, pytest.raises(DataError, match=problem):
        import_pool(cache, file, name="p")


def test_a_column_that_comes_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,problem,answer,answer\n1,2 + 2?,4,5\n")
    with pytest.raises(DataError, match="line 1: has two columns 'answer'"):
        list(read(tmp_path / "rows.csv"))
