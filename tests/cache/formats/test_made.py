"""Files that evalscope, lighteval and verifiers wrote themselves, scored to the tools' figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cat_bench.cache import Cache, import_pool
from cat_bench.cache.formats import convert, suggest_format
from cat_bench.errors import DataError
from cat_bench.report import summarise
from cat_bench.report.summary import ORACLE
from cat_bench.runs.config import RunConfig
from cat_bench.runs.opening import run
from cat_bench.types.calls import JSON
from tests.cache.formats.made import FILES, KEPT, find_files, find_python, run_tool
from tests.cache.formats.test_formats import write_lines
from tests.cache.formats.tools.replies import DRAWS, SUMS, reply_to

MEAN = {"evalscope": "accuracy", "lighteval": "avg@n:n=4", "verifiers": "reward"}
"""The figure of each tool that is the mean over responses."""


@pytest.fixture(params=sorted(FILES))
def tool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["kept", "now"])
async def folder(request: pytest.FixtureRequest, tool: str, tmp_path: Path) -> Path:
    """The folder with a tool's files: the committed ones, or those that it writes now."""
    if request.param == "kept":
        return KEPT / tool
    python = find_python(tool)
    if python is None:
        pytest.skip(f"CAT_BENCH_TOOLS names no folder with a venv {tool}")
    await run_tool(tool, python, tmp_path / tool)
    return tmp_path / tool


async def test_a_pool_scores_as_its_tool_does(
    tool: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    scores = json.loads((folder / "figures.json").read_text())["scores"]
    (file,) = find_files(tool, folder)
    assert suggest_format(file) == tool
    conversion = convert([file], format=tool)
    found = conversion.findings
    assert {name: found.verdicts[name] for name in scores} == pytest.approx(scores)
    assert found.model == "test-model"
    assert found.left <= {"agent_trace"}
    assert found.guessed == []
    rows = sorted(conversion.rows, key=lambda row: int(row["answer"]))
    for (a, b), row in zip(SUMS, rows, strict=True):
        assert row["problem"].startswith(f"What is {a} + {b}?")
        assert row["answer"] == str(a + b)
        assert row["responses"] == [reply_to(row["problem"], draw) for draw in range(DRAWS)]
        assert all(usage["completion"] > 0 and usage["prompt"] > 0 for usage in row["usage"])
        assert tool == "lighteval" or row["reasoning"] == ["Add them."] * DRAWS
    with Cache() as cache:
        import_pool(cache, conversion, name="theirs", scorer="math_equal")
    outcome = await run(
        RunConfig(
            task="pool:theirs",
            model="replay:theirs",
            methods=("single", "majority"),
            n=(1, 2),
            out=tmp_path / "run",
        )
    )
    table = summarise(outcome.folder).set_index(["method", "n"])["score"]
    assert table["single", 1] == pytest.approx(scores[MEAN[tool]])
    assert 0 < table["single", 1] < 1
    if tool == "lighteval":
        assert table[ORACLE, 2] == pytest.approx(scores["pass@k:k=2&n=4"])


def trace(index: int, *texts: str, error: str | None = None) -> JSON:
    """An episode of verifiers with one trace, as the tool writes it."""
    task = {"data": {"idx": index, "prompt": [{"role": "user", "content": f"q{index}"}]}}
    nodes = [{"message": {"role": "user", "content": "q"}, "sampled": False}]
    parts = [[{"type": "text", "text": text}] for text in texts]
    nodes += [{"message": {"role": "assistant", "content": p}, "sampled": True} for p in parts]
    rewards = {"right": {"score": 1.0, "weight": 0.5}, "judged": None} if texts else {}
    errors = [{"type": "ProviderError", "message": error}] if error else []
    each = {"task": task, "nodes": nodes, "rewards": rewards, "errors": errors}
    return {"task": task, "traces": [each]}


def test_a_rollout_that_failed_is_a_failure(tmp_path: Path) -> None:
    rows = [trace(0, "draft", "last"), trace(0, error="no such model")]
    made = convert([write_lines(tmp_path / "traces.jsonl", *rows)], format="verifiers")
    (row,) = made.rows
    assert (row["problem"], row["responses"]) == ("q0", ["last", None])
    assert row["failures"] == [None, {"kind": "imported", "message": "no such model"}]
    assert row["verdicts"] == {"reward": [0.5, 0.0], "right": [1.0, None]}
    assert "the last message of a rollout" in " ".join(made.findings.guessed)
    assert "nothing can be scored" in " ".join(made.findings.guessed)


def review(index: int, text: str, **score: JSON) -> JSON:
    """A review of evalscope."""
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": text},
    ]
    return {
        "index": index,
        "target": ["2", "two"],
        "messages": messages,
        "sample_score": {"score": {"value": score}, "sample_id": index},
    }


def test_reviews_without_a_group_are_told_apart_by_their_text(tmp_path: Path) -> None:
    rows = [review(1, "3"), review(0, "2", acc=True)]
    made = convert([write_lines(tmp_path / "gsm8k_main.jsonl", *rows)], format="evalscope")
    (row,) = made.rows
    assert (row["responses"], row["answer"]) == (["2", "3"], ["2", "two"])
    assert row["verdicts"] == {"acc": [1.0, None]}
    assert made.findings.verdicts == {"acc": 1.0}
    assert len(made.findings.guessed) == 2


DOCUMENT: JSON = {
    "doc": {"id": "0", "query": "q", "choices": ["a", "b"], "gold_index": [0, 1]},
    "model_response": {"text": [], "logprobs": [-1.0]},
    "metric": {"acc": 1.0},
}


@pytest.mark.parametrize(
    ("tool_name", "row", "said"),
    [
        ("evalscope", {**review(0, "2"), "messages": []}, "no message of the model"),
        ("evalscope", {"index": 0}, "'messages' is missing"),
        ("lighteval", DOCUMENT, "no generated text"),
        ("lighteval", {"doc": {}}, "'model_response' is missing"),
        ("verifiers", {"task": {}}, "'traces' is missing"),
    ],
)
def test_another_file_is_told(tmp_path: Path, tool_name: str, row: JSON, said: str) -> None:
    with pytest.raises(DataError, match=said):
        convert([write_lines(tmp_path / "rows.jsonl", row)], format=tool_name)


def test_a_document_with_one_response_has_verdicts(tmp_path: Path) -> None:
    one = {**DOCUMENT, "model_response": {"text": ["b"]}}
    made = convert([write_lines(tmp_path / "rows.jsonl", one)], format="lighteval")
    assert made.rows[0]["verdicts"] == {"acc": [1.0]}
    assert made.rows[0]["answer"] == ["a", "b"]
    none = {**one, "doc": {**DOCUMENT["doc"], "gold_index": -1}}
    made = convert([write_lines(tmp_path / "none.jsonl", none)], format="lighteval")
    assert made.rows[0]["answer"] is None
    assert "names no choice" in made.findings.guessed[0]
