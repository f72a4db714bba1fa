"""The contents of a `task.yaml`, and the samples from its rows.

A row becomes a question in the task's prompt text, with a separate target. A missing field, or a
target that the scorer cannot use, is an error here, before anything is paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, Field

from cat_bench.errors import DataError, PromptError, TargetError
from cat_bench.loading.data import Data, digest, rows
from cat_bench.loading.prompts import Prompts
from cat_bench.loading.validation import STRICT
from cat_bench.system.rows import read
from cat_bench.types.calls import JSON, Message, RoleName
from cat_bench.types.plugins import QuestionScorer, Scorer
from cat_bench.types.records import Question, Sample
from cat_bench.types.traits import ScorerTraits, is_labelled, traits


class TaskFile(BaseModel):
    """The fields of a `task.yaml`."""

    model_config = STRICT
    version: int
    summary: str
    data: Data
    prompt: str = "prompt"
    system: str | None = None
    model: str | None = None
    """The model that the task was made for, which is the default."""
    scorer: str
    scorer_params: dict[str, JSON] = Field(default_factory=dict, alias="with")
    sampling: dict[RoleName, dict[str, JSON]] = Field(default_factory=dict)
    methods: list[str] = Field(default_factory=list)
    closing: str | None = None
    caveats: list[str] = Field(default_factory=list)
    errata: str | None = None
    """A file beside the YAML, of rows {id, reason}: questions that are known to be faulty."""
    private: bool = False
    """Whether its examples must stay secret: no file with its prompts is published."""


def samples_of(
    content: TaskFile,
    scorer: Scorer,
    prompts: Prompts,
    base: Path,
    override: Path | None,
    *,
    fetch: bool,
) -> Iterator[Sample]:
    """Yield the task's questions with their targets, in the file's order.

    `base` is the YAML's folder; `override` and `fetch` are as in `loading.data.rows`. Raises
    PromptError for a prompt that shows no problem, DataError for a row, or after the last one for
    an id of the errata that no row has.
    """
    unknown = set(errata_of(content, base))
    system: list[Message] = (
        [{"role": "system", "content": content.system}] if content.system else []
    )
    if content.data.fields.problem:
        _check_prompt(content, prompts)
    check_target = target_check(scorer)
    for row in rows(content.data, base=base, override=override, fetch=fetch):
        cluster = None
        if "messages" in row:
            text, cluster = conversation(row["messages"]), digest(row["messages"])
            messages = [Message(role=m["role"], content=m["content"]) for m in row["messages"]]
        else:
            text = row["problem"]
            variables = {"problem": text, "stem": row.get("stem", text), "meta": row["meta"]}
            messages = [{"role": "user", "content": prompts.render(content.prompt, **variables)}]
        target = row["answer"]
        if target is not None and "tags" in row:
            target = {"rubric": target, "tags": row["tags"]}
        bundled = content.data.file and base / content.data.file
        where = override or bundled or content.data.local or content.data.hub
        question = Question(row["id"], (*system, *messages), text, row["meta"])
        check_target(question, target, str(where))
        unknown.discard(question.id)
        yield Sample(question, target, cluster)
    if unknown:
        raise DataError(
            base / str(content.errata),
            f"names {min(unknown)!r}, which is not an id of the task's rows; remove it",
        )


def errata_of(content: TaskFile, base: Path) -> dict[str, str]:
    """Return the reason of each id in the task's errata. Raises DataError for a row."""
    reasons: dict[str, str] = {}
    if content.errata is None:
        return reasons
    file = base / content.errata
    for line, row in read(file):
        name, reason = row.get("id"), row.get("reason")
        if name is None or not isinstance(reason, str) or not reason.strip():
            raise DataError(file, "needs an `id` and a `reason`; add them", line=line)
        if str(name) in reasons:
            raise DataError(file, f"repeats the id {str(name)!r}", line=line)
        reasons[str(name)] = reason
    return reasons


def _check_prompt(content: TaskFile, prompts: Prompts) -> None:
    """Raise PromptError if the question's prompt does not show the problem or its options."""
    variables = prompts.reads(content.prompt)
    complete = not content.data.fields.options or "options" in variables or "meta" in variables
    if "problem" not in variables and not ("stem" in variables and complete):
        problem = "never shows the problem: write {{ problem }} where it goes"
        raise PromptError(prompts.folder / f"{content.prompt}.txt", "", problem)


def target_check(scorer: Scorer) -> Callable[[Question, JSON, str], None]:
    """Return a function that raises TargetError for a target that the scorer cannot use.

    An unlabelled row has no target to check. The function's arguments are a question, the target,
    and the file and line that the error names.
    """
    reader = scorer if isinstance(scorer, QuestionScorer) else None
    own = traits(ScorerTraits, scorer).check

    def check_target(question: Question, target: JSON, source: str) -> None:
        if not is_labelled(target, scorer):
            return
        check = traits(ScorerTraits, reader.for_question(question)).check if reader else own
        if check and (problem := check(target)):
            raise TargetError(source, f"the row {question.id!r} {problem}")

    return check_target


def conversation(messages: Sequence[Message]) -> str:
    """Return messages as one text to quote, each with its role."""
    return "\n\n".join(f"{m['role'].capitalize()}: {m['content']}" for m in messages)
