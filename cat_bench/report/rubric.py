"""Reports on a run that a judge scored by rubric: scores by tag and length, and the judge's audit.

A tag's score is a mean over the examples that have the tag. It is computed like the score itself:
draws are weighted by the share that could be scored, and the mean is clipped to [0, 1].
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cat_bench.audit.judge import find
from cat_bench.report.rounding import format_measured, percent
from cat_bench.report.values import KEY, Values
from cat_bench.runs.judge_profile import judge_profile
from cat_bench.runs.parts import RowsByQuestion
from cat_bench.runs.tables import Reading, RunTables
from cat_bench.scorers.rubric import LENGTH_ADJUSTED, LENGTH_UNIT, USUAL_LENGTH
from cat_bench.stats.intervals import bootstrap_error, mean_interval
from cat_bench.types.calls import JSON

COLUMNS = ("se_bootstrap", "score_length_adjusted")
PART_COLUMNS = ("kind", "part", *KEY, "examples", "score", "se", "ci_low", "ci_high")
KINDS = ("theme", "axis", "level", "tolerance")


def extend(table: pd.DataFrame, values: Values, parts: pd.DataFrame) -> pd.DataFrame:
    """Return a summary with `COLUMNS` after `se`: the published error, the length-adjusted score.

    `se_bootstrap` is HealthBench's error: the standard deviation of clipped means over examples
    drawn one by one with replacement; clusters are ignored.
    """
    keys = list(zip(table["method"], table["n"], strict=True))
    errors = [
        bootstrap_error(column[~np.isnan(column)]) if column is not None else np.nan
        for column in (values.columns.get(key) for key in keys)
    ]
    adjusted = parts[parts["part"] == LENGTH_ADJUSTED].set_index(KEY)["score"].to_dict()
    place = list(table.columns).index("se") + 1
    table = table.copy()
    table.insert(place, COLUMNS[0], errors)
    table.insert(place + 1, COLUMNS[1], [float(adjusted.get(key, np.nan)) for key in keys])
    return table


class TagRows(Reading):
    """Collects the scored rows that have parts."""

    score_columns = ("question", "cluster", *KEY, "score", "lost", "parts", "part_scores")

    def __init__(self, record: Mapping[str, JSON]) -> None:
        super().__init__(record)
        self.rows: list[pd.DataFrame] = []

    def add_scores(self, rows: pd.DataFrame, pools: RowsByQuestion) -> None:
        """Add score rows of whole questions."""
        chosen = rows[rows["score"].notna() & (rows["parts"].map(len) > 0)]
        self.rows.append(chosen[list(self.score_columns)])


def breakdown(run: RunTables | Path) -> pd.DataFrame:
    """Return a row per part × method × n: `examples`, `score`, `se`, `ci_low`, `ci_high`.

    Rows are ordered by the part's name. `kind` is the text before a part's colon, such as theme,
    axis, level or tolerance; empty for a part without a colon.
    """
    rows = pd.concat(RunTables.of(run).reading(TagRows).rows)
    long = rows.explode(["parts", "part_scores"]).rename(columns={"parts": "part"})
    weight = 1 - long["lost"]
    long = long.assign(weight=weight, mass=weight * long["part_scores"].astype(float))
    sums = long.groupby(["part", *KEY, "question"])[["weight", "mass"]].sum()
    sums["value"] = sums["mass"] / sums["weight"]
    shared = rows.drop_duplicates("question").set_index("question")["cluster"]
    lines = [
        {**_key(key), **_mean(group["value"], shared)}
        for key, group in sums.groupby(level=["part", *KEY])
    ]
    return pd.DataFrame(lines, columns=list(PART_COLUMNS))


def blocks(
    record: Mapping[str, JSON], table: pd.DataFrame, parts: pd.DataFrame, *, run: Path
) -> Iterator[str]:
    """Yield the Markdown blocks that follow the table of a run with parts, or with a judge."""
    if len(parts):
        kinds = _kinds(parts)
        yield f"## By {', '.join(filter(None, kinds)) or 'part'}, at each method's largest n, %"
        yield _render_parts(table, parts)
    if record["task"].get("judging"):
        yield "## The judge"
        yield "\n".join(f"- {note}" for note in (*_audits(record, run), *_NOTES, *_adjusted(parts)))


_NOTES = (
    "A score is the points of the met criteria, negative ones included, divided by all positive "
    "points. It is not clipped, but the mean is clipped to [0, 1]. An answer that lacks a verdict "
    "is unscored.",
    "A tag of criteria is scored on its own criteria, over the examples where one of them is "
    "positive.",
)


def _adjusted(parts: pd.DataFrame) -> Iterator[str]:
    """Say what the length-adjusted score is, if the task has a penalty."""
    if len(parts) and (parts["part"] == LENGTH_ADJUSTED).any():
        yield (
            f"Length-adjusted: the score, minus the task's `penalty` for each {LENGTH_UNIT} "
            f"characters above {USUAL_LENGTH:,}, plus the penalty for each {LENGTH_UNIT} below."
        )


def _audits(record: Mapping[str, JSON], run: Path) -> Iterator[str]:
    name, profile = f"`{record['config']['judge']}`", judge_profile(record)
    name += f", with the profile {profile}" if profile else ""
    audits = find(record["task"]["judging"]["digest"], run)
    if not audits:
        yield f"**Judge not audited**: {name}, with this prompt and sampling."
    for audit in audits:
        labels, figures = audit["labels"], audit["judge_and_people"]
        people = audit["people_among_themselves"]
        gap = f", {audit['unobtained']:,} rows without a verdict" if audit["unobtained"] else ""
        ceiling = (
            f"; the annotators among themselves: macro-F1 {_figure(people['macro_f1'])}"
            if people
            else ""
        )
        profiles = "".join(
            f"; agreement with its profile {other}: kappa {_figure(part['kappa'])}"
            for other, part in audit.get("profiles", {}).items()
        )
        yield (
            f"Judge {name}, audited on {labels['file']} ({figures['pairs']:,} labels by "
            f"{labels['annotators']}{gap}): macro-F1 {_figure(figures['macro_f1'])}{ceiling}; "
            f"kappa {_figure(figures['kappa'])}; bias {_figure(figures['bias'], signed=True)}"
            f"{profiles}."
        )


def _figure(figure: Sequence[float | None], *, signed: bool = False) -> str:
    return format_measured(*figure, scale=1, digits=3, sign="+" if signed else "") or "undefined"


def _render_parts(table: pd.DataFrame, parts: pd.DataFrame) -> str:
    """Return a table of parts × methods, each method at its largest n, in the summary's order."""
    from tabulate import tabulate

    scored = table[table["score"].notna() & table["n"].notna()]
    last = scored.drop_duplicates("method", keep="last")
    keys = list(zip(last["method"], last["n"], strict=True))
    cells = parts.set_index(["part", *KEY])["score"].to_dict()
    examples = parts.groupby("part", sort=False)["examples"].max().to_dict()
    columns = [key for key in keys if any((part, *key) in cells for part in examples)]
    kinds = parts.drop_duplicates("part").set_index("part")["kind"].to_dict()
    names = [name for kind in _kinds(parts) for name in examples if kinds[name] == kind]
    rows = [
        [str(name).replace("|", "\\|"), str(examples[name])]
        + [percent(cells.get((name, *key))) for key in columns]
        for name in names
    ]
    heads = ["", "examples", *(f"{method} @ {n}" for method, n in columns)]
    align = ("left", *("right" for _ in heads[1:]))
    return tabulate(rows, heads, tablefmt="pipe", disable_numparse=True, colalign=align)


def _kinds(parts: pd.DataFrame) -> list[str]:
    """Return the kinds of these parts: HealthBench's first, and last "" of parts without one."""
    others = sorted(set(parts["kind"]) - {*KINDS, ""})
    return [kind for kind in (*KINDS, *others, "") if (parts["kind"] == kind).any()]


def _key(key: JSON) -> dict[str, JSON]:
    part, method, n = key
    kind = part.partition(":")[0] if ":" in part else ""
    return {"kind": kind, "part": part, "method": method, "n": int(n)}


def _mean(values: pd.Series[float], clusters: pd.Series[str]) -> dict[str, JSON]:
    questions = values.index.get_level_values("question")
    shared = [name if isinstance(name, str) else None for name in clusters.reindex(questions)]
    mean = mean_interval(values.to_numpy(float), clusters=shared)
    score, low, high = np.clip([mean.mean, mean.low, mean.high], 0, 1).tolist()
    return {"examples": mean.n, "score": score, "se": mean.se, "ci_low": low, "ci_high": high}
