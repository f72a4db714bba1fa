"""Results as bytes: JSON and raw float arrays, never pickle.

Every text is preserved: JSON escapes NUL, and lone surrogates pass through UTF-8 unchanged, so any
database can hold the bytes. Arrays are little-endian float32; the arrays of `measures` are base64.
Only long texts are compressed (to a third): compressing the arrays would save an eighth of their
size and take more time than everything else here.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from cat_bench.system.json_parts import parse_json
from cat_bench.types.calls import JSON, Failure, FloatArray, Reply, Result, Usage, flaw_of

COMPRESSED_FROM = 2048
"""Texts of at least this many bytes are compressed."""
UNPACKED = 1 << 28
"""The most bytes that a stored text may unpack to."""
_FLOAT = np.dtype("<f4")
_UNCOUNTED = Usage()
_TEXTS = ("reasoning", "finish", "served_by", "seed")
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Stored:
    """A result as stored in the database; a missing array is None, not empty."""

    body: bytes
    logprobs: bytes | None
    entropies: bytes | None

    def digest(self, key: str, slot: int) -> str:
        """Return the digest for `verify`; it covers the place, so that rows cannot be swapped."""
        digest = blake2b(f"{key} {slot} ".encode(), digest_size=16)
        for part in (self.body, self.logprobs, self.entropies):
            if part is None:
                digest.update(b"-")
            else:
                digest.update(b"%d:" % len(part))
                digest.update(part)
        return digest.hexdigest()


def dump(result: Result) -> Stored:
    """Return the bytes of one result."""
    if isinstance(result, Failure):
        return Stored(pack({"failure": [result.kind, result.message]}), None, None)
    body: dict[str, JSON] = {"text": result.text}
    for name in _TEXTS:
        if (value := getattr(result, name)) is not None:
            body[name] = value
    usage = result.usage
    if usage != _UNCOUNTED:
        body["usage"] = [usage.prompt, usage.completion, usage.reasoning]
    if result.scores:
        body["scores"] = {name: float(score) for name, score in result.scores.items()}
    if result.unsent:
        body["unsent"] = list(result.unsent)
    if result.measures:
        coded = ((name, b64encode(_bytes(array))) for name, array in result.measures.items())
        body["measures"] = {name: code.decode() for name, code in coded}
    return Stored(pack(body), _floats(result.token_logprobs), _floats(result.token_entropies))


def load(stored: Stored) -> Result:
    """Return the result in these bytes. Raises ValueError if they are not a result."""
    try:
        result = _load(stored)
    except (AttributeError, KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    flaw = flaw_of(result) if isinstance(result, Reply) else None
    if flaw:
        raise ValueError(flaw)
    return result


def _load(stored: Stored) -> Result:
    body = unpack(stored.body)
    if "failure" in body:
        kind, message = body["failure"]
        return Failure(str(kind), str(message), permanent=True)
    if "measures" in body:
        coded = body["measures"].items()
        body["measures"] = {n: _array(b64decode(code, validate=True)) for n, code in coded}
    if "unsent" in body:
        body["unsent"] = tuple(body["unsent"])
    if "usage" in body:
        body["usage"] = Usage(*body["usage"])
    logprobs, entropies = _array(stored.logprobs), _array(stored.entropies)
    return Reply(**body, token_logprobs=logprobs, token_entropies=entropies)


def pack(value: Mapping[str, JSON] | JSON) -> bytes:
    """Return a value as JSON bytes, compressed if they are long."""
    return pack_text(_encode(value))


def pack_text(text: str) -> bytes:
    """Return JSON text as bytes, compressed if long; a zlib stream never starts like JSON."""
    raw = text.encode("utf-8", "surrogatepass")
    return raw if len(raw) < COMPRESSED_FROM else zlib.compress(raw, 1)


def unpack(data: bytes) -> JSON:
    """Return the JSON value in these bytes. Raises ValueError if they are not JSON."""
    return parse_json(unpack_text(data))


def unpack_text(data: bytes) -> str:
    """Return the JSON text in these bytes. Raises ValueError if they cannot be decoded."""
    raw = bytes(data)  # raises TypeError if the database holds another type
    if raw[:1] == b"x":
        raw = _inflated(raw)
    return raw.decode("utf-8", "surrogatepass")


def _inflated(packed: bytes) -> bytes:
    """Return what a zlib stream holds. Raises ValueError if it is broken or too large."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(packed, UNPACKED)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not stream.eof:
        cut = "is cut off" if len(raw) < UNPACKED else f"unpacks to more than {UNPACKED:,} bytes"
        raise ValueError(f"a compressed text {cut}")
    return raw


def _floats(array: FloatArray | None) -> bytes | None:
    return None if array is None else _bytes(array)


def _bytes(array: FloatArray) -> bytes:
    return np.asarray(array, _FLOAT).tobytes()


def _array(data: bytes | None) -> FloatArray | None:
    return None if data is None else np.frombuffer(data, _FLOAT)
