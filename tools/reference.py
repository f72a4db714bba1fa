"""Write docs/reference.md from the code: ``python -m tools.reference``.

Names and defaults of parameters, fields and columns are read from the classes that define them, so
the page cannot go stale; a test compares the page with what this module writes.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel
from tabulate import tabulate

from cat_bench.audit.rewards import Figures
from cat_bench.bridges.inspect_tasks import aggregate
from cat_bench.bridges.lm_eval_task import LmEvalTask
from cat_bench.cache.calls import COLUMNS as CALL_COLUMNS
from cat_bench.cache.responses import PER_RESPONSE
from cat_bench.evaluation.rows import QuestionRow, RolloutRow, ScoreRow
from cat_bench.leaderboard.rows import COLUMNS as PUBLISHED
from cat_bench.loading import catalog
from cat_bench.loading.data import Data, Fields
from cat_bench.loading.prompts import GENERAL, Prompts
from cat_bench.loading.registry import BUILT_IN, Kind, load
from cat_bench.loading.task_file import TaskFile
from cat_bench.report.compare import COMPARE_COLUMNS
from cat_bench.report.compute import COMPUTE_COLUMNS
from cat_bench.report.ensemble import COLUMNS as ENSEMBLE_COLUMNS
from cat_bench.report.forensics import COLUMNS as FORENSICS_COLUMNS
from cat_bench.report.forensics import forensics
from cat_bench.report.groups import COLUMNS as GROUP_COLUMNS
from cat_bench.report.groups import groups
from cat_bench.report.rubric import PART_COLUMNS, breakdown
from cat_bench.report.signals import (
    BIN_COLUMNS,
    CURVE_COLUMNS,
    best_of_curves,
    calibration_bins,
    quality,
)
from cat_bench.report.signals import COLUMNS as SIGNAL_COLUMNS
from cat_bench.report.summary import COLUMNS, summarise
from cat_bench.runs.config import RunConfig
from cat_bench.stats.intervals import Interval
from tools.reference_columns import meaning
from tools.reference_parameters import PARAMETERS, parameter

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
HEAD = """# Reference

