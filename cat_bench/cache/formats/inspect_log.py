"""Inspect's `.eval` and `.json` logs: the epochs of a sample are its responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile, is_zipfile

from cat_bench.cache.formats.samples import Findings, Format, Sampled, number
from cat_bench.errors import DataError, UsageError
from cat_bench.system.extras import install_command
from cat_bench.system.json_parts import PARTS_MOST
from cat_bench.system.rows import RATIO, UNPACKED
from cat_bench.system.waiting import call_without_loop
from cat_bench.types.calls import JSON

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample
    from inspect_ai.scorer import Score

_TAKEN = {
    "id": "id",
    "problem": "input; with choices, the first user message",
    "answer": "target",
    "responses": "output.completion, one for each epoch",
    "verdicts": "scores (C 1, P 0.5, I and N 0)",
    "usage": "output.usage",
    "meta": "metadata",
}
_VALUES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_STOPS = {"max_tokens": "length", "model_length": "length"}


def _read(files: Sequence[Path], findings: Findings) -> Iterator[Sampled]:
    try:
        from inspect_ai.log import read_eval_log
    except ImportError as error:
        raise UsageError(f"Inspect is not installed: {install_command('inspect')}") from error
    findings.taken = dict(_TAKEN)
    findings.left |= {"events", "store", "attachments", "timelines"}
    for file in files:
        try:
            _check_archive(file)
            log = call_without_loop(read_eval_log, str(file))
        except DataError:
            raise
        except Exception as error:  # an archive's decompressor or Inspect may raise anything
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                file, f"is not a log of Inspect ({reason}); name an .eval or .json log"
            ) from error
        findings.name_model(log.eval.model, file)
        if log.status != "success":
            findings.guess(f"the log is complete, although its status is {log.status!r}")
        prefix = f"{log.eval.task}/" if len(files) > 1 else ""
        for sample in sorted(log.samples or (), key=lambda s: s.epoch):
            yield _sample(prefix, sample, findings)


def _check_archive(file: Path) -> None:
    """Raise DataError if an archive unpacks to too much; Inspect reads all of it into memory.

    The directory of an archive may lie, so every member is unpacked and counted.
    """
    if not is_zipfile(file):
        return
    most, total = max(UNPACKED, RATIO * file.stat().st_size), 0
    with ZipFile(file) as archive:
        for member in archive.infolist():
            parts = 0
            with archive.open(member) as unpacked:
                while chunk := unpacked.read(1 << 20):
                    total += len(chunk)
                    parts += chunk.count(b"{") + chunk.count(b"[")
                    if total > most:
                        problem = f"unpacks to more than {most:,} bytes; unpack it yourself"
                        raise DataError(file, problem)
                    if parts > PARTS_MOST:
                        problem = f"has more than {PARTS_MOST:,} objects and lists in a sample"
                        raise DataError(file, f"{problem}; leave that sample out")


def _sample(prefix: str, sample: EvalSample, findings: Findings) -> Sampled:
    turns = sum(message.role == "assistant" for message in sample.messages)
    if turns > 1:
        findings.guess("responses: the last message, if the model wrote several for a sample")
    output = sample.output
    usage = output.usage
    error = sample.error or output.error
    message = error if isinstance(error, str) else getattr(error, "message", None)
    target = sample.target
    if isinstance(target, list) and len(target) > 1:
        findings.guess("answer: a list, because a sample has several targets")
    choice = output.choices[0] if output.choices else None
    return Sampled(
        id=f"{prefix}{sample.id}",
        problem=_problem(sample),
        answer=target[0] if isinstance(target, list) and len(target) == 1 else target,
        text=None if message else output.completion,
        failure=message,
        reasoning=_reasoning(choice.message.content) if choice else None,
        finish=_STOPS.get(choice.stop_reason, choice.stop_reason) if choice else None,
        prompt_tokens=usage.input_tokens if usage else 0,
        completion_tokens=usage.output_tokens if usage else 0,
        verdicts=dict(_verdicts(sample.scores or {})),
        meta=sample.metadata,
    )


def _problem(sample: EvalSample) -> str:
    users = [message.text for message in sample.messages if message.role == "user"]
    if sample.choices and users:
        return users[0]
    if isinstance(sample.input, str):
        return sample.input
    return "\n\n".join(message.text for message in sample.input if message.role == "user")


def _reasoning(content: JSON) -> str | None:
    parts = [] if isinstance(content, str) else content
    texts = [part.reasoning for part in parts if part.type == "reasoning"]
    return "\n\n".join(texts) or None


def _verdicts(scores: Mapping[str, Score]) -> Iterator[tuple[str, float | None]]:
    for name, score in scores.items():
        values = score.value if isinstance(score.value, dict) else {"": score.value}
        for part, value in values.items():
            verdict = _VALUES.get(value) if isinstance(value, str) else number(value)
            yield f"{name}.{part}" if part else name, verdict


FORMAT = Format(_read, "Inspect's logs, .eval or .json")
