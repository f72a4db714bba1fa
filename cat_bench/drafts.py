"""What processes that were killed have left beside the runs that they were writing."""

from __future__ import annotations

import glob
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

STALE_S = 24 * 3600
"""Seconds without a change after which a draft is nobody's."""


def sweep(place: Path) -> None:
    """Remove the drafts, `.NAME.PID`, of a run that is in place.

    A process of another machine cannot be asked whether it lives: only old drafts go.
    """
    for draft in place.parent.glob(f".{glob.escape(place.name)}.*"):
        pid = draft.name.removeprefix(f".{place.name}.").removesuffix(".old")
        if not pid.isdigit() or _alive(int(pid)) or not place.exists():
            continue
        if time.time() - max(f.stat().st_mtime for f in (draft, *draft.glob("*"))) > STALE_S:
            shutil.rmtree(draft, ignore_errors=True)


def _alive(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
