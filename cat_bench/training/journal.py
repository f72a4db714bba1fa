"""Keep the journal of a training: a line of JSON per step, and checkpoints to resume from.

A process may be killed at any moment: only the last line of the file can be cut, and a checkpoint
is complete if its last file is. Resuming drops cut lines and incomplete checkpoints.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from cat_bench.types.calls import JSON

Tell = Callable[[Mapping[str, JSON]], None]
NAMES = {
    "completions/mean_length": "completion_tokens",
    "completions/clipped_ratio": "truncated",
    "mean_token_accuracy": "token_accuracy",
}
"""Our names for what TRL names differently."""
KEPT = frozenset(
    {
        *(
            "loss",
            "eval_loss",
            "grad_norm",
            "learning_rate",
            "entropy",
            "kl",
            "reward",
            "reward_std",
        ),
        *(
            "reference_accuracy",
            "reward_accuracy",
            "rollout_accuracy",
            "no_advantage",
            "referenced",
            "unscored",
            "unlabelled",
        ),
        *("calls", "calls_made", "call_tokens"),
    }
)
_STATE = "trainer_state.json"
"""The last file of a checkpoint."""


class Journal(TrainerCallback):
    """Writes a line for each logged step to `path`; steps after the checkpoint are written again.

    `tell` is called with each new line.
    """

    def __init__(self, path: Path, tell: Tell | None = None) -> None:
        self._path = path
        self._tell = tell
        self._then = time.monotonic()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Drop what was logged after the step from which training resumes."""
        if not state.is_world_process_zero:
            return
        earlier = [row for row in read(self._path) if row["step"] <= state.global_step]
        rows = "".join(json.dumps(row) + "\n" for row in earlier)
        self._path.write_text(rows, encoding="utf-8")
        self._then = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, JSON] | None = None,
        **_: Any,
    ) -> None:
        """Add a line, unless this is the summary at the end."""
        if not logs or not state.is_world_process_zero or not {"loss", "eval_loss"} & logs.keys():
            return
        values = {NAMES.get(name, name): value for name, value in logs.items()}
        names = KEPT | set(NAMES.values())
        now = time.monotonic()
        row = {"step": state.global_step, "seconds": round(now - self._then, 3)}
        row |= {name: _drop_nonfinite(value) for name, value in values.items() if name in names}
        self._then = now
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        if self._tell:
            self._tell(row)


def read(path: Path) -> list[dict[str, JSON]]:
    """Return the lines of a journal; empty if the file is missing. A cut line is left out."""
    return list(_rows(path)) if path.is_file() else []


def last_checkpoint(folder: Path, *, processes: int = 1) -> Path | None:
    """Return the latest complete checkpoint; remove incomplete ones.

    With several processes, each writes the state of its random numbers, in any order.
    """
    states = [f"rng_state_{rank}.pth" for rank in range(processes)] if processes > 1 else []
    complete: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        if number := re.fullmatch(r"checkpoint-(\d+)", path.name):
            try:
                json.loads((path / _STATE).read_text(encoding="utf-8"))
                for state in states:
                    (path / state).stat()
                complete[int(number[1])] = path
            except (OSError, ValueError):
                shutil.rmtree(path)
    return complete[max(complete)] if complete else None


def _rows(path: Path) -> Iterator[dict[str, JSON]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


def _drop_nonfinite(value: JSON) -> JSON:
    return None if isinstance(value, float) and not math.isfinite(value) else value
