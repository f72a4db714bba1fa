"""Loading a checkpoint from a folder or the Hub, and identifying it.

torch and transformers are imported lazily, never by `import cat_bench.models.backends`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cat_bench.errors import ModelError, one_line
from cat_bench.models.backends.hf.adapters import CONFIG as ADAPTER
from cat_bench.models.backends.hf.adapters import Adapter, canonical_config
from cat_bench.system.extras import install_command
from cat_bench.types.calls import JSON, Sampling

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

CONTENT = re.compile(
    r".*\.(safetensors|json|jinja|model|tiktoken)|pytorch_model.*\.bin|(merges|vocab)\.txt"
)
"""Weights, configuration, tokenizer, chat template."""
NOT_CONTENT = re.compile(r"trainer_state\.json|.*_results\.json")
HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
"""The form of a Hub name; anything else must be a folder."""


WRITER = "AutoModelForCausalLM"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded model, its tokenizer, and their identity."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: JSON
    served_by: str
    kind: str = WRITER
    """The transformers class that opened it."""

    @classmethod
    def load(
        cls,
        path: str,
        *,
        revision: str | None,
        device: str | None,
        dtype: str,
        kinds: Sequence[str] = (WRITER,),
        base: str | None = None,
    ) -> Checkpoint:
        """Load onto `device`, with the class of `kinds` that saved the checkpoint.

        An adapter is merged into its base model, which `base` may name. Raises ModelError with the
        next step if this fails, or if the checkpoint lacks a weight, which would be random.
        """
        torch, transformers = libraries()
        from safetensors import SafetensorError

        folder = Path(path).expanduser()
        adapter = Adapter.find(folder, base=base)
        if adapter:
            revision = revision or adapter.revision
        source = locate(path, folder, adapter)
        device = device or (_own_gpu(torch) if torch.cuda.is_available() else "cpu")
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ModelError(
                f"torch sees no CUDA device for {path!r}: leave out device={device}, or write "
                "device=cpu"
            )
        if dtype == "auto" and device == "cpu":
            dtype = "float32"
        try:
            with silence(transformers.utils.logging):
                tokenizer = transformers.AutoTokenizer.from_pretrained(
                    folder if adapter and adapter.has_tokenizer else source, revision=revision
                )
                kind = _kind(
                    transformers.AutoConfig.from_pretrained(source, revision=revision), kinds
                )
                model, report = getattr(transformers, kind).from_pretrained(
                    source, revision=revision, dtype=dtype, output_loading_info=True
                )
                _check_whole(source, kind, report["missing_keys"])
                if adapter:
                    model = adapter.merge(model)
            model.to(device).eval()
        except (OSError, ValueError, ImportError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"cannot load {path!r}: {advice(error, source)}") from error
        commit = getattr(model.config, "_commit_hash", None)
        origin = {"name": source, "revision": commit or revision or "main"}
        return cls(
            model=model,
            tokenizer=tokenizer,
            identity=_identify(folder, origin, adapter),
            served_by=f"transformers {transformers.__version__} {device} "
            + str(model.dtype).removeprefix("torch."),
            kind=kind,
        )

    @property
    def ends(self) -> tuple[int, ...]:
        """The ids that end a turn."""
        configured = self.model.generation_config.eos_token_id
        several = configured if isinstance(configured, list) else [configured]
        return tuple({i for i in (*several, self.tokenizer.eos_token_id) if i is not None})

    @property
    def context(self) -> int:
        """The most tokens of prompt and reply together.

        A model whose table of positions has a row for padding, such as RoBERTa, counts from the row
        after it.
        """
        config = self.model.config.get_text_config()
        most = getattr(config, "max_position_embeddings", 0) or self.tokenizer.model_max_length
        for name, module in self.model.named_modules():
            if name.endswith("position_embeddings"):
                padding = getattr(module, "padding_idx", None)
                return int(most) if padding is None else int(most) - padding - 1
        return int(most)


def _identify(folder: Path, origin: JSON, adapter: Adapter | None) -> JSON:
    """Return the identity of what was loaded; `origin` is the Hub's name with its commit."""
    if not folder.is_dir():
        return origin
    identity = folder_identity(folder, base=adapter.base if adapter else None)
    return {"base": origin, **identity} if adapter else identity


def _own_gpu(torch: Any) -> str:
    """Return this process's GPU: the one that LOCAL_RANK names, if a launcher has set it."""
    rank = os.environ.get("LOCAL_RANK")
    return f"cuda:{int(rank) % torch.cuda.device_count()}" if rank else "cuda"


