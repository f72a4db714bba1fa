"""No interval of a share leaves 0 to 100 %, however few the questions and however equal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Workshop

MODEL = """\
import json
from pathlib import Path

RIGHT = json.loads((Path(__file__).parent / "right.json").read_text())


def reply(request, seed):
    asked = request.messages[-1]["content"]
    if "drafts" in asked:
        return "# UNIFIED RESPONSE\\nyes"
    return "so yes" if seed % 4 < RIGHT else "so no"
"""
RUN = ("run", "toy/task.yaml", "--model", "scripted:./model.py:reply", "--pool", "4")
SPANS = {"best_of_n", "forecast", "rank_correlation"}
"""What may be negative, apart from columns that are called a difference: gains, correlations."""
OTHERS = ("distinct answers", "entropy", "inflation", "first bias", "last bias")
"""Figures of forensics that are no shares."""
BRACKETS = re.compile(r"(?<![-+\d.])(\d[\d.]*) \[(-?[\d.]+), (-?[\d.]+)\]")


def intervals(folder: Path) -> Iterator[tuple[str, float, float, float]]:
    """The place of each interval, its least possible end, and its ends, as shares."""
    for path in folder.rglob("*.csv"):
        table = pd.read_csv(path)
        if "figure" in table:
            table = table[~table["figure"].isin(OTHERS)]
        for low in [str(name) for name in table if str(name).endswith("low")]:
            if (name := low.removesuffix("_low")) == "gap":
                continue  # a method may close less than nothing of a gap, and more than all
            signed = name in SPANS or name.startswith("diff")
            for least, most in table[[low, f"{name}_high"]].to_numpy(float):
                yield f"{path.name}: {name}", -1.0 if signed else 0.0, least, most
    for path in folder.rglob("*.md"):
        for found in BRACKETS.finditer(path.read_text() if path.name != "compute.md" else ""):
            least, most = float(found[2]) / 100, float(found[3]) / 100
            yield f"{path.name}: {found[0]}", 0.0, least, most


@pytest.mark.parametrize("questions", [1, 2, 6])
@pytest.mark.parametrize("right", [0, 1, 4], ids=["none right", "some", "all right"])
def test_intervals_of_shares_are_shares(workshop: Workshop, questions: int, right: int) -> None:
    rows = [{"id": f"q{k}", "problem": f"{k}?", "answer": "yes"} for k in range(questions)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (workshop.folder / "toy" / "rows.jsonl").write_text(lines)
    (workshop.folder / "model.py").write_text(MODEL)
    (workshop.folder / "right.json").write_text(str(right))
    status, _, err = workshop.run(*RUN, "--out", "out/run")
    assert status == 0, err
    audit = ("audit", *RUN[1:4], "--pool", "4", "--group", "4", "--estimator", "majority")
    status, _, err = workshop.run(*audit, "--reward", "equivalence,gold", "--out", "out/audit")
    assert status == 0, err
    found = list(intervals(workshop.folder / "out"))
    assert {place.partition(":")[0] for place, *_ in found} >= {"table.csv", "forensics.csv"}
    for place, bound, least, most in found:
        assert not least < bound, place
        assert not most > 1, place
        assert not least > most, place
