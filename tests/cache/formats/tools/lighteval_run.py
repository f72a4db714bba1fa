"""Run lighteval on small sums: `python lighteval_run.py FOLDER`, by a Python that has it.

FOLDER gets lighteval's own `details` and `results`, and `figures.json`: its version and its scores.
The model is defined here: lighteval's own need a GPU, a download or a key.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from lighteval.logging.evaluation_tracker import EvaluationTracker
from lighteval.metrics.metrics import Metrics
from lighteval.models.abstract_model import LightevalModel, ModelConfig
from lighteval.models.model_output import ModelResponse
from lighteval.pipeline import ParallelismManager, Pipeline, PipelineParameters
from lighteval.tasks.lighteval_task import LightevalTaskConfig
from lighteval.tasks.registry import Registry
from lighteval.tasks.requests import Doc
from lighteval.utils.cache_management import SampleCache
from replies import DRAWS, SUMS, reply_to


class Adder(LightevalModel):
    """Answers each question as often as the task asks."""

    tokenizer, add_special_tokens, max_length = None, False, 2048

    def __init__(self, folder: Path) -> None:
        self.config = ModelConfig(model_name="test-model", cache_dir=str(folder / "cache"))
        self._cache = SampleCache(self.config)

    def greedy_until(self, docs: list[Doc]) -> list[ModelResponse]:
        return [
            ModelResponse(
                input=doc.query,
                text=[reply_to(doc.query, draw) for draw in range(doc.num_samples)],
                input_tokens=[1] * 9,
                output_tokens=[[2] * (5 + draw) for draw in range(doc.num_samples)],
            )
            for doc in docs
        ]

    def loglikelihood(self, docs: list[Doc]) -> list[ModelResponse]:
        raise AssertionError("the task asks for no log-likelihood")

    loglikelihood_rolling = loglikelihood


def to_doc(line: dict, task_name: str) -> Doc:
    return Doc(task_name=task_name, query=line["question"], choices=[line["answer"]], gold_index=0)


def main(folder: Path) -> None:
    data = folder / "data"
    data.mkdir(parents=True)
    rows = [{"question": f"What is {a} + {b}?", "answer": str(a + b)} for a, b in SUMS]
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = LightevalTaskConfig(
        name="sums",
        prompt_function=to_doc,
        hf_repo=str(data),
        hf_subset="default",
        hf_avail_splits=["test"],
        evaluation_splits=["test"],
        metrics=[
            Metrics.avg_at_n_math(sample_params={"n": DRAWS}),
            Metrics.pass_at_k_math(sample_params={"k": 2, "n": DRAWS}),
        ],
        generation_size=64,
        stop_sequence=[],
        version=1,
    )
    # Some of lighteval's own tasks ask the network when they are imported: they are left out.
    Registry.load_all_task_configs = staticmethod(lambda **_: {task.name: task})
    tracker = EvaluationTracker(output_dir=str(folder), save_details=True)
    pipeline = Pipeline(
        tasks="sums|0",
        pipeline_parameters=PipelineParameters(launcher_type=ParallelismManager.CUSTOM),
        evaluation_tracker=tracker,
        model=Adder(folder),
    )
    pipeline.evaluate()
    pipeline.save_and_push_results()
    found = pipeline.get_results()["results"]["sums:0"]
    scores = {name: value for name, value in found.items() if not name.endswith("_stderr")}
    figures = {"version": version("lighteval"), "scores": scores}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
