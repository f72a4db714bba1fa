"""What decides a run's numbers decides its folder; run.json and `compare` say what differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TOY, Workshop

SMALL = (*TOY, "--pool", "2", "--n", "1", "--method", "majority", "--limit", "3")


def replaced(path: str, old: str, new: str) -> None:
    text = Path("toy", path).read_text()
    assert old in text
    Path("toy", path).write_text(text.replace(old, new))


CHANGES: dict[str, Callable[[], object]] = {
    "prompt, prompt texts": lambda: replaced("prompt.txt", "{{", "Please: {{"),
    "system": lambda: replaced("task.yaml", "scorer:", "system: Be brief.\nscorer:"),
    "data, prompt": lambda: replaced("rows.jsonl", "Is it 1?", "Is it one?"),
    "data": lambda: replaced("rows.jsonl", '"yes"', '"no"'),
    "prompt texts": lambda: Path("toy", "synthesis.txt").write_text("{{ drafts }}"),
    "scorer": lambda: replaced("scorer.py", "1 where", "One where"),
}


@pytest.mark.parametrize("names", CHANGES)
def test_a_change_of_the_task_is_another_run(names: str, workshop: Workshop) -> None:
    assert workshop.run(*SMALL)[0] == 0
    (before,) = (workshop.folder / "results").iterdir()
    CHANGES[names]()
    assert workshop.run(*SMALL)[0] == 0
    (after,) = set((workshop.folder / "results").iterdir()) - {before}
    old, new = (json.loads((run / "run.json").read_text()) for run in (before, after))
    assert old["id"] != new["id"]
    digests = old["task"]["digests"], new["task"]["digests"]
    differing = [name for name in digests[0] if digests[0][name] != digests[1][name]]
    assert ", ".join(differing) == names
    status, out, err = workshop.run("compare", str(before), str(after))
    told = out if status == 0 else err
    assert f"differ in: {names}" in told
    assert (status == 0) == (names in {"prompt texts", "scorer"})


def test_the_same_again_is_the_same_run(workshop: Workshop) -> None:
    for _ in range(2):
        assert workshop.run(*SMALL)[0] == 0
    assert len(workshop.record["invocations"]) == 2
