"""Read external text strictly into typed records; errors name the file, the field and the fix."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from inspect import signature
from itertools import accumulate
from math import inf
from pathlib import Path
from reprlib import repr as repr_in_short
from typing import Any, Literal, TypeVar

import yaml
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError, create_model
from pydantic_core import ErrorDetails

from cat_bench.errors import ConfigError, one_line, suggest
from cat_bench.types.calls import JSON

T = TypeVar("T")
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)
"""The configuration of the pydantic models of YAML files."""
_STEPS = {"{": 1, "[": 1, "]": -1, "}": -1}
YAML_MOST = 1 << 18
"""The most bytes of a YAML file: reading that many may take three seconds."""
VALUES_MOST = 1_000_000
"""The most values of a YAML file, each alias written out."""
INLINE = re.compile(r"(?P<name>[^{}]+)(?:\{(?P<values>.*)\})?", re.DOTALL)


def read_yaml(path: Path) -> dict[str, JSON]:
    """Return the mapping in a YAML file.

    Raises ConfigError if it is missing, is not YAML (with the line), or is not a mapping.
    """
    try:
        with path.open("rb") as opened:
            raw = opened.read(YAML_MOST + 1)
        if len(raw) > YAML_MOST:
            raise ConfigError(path, "", f"is longer than {YAML_MOST:,} bytes; put data into a file")
        content = _load(raw.decode("utf-8"))
    except OSError as error:
        raise ConfigError(path, "", f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, "", "is not UTF-8 text") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(path, f"line {line}", f"is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(path, "", f"is not YAML: {one_line(error)}") from error
    if not isinstance(content, dict):
        raise ConfigError(path, "", "should hold a mapping of fields to values")
    if _count_unfolded(content, {}) > VALUES_MOST:
        problem = f"its aliases unfold to more than {VALUES_MOST:,} values; write them out"
        raise ConfigError(path, "", problem)
    return content


class _Loader(yaml.SafeLoader):
    """YAML's plain types, with integers of at most 64 bits: longer ones cannot be printed."""

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        """Return an integer. Raises ConstructorError for one that is too long."""
        if (value := int(self.construct_yaml_int(node))).bit_length() > 64:
            problem = "an integer has more than 64 bits"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_integer)


def _load(text: str) -> JSON:
    """Return the value of a YAML text. Raises YAMLError, also for values that YAML's types refuse.

    The parser itself raises other errors for a 13th month, a number of 5,000 digits or `!!bool x`.
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deep") from None
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
        raise yaml.YAMLError(f"a value does not fit its type ({one_line(error)})") from error


def _count_unfolded(value: JSON, known: dict[int, float]) -> float:
    """Return how many values there are with every alias written out; infinite for a cycle."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = inf  # a placeholder: a part that reaches it again is a cycle
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count_unfolded(part, known) for part in parts)
    return known[id(value)]


def validate(kind: type[T], values: Mapping[str, JSON], *, source: str | Path) -> T:
    """Convert `values` to a `kind` (a pydantic model or a plain dataclass), with types checked.

    Raises ConfigError with `source`, the first invalid field, and the expected value.
    """
    if is_dataclass(kind):  # pydantic ignores a plain dataclass's unknown fields
        known = [field.name for field in fields(kind) if field.init]
        for name in values:
            if name not in known:
                raise ConfigError(source, str(name), _explain_unknown(str(name), known))
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except PydanticUserError as error:
        raise ConfigError(source, "", error.message.partition("\n")[0]) from error
    except ValidationError as error:
        first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(source, field, _problem(first, kind)) from None


def convert_keywords(
    factory: Callable[..., object], values: Mapping[str, JSON], *, source: str | Path
) -> dict[str, JSON]:
    """Convert `values` to keyword arguments of `factory`, checked by its annotations.

    Raises ConfigError as `validate` does.
    """
    parameters = signature(factory, eval_str=True).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    fields: dict[str, JSON] = {
        p.name: (
            Any if p.annotation is p.empty else p.annotation,
            ... if p.default is p.empty else p.default,
        )
        for p in named
    }
    extra: Literal["allow", "forbid"] = "allow" if open_ended else "forbid"
    config = ConfigDict(extra=extra, arbitrary_types_allowed=True, protected_namespaces=())
    read = validate(create_model("Options", __config__=config, **fields), values, source=source)
    return {name: getattr(read, name) for name in values}


def split_inline(spec: str, *, source: str | Path) -> tuple[str, dict[str, JSON]]:
    """Split `name{key=value,...}` into the name and its values (YAML scalars); braces may nest."""
    match = INLINE.fullmatch(spec.strip())
    if match is None or not _is_balanced(match["values"] or ""):
        raise ConfigError(source, "", "should be NAME or NAME{key=value,...}")
    values = {}
    for part in split_list(match["values"] or ""):
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(source, key.strip(), "should be written key=value")
        values[key.strip()] = scalar(value, source=source, field=key.strip())
    return match["name"].strip(), values


def scalar(text: str, *, source: str | Path, field: str) -> JSON:
    """Return a YAML scalar: `0.7` is a number, `null` is None. Raises ConfigError."""
    try:
        return _load(text)
    except yaml.YAMLError:
        raise ConfigError(source, field, f"{one_line(repr(text))} is not a YAML value") from None


def split_list(text: str) -> list[str]:
    """Return the items of a comma-separated list; commas in braces and brackets do not split."""
    parts, depth = [""], 0
    for character in text:
        depth += _STEPS.get(character, 0)
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _is_balanced(text: str) -> bool:
    """Return whether the braces and brackets are balanced."""
    depths = list(accumulate(_STEPS.get(c, 0) for c in text))
    return not depths or (min(depths) >= 0 and depths[-1] == 0)


def _problem(error: ErrorDetails, kind: JSON) -> str:
    match error["type"]:
        case "missing":
            return "is missing."
        case "extra_forbidden":
            *place, name = error["loc"]
            return _explain_unknown(str(name), _list_fields(kind, place))
    return f"{error['msg'].removeprefix('Value error, ')}, not {repr_in_short(error['input'])}"


def _explain_unknown(name: str, known: list[str]) -> str:
    return f"is not a known field.{suggest(name, known)} Known: {', '.join(known) or 'none'}"


def _list_fields(model: JSON, place: Sequence[int | str]) -> list[str]:
    """Return the field names in YAML of the pydantic model at `place` within `model`."""
    for name in place:
        model = model.model_fields[name].annotation
    return [field.alias or name for name, field in model.model_fields.items()]
