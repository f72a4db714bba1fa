"""Find keys and passwords in what a user names, before any of it is written to disk.

Runs, the names of their folders and the cache contain the names of models, their options and the
sampling parameters. A secret is recognised by the name of its parameter, by the form of its value,
or because the environment holds the same value under the name of a key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence

from cat_bench.types.calls import JSON

MASK = "[key]"
WRITTEN = (
    "would be written to disk with the run: leave it out and set the environment's variable "
    "({key_variable=NAME} says which holds openai's key)"
)
"""The message about a secret in a spec or a setting."""
LEAST = 8
"""The fewest characters of a key in the environment that is looked for in other texts."""
_NAME = (
    r"(?:[\w-]+\.)*(?:(?:\w+[_-])?(?:api[_-]?key|(?:access|secret|private|subscription)[_-]key"
    r"|authorization|headers?|secret|password|passwd|passphrase|credentials?|cookies?)"
    r"|(?:(?:auth|access|api|bearer|hf|session|security|refresh)[_-])?token)"
)
_NAMED = re.compile(_NAME, re.IGNORECASE)
_PAIR = re.compile(
    rf"""(?:(?<=[?{{,;&\s'"])|^)({_NAME})['"]?\s*(?:=|:\s)\s*(?!(?:true|false|null)\b)(?=\S)""",
    re.IGNORECASE,
)
"""A parameter inside a spec, `NAME{api_key=VALUE}`, or of `--set`; the value comes after it."""
_VALUE = re.compile(
    r"\b(?:sk-[\w-]{16,}|(?:hf|gsk|r8)_\w{20,}|(?:xai|nvapi)-[\w-]{20,}|gh[pousr]_\w{20,}"
    r"|github_pat_\w{20,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}[\w.-]*)"
    r"|(?<=://)[^\s/:@]*:[^\s/@]+(?=@)|(?i:(?<=bearer )[\w.~+/-]{8,})"
)
"""The forms of common services' keys, of tokens, and of passwords in URLs."""
_HOLDS_KEY = re.compile(r".*(?:KEY|TOKEN|SECRET|PASSWORD)")


def find_secret(value: JSON, name: str = "") -> str | None:
    """Return the name of the first secret in a value, which may be nested; None if there is none.

    `name` names the value itself, and is returned for a secret without a name of its own.
    """
    if isinstance(value, Mapping):
        parts = [(f"{name}.{key}".removeprefix("."), part) for key, part in value.items()]
        return next((secret for key, part in parts if (secret := find_secret(part, key))), None)
    if value in (None, "") or isinstance(value, bool):
        return None
    if _NAMED.fullmatch(name):
        return name
    if isinstance(value, str):
        if pair := _PAIR.search(value):
            return pair[1]
        return name or "a key" if mask(value) != value else None
    if isinstance(value, Sequence):
        return next((secret for part in value if (secret := find_secret(part, name))), None)
    return None


def mask(text: str) -> str:
    """Return a text with `[key]` for every secret in it."""
    if pair := _PAIR.search(text):
        text = text[: pair.end()] + MASK
    for key in _keys_of_environment():
        text = text.replace(key, MASK)
    return _VALUE.sub(MASK, text)


def _keys_of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if _HOLDS_KEY.fullmatch(name) and len(value) >= LEAST:
            yield value
