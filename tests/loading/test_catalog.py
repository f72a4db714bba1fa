"""Tasks and methods: all of the catalogue loads, and a bad file is one line."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import pytest
import yaml

from cat_bench.cache import Cache, import_pool
from cat_bench.errors import ConfigError, DataError, UnknownName, UsageError
from cat_bench.loading import catalog
from cat_bench.types.calls import JSON, Sampling
from cat_bench.types.plugins import AnswerScorer

SCORER = "from tests.toy import Sesame\n"
ROWS = '{"id": "q1", "problem": "Open q1.", "answer": "sesame-of-q1"}\n'
TASK: dict[str, JSON] = {
    "version": 2,
    "summary": "a toy",
    "data": {"file": "rows.jsonl", "fields": {"problem": "problem"}},
    "system": "Be brief.",
    "scorer": "./scorer.py:Sesame",
    "sampling": {"policy": {"temperature": 1}},
    "methods": ["single"],
}


def write(folder: Path, *, drop: tuple[str, ...] = (), **fields: JSON) -> Path:
    """A whole task folder; `fields` replace those of its YAML."""
    (folder / "rows.jsonl").write_text(ROWS)
    (folder / "scorer.py").write_text(SCORER)
    (folder / "prompt.txt").write_text("{{ problem }} Please.")
    content = {key: value for key, value in (TASK | fields).items() if key not in drop}
    (folder / "task.yaml").write_text(yaml.safe_dump(content))
    return folder / "task.yaml"


def test_the_catalogue_holds_no_python() -> None:
    for name in ("tasks", "baselines"):
        assert list((catalog.root() / name).rglob("*.py")) == []


@pytest.mark.parametrize("name", catalog.method_names())
def test_every_method_loads(name: str) -> None:
    method = catalog.method(name)
    assert method.name == name
    assert method.summary


@pytest.mark.parametrize("name", catalog.task_names())
def test_every_task_loads(name: str) -> None:
    task = catalog.task(name)
    assert task.name == name
    assert task.summary
    assert name in (task.prompts.folder / "README.md").read_text()
    assert [catalog.method(each).name for each in task.methods] == list(task.methods)


def test_a_tasks_caveats_go_into_its_record(tmp_path: Path) -> None:
    assert catalog.task(str(write(tmp_path, caveats=["a toy"]))).caveats == ("a toy",)
    assert "compare whole answers" in " ".join(catalog.task("counsel").caveats)


def test_math500_is_the_pinned_file() -> None:
    folder = Path(os.environ.get("CAT_BENCH_DATA") or "../shared/data")
    if not (folder / "math500.jsonl").is_file():
        pytest.skip("math500.jsonl is in neither CAT_BENCH_DATA nor ../shared/data")
    samples = list(catalog.task("math500", data=folder).samples())
    assert len({sample.question.id for sample in samples}) == 500
    assert samples[0].question.text in samples[0].question.messages[0]["content"]
    assert "boxed" in samples[0].question.messages[0]["content"]
    assert "answer" not in samples[0].question.meta


def test_the_bundled_task_has_rows() -> None:
    (sample,) = islice(catalog.task("tally").samples(), 1)
    assert sample.question.text


def test_a_task_of_the_users_own(tmp_path: Path) -> None:
    task = catalog.task(str(write(tmp_path)))
    (sample,) = task.samples()
    assert (task.name, task.version, task.methods) == (tmp_path.name, "2", ("single",))
    assert task.sampling == {"policy": Sampling(temperature=1)}
    assert [m["content"] for m in sample.question.messages] == ["Be brief.", "Open q1. Please."]
    assert (sample.question.text, sample.target) == ("Open q1.", "sesame-of-q1")
    assert isinstance(task.scorer, AnswerScorer)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"drop": ("scorer",)}, "task.yaml: scorer: is missing"),
        ({"scorer": "sesame"}, "task.yaml: scorer: there is no scorer 'sesame'"),
        ({"scorer": "math_equl"}, "Did you mean 'math_equal'"),
        (
            {"scorer": "./scorer.py:Sesam"},
            "has no class or function 'Sesam'. Did you mean 'Sesame'",
        ),
        ({"scorer": "./gone.py:Sesame"}, "gone.py: there is no such file"),
        ({"scorer": "math_equal", "with": {"patern": "x"}}, "task.yaml: patern: .* 'pattern'"),
        ({"scorer": "./prompt.py:Path"}, "scorer: should have a `version` and a method `score`"),
        ({"version": "2"}, "task.yaml: version: Input should be a valid integer"),
        ({"metods": []}, "task.yaml: metods: is not a known field. Did you mean 'methods'"),
        ({"data": {"file": "rows.jsonl"}}, "task.yaml: data.fields: is missing"),
        ({"sampling": {"polcy": {}}}, "task.yaml: sampling.polcy"),
        ({"sampling": {"policy": {"tempreture": 1}}}, "sampling.policy: tempreture: .* 'temper"),
        ({"sampling": {"policy": {"temperature": "hot"}}}, "temperature: Input should be a valid"),
    ],
)
def test_a_bad_task_file(fields: dict[str, JSON], message: str, tmp_path: Path) -> None:
    (tmp_path / "prompt.py").write_text("from pathlib import Path\n")
    with pytest.raises(ConfigError, match=message) as caught:
        catalog.task(str(write(tmp_path, **fields)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "rows", "message"),
    [
        ({"prompt": "other"}, ROWS, "other.txt: there is no such prompt text"),
        ({}, ROWS * 2, "line 2: repeats the id 'q1'"),
        ({}, "\n" * 6 + "{oops\n", "rows.jsonl, line 7: is not JSON"),
        (
            {"data": {"file": "rows.jsonl", "fields": {"problem": "problem", "answer": "answer"}}},
            '{"id": 1, "problem": "x"}\n',
            "line 1: lacks 'answer'; there are 'id', 'problem'; write null in a row without",
        ),
        ({}, "", "rows.jsonl: holds no row"),
        (
            {"scorer": "math_equal"},
            ROWS.replace('"sesame-of-q1"', "[1]"),
            "the row 'q1' has a list as its answer: write it as one text",
        ),
        (
            {"data": {"file": "gone.jsonl", "fields": {"problem": "p"}}},
            "",
            "gone.jsonl: is missing",
        ),
    ],
)
def test_a_bad_row_or_prompt(
    fields: dict[str, JSON], rows: str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, **fields)
    (tmp_path / "rows.jsonl").write_text(rows)
    with pytest.raises(UsageError, match=message):
        list(catalog.task(str(path)).samples())


def test_data_from_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path)
    other = tmp_path / "other.jsonl"
    other.write_text(ROWS.replace("q1", "q9"))
    assert [s.question.id for s in catalog.task(str(path), data=other).samples()] == ["q9"]
    with pytest.raises(DataError, match=r"none\.jsonl"):
        list(catalog.task(str(path), data=tmp_path / "none.jsonl").samples())


@pytest.mark.parametrize("spec", ["tlly", "", "../tally", "./none.yaml", "./x.py"])
def test_a_task_that_is_not_there(spec: str) -> None:
    with pytest.raises(UsageError):
        catalog.task(spec)


def test_a_task_in_a_class(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from tests import toy\n"
        "class Own:\n"
        '    """A toy of a class."""\n'
        "    scorer = toy.Sesame()\n"
        "    methods = ('single',)\n"
        "    def samples(self):\n"
        "        yield toy.sample()\n"
        "class Halved:\n"
        "    def samples(self):\n"
        "        yield toy.sample()\n"
    )
    task = catalog.task(f"{file}:Own")
    assert (task.name, task.version, task.summary) == ("Own", "1", "A toy of a class.")
    assert [sample.question.id for sample in task.samples()] == ["q1"]
    with pytest.raises(ConfigError, match=r"scorer: is missing"):
        catalog.task(f"{file}:Halved")


def test_the_task_of_an_imported_pool(tmp_path: Path, cache: Cache) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_text('{"id": "a", "problem": "1+1?", "answer": "2", "responses": ["2", "3"]}\n')
    import_pool(cache, file, name="sums")
    task = catalog.task("pool:sums", cache=cache)
    (sample,) = task.samples()
    assert (sample.question.text, sample.target) == ("1+1?", "2")
    file.write_text('{"id": "a", "problem": "1+1?", "responses": ["\\\\boxed{2}"]}\n')
    import_pool(cache, file, name="no answers")
    (bare,) = catalog.task("pool:no answers", cache=cache).samples()
    assert bare.target is None
    with pytest.raises(UnknownName, match="there is no imported pool 'sms'"):
        catalog.task("pool:sms", cache=cache)


def test_parameters_override_those_of_the_file() -> None:
    method = catalog.method("cat{question=shown,temperature=0}")
    assert method.name == "cat{question=shown,temperature=0}"
    assert method.params == {"question": "shown", "temperature": 0}
    assert catalog.method("cat").name == "cat"


def test_an_aggregator_is_a_method_by_its_own_name() -> None:
    method = catalog.method("best_of_n{by=length}")
    assert (method.spec, method.budgets, method.needs) == ("best_of_n", None, frozenset())
    assert catalog.method("greedy").budgets == (0,)
    assert catalog.method("cat-1").budgets == (1,)


def test_a_method_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "class Own:\n"
        '    """Takes all."""\n'
        "    async def aggregate(self, question, rollouts, ctx): ...\n"
    )
    (tmp_path / "mine.yaml").write_text("summary: mine\naggregator: ./own.py:Own\nbudgets: [2]\n")
    method = catalog.method(str(tmp_path / "mine.yaml"))
    assert (method.name, method.summary, method.budgets) == ("mine", "mine", (2,))
    method = catalog.method(f"{tmp_path}/own.py:Own")
    assert (method.name, method.summary, method.budgets) == ("Own", "Takes all.", None)


SIGNAL = """
class Own:
    reads = "self"
    async def scores(self, question, rollouts, ctx): return [1.0 for _ in rollouts]
