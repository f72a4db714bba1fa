"""Rows go in, come out again from what was published, and do not come out once they are wrong."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow.parquet import read_table

from cat_bench.leaderboard import COLUMNS, read, render
from cat_bench.leaderboard.rows import NUMBERS, add_digest, append, claims
from tests.conftest import Workshop
from tests.leaderboard.hub import Hub, serving

FREE, CALLING = "majority", "cat"
RUN = ("run", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "8", "--n", "2,4")
Row = dict[str, str]


@pytest.fixture
def board(workshop: Workshop) -> Path:
    """A leaderboard with the rows of one run, its pool and its calls published."""
    status, _, err = workshop.run(*RUN, "--method", "majority,cat,best_of_n{by=length}")
    assert status == 0, err
    status, out, err = workshop.run("leaderboard", "add", _run(workshop), *PUBLISHED)
    assert status == 0, err
    assert out == "results/leaderboard.csv: 6 rows added, 0 existed before\n"
    return workshop.folder / "results" / "leaderboard.csv"


PUBLISHED = ("--pool", "results/pools/toy.parquet", "--calls", "results/pools/toy-calls.parquet")


def _run(workshop: Workshop) -> str:
    (path,) = (workshop.folder / "results").glob("*/run.json")
    return str(path.parent)


def _check(workshop: Workshop, *, status: int = 0) -> dict[tuple[str, str], dict[str, str]]:
    """The findings by method and n."""
    found, out, err = workshop.run("leaderboard", "check", "--json")
    assert found == status, err
    return {(row["method"], row["n"]): row for row in json.loads(out)}


def _rewrite(board: Path, change: Callable[[Row], Row]) -> None:
    rows = [change(row) for row in read(board)]
    board.unlink()
    append(board, rows)


def test_every_row_reproduces_without_the_model_and_without_the_cache(
    workshop: Workshop, board: Path
) -> None:
    (workshop.folder / "cache.sqlite").unlink()
    (workshop.folder / "model.py").unlink()
    found = _check(workshop)
    assert {row["verdict"] for row in found.values()} == {"reproduced"}
    assert found[FREE, "4"]["reason"] == "from pools/toy.parquet"
    assert found[CALLING, "4"]["reason"] == "from pools/toy-calls.parquet"


def test_rows_given_to_the_run_are_given_to_the_leaderboard(workshop: Workshop) -> None:
    rows = (workshop.folder / "toy" / "rows.jsonl").rename(workshop.folder / "mine.jsonl")
    given = ("--data", str(rows))
    status, _, err = workshop.run(*RUN, *given, "--method", "majority,cat")
    assert status == 0, err
    status, _, err = workshop.run("leaderboard", "add", _run(workshop), *PUBLISHED)
    assert status != 0
    assert "rows.jsonl" in err
    status, out, err = workshop.run("leaderboard", "add", _run(workshop), *PUBLISHED, *given)
    assert (status, out) == (0, "results/leaderboard.csv: 4 rows added, 0 existed before\n"), err
    for row in _check(workshop, status=1).values():
        middle = len(row["reason"]) // 2
        assert row["verdict"] == "out of reach"
        assert row["reason"][:middle].strip("; ") != row["reason"][middle:].strip("; ")
    (workshop.folder / "cache.sqlite").unlink()
    _, out, err = workshop.run("leaderboard", "check", "--json", *given)
    assert {row["verdict"] for row in json.loads(out)} == {"reproduced"}, err


def test_without_the_calls_only_the_free_methods_can_be_recomputed(
    workshop: Workshop, board: Path
) -> None:
    def without_calls(row: Row) -> Row:
        alone = {**row, "published_calls": ""}
        return add_digest({**alone, "as_claimed": " ".join(claims(alone))})

    _rewrite(board, without_calls)
    found = _check(workshop)
    assert found[FREE, "2"]["verdict"] == "reproduced"
    assert found[CALLING, "2"]["verdict"] == "out of reach"
    assert (
        found[CALLING, "2"]["reason"]
        == "the method calls a model, which a pool cannot replay; no calls are published"
    )


def test_files_that_are_not_there_are_named_in_short(workshop: Workshop, board: Path) -> None:
    for file in (workshop.folder / "results" / "pools").iterdir():
        file.unlink()
    reasons = {row["reason"] for row in _check(workshop, status=1).values()}
    assert reasons == {
        "results/pools/toy.parquet: is missing; check the path; "
        "results/pools/toy-calls.parquet: is missing; check the path"
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "is not a leaderboard; `cat-bench leaderboard add RUN` begins one"),
        (b"", "does not have the columns of a leaderboard of version 2"),
        (b"version;date\n", "does not have the columns of a leaderboard of version 2"),
        (b"\xff\xfev\x00", "cannot be read as CSV in UTF-8"),
    ],
)
def test_a_file_that_is_no_leaderboard_does_not_pass(
    content: bytes | None, problem: str, workshop: Workshop
) -> None:
    if content is not None:
        (workshop.folder / "own.csv").write_bytes(content)
    for command in ("check", "render"):
        status, _, err = workshop.run("leaderboard", command, "--board", "own.csv")
        assert (status, err.count("\n")) == (2, 1)
        assert f"own.csv: {problem}" in err


def test_what_a_spreadsheet_adds_in_front_is_no_matter(board: Path) -> None:
    rows = read(board)
    board.write_bytes(b"\xef\xbb\xbf" + board.read_bytes().replace(b"\n", b"\r\n"))
    assert read(board) == rows


def test_one_changed_digit_is_refused(workshop: Workshop, board: Path) -> None:
    def forged(row: Row, *, resealed: bool) -> Row:
        if (row["method"], row["n"]) != (FREE, "4"):
            return row
        digit = "1" if row["score"][-1] != "1" else "2"
        changed = {**row, "score": row["score"][:-1] + digit}
        return add_digest(changed) if resealed else changed

    _rewrite(board, lambda row: forged(row, resealed=False))
    found = _check(workshop, status=1)
    assert found[FREE, "4"]["verdict"] == "refused"
    assert "was changed" in found[FREE, "4"]["reason"]
    _rewrite(board, lambda row: forged(row, resealed=True))
    found = _check(workshop, status=1)
    assert found[FREE, "4"]["reason"].startswith("score is ")
    assert [row["verdict"] for row in found.values()].count("refused") == 1


@pytest.mark.parametrize("name", ["questions", "diff", "tokens", "task_digest", "pool_digest"])
def test_any_other_cell_is_recomputed_too(name: str, workshop: Workshop, board: Path) -> None:
    _rewrite(board, lambda row: add_digest({**row, name: "7"}) if row["method"] == CALLING else row)
    found = _check(workshop, status=1)
    assert found[CALLING, "4"]["reason"].startswith(f"{name} is 7, and is recomputed as ")
    assert found[FREE, "4"]["verdict"] == "reproduced"


def test_a_pool_that_was_tampered_with_is_no_ground(workshop: Workshop, board: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = board.parent / "pools" / "toy.parquet"
    table = pq.read_table(file)
    said = [["so yes"] * 8 for _ in range(table.num_rows)]
    column = table.schema.get_field_index("responses")
    pq.write_table(table.set_column(column, "responses", pa.array(said)), file)
    assert _check(workshop, status=1)[FREE, "2"]["reason"].startswith("pool_digest is ")


def test_adding_again_adds_nothing_and_changes_nothing(workshop: Workshop, board: Path) -> None:
    before = board.read_bytes()
    said = workshop.run("leaderboard", "add", _run(workshop))
    assert said[:2] == (0, "results/leaderboard.csv: 0 rows added, 6 existed before\n")
    assert board.read_bytes() == before
    _rewrite(board, lambda row: add_digest({**row, "score": "0.5"}))
    status, _, err = workshop.run("leaderboard", "add", _run(workshop))
    assert status == 2
    assert "rows never change" in err


def test_a_row_that_is_there_twice_is_refused(workshop: Workshop, board: Path) -> None:
    append(board, read(board)[:1])
    status, out, _ = workshop.run("leaderboard", "check", "--json")
    assert status == 1
    assert json.loads(out)[-1]["reason"] == "repeats line 2"


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-2", "@SUM(A1)", "'=x", "plain"])
def test_no_name_is_a_formula(name: str, tmp_path: Path) -> None:
    board = tmp_path / "board.csv"
    counts = ("n", "pool_size", "draws", "questions")
    numbers = {**dict.fromkeys(NUMBERS, "0"), **dict.fromkeys(counts, "1"), "diff": "-0.5"}
    row = add_digest({**dict.fromkeys(COLUMNS, ""), **numbers, "model": name})
    append(board, [row])
    with board.open(newline="") as file:
        cells = dict(zip(COLUMNS, list(csv.reader(file))[1], strict=True))
    assert not cells["model"].startswith(("=", "+", "-", "@"))
    assert cells["diff"] == "-0.5"
    assert read(board) == [row]


def test_what_is_printed_for_people(workshop: Workshop, board: Path) -> None:
    shown = render(read(board))
    assert "## toy/task.yaml" in shown
    assert "4 of 8" in shown
    assert "2 of 8" not in shown
    assert workshop.run("leaderboard", "render")[1].strip() == shown.strip()


def test_a_fresh_cache_with_the_calls_gives_the_very_table(workshop: Workshop, board: Path) -> None:
    table = Path(_run(workshop), "table.md").read_text()
    workshop.monkeypatch.setenv("CAT_BENCH_CACHE", str(workshop.folder / "fresh.sqlite"))
    calls = workshop.calls
    file = "results/pools/toy-calls.parquet"
    status, out, err = workshop.run("cache", "import", file)
    assert (status, out) == (0, f"{file}: {calls} results\n"), err
    method = ("--method", "majority,cat,best_of_n{by=length}", "--out", "again", "--offline")
    status, _, err = workshop.run(*RUN, *method)
    assert status == 0, err
    assert workshop.calls == calls
    assert Path("again", "table.md").read_text() == table
    assert workshop.run("cache", "verify")[0] == 0


def test_calls_are_exported_on_their_own_and_tampering_shows(
    workshop: Workshop, board: Path
) -> None:
    import pyarrow.parquet as pq

    status, out, err = workshop.run("cache", "export", "c.parquet", "--calls", _run(workshop))
    assert status == 0, err
    assert out.startswith(f"c.parquet: {workshop.calls} results, digest ")
    said, table = pq.read_metadata("c.parquet").metadata, pq.read_table("c.parquet")
    pq.write_table(table.slice(2).replace_schema_metadata(said), "c.parquet")
    workshop.monkeypatch.setenv("CAT_BENCH_CACHE", str(workshop.folder / "fresh.sqlite"))
    status, _, err = workshop.run("cache", "import", "c.parquet")
    assert status == 2
    assert "belongs to no call" in err or "does not match its digest" in err
    assert workshop.run("cache", "import", "toy/rows.jsonl")[0] == 2


def test_another_cache_has_nothing_to_publish(workshop: Workshop, board: Path) -> None:
    workshop.monkeypatch.setenv("CAT_BENCH_CACHE", str(workshop.folder / "fresh.sqlite"))
    run = _run(workshop)
    for option in ("--pool", "--calls"):
        status, _, err = workshop.run("leaderboard", "add", run, option, "x.parquet")
        assert status == 2, err
        assert not Path("x.parquet").exists()


def _push(workshop: Workshop, hub: Hub, token: str) -> tuple[int | None, str, str]:
    """Add the run once more, its pool to the stand-in; status, stdout and stderr."""
    add = ["leaderboard", "add", _run(workshop), "--pool", "p.parquet", "--hub", "me/toy"]
    process = workshop.start(
        *add, HF_ENDPOINT=hub.url, HF_TOKEN=token, HF_HOME="hub", HF_HUB_DISABLE_XET="1"
    )
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_pool_goes_to_the_hub_and_comes_back(workshop: Workshop, board: Path) -> None:
    with serving() as hub:
        status, out, err = _push(workshop, hub, hub.token)
        assert status == 0, err
        assert out.splitlines()[-1] == f"{hub.url}/datasets/me/toy"
    files = hub.repositories["me/toy"]
    (pushed,) = (data for name, data in files.items() if name.endswith(".parquet"))
    Path("back.parquet").write_bytes(pushed)
    assert b"num_examples: 6" in files["README.md"]
    assert read_table("back.parquet").to_pylist() == read_table("p.parquet").to_pylist()
    status, out, err = workshop.run("cache", "import", "back.parquet", "--task", "pool:back")
    assert status == 0, err
    assert "6 × 8" in out


def test_a_hub_that_refuses_is_one_line(workshop: Workshop, board: Path) -> None:
    with serving() as hub:
        status, _, err = _push(workshop, hub, "hf_of_somebody_else")
    assert status == 2
    assert err.splitlines()[-1].startswith("cat-bench: me/toy cannot be written on the Hub: ")
    assert "401" in err.splitlines()[-1]
    assert hub.repositories == {}


def test_a_hub_that_cannot_be_reached_is_one_line(workshop: Workshop, board: Path) -> None:
    add = ["leaderboard", "add", _run(workshop), "--pool", "p.parquet", "--hub", "me/toy"]
    process = workshop.start(*add, HF_ENDPOINT="http://127.0.0.1:9", HF_TOKEN="hf_none")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "p.parquet" not in err
    assert err.splitlines()[-1].startswith("cat-bench: me/toy cannot be written on the Hub: ")
    assert "6 existed before" in out
    assert workshop.run("leaderboard", "add", _run(workshop), "--hub", "me/toy")[0] == 2


JUDGE = '''\
async def reply(request, seed):
    """Writes, synthesises and judges, by what it is asked."""
    asked = request.messages[-1]["content"]
    if "criteria_met" in asked or '"met"' in asked:
        return '{"explanation": "so", "met": %s}' % ("true" if len(asked) % 2 else "false")
    return "# UNIFIED RESPONSE\\nSee a doctor." if "drafts" in asked else "Rest. " * (seed % 5 + 1)
'''


def test_verdicts_are_published_too(workshop: Workshop) -> None:
    Path("model.py").write_text(JUDGE)
    model = ("--model", "scripted:./model.py:reply", "--judge", "scripted:./model.py:reply")
    run = ("run", "healthbench-mini", *model, "--pool", "4", "--n", "2", "--limit", "2")
    for _ in range(2):  # the second time, every score is remembered, and no verdict is looked up
        status, _, err = workshop.run(*run, "--method", "single,cat,min-perplexity")
        assert status == 0, err
    status, _, err = workshop.run("leaderboard", "add", _run(workshop), *PUBLISHED)
    assert status == 0, err
    (workshop.folder / "cache.sqlite").unlink()
    (workshop.folder / "model.py").unlink()
    found = _check(workshop)
    assert found[CALLING, "2"]["verdict"] == "reproduced", found
    (row,) = read(workshop.folder / "results" / "leaderboard.csv")
    assert row["judge_audit"] == "not audited"
    assert row["as_claimed"] == "date judge_audit code command pool"
    assert row["judge"].startswith("scripted:./model.py:reply ")


def test_a_check_ends_with_a_line_of_counts(workshop: Workshop, board: Path) -> None:
    status, _, err = workshop.run("leaderboard", "check")
    assert (status, err.splitlines()[-1]) == (0, "results/leaderboard.csv: 6 reproduced.")
    for file in (workshop.folder / "results" / "pools").iterdir():
        file.write_bytes(b"")
    status, _, err = workshop.run("leaderboard", "check")
    assert status == 1
    assert "6 out of reach: no row could be recomputed here" in err
