"""A stranger's run record: whatever it names, nothing in it is run before the user trusts it."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import pytest

from cat_bench.audit.judge import FORMAT, find
from cat_bench.errors import ConfigError, DataError
from cat_bench.types.calls import JSON
from tests.conftest import TASK, Workshop

EVIL = """\
from pathlib import Path

Path(__file__).with_name("ran").touch()


class T:
    pass
"""
EVAL = """\
task: theirs
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
doc_to_text: !function evil.T
doc_to_target: "{{answer}}"
output_type: generate_until
metric_list: [{metric: exact_match}]
"""
RUN = ("run", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "4", "--n", "2")
PUBLISHED = ("--pool", "pool.parquet", "--calls", "calls.parquet")
COMMANDS = (
    ("show", "RUN", "--question", "q0"),
    ("report", "RUN", "--html"),
    ("cache", "export", "again.parquet", "--calls", "RUN"),
    ("leaderboard", "add", "RUN", "--pool", "again.parquet"),
    ("leaderboard", "check"),
)


def _task(record: dict[str, JSON]) -> None:
    record["config"]["task"] = "./evil/evil.py:T"


def _yaml(record: dict[str, JSON]) -> None:
    record["config"]["task"] = "evil/task.yaml"


def _lm_eval(record: dict[str, JSON]) -> None:
    record["config"]["task"] = "lm-eval:theirs{include_path=evil}"


def _spec(record: dict[str, JSON]) -> None:
    record["methods"][0]["spec"] = "./evil/evil.py:T"


def _signal(record: dict[str, JSON]) -> None:
    vote = {**record["methods"][0], "name": "vote{by=./evil/evil.py:T}"}
    record["methods"].insert(0, vote)


FORGERS: tuple[Callable[[dict[str, JSON]], None], ...] = (_task, _yaml, _spec, _signal, _lm_eval)


@pytest.fixture
def folder(workshop: Workshop) -> Path:
    """A published run whose task is plain, in a place where nobody has said `--trust`."""
    Path("toy/task.yaml").write_text(TASK.replace("./scorer.py:LastWord", "math_equal"))
    status, _, err = workshop.run(*RUN, "--method", "majority,cat")
    assert status == 0, err
    (path,) = Path(workshop.folder, "results").glob("*/run.json")
    status, _, err = workshop.run("leaderboard", "add", str(path.parent), *PUBLISHED)
    assert status == 0, err
    Path("evil").mkdir()
    Path("evil/evil.py").write_text(EVIL)
    Path("evil/theirs.yaml").write_text(EVAL)
    Path("evil/rows.jsonl").write_text('{"answer": "yes"}\n')
    Path("evil/task.yaml").write_text(TASK.replace("./scorer.py:LastWord", "./evil.py:T"))
    workshop.monkeypatch.delenv("CAT_BENCH_TRUST")
    return path.parent


def _forged(folder: Path, forge: Callable[[dict[str, JSON]], None], *, files: JSON = None) -> None:
    """Let the run's folder and both published files hold another record."""
    import pyarrow.parquet as pq

    record = json.loads((folder / "run.json").read_text())
    forge(record)
    if files is not None:
        record["files"] = files
    (folder / "run.json").write_text(json.dumps(record))
    for name in PUBLISHED[1::2]:
        table, metadata = pq.read_table(name), pq.read_metadata(name).metadata
        said = json.loads(metadata[b"cat_bench"])
        whole = json.dumps({**said, "run": record})
        pq.write_table(table.replace_schema_metadata({"cat_bench": whole}), name)


@pytest.mark.parametrize("forge", FORGERS)
def test_no_command_runs_what_a_record_names(
    forge: Callable[[dict[str, JSON]], None], workshop: Workshop, folder: Path
) -> None:
    if forge is _lm_eval and find_spec("lm_eval") is None:
        pytest.skip("lm-eval is not installed")
    recorded = {"evil/evil.py": sha256(EVIL.encode()).hexdigest()}
    _forged(folder, forge, files=recorded)
    said = ""
    for command in COMMANDS:
        _, out, err = workshop.run(*(part.replace("RUN", str(folder)) for part in command))
        assert not Path("evil/ran").exists(), command
        assert "Traceback" not in err
        said += out + err
    assert "is named by the record and would have been run; it was not: " in said


