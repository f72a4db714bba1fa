"""Plug-ins by name: name → class, for every kind of plug-in.

A name is a built-in plug-in, an entry point in the group `cat_bench` (called `KIND.NAME`, such as
`aggregator.my_vote`), or `./file.py:Class`. A plug-in is imported only when it is used, and an
installed package cannot replace a built-in plug-in.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias

from cat_bench.errors import PLUGIN_BUGS, CatBenchError, ConfigError, UnknownName, suggest
from cat_bench.loading.trust import admit
from cat_bench.loading.validation import validate
from cat_bench.types.calls import JSON

Kind: TypeAlias = Literal[
    "aggregator",
    "signal",
    "scorer",
    "reward",
    "backend",
    "reward_model",
    "model",
    "task",
    "generator",
]
"""Four kinds need a word: a `backend` opens a model by its name; a `reward_model` is a backend for
models that return rewards; a `model` is a folder with a model inside a package; a `generator` makes
new rows of a task."""

_FILES = re.compile(r"""(^\s*|=\s*['"]?)([^{}=,'"]+\.(?:py:|py$|ya?ml(?=['"},\s]|$)))""")
"""Matches the files that a spec names, as the plug-in or as a parameter."""

BUILT_IN: Mapping[Kind, Mapping[str, str]] = {
    "aggregator": {
        "adaptive_consistency": "cat_bench.aggregators.adaptive_consistency:AdaptiveConsistency",
        "agreement_gate": "cat_bench.aggregators.agreement_gate:AgreementGate",
        "best_of_infinity": "cat_bench.aggregators.best_of_infinity:BestOfInfinity",
        "best_of_n": "cat_bench.aggregators.best_of_n:BestOfN",
        "coordinated": "cat_bench.aggregators.coordinated:Coordinated",
        "deepconf_online": "cat_bench.aggregators.deepconf_online:DeepConfOnline",
        "early_stopping": "cat_bench.aggregators.early_stopping:EarlyStopping",
        "genselect": "cat_bench.aggregators.genselect:GenSelect",
        "greedy": "cat_bench.aggregators.greedy:Greedy",
        "majority_of_the_bests": "cat_bench.aggregators.majority_of_the_bests:MajorityOfTheBests",
        "mixture": "cat_bench.aggregators.mixture:Mixture",
        "pairwise": "cat_bench.aggregators.pairwise:Pairwise",
        "pandora": "cat_bench.aggregators.pandora:Pandora",
        "recursive_synthesis": "cat_bench.aggregators.recursive_synthesis:RecursiveSynthesis",
        "select": "cat_bench.aggregators.select:Select",
        "swiss": "cat_bench.aggregators.swiss:Swiss",
        "synthesis": "cat_bench.aggregators.synthesis:Synthesis",
        "universal_consistency": (
            "cat_bench.aggregators.universal_consistency:UniversalConsistency"
        ),
        "uniform": "cat_bench.aggregators.uniform:Uniform",
        "vote": "cat_bench.aggregators.vote:Vote",
    },
    "signal": {
        "confidence": "cat_bench.signals.confidence:Confidence",
        "consistency": "cat_bench.signals.consistency:Consistency",
        "dawid_skene": "cat_bench.signals.dawid_skene:DawidSkene",
        "judge": "cat_bench.signals.judge:Judge",
        "length": "cat_bench.signals.length:Length",
        "mutual_predictability": "cat_bench.signals.mutual_predictability:MutualPredictability",
        "negative_entropy": "cat_bench.signals.negative_entropy:NegativeEntropy",
        "perplexity": "cat_bench.signals.perplexity:Perplexity",
        "process_reward": "cat_bench.signals.process_reward:ProcessReward",
        "reward_model": "cat_bench.signals.reward_model:ByRewardModel",
        "preference": "cat_bench.signals.preference:Preference",
        "ratings": "cat_bench.signals.ratings:Ratings",
        "self_certainty": "cat_bench.signals.self_certainty:SelfCertainty",
    },
    "scorer": {
        "choice": "cat_bench.scorers.choice:Choice",
        "math_equal": "cat_bench.scorers.math_equal:MathEqual",
        "program": "cat_bench.scorers.program:Program",
        "number": "cat_bench.scorers.number:Number",
        "rubric": "cat_bench.scorers.rubric:Rubric",
        "solver": "cat_bench.scorers.solver:Solver",
        "text_equal": "cat_bench.scorers.text_equal:TextEqual",
    },
    "reward": {
        "equivalence": "cat_bench.rewards.equivalence:Equivalence",
        "format": "cat_bench.rewards.format:Format",
        "gold": "cat_bench.rewards.gold:Gold",
        "imitation": "cat_bench.rewards.imitation:Imitation",
        "judge_match": "cat_bench.rewards.judge_match:JudgeMatch",
        "length": "cat_bench.rewards.length:Length",
        "majority_share": "cat_bench.rewards.majority_share:MajorityShare",
        "random": "cat_bench.rewards.random:Random",
        "rubric": "cat_bench.rewards.rubric:SelfProposed",
        "ruler": "cat_bench.rewards.ruler:Ruler",
        "scrl": "cat_bench.rewards.scrl:Scrl",
        "shuffled": "cat_bench.rewards.shuffled:Shuffled",
        "signal": "cat_bench.rewards.signal:BySignal",
        "task_rubric": "cat_bench.rewards.task_rubric:TaskRubric",
    },
    "backend": {
        "hf": "cat_bench.models.backends.hf:HuggingFace",
        "inspect": "cat_bench.models.backends.inspect:Inspect",
        "lm-eval": "cat_bench.models.backends.lm_eval:LmEval",
        "openai": "cat_bench.models.backends.openai:OpenAI",
        "replay": "cat_bench.models.backends.replay:Replay",
        "scripted": "cat_bench.models.backends.scripted:open_file",
        "vllm": "cat_bench.models.backends.vllm:Vllm",
    },
    "reward_model": {
        "hf": "cat_bench.models.backends.hf.classifier:Classifier",
        "openai": "cat_bench.models.backends.reward_server:RewardServer",
        "scripted": "cat_bench.models.backends.scripted:rewards_from_file",
    },
    "model": {},
    "task": {"lm-eval": "cat_bench.bridges.lm_eval_task:LmEvalTask"},
    "generator": {},
}


def list_plugins(kind: Kind) -> dict[str, str]:
    """Return every registered plug-in of a kind: name → `module:attribute`.

    A built-in plug-in keeps its name if an installed package has another one of that name.
    """
    prefix = f"{kind}."
    installed = {
        point.name.removeprefix(prefix): point.value
        for point in entry_points(group="cat_bench")
        if point.name.startswith(prefix)
    }
    return {**installed, **BUILT_IN[kind]}


def registered_name(kind: Kind, plugin: type) -> str:
    """Return the name under which a class is registered, else its module and qualified name.

    Verdicts are stored under this name, so they stay valid when a registered class moves to another
    module. For a class in a user's file, the module's name contains a digest of the file's path and
    content: verdicts are computed again if the file is changed or moved.
    """
    place = f"{plugin.__module__}:{plugin.__qualname__}"
    return next((name for name, value in list_plugins(kind).items() if value == place), place)


def list_ignored() -> dict[str, str]:
    """Return the installed entry points that are ignored: name → target and reason."""
    reserved = {f"{kind}.{name}" for kind, names in BUILT_IN.items() for name in names}
    ignored = {}
    for point in entry_points(group="cat_bench"):
        if point.name.partition(".")[0] not in BUILT_IN:
            ignored[point.name] = f"{point.value} (ignored: no such kind)"
        elif point.name in reserved:
            ignored[point.name] = f"{point.value} (ignored: the built-in one keeps its name)"
    return ignored


def is_file(spec: str) -> bool:
    """Return whether a name has the form `file.py:Class`, or `file.py` with the class missing."""
    return spec.endswith(".py") or spec.rpartition(":")[0].endswith(".py")


def resolve_beside(folder: Path, spec: str) -> str:
    """Resolve a spec of a YAML in `folder`: its files are relative to that YAML."""
    if folder == Path():
        return spec
    return _FILES.sub(lambda match: f"{match[1]}{folder / match[2]}", spec)


def files_in(spec: str) -> list[Path]:
    """Return the files that a spec names."""
    return [Path(match[2].removesuffix(":")) for match in _FILES.finditer(spec)]


def load(kind: Kind, spec: str, *, base: Path | None = None) -> Callable[..., Any]:
    """Return the class (or factory) that `spec` names; a file is relative to `base`.

    Raises UnknownName if no plug-in has the name, ConfigError if its module cannot be imported.
    """
    if is_file(spec):
        if spec.endswith(".py"):
            raise ConfigError(spec, "", f"does not name a class: write {spec}:CLASS")
        path, _, attribute = spec.rpartition(":")
        return _attribute(_module_at((base or Path.cwd()) / path), attribute, spec)
    names = list_plugins(kind)
    if spec not in names:
        raise UnknownName(kind, spec, names)
    module, _, attribute = names[spec].partition(":")
    try:
        return _attribute(importlib.import_module(module), attribute, spec)
    except CatBenchError:
        raise
    except PLUGIN_BUGS as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{kind} {spec!r}", "", f"cannot be imported: {reason}") from error


def build(
    kind: Kind,
    spec: str,
    params: Mapping[str, JSON],
    *,
    base: Path | None = None,
    source: str | Path = "",
) -> Any:
    """Build the plug-in that `spec` names; each parameter is checked against its field's type.

    A parameter that is a Path is relative to `base`. `source` is named in errors.
    """
    try:
        factory = load(kind, spec, base=base)
    except UnknownName as error:
        if not source:
            raise
        raise ConfigError(source, kind, str(error)) from None
    source = source or f"{kind} {spec!r}"
    try:
        if isinstance(factory, type) and is_dataclass(factory):
            return _resolve_paths(validate(factory, params, source=source), base)
        return factory(**params)
    except CatBenchError:
        raise
    except PLUGIN_BUGS as error:
        raise ConfigError(source, "", f"{type(error).__name__}: {error}") from error


def _resolve_paths(plugin: Any, base: Path | None) -> Any:
    """Return the plug-in with the paths of its parameters made relative to the folder `base`."""
    if base is None:
        return plugin
    values = {f.name: getattr(plugin, f.name) for f in fields(plugin) if f.init}
    paths = {name: base / value for name, value in values.items() if isinstance(value, Path)}
    return replace(plugin, **paths) if paths else plugin


def _module_at(path: Path) -> ModuleType:
    if not path.is_file():
        raise ConfigError(path, "", "there is no such file: check the path")
    source = path.read_bytes()
    admit(path, sha256(source).hexdigest())
    identity = str(path.resolve()).encode() + source
    name = f"cat_bench_file_{path.stem}_{sha256(identity).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(path, "", "is not a Python file: name a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except PLUGIN_BUGS as error:
        del sys.modules[name]
        raise ConfigError(path, "", f"fails on import: {type(error).__name__}: {error}") from error
    return module


def _attribute(module: ModuleType, name: str, spec: str) -> Callable[..., Any]:
    attribute = getattr(module, name, None)
    if not callable(attribute):
        names = (key for key, value in vars(module).items() if callable(value))
        raise ConfigError(spec, "", f"has no class or function {name!r}.{suggest(name, names)}")
    return attribute  # type: ignore[no-any-return]
