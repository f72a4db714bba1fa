"""Samples of other tools: what the tools write themselves, and rows of documented formats."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from cat_bench.cache import Cache, Call, import_pool
from cat_bench.cache.formats import Conversion, convert, list_files, suggest_format
from cat_bench.cache.formats.hub import fetch
from cat_bench.cache.formats.samples import Findings
from cat_bench.errors import DataError, UnknownName, UsageError
from cat_bench.report import summarise
from cat_bench.runs.config import RunConfig
from cat_bench.runs.opening import run
from cat_bench.scorers.math_equal import MathEqual
from cat_bench.types.calls import JSON, Reply
from tests.places import SHARED

SUMS = ((2, 3), (10, 7), (21, 14))


def write_lines(path: Path, *rows: Mapping[str, JSON]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reply_to(question: str, draw: int) -> str:
    """A response that is wrong for some draws of some questions."""
    a, b = map(int, question.split("?")[0].split()[-3::2])
    total = a + b + (1 if draw % 4 == a % 3 else 0)
    return f"so #### {total}, in a box \\boxed{{{total}}}"


async def score(conversion: Conversion, folder: Path, **pool: JSON) -> Path:
    """Import into a cache of its own and play single and majority."""
    with Cache() as cache:
        import_pool(cache, conversion, name="theirs", scorer="math_equal", **pool)
    config: dict[str, JSON] = {"methods": ("single", "majority"), "n": (1, 4)}
    outcome = await run(
        RunConfig(task="pool:theirs", model="replay:theirs", out=folder / "run", **config)
    )
    return outcome.folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))


LM_EVAL = """\
task: sums
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/docs.jsonl}}
output_type: generate_until
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
repeats: 4
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
generation_kwargs: {until: ["Q:"], do_sample: true, temperature: 1.0, max_gen_toks: 64}
filter_list:
  - name: first
    filter: [{function: regex, regex_pattern: "#### ([0-9]+)"}, {function: take_first}]
  - name: maj@4
    filter: [{function: regex, regex_pattern: "#### ([0-9]+)"}, {function: majority_vote},
             {function: take_first}]
