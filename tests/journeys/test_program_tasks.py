"""Tasks of programs in the columns of MBPP and LiveCodeBench, as YAML, with rows of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import cat_bench as cb
from cat_bench.errors import UsageError
from cat_bench.system.sandbox import open_runner
from cat_bench.types.calls import JSON
from tests.conftest import Workshop

MBPP = """\
version: 1
summary: functions in the columns of MBPP (arXiv 2108.07732)
data:
  local: mbpp.jsonl
  fields: {id: task_id, problem: text, answer: test_list, meta: [signature]}
scorer: program
with: {cpu: 5}
methods: [single, greedy]
"""
MBPP_PROMPT = """\
{{ problem }}

Write the function {{ signature }}. End with {{ closing }}.
"""
MBPP_ROWS = [
    {
        "task_id": 1, "text": "Write a function to double a number.", "signature": "double(x)",
        "code": "def double(x): return 2 * x", "test_setup_code": "",
        "test_list": ["assert double(2) == 4", "assert double(-1.5) == -3.0"],
        "challenge_test_list": [],
    },
    {
        "task_id": 2, "text": "Write a function to sort words by their length.",
        "signature": "by_length(words)", "code": "", "test_setup_code": "",
        "test_list": ["assert by_length(['ccc', 'a', 'bb']) == ['a', 'bb', 'ccc']"],
        "challenge_test_list": [],
    },
]  # fmt: skip
LIVECODEBENCH = """\
version: 1
summary: programs in the columns of LiveCodeBench (arXiv 2403.07974)
data:
  local: livecodebench.jsonl
  fields:
    id: question_id
    problem: question_content
    answer: public_test_cases
    meta: [difficulty, starter_code]
scorer: program
with: {cpu: 5}
methods: [single, greedy]
"""
LIVECODEBENCH_PROMPT = """\
{{ problem }}
{% if starter_code %}
Begin with this code:
{{ starter_code }}
{% endif %}
The program reads standard input and prints. End with {{ closing }}.
"""
TESTS = [
    {"input": "3\n1 2 3\n", "output": "6\n", "testtype": "stdin"},
    {"input": "1\n-4\n", "output": "-4\n", "testtype": "stdin"},
]
LIVECODEBENCH_ROWS = [
    {
        "question_title": "Sum", "question_content": "Print the sum of N numbers.",
        "platform": "ours", "question_id": "ours_1", "contest_id": "1",
        "contest_date": "2026-01-01",
        "starter_code": "", "difficulty": "easy", "public_test_cases": json.dumps(TESTS),
        "private_test_cases": "", "metadata": "{}",
    },
]  # fmt: skip
MODEL = '''\
RIGHT = {
    "double": "def double(x):\\n    return 2 * x",
    "length": "def by_length(words):\\n    return sorted(words, key=len)",
    "sum": "input()\\nprint(sum(map(int, input().split())))",
}


def reply(request, seed):
    """Right at temperature 0, else wrong."""
    asked = request.messages[-1]["content"]
    program = next(text for word, text in RIGHT.items() if word in asked)
    wrong = request.sampling.temperature != 0
    return f"```python\\n{program + 'x' if wrong else program}\\n```"
'''
KINDS: Mapping[str, tuple[str, str, Sequence[Mapping[str, JSON]]]] = {
    "mbpp": (MBPP, MBPP_PROMPT, MBPP_ROWS),
    "livecodebench": (LIVECODEBENCH, LIVECODEBENCH_PROMPT, LIVECODEBENCH_ROWS),
}


def made(folder: Path, kind: str, change: tuple[str, str] = ("", "")) -> None:
    """Write a task's folder, its rows, and a scripted model; `change` edits the rows' file."""
    yaml, prompt, rows = KINDS[kind]
    (folder / kind).mkdir()
    (folder / kind / "task.yaml").write_text(yaml)
    (folder / kind / "prompt.txt").write_text(prompt)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{kind}.jsonl").write_text(lines.replace(*change))
    (folder / "model.py").write_text(MODEL)


@pytest.mark.parametrize("kind", KINDS)
def test_programs_in_published_columns_are_scored(
    kind: str, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        open_runner("bubblewrap")
    except UsageError as error:
        pytest.skip(str(error))
    made(workshop.folder, kind)
    monkeypatch.setenv("CAT_BENCH_DATA", str(workshop.folder))
    monkeypatch.delenv("CAT_BENCH_ALLOW_CODE", raising=False)
    options = ("--model", "scripted:./model.py:reply", "--pool", "2", "--out", "run")
    status, _, problem = workshop.run("run", f"./{kind}", *options, "--allow-code", "bubblewrap")
    assert status == 0, problem
    scores = cb.load(workshop.folder / "run").table.set_index("method")["score"]
    assert {*scores.loc[["single"]]} == {0}
    assert {*scores.loc[["greedy"]]} == {1}


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("livecodebench", ("stdin", "functional"), "only those on standard input are run"),
        ("mbpp", ("== 4", "== four()"), "which is not `assert CALL == VALUE`"),
        ("mbpp", ('"test_list"', '"tests"'), "lacks 'test_list'"),
    ],
)
def test_a_row_that_cannot_be_scored_stops_before_anything_is_sampled(
    kind: str, change: tuple[str, str], words: str, workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    made(workshop.folder, kind, change)
    monkeypatch.setenv("CAT_BENCH_DATA", str(workshop.folder))
    monkeypatch.setenv("CAT_BENCH_ALLOW_CODE", "none")
    options = ("--model", "scripted:./model.py:reply", "--pool", "2")
    status, _, problem = workshop.run("run", f"./{kind}", *options)
    assert status != 0
    assert words in problem
