"""Best-of-∞'s files `analysis_DATASET_MODEL.jsonl`: an answer and its tokens for each sample.

Source: arXiv 2509.21091 and its repository. The texts of questions and samples are published
elsewhere, so a question has a placeholder and a response is its answer in a box. A sample without
an answer is an empty response: it costs its tokens, and does not vote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from cat_bench.cache.formats.samples import Findings, Format, Sampled, read_files, take
from cat_bench.errors import DataError

_USED = ("problem_num", "gold_answer", "all_answers")


def _read(files: Sequence[Path], findings: Findings) -> Iterator[Sampled]:
    findings.texts, findings.placeholders = False, True
    findings.taken = {
        "id": "problem_num",
        "answer": "gold_answer",
        "responses": r"all_answers[*][0], in \boxed{}",
        "usage": "all_answers[*][1]",
    }
    findings.guess("problem: a placeholder, because the texts are not published with the answers")
    for file, line, row in read_files(files, findings, _USED):
        name = file.name.partition(".")[0].removeprefix("analysis_")
        dataset, _, model = name.rpartition("_")
        if dataset:
            findings.model = model
            findings.guess(f"the data set {dataset} and the model {model}, from the file's name")
        place = take(row, "problem_num", (int, str), file)
        gold = str(take(row, "gold_answer", (int, str), file))
        for entry in take(row, "all_answers", list, file):
            answer, tokens = entry if isinstance(entry, list) and len(entry) == 2 else (None, None)
            if not isinstance(answer, str | None) or not isinstance(tokens, int):
                problem = f"has {entry!r} among all_answers, not [answer, tokens]"
                raise DataError(file, problem, line=line)
            yield Sampled(
                id=f"{dataset or name}/{place}",
                problem=f"{dataset or name} problem {place} (text not published with the pool)",
                answer=gold,
                text=f"\\boxed{{{answer}}}" if answer else "",
                completion_tokens=tokens,
            )


FORMAT = Format(_read, "Best-of-∞'s analysis_DATASET_MODEL.jsonl", frozenset({"all_answers"}))