metadata: {version: 1.0}
"""


@pytest.fixture
def lm_eval_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, float]:
    """Run lm-eval itself with four repeats; its files are under `lm`."""
    lm_eval = pytest.importorskip("lm_eval")
    from lm_eval.api.model import LM
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))

    class Adder(LM):  # type: ignore[misc]
        """Counts how often it was asked each question."""

        def __init__(self) -> None:
            super().__init__()
            self.asked: dict[str, int] = {}

        def generate_until(self, requests: Sequence[JSON], **_: JSON) -> list[str]:
            return [self.reply(request.args[0]) for request in requests]

        def reply(self, question: str) -> str:
            self.asked[question] = self.asked.get(question, -1) + 1
            return reply_to(question, self.asked[question])

        def loglikelihood(self, requests: JSON, **_: JSON) -> JSON:
            raise AssertionError("the task asks for no log-likelihood")

        def loglikelihood_rolling(self, requests: JSON, **_: JSON) -> JSON:
            raise AssertionError("the task asks for no log-likelihood")

    tasks = tmp_path / "tasks"
    tasks.mkdir()
    docs = [{"question": f"What is {a} + {b}?", "answer": str(a + b)} for a, b in SUMS]
    write_lines(tasks / "docs.jsonl", *docs)
    (tasks / "sums.yaml").write_text(LM_EVAL.replace("FOLDER", str(tasks)))
    tracker: JSON = EvaluationTracker(output_path=str(tmp_path / "lm"))
    found = lm_eval.simple_evaluate(
        Adder(),
        tasks=["sums"],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        log_samples=True,
        bootstrap_iters=0,
        evaluation_tracker=tracker,
    )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    tracker.save_results_samples("sums", samples["sums"])
    return {
        name: value
        for name, value in found["results"]["sums"].items()
        if name.startswith("exact_match,")
    }


async def test_lm_eval_scores_as_lm_eval_does(
    tmp_path: Path, lm_eval_figures: Mapping[str, float]
) -> None:
    (file,) = list_files(sorted((tmp_path / "lm").iterdir()), "lm-eval")
    assert suggest_format(file) == "lm-eval"
    conversion = convert([file], format="lm-eval")
    findings = conversion.findings
    assert findings.verdicts == pytest.approx(lm_eval_figures)
    assert findings.left == {"doc_hash", "filtered_resps", "prompt_hash", "target_hash"}
    assert [row["problem"] for row in conversion.rows] == [f"What is {a} + {b}?" for a, b in SUMS]
    folder = await score(conversion, tmp_path)
    answers = [(MathEqual().answer(row["responses"][0]), row["answer"]) for row in conversion.rows]
    first = sum(one == two for one, two in answers) / len(answers)
    assert first == pytest.approx(lm_eval_figures["exact_match,first"])
    table = summarise(folder).set_index(["method", "n"])["score"]
    assert table["majority", 4] == pytest.approx(lm_eval_figures["exact_match,maj@4"])
    assert 0 < table["single", 1] < 1


async def test_inspect_scores_as_inspect_does(tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai")
    from inspect_ai import Task, eval_async
    from inspect_ai.dataset import Sample
    from inspect_ai.log import EvalLog
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import match

    asked: dict[str, int] = {}

    def answer(messages: Sequence[JSON], *_: JSON) -> ModelOutput:
        question = messages[-1].text
        asked[question] = asked.get(question, -1) + 1
        a_reply = reply_to(question, asked[question]).replace("so", "as").replace("}", "")
        output = ModelOutput.from_content("mockllm/model", a_reply.split(",")[0])
        usage = ModelUsage(input_tokens=9, output_tokens=4, total_tokens=13)
        return output.model_copy(update={"usage": usage})

    samples = [Sample(f"What is {a} + {b}?", target=str(a + b), id=f"s{a}") for a, b in SUMS]
    task = Task(dataset=samples, scorer=match(numeric=True), epochs=4, name="sums")
    model = get_model("mockllm/model", custom_outputs=answer)
    (log,) = await eval_async(
        task, model=model, log_dir=str(tmp_path / "logs"), max_tasks=1, max_samples=1
    )
    assert isinstance(log, EvalLog)
    assert log.status == "success"
    assert log.results
    accuracy = log.results.scores[0].metrics["accuracy"].value
    conversion = convert(list_files([tmp_path / "logs"], "inspect"), format="inspect")
    assert conversion.findings.verdicts == {"match": pytest.approx(accuracy)}
    assert conversion.findings.model == "mockllm/model"
    assert not hasattr(asyncio, "_nest_patched"), "Inspect patched asyncio for the whole process"
    assert [len(row["responses"]) for row in conversion.rows] == [4, 4, 4]
    folder = await score(conversion, tmp_path, scorer_params={"pattern": "#### ([0-9]+)"})
    table = summarise(folder).set_index(["method", "n"])["score"]
    assert table["single", 1] == pytest.approx(accuracy)
    assert 0 < accuracy < 1


def test_logs_of_two_models_are_not_one_pool(tmp_path: Path) -> None:
    findings = Findings(format="inspect")
    findings.name_model("a", tmp_path / "one.eval")
    findings.name_model(None, tmp_path / "two.eval")
    with pytest.raises(DataError, match=r"three\.eval: is of the model b, and an earlier one of a"):
        findings.name_model("b", tmp_path / "three.eval")


def test_best_of_infinity_is_the_pool_that_was_made_from_it(tmp_path: Path) -> None:
    packed = SHARED / "pools" / "best_of_infinity" / "aime2025__gpt-oss-20b.jsonl.gz"
    if not packed.is_file():
        pytest.skip("the real pools are in neither CAT_BENCH_DATA nor ../shared/data")
    with gzip.open(packed, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    originals = [
        {
            "problem_num": place,
            "gold_answer": row["answer"],
            "all_answers": [
                [text[len("\\boxed{") : -1], usage["completion"]]
                for text, usage in zip(row["responses"], row["usage"], strict=True)
            ],
            "majority_answer": "left",
        }
        for place, row in enumerate(rows)
    ]
    file = write_lines(tmp_path / "analysis_aime2025_gpt-oss-20b.jsonl", *originals)
    made = convert([file], format="best-of-infinity")
    assert made.findings.model == "gpt-oss-20b"
    assert made.findings.left == {"majority_answer"}
    for mine, theirs in zip(made.rows, rows, strict=True):
        assert {name: mine[name] for name in ("id", "problem", "answer", "responses")} == {
            name: theirs[name] for name in ("id", "problem", "answer", "responses")
        }
        tokens = [usage["completion"] if usage else 0 for usage in mine["usage"]]
        assert tokens == [usage["completion"] for usage in theirs["usage"]]


RAW: Mapping[str, JSON] = {
    "problem_num": 1,
    "gold_answer": 70,
    "all_answers": [["70", 836], ["", 714], ["16", 3]],
    "empty": [],
}


async def test_a_map_reads_any_file(tmp_path: Path, cache: Cache) -> None:
    file = write_lines(tmp_path / "any.jsonl", RAW, {**RAW, "problem_num": 2})
    columns = "responses=all_answers[*][0],tokens=all_answers[*][1], answer=gold_answer"
    conversion = convert([file], columns=columns, answer=MathEqual().answer)
    row = conversion.rows[0]
    assert row["responses"] == ["\\boxed{70}", "", "\\boxed{16}"]
    assert [usage["completion"] for usage in row["usage"]] == [836, 714, 3]
    assert row["answer"] == "70"
    assert conversion.findings.left == {"problem_num", "empty"}
    said = "; ".join(conversion.findings.guessed)
    assert "id: the row's number" in said
    assert "a placeholder" in said
    assert "put into \\boxed{}" in said
    assert not conversion.findings.texts
    pool = import_pool(cache, conversion, name="p")
    assert (pool.questions, pool.responses, pool.texts) == (2, 6, False)
    results = await cache.lookup(Call.imported("p", row["id"]), range(3))
    texts = {result.text for result in results.values() if isinstance(result, Reply)}
    assert texts == {"\\boxed{70}", "", "\\boxed{16}"}


def test_rows_of_one_id_are_one_question_and_texts_stay_as_they_are(tmp_path: Path) -> None:
    rows = [
        {"q": "1 + 1?", "a": "2", "out": {"text": t}, "rm": s} for t, s in (("two", 1), ("2", 0))
    ]
    file = write_lines(tmp_path / "rows.jsonl", *rows)
    columns = "problem=q,answer=a,responses=out.text,scores.rm=rm,meta.kind='a,b'"
    conversion = convert([file], columns=columns)
    (row,) = conversion.rows
    assert row["responses"] == ["two", "2"]
    assert row["scores"] == {"rm": [1, 0]}
    assert row["kind"] == "a,b"
    assert conversion.findings.texts


def test_a_response_that_failed_keeps_its_place(tmp_path: Path) -> None:
    answers = [{"text": "1", "rm": 0.5}, {"error": "timeout"}, {"text": None, "rm": 2}]
    file = write_lines(tmp_path / "any.jsonl", {"id": "q", "all": answers})
    columns = "id=id,responses=all[*].text,failures=all[*].error,scores.rm=all[*].rm"
    (row,) = convert([file], columns=columns).rows
    assert row["responses"] == ["1", None, None]
    assert row["failures"] == [None, {"kind": "imported", "message": "timeout"}, None]
    assert row["scores"] == {"rm": [0.5, None, 2]}


def test_a_sample_that_failed_is_a_row_with_its_reason(tmp_path: Path) -> None:
    samples: list[JSON] = [{"id": "q", "text": "1"}, {"id": "q", "text": None, "error": "timeout"}]
    file = write_lines(tmp_path / "any.jsonl", *samples)
    (row,) = convert([file], columns="id=id,responses=text,failures=error").rows
    assert row["responses"] == ["1", None]
    assert row["failures"] == [None, {"kind": "imported", "message": "timeout"}]
    with pytest.raises(UsageError, match=r"for a failed sample, name the reason by failures=…"):
        convert([file], columns="id=id,responses=text")


@pytest.mark.parametrize("names", [("a/out.jsonl", "b/out.jsonl"), ("out.jsonl", "out.json")])
def test_rows_of_two_files_of_one_name_are_two_questions(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    files = [tmp_path / name for name in names]
    for file, text in zip(files, "12", strict=True):
        file.parent.mkdir(exist_ok=True)
        row = {"text": text}
        file.write_text(json.dumps([row] if file.suffix == ".json" else row))
    rows = convert(files, columns="responses=text").rows
    assert [row["id"] for row in rows] == [f"{name}/1" for name in names]
    assert [row["responses"] for row in rows] == [["1"], ["2"]]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("responses=all_answers[*", "not JMESPath"),
        ("responces=all_answers", "no column 'responces'"),
        ("answer=gold_answer", "name either responses="),
        ("responses=empty", "finds an empty list, so the question has no response"),
        ("responses=nothing", "finds nothing; there are 'problem_num', 'gold_answer'"),
        ("responses=all_answers", "finds list, not a text"),
        ("responses=all_answers[*][0],tokens=[`1`]", "finds 1 entries"),
        ("responses=all_answers[*][0],tokens=all_answers[*][0]", "not a whole number"),
        ("responses", "is not COLUMN=EXPRESSION"),
        ("responses=a,responses=b", "twice"),
        ("responses=all_answers[*][0],id=nothing", "--map id finds None"),
    ],
)
def test_a_wrong_map_says_what_is_wrong(tmp_path: Path, columns: str, said: str) -> None:
    file = write_lines(tmp_path / "any.jsonl", RAW)
    with pytest.raises(UsageError) as caught:
        convert([file], columns=columns)
    assert said in str(caught.value)


def test_nemo_skills_has_a_file_for_each_seed(tmp_path: Path) -> None:
    for seed in range(11):
        rows = [
            {
                "problem": f"{a} + {b}?",
                "expected_answer": str(a + b),
                "generation": f"seed {seed}: \\boxed{{{a + b + seed % 2}}}",
                "predicted_answer": str(a + b + seed % 2),
                "symbolic_correct": seed % 2 == 0,
                "judgement": f"Reasoning … Judgement: {'No' if seed % 2 else 'Yes'}",
                "num_generated_tokens": 7 + seed,
            }
            for a, b in SUMS
        ]
        write_lines(tmp_path / f"output-rs{seed}.jsonl", *rows)
    (tmp_path / "output-rs11.jsonl-async").write_text("{")
    made = convert(list_files([tmp_path], "nemo-skills"), format="nemo-skills")
    assert [row["problem"] for row in made.rows] == [f"{a} + {b}?" for a, b in SUMS]
    assert [text[:7].rstrip(":") for text in made.rows[0]["responses"]] == [
        f"seed {seed}" for seed in range(11)
    ]
    assert made.rows[0]["usage"][10] == {"prompt": 0, "completion": 17}
    assert made.findings.verdicts == pytest.approx(
        {"judgement": 6 / 11, "symbolic_correct": 6 / 11}
    )
    assert made.findings.left == {"predicted_answer"}


def instance(sample: str, *texts: str, result: str = "sums", score: float = 1) -> dict[str, JSON]:
    return {
        "schema_version": "0.3.0",
        "evaluation_id": "e",
        "model_id": "a/b",
        "evaluation_name": "sums",
        "evaluation_result_id": result,
        "sample_id": sample,
        "interaction_type": "single_turn",
        "input": {"raw": f"what is {sample}?", "reference": ["2"]},
        "output": {"raw": list(texts)},
        "answer_attribution": [],
        "evaluation": {"score": score, "is_correct": score > 0.5},
        "token_usage": {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8},
    }


def test_every_eval_ever_reads_both_ways_of_several_responses(tmp_path: Path) -> None:
    file = write_lines(
        tmp_path / "x_samples.jsonl",
        instance("1+1", "two", "2"),
        instance("2+0", "2"),
        instance("2+0", "3", score=0),
        instance("2+0", "2", result="other"),
    )
    made = convert([file], format="every-eval-ever")
    assert [row["responses"] for row in made.rows] == [["two", "2"], ["2", "3"]]
    assert made.rows[1]["usage"][0] == {"prompt": 3, "completion": 5}
    assert made.findings.verdicts == {"sums": 0.75}
    assert "of the result sums" in made.findings.guessed[0]
    assert made.findings.model == "a/b"


@pytest.mark.parametrize(
    ("format_name", "row", "said"),
    [
        ("best-of-infinity", {"problem_num": 1}, "'gold_answer' is missing"),
        ("best-of-infinity", {**RAW, "all_answers": [["70"]]}, "not [answer, tokens]"),
        ("lm-eval", {"doc_id": 1, "resps": [[[-1.0, True]]]}, "only generate_until"),
        ("nemo-skills", {"problem": "p"}, "'generation' is missing"),
        ("every-eval-ever", {**instance("a"), "interaction_type": "agentic"}, "only single_turn"),
    ],
)
def test_another_tools_file_is_told(
    tmp_path: Path, format_name: str, row: Mapping[str, JSON], said: str
) -> None:
    with pytest.raises(DataError) as caught:
        convert([write_lines(tmp_path / "rows.jsonl", row)], format=format_name)
    assert said in str(caught.value)


def test_names_of_files_and_formats_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'lm-eval'"):
        convert([tmp_path], format="lm_eval")
    with pytest.raises(DataError, match="without output-rs"):
        list_files([tmp_path], "nemo-skills")
    for name in ("hub:owner", "hub:o/n@main/x.jsonl", "hub:o/n@1234567/x.jsonl"):
        with pytest.raises(UsageError, match="40 digits of a commit"):
            fetch(name)


def test_a_file_of_the_hub_is_read_from_where_the_hub_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789" * 4
    held = tmp_path / "datasets--owner--name" / "snapshots" / commit / "data"
    held.mkdir(parents=True)
    file = write_lines(held / "any.jsonl", RAW)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert fetch(f"hub:owner/name@{commit}/data/any.jsonl") == file
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch(f"hub:owner/name@{commit}/data/other.jsonl")
