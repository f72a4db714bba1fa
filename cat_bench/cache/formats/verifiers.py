"""verifiers' `traces.jsonl`: a line for each episode, with the trace of every rollout in it.

The response is the last message that was sampled. Rewards are the tool's verdicts; `reward` is
their sum by weight, which is what the tool reports. A rollout that ended in an error has no text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cat_bench.cache.formats.samples import (
    Findings,
    Format,
    Sampled,
    join_texts,
    number,
    read_files,
    take,
)
from cat_bench.system.rows import Row
from cat_bench.types.calls import JSON

_TAKEN = {
    "id": "task.data.id, else task.data.idx, else task.key",
    "problem": "task.data.prompt",
    "answer": "task.data.answer",
    "responses": "traces[*].nodes: the last message that was sampled",
    "reasoning": "its reasoning_content",
    "usage": "traces[*].calls[*].usage",
    "verdicts": "traces[*].rewards and metrics; reward is the sum of the rewards by weight",
}
_USED = (
    *("task", "traces", "id", "env", "run", "ok", "is_timeout", "errors"),
    *("num_input_tokens", "num_output_tokens", "num_total_tokens"),
)


def _read(files: Sequence[Path], findings: Findings) -> Iterator[Sampled]:
    findings.taken = dict(_TAKEN)
    for file, _, row in read_files(files, findings, _USED):
        for trace in take(row, "traces", list, file):
            yield _sample(file, trace, findings, many=len(files) > 1)


def _sample(file: Path, trace: Row, findings: Findings, *, many: bool) -> Sampled:
    task = take(trace, "task", dict, file)
    data = take(task, "data", dict, file)
    name = next((data[key] for key in ("id", "idx") if data.get(key) is not None), task.get("key"))
    if "answer" not in data:
        findings.guess("answer: none, because the tasks have no `answer`; nothing can be scored")
    calls = trace.get("calls") or []
    used = [call.get("usage") or {} for call in calls]
    sampled = [node["message"] for node in trace.get("nodes") or [] if node.get("sampled")]
    failure = _find_failure(trace) if trace.get("errors") or not sampled else None
    if len(sampled) > 1:
        findings.guess("responses: the last message of a rollout with several of the model's")
    reply = sampled[-1] if sampled and failure is None else {}
    findings.model = next((call["model"] for call in calls if call.get("model")), findings.model)
    return Sampled(
        id=f"{file.parent.name}/{name}" if many else str(name),
        problem=_find_problem(data),
        answer=data.get("answer"),
        text=None if failure else join_texts(reply.get("content")),
        failure=failure,
        reasoning=reply.get("reasoning_content"),
        finish=calls[-1].get("finish_reason") if calls else None,
        prompt_tokens=sum(usage.get("prompt_tokens") or 0 for usage in used),
        completion_tokens=sum(usage.get("completion_tokens") or 0 for usage in used),
        verdicts=_find_verdicts(trace),
        meta={key: data[key] for key in ("name", "description") if key in data},
    )


def _find_problem(data: Row) -> str:
    """Return the prompt's text: the prompt is a text, or messages."""
    prompt: JSON = data.get("prompt")
    if not isinstance(prompt, list):
        return str(prompt)
    texts = [join_texts(message.get("content")) for message in prompt]
    return "\n\n".join(
        text for text, message in zip(texts, prompt, strict=True) if message.get("role") == "user"
    )


def _find_failure(trace: Row) -> str:
    """Return what ended a rollout that has no response."""
    errors = trace.get("errors") or []
    return str(errors[0].get("message") if errors else trace.get("stop_condition") or "no response")


def _find_verdicts(trace: Row) -> dict[str, float | None]:
    """Return rewards and metrics by name, and the reward by which the tool ranks a rollout."""
    rewards = {name: given for name, given in (trace.get("rewards") or {}).items() if given}
    verdicts = {name: number(value) for name, value in (trace.get("metrics") or {}).items()}
    verdicts |= {name: number(given.get("score")) for name, given in rewards.items()}
    weighed = [
        score * (number(given.get("weight", 1)) or 0)
        for given in rewards.values()
        if (score := number(given.get("score"))) is not None
    ]
    return verdicts | {"reward": sum(weighed)}


FORMAT = Format(_read, "verifiers' traces.jsonl", frozenset({"traces", "task"}))
