"""Convert a row's responses to results, and results to a row's columns.

`responses` is a list of texts, with null for a missing one. Every other column holds one entry for
each response, in the same order; `scores` maps names to such lists. Empty columns are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path

import numpy as np

from cat_bench.cache.reasoning import take_apart
from cat_bench.errors import DataError, one_line
from cat_bench.types.calls import JSON, Failure, Reply, Result, Usage, flaw_of

PER_RESPONSE = (
    "scores",
    "reasoning",
    "finish",
    "usage",
    "token_logprobs",
    "token_entropies",
    "measures",
    "served_by",
    "seed",
    "failures",
)
"""The columns with an entry for each response; only `responses` is required."""


def results_of(file: Path, line: int, row: Mapping[str, JSON]) -> list[Result]:
    """Return one result per response, in the file's order. Raises DataError with the line."""
    texts = row.get("responses")
    if not isinstance(texts, list) or not all(isinstance(t, str | None) for t in texts):
        has = "a malformed one" if "responses" in row else ", ".join(map(repr, row))
        problem = f"needs 'responses', a list of texts (or null); there is {has}"
        raise DataError(file, problem, line=line)
    if not texts:
        raise DataError(file, "has no response; drop the row", line=line)
    columns = {name: row[name] for name in PER_RESPONSE if row.get(name) is not None}
    columns.pop("scores", None)
    scores = {name: s for name, s in _scores(file, line, row).items() if s is not None}
    for name, column in [*columns.items(), *scores.items()]:
        if not isinstance(column, list) or len(column) != len(texts):
            length = len(column) if isinstance(column, list) else type(column).__name__
            problem = f"has {len(texts)} responses, and {name!r} needs an entry for each: {length}"
            raise DataError(file, problem, line=line)
    try:
        results = [_result(i, text, columns, scores) for i, text in enumerate(texts)]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise DataError(file, f"has a malformed entry ({one_line(error)})", line=line) from error
    flaws = (flaw_of(result) for result in results if isinstance(result, Reply))
    if flaw := next(filter(None, flaws), None):
        raise DataError(file, f"has a malformed entry ({flaw})", line=line)
    return results


def columns_of(results: Sequence[Result]) -> dict[str, JSON]:
    """Return the columns that hold these results: `responses` and all other known fields."""
    replies = [result if isinstance(result, Reply) else Reply(text="") for result in results]
    columns: dict[str, list[JSON]] = {
        name: [write(reply) for reply in replies] for name, write in _WRITERS.items()
    }
    for index, source in enumerate(columns["served_by"]):
        if source == f"response {index}":
            columns["served_by"][index] = None
    columns["failures"] = [_encode_failure(index, result) for index, result in enumerate(results)]
    names = sorted({name for reply in replies for name in reply.scores})
    scores = {name: [reply.scores.get(name) for reply in replies] for name in names}
    filled = {name: c for name, c in columns.items() if any(entry is not None for entry in c)}
    texts = [None if isinstance(result, Failure) else result.text for result in results]
    return {"responses": texts, **({"scores": scores} if scores else {}), **filled}


def _scores(file: Path, line: int, row: Mapping[str, JSON]) -> Mapping[str, JSON]:
    scores = row.get("scores") or {}
    if not isinstance(scores, dict):
        problem = f"'scores' must map names to lists, not be {type(scores).__name__}"
        raise DataError(file, problem, line=line)
    return scores


def _result(
    index: int, text: str | None, columns: Mapping[str, JSON], scores: Mapping[str, JSON]
) -> Result:
    given = {name: column[index] for name, column in columns.items()}
    failure = given.pop("failures", None)
    if text is None:
        if failure is None:
            return _null_failure(index)
        return Failure(str(failure["kind"]), str(failure["message"]), permanent=True)
    known = {name: _READERS[name](value) for name, value in given.items() if value is not None}
    numbers = {name: _number(name, s[index]) for name, s in scores.items() if s[index] is not None}
    return take_apart(
        Reply(text=text, scores=numbers, **{"served_by": f"response {index}", **known})
    )


def _number(name: str, value: JSON) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"the score {name!r} is {value!r}: write a number, or null for none")
    return float(value)


def _null_failure(index: int) -> Failure:
    return Failure("null", f"response {index} is null", permanent=True)


def _encode_failure(index: int, result: Result) -> JSON:
    if isinstance(result, Reply) or result == _null_failure(index):
        return None
    return {"kind": result.kind, "message": result.message}


def _floats(values: JSON) -> JSON:
    return np.asarray([np.nan if value is None else value for value in values], np.float32)


def _shortest_list(array: JSON) -> JSON:
    """Return the shortest decimals that read back as the same float32; NaN becomes null."""
    return None if array is None else [None if np.isnan(x) else float(str(x)) for x in array]


def _tokens(usage: Usage) -> JSON:
    if usage == Usage():
        return None
    return {"prompt": usage.prompt, "completion": usage.completion, "reasoning": usage.reasoning}


_READERS: Mapping[str, Callable[[JSON], JSON]] = {
    "reasoning": str,
    "finish": str,
    "usage": lambda usage: Usage(**{name: int(tokens) for name, tokens in usage.items()}),
    "token_logprobs": _floats,
    "token_entropies": _floats,
    "measures": lambda known: {name: _floats(values) for name, values in known.items()},
    "served_by": str,
    "seed": int,
}
_WRITERS: Mapping[str, Callable[[Reply], JSON]] = {
    "reasoning": lambda reply: reply.reasoning,
    "finish": lambda reply: reply.finish,
    "usage": lambda reply: _tokens(reply.usage),
    "token_logprobs": lambda reply: _shortest_list(reply.token_logprobs),
    "token_entropies": lambda reply: _shortest_list(reply.token_entropies),
    "measures": lambda reply: (
        {n: _shortest_list(array) for n, array in reply.measures.items()} or None
    ),
    "served_by": lambda reply: reply.served_by,
    "seed": lambda reply: reply.seed,
}
