"""Checks a paper's claims on one run: what was measured, its interval, and the verdict.

Claims are data: `claims/*.yaml` in the catalogue, or the user's own file. The verdicts:

- supported or contradicted: the 95 % interval lies on one side of the threshold;
- undecided: it does not, or there are fewer than `FEWEST` questions, or p of a difference is at
  least `ALPHA`. The finding says how many more questions would decide (5 % two-sided, power 80 %)
  if the observed figure is the true one;
- not measured: the run lacks the methods that the claim is about.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import isnan
from pathlib import Path

from cat_bench.report import claim_tests
from cat_bench.report.cells import as_cell, as_table
from cat_bench.report.claim_lists import Claim, Claims, claim_list_names, read_claims
from cat_bench.report.claim_parts import ALPHA, FEWEST, Part, Verdict
from cat_bench.report.compute import equal_tokens
from cat_bench.report.forensics import NOBODY, figures_of
from cat_bench.report.readability import explain_withheld
from cat_bench.report.rounding import format_measured, p_value, percent
from cat_bench.report.summary import MAJORITY
from cat_bench.report.values import Values, read_values
from cat_bench.runs.labels import is_unlabelled, refuse_unlabelled
from cat_bench.runs.tables import RunTables
from cat_bench.stats.intervals import Difference, Interval, equivalence_needed, questions_needed
from cat_bench.system.files import write_atomic

__all__ = ["Claim", "Claims", "Finding", "applicable", "check", "checklist"]
__all__ += ["claim_list_names", "read_claims", "render", "write"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of testing one claim on a run.

    `value`, `low` and `high` are the figure and its 95 % interval, shares or differences of scores;
    `measured` says it in words. `more` is how many more questions would decide.
    """

    id: str
    says: str
    verdict: Verdict
    measured: str
    published: str | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    more: int | None = None


def applicable(run: RunTables | Path) -> list[str]:
    """Return the names of the lists of claims about a method that this run measured."""
    run = RunTables.of(run)
    if is_unlabelled(run.record):
        return []
    values, _ = read_values(run)
    lists = {name: read_claims(name) for name in claim_list_names()}
    return [
        name for name, claims in lists.items() if claims.in_runs and values.budgets(claims.method)
    ]


def check(run: RunTables | Path, claims: Claims) -> list[Finding]:
    """Return each claim's finding in this run, in order.

    Raises DataError, and UsageError for a run without labels.
    """
    run = RunTables.of(run)
    refuse_unlabelled(run.record, what="a claim", some=False)
    checked = _Run(run, claims.method)
    return [checked.test_claim(claim) for claim in claims.claims]


def render(claims: Claims, findings: Sequence[Finding]) -> str:
    """Return the checklist as Markdown."""
    columns: dict[str, list[str]] = {
        "claim": [as_cell(finding.says) for finding in findings],
        "verdict": [f"**{finding.verdict}**" for finding in findings],
        "measured": [as_cell(_describe_more(finding)) for finding in findings],
        "published": [as_cell(finding.published or "") for finding in findings],
    }
    head = f"# Claims: {as_cell(claims.title)} ({as_cell(claims.source)})"
    note = (
        "Figures have 95 % intervals over questions. The verdict follows from the interval, but it "
        "is undecided if p of a difference is 0.05 or more. *More questions*: the number that "
        "would decide if the observed figure is the true one (power 80 %)."
    )
    return f"{head}\n\n{as_table(columns, left=tuple(columns))}\n\n{note}\n"


def checklist(claims: Claims, findings: Sequence[Finding]) -> str:
    """Return the checklist for a terminal: a line per claim."""
    width = max(len(finding.verdict) for finding in findings)
    lines = [f"{f.verdict:{width}}  {f.says}: {_describe_more(f)}" for f in findings]
    return "\n".join([f"Claims of {claims.title} ({claims.source})", *lines])


