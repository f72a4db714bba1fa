"""What is exported for Every Eval Ever and for the Hub: by schema, and by the run's own table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import pytest
import yaml

from cat_bench.cache.formats import convert
from cat_bench.report import summarise
from cat_bench.report.export_hub import export_hub
from cat_bench.types.calls import JSON
from tests.conftest import Workshop
from tests.places import SHARED


def export(workshop: Workshop, folder: Path) -> tuple[Path, Mapping[str, JSON], list[JSON]]:
    status, _, err = workshop.run("report", str(folder), "--export", "eee")
    assert status == 0, err
    (document,) = folder.glob("eee/data/*/*/*/*.json")
    lines = document.with_name(f"{document.stem}_samples.jsonl")
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    return lines, json.loads(document.read_text()), rows


def test_results_are_those_of_the_table(workshop: Workshop, folder: Path) -> None:
    lines, document, rows = export(workshop, folder)
    table = summarise(folder).set_index(["method", "n"])["score"].to_dict()
    scores = {
        (
            r["metric_config"]["metric_parameters"]["method"],
            r["metric_config"]["metric_parameters"]["n"],
        ): r["score_details"]["score"]
        for r in document["evaluation_results"]
    }
    assert scores
    assert all(table[key] == score for key, score in scores.items())
    assert {("single", 1), ("majority", 2), ("cat", 2)} <= scores.keys()
    details = document["detailed_evaluation_results"]
    assert details["checksum"] == sha256(lines.read_bytes()).hexdigest()
    assert details["total_rows"] == len(rows) == 6 * 3
    assert str(lines).endswith(details["file_path"])
    results = {result["evaluation_result_id"] for result in document["evaluation_results"]}
    assert {row["evaluation_result_id"] for row in rows} <= results
    assert {row["evaluation_id"] for row in rows} == {document["evaluation_id"]}


def test_both_files_hold_to_the_schemas(workshop: Workshop, folder: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schemas = SHARED / "schemas"
    if not schemas.is_dir():
        pytest.skip("the schemas are in neither CAT_BENCH_DATA nor ../shared/data")
    _, document, rows = export(workshop, folder)
    of_results = json.loads((schemas / "eee_eval.schema.json").read_text())
    of_instances = json.loads((schemas / "eee_instance.schema.json").read_text())
    jsonschema.validate(document, of_results)
    for row in rows:
        jsonschema.validate(row, of_instances)


def test_our_own_export_is_read_as_a_pool(workshop: Workshop, folder: Path) -> None:
    lines, document, _ = export(workshop, folder)
    made = convert([lines], format="every-eval-ever")
    assert len(made.rows) == 6
    assert made.findings.model == document["model_info"]["id"]


def test_the_hub_needs_a_dataset_of_its_own(workshop: Workshop, folder: Path) -> None:
    status, _, err = workshop.run("report", str(folder), "--export", "hf-eval-results")
    assert status == 2
    assert "not a dataset of the Hub" in err
    record = json.loads((folder / "run.json").read_text())
    record["task"]["data"] = {"hub": "owner/sums", "revision": "0" * 40, "path": "data/test.jsonl"}
    (folder / "run.json").write_text(json.dumps(record))
    status, _, err = workshop.run("report", str(folder), "--export", "hf-eval-results")
    assert status == 0, err
    (file,) = (folder / "hf" / ".eval_results").glob("*.yaml")
    rows = yaml.safe_load(file.read_text())
    table = summarise(folder).set_index(["method", "n"])["score"]
    majority = next(row for row in rows if row["notes"].startswith("majority@2 "))
    assert majority["value"] == round(100 * table["majority", 2], 2)
    assert majority["dataset"] == {"id": "owner/sums", "task_id": "majority", "revision": "0" * 40}
    benchmark = yaml.safe_load((folder / "hf" / "eval.yaml").read_text())
    assert benchmark["name"] == record["task"]["name"]
    assert benchmark["description"] == record["task"]["summary"]
    place = {"config": "default", "split": "test"}
    methods = ("single", "majority", "cat")
    assert benchmark["tasks"] == [{"id": method, **place} for method in methods]


@pytest.mark.parametrize(
    ("data", "config", "split"),
    [
        ({"path": "main/test-00000-of-00001.parquet"}, "default", "test"),
        ({"path": "data/val.jsonl"}, "default", "validation"),
        ({"path": "test/train-0.parquet"}, "default", "train"),
        ({"path": "2025-05-07_oss_eval.jsonl"}, "default", "test"),
        ({"path": "latest.jsonl"}, "default", "train"),
        ({"path": "q.parquet", "config": "diamond", "split": "held"}, "diamond", "held"),
    ],
)
def test_a_benchmark_names_the_split_of_its_file(
    folder: Path, data: JSON, config: str, split: str
) -> None:
    record = json.loads((folder / "run.json").read_text())
    record["task"]["data"] = {"hub": "owner/sums", "revision": "0" * 40, **data}
    (folder / "run.json").write_text(json.dumps(record))
    _, file = export_hub(folder)
    tasks = yaml.safe_load(file.read_text())["tasks"]
    assert {(task["config"], task["split"]) for task in tasks} == {(config, split)}