This page is written by `python -m tools.reference`, from the code; a test compares the two.
"""
PLUGINS: Mapping[Kind, str] = {
    "aggregator": "Aggregators",
    "signal": "Signals",
    "scorer": "Scorers",
    "reward": "Rewards",
}
"""The kinds of plug-in whose parameters are listed, with the title of each list."""
CSV_FILES: Sequence[tuple[str, Sequence[str], Any]] = (
    ("groups.csv", GROUP_COLUMNS, groups),
    ("breakdown.csv", PART_COLUMNS, breakdown),
    ("signals.csv", SIGNAL_COLUMNS, quality),
    ("signals-curve.csv", CURVE_COLUMNS, best_of_curves),
    ("signals-bins.csv", BIN_COLUMNS, calibration_bins),
    ("forensics.csv", FORENSICS_COLUMNS, forensics),
)
"""Further files of a run, their columns, and the function that makes them."""


def page() -> str:
    """Return the whole page."""
    parts = [HEAD, _methods(), *map(_plugins, PLUGINS), _settings(), _tasks(), _prompts()]
    parts += [_columns(), _bridges()]
    return "\n".join(f"{part.strip()}\n" for part in parts)


def _methods() -> str:
    methods = [catalog.method(name) for name in catalog.method_names()]
    rows = [(_code(m.name), m.summary, _list(m.needs), m.citation or "") for m in methods]
    table = _table(("method", "what it does", "needs", "source"), rows)
    settings = [
        (
            _code(m.name),
            _code(m.spec),
            ", ".join(_parameter(*parameter) for parameter in m.params.items()),
        )
        for m in methods
    ]
    return (
        f"## Methods\n\n{table}\n\n### What each method is made of\n\n"
        "A method is an [aggregator](#aggregators) with parameters. Those that a method does not "
        "set have their defaults; `METHOD{parameter=value}` sets any of them.\n\n"
        f"{_table(('method', 'aggregator', 'parameters that it sets'), settings)}"
    )


def _parameter(name: str, value: Any) -> str:
    return _code(f"{name}={value}")


def _plugins(kind: Kind) -> str:
    lists = [_plugin(kind, name) for name in sorted(BUILT_IN[kind])]
    return f"## {PLUGINS[kind]}\n\n" + "\n\n".join(lists)


def _plugin(kind: Kind, name: str) -> str:
    built: Any = load(kind, name)
    doc = inspect.cleandoc(built.__doc__ or "").partition("\n\n")[0]
    fields = dataclasses.fields(built) if dataclasses.is_dataclass(built) else ()
    table = f"\n\n{_parameters(f'{kind} {name}', built)}" if any(f.init for f in fields) else ""
    return f"### {kind} `{name}`\n\n{_one_line(doc)}{table}"


def _parameters(place: str, kind: type, head: str = "parameter") -> str:
    hints = get_type_hints(kind)
    rows = [
        (_code(f.name), _type(hints[f.name]), _default(f), parameter(place, kind, f.name))
        for f in dataclasses.fields(kind)
        if f.init
    ]
    return _table((head, "type", "default", "meaning"), rows)


def _settings() -> str:
    rows = [
        (
            _code(name),
            _format(field.get_default(call_default_factory=True)),
            field.description or "",
        )
        for name, field in RunConfig.model_fields.items()
    ]
    intro = "The fields of a `run.yaml`, and what `--set KEY=VALUE` takes."
    return f"## Settings of a run\n\n{intro}\n\n{_table(('setting', 'default', 'meaning'), rows)}"


def _tasks() -> str:
    lists: list[tuple[str, str, type[BaseModel]]] = [
        ("`task.yaml`", "task.yaml", TaskFile),
        ("`task.yaml`: `data`", "data", Data),
        ("`task.yaml`: `data.fields`", "data.fields", Fields),
        ("A method's YAML", "method", catalog.MethodFile),
    ]
    return "## Files of tasks and methods\n\n" + "\n\n".join(
        f"### {title}\n\n{_model(place, kind)}" for title, place, kind in lists
    )


def _model(place: str, kind: type[BaseModel]) -> str:
    rows = []
    for field_name, field in kind.model_fields.items():
        name, shown = field.alias or field_name, _type(field.annotation)
        rows.append((_code(name), shown, _format_required(field), parameter(place, kind, name)))
    return _table(("field", "type", "default", "meaning"), rows)


def _prompts() -> str:
    prompts = Prompts()
    rows = [("`prompt`", "`problem`, `stem` (the problem without its options)")]
    rows += [
        (_code(path.stem), _list(_variables(prompts, path.stem)))
        for path in sorted(GENERAL.glob("*.txt"))
    ]
    table = _table(("text", "variables"), rows)
    return (
        "## Prompt texts and their variables\n\nA task's own folder may replace any; `prompt` is "
        "always its own. Besides those listed, every text may show `closing` (how the scorer wants "
        "an answer) and the fields of the row's meta, as `meta.NAME` or `NAME`.\n\n" + table
    )


def _variables(prompts: Prompts, name: str) -> set[str]:
    """The variables that a text shows, those of the texts that it includes among them."""
    included = re.findall(r'include "(\w+)\.txt"', (GENERAL / f"{name}.txt").read_text("utf-8"))
    return prompts.reads(name).union(*(_variables(prompts, part) for part in included))


def _columns() -> str:
    kinds = {"scores.parquet": ScoreRow, "rollouts.parquet": RolloutRow}
    kinds["questions.parquet"] = QuestionRow
    parts = [f"### `{file}`\n\n{_record(file, kind)}" for file, kind in kinds.items()]
    parts.append(f"### `table.csv`\n\n{_meanings('table.csv', COLUMNS)}")
    parts[-1] += f"\n\n{_bullets(summarise.__doc__ or '')}"
    parts.append(f"### `compute.csv`\n\n{_meanings('compute.csv', COMPUTE_COLUMNS)}")
    for file, columns, function in CSV_FILES:
        parts.append(f"### `{file}`\n\n{_summary(function)}\n\n{_meanings(file, columns)}")
    parts[-1] += f"\n\n{_bullets(forensics.__doc__ or '')}"
    published = _table(("column", "meaning"), [(_code(k), v) for k, v in PUBLISHED.items()])
    return (
        "## Files of a run\n\n"
        + "\n\n".join(parts)
        + f"\n\n## Files of other commands\n\n{_other_files()}"
        + f"\n\n## `leaderboard.csv`\n\n{published}"
    )


def _other_files() -> str:
    pool = ("id", "problem", "answer", "responses", *PER_RESPONSE, "messages", "model", "sampling")
    listed = (
        ("`compare --csv FILE`", "compare --csv", COMPARE_COLUMNS),
        ("`ensemble --csv FILE`", "ensemble --csv", ENSEMBLE_COLUMNS),
        ("A published or exported pool", "a pool", (*pool, "label")),
        ("Published calls", "calls", CALL_COLUMNS),
    )
    parts = [f"### {title}\n\n{_meanings(place, names)}" for title, place, names in listed]
    return "\n\n".join([f"### `audit.csv`\n\n{_audit()}", *parts])


def _audit() -> str:
    """The columns of an audit: its candidates' fields, and the figures with their intervals."""
    names = ["name", "estimator", "reward", "supervised", "control", "reason"]
    rows = [(_code(name), meaning("audit.csv", name)) for name in names]
    for field, kind in get_type_hints(Figures).items():
        if kind is not Interval:
            rows.append((_code(field), _figure(field)))
            continue
        ends = [f"{field}_low", f"{field}_high"]
        rows += [(_code(field), _figure(field)), *((_code(e), meaning("", e)) for e in ends)]
    return _table(("column", "meaning"), [*rows, (_code("flag"), meaning("audit.csv", "flag"))])


