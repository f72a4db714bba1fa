"""A task of lm-eval's, with its prompt, filter and metric, run as one of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cat_bench.errors import ConfigError, UnknownName
from cat_bench.evaluation.grader import scorer_identity
from cat_bench.loading import catalog
from cat_bench.report import summarise
from cat_bench.types.calls import Sampling
from cat_bench.types.plugins import AnswerScorer
from tests.conftest import Workshop

pytest.importorskip("lm_eval")
TASK = """\
task: toy_sum
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/docs.jsonl}}
output_type: KIND
test_split: test
doc_to_text: "Q: {{question}}\\nA:"
doc_to_target: "{{answer.split('####')[-1].strip()}}"
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
generation_kwargs: {until: ["Q:", "</s>"], do_sample: false, temperature: 0.0, max_gen_toks: 64}
filter_list:
  - name: vote
    filter: [{function: majority_vote}, {function: take_first}]
  - name: strict
    filter: [{function: regex, regex_pattern: "#### (\\\\-?[0-9]+)"}, {function: take_first}]
  - name: flexible
    filter: [{function: regex, group_select: -1, regex_pattern: "(-?[0-9]+)"},
             {function: take_first}]
metadata: {version: 2.0}
"""
MODEL = '''\
async def reply(request, seed):
    """Counts one on, in one of three ways."""
    if "drafts" in request.messages[-1]["content"]:
        return "#### 2"
    number = int(request.messages[-1]["content"].split()[3].split("+")[0]) + 1
    return [f"so #### {number}", f"it is {number}", "no idea"][seed % 3]
'''


@pytest.fixture
def spec(workshop: Workshop) -> str:
    """The name of a task in a folder of its own, so that nothing has to be downloaded."""
    folder = workshop.folder / "yamls"
    folder.mkdir()
    docs = [{"question": f"What is {k}+1?", "answer": f"so\n#### {k + 1}"} for k in range(3)]
    (folder / "docs.jsonl").write_text("\n".join(map(json.dumps, docs)))
    text = TASK.replace("FOLDER", str(folder))
    (folder / "toy.yaml").write_text(text.replace("KIND", "generate_until"))
    (folder / "odd.yaml").write_text(
        text.replace("KIND", "loglikelihood").replace("toy_sum", "odd")
    )
    (workshop.folder / "model.py").write_text(MODEL)
    workshop.monkeypatch.setenv("HF_HOME", str(workshop.folder / "hf"))
    return f"lm-eval:toy_sum{{include_path={folder}}}"


async def test_its_prompt_its_filter_and_its_metric_are_its_own(spec: str) -> None:
    task = catalog.task(spec)
    first, *rest = task.samples()
    assert (first.question.id, len(rest)) == ("toy_sum-0", 2)
    assert first.question.messages[0]["content"] == "Q: What is 0+1?\nA:"
    assert task.sampling["policy"] == Sampling(stop=("Q:", "</s>"), max_tokens=64)
    assert "2.0" in task.version
    scorer = task.scorer
    assert isinstance(scorer, AnswerScorer)
    assert [scorer.answer(text) for text in ("a #### 1", "it is 1")] == ["1", None]
    scores = await scorer.score(first, ["a #### 1", "#### 2", "it is 1"], None)  # type: ignore[arg-type]
    assert [score.value for score in scores] == [1.0, 0.0, 0.0]
    assert await scorer.clusters(["1", None, "2", "1"]) == [0, None, 1, 0]


def test_another_filter_and_unknown_ones(spec: str) -> None:
    flexible = spec.replace("{", "{filter=flexible,")
    scorer = catalog.task(flexible).scorer
    assert isinstance(scorer, AnswerScorer)
    assert scorer.answer("it is 1") == "1"
    with pytest.raises(UnknownName, match="Known: flexible, strict"):
        catalog.task(spec.replace("{", "{filter=vote,"))
    with pytest.raises(UnknownName, match=r"no lm-eval task 'toy_sun'\. Did you mean 'toy_sum'"):
        catalog.task(spec.replace("toy_sum", "toy_sun"))
    with pytest.raises(ConfigError, match="loglikelihood"):
        catalog.task(spec.replace("toy_sum", "odd"))


def test_methods_run_on_it(spec: str, workshop: Workshop) -> None:
    model = ("--model", "scripted:./model.py:reply", "--pool", "8", "--n", "8")
    status, out, err = workshop.run("run", spec, *model, "--method", "single,majority,cat")
    assert status == 0, err
    assert "majority" in out
    assert Path(next((workshop.folder / "results").glob("*/table.csv"))).read_text().count("\n") > 3


def test_scores_by_one_filter_are_not_those_by_another(spec: str, workshop: Workshop) -> None:
    single = []
    for name in ("strict", "flexible"):
        task = spec.replace("{", f"{{filter={name},")
        model = ("--model", "scripted:./model.py:reply", "--pool", "9", "--out", name)
        status, _, err = workshop.run("run", task, *model, "--method", "single", "--n", "1")
        assert status == 0, err
        table = summarise(workshop.folder / name).set_index("method")
        single.append(float(table["score"]["single"]))
    assert single[1] > single[0]


def test_verdicts_of_an_edited_folder_are_not_those_of_the_old_one(spec: str) -> None:
    scorers = [catalog.task(spec).scorer]
    file = Path(spec.partition("=")[2].rstrip("}")) / "toy.yaml"
    file.write_text(file.read_text().replace("#### (", "so (", 1))
    scorers.append(catalog.task(spec).scorer)
    assert scorer_identity(scorers[0]) != scorer_identity(scorers[1])


def test_it_is_shown(spec: str, workshop: Workshop) -> None:
    status, out, err = workshop.run("show", spec, "--json")
    assert status == 0, err
    shown = json.loads(out)
    assert (shown["task"], shown["methods"]) == ("toy_sum", "single, majority, cat")
    assert shown["summary"] == "toy_sum of lm-eval, on json, with 0 solved examples"
    assert shown["sampling"]["policy"]["max_tokens"] == 64


@pytest.mark.parametrize(
    ("edit", "problem"),
    [
        (("docs.jsonl", "gone.jsonl"), "its data are not here and cannot be fetched"),
        (("dataset_path: json", "dataset_path: FOLDER/own.py"), "lm-eval cannot open it"),
    ],
)
@pytest.mark.parametrize("command", ["show", "run"])
def test_what_cannot_be_loaded_is_said_in_a_line(
    command: str, edit: tuple[str, str], problem: str, spec: str, workshop: Workshop
) -> None:
    folder = workshop.folder / "yamls"
    (folder / "own.py").write_text("")
    text = (folder / "toy.yaml").read_text()
    (folder / "toy.yaml").write_text(text.replace(*edit).replace("FOLDER", str(folder)))
    model = ("--model", "scripted:./model.py:reply") if command == "run" else ()
    status, out, err = workshop.run(command, spec, *model)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith(f"cat-bench: lm-eval:toy_sum: {problem} (")
