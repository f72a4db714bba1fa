"""The command that installs a missing extra."""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""The folder of the Makefile in a checkout."""


def install_command(extra: str) -> str:
    """Return the command that adds an extra to the environment of this process.

    In a checkout's environment, this is a target of the Makefile, which keeps the tested versions.
    Elsewhere it is a command of pip, or of uv if the environment has no pip.
    """
    if (ROOT / "tools" / "install.py").is_file() and Path(sys.prefix) == ROOT / ".venv":
        return f"make setup EXTRAS={extra}"
    python = shlex.quote(sys.executable)
    if find_spec("pip"):
        return f"{python} -m pip install 'cat-bench[{extra}]'"
    return f"uv pip install --python {python} 'cat-bench[{extra}]'"
