"""A pool card: facts about a published pool, in `FILE.card.json` beside it.

A card holds the file's SHA-256, so that a file that was changed, or another's card, is refused.
A fact that the cache does not know (such as a missing licence) is null.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from cat_bench.errors import DataError
from cat_bench.system.files import atomic
from cat_bench.system.json_parts import read_json
from cat_bench.system.rows import file_digest, read
from cat_bench.types.calls import JSON

FORMAT = "cat_bench pool card 1"
_FIELDS = ("model", "sampling", "engine", "prompt_digest", "licence", "questions", "responses")


def card_of(file: Path) -> Path:
    """Return where a pool's card is."""
    return file.with_name(f"{file.name}.card.json")


def write_card(
    file: Path, *, task: str | None = None, model: str | None = None, licence: str | None = None
) -> Path:
    """Write the card of a pool that was just written, and return its path.

    Model and sampling are taken from the rows if the rows name them. `prompt_digest` is over every
    question's id and messages, else its text. Raises DataError, UsageError.
    """
    prompts, questions, responses = sha256(), 0, 0
    models, samplings, engines = set[str](), set[str](), set[str]()
    for _, row in read(file):
        questions, responses = questions + 1, responses + len(row["responses"])
        prompt = row.get("messages") or row.get("problem")
        prompts.update(json.dumps([row["id"], prompt], sort_keys=True).encode())
        models.update([row["model"]] if isinstance(row.get("model"), str) else [])
        samplings.update([row["sampling"]] if isinstance(row.get("sampling"), str) else [])
        engines.update(name for name in row.get("served_by") or () if name)
    card = {
        "format": FORMAT,
        "file": file.name,
        "sha256": file_digest(file),
        "task": task,
        "model": model or _only(models),
        "model_identity": _only(models),
        "sampling": _only(samplings),
        "engine": sorted(engines) or None,
        "prompt_digest": prompts.hexdigest(),
        "licence": licence,
        "questions": questions,
        "responses": responses,
    }
    place = card_of(file)
    with atomic(place) as draft:
        draft.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return place


def read_card(file: Path) -> Mapping[str, JSON] | None:
    """Return the card beside a pool, or None. Raises DataError if it is not this file's card."""
    place = card_of(file)
    if not place.is_file():
        return None
    try:
        card = read_json(place)
    except (OSError, ValueError) as error:
        raise DataError(place, f"cannot be read as JSON ({error}); fetch it again") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise DataError(place, f"is not a {FORMAT!r}; fetch it again, or remove it")
    if missing := [name for name in _FIELDS if name not in card]:
        raise DataError(place, f"lacks {', '.join(missing)}; fetch it again, or remove it")
    if card.get("sha256") != (digest := file_digest(file)):
        raise DataError(
            file,
            f"has SHA-256 {digest}, and its card {place.name} says {card.get('sha256')}: the file "
            "was changed, or the card is another file's; fetch both again",
        )
    return card


def _only(values: set[str]) -> JSON:
    """Return the one value, decoded where it is JSON; None if there is none or several."""
    if len(values) != 1:
        return None
    (value,) = values
    try:
        return json.loads(value)
    except ValueError:
        return value
