"""Compare a trained model's rubrics and verdicts with the exact parser.

An answer's score is the share of its advice that is right. Eight drafts are sampled at temperature
1, all other replies are greedy.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from cat_bench.bundled.counsel.answers import Answer
from cat_bench.bundled.counsel.journeys import Journey
from cat_bench.rewards.rubric import Proposal
from cat_bench.scorers.rubric import read_reply, read_verdict
from cat_bench.stats.intervals import mean_interval
from cat_bench.types.calls import JSON, FloatArray
from tools.counsel.rows import Counsel
from tools.tally.sampling import complete
from tools.tally.teaching import MOST_DRAFTS


class Panel:
    """The measured model, and its drafts for some journeys."""

    def __init__(self, folder: Path, asked: Sequence[Journey]) -> None:
        self._model = Qwen3ForCausalLM.from_pretrained(folder)
        self._tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self._subject = Counsel()
        self.asked = asked
        questions: list[dict[str, JSON]] = [{"problem": journey.text} for journey in asked]
        draws = [self.replies("prompt", questions, temperature=1.0) for _ in range(MOST_DRAFTS)]
        self.drafts = [list(drafts) for drafts in zip(*draws, strict=True)]
        self.greedy = self.replies("prompt", questions)

    def replies(
        self, role: str, shown: Sequence[dict[str, JSON]], *, temperature: float = 0.0
    ) -> list[str]:
        """Return one reply to each message of a role."""
        contents = [self._subject.message(role, **values) for values in shown]
        return complete(self._model, self._tokenizer, contents=contents, temperature=temperature)

    def combine(self, role: str, n: int) -> list[str]:
        """Return the model's synthesis of the first n drafts of each journey."""
        shown: list[dict[str, JSON]] = [
            {"question": journey.text, "drafts": drafts[:n]}
            for journey, drafts in zip(self.asked, self.drafts, strict=True)
        ]
        return self.replies(role, shown)


def score(journey: Journey, text: str) -> float:
    """Return the share of the advice that is right."""
    things = Answer.parse(text).things
    return float(np.mean([things.get(point.topic) == point.right for point in journey.points]))


def scores(asked: Sequence[Journey], texts: Sequence[str]) -> FloatArray:
    """Return each journey's score of its text, shape (journeys,)."""
    return np.array([score(journey, text) for journey, text in zip(asked, texts, strict=True)])


def assess_rewards(panel: Panel) -> dict[str, FloatArray]:
    """Return the accuracy of the model's rubrics and verdicts, and of the rewards they make.

    ``rubric reward`` is the mean rank correlation of reward and score within a group of drafts,
    over the groups where both vary; the reference is the synthesis of the same drafts.
    """
    references = panel.combine("synthesis", MOST_DRAFTS)
    replies = panel.replies("criteria", [{"response": text} for text in references])
    rubrics = [read_reply(Proposal, reply) for reply in replies]
    table: dict[str, list[float]] = {
        "rubric valid": [float(rubric is not None) for rubric in rubrics],
        "criteria per rubric": [],
        "criteria true of reference": [],
        "criteria true": [],
        "verdict right": [],
        "verdict right where met": [],
        "verdict right where not": [],
        "rubric reward": [],
    }
    for journey, drafts, reference, rubric in zip(
        panel.asked, panel.drafts, references, rubrics, strict=True
    ):
        if rubric is None:
            continue
        claims = rubric.distinct
        best = Answer.parse("\n".join(f"For {p.topic}: {p.right}" for p in journey.points))
        table["criteria per rubric"].append(len(claims))
        table["criteria true of reference"].append(_share(Answer.parse(reference), claims))
        table["criteria true"].append(_share(best, claims))
        verdicts = _verdicts(panel, drafts, claims)
        truth = np.array([[_met(Answer.parse(text), claim) for claim in claims] for text in drafts])
        table["verdict right"].append(float((verdicts == truth).mean()))
        table["verdict right where met"].extend(map(float, verdicts[truth]))
        table["verdict right where not"].extend(map(float, ~verdicts[~truth]))
        rewards, gold = verdicts.mean(1), np.array([score(journey, text) for text in drafts])
        if np.ptp(rewards) > 0 and np.ptp(gold) > 0:
            table["rubric reward"].append(float(spearmanr(rewards, gold).statistic))
    return {name: np.array(values) for name, values in table.items()}


def _verdicts(panel: Panel, drafts: Sequence[str], claims: Sequence[str]) -> "np.ndarray":
    """Return whether the judge finds each claim met by each draft, shape (drafts, claims)."""
    shown: list[dict[str, JSON]] = [
        {"response": text, "criterion": claim} for text in drafts for claim in claims
    ]
    verdicts = [read_verdict(reply) for reply in panel.replies("rubric", shown)]
    met = [verdict is not None and verdict.met for verdict in verdicts]
    return np.array(met).reshape(len(drafts), -1)


def _share(answer: Answer, claims: Sequence[str]) -> float:
    return float(np.mean([_met(answer, claim) for claim in claims]))


def _met(answer: Answer, claim: str) -> bool:
    try:
        return answer.meets(claim)
    except ValueError:
        return False


def figures(model: Path, asked: Sequence[Journey], *, seed: int) -> Iterator[str]:
    """Yield the lines of the table; draws come from `seed`."""
    torch.manual_seed(seed)
    for name, values in assess_rewards(Panel(model, asked)).items():
        mean = mean_interval(values)
        bounds = f"[{mean.low:6.3f}, {mean.high:6.3f}]"
        yield f"{name:30} {mean.mean:6.3f}  {bounds}  n={len(values)}"
