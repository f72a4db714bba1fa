"""Parts of scores, by tags that a task chose itself."""

from __future__ import annotations

from cat_bench.report import markdown
from cat_bench.report.rubric import breakdown
from tests.report.conftest import Runs


def test_every_tag_has_a_row(runs: Runs) -> None:
    tags = ("style:brief", "clarity", "theme:care")
    rows = runs.scores("single", 1, [0.5, 1.0], parts=tags, part_scores=(0.25, 0.5, 1.0))
    folder = runs.build(rows)
    found = breakdown(folder).set_index("part")["kind"].to_dict()
    assert found == {"style:brief": "style", "clarity": "", "theme:care": "theme"}
    text = markdown(folder)
    assert "## By theme, style, at each method's largest n, %" in text
    assert all(f"| {tag} " in text for tag in tags)
