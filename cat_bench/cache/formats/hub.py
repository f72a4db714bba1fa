"""A file of a dataset on the Hugging Face Hub, at a pinned commit: `hub:OWNER/NAME@COMMIT/PATH`.

A branch or tag may move, so only a full commit is accepted.
"""

from __future__ import annotations

import re
from pathlib import Path

from cat_bench.errors import DataError, UsageError

_PREFIX = "hub:"
_SPEC = re.compile(r"hub:([\w.-]+/[\w.-]+)@([0-9a-f]{40})/(.+)")


def is_hub(name: str) -> bool:
    """Return whether a name is one of the Hub's."""
    return name.startswith(_PREFIX)


def fetch(name: str) -> Path:
    """Return the file; download it unless the Hub's local cache has it.

    Raises UsageError for another form of name, DataError if the file cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download

    parts = _SPEC.fullmatch(name)
    if parts is None:
        raise UsageError(
            f"{name} is not hub:OWNER/NAME@COMMIT/PATH, with the 40 digits of a commit (the Hub "
            "lists them under Files, History) and the path of a file"
        )
    repository, revision, path = parts.groups()
    try:
        return Path(hf_hub_download(repository, path, repo_type="dataset", revision=revision))
    except (OSError, ValueError) as error:  # all errors of the Hub's client
        reason = f"{type(error).__name__}: {str(error).strip()}".split("\n")[0]
        raise DataError(
            name, f"cannot be downloaded ({reason}); get it in another way and name the file"
        ) from error