def test_trust_runs_the_recorded_file_and_no_other(workshop: Workshop, folder: Path) -> None:
    show = ("show", str(folder), "--question", "q0", "--trust")
    _forged(folder, _yaml)
    err = workshop.run(*show)[2]
    assert "the record does not hold the digest that it has" in err
    assert not Path("evil/ran").exists()
    _forged(folder, _yaml, files={"evil.py": sha256(EVIL.encode()).hexdigest()})
    workshop.run(*show)
    assert Path("evil/ran").exists()


@pytest.mark.parametrize("files", [[], "all", {"evil.py": None}, {"evil.py": ["x"]}])
def test_a_record_that_holds_no_digests_has_no_files(
    files: JSON, workshop: Workshop, folder: Path
) -> None:
    _forged(folder, _task, files=files)
    assert "--trust" not in workshop.run("show", str(folder), "--question", "q0", "--trust")[2]
    assert not Path("evil/ran").exists()


def test_a_run_of_ones_own_records_what_it_loaded(workshop: Workshop, folder: Path) -> None:
    Path("toy/task.yaml").write_text(TASK)
    status, _, err = workshop.run(*RUN, "--method", "majority", "--out", "own")
    assert status == 0, err
    digest = sha256(Path("toy/scorer.py").read_bytes()).hexdigest()
    assert json.loads(Path("own/run.json").read_text())["files"] == {"toy/scorer.py": digest}
    assert "read it, then give --trust" in workshop.run("show", "own", "--question", "q0")[2]
    status, out, err = workshop.run("show", "own", "--question", "q0", "--trust")
    assert (status, err) == (0, "")
    assert "so yes" in out


def test_a_pools_scorer_is_the_importers_and_asks_for_trust(workshop: Workshop) -> None:
    row = {"id": "a", "problem": "Is it?", "answer": "yes", "responses": ["so yes", "so no"]}
    Path("pool.jsonl").write_text(json.dumps(row) + "\n")
    task = ("--task", "pool:theirs", "--scorer", "./toy/scorer.py:LastWord")
    status, _, err = workshop.run("cache", "import", "pool.jsonl", *task)
    assert status == 0, err
    workshop.monkeypatch.delenv("CAT_BENCH_TRUST")
    run = ("run", "pool:theirs", "--method", "majority")
    status, _, err = workshop.run(*run)
    assert status == 2
    assert "scorer.py is named by the record and would have been run; it was not: read it" in err
    status, _, err = workshop.run(*run, "--trust")
    assert status == 0, err


AUDITS = {
    "a list": "[]",
    "a number": "3",
    "deep": "[" * 200_000,
    "digits": "9" * 5000,
    "no judge": json.dumps({"format": FORMAT}),
    "no figures": json.dumps({"format": FORMAT, "judging": {"digest": "abc"}}),
}


@pytest.mark.parametrize("name", AUDITS)
def test_an_audit_of_another_shape_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "audits").mkdir()
    (tmp_path / "audits" / "abc-1.json").write_text(AUDITS[name])
    with pytest.raises((DataError, ConfigError), match=r"abc-1\.json"):
        find("abc", tmp_path / "run")


@pytest.mark.parametrize("digest", ["/etc/passwd", "../**/*", "**/**/**/", "*", "[", "a\0b"])
def test_the_digest_of_a_judge_is_no_pattern_of_files(digest: str, tmp_path: Path) -> None:
    (tmp_path / "audits").mkdir()
    (tmp_path / "audits" / "abc-1.json").write_text("{")
    assert find(digest, tmp_path / "run") == []
