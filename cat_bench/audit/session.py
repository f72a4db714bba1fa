"""Run an audit of rewards: open the run, reward every group, return a record with the answer.

The answer compares the two best candidates that are not controls: by reward accuracy, or by rank
correlation with the task's scores if these are graded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from math import isnan
from pathlib import Path

from cat_bench.audit.candidates import Candidate
from cat_bench.audit.groups import Auditor, RewardedGroup
from cat_bench.audit.rewards import Audited, accuracy, difference, figures, rank_correlation
from cat_bench.errors import UsageError
from cat_bench.evaluation.neighbours import Neighbours
from cat_bench.evaluation.rows import RolloutRow
from cat_bench.loading.catalog import Task
from cat_bench.runs.config import RunConfig
from cat_bench.runs.opening import open_run
from cat_bench.runs.places import folder_of
from cat_bench.runs.watch import Watch
from cat_bench.stats.intervals import Interval
from cat_bench.types.calls import JSON


@dataclass(frozen=True, slots=True)
class AuditResult:
    """A finished audit: its record, and each candidate's groups in the order of the dataset.

    The groups, texts included, are empty unless `audit` was called with `keep`.
    """

    task: Task
    folder: Path
    record: Mapping[str, JSON]
    groups: Mapping[str, Sequence[RewardedGroup]]

    @property
    def complete(self) -> bool:
        """Whether every rollout exists and no reward failed."""
        gaps = self.record["rollouts"].get("failed", 0) + self.record["rollouts"]["unscored"]
        notes = (group.rewarded.notes for groups in self.groups.values() for group in groups)
        return not (gaps or any({"failed", "unscored"} & note.keys() for note in notes))


async def audit(
    config: RunConfig,
    listed: Sequence[Candidate],
    *,
    group: int = 8,
    command: Sequence[str] = (),
    watch: Watch | None = None,
    keep: bool = False,
) -> AuditResult:
    """Audit the candidates on groups of `group` rollouts; make the calls that a training would.

    `keep` returns the groups as well, with a text for each rollout: they stay in memory.
    Raises UsageError before anything is paid for.
    """
    async with open_run(config) as ready:
        bench = ready.bench
        if not 2 <= group <= bench.settings.pool:
            raise UsageError(
                f"--group {group} does not fit a pool of {bench.settings.pool} rollouts: "
                f"give a size from 2 to {bench.settings.pool}"
            )
        paired = any("others" in candidate.needs for candidate in listed)
        neighbours = Neighbours(s.question for s in ready.samples()) if paired else None
        labelled = ready.survey.questions > ready.survey.unlabelled
        auditor = Auditor(bench, listed, group, neighbours, labelled=labelled)
        options = {"group": group, "rewards": [candidate.name for candidate in listed]}
        ready = replace(ready, record={**ready.record, "audit": options})
        folder = folder_of(bench.task, config, ready.record)
        folder = config.out or folder.with_name(f"audit-{folder.name}")
        audited: dict[str, list[Audited]] = {candidate.name: [] for candidate in listed}
        reasons: dict[str, Counter[str]] = {candidate.name: Counter() for candidate in listed}
        groups: dict[str, list[RewardedGroup]] = {candidate.name: [] for candidate in listed}

        def add(results: Mapping[str, Sequence[RewardedGroup]], _: Sequence[RolloutRow]) -> None:
            for name, rewarded in results.items():
                audited[name] += [group.audited for group in rewarded]
                notes = (group.rewarded.notes for group in rewarded)
                reasons[name].update(reason for note in notes for reason in _reasons(note))
                groups[name] += rewarded if keep else ()

        questions = bench.map(auditor.audit_question, ready.samples())
        record, entry = await ready.play(questions, add, command=command, watch=watch)
    lines = [_row(c, audited[c.name], auditor.unavailable) for c in listed]
    whole = {
        **record,
        "groupless": auditor.groupless,
        "answers": bench.grader.answers is not None,
        "reasons": {name: dict(why.most_common()) for name, why in reasons.items() if why},
        "rewards": lines,
        "answer": _answer(listed, lines, audited, graded=bench.grader.graded),
        "invocations": [entry],
    }
    return AuditResult(bench.task, folder, whole, groups)


def _row(
    candidate: Candidate, groups: Sequence[Audited], unavailable: Mapping[str, str]
) -> dict[str, JSON]:
    """Return a candidate's figures as columns NAME, NAME_low and NAME_high; NaN becomes None."""
    row: dict[str, JSON] = {
        "name": candidate.name,
        "estimator": candidate.estimator,
        "reward": candidate.spec,
        "supervised": candidate.supervised,
        "control": candidate.control,
        "reason": unavailable.get(candidate.name),
    }
    measured = figures(groups, positive=candidate.positive)
    for figure in fields(measured):
        value = getattr(measured, figure.name)
        if isinstance(value, Interval):
            row |= {figure.name: value.mean}
            row |= {f"{figure.name}_low": value.low, f"{figure.name}_high": value.high}
        else:
            row[figure.name] = value
    row["flag"] = measured.reward_accuracy.flag
    return {name: _to_json(value) for name, value in row.items()}


def _answer(
    listed: Sequence[Candidate],
    rows: Sequence[Mapping[str, JSON]],
    audited: Mapping[str, Sequence[Audited]],
    *,
    graded: bool,
) -> dict[str, JSON] | None:
    """Compare the two best candidates that are not controls."""
    by = "rank_correlation" if graded else "reward_accuracy"
    values = {row["name"]: row[by] for row in rows if row[by] is not None}
    ranked = [c for c in listed if not c.control and c.name in values]
    ranked = sorted(ranked, key=lambda candidate: -values[candidate.name])[:2]
    if not ranked:
        return None
    best: dict[str, JSON] = {"by": by, "first": ranked[0].name, "value": values[ranked[0].name]}
    if len(ranked) < 2:
        return best
    first, second = (
        (audited[c.name], rank_correlation if graded else partial(accuracy, positive=c.positive))
        for c in ranked
    )
    gap = asdict(difference(first, second))
    return {**best, "second": ranked[1].name, **{n: _to_json(x) for n, x in gap.items()}}


def _reasons(notes: Mapping[str, JSON]) -> Iterator[str]:
    """Yield the reasons of missing rewards and of fallbacks in a group."""
    yield from (notes[kind] for kind in ("abstained", "failed", "fallback") if kind in notes)
    yield from notes.get("unscored", {}).values()


def _to_json(value: JSON) -> JSON:
    """Return the value for JSON: a NaN becomes None, a NumPy float becomes a float."""
    if not isinstance(value, float):
        return value
    return None if isnan(value) else float(value)
