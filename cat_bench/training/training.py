"""`cat-bench train`: one recipe on one machine, measured before and after, resumable at any moment.

The folder of a training holds `plan.json` (what decides it), `checkpoints/`, `metrics.jsonl` (a
line per step), `curves.png` and `.svg`, `model/` (the trained policy), `before/` and `after/` (runs
of the harness) and `train.json` (the whole record). The same command resumes it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cat_bench.errors import UsageError
from cat_bench.loading import catalog
from cat_bench.loading.registry import files_in
from cat_bench.models.backends.hf.adapters import Adapter
from cat_bench.models.backends.hf.loading import libraries, silence
from cat_bench.rewards import reward
from cat_bench.runs.availability import explain_missing
from cat_bench.runs.config import RunConfig
from cat_bench.runs.opening import open_run
from cat_bench.system.extras import install_command
from cat_bench.system.files import lock_folder, write_atomic
from cat_bench.system.rows import file_digest
from cat_bench.training import processes
from cat_bench.training.arguments import trainer_arguments
from cat_bench.training.lora import read_lora
from cat_bench.training.measure import Exam, measure, measure_outcome
from cat_bench.training.placement import check_placement
from cat_bench.training.policy import Policy, weights
from cat_bench.training.recipes import Recipe
from cat_bench.training.sampling import template_options
from cat_bench.types.calls import JSON
from cat_bench.types.plugins import SupervisedReward
from cat_bench.types.records import Sample
from cat_bench.types.traits import RewardTraits, is_labelled, reads_tokens, traits

if TYPE_CHECKING:
    from peft import PeftConfig
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.sft_config import SFTConfig

FORMAT = 1
TRL = "trl"
LIBRARIES = ("cat-bench", "trl", "peft", "transformers", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What decides a training.

    `session` names task, initial model, anchor, judge, their sampling and the rows to train on;
    `out` is the folder of all results; a checkpoint is written every `save_every` steps, by
    `processes` processes.
    """

    recipe: Recipe
    session: RunConfig
    out: Path
    seed: int = 0
    save_every: int = 10
    exam: Exam | None = None
    processes: int = 1

    def record(self) -> dict[str, JSON]:
        """Return the plan as JSON; a command resumes a training only with an equal plan."""
        session = self.session.model_dump(mode="json", exclude_defaults=True)
        files = [path for path in files_in(self.recipe.reward) if path.is_file()]
        return {
            "format": FORMAT,
            "recipe": {n: v for n, v in asdict(self.recipe).items() if n != "sampling"},
            **({"code": {str(path): file_digest(path) for path in files}} if files else {}),
            "session": session,
            "seed": self.seed,
            **({"processes": self.processes} if self.processes > 1 else {}),
            "exam": self.exam and json.loads(json.dumps(asdict(self.exam), default=str)),
        }


def train(
    plan: Plan, *, tell: Callable[[Mapping[str, JSON]], None] | None = None
) -> Mapping[str, JSON]:
    """Carry out or resume a plan; return the content of `train.json`. `tell` gets step lines.

    Where a launcher started several processes, each calls this; all but the main one return an
    empty mapping when the training is done. Raises UsageError before anything is paid for.
    """
    _check_libraries()
    clock = time.monotonic()
    processes.join(patience_s=plan.recipe.settings.get("ddp_timeout", processes.PATIENCE_S))
    with warnings.catch_warnings(), silence(libraries()[1].utils.logging), _hide_head_warning():
        warnings.filterwarnings("ignore", category=FutureWarning)  # the libraries' own renamings
        source, samples = weights(plan.session.model), questions(plan)
        arguments = trainer_arguments(
            plan.recipe, out=plan.out, seed=plan.seed, save_every=plan.save_every
        )
        lora = read_lora(plan.recipe.settings, source=f"recipe {plan.recipe.name}")
        needs = traits(RewardTraits, reward(plan.recipe.reward)).needs
        check_placement(plan.session, arguments, measured=reads_tokens(needs))
        if plan.exam:
            _check_exam(plan, plan.exam)
        processes.agree(lambda: _start(plan))
        with _lock(plan.out):
            log = _run_trainer(plan, source, arguments, samples, lora=lora, tell=tell)
            main = processes.is_main()
            processes.leave()
    if not main:
        return {}
    record: dict[str, JSON] = {**plan.record(), "versions": _versions(), "training": log}
    record["unlabelled"], total = count_unlabelled(plan.session, samples)
    record["seconds"] = round(time.monotonic() - clock, 1)
    _figure(plan, labelled=record["unlabelled"] < total)
    if plan.exam:
        runs = [
            measure(model, plan.exam, session=plan.session, out=plan.out / when)
            for when, model in (("before", plan.session.model), ("after", f"hf:{_model(plan)}"))
        ]
        record["outcome"] = measure_outcome(runs[0], runs[1], n=plan.exam.n)
    _write_json(plan.out / "train.json", record)
    return record


