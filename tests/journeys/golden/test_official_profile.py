"""The profile `official` end to end over real sockets, beside ours, by runs and by audits.

The template is our own, of the shape of HealthBench's. The judge of the profile holds that an
answer meets "mentions WORD" if it contains WORD; asked by our prompt, it never says yes to "beta".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cat_bench import report
from cat_bench.audit import judge as audits
from cat_bench.audit.labels import read_labels
from cat_bench.runs.again import configuration
from cat_bench.runs.config import RunConfig
from cat_bench.runs.folder import read_record
from cat_bench.runs.opening import run as carry_out
from cat_bench.testing import ChatServer
from cat_bench.testing.protocol import ChatRequest
from cat_bench.types.calls import JSON
from tests.conftest import called

CODE = '''import missing_module

GRADER_TEMPLATE = """
Read the talk.

# Talk
<<conversation>>

# Point
<<rubric_item>>

Reply with JSON: "explanation" and "criteria_met".
""".strip()
'''
TASK = """\
version: 1
summary: words
scorer: rubric
data:
  file: rows.jsonl
  fields: {id: prompt_id, messages: prompt, answer: rubrics, tags: example_tags}
sampling: {judge: {temperature: 0, max_tokens: 100}}
methods: [single]
"""
TURNS = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Name letters."}]
Run = Callable[..., tuple[str, str]]


def judge(request: ChatRequest) -> str:
    prompt = request.messages[-1]["content"]
    if "# Point" in prompt:
        answer = prompt.split("assistant: ")[1].split("\n\n# Point")[0]
        word = prompt.split("mentions ")[1].split("\n")[0]
        verdict = {"explanation": "looked", "criteria_met": word in answer.split()}
        return f"```json\n{json.dumps(verdict)}\n```"
    answer = prompt.split("<response>\n")[1].split("\n</response>")[0]
    word = prompt.split("<criterion>\nmentions ")[1].split("\n")[0]
    return json.dumps({"explanation": "", "met": word != "beta" and word in answer.split()})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `cat-bench` with these words in a folder with a task and a template."""
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    monkeypatch.setenv("CAT_BENCH_RESULTS", str(tmp_path / "runs"))
    monkeypatch.delenv("CAT_BENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    rubric = [
        {"criterion": "mentions alpha", "points": 5, "tags": ["axis:a"]},
        {"criterion": "mentions beta", "points": 9, "tags": ["axis:b"]},
        {"criterion": "mentions beta", "points": -8, "tags": ["axis:b"]},
    ]
    row = {"prompt_id": "q", "prompt": TURNS, "rubrics": rubric, "example_tags": ["theme:t"]}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "task.yaml").write_text(TASK)
    (tmp_path / "grader.py").write_text(CODE)

    def run(*words: str | Path, status: int = 0) -> tuple[str, str]:
        ended, out, err = called(words, monkeypatch, capsys)
        assert ended == status, err
        return out, err

    return run


