"""`cat-bench judge`: an audit on the bundled labels, and two judges of one pool."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cat_bench.loading import catalog
from tests.conftest import called

LABELS = catalog.root() / "tasks" / "healthbench-mini" / "labels.jsonl"
MODELS = """\
import json
from hashlib import sha256


def policy(request, seed):
    return f"Call the emergency number. {seed % 5}"


def judge(request, seed, share=2):
    coin = sha256(request.messages[-1]["content"].encode()).digest()[0]
    return json.dumps({"explanation": "a coin", "met": coin % 3 < share})


def stern(request, seed):
    return judge(request, seed, share=1)
"""
Run = Callable[..., tuple[str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `cat-bench` with these words; returns what stdout and stderr then hold."""
    (tmp_path / "models.py").write_text(MODELS)
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    monkeypatch.setenv("CAT_BENCH_RESULTS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path, status: int = 0) -> tuple[str, str]:
        ended, out, err = called(words, monkeypatch, capsys)
        assert ended == status, err
        return out, err

    return run


def named(function: str) -> str:
    return f"scripted:./models.py:{function}"


def bench(run: Run, judge: str, out: str, *words: str) -> tuple[str, str]:
    small = ("--pool", "2", "--n", "1,2", "--limit", "3", "--out", out)
    few = ("--method", "single,best_of_n{by=length}")
    models = ("--model", named("policy"), "--judge", named(judge))
    return run("run", "healthbench-mini", *small, *few, *models, *words)


def test_an_audit_is_kept_and_printed_under_the_judges_tables(run: Run, tmp_path: Path) -> None:
    words = ("judge", "audit", LABELS, "--judge", named("judge"))
    said, wrote = run(*words)
    assert "40 rows by the cat_bench authors, not physicians" in said
    assert "annotators among themselves" in said
    assert "cluster:mini_emergency_now" in said
    [kept] = (tmp_path / "runs" / "audits").glob("*.json")
    assert kept.name in wrote
    record = json.loads(run(*words, "--json")[0])
    assert record["judge_and_people"]["pairs"] == 80
    assert record["labels"]["sha256"] == json.loads(kept.read_text())["labels"]["sha256"]
    table, _ = bench(run, "judge", "a")
    assert "audited on labels.jsonl (80 labels by the cat_bench authors, not physicians)" in table
    table, _ = bench(run, "stern", "b")
    assert "**Judge not audited**" in table


def test_two_judges_of_one_pool(run: Run) -> None:
    for judge in ("judge", "stern"):
        bench(run, judge, judge)
    found = json.loads(run("judge", "compare", "judge", "stern", "--json")[0])
    assert found["questions"] == 3
    assert found["bias"][0] > 0
    assert {row["n"] for row in found["ranks"]} == {1, 2}
    assert "kendall_tau" in run("judge", "compare", "judge", "stern")[0]
    bench(run, "judge", "fresh", "--set", "label=fresh")
    _, problem = run("judge", "compare", "judge", "fresh", status=2)
    assert "have different rollouts: run both on the same pool" in problem


def test_what_cannot_be_audited_or_compared_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"rubric": "r", "binary_labels": ["yes"]}\n')
    _, problem = run("judge", "audit", "bad.jsonl", "--judge", named("judge"), status=2)
    assert "bad.jsonl, line 1: binary_labels.0: Input should be a valid boolean" in problem
    _, problem = run("judge", "compare", "a", "b", status=2)
    assert "is not a run" in problem
    model = named("policy")
    _, problem = run("run", "healthbench-mini", "--model", model, status=2)
    assert "scored by a judge, and no judge is named: give --judge MODEL" in problem
