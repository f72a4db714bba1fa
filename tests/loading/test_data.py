"""Rows come from the right file, at the pinned revision, or not at all."""

from __future__ import annotations

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import ValidationError

from cat_bench.errors import DataError
from cat_bench.loading.data import Data, digest, locate, rows
from cat_bench.system.rows import read
from cat_bench.types.calls import JSON
from tests.places import SHARED

ROWS: list[dict[str, JSON]] = [
    {"id": "a", "problem": "1 + 1?", "answer": "2", "level": 1, "extra": None},
    {"id": 7, "problem": "1 + 2?", "answer": "3", "level": 2, "extra": [1]},
]
FIELDS = {"problem": "problem", "meta": ["level"]}
MATH = {
    "hub": "HuggingFaceH4/MATH-500",
    "revision": "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
    "path": "test.jsonl",
    "local": "math500.jsonl",
    "sha256": "35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132",
    "fields": {"id": "unique_id", "problem": "problem", "meta": ["subject", "level"]},
}
SHARED = SHARED


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAT_BENCH_DATA", raising=False)


def data(**fields: JSON) -> Data:
    return Data.model_validate({"file": "rows.jsonl", "fields": FIELDS, **fields})


def written(folder: Path, *lines: JSON, name: str = "rows.jsonl") -> Path:
    text = "".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines)
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_are_mapped_in_order(name: str, tmp_path: Path) -> None:
    written(tmp_path, *ROWS, "", name=name)
    assert list(rows(data(file=name), base=tmp_path)) == [
        {"id": "a", "problem": "1 + 1?", "answer": "2", "meta": {"level": 1}},
        {"id": "7", "problem": "1 + 2?", "answer": "3", "meta": {"level": 2}},
    ]


def test_parquet_reads_like_jsonl(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = [{**row, "id": str(row["id"]), "extra": None} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(kept), tmp_path / "rows.parquet")
    written(tmp_path, *kept)
    there = list(rows(data(file="rows.parquet"), base=tmp_path))
    assert there == list(rows(data(), base=tmp_path))
    assert [line for line, _ in read(tmp_path / "rows.parquet")] == [1, 2]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"bad\.parquet: cannot be read as Parquet"):
        list(rows(data(file="bad.parquet"), base=tmp_path))


def test_conversations_are_checked(tmp_path: Path) -> None:
    fields = {"id": "id", "messages": "prompt", "answer": "rubrics"}
    turns = [{"role": "user", "content": "hello"}]
    written(tmp_path, {"id": "a", "prompt": turns, "rubrics": [{"points": 5}]})
    [row] = rows(data(fields=fields), base=tmp_path)
    assert row == {"id": "a", "messages": turns, "answer": [{"points": 5}], "meta": {}}
    for broken in ([], "hello", [{"role": "user"}], [{"role": "user", "content": None}]):
        written(tmp_path, {"id": "a", "prompt": broken, "rubrics": []})
        with pytest.raises(DataError, match="line 1: 'prompt' must be a list of"):
            list(rows(data(fields=fields), base=tmp_path))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id": "c", ', "line 3: is not JSON"),
        ("[1]", "line 3: is a JSON list, not an object"),
        ({"id": "c", "problem": "?", "level": 1}, "line 3: lacks 'answer'; there are 'id', 'prob"),
        ({**ROWS[0], "problem": None, "id": "c"}, "line 3: 'problem' must be a non-empty"),
        ({**ROWS[0], "problem": " ", "id": "c"}, "line 3: 'problem' must be a non-empty"),
        ({**ROWS[1], "id": "7"}, "line 3: repeats the id '7'"),
        ({**ROWS[1], "id": ""}, "line 3: 'id' must be a number or a text"),
        ({**ROWS[1], "id": 8, "answer": float("nan")}, "line 3: holds NaN or Infinity"),
        ('{"id": ' + "[" * 99_999, "line 3: is nested too deep"),
    ],
)
def test_a_broken_line_is_named(line: JSON, problem: str, tmp_path: Path) -> None:
    path = written(tmp_path, *ROWS, line)
    with pytest.raises(DataError) as caught:
        list(rows(data(), base=tmp_path))
    assert f"{path}, {problem}" in str(caught.value)


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(tmp_path: Path) -> None:
    path = written(tmp_path, *ROWS)
    plain = list(rows(data(), base=tmp_path))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert list(rows(data(), base=tmp_path)) == plain


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(DataError, match="line 1: is not UTF-8 text"):
        list(rows(data(), base=tmp_path))
    whole = written(tmp_path, *ROWS, name="rows.jsonl.gz").read_bytes()
    (tmp_path / "rows.jsonl.gz").write_bytes(whole[:-12])
    with pytest.raises(DataError, match=r"rows\.jsonl\.gz, line \d: cannot be read"):
        list(rows(data(file="rows.jsonl.gz"), base=tmp_path))


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(DataError, match="holds no row"):
        list(rows(data(), base=tmp_path))


