"""Finds tasks and methods, and reads them strictly.

The catalogue has `tasks/<name>/task.yaml` and `baselines/<name>.yaml`, and no Python. Instead of a
name in the catalogue, a user may give a path to such a file, or `./file.py:Class`. `pool:NAME` is
the task that an imported pool defines, and `lm-eval:NAME` is a task of lm-eval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, Field

from cat_bench.cache import Cache
from cat_bench.cache.pools import pool_metadata, pool_rows
from cat_bench.errors import ConfigError, UnknownName
from cat_bench.loading.closing import describe_closing
from cat_bench.loading.prompts import Prompts
from cat_bench.loading.registry import build, is_file, list_plugins, resolve_beside
from cat_bench.loading.task_file import TaskFile, errata_of, samples_of, target_check
from cat_bench.loading.trust import admit, load_only
from cat_bench.loading.validation import INLINE, STRICT, read_yaml, split_inline, validate
from cat_bench.system.rows import file_digest
from cat_bench.types.calls import JSON, Sampling
from cat_bench.types.plugins import Aggregator, AnswerScorer, Exact, Scorer, Stopping
from cat_bench.types.records import Question, Sample
from cat_bench.types.traits import AggregatorTraits, Need, ScorerTraits, traits

ANSWERED = ("single", "greedy", "majority", "self-select", "cat", "cat-question-aware", "cat-1")
"""The methods that a task with final answers compares by default."""
FREE = ("single", "greedy", "mbr", "universal-consistency", "self-select", "cat", "cat-1")
"""The methods that a task without final answers compares by default."""
_POOL, _LM_EVAL = "pool:", "lm-eval:"
FOREIGN = (_POOL, _LM_EVAL)
"""How the names of tasks that no file of the catalogue defines begin."""


class MethodFile(BaseModel):
    """The fields of a `baselines/*.yaml`."""

    model_config = STRICT
    summary: str
    aggregator: str
    params: dict[str, JSON] = Field(default_factory=dict, alias="with")
    budgets: list[int] | None = None
    citation: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A dataset, a prompt and a scorer, ready to run; `sampling` holds each role's defaults."""

    name: str
    version: str
    summary: str
    scorer: Scorer
    samples: Callable[[], Iterator[Sample]]
    prompts: Prompts = field(default_factory=Prompts)
    sampling: Mapping[str, Sampling] = field(default_factory=dict)
    methods: tuple[str, ...] = ()
    """The methods of a run without `--method`; by default `ANSWERED` or `FREE`."""
    data: Mapping[str, JSON] = field(default_factory=dict)
    """The origin of the rows: source, revision, digest."""
    exchangeable: bool = True
    caveats: tuple[str, ...] = ()
    """Remarks for readers of the task's tables."""
    errata: Mapping[str, str] = field(default_factory=dict)
    """The questions that are known to be faulty: id → reason."""
    model: str | None = None
    """The model that the task and its prompt texts were made for."""
    private: bool = False
    """Whether its examples must stay secret: no file with its prompts is published."""


@dataclass(frozen=True)
class Method:
    """A named aggregator configuration; `budgets` None means every budget of the run."""

    name: str
    aggregator: Aggregator
    spec: str
    params: Mapping[str, JSON] = field(default_factory=dict)
    budgets: tuple[int, ...] | None = None
    summary: str = ""
    citation: str | None = None
    sha256: str | None = None
    """One digest of the user's files that the method uses; None if it uses no such file."""

    @cached_property
    def traits(self) -> AggregatorTraits:
        """The aggregator's traits."""
        return traits(AggregatorTraits, self.aggregator)

    @cached_property
    def exact(self) -> Exact | None:
        """The aggregator, if it may have a closed form."""
        return self.aggregator if isinstance(self.aggregator, Exact) else None

    @cached_property
    def stopping(self) -> Stopping | None:
        """The aggregator, if it may stop before it has read n rollouts."""
        return self.aggregator if isinstance(self.aggregator, Stopping) else None

    @property
    def needs(self) -> frozenset[Need]:
        """The aggregator's needs."""
        return self.traits.needs


def root() -> Path:
    """Return the folder of `tasks/`, `baselines/` and `claims/`; a wheel contains a copy."""
    packaged = Path(str(files("cat_bench"))) / "_catalog"
    return packaged if packaged.is_dir() else Path(__file__).parents[2]


def task_names() -> list[str]:
    """Return the names of the catalogue's tasks."""
    return sorted(_task_files())


def method_names() -> list[str]:
    """Return the names of the catalogue's methods."""
    return sorted(path.stem for path in (root() / "baselines").glob("*.yaml"))


