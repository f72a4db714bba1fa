"""The content of `run.json`: what decides a run's numbers, what happened, and what it cost."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version

from cat_bench.cache import canonical
from cat_bench.evaluation.grader import scorer_identity
from cat_bench.evaluation.method_rows import FRAMES, ORACLE
from cat_bench.evaluation.questions import Census
from cat_bench.evaluation.rows import RolloutRow
from cat_bench.evaluation.settings import Settings
from cat_bench.loading.catalog import Method, Task
from cat_bench.loading.secrets import mask
from cat_bench.models.cached import Meter
from cat_bench.models.lending import Roles
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import Scorer
from cat_bench.types.records import Sample
from cat_bench.types.traits import ScorerTraits, is_labelled, traits

_encode = json.JSONEncoder(sort_keys=True, default=str).encode
DOUBTFUL = 0.2
"""The share of doubted targets above which a scorer's doubt becomes a warning."""

PACKAGES = ("cat-bench", "math-verify", "sympy", "numpy", "torch", "transformers")


@dataclass(slots=True)
class Survey:
    """A first pass over the samples: their number, and a digest of all of them.

    `parts` has a digest of the rows (`data`), of the messages to the model (`prompt`) and of its
    system messages (`system`). `unlabelled` counts the rows without a target, and `doubts`, by
    reason, the targets that the scorer doubts.
    """

    questions: int = 0
    unlabelled: int = 0
    digest: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    doubts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, samples: Iterable[Sample], scorer: Scorer | None = None) -> Survey:
        """Read all samples, so that a broken row is found before any call is paid for."""
        survey, whole = cls(), sha256()
        parts = {"data": sha256(), "prompt": sha256(), "system": sha256()}
        doubt = traits(ScorerTraits, scorer).doubt
        for sample in samples:
            labelled = is_labelled(sample.target, scorer)
            survey.unlabelled += not labelled
            if doubt and labelled and (reason := doubt(sample.target)):
                survey.doubts[reason] += 1
            question = sample.question
            row = canonical([question.id, question.messages, sample.target])
            whole.update(row.encode("utf-8", "surrogatepass"))
            for name, part in _list_parts(sample).items():
                text = _encode(part)
                parts[name].update(text.encode("utf-8", "surrogatepass"))
            survey.questions += 1
        survey.digest = whole.hexdigest()
        survey.parts = {name: part.hexdigest() for name, part in parts.items()}
        return survey

    def warnings(self) -> Iterator[str]:
        """Say how many rows are unlabelled; yield doubts about more than `DOUBTFUL` targets."""
        if self.unlabelled:
            yield _describe_unlabelled(self.unlabelled, self.questions)
        for reason, count in self.doubts.items():
            if count > DOUBTFUL * self.questions:
                yield f"{count:,} of {self.questions:,} targets {reason}"


def _describe_unlabelled(unlabelled: int, questions: int) -> str:
    if unlabelled == questions:
        return "All questions are unlabelled: no response is scored"
    return (
        f"{unlabelled:,} of {questions:,} questions are unlabelled: scores, intervals and "
        f"differences are about the other {questions - unlabelled:,}"
    )


def _list_parts(sample: Sample) -> dict[str, JSON]:
    """Return the parts of one row, as `Survey.parts` names them."""
    question = sample.question
    system = [turn["content"] for turn in question.messages if turn["role"] == "system"]
    asked = [turn for turn in question.messages if turn["role"] != "system"]
    row = [question.id, question.text, sample.target, dict(question.meta)]
    return {"data": row, "prompt": asked, "system": system}


class PoolDigest:
    """One digest over every rollout of a run, in the order of the dataset."""

    def __init__(self) -> None:
        self._whole = sha256()

    def add(self, rollouts: Iterable[RolloutRow]) -> None:
        """Include one question's rollouts."""
        for row in rollouts:
            self._whole.update(f"{row.question}/{row.slot}/{row.digest}\n".encode())

    def __str__(self) -> str:
        return self._whole.hexdigest()