def test_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_text("id,problem")
    with pytest.raises(DataError, match=r"is not \.jsonl, \.jsonl\.gz, \.json, \.csv or"):
        list(rows(data(file="rows.xlsx"), base=tmp_path))


def test_a_missing_file_is_refused_before_the_first_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl: is missing, though the task bundles it"):
        rows(data(), base=tmp_path)
    with pytest.raises(DataError, match="x: is not a file; name the data file, or the folder"):
        rows(data(), base=tmp_path, override=tmp_path / "x")


def test_the_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {name: tmp_path / name for name in ("given", "named", "bundled")}
    for name, folder in folders.items():
        folder.mkdir()
        written(folder, {**ROWS[0], "id": name})
    asked = data(local="rows.jsonl")

    def first(override: Path | None = None) -> str:
        return str(next(rows(asked, base=folders["bundled"], override=override))["id"])

    assert first() == "bundled"
    monkeypatch.setenv("CAT_BENCH_DATA", str(folders["named"]))
    assert first() == "named"
    assert first(folders["given"]) == first(folders["given"] / "rows.jsonl") == "given"
    monkeypatch.setenv("CAT_BENCH_DATA", str(tmp_path))
    assert first() == "bundled"


def test_a_checksum_is_held_against_all_but_a_given_file(tmp_path: Path) -> None:
    path = written(tmp_path, *ROWS)
    digest = sha256(path.read_bytes()).hexdigest()
    assert locate(data(sha256=digest), base=tmp_path).note is None
    other = data(sha256="0" * 64)
    with pytest.raises(DataError, match=f"its SHA-256 is {digest}, and the task pins {'0' * 64}"):
        locate(other, base=tmp_path)
    given = locate(other, base=tmp_path, override=path)
    assert given.sha256 == digest
    assert given.note is not None
    assert "0" * 64 in given.note


@pytest.mark.parametrize(
    "fields",
    [
        {"file": None},
        {"hub": "a/b"},
        {"hub": "a/b", "revision": "main", "path": "x"},
        {"sha256": "abc"},
        {"fields": {"id": "id"}},
        {"fields": {"problem": "p", "messages": "m"}},
        {"url": "x"},
        {"file": 3},
    ],
)
def test_a_section_that_pins_nothing_is_refused(fields: dict[str, JSON]) -> None:
    with pytest.raises(ValidationError):
        data(**fields)


def test_the_real_file_is_the_pinned_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if not (SHARED / "math500.jsonl").is_file():
        pytest.skip("math500.jsonl is not in CAT_BENCH_DATA")
    monkeypatch.setenv("CAT_BENCH_DATA", str(SHARED))
    found = list(rows(Data.model_validate(MATH), base=tmp_path))
    assert len(found) == 500
    assert found[0]["id"] == "test/precalculus/807.json"
    assert found[0]["meta"] == {"subject": "Precalculus", "level": 2}


CONTENT = (json.dumps({**ROWS[0], "unique_id": "u", "subject": "s"}) + "\n").encode()