def write(run: RunTables | Path, claims: Claims) -> list[Finding]:
    """Check the claims, and put `claims.md` and `claims.json` into the run's folder."""
    run = RunTables.of(run)
    folder, findings = run.folder, check(run, claims)
    head = {"title": claims.title, "source": claims.source, "method": claims.method}
    entries = {**head, "findings": [asdict(finding) for finding in findings]}
    text = json.dumps(entries, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomic(folder / "claims.json", text.encode())
    write_atomic(folder / "claims.md", render(claims, findings).encode())
    return findings


class _Run:
    """One run, for tests of claims about one method."""

    def __init__(self, tables: RunTables, method: str) -> None:
        self.tables, self.method = tables, method
        self.values: Values = read_values(tables)[0]
        entries = tables.record["methods"]
        self.reasons = {entry["name"]: entry.get("reason") for entry in entries}
        self.n = max(self.values.budgets(method), default=0)

    def test_claim(self, claim: Claim) -> Finding:
        if claim.n and claim.n != self.n and claim.n in self.values.budgets(self.method):
            at = copy(self)
            at.n = claim.n
            return at.test_claim(claim)
        tests = {
            "above": self._above,
            "more": self._more,
            "disagreement": self._disagreement,
            "recovery": self._recovery,
            "equal": self._equal,
            "equal_tokens": self._equal_tokens,
            "saves": self._saves,
            "outgrows": self._outgrows,
            "outweighs": self._outweighs,
            "reorders": self._reorders,
            "power_law": self._power_law,
        }
        empty = Finding(claim.id, claim.says, "not measured", "", claim.published)
        absent = "" if self.values.budgets(self.method) else self._explain_absent([self.method])
        concerned = {self.method, *self._find_present(claim.against)}
        if reason := absent or explain_withheld(self.tables.record, concerned):
            return replace(empty, measured=reason)
        parts = list(tests[claim.test](claim))
        figures = [part for part in parts if isinstance(part, Part) and not isnan(part.value)]
        if figures:
            return _combine(empty, figures)
        why = "; ".join(part for part in parts if isinstance(part, str))
        unscored = (
            "no question was scored on both sides" if parts else self._explain_absent(claim.against)
        )
        return replace(empty, measured=why or unscored)

    def _above(self, claim: Claim) -> Iterator[Part | str]:
        for other in self._find_present(claim.against):
            budgets = self.values.budgets(other)
            n = self.n if self.n in budgets else max(budgets)
            difference = self.values.difference((self.method, self.n), (other, n))
            at = f"n = {self.n}" if n == self.n else f"n = {self.n} against {n}"
            yield _difference(f"vs {other}, {at}", difference)

    def _more(self, claim: Claim) -> Iterator[Part | str]:
        budgets = self.values.budgets(self.method)
        if len(budgets) < 2:
            yield f"{self.method} was run at one n only"
            return
        steps = {
            n: self.values.difference((self.method, n), (self.method, before))
            for before, n in pairwise(budgets)
        }
        gains = [
            str(n) for n, step in steps.items() if _difference("", step).verdict == "supported"
        ]
        helps = f"steps that help: to n = {', '.join(gains)}" if gains else "no step is settled"
        gain = self.values.difference((self.method, budgets[-1]), (self.method, budgets[0]))
        yield _difference(f"from n = {budgets[0]} to {budgets[-1]}; {helps}", gain)

    def _disagreement(self, claim: Claim) -> Iterator[Part | str]:
        figures = figures_of(self.tables, self.method, self.n)
        right = figures.get("disagrees: right")
        if right is None or not right.n:
            yield "it always gives one of the most common answers" if figures else _NO_ANSWERS
            return
        rate, in_part = figures["disagrees"], figures["disagrees in part"]
        names = "disagrees: majority right", "disagrees in part: right"
        majority, part = (f"{percent(figures[name].mean)} %" for name in names)
        needed = questions_needed(right.mean - claim.least, right.se, rate.n)
        yield Part(
            f"another answer on {_share(rate)}: right on {_share(right)} of these, majority on "
            f"{majority}; ties counted in part: {percent(in_part.mean)} %, right on {part}",
            *(right.mean, right.low, right.high, claim.least),
            needed=needed,
            questions=rate.n,
        )

    def _recovery(self, claim: Claim) -> Iterator[Part | str]:
        figures = figures_of(self.tables, self.method, self.n)
        if not figures or not figures[NOBODY].mean:
            yield "every draw has a right rollout" if figures else _NO_ANSWERS
            return
        right = figures[f"{NOBODY}, right"]
        words = f"{_share(right)} of all draws; "
        words += f"{percent(figures['recovers'].mean)} % of draws without a right rollout"
        yield Part(words, right.mean, right.low, right.high, questions=right.n)

    def _equal(self, claim: Claim) -> Iterator[Part | str]:
        """Test twice, one-sided: scores are equal if the 90 % interval lies within the margin."""
        for other in self._find_present(claim.against):
            keys = (self.method, self.n), (other, self.n)
            if keys[1] not in self.values.columns:
                yield f"{other} was not run at n = {self.n}"
                continue
            wide, narrow = (self.values.difference(*keys, level=level) for level in (0.95, 0.9))
            part = _difference(f"vs {other}, n = {self.n}, margin ±{100 * claim.margin:g}", wide)
            enough = wide.n >= FEWEST and not wide.flag
            inside = enough and -claim.margin < narrow.low and narrow.high < claim.margin
            outside = enough and (wide.low > claim.margin or wide.high < -claim.margin)
            needed = equivalence_needed(wide.mean, wide.se, wide.n, margin=claim.margin)
            decided: Verdict = "supported" if inside else "contradicted" if outside else "undecided"
            yield replace(part, needed=needed, decided=decided)

    def _equal_tokens(self, claim: Claim) -> Iterator[Part | str]:
        for other in self._find_present(claim.against):
            matches = equal_tokens(self.tables, self.method, reference=other, axis=claim.axis)
            reached = {n: match for n, match in matches.items() if match is not None}
            if (n := max(reached, default=-1)) >= 0:
                yield _difference(
                    f"vs {other} at the {claim.axis} of {self.method}@{n}", reached[n]
                )
                continue
            reason = (
                f"{other} has no n with as many {claim.axis} as {self.method} (or they are unknown)"
            )
            yield f"{reason}: enlarge --pool"

    def _saves(self, claim: Claim) -> Iterator[Part | str]:
        for other in self._find_present(claim.against):
            keys = (self.method, self.n), (other, self.n)
            yield claim_tests.measure_saving(self.tables, *keys, cost=claim.cost, least=claim.least)

    def _outgrows(self, claim: Claim) -> Iterator[Part | str]:
        for other in self._find_present(claim.against):
            keys = (self.method, self.n), (other, self.n)
            difference = claim_tests.compare_gains(self.values, *keys, since=claim.since)
            words = f"more gained than by {other} from n = {claim.since} to {self.n}"
            yield difference if isinstance(difference, str) else _difference(words, difference)

    def _outweighs(self, claim: Claim) -> Iterator[Part | str]:
        for other in self._find_present(claim.against):
            keys = [(name, self.n) for name in (self.method, other, MAJORITY)]
            difference = claim_tests.compare_distances(self.values, *keys)
            words = f"farther from {MAJORITY} than {other}, n = {self.n}"
            yield difference if isinstance(difference, str) else _difference(words, difference)

    def _reorders(self, claim: Claim) -> Iterator[Part | str]:
        names = [self.method, *self._find_present(claim.against)]
        return claim_tests.correlate_costs(self.tables, [(name, self.n) for name in names])

    def _power_law(self, claim: Claim) -> Iterator[Part | str]:
        return claim_tests.measure_power_law(self.values, self.method, margin=claim.margin)

    def _find_present(self, wanted: Sequence[str]) -> list[str]:
        methods = dict.fromkeys(str(key[0]) for key in self.values.columns)
        return claim_tests.find_named(list(methods), wanted)

    def _explain_absent(self, wanted: Sequence[str]) -> str:
        reasons = (f"{m}: {self.reasons.get(m) or 'not in this run'}" for m in wanted)
        return "; ".join(reasons)


_NO_ANSWERS = "no draw has answers that can be compared and scored as right or wrong"


def _combine(empty: Finding, parts: Sequence[Part]) -> Finding:
    """Combine figures into one finding: supported if all are, contradicted if one is."""
    order: tuple[Verdict, ...] = ("contradicted", "undecided", "supported")
    verdict = min((part.verdict for part in parts), key=order.index)
    weakest = min(parts, key=lambda p: (order.index(p.verdict), p.low - p.threshold))
    missing = [part.more for part in parts if part.more is not None]
    return replace(
        empty,
        verdict=verdict,
        measured="; ".join(part.words for part in parts),
        value=weakest.value,
        low=None if isnan(weakest.low) else weakest.low,
        high=None if isnan(weakest.high) else weakest.high,
        more=max(missing) if missing and verdict == "undecided" else None,
    )


def _difference(words: str, measured: Difference) -> Part:
    figure = format_measured(measured.mean, measured.low, measured.high, sign="+")
    doubt = measured.p >= ALPHA and (measured.low > 0 or measured.high < 0)
    p = f", p = {p_value(measured.p)}" if doubt else ""
    flag = f"; {measured.flag}" if measured.flag else ""
    return Part(
        f"{figure} points {words}{p}{flag}",
        *(measured.mean, measured.low, measured.high),
        needed=measured.needed,
        questions=measured.n,
        p=measured.p,
        flag=measured.flag,
    )


def _share(rate: Interval) -> str:
    if isnan(rate.low):
        return "unknown" if isnan(rate.mean) else f"{percent(rate.mean)} %, without an interval,"
    return f"{percent(rate.mean)} % [{percent(rate.low)}, {percent(rate.high)}]"


def _describe_more(finding: Finding) -> str:
    more = f"; {finding.more:,} more question{'s' * (finding.more > 1)}" if finding.more else ""
    return finding.measured + more
