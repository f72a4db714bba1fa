"""Run evalscope on small sums: `python evalscope_run.py URL FOLDER`, by a Python that has it.

FOLDER gets evalscope's own `reviews` and `reports`, and `figures.json`: its version and its scores.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from evalscope import TaskConfig, run_task
from replies import DRAWS, SUMS


def main(url: str, folder: Path) -> None:
    data = folder / "data"
    data.mkdir(parents=True)
    rows = [{"question": f"What is {a} + {b}?", "answer": f"Add.\n#### {a + b}"} for a, b in SUMS]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    splits = ""
    for split in ("train", "test"):
        (data / f"{split}.jsonl").write_text(lines)
        splits += f"  - {{split: {split}, path: {split}.jsonl}}\n"
    head = f"---\nconfigs:\n- config_name: main\n  data_files:\n{splits}---\n"
    (data / "README.md").write_text(head)
    config = TaskConfig(
        model="test-model",
        api_url=url,
        api_key="none",
        eval_type="openai_api",
        datasets=["gsm8k"],
        dataset_args={"gsm8k": {"dataset_id": str(data), "few_shot_num": 0}},
        repeats=DRAWS,
        eval_batch_size=1,
        generation_config={"temperature": 1.0},
        work_dir=str(folder),
        no_timestamp=True,
    )
    run_task(config)
    (report,) = folder.glob("reports/*/gsm8k.json")
    metrics = json.loads(report.read_text())["metrics"]
    scores = {metric["identity"]["name"]: metric["score"] for metric in metrics}
    figures = {"version": version("evalscope"), "scores": scores}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
