"""Figures of many methods, of few and of none: nothing is cut, and nothing is shown by a guess."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from cat_bench.report.canvas import cut, render_figure
from cat_bench.report.charts import _compute, _draw_dots, compute_chart, forest
from cat_bench.report.compute import compute
from cat_bench.report.figures import curve
from cat_bench.report.groups import groups
from cat_bench.report.summary import summarise
from cat_bench.runs.folder import read_record
from cat_bench.types.calls import JSON
from cat_bench.types.records import Question, Sample
from tests.report.conftest import WARNINGS_FAIL

if TYPE_CHECKING:
    from tests.report.conftest import Runs

pytestmark = WARNINGS_FAIL
SVG = "{http://www.w3.org/2000/svg}"


def _texts(figure: dict[str, bytes]) -> list[tuple[str, float, float]]:
    """Each text of the figure and where its line starts or ends, in shares of width and height."""
    tree = ElementTree.fromstring(figure["svg"])
    _, _, width, height = map(float, tree.attrib["viewBox"].split())
    found = []
    for element in tree.iter(f"{SVG}text"):
        place = re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform", ""))
        x, y = place.groups() if place else (element.get("x", "0"), element.get("y", "0"))
        found.append((element.text or "", float(x) / width, float(y) / height))
    return found


def test_a_legend_of_many_methods_stays_in_the_figure(runs: Runs) -> None:
    names = ["single", *(f"a long name of a method {k:02}" for k in range(28))]
    rows = [row for name in names for n in (1, 2) for row in runs.scores(name, n, [0.2, 0.9])]
    folder = runs.build(rows, names)
    run = read_record(folder)
    for figure in (curve(summarise(folder), run), compute_chart(compute(folder), run)):
        shown = {text: (x, y) for text, x, y in _texts(figure)}
        assert {cut(name) for name in names[1:]} <= set(shown)
        assert all(0 <= x < 1 and 0 < y <= 1 for x, y in shown.values())


def test_a_long_name_keeps_the_end_that_tells_it_from_others() -> None:
    one, other = (cut(f"perplexity-vote{{temperature={t}}}") for t in (0.25, 0.75))
    assert one != other
    assert one.endswith("0.25}")
    assert len(one) == 30


def test_a_title_does_not_reach_the_widest_legend(runs: Runs) -> None:
    names = ["single", "WIDE" * 20]
    samples = [Sample(Question(f"q{k}", (), "", {"level": k % 2}), "") for k in range(4)]
    rows = [row for name in names for row in runs.scores(name, 1, [0.2, 0.4, 0.6, 0.8])]
    config = {"task": "sums", "model": "ORGANISATION/" * 9, "anchor": None, "judge": None}
    folder = runs.build(rows, names, samples=samples, config={**config, "pool": 8})
    made: list[Figure] = []

    def draw() -> Figure:
        made.append(_draw_dots(groups(folder), read_record(folder), "level"))
        return made[0]

    render_figure(draw)
    (legend,) = made[0].legends
    titles = [text for text in made[0].findobj(Text) if "questions" in text.get_text()]
    above = max(titles, key=lambda text: text.get_window_extent().y1)
    assert above.get_window_extent().x1 < legend.get_window_extent().x0


def test_n_stands_once_at_places_that_methods_share(runs: Runs) -> None:
    names = ["majority", "alike", "like"]
    rows = [
        row for name in names for n in (1, 4, 16) for row in runs.scores(name, n, [n / 16, 0.5])
    ]
    folder = runs.build(rows, names)
    found = _texts(compute_chart(compute(folder), read_record(folder)))
    assert [text for text, _, _ in found if text in {"4", "16"}] == ["4", "16"]


def test_a_tick_of_a_narrow_axis_names_the_place_where_it_stands(runs: Runs) -> None:
    rows = [row for n in (1, 2) for row in runs.scores("single", n, [0.2, 0.9])]
    rows += [row for n in (1, 2) for row in runs.scores("majority", n, [0.2, 0.9])]
    folder = runs.build(rows, ["single", "majority"])
    table = compute(folder)
    table["tokens"] = np.linspace(18.2, 37.9, len(table))
    axes = _compute(table, read_record(folder), "tokens").axes[0]
    low, high = axes.get_xlim()
    ticks = [t for t in axes.get_xticks() if low <= t <= high]
    assert len(ticks) > 2
    named = [axes.xaxis.get_major_formatter()(tick) for tick in ticks]
    assert [float(name.replace(",", "")) for name in named] == ticks


def test_without_a_score_or_a_comparison_the_figure_says_so(runs: Runs) -> None:
    alone = runs.build(runs.scores("single", 1, [0.5, 1.0]), name="alone")
    found = forest(summarise(alone), read_record(alone))
    assert "no method to compare with the reference" in [text for text, _, _ in _texts(found)]
    empty = runs.build(runs.scores("single", 1, [None, None]), name="empty")
    found = curve(summarise(empty), read_record(empty))
    assert [text for text, _, _ in _texts(found)] == ["no method has a score", _title(empty)]


def _title(folder: JSON) -> str:
    return f"sums · tiny · {read_record(folder)['questions']} questions"


def test_a_mean_of_one_question_has_no_interval_to_draw(runs: Runs) -> None:
    kinds = ["a", "b", "b", "b"]
    samples = [
        Sample(Question(f"q{k}", (), "", {"kind": kind}), "") for k, kind in enumerate(kinds)
    ]
    rows = [row for name in ("single", "cat") for row in runs.scores(name, 1, [0.5, 0.2, 0.7, 0.9])]
    folder = runs.build(rows, ["single", "cat"], samples=samples)
    figure = _draw_dots(groups(folder), read_record(folder), "kind")
    drawn: JSON = figure.axes[0].containers
    reaches = [dots.lines[2][0].get_segments() for dots in drawn]
    assert len(reaches) == 2
    for one, several in reaches:
        assert len(one) == 0 or np.isnan(one).any()
        assert several[1][1] > several[0][1]