class Hub(http.server.BaseHTTPRequestHandler):
    """What the Hub answers for one file at one revision."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        there = f"/datasets/{MATH['hub']}/resolve/{MATH['revision']}/test.jsonl"
        self.send_response(200 if self.path == there else 404)
        self.send_header("X-Repo-Commit", str(MATH["revision"]))
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def in_new_process(
    section: dict[str, JSON], home: Path, *, fetch: bool = True, **environment: str
) -> str:
    """The rows, or the error, as a process with this environment sees them."""
    program = (
        "import json, sys, pathlib\n"
        "from cat_bench.loading.data import Data, rows\n"
        "from cat_bench.errors import DataError\n"
        "data = Data.model_validate(json.loads(sys.argv[1]))\n"
        "fetch = json.loads(sys.argv[2])\n"
        "try: print(list(rows(data, base=pathlib.Path('.'), fetch=fetch)))\n"
        "except DataError as error: print(error)\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(section), json.dumps(fetch)],
        env={**kept, "HF_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout


def test_the_hub_serves_the_pinned_revision(hub: str, tmp_path: Path) -> None:
    pinned = {**MATH, "sha256": sha256(CONTENT).hexdigest()}
    assert "'id': 'u'" in in_new_process(pinned, tmp_path, HF_ENDPOINT=hub)
    assert "and the task pins 35dc41" in in_new_process(MATH, tmp_path, HF_ENDPOINT=hub)


def test_without_a_hub_the_way_out_is_named(tmp_path: Path) -> None:
    said = in_new_process(MATH, tmp_path, HF_HUB_OFFLINE="1")
    assert said.startswith(f"HuggingFaceH4/MATH-500/test.jsonl at {MATH['revision']}: cannot be ")
    assert "put the file as math500.jsonl into a folder and set CAT_BENCH_DATA to it" in said
    assert said.count("\n") == 1


def test_an_offline_run_asks_no_hub(hub: str, tmp_path: Path) -> None:
    pinned = {**MATH, "sha256": None}
    said = in_new_process(pinned, tmp_path, fetch=False, HF_ENDPOINT=hub)
    assert "test.jsonl at" in said
    assert "is not here, and this run is offline; put the file as math500.jsonl into" in said
    assert "'id': 'u'" in in_new_process(pinned, tmp_path, HF_ENDPOINT=hub)
    assert "'id': 'u'" in in_new_process(pinned, tmp_path, fetch=False, HF_ENDPOINT=hub)


TALK: dict[str, JSON] = {
    "id": "a",
    "prompt": [{"role": "user", "content": "Hello?"}],
    "rubrics": [{"criterion": "answers", "points": 1}],
    "example_tags": ["theme:t"],
}
TALKS = {"id": "id", "messages": "prompt", "answer": "rubrics", "tags": "example_tags"}


def talks(folder: Path, *lines: JSON, **fields: JSON) -> list[dict[str, JSON]]:
    path = written(folder, *lines)
    section = Data.model_validate({"file": path.name, "fields": TALKS, **fields})
    return list(rows(section, base=folder))


def test_a_conversation_keeps_its_tags_beside_its_target(tmp_path: Path) -> None:
    [row] = talks(tmp_path, {**TALK, "unknown": {"is": "passed over"}})
    assert row["messages"] == TALK["prompt"]
    assert (row["answer"], row["tags"], row["meta"]) == (TALK["rubrics"], ["theme:t"], {})


def test_a_conversation_without_an_id_is_called_by_its_content(tmp_path: Path) -> None:
    [row] = talks(tmp_path, {**TALK, "id": None})
    assert row["id"] == digest(TALK["prompt"])


def test_an_id_with_another_rubric_is_another_row(tmp_path: Path) -> None:
    other = {**TALK, "rubrics": [{"criterion": "greets", "points": 1}]}
    first, second = talks(tmp_path, TALK, other)
    assert (first["id"], second["id"]) == ("a", f"a-{digest(other['rubrics'])}")
    with pytest.raises(DataError, match="line 3: repeats the id 'a-"):
        talks(tmp_path, TALK, other, other)


def test_some_of_a_files_rows(tmp_path: Path) -> None:
    lines = [
        {**TALK, "id": "x", "subsets": ["hard", "long"], "level": 1},
        {**TALK, "id": "y", "subsets": [], "level": 1},
        {**TALK, "id": "z", "subsets": "hard", "level": 2},
    ]
    for where, kept in (
        ({"subsets": "hard"}, ["x", "z"]),
        ({"level": 1}, ["x", "y"]),
        ({"level": 1, "subsets": "hard"}, ["x"]),
        ({"nowhere": "hard"}, ["x", "y", "z"]),
    ):
        assert [row["id"] for row in talks(tmp_path, *lines, where=where)] == kept
    with pytest.raises(DataError, match="line 4: lacks 'subsets', unlike the first row"):
        talks(tmp_path, *lines, {**TALK, "id": "w"}, where={"subsets": "hard"})


def listed(folder: Path, *ids: str, **extra: str) -> Data:
    """Data of three rows, of which these are kept."""
    rows_ = [{"id": i, "q": f"Q{i}", "a": {"x": 1, "y": 2}, "n": 0} for i in ("1", "2", "3")]
    (folder / "rows.json").write_text(json.dumps(rows_))
    (folder / "keep.jsonl").write_text("".join(json.dumps({"id": i, **extra}) + "\n" for i in ids))
    fields = {"problem": "q", "answer": "a" if extra else "n", "entry": "name" if extra else None}
    return Data.model_validate({"file": "rows.json", "keep": "keep.jsonl", "fields": fields})


def test_a_keep_list_chooses_rows_and_adds_columns(tmp_path: Path) -> None:
    kept = list(rows(listed(tmp_path, "3", "1"), base=tmp_path))
    assert [row["id"] for row in kept] == ["1", "3"]
    named = list(rows(listed(tmp_path, "2", name="y"), base=tmp_path))
    assert [(row["id"], row["answer"]) for row in named] == [("2", 2)]


def test_a_keep_list_must_fit_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row whose 'id' is '9'"):
        list(rows(listed(tmp_path, "1", "9"), base=tmp_path))
    with pytest.raises(DataError, match="name each 'id' once"):
        list(rows(listed(tmp_path, "1", "1"), base=tmp_path))
    with pytest.raises(DataError, match="has no entry 'z'"):
        list(rows(listed(tmp_path, "1", name="z"), base=tmp_path))


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[{]", "\xff"])
def test_a_json_file_is_an_array_of_rows(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_bytes(text.encode("latin-1"))
    data = Data.model_validate({"file": "rows.json", "fields": {"problem": "q"}})
    with pytest.raises(DataError):
        list(rows(data, base=tmp_path))


def answers(tmp_path: Path, *lines: JSON, override: bool = False, **fields: JSON) -> list[JSON]:
    """The answers of a file with these rows, whose columns are `fields`."""
    path = written(tmp_path, *lines, name="own.jsonl" if override else "rows.jsonl")
    chosen = data(fields={"problem": "problem", **fields})
    found = rows(chosen, base=tmp_path, override=path if override else None)
    return [row["answer"] for row in found]


BARE = {"problem": "1 + 1?"}
NULL = {"problem": "1 + 3?", "answer": None}
RIGHT = {"problem": "1 + 2?", "answer": "3"}


def test_rows_without_an_answer_are_unlabelled(tmp_path: Path) -> None:
    assert answers(tmp_path, BARE, {"problem": "2 + 2?"}) == [None, None]
    assert answers(tmp_path, NULL, RIGHT) == [None, "3"]
    assert answers(tmp_path, BARE, RIGHT) == [None, "3"]
    assert answers(tmp_path, RIGHT, NULL, answer="answer") == ["3", None]
    assert answers(tmp_path, RIGHT, answer=None) == [None], "labels that are not to be read"
    assert answers(tmp_path, BARE, answer="gold", tags="tags", override=True) == [None]


def test_a_column_that_is_missing_by_mistake_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: lacks 'answer'; .* write null in a row without"):
        answers(tmp_path, RIGHT, BARE)
    with pytest.raises(DataError, match="line 1: lacks 'gold'"):
        answers(tmp_path, RIGHT, answer="gold")
    with pytest.raises(DataError, match="line 2: lacks 'answer'"):
        answers(tmp_path, RIGHT, BARE, override=True)


def test_an_empty_cell_of_a_csv_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("problem,answer\n1 + 1?,2\n1 + 2?,\n")
    chosen = data(file="rows.csv", fields={"problem": "problem"})
    assert [row["answer"] for row in rows(chosen, base=tmp_path)] == ["2", None]


def test_unlabelled_options_are_shown(tmp_path: Path) -> None:
    row = {**BARE, "options": ["2", "3"]}
    written(tmp_path, row)
    chosen = data(fields={"problem": "problem", "options": "options"})
    (found,) = rows(chosen, base=tmp_path)
    assert (found["problem"], found["answer"]) == ("1 + 1?\n\nA) 2\nB) 3", None)
    written(tmp_path, {**BARE, "right": None, "wrong": "3", "other": "4"})
    options = ["right", "wrong", "other"]
    chosen = data(fields={"problem": "problem", "options": options, "answer": "right"})
    with pytest.raises(DataError, match="an empty 'right', the column of the right option"):
        list(rows(chosen, base=tmp_path))
