"""The distribution that a token is drawn from: temperature, filters and penalties."""

from __future__ import annotations

from dataclasses import dataclass

from cat_bench.types.calls import Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The parameters of a token's distribution; rows with equal ones can share a batch.

    `temperature` 0 takes the likeliest token. `top_k` 0, `top_p` 1 and `min_p` 0 filter nothing.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    presence: float = 0.0
    frequency: float = 0.0
    repetition: float = 1.0

    def __post_init__(self) -> None:
        ranges = {
            "temperature": (self.temperature >= 0, "at least 0"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "min_p": (0 <= self.min_p <= 1, "between 0 and 1"),
            "repetition_penalty": (self.repetition > 0, "above 0"),
        }
        for name, (holds, limits) in ranges.items():
            if not holds:
                raise ValueError(f"{name} must be {limits}")

    @classmethod
    def of(cls, sampling: Sampling) -> Distribution:
        """Convert these parameters; raises ValueError for one that is not supported."""
        extra = dict(sampling.extra or {})
        repetition = extra.pop("repetition_penalty", 1.0)
        if extra:
            raise ValueError(
                f"in-process models do not have the parameter {', '.join(sorted(extra))}"
            )
        return cls(
            temperature=float(_default_to(sampling.temperature, 1.0)),
            top_k=max(0, sampling.top_k or 0),
            top_p=float(_default_to(sampling.top_p, 1.0)),
            min_p=float(sampling.min_p or 0.0),
            presence=float(sampling.presence_penalty or 0.0),
            frequency=float(sampling.frequency_penalty or 0.0),
            repetition=float(repetition),
        )

    @property
    def penalises(self) -> bool:
        """Whether tokens that were written before change the distribution."""
        return (self.presence, self.frequency, self.repetition) != (0.0, 0.0, 1.0)


def _default_to(value: float | None, default: float) -> float:
    return default if value is None else value
