"""The Python interface: the command line's digits, in scripts and inside of running loops."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

import cat_bench as cb
from cat_bench.cli.options import OPTIONS, configurations
from cat_bench.runs.config import as_command, configure
from cat_bench.types.calls import JSON
from tests.conftest import TOY, Workshop

SETTINGS: dict[str, JSON] = {"pool": 8, "limit": 4, "draws": 2}
MODEL = "scripted:./model.py:reply"
METHODS = ["single", "majority", "cat"]


@pytest.fixture
def run(workshop: Workshop) -> cb.Run:
    return cb.run("toy/task.yaml", model=MODEL, methods=METHODS, n=[1, 4], **SETTINGS)


def csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, lineterminator="\n")


def test_a_run_gives_the_digits_of_the_command_line(workshop: Workshop, run: cb.Run) -> None:
    calls = workshop.calls
    options = ["--pool", "8", "--limit", "4", "--draws", "2", "--n", "1,4"]
    status, _, err = workshop.run(*TOY, *options, "--method", ",".join(METHODS))
    assert status == 0, err
    assert workshop.calls == calls  # the same calls, from the cache
    assert workshop.record["id"] == run.tables.record["id"]  # in the same folder
    folder = run.folder
    assert csv(run.table) == (folder / "table.csv").read_text()
    assert csv(run.compute()) == (folder / "compute.csv").read_text()
    same = cb.load(folder)
    for name in ("table", "scores", "rollouts", "questions", "record"):
        table = getattr(run, name)
        assert isinstance(table, pd.DataFrame)
        if name != "record":  # it has both invocations
            pd.testing.assert_frame_equal(getattr(same, name), table)
    assert same.record.loc["config.model", "value"] == MODEL
    command = workshop.record["invocations"][0]["command"]
    (config,) = configurations(**parsed(command))
    assert config == configure(
        "toy/task.yaml", {"model": MODEL, "methods": METHODS, "n": [1, 4], **SETTINGS}, source=""
    )


def parsed(command: list[str]) -> dict[str, JSON]:
    """A command's arguments as `cat-bench run` reads them."""
    import click

    options = click.command()(lambda: None)
    options.params = []
    for option in reversed([*OPTIONS.values()]):
        option(options)
    with options.make_context("run", command[1:]) as context:
        return context.params


@pytest.mark.parametrize(
    "values",
    [
        {"n": [8], "label": "1e5", "seed": 3, "offline": True, "out": "somewhere"},
        {"base_url": ["http://a", "http://b"], "sampling": {"policy": {"temperature": 0.7}}},
        {"methods": ["vote{by=length}", "cat"], "label": "yes: no", "deadline": 1.5},
    ],
)
def test_a_command_makes_the_configuration_that_it_stands_for(values: dict[str, JSON]) -> None:
    config = configure("tally", values, source="")
    (again,) = configurations(**parsed(as_command(config)))
    urls = config.base_url if isinstance(config.base_url, str) else tuple(config.base_url or ())
    assert again.model_copy(update={"base_url": urls or None}) == config


def test_texts_are_there_on_request(run: cb.Run) -> None:
    assert "text" not in run.rollouts
    texts = run.texts()
    assert len(texts) == 4 * 8
    assert set(texts["text"]) == {"so yes", "so no"}
    pd.testing.assert_frame_equal(texts[list(run.rollouts)], run.rollouts, check_dtype=False)
    assert len(run.texts("q1")) == 8


def test_figures_pages_and_comparisons(workshop: Workshop, run: cb.Run) -> None:
    figure = run.curve()
    assert isinstance(figure, Figure)
    assert getattr(figure, "_repr_png_")().startswith(b"\x89PNG")  # noqa: B009
    page = run.page("page.html")
    assert page == Path("page.html")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    other = cb.run(
        "toy/task.yaml", model=MODEL, methods="majority", n=4, seed=1, progress=False, **SETTINGS
    )
    both = run.compare(other)
    assert both["run"].nunique() == 2
    assert set(both["reference"].dropna()) <= {f"{run.folder.name}:majority@{n}" for n in (1, 4)}
    assert {path.name for path in other.report()} >= {"table.md", "curve.svg"}
    compared = run.compared_with("single").set_index(["method", "n"])
    assert compared.loc[("majority", 4), "reference"] == "single"


def test_a_notebook_shows_the_table(run: cb.Run) -> None:
    shown = run._repr_html_()
    assert shown.count("<tr") == 1 + 4  # a head, three methods, the oracle
    assert "vs majority, points" in shown
    assert "<td>cat</td>" in shown
    assert "toy" in repr(run)