def task(
    spec: str, *, data: Path | None = None, cache: Cache | None = None, fetch: bool = True
) -> Task:
    """Return the task that `spec` names.

    `spec` is a name in the catalogue, a `task.yaml` or its folder, or `./file.py:Class`. `data`
    replaces the source of its rows; without `fetch`, the Hub is not used; `cache` holds the pool of
    `pool:NAME`. Raises UnknownName, ConfigError.
    """
    if spec.startswith(_POOL):
        return _complete(_pool_task(spec.removeprefix(_POOL), cache or Cache()))
    if spec.startswith(_LM_EVAL):
        name, params = split_inline(spec.removeprefix(_LM_EVAL), source=f"task {spec!r}")
        return _complete(_load_task_class("lm-eval", name=name, **params))
    if is_file(spec) or (spec in list_plugins("task") and spec not in task_names()):
        return _complete(_load_task_class(spec))
    return _complete(_read_task(spec, data, fetch=fetch))


def _complete(task: Task) -> Task:
    """Return the task; methods and judge's sampling that it does not set get their defaults."""
    methods = tuple(task.methods) or (ANSWERED if isinstance(task.scorer, AnswerScorer) else FREE)
    sampling = dict(task.sampling)
    if usual := traits(ScorerTraits, task.scorer).judge_sampling:
        sampling["judge"] = sampling.get("judge", Sampling()).over(usual)
    return replace(task, methods=methods, sampling=sampling)


def _read_task(spec: str, data: Path | None, *, fetch: bool) -> Task:
    path = _task_file(spec)
    content = validate(TaskFile, read_yaml(path), source=path)
    scorer = _check_scorer(
        build("scorer", content.scorer, content.scorer_params, base=path.parent, source=path),
        source=path,
    )
    closing = describe_closing(scorer) if content.closing is None else content.closing
    prompts = Prompts(path.parent, closing=closing)
    return Task(
        name=path.parent.name if path.name.startswith("task.") else path.stem,
        version=str(content.version),
        summary=content.summary,
        scorer=scorer,
        samples=partial(samples_of, content, scorer, prompts, path.parent, data, fetch=fetch),
        prompts=prompts,
        sampling={
            role: validate(Sampling, values, source=f"{path}: sampling.{role}")
            for role, values in content.sampling.items()
        },
        methods=tuple(resolve_beside(path.parent, name) for name in content.methods),
        data=content.data.model_dump(exclude_none=True),
        caveats=tuple(content.caveats),
        errata=errata_of(content, path.parent),
        model=content.model,
        private=content.private,
    )


def model_of(spec: str) -> str | None:
    """Return the model that the task was made for, or None."""
    model: str | None = _read_written(spec).get("model")
    return model


def is_private(spec: str) -> bool:
    """Return whether the task's YAML says `private`; False if there is none here."""
    try:
        return bool(_read_written(spec).get("private"))
    except ConfigError:
        return False


def _read_written(spec: str) -> Mapping[str, JSON]:
    """Return the content of the task's YAML without validation; empty if the task has no YAML."""
    try:
        path = _task_file(spec)
    except UnknownName:
        return {}
    return read_yaml(path) if path.is_file() else {}


def _task_files() -> dict[str, Path]:
    """Return the catalogue's tasks: `NAME/task.yaml`, or `NAME.yaml` in another task's folder."""
    paths = (root() / "tasks").glob("*/*.yaml")
    return {path.parent.name if path.stem == "task" else path.stem: path for path in paths}


def _task_file(spec: str) -> Path:
    """Return the path of a task's YAML; the catalogue precedes a folder with the same name."""
    path = Path(spec)
    if path.suffix in {".yaml", ".yml"}:
        return path
    file = _task_files().get(spec, path / "task.yaml")
    if file.is_file():
        return file
    if path.is_dir():
        raise ConfigError(path, "", "is a folder without a task.yaml: name a task's folder")
    raise UnknownName("task", spec, [*task_names(), *list_plugins("task")])


