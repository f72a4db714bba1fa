"""Models that transformers runs in this process, on a GPU or the CPU.

Requests of concurrent callers share batches, which run in threads of their own. torch and
transformers are imported when a model is loaded, not before.

Invariants: a completion depends on its request and its seed, not on the other rows of its batch (up
to floating point); log-probabilities and entropies are the raw model's at temperature 1; nothing is
truncated: too long an input is a `context` failure.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pydantic import PositiveInt

from cat_bench.models.backends.hf.adapters import Adapter
from cat_bench.models.backends.hf.chat import UNTEMPLATED, Chat, Pretrained, has_template
from cat_bench.models.backends.hf.in_process import InProcess, Running
from cat_bench.models.backends.hf.loading import (
    Checkpoint,
    defaults,
    folder_identity,
    locate,
    read_generation,
)
from cat_bench.models.backends.hf.worker import BatchWorkers


def start(checkpoint: Checkpoint, *, batch: int, tokens: int, threads: int | None) -> Running:
    """Start the threads that run a loaded checkpoint."""
    from cat_bench.models.backends.hf.decoding import Engine, division

    side_by_side, threads_each = division(checkpoint.model, threads)
    engine = Engine(checkpoint.model, checkpoint.ends, threads_each)
    return Running(
        context=checkpoint.context,
        vocabulary=checkpoint.model.config.get_text_config().vocab_size,
        chat=Chat(Pretrained(checkpoint.tokenizer), checkpoint.served_by),
        workers=BatchWorkers(engine.run, rows=batch, tokens=tokens, threads=side_by_side),
    )


class HuggingFace(InProcess):
    """A causal language model from a local folder or the Hub, until `close()`.

    A folder's weights are loaded by the first call that the cache cannot answer: identity and
    sampling defaults are in its files. A model of the Hub is loaded at once. A folder with a LoRA
    adapter is opened with its base model, which `base` names if it has moved; the identity includes
    both.

    `device` is a torch device (default: cuda if available, else cpu), `dtype` a torch type
    (default: the checkpoint's, on a CPU float32). A batch holds at most `batch` rows, and rows
    times longest prompt and likely completion at most `tokens`: lower it if memory is short (a
    batch that does not fit is halved). `threads` limits the CPU threads.

    Raises ModelError if the model cannot be loaded.
    """

    def __init__(
        self,
        path: str,
        *,
        revision: str | None = None,
        device: str | None = None,
        dtype: str = "auto",
        batch: PositiveInt = 256,
        tokens: PositiveInt = 65536,
        threads: PositiveInt | None = None,
        base: str | None = None,
    ) -> None:
        open_checkpoint = partial(
            Checkpoint.load, path, revision=revision, device=device, dtype=dtype, base=base
        )
        begin = partial(start, batch=batch, tokens=tokens, threads=threads)
        folder = Path(path).expanduser()
        adapter = Adapter.find(folder, base=base)
        whole = Path(locate(path, folder, adapter)).expanduser()
        if whole.is_dir():
            spoken = folder if adapter and adapter.has_tokenizer else whole
            super().__init__(
                lambda: begin(open_checkpoint()),
                identity=folder_identity(folder, base=base),
                sampling=defaults(read_generation(whole)),
                batch=batch,
                caution=None if has_template(spoken) else UNTEMPLATED,
            )
        else:
            checkpoint = open_checkpoint()
            super().__init__(
                lambda: begin(checkpoint),
                identity=checkpoint.identity,
                sampling=defaults(checkpoint.model.generation_config.to_dict()),
                batch=batch,
                caution=None if checkpoint.tokenizer.chat_template else UNTEMPLATED,
            )
