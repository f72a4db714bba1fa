"""Small models that NumPy runs in this process: the bundled ones, without torch.

The contract, the sampling and the identity are the same as in `hf` for the same folder: each finds
the other's completions in the cache. Log-probabilities differ by rounding, at most 1e-4.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from pydantic import PositiveInt

from cat_bench.errors import ModelError, one_line
from cat_bench.models.backends.hf.chat import Chat
from cat_bench.models.backends.hf.in_process import InProcess, Running
from cat_bench.models.backends.hf.loading import defaults, folder_digest, locate, read_generation
from cat_bench.models.backends.hf.worker import BatchWorkers

MOST = 8
"""The most batches that run in parallel; each has one thread."""


def load(folder: Path, *, batch: int, tokens: int, threads: int | None) -> Running:
    """Load the model of a folder and start its threads; raises ModelError."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    from cat_bench.models.backends.small.decoding import Engine
    from cat_bench.models.backends.small.network import Network
    from cat_bench.models.backends.small.tokenizer import FolderTokenizer

    try:
        network, tokenizer = Network.load(folder), FolderTokenizer.load(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"cannot load {str(folder)!r}: {one_line(error)}") from error
    # The operations are too short to divide a matrix product among threads.
    limits = threadpool_limits(1, user_api="blas")
    return Running(
        context=network.context,
        vocabulary=network.vocabulary,
        chat=Chat(tokenizer, f"numpy {np.__version__} cpu float32"),
        workers=BatchWorkers(
            Engine(network, tokenizer.ends).run,
            rows=batch,
            tokens=tokens,
            threads=threads or min(MOST, os.cpu_count() or 1),
        ),
        on_end=limits.restore_original_limits,
    )


class Small(InProcess):
    """A Qwen3 checkpoint of a few million parameters, from a local folder, until `close()`.

    A batch has at most `batch` rows, and its rows × (longest prompt + likely completion) are at
    most `tokens`; `threads` batches run in parallel (default: one for each CPU, at most eight). The
    weights are loaded by the first call that the cache cannot answer.

    Raises ModelError if the folder holds no such checkpoint.
    """

    def __init__(
        self,
        path: str,
        *,
        batch: PositiveInt = 256,
        tokens: PositiveInt = 65536,
        threads: PositiveInt | None = None,
    ) -> None:
        folder = Path(path).expanduser()
        locate(path, folder)
        super().__init__(
            partial(load, folder, batch=batch, tokens=tokens, threads=threads),
            identity={"folder_digest": folder_digest(folder)},
            sampling=defaults(read_generation(folder)),
            batch=batch,
        )
