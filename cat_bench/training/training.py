"""`cat-bench train`: one recipe on one machine, measured before and after, resumable at any moment.

The folder of a training holds `plan.json` (what decides it), `checkpoints/`, `metrics.jsonl` (a
line per step), `curves.png` and `.svg`, `model/` (the trained policy), `before/` and `after/` (runs
of the harness) and `train.json` (the whole record). The same command resumes it.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from cat_bench.errors import ConfigError, UsageError, suggest
from cat_bench.loading.registry import files_in
from cat_bench.models.backends.hf.loading import libraries, silence
from cat_bench.rewards import reward
from cat_bench.runs.config import RunConfig
from cat_bench.runs.opening import explain_missing, open_run
from cat_bench.system.extras import install_command
from cat_bench.system.files import write_atomic
from cat_bench.system.rows import file_digest
from cat_bench.training.measure import Exam, measure, measure_outcome
from cat_bench.training.policy import Policy, weights
from cat_bench.training.recipes import Recipe
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import SupervisedReward
from cat_bench.types.records import Sample
from cat_bench.types.traits import RewardTraits, traits

if TYPE_CHECKING:
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.sft_config import SFTConfig

FORMAT = 1
TRL = "trl"
LIBRARIES = ("cat-bench", "trl", "transformers", "torch")
GROUP = "num_generations"
"""The setting that all recipes have, although the SFT trainer has no such argument."""
OWN = frozenset({"output_dir", "seed", "data_seed", "report_to", "logging_steps", "save_strategy"})
"""Arguments of TRL that a recipe cannot set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What decides a training.

    `session` names task, initial model, anchor, judge and the rows to train on; `out` is the folder
    of all results; a checkpoint is written every `save_every` steps.
    """

    recipe: Recipe
    session: RunConfig
    out: Path
    seed: int = 0
    save_every: int = 10
    exam: Exam | None = None

    def record(self) -> dict[str, JSON]:
        """The plan as JSON; a command resumes a training only with an equal plan."""
        session = self.session.model_dump(mode="json", exclude_defaults=True)
        own = [path for path in files_in(self.recipe.reward) if path.is_file()]
        return {
            "format": FORMAT,
            "recipe": asdict(self.recipe),
            **({"code": {str(path): file_digest(path) for path in own}} if own else {}),
            "session": session,
            "seed": self.seed,
            "exam": self.exam and json.loads(json.dumps(asdict(self.exam), default=str)),
        }


def train(
    plan: Plan, *, tell: Callable[[Mapping[str, JSON]], None] | None = None
) -> Mapping[str, JSON]:
    """Carry out or resume a plan; return the content of `train.json`. `tell` gets step lines.

    Raises UsageError before anything is paid for.
    """
    _check_libraries()
    clock = time.monotonic()
    with warnings.catch_warnings(), silence(libraries()[1].utils.logging), _hide_head_warning():
        warnings.filterwarnings("ignore", category=FutureWarning)  # the libraries' own renamings
        source, arguments, samples = weights(plan.session.model), _arguments(plan), questions(plan)
        if plan.exam:
            exam = plan.session.model_copy(update={"data": plan.exam.data})
            asyncio.run(_samples(exam, plan.recipe.reward))
        _start(plan)
        with _lock(plan.out):
            told = _run_trainer(plan, source, arguments, samples, tell=tell)
    found: dict[str, JSON] = {**plan.record(), "versions": _versions(), "training": told}
    found["seconds"] = round(time.monotonic() - clock, 1)
    _figure(plan)
    if plan.exam:
        runs = [
            measure(model, plan.exam, session=plan.session, out=plan.out / when)
            for when, model in (("before", plan.session.model), ("after", f"hf:{_model(plan)}"))
        ]
        found["outcome"] = measure_outcome(runs[0], runs[1], n=plan.exam.n)
    _write_json(plan.out / "train.json", found)
    return found


def _run_trainer(
    plan: Plan,
    source: str,
    arguments: GRPOConfig | SFTConfig,
    samples: list[Sample],
    *,
    tell: Callable[[Mapping[str, JSON]], None] | None,
) -> Mapping[str, JSON]:
    """Train unless that is done; return the trainer's figures."""
    from cat_bench.training import grpo, sft
    from cat_bench.training.journal import Journal, last_checkpoint

    told = plan.out / "training.json"
    if not _model(plan).is_dir():
        policy = Policy.load(source)
        trainer: Any = {"grpo": grpo.train, "sft": sft.train}[plan.recipe.trainer]
        done = trainer(
            policy,
            plan.recipe,
            samples,
            config=plan.session,
            arguments=arguments,
            callbacks=[Journal(plan.out / "metrics.jsonl", tell)],
            checkpoint=last_checkpoint(plan.out / "checkpoints"),
        )
        _write_json(told, done or {})
        fresh = plan.out / "model.part"
        policy.model.save_pretrained(fresh)
        policy.tokenizer.save_pretrained(fresh)
        fresh.replace(_model(plan))
    known: Mapping[str, JSON] = json.loads(told.read_text(encoding="utf-8"))
    return known


