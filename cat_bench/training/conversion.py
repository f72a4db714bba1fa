"""Read the settings of a recipe by the types of the library that takes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from cat_bench.errors import ConfigError, suggest
from cat_bench.types.calls import JSON


def convert_settings(
    settings: Mapping[str, JSON],
    kinds: Mapping[str, Any],
    *,
    source: str | Path,
    whose: str = "of TRL's",
) -> dict[str, JSON]:
    """Return the settings in their types; a number may be a string, as YAML reads 1e-4.

    Raises ConfigError for an unknown name, with a suggestion, and for a wrong value.
    """
    converted = {}
    for name, value in settings.items():
        if name not in kinds:
            raise ConfigError(source, name, f"is not a setting {whose}.{suggest(name, kinds)}")
        try:
            converted[name] = TypeAdapter(kinds[name]).validate_python(value)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise ConfigError(source, name, f"{problem}, not {value!r}") from None
    return converted