"""


@pytest.mark.parametrize("elsewhere", [False, True])
def test_files_in_a_yaml_are_the_ones_beside_it(
    elsewhere: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my methods"
    folder.mkdir()
    (folder / "steps.py").write_text(SIGNAL)
    (folder / "mine.yaml").write_text("summary: x\naggregator: vote\nwith: {by: './steps.py:Own'}")
    write(
        folder, methods=["best_of_n{by=./steps.py:Own}", "./mine.yaml", "vote{by='steps.py:Own'}"]
    )
    monkeypatch.chdir(tmp_path if elsewhere else folder)
    mine = catalog.method("my methods/mine.yaml" if elsewhere else "mine.yaml")
    assert (mine.name, mine.params) == ("mine", {"by": "./steps.py:Own"})
    assert mine.sha256
    task = catalog.task("my methods" if elsewhere else str(folder))
    for method in (mine, *map(catalog.method, task.methods)):
        assert method.sha256 == mine.sha256
        assert "answers" in method.needs or method.spec == "best_of_n"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("majorty", r"there is no method 'majorty'\. Did you mean 'majority'"),
        ("cat{qestion=shown}", r"cat\.yaml: qestion: .* Did you mean 'question'"),
        ("cat{question=shwn}", r"cat\.yaml: question: Input should be 'hidden' or 'shown'"),
        ("cat{question}", "should be written key=value"),
        ("cat{question=shown", "should be NAME or NAME{key=value,...}"),
        ("single{by=length}", r"single\.yaml: by: is not a known field"),
        ("best_of_n", "method 'best_of_n': by: is missing"),
        ("./vote.py", "does not name a class"),
        ("./none.yaml", "cannot be read"),
        ("{folder}/odd.yaml", r"odd\.yaml: aggregator: there is no aggregator 'voet'"),
        ("{folder}/list.yaml", "should hold a mapping"),
        ("{folder}/kind.yaml", "has no method `aggregate`"),
    ],
)
def test_a_method_that_cannot_be_had(spec: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("summary: x\naggregator: voet\n")
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "kind.yaml").write_text("summary: x\naggregator: ./kind.py:Path\n")
    (tmp_path / "kind.py").write_text("from pathlib import Path\n")
    with pytest.raises(UsageError, match=message) as caught:
        catalog.method(spec.replace("{folder}", str(tmp_path)))
    assert "\n" not in str(caught.value)


def test_a_conversation_becomes_messages_and_a_text_to_quote() -> None:
    samples = {sample.question.id: sample for sample in catalog.task("healthbench-mini").samples()}
    turns = samples["mini-04"].question
    assert [message["role"] for message in turns.messages] == ["user", "assistant", "user"]
    assert turns.text.startswith("User: I twisted my ankle")
    assert "\n\nAssistant: Sorry to hear that." in turns.text


def test_a_repeated_prompt_is_one_cluster_whatever_its_rubric() -> None:
    samples = {sample.question.id: sample for sample in catalog.task("healthbench-mini").samples()}
    assert samples["mini-01"].cluster == samples["mini-02"].cluster
    assert samples["mini-01"].target != samples["mini-02"].target
    assert len({sample.cluster for sample in samples.values()}) == len(samples) - 1


def test_rubrics_and_tags_stay_out_of_the_question() -> None:
    for sample in catalog.task("healthbench-mini").samples():
        shown = repr(sample.question)
        secrets = [*sample.target["tags"], *(c["criterion"] for c in sample.target["rubric"])]
        assert secrets
        assert not any(secret in shown for secret in secrets)


@pytest.mark.parametrize("name", ["healthbench", "healthbench-hard", "healthbench-consensus"])
def test_healthbench_is_pinned(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = catalog.task(name)
    assert len(str(task.data["revision"])) == 40
    assert len(str(task.data["sha256"])) == 64
    (tmp_path / str(task.data["local"])).write_text("{}\n")
    monkeypatch.setenv("CAT_BENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match="and the task pins"):
        list(task.samples())
