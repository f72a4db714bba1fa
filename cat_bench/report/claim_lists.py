"""Lists of claims: a paper's, in the catalogue's `claims/`, or a YAML of one's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, Field, model_validator

from cat_bench.errors import UnknownName
from cat_bench.loading import catalog
from cat_bench.loading.validation import STRICT, read_yaml, validate
from cat_bench.report.compute import Axis

Test: TypeAlias = Literal[
    "above",
    "more",
    "disagreement",
    "recovery",
    "equal",
    "equal_tokens",
    "saves",
    "outgrows",
    "outweighs",
    "reorders",
    "power_law",
]

ALONE = frozenset({"more", "disagreement", "recovery", "power_law"})
"""The tests that look at the method alone."""


class Claim(BaseModel):
    """One claim: how it is tested, `against` which methods, and what was `published`.

    - `n`: the method's n; by default, its largest;
    - `margin` in (0, 1]: the difference that counts as equal (equal, power_law);
    - `least`: the threshold of a share (disagreement, saves);
    - `axis`: the cost that is held equal (equal_tokens);
    - `cost`: the cost that is saved (saves);
    - `since`: the n from which gains are compared (outgrows).
    """

    model_config = STRICT
    id: str
    says: str
    test: Test
    against: list[str] = []
    published: str | None = None
    least: float = Field(default=0.5, ge=0, le=1)
    margin: float = Field(default=0.02, gt=0, le=1)
    axis: Axis = "tokens"
    n: int | None = Field(default=None, ge=1)
    cost: Literal["calls", "tokens", "sequential_tokens"] = "calls"
    since: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def _check_against(self) -> Self:
        if self.test not in ALONE and not self.against:
            raise ValueError(
                f"test {self.test} compares with other methods: name them in `against`"
            )
        return self


class Claims(BaseModel):
    """The fields of a `claims/*.yaml`: a paper's claims about one `method`.

    Lists that are not `in_runs` are checked only on request, by `cat-bench claims`.
    """

    model_config = STRICT
    title: str
    source: str
    method: str
    in_runs: bool = True
    claims: list[Claim] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        counts = Counter(claim.id for claim in self.claims)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise ValueError(f"two claims have the id {twice[0]!r}: rename one")
        return self


def claim_list_names() -> list[str]:
    """Return the names of the catalogue's lists of claims."""
    return sorted(path.stem for path in (catalog.root() / "claims").glob("*.yaml"))


def read_claims(name: str) -> Claims:
    """Return the claims of a list in the catalogue, or of a YAML by its path.

    Raises UnknownName, ConfigError.
    """
    path = Path(name)
    if path.suffix not in {".yaml", ".yml"}:
        path = catalog.root() / "claims" / f"{name}.yaml"
        if not path.is_file():
            raise UnknownName("list of claims", name, claim_list_names())
    return validate(Claims, read_yaml(path), source=path)