def _figure(name: str) -> str:
    try:
        return meaning("audit.csv", name)
    except LookupError:
        return parameter("audit.csv", Figures, name)


def _meanings(file: str, names: Iterable[str]) -> str:
    return _table(("column", "meaning"), [(_code(name), meaning(file, name)) for name in names])


def _summary(function: Any) -> str:
    sentence = _one_line(inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0])
    return re.sub(r"^Return (one|a) row", "One row", sentence)


def _record(file: str, kind: type) -> str:
    doc = _one_line(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0])
    rows = [(_code(f.name), _type(f.type), meaning(file, f.name)) for f in dataclasses.fields(kind)]
    return f"{doc}\n\n{_table(('column', 'type', 'meaning'), rows)}"


def _bullets(text: str) -> str:
    cleaned = inspect.cleandoc(text)
    return cleaned[cleaned.index("\n- ") :].partition("\n\nRaises")[0].strip()


def _bridges() -> str:
    options = inspect.signature(aggregate).parameters.values()
    rows = [
        (_code(p.name), _type(p.annotation), _format(p.default), PARAMETERS["inspect"][p.name])
        for p in options
    ]
    return (
        "## Bridges\n\n### `lm-eval:NAME{option=value}`\n\n"
        f"{_parameters('lm-eval', LmEvalTask, 'option')}\n\n"
        "### `inspect eval cat_bench/aggregate -T option=value`\n\n"
        f"{_table(('option', 'type', 'default', 'meaning'), rows)}"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return tabulate(cells, list(head), tablefmt="pipe", disable_numparse=True)


def _type(kind: Any) -> str:
    name = kind if isinstance(kind, str) else str(getattr(kind, "__name__", kind))
    name = str(kind) if get_args(kind) else name
    name = re.sub(r"(?:typing\.)?Optional\[(.*)\]$", r"\1 | None", name)
    name = re.sub(r"(?:typing\.)?Annotated\[.*NoneType.*\]", "str", name)
    return _code(re.sub(r"\b(typing|collections\.abc|cat_bench[\w.]*|pathlib)\.", "", name))


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return _format(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return _format(field.default_factory())
    return "required"


def _format_required(field: Any) -> str:
    return (
        "required" if field.is_required() else _format(field.get_default(call_default_factory=True))
    )


def _format(value: Any) -> str:
    empty = (
        value is None
        or value == ()
        or value == {}
        or value == []
        or value is inspect.Parameter.empty
    )
    shown = str(value).encode("unicode_escape").decode() if "\n" in str(value) else str(value)
    return "" if empty or "Undefined" in type(value).__name__ else _code(shown)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _list(names: Iterable[str]) -> str:
    ordered = names if isinstance(names, Sequence) else sorted(names)
    return ", ".join(map(_code, ordered))


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
