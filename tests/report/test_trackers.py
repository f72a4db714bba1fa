"""A run in a local Trackio, Weights & Biases (offline) and MLflow, read back by their readers."""

from __future__ import annotations

import importlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cat_bench.errors import UnknownName, UsageError
from cat_bench.report import summarise, write
from cat_bench.report.trackers import _rename, log_run
from cat_bench.runs.tables import RunTables
from cat_bench.types.calls import JSON
from tests.conftest import Workshop

RUN = ("run", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "4", "--n", "1,2")
METHODS = ("--method", "single,majority,esc{window=2}")


@pytest.fixture
def folder(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run; trackers keep what they are given in the workshop."""
    status, _, err = workshop.run(*RUN, *METHODS)
    assert status == 0, err
    monkeypatch.chdir(workshop.folder)
    (record,) = (workshop.folder / "results").glob("*/run.json")
    return record.parent


def scores_of(folder: Path) -> Mapping[tuple[str, int], float]:
    table = summarise(folder)
    return {(row["method"], int(row["n"])): row["score"] for row in table.to_dict("records")}


def test_mlflow_shows_the_rows(workshop: Workshop, folder: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    place = f"sqlite:///{workshop.folder}/mlflow.db"
    status, out, err = workshop.run("report", str(folder), "--log", f"mlflow:{place}")
    assert status == 0, err
    assert f"experiment 'cat_bench' of {place}" in err
    assert "mlflow" not in out
    client = mlflow.MlflowClient(tracking_uri=place)
    experiment = client.get_experiment_by_name("cat_bench")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["pool"] == "4"
    assert run.data.params["metric.esc-window-2"] == "esc{window=2}"
    plain = {"esc{window=2}": "esc-window-2"}
    for (method, n), score in scores_of(folder).items():
        name = f"{plain.get(method, method)}/score"
        history = {
            each.step: each.value for each in client.get_metric_history(run.info.run_id, name)
        }
        assert history[n] == pytest.approx(score)
    listed = [file.path for file in client.list_artifacts(run.info.run_id)]
    assert listed == ["table.csv"]
    fetched = client.download_artifacts(run.info.run_id, "table.csv", str(workshop.folder))
    assert Path(fetched).read_bytes() == (folder / "table.csv").read_bytes()


def test_a_run_without_labels_is_logged_as_such(workshop: Workshop) -> None:
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    (workshop.folder / "bare.jsonl").write_text(
        '{"problem": "Is it 1?"}\n{"problem": "Is it 2?"}\n'
    )
    assert workshop.run(*RUN, *METHODS, "--data", "bare.jsonl")[0] == 0
    (record,) = (workshop.folder / "results").glob("*/run.json")
    place = f"sqlite:///{workshop.folder}/mlflow.db"
    log_run(record.parent, f"mlflow:{place}")
    client = mlflow.MlflowClient(tracking_uri=place)
    experiment = client.get_experiment_by_name("cat_bench")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.data.params["questions"], run.data.params["unlabelled"]) == ("2", "2")
    assert run.data.metrics["majority/unlabelled"] == 2
    assert not [name for name in run.data.metrics if name.endswith("/score")]


READ_TRACKIO = """
import importlib
import json
import trackio
from trackio.sqlite_storage import SQLiteStorage
(run,) = trackio.Api().runs("sums")
print(json.dumps([run.config, SQLiteStorage.get_logs("sums", run.name, run_id=run.id)]))
"""


def test_trackio_shows_the_rows(
    workshop: Workshop, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trackio")
    place = {**os.environ, "TRACKIO_DIR": str(workshop.folder / "trackio")}
    command = ["-m", "cat_bench", "report", str(folder), "--log", "trackio:sums"]
    done = subprocess.run([sys.executable, *command], env=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Trackio" not in done.stdout
    read = [sys.executable, "-c", READ_TRACKIO]
    shown = subprocess.run(read, env=place, capture_output=True, text=True, check=True)
    config, logs = json.loads(shown.stdout.splitlines()[-1])
    assert config["pool"] == "4"
    steps = {entry["step"]: entry for entry in logs}
    for (method, n), score in scores_of(folder).items():
        assert steps[n][f"{method}/score"] == pytest.approx(score)
        assert f"{method}/sequential_tokens" in steps[n]


def test_wandb_keeps_the_run_offline(workshop: Workshop, folder: Path) -> None:
    pytest.importorskip("wandb")
    place = {**os.environ, "WANDB_MODE": "offline", "WANDB_DIR": str(workshop.folder)}
    command = ["-m", "cat_bench", "report", str(folder), "--log", "wandb:sums"]
    done = subprocess.run([sys.executable, *command], env=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "offline: `wandb sync` uploads it" in done.stderr
    (file,) = workshop.folder.glob("wandb/offline-run-*/run-*.wandb")
    assert read_wandb(file) == {
        (f"{method}/score", n): pytest.approx(score)
        for (method, n), score in scores_of(folder).items()
    }


def read_wandb(file: Path) -> Mapping[tuple[str, int], JSON]:
    """The scores by metric and step in a file that Weights & Biases wrote.

    The file has a header of 7 bytes, then blocks of 32 KiB with parts of records, as a LevelDB log
    has: a checksum (4 bytes), a length (2), and whether the part is whole, first, middle or last.
    """
    records = importlib.import_module("wandb.proto.wandb_internal_pb2")

    data, place, held = file.read_bytes(), 7, b""
    found: dict[tuple[str, int], JSON] = {}
    while place + 7 <= len(data):
        length, kind = struct.unpack_from("<HB", data, place + 4)
        if kind == 0:  # the rest of the block is empty
            place += 32768 - place % 32768
            continue
        held += data[place + 7 : place + 7 + length]
        place += 7 + length
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
        if kind in (1, 4):
            record, held = records.Record.FromString(held), b""
            for item in record.history.item:
                name = item.key or "/".join(item.nested_key)
                if name.endswith("/score"):
                    found[name, record.history.step.num] = json.loads(item.value_json)
    return found


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("trakio:x", "Did you mean 'trackio'"),
        ("mlflow", "--log mlflow names no place: write mlflow:URI"),
        ("trackio:", "--log trackio names no place: write trackio:PROJECT"),
    ],
)
def test_a_wrong_target_is_told(folder: Path, target: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        log_run(folder, target)
    assert said in str(caught.value)
    assert isinstance(caught.value, UnknownName) == target.startswith("trak")


def test_a_missing_extra_names_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UsageError, match=r"mlflow is not installed: .*mlflow"):
        log_run(folder, "mlflow:sqlite:///x.db")


def test_a_tracker_that_refuses_is_told(folder: Path) -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(UsageError, match="mlflow: nowhere://x: "):
        log_run(folder, "mlflow:nowhere://x")


def test_a_run_without_its_table_is_told(folder: Path) -> None:
    pytest.importorskip("mlflow")
    (folder / "table.csv").unlink()
    with pytest.raises(UsageError, match=r"table\.csv is missing: `cat-bench report"):
        log_run(RunTables(folder), "mlflow:sqlite:///x.db")
    write(folder)
    assert (folder / "table.csv").is_file()


def test_names_stay_apart_where_marks_are_dropped() -> None:
    assert _rename(["esc{a=1}/score", "esc{a=1}/n", "esc{a+1}/score"]) == {
        "esc{a=1}/score": "esc-a-1/score",
        "esc{a=1}/n": "esc-a-1/n",
        "esc{a+1}/score": "esc-a-1-2/score",
    }