def method(spec: str) -> Method:
    """Return the method of `spec`; a final `{key=value,...}` overrides its parameters.

    `spec` is a name in the catalogue, a path to a YAML, `./file.py:Class`, or the name of a
    registered aggregator. Raises UnknownName, ConfigError.
    """
    name, inline = split_inline(spec, source=f"method {spec!r}")
    if is_file(name):
        label = name.rpartition(":")[2]
        content = MethodFile.model_validate({"summary": "", "aggregator": name})
        return _method(label, content, inline, base=Path(), source=name)
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        path = root() / "baselines" / f"{name}.yaml"
        if not path.is_file() and name in list_plugins("aggregator"):
            content = MethodFile.model_validate({"summary": "", "aggregator": name})
            return _method(name, content, inline, base=Path(), source=f"method {spec!r}")
        if not path.is_file():
            names = method_names()
            plugins = (n for n in list_plugins("aggregator") if n.replace("_", "-") not in names)
            raise UnknownName("method", name, [*names, *plugins])
    content = validate(MethodFile, read_yaml(path), source=path)
    return _method(path.stem, content, inline, base=path.parent, source=path)


def _method(
    name: str,
    content: MethodFile,
    inline: Mapping[str, JSON],
    *,
    base: Path,
    source: str | Path,
) -> Method:
    params = {**content.params, **inline}
    written = {
        k: resolve_beside(base, v) if isinstance(v, str) else v for k, v in content.params.items()
    }
    chosen, values = resolve_beside(base, content.aggregator), {**written, **inline}
    aggregator = build("aggregator", chosen, values, source=source)
    if not callable(getattr(aggregator, "aggregate", None)):
        raise ConfigError(source, "aggregator", f"{content.aggregator} has no method `aggregate`")
    budgets = content.budgets or traits(AggregatorTraits, aggregator).budgets
    text = ",".join(f"{key}={value}" for key, value in inline.items())
    return Method(
        name=f"{name}{{{text}}}" if text else name,
        aggregator=aggregator,
        spec=content.aggregator,
        params=params,
        budgets=None if budgets is None else tuple(budgets),
        summary=content.summary or (type(aggregator).__doc__ or "").strip().partition("\n")[0],
        citation=content.citation,
        sha256=_digest_files([chosen, *values.values()]),
    )


def _digest_files(named: Iterable[JSON]) -> str | None:
    """Return one digest of the files that the specs name; an edited file is another method."""
    specs = (INLINE.fullmatch(name) for name in named if isinstance(name, str))
    paths = [Path(s["name"].rpartition(":")[0]) for s in specs if s and is_file(s["name"].strip())]
    digests = {path: file_digest(path) for path in paths if path.is_file()}
    for path, digest in digests.items():
        admit(path, digest)
    return sha256("".join(digests.values()).encode()).hexdigest() if digests else None


def _pool_task(name: str, cache: Cache) -> Task:
    """Return the task that an imported pool defines: its questions, its answers and its scorer.

    Its scorer may be a file of the pool's author, which must be trusted: see `loading.trust`.
    """
    pool = pool_metadata(cache, name)
    source = f"pool {name!r}"
    with load_only(pool.files):
        scorer = build("scorer", pool.scorer or "math_equal", pool.scorer_params, source=source)

    def samples() -> Iterator[Sample]:
        check_target = target_check(scorer)
        for row in pool_rows(cache, name):
            problem = row.problem or ""
            question = Question(row.id, ({"role": "user", "content": problem},), problem)
            check_target(question, row.answer, source)
            yield Sample(question, row.answer)

    return Task(
        name=name,
        version=pool.sha256[:12],
        summary=f"the questions of {pool.file}",
        scorer=scorer,
        samples=samples,
        prompts=Prompts(closing=describe_closing(scorer)),
        data={"pool": name, "file": pool.file, "sha256": pool.sha256},
        exchangeable=pool.exchangeable,
        methods=("single", "majority"),
    )


def _check_scorer(scorer: JSON, *, source: str | Path) -> Scorer:
    if not isinstance(scorer, Scorer):
        raise ConfigError(source, "scorer", "should have a `version` and a method `score`")
    return scorer


def _load_task_class(spec: str, **params: JSON) -> Task:
    """Return a task of the user's own class: `samples()` and `scorer`, the rest optional."""
    plugin = build("task", spec, params)
    for required in ("samples", "scorer"):
        if not hasattr(plugin, required):
            raise ConfigError(spec, required, "is missing: give the class `samples()` and `scorer`")
    scorer = _check_scorer(plugin.scorer, source=spec)
    task = Task(
        name=getattr(plugin, "name", spec.rpartition(":")[2]),
        version=str(getattr(plugin, "version", 1)),
        summary=(type(plugin).__doc__ or "").strip().partition("\n")[0],
        scorer=scorer,
        samples=plugin.samples,
        prompts=Prompts(closing=getattr(plugin, "closing", describe_closing(scorer))),
    )
    shared = ("summary", "sampling", "methods", "private")
    values = {name: getattr(plugin, name) for name in shared if hasattr(plugin, name)}
    return replace(task, **values)