def plan_record(
    config: Mapping[str, JSON],
    survey: Survey,
    *,
    task: Task,
    roles: Roles,
    methods: Sequence[Method],
    settings: Settings,
    asks: JSON = None,
) -> dict[str, JSON]:
    """Return what decides a run's numbers; `asks` says how a judge is asked, if one scores."""
    parts = {"policy": roles.policy, "anchor": roles.anchor, "judge": roles.judge}
    played = {name: role for name, role in parts.items() if role}
    measuring = {"embedder": roles.embedder, "reward": roles.reward}
    served = {**played, **{name: role for name, role in measuring.items() if role}}
    return {
        "config": {
            **config,
            "anchor": roles.anchor.model.name if roles.anchor else None,
            "judge": roles.judge.model.name if roles.judge else None,
            "embedder": roles.embedder.model.name if roles.embedder else None,
            **({"reward_model": roles.reward.model.name} if roles.reward else {}),
            "methods": [method.name for method in methods],
            "budgets": list(settings.budgets),
            **({"free_budgets": list(settings.free)} if settings.free else {}),
            "pool": settings.pool,
            "draws": settings.draws,
            "sampling": {
                name: role.sampling.over(role.model.backend.sampling).given()
                for name, role in played.items()
            },
        },
        "models": {name: role.model.backend.identity for name, role in served.items()},
        "task": _task_record(task, survey, asks),
        "methods": [
            {
                "name": method.name,
                "spec": method.spec,
                "params": dict(method.params),
                "budgets": None if method.budgets is None else list(method.budgets),
                "summary": method.summary,
                "citation": method.citation,
                "kind": "method",
                **({"sha256": method.sha256} if method.sha256 else {}),
            }
            for method in methods
        ],
    }


def _task_record(task: Task, survey: Survey, asks: JSON) -> dict[str, JSON]:
    """Return what defines a task; `digests` covers whatever tasks of one name may differ in."""
    declared = traits(ScorerTraits, task.scorer)
    profile = {"profile": declared.profile} if declared.profile else {}
    return {
        "name": task.name,
        "version": task.version,
        "summary": task.summary,
        "data": dict(task.data),
        "exchangeable": task.exchangeable,
        "scorer": task.scorer.version,
        "digests": {
            **survey.parts,
            "prompt texts": digest(task.prompts.texts()),
            "scorer": digest(scorer_identity(task.scorer)),
            **({"errata": digest(dict(task.errata))} if task.errata else {}),
        },
        "graded": declared.graded,
        "judging": asks and {**profile, **asks, "digest": digest(asks)},
        **({"caveats": list(task.caveats)} if task.caveats else {}),
        **({"private": True} if task.private else {}),
        **({"errata": sorted(task.errata)} if task.errata else {}),
    }


def add_findings(
    record: Mapping[str, JSON],
    census: Census,
    *,
    survey: Survey,
    pool: PoolDigest,
    warnings: Sequence[str] = (),
    cautions: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
) -> dict[str, JSON]:
    """Return the record with the run's results; an unlabelled run's record has no frame.

    `cautions` are the warnings about the run's models, which its table repeats; `files` are the
    loaded Python files.
    """
    methods = [{**m, "reason": census.unavailable.get(m["name"])} for m in record["methods"]]
    blank: JSON = {"kind": "frame", "params": {}, "budgets": None, "reason": None}
    frames = [
        {"name": name, "spec": name, "summary": summary, **blank}
        for name, summary in FRAMES.items()
        if name == ORACLE or record["task"]["graded"]
    ]
    scored = census.questions > census.unlabelled
    return {
        "id": digest(record)[:12],
        **record,
        "task": {**record["task"], "digest": survey.digest},
        "methods": [*methods, *(frames if scored else ())],
        "questions": census.questions,
        **({"unlabelled": census.unlabelled} if census.unlabelled else {}),
        "dropped": {str(n): count for n, count in sorted(census.dropped.items())},
        "rollouts": dict(census.rollouts),
        "failed_rows": census.failed_rows,
        "refused_rows": census.refused_rows,
        "warnings": [*warnings, *census.pool_checks.warnings()],
        **({"cautions": [f"{caution}." for caution in cautions]} if cautions else {}),
        **({"unreadable": unreadable} if (unreadable := census.unreadable()) else {}),
        "pool_digest": str(pool),
        **({"files": dict(files)} if files else {}),
        "versions": _versions(),
    }


def invocation(
    command: Sequence[str], meters: Mapping[str, Meter], *, started: datetime, seconds: float
) -> dict[str, JSON]:
    """Return the calls of one invocation and how long it took, without the keys in `command`."""
    counts = ("made", "cached", "failed")
    return {
        "command": [mask(word) for word in command],
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        "calls": {name: sum(getattr(m, name) for m in meters.values()) for name in counts},
        "models": {name: asdict(meter) for name, meter in meters.items()},
    }


def digest(value: JSON) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hexadecimal."""
    return sha256(canonical(value).encode()).hexdigest()


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
