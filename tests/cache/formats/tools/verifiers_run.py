"""Run verifiers on small sums: `python verifiers_run.py URL FOLDER`, by a Python that has it.

FOLDER gets verifiers' own `traces.jsonl`, and `figures.json`: its version and its mean reward.
"""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

from replies import DRAWS
from verifiers.v1 import WireTrace
from verifiers.v1.cli.eval.main import main as evaluate
from verifiers.v1.utils.trace_store import read_episodes


def main(url: str, folder: Path) -> None:
    os.environ["SUMS_KEY"] = "none"
    options = {
        "-m": "test-model",
        "-r": str(DRAWS),
        "-c": "1",
        "--client.base-url": url,
        "--client.api-key-var": "SUMS_KEY",
        "--env.agent.harness.id": "sums_v1",
        "--env.agent.runtime.type": "subprocess",
        "-o": str(folder.parent),
        "--run.dir": folder.name,
    }
    words = [word for option in options.items() for word in option]
    evaluate(["sums_v1", *words, "--no-push", "--no-rich"])
    episodes = read_episodes(folder, WireTrace)
    rewards = [trace.reward for episode in episodes for trace in episode.traces]
    scores = {"reward": sum(rewards) / len(rewards)}
    figures = {"version": version("verifiers"), "scores": scores}
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