async def test_a_run_by_each_profile(run: Run, tmp_path: Path) -> None:
    """Ours: 5/14, by 2 calls; theirs: (5 + 9 - 8)/14, by a call for each item."""
    async with (
        ChatServer(reply=lambda _: "alpha beta", model="writer") as policy,
        ChatServer(reply=judge, model="judge") as grader,
    ):
        config = RunConfig(
            task="./task.yaml",
            model=f"openai:writer{{base_url={policy.base_url}}}",
            judge=f"openai:judge{{base_url={grader.base_url}}}",
            pool=1,
            n=(1,),
            out=tmp_path / "ours",
        )
        await carry_out(config)
        assert grader.stats.requests == 2
        chosen = {"judge_profile": "official", "judge_template": Path("grader.py")}
        await carry_out(config.model_copy(update={**chosen, "out": tmp_path / "theirs"}))
        assert grader.stats.requests == 2 + 3
        body: JSON = grader.recent[-1]
    ours, theirs = (report.markdown(tmp_path / name) for name in ("ours", "theirs"))
    assert (body["temperature"], body["max_tokens"]) == (0.5, 2048)
    shown = body["messages"][-1]["content"]
    assert "# Talk\nsystem: Be kind.\n\nuser: Name letters.\n\nassistant: alpha beta\n" in shown
    assert "judged by the profile ours" in ours
    assert "judged by the profile official (a template of the user's own)" in theirs
    assert "with the profile official" in theirs.partition("## The judge")[2]
    records = [read_record(tmp_path / name) for name in ("ours", "theirs")]
    assert [r["task"]["judging"]["profile"] for r in records] == ["ours", "official"]
    assert [r["task"]["scorer"] for r in records] == ["rubric 1", "rubric 1 official"]
    assert len({r["task"]["judging"]["digest"] for r in records}) == len({r["id"] for r in records})
    for name, score in (("ours", 5 / 14), ("theirs", 6 / 14)):
        table = report.summarise(tmp_path / name)
        assert table["score"].iloc[0] == pytest.approx(score)
    said, _ = run("judge", "compare", "ours", "theirs")
    assert "with the profile ours" in said
    assert "with the profile official" in said
    said, _ = run("compare", "ours", "theirs")
    assert "with the profile official" in said
    again = configuration(records[1])
    assert (again.judge_profile, str(again.judge_template)) == ("official", "grader.py")


async def test_an_audit_compares_the_profiles_with_people_and_with_each_other(
    run: Run, tmp_path: Path
) -> None:
    """People agree with the official profile on all four, and ours misses the two about beta."""
    labels = [
        {
            "prompt": TURNS,
            "prompt_id": f"e{k}",
            "completion": "alpha beta",
            "rubric": f"mentions {word}",
            "points": 3,
            "category": "c",
            "binary_labels": [label, label],
        }
        for k, (word, label) in enumerate(
            [("alpha", True), ("beta", True), ("beta gamma", False), ("beta", True)]
        )
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in labels))
    async with ChatServer(reply=judge, model="judge") as grader:
        config = RunConfig(
            task="./task.yaml",
            model="openai:judge",
            judge=f"openai:judge{{base_url={grader.base_url}}}",
            judge_template=tmp_path / "grader.py",
        )
        ours, theirs = await audits.audit_profiles(
            read_labels(tmp_path / "labels.jsonl"), config, ["ours", "official"]
        )
        assert all("[3] mentions" in str(b) for b in list(grader.recent) if "# Point" in str(b))
    assert theirs["judge_and_people"]["agreed"][0] == 1
    assert ours["judge_and_people"]["agreed"][0] == 0.5
    assert ours["profiles"]["official"]["agreed"][0] == 0.5
    assert theirs["profiles"]["ours"]["pairs"] == 4
    assert theirs["profiles"]["ours"]["bias"][0] == pytest.approx(0.5)
    assert ours["judging"]["digest"] != theirs["judging"]["digest"]


def test_the_command_audits_by_profiles(run: Run, tmp_path: Path) -> None:
    (tmp_path / "models.py").write_text(
        "import json\n\ndef judge(request, seed):\n"
        '    return json.dumps({"explanation": "", "criteria_met": True}'
        ' if "# Point" in request.messages[-1]["content"] else {"explanation": "", "met": True})\n'
    )
    labels = {"prompt": TURNS, "completion": "a", "rubric": "r", "binary_labels": [True]}
    (tmp_path / "labels.jsonl").write_text(json.dumps(labels) + "\n")
    words = (
        *("judge", "audit", "labels.jsonl", "--judge", "scripted:./models.py:judge"),
        *("--task", "./task.yaml", "--set", "judge_template=grader.py"),
    )
    said, wrote = run(*words, "--profiles", "official,ours")
    assert "with the profile ours" in said
    assert "with the profile official" in said
    assert "profile ours against official" in said
    assert wrote.count("wrote ") == 2
    found = json.loads(run(*words, "--profiles", "official,ours", "--json")[0])
    assert [each["judging"]["profile"] for each in found["audits"]] == ["ours", "official"]
    _, problem = run(*words, "--profiles", "offical", status=2)
    assert "Did you mean 'official'?" in problem