def _run_trainer(
    plan: Plan,
    source: str,
    arguments: GRPOConfig | SFTConfig,
    samples: list[Sample],
    *,
    lora: PeftConfig | None,
    tell: Callable[[Mapping[str, JSON]], None] | None,
) -> Mapping[str, JSON]:
    """Train, unless training is complete; return the trainer's figures."""
    from cat_bench.training import grpo, sft
    from cat_bench.training.journal import Journal, last_checkpoint

    path, fresh = plan.out / "training.json", plan.out / "model.part"
    if not processes.agree(_model(plan).is_dir):
        checkpoints = partial(last_checkpoint, plan.out / "checkpoints", processes=plan.processes)
        policy = Policy.load(
            processes.agree(partial(_merge_adapter, source, plan.out / "initial")),
            template=template_options(plan.recipe, plan.session.sampling.get("policy", {})),
        )
        trainer: Any = {"grpo": grpo.train, "sft": sft.train}[plan.recipe.trainer]
        done = trainer(
            policy,
            plan.recipe,
            samples,
            config=plan.session,
            arguments=arguments,
            callbacks=[Journal(plan.out / "metrics.jsonl", tell)],
            checkpoint=processes.agree(checkpoints),
            lora=lora,
            save=fresh,
        )
        if processes.is_main():
            _write_json(path, done)
            fresh.replace(_model(plan))
        processes.wait()
    figures: Mapping[str, JSON] = json.loads(path.read_text(encoding="utf-8"))
    return figures


def _merge_adapter(source: str, folder: Path) -> str:
    """Return the model to start from; an adapter is merged with its base, in `folder`.

    The reference model of the KL term is loaded from where the policy was.
    """
    if Adapter.find(Path(source).expanduser()) is None:
        return source
    if not folder.is_dir():
        merged, part = Policy.load(source), folder.with_name(f"{folder.name}.part")
        merged.model.save_pretrained(part)
        merged.tokenizer.save_pretrained(part)
        part.replace(folder)
    return str(folder)


def _figure(plan: Plan, *, labelled: bool) -> None:
    from cat_bench.training.chart import curves
    from cat_bench.training.journal import read

    rows = read(plan.out / "metrics.jsonl")
    name = f"{plan.session.task} · {plan.recipe.name}" + ("" if labelled else " · unlabelled")
    for kind, data in curves(rows, name=name).items():
        write_atomic(plan.out / f"curves.{kind}", data)


def _model(plan: Plan) -> Path:
    return plan.out / "model"


def questions(plan: Plan) -> list[Sample]:
    """Return the rows to train on; raise UsageError if the reward lacks one of its needs."""
    return asyncio.run(_samples(plan.session, plan.recipe.reward))


def count_unlabelled(config: RunConfig, samples: Iterable[Sample] | None = None) -> tuple[int, int]:
    """Return the number of unlabelled rows and of all rows; by default of the task's."""
    task = catalog.task(config.task, data=config.data)
    labelled = [is_labelled(s.target, task.scorer) for s in samples or task.samples()]
    return labelled.count(False), len(labelled)


def _check_exam(plan: Plan, exam: Exam) -> None:
    """Raise UsageError if the exam cannot be rewarded, or has no score to measure."""
    config = plan.session.model_copy(update={"data": exam.data})
    samples = asyncio.run(_samples(config, plan.recipe.reward))[: exam.questions]
    unlabelled, total = count_unlabelled(config, samples)
    if unlabelled == total:
        raise UsageError(
            f"the {total:,} questions to measure on are unlabelled: name rows with answers "
            "by --exam LABELLED.jsonl, or train without measuring by --questions 0"
        )


async def _samples(config: RunConfig, spec: str) -> list[Sample]:
    chosen = reward(spec)
    async with open_run(config) as ready:
        samples = list(ready.samples())
        reason = explain_missing(
            traits(RewardTraits, chosen).needs, ready.bench.task, ready.bench.roles
        )
    empty = [sample.question.id for sample in samples if sample.target is None]
    if empty and isinstance(chosen, SupervisedReward):
        reason = (
            f"{len(empty)} of {len(samples)} questions have no target ({empty[0]!r} is the first)"
        )
    if reason:
        raise UsageError(
            f"task {config.task!r} cannot be rewarded by {spec}: {reason}; of the recipes, only "
            "gold needs targets, and cat-rl-rubric, judge and sft compare no final answers"
        )
    return samples


def _start(plan: Plan) -> None:
    """Make the folder, or check that it holds this plan."""
    path = plan.out / "plan.json"
    record = json.loads(json.dumps(plan.record()))
    if path.is_file():
        existing = json.loads(path.read_text(encoding="utf-8"))
        if names := [n for n in {**record, **existing} if existing.get(n) != record.get(n)]:
            raise UsageError(
                f"{plan.out} holds a training with another {names[0]}: give another --out, or the "
                "command that started it"
            )
        return
    _write_json(path, record)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder, which the main process takes for all.

    It is released when that process ends, however it ends.
    """
    if not processes.is_main():
        yield
        return
    try:
        with lock_folder(folder, wait=False):
            yield
    except BlockingIOError:
        raise UsageError(
            f"another process trains in {folder}: let it finish, or give another --out"
        ) from None


@contextmanager
def _hide_head_warning() -> Iterator[None]:
    """Leave out transformers' warning that a checkpoint lacks a head tied to the embeddings."""

    def keep(record: logging.LogRecord) -> bool:
        return "missing keys in the checkpoint model loaded: ['lm_head.weight']" not in str(
            record.msg
        )

    logger = logging.getLogger("transformers.trainer")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


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