def _kind(config: PretrainedConfig, kinds: Sequence[str]) -> str:
    """Return the class that made the checkpoint, else the first."""
    classes = tuple(config.architectures or ())
    ends = {kind.removeprefix("AutoModel"): kind for kind in kinds}
    return next(
        (kind for end, kind in ends.items() if any(m.endswith(end) for m in classes)), kinds[0]
    )


def _check_whole(path: str, kind: str, missing: Collection[str]) -> None:
    if missing:
        names = ", ".join(sorted(missing)[:3])
        raise ModelError(
            f"{path!r} lacks the weights {names}, which would be random: it is no checkpoint for "
            f"{kind.removeprefix('AutoModelFor')}; name one that is"
        )


def libraries() -> tuple[Any, Any]:
    """Return the modules torch and transformers; raises ModelError where they are not installed."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ModelError(
            f"in-process models need torch and transformers ({error}): {install_command('hf')}"
        ) from error
    return torch, transformers


@contextmanager
def silence(logging: Any) -> Iterator[None]:
    """Switch off transformers' progress bars."""
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def locate(path: str, folder: Path, adapter: Adapter | None = None) -> str:
    """Return the folder, or the possible Hub name, that transformers should open.

    With the `adapter` in that folder, this is the adapter's base model. Raises ModelError if there
    is an adapter where a model is needed.
    """
    if adapter:
        base = Path(adapter.base).expanduser()
        if not base.is_dir() and not HUB_ID.fullmatch(adapter.base):
            raise ModelError(
                f"the base model of the adapter {folder} is not at {base}: say where it is, "
                f"hf:{folder}{{base=PATH}}"
            )
        return locate(adapter.base, base)
    if folder.is_dir():
        if (folder / ADAPTER).is_file():
            raise ModelError(
                f"{folder} holds a LoRA adapter, and a whole model is needed here: load it as "
                f"hf:{folder} in a role that writes, or merge it with its base by peft "
                "(merge_and_unload) and save the result with save_pretrained"
            )
        if not (folder / "config.json").is_file():
            raise ModelError(
                f"{folder} holds no config.json: save a model there with save_pretrained, "
                "or name the folder of one checkpoint"
            )
        return str(folder)
    if not HUB_ID.fullmatch(path):
        raise ModelError(f"there is no folder {folder}; check the path")
    return path


def advice(error: Exception, source: str) -> str:
    """Return an error of transformers in one line, with the next step if known."""
    problem = one_line(error)
    if isinstance(error, OSError) and not Path(source).is_dir():
        return (
            f"no folder has that name, and it cannot be loaded from the Hub ({problem}). Check the "
            f"name. Without network, run `hf download {source}` on a machine that has one, or name "
            "a folder. With HF_HUB_OFFLINE set, only downloaded models are found"
        )
    return problem


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 over names and contents of the files that define the model.

    The folder's name, the place of an adapter's base, and the files that a training run leaves
    beside the model do not count.
    """
    hasher = sha256()
    for file in sorted(folder.iterdir()):
        if CONTENT.fullmatch(file.name) and not NOT_CONTENT.fullmatch(file.name):
            if file.name == ADAPTER:
                digest = sha256(canonical_config(folder)).hexdigest()
            else:
                with file.open("rb") as opened:
                    digest = file_digest(opened, "sha256").hexdigest()
            hasher.update(f"{file.name}\0{digest}\n".encode())
    return hasher.hexdigest()


def folder_identity(folder: Path, *, base: str | None = None) -> dict[str, JSON]:
    """Return a folder's digest, and for an adapter also its base's, if that is a folder."""
    identity: dict[str, JSON] = {"folder_digest": folder_digest(folder)}
    if adapter := Adapter.find(folder, base=base):
        under = Path(adapter.base).expanduser()
        if under.is_dir():
            identity["base"] = {"folder_digest": folder_digest(under)}
    return identity


def read_generation(folder: Path) -> dict[str, JSON]:
    """Return the folder's generation configuration, which may be empty.

    Raises ModelError if it is not JSON.
    """
    path = folder / "generation_config.json"
    try:
        config: dict[str, JSON] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ModelError(f"{path} is not JSON ({error}): save the model again") from error
    return config


def defaults(config: Mapping[str, JSON]) -> Sampling:
    """Return the sampling parameters of a generation configuration; missing ones are None."""
    penalty = config.get("repetition_penalty")
    return Sampling(
        temperature=0.0 if config.get("do_sample") is False else config.get("temperature"),
        top_p=config.get("top_p"),
        top_k=config.get("top_k"),
        min_p=config.get("min_p"),
        max_tokens=config.get("max_new_tokens"),
        extra=None if penalty in (None, 1.0) else {"repetition_penalty": penalty},
    )
