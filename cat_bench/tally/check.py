"""The seed of the final measurement, fixed by the committed weights themselves.

Nobody can tune a model on problems whose seed is the digest of that model.
"""

import hashlib
from pathlib import Path

from cat_bench.tally import MODEL


def fresh_seed(model: Path = MODEL) -> int:
    """Return a 32-bit seed from the SHA-256 of the model's weights."""
    digest = hashlib.sha256((model / "model.safetensors").read_bytes()).digest()
    return int.from_bytes(digest[:4], "big")