def test_everything_works_inside_a_running_loop(workshop: Workshop) -> None:
    async def notebook() -> tuple[cb.Run, cb.Run]:
        first = cb.run("toy/task.yaml", model=MODEL, n=[1, 4], progress=False, **SETTINGS)
        assert len(first.texts("q0")) == 8
        assert first.page().is_file()
        assert cb.aggregate(["\\boxed{2}", "\\boxed{3}", "\\boxed{2}"]).answer == "2"
        return first, await cb.arun(
            "toy/task.yaml", model=MODEL, n=[1, 4], progress=False, **SETTINGS
        )

    first, second = asyncio.run(notebook())
    own = [name for name in map(str, first.table) if not name.startswith("spent_")]
    assert csv(first.table[own]) == csv(second.table[own])


def test_progress_is_told_to_whoever_asks(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    class Count:
        done, of = 0, 0

        def warn(self, warning: str) -> None:
            raise AssertionError(warning)

        def start(self, task: str, questions: int, meters: object) -> None:
            self.of = questions

        def advance(self) -> None:
            self.done += 1

    count = Count()
    cb.run("toy/task.yaml", model=MODEL, methods="majority", n=4, progress=count, **SETTINGS)
    assert (count.done, count.of) == (4, 4)
    assert capsys.readouterr() == ("", "")


def test_what_is_missing_is_a_warning(workshop: Workshop) -> None:
    (workshop.folder / "down").touch()
    with pytest.warns(UserWarning, match="Incomplete|down") as told:
        cb.run("toy/task.yaml", model=MODEL, n=[1, 4], retries=0, progress=False, **SETTINGS)
    first, second = (str(warning.message) for warning in told)
    assert re.match(r"Incomplete: \d+ rollouts and \d+ estimates are missing", first)
    assert second.endswith("server: down")


def test_mistakes_are_named_before_anything_is_paid_for(workshop: Workshop) -> None:
    with pytest.raises(cb.ConfigError, match=r"method.*Did you mean 'methods'"):
        cb.run("toy/task.yaml", model=MODEL, method=["cat"])
    with pytest.raises(cb.UnknownName, match="majority"):
        cb.run("toy/task.yaml", model=MODEL, methods="majorty")
    with pytest.raises(cb.DataError):
        cb.load("nowhere")
    assert workshop.calls == 0


def test_texts_are_aggregated_without_a_task(workshop: Workshop) -> None:
    texts = ["I say \\boxed{2}", "so \\boxed{3}", "twice: \\boxed{4/2}", "nothing"]
    vote = cb.aggregate(texts, "majority")
    assert (vote.answer, vote.text, vote.tied) == ("2", texts[0], False)
    assert vote.picks == {0: 0.5, 2: 0.5}
    assert vote.answers == {"2": 1.0}
    tie = cb.aggregate(texts[:2])
    assert (tie.tied, tie.answers) == (True, {"2": 0.5, "3": 0.5})
    none = cb.aggregate(["nothing"])
    assert (none.answer, none.text) == (None, None)
    assert none.reason
    words = cb.aggregate(["so yes", "so no", "so yes"], scorer="./toy/scorer.py:LastWord")
    assert words.answer == "yes"
    written = cb.aggregate(["so yes"], "cat", model=MODEL, scorer="./toy/scorer.py:LastWord")
    assert (written.text, written.answer, workshop.calls) == ("yes", "yes", 1)
    with pytest.raises(cb.UsageError, match="cat needs anchor: pass model="):
        cb.aggregate(texts, "cat")
    with pytest.raises(cb.UsageError, match="no texts"):
        cb.aggregate([])
    with pytest.raises(cb.UsageError, match="a list of strings"):
        cb.aggregate("one")
    with pytest.raises(cb.UsageError, match="pass question="):
        cb.aggregate([], "greedy", model=MODEL)


def test_each_function_can_be_called_twice_in_a_fresh_process(workshop: Workshop) -> None:
    """A room of a function's name would replace the function once it is imported."""
    program = f"""
import asyncio, cat_bench as cb
options = {{"model": {MODEL!r}, "methods": "majority", "n": 2, "pool": 4, "limit": 2}}
for _ in range(2):
    run = cb.run("toy/task.yaml", progress=False, **options)
    run = asyncio.run(cb.arun("toy/task.yaml", progress=False, **options))
    cb.load(run.folder).table
    cb.aggregate(["so 1", "so 1"])
    assert all(callable(getattr(cb, name)) for name in ("run", "arun", "load", "aggregate"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rooms = {path.stem for path in Path(cb.__file__).parent.iterdir()}
    assert rooms & {"run", "arun", "load", "aggregate"} == set()


def test_the_version_is_the_packages() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", cb.__version__)
    assert {"run", "Run", "__version__"} <= set(dir(cb))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = getattr(cb, "nonsense")  # noqa: B009


def test_record_is_run_json_by_fields(run: cb.Run) -> None:
    record = json.loads((run.folder / "run.json").read_text())
    assert run.record.loc["config.pool", "value"] == record["config"]["pool"] == 8
    assert run.record.loc["methods", "value"] == record["methods"]