def _figure(plan: Plan) -> None:
    from cat_bench.training.chart import curves
    from cat_bench.training.journal import read

    rows = read(plan.out / "metrics.jsonl")
    for kind, data in curves(rows, name=f"{plan.session.task} · {plan.recipe.name}").items():
        write_atomic(plan.out / f"curves.{kind}", data)


def _model(plan: Plan) -> Path:
    return plan.out / "model"


def questions(plan: Plan) -> list[Sample]:
    """Return the rows to train on; raise UsageError if the reward lacks one of its needs."""
    return asyncio.run(_samples(plan.session, plan.recipe.reward))


async def _samples(config: RunConfig, spec: str) -> list[Sample]:
    chosen = reward(spec)
    async with open_run(config) as ready:
        samples = list(ready.samples())
        reason = explain_missing(
            traits(RewardTraits, chosen).needs, ready.bench.task, ready.bench.roles
        )
    bare = [sample.question.id for sample in samples if sample.target is None]
    if bare and isinstance(chosen, SupervisedReward):
        reason = (
            f"{len(bare)} of {len(samples)} questions have no target ({bare[0]!r} is the first)"
        )
    if reason:
        raise UsageError(
            f"task {config.task!r} cannot be rewarded by {spec}: {reason}. Of the recipes, gold "
            "alone needs targets, and cat-rl-rubric, judge and sft compare no final answers."
        )
    return samples


def _start(plan: Plan) -> None:
    """Make the folder, or check that it holds this plan."""
    path = plan.out / "plan.json"
    record = json.loads(json.dumps(plan.record()))
    if path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        if odd := [name for name in record if there.get(name) != record[name]]:
            raise UsageError(
                f"{plan.out} holds a training with another {odd[0]}: give another --out, or the "
                "command that began it"
            )
        return
    _write_json(path, record)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """An exclusive lock on a folder; released when the process ends, however it ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UsageError(
            f"another process trains in {folder}: let it finish, or give another --out"
        ) from None
    finally:
        os.close(handle)


def _arguments(plan: Plan) -> GRPOConfig | SFTConfig:
    """TRL's arguments; raises ConfigError for a setting that TRL does not take."""
    import torch
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.sft_config import SFTConfig

    kind = GRPOConfig if plan.recipe.trainer == "grpo" else SFTConfig
    source = f"recipe {plan.recipe.name}"
    settings = _convert(plan.recipe.settings, get_type_hints(kind), source=source)
    cuda = torch.cuda.is_available()
    given: dict[str, Any] = {
        "bf16": cuda,
        "use_cpu": not cuda,
        "gradient_checkpointing": cuda,
        "save_steps": plan.save_every,
        "save_total_limit": 2,
        **settings,
        "output_dir": str(plan.out / "checkpoints"),
        "seed": plan.seed,
        "data_seed": plan.seed,
        "logging_steps": 1,
        "report_to": "none",
        "disable_tqdm": True,
    }
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(source, "", f"TRL refuses it: {error}") from error


def _convert(
    settings: Mapping[str, JSON], kinds: Mapping[str, Any], *, source: str | Path
) -> dict[str, JSON]:
    """Return the settings as TRL types them: YAML's 1e-4 is a string, and becomes a number."""
    found = {}
    for name, value in settings.items():
        if name in OWN:
            raise ConfigError(source, name, "cannot be set by a recipe: cat-bench sets it")
        if name in kinds:
            try:
                found[name] = TypeAdapter(kinds[name]).validate_python(value)
            except ValidationError as error:
                problem = error.errors()[0]["msg"]
                raise ConfigError(source, name, f"{problem}, not {value!r}") from None
        elif name != GROUP:
            raise ConfigError(source, name, f"is not a setting of TRL's.{suggest(name, kinds)}")
    return found


@contextmanager
def _hide_head_warning() -> Iterator[None]:
    """Leave out transformers' warning that a checkpoint lacks a head tied to the embeddings."""

    def other(record: logging.LogRecord) -> bool:
        return "missing keys in the checkpoint model loaded: ['lm_head.weight']" not in str(
            record.msg
        )

    logger = logging.getLogger("transformers.trainer")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def _check_libraries() -> None:
    if find_spec(TRL) is None:
        raise UsageError(f"training needs TRL: {install_command('train')}")


def _versions() -> dict[str, str | None]:
    def installed(name: str) -> str | None:
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return {name: installed(name) for name in LIBRARIES}


def _write_json(path: Path, content: Mapping[str, JSON]) -> None:
    write_atomic(path, (json.dumps(content, indent=2) + "\n").encode())
