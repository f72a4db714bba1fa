"""Outside text into typed records: strict, and an error names the file, the field and the fix."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from cat_bench.errors import ConfigError, nearest
from cat_bench.types import JSON

T = TypeVar("T")
INLINE = re.compile(r"(?P<name>[^{}]+)(?:\{(?P<values>[^{}]*)\})?", re.DOTALL)


def read_yaml(path: Path) -> dict[str, JSON]:
    """The mapping that a YAML file holds.

    Raises ConfigError where it is missing, is not YAML (with the line), or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(path, "", f"cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, "", "is not UTF-8 text.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(path, f"line {line}", f"is not YAML: {error.problem}.") from error
    if not isinstance(content, dict):
        raise ConfigError(path, "", "should hold a mapping of fields to values.")
    return content


def validated(kind: type[T], values: Mapping[str, JSON], *, source: str | Path) -> T:
    """`values` as a `kind` (a pydantic model or a plain dataclass), types checked.

    Raises ConfigError that names `source`, the first field that is off, and what would be right.
    """
    adapter = TypeAdapter(kind)
    try:
        return adapter.validate_python(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(source, field, _problem(first, _fields(kind))) from None


def split_inline(spec: str, *, source: str | Path) -> tuple[str, dict[str, JSON]]:
    """`name{key=value,...}` as the name and its values, read as YAML scalars."""
    found = INLINE.fullmatch(spec.strip())
    if found is None:
        raise ConfigError(source, "", "should be NAME or NAME{key=value,...}.")
    values = {}
    for part in filter(str.strip, (found["values"] or "").split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise ConfigError(source, key.strip(), "should be written key=value.")
        values[key.strip()] = yaml.safe_load(value)
    return found["name"].strip(), values


def split_list(text: str) -> list[str]:
    """A comma-separated list; commas inside braces do not split."""
    return [part.strip() for part in re.split(r",(?![^{]*\})", text) if part.strip()]


def _fields(kind: type) -> list[str]:
    fields = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", {})
    return list(fields)


def _problem(error: ErrorDetails, known: list[str]) -> str:
    match error["type"]:
        case "missing":
            return "is missing."
        case "extra_forbidden" | "unexpected_keyword_argument":
            name = str(error["loc"][-1])
            names = known if len(error["loc"]) == 1 else []
            listed = f" Known: {', '.join(names)}." if names else ""
            return f"is not a known field.{nearest(name, names)}{listed}"
    return f"{error['msg']}, not {error['input']!r}."
