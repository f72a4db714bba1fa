"""Identify a setting that names a local file or folder by its content, not its path."""

from __future__ import annotations

from hashlib import file_digest
from pathlib import Path

from cat_bench.models.backends.hf.loading import folder_identity
from cat_bench.types.calls import JSON


def content(value: JSON) -> JSON:
    """Return a digest of the file or folder that `value` names, or `value` if it names none."""
    if not isinstance(value, str):
        return value
    path = Path(value).expanduser()
    try:
        if path.is_dir():
            return folder_identity(path)
        if path.is_file():
            with path.open("rb") as opened:
                return {"file_digest": file_digest(opened, "sha256").hexdigest()}
    except OSError:
        return value
    return value
