"""Every method of the catalogue on every kind of task, with a model that obeys its prompt.

The model gives an answer in the form that the prompt asks for, outside of what it quotes, and in no
other: where a method asks for another form than its task reads, it scores 0 here.
docs/tasks-by-methods.csv holds what comes out; UPDATE_DOCS=1 writes it anew.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path

import pandas as pd
import pytest

import cat_bench as cb
from cat_bench.evaluation.questions import UNREADABLE
from cat_bench.loading import catalog
from cat_bench.types.calls import JSON
from tests.conftest import Workshop
from tests.places import ROOT

TABLE = ROOT / "docs" / "tasks-by-methods.csv"
HEAD = ("task", "method", "score", "unreadable", "reason")
KEYS = ("alpha", "beta", "gamma")
"""Each question has one of these words in it, and so has each response."""
WRITERS = {
    *("cat", "cat-1", "cat-answers", "cat-question-aware", "cat-summaries", "agreement-gate"),
    *("agglm", "pacore", "a2r", "mixture", "rsa"),
}
"""What writes a response from others. All of them ask for the task's form."""
LACKING = {"logprobs", "certainties", "confidences", "scoring", "scores"}
"""What a scripted model cannot give."""
STOPPING = "pandora"
"""Stops by a number that takes a call for each rollout here: it has a row that says so."""
MODEL = '''\
"""Gives what its prompt asks for, in that form; right in 4 of 5, and always from drafts."""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
KNOWN = json.loads((HERE / "known.json").read_text())
QUOTED = re.compile(r"<(draft|candidate|problem|response|conversation)\\b.*?</\\1>", re.DOTALL)


def key_of(text):
    """The question that a text is about, by its word; else by an answer to it."""
    by_answer = (k for k, answers in KNOWN.items() if any(a in text for a in answers))
    return next((key for key in KNOWN if key in text), None) or next(by_answer)


def right(text):
    """Whether a quoted text has the right answer and not the wrong one."""
    yes, no = KNOWN[key_of(text)]
    return re.search(rf"{re.escape(no)}(?!\\w)", text) is None


def form(asked, answer):
    """The answer as the prompt asks for it; in passing where it asks for nothing."""
    if line := re.search(r'a line "([^"]+)"', asked):
        return f"\\n{line[1]}{answer}"
    if "\\\\boxed" in asked:
        return rf"\\boxed{{{answer}}}"
    return f"it may be {answer}, I think"


def reply(request, seed):
    prompt = "\\n\\n".join(message["content"] for message in request.messages)
    with (HERE / "asked.jsonl").open("a") as file:
        file.write(json.dumps(prompt) + "\\n")
    asked = QUOTED.sub("", prompt)
    good = [right(c) for c in re.findall(r"<candidate.*?</candidate>", prompt, re.DOTALL)]
    if "one JSON object" in asked:
        response = re.search(r"<response>.*?</response>", prompt, re.DOTALL)[0]
        return json.dumps({"explanation": "looked", "met": right(response)})
    if "both ratings" in asked:
        return "\\\\boxed{%d, %d}" % tuple(9 if each else 2 for each in good)
    if good:
        return "\\\\boxed{%d}" % (good.index(True) + 1 if any(good) else 1)
    if "scale from 0" in asked:
        response = re.search(r"<response>.*?</response>", prompt, re.DOTALL)[0]
        return "\\\\boxed{%d}" % (9 if right(response) else 2)
    if "Summarise it" in asked:
        return re.search(r"<draft.*?>(.*?)</draft>", prompt, re.DOTALL)[1].strip()
    key = key_of(prompt)
    wrong = seed % 5 == 0 and "<draft" not in prompt
    given = f"On {key}: " + form(asked, KNOWN[key][wrong])
    return f"# UNIFIED RESPONSE\\n{given}" if "# UNIFIED RESPONSE" in asked else given


def reward(messages, response):
    marks = [float(right(r)) for r in ([response] if isinstance(response, str) else response)]
    return marks[0] if isinstance(response, str) else marks
'''
ANSWERS: dict[str, tuple[tuple[str, str], ...]] = {
    "boxed": (("12", "21"), ("2.5", "5.2"), ("\\frac{7}{9}", "\\frac{9}{7}")),
    "pattern": (("12", "21"), ("34", "43"), ("56", "65")),
    "choice": (("B", "C"), ("A", "D"), ("D", "B")),
    "words": (("Lima", "Mali"), ("Oslo", "Solo"), ("Paris", "Pairs")),
    "numbers": (("12.5", "21.5"), ("3,000", "300"), ("56 km", "65 km")),
    "rubric": (("aspirin", "coffee"), ("water", "wine"), ("sleep", "sugar")),
    "lm-eval": (("12", "21"), ("34", "43"), ("56", "65")),
}
SCORERS = {
    "boxed": "scorer: math_equal",
    "pattern": "scorer: math_equal\nwith: {pattern: 'Result: (.*)'}",
    "choice": "scorer: choice",
    "words": "scorer: text_equal",
    "numbers": "scorer: number\nwith: {absolute: 0.05}",
    "rubric": "scorer: rubric",
}
CLOSINGS = {
    "boxed": "\\boxed{}",
    "pattern": 'a line "Result: "',
    "choice": "the letter of the option",
    "words": 'a line "Answer: " and the final answer alone',
    "numbers": 'a line "Answer: " and the final number alone',
    "lm-eval": 'a line "#### "',
}
LM_EVAL = """\
task: toy
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
output_type: generate_until
test_split: test
doc_to_text: "{{problem}} End with a line \\"#### \\" and the final answer."
doc_to_target: "{{answer}}"
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
generation_kwargs: {until: ["</s>"]}
filter_list:
  - {name: strict, filter: [{function: regex, regex_pattern: "#### (.*)"}, {function: take_first}]}
"""


def written(kind: str, folder: Path) -> str:
    """Write the task and what the model knows of it; return the task's name."""
    known = dict(zip(KEYS, ANSWERS[kind], strict=True))
    (folder / "known.json").write_text(json.dumps(known))
    (folder / "obeys.py").write_text(MODEL)
    rows: list[JSON] = []
    for key, (right, _) in known.items():
        row: dict[str, JSON] = {"problem": f"What of {key}?", "answer": right}
        if kind == "choice":
            row["options"] = {label: f"the {label.lower() * 4}" for label in "ABCD"}
        if kind == "rubric":
            row["answer"] = [{"criterion": f"is right on {key}", "points": 5}]
        rows.append(row)
    task = folder / "task"
    task.mkdir()
    (task / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if kind == "lm-eval":
        (task / "toy.yaml").write_text(LM_EVAL.replace("FILE", str(task / "rows.jsonl")))
        return f"lm-eval:toy{{include_path={task}}}"
    fields = "problem: problem" + (", options: options" if kind == "choice" else "")
    (task / "task.yaml").write_text(
        f"version: 1\nsummary: {kind}\n{SCORERS[kind]}\n"
        f"data: {{file: rows.jsonl, fields: {{{fields}}}}}\n"
    )
    asks = "" if kind == "rubric" else " End with {{ closing }}."
    (task / "prompt.txt").write_text("{{ problem }}" + asks)
    return "./task"


@pytest.mark.parametrize("kind", ANSWERS)
def test_no_method_is_at_0_or_unreadable(kind: str, workshop: Workshop) -> None:
    if kind == "lm-eval":
        pytest.importorskip("lm_eval")
        workshop.monkeypatch.setenv("HF_HOME", str(workshop.folder / "hf"))
    methods = catalog.method_names()
    run = cb.run(
        written(kind, workshop.folder),
        model="scripted:./obeys.py:reply",
        judge="scripted:./obeys.py:reply",
        reward_model="scripted:./obeys.py:reward",
        methods=methods,
        n=[4],
        pool=4,
        draws=1,
        progress=False,
    )
    table = run.table.set_index("method")
    assert set(methods) <= set(table.index)
    served = table.loc[methods][table.loc[methods, "score"].notna()]
    for name in set(methods) - set(served.index):
        needs = set(catalog.method(name).needs)
        assert len(str(table["reason"][name])) > len("nan")
        free = kind == "rubric" and "answers" in needs
        assert needs & LACKING or free or name == STOPPING, name
    writers = WRITERS - ({"cat-answers", "agreement-gate"} if kind == "rubric" else set())
    assert writers <= set(served.index)
    assert served["score"].min() > 0, served["score"].sort_values().head()
    assert served["score"][[*(writers - {"agreement-gate"})]].min() == 1
    shares = [entry["share"] for entry in run.tables.record.get("unreadable", ())]
    assert max(shares, default=0) <= UNREADABLE
    compare_with_the_table(kind, table.loc[methods], run.tables.record)
    asked_for_the_form(kind, workshop.folder / "asked.jsonl")


def compare_with_the_table(kind: str, table: pd.DataFrame, record: JSON) -> None:
    """Whether the published table has this task's rows; with UPDATE_DOCS, write them there."""
    shares = {entry["method"]: entry["share"] for entry in record.get("unreadable", ())}
    own = [
        (kind, str(name), f"{row['score']:.3f}", f"{shares.get(name, 0):.3f}", "")
        if pd.notna(row["score"])
        else (kind, str(name), "", "", str(row["reason"]))
        for name, row in table.iterrows()
    ]
    lines = TABLE.read_text(encoding="utf-8").splitlines() if TABLE.exists() else []
    there = list(csv.reader(lines))[1:]
    if os.environ.get("UPDATE_DOCS"):
        text = io.StringIO()
        kept = [row for row in there if row[0] != kind]
        rows = sorted([*kept, *own], key=lambda row: ([*ANSWERS].index(row[0]), row[1]))
        csv.writer(text, lineterminator="\n").writerows([HEAD, *rows])
        TABLE.write_text(text.getvalue(), encoding="utf-8")
    else:
        assert [tuple(row) for row in there if row[0] == kind] == own


def asked_for_the_form(kind: str, asked: Path) -> None:
    """Whether every prompt that wants a response, and no other, has the task's closing."""
    prompts = [json.loads(line) for line in asked.read_text().splitlines()]
    outside = [re.sub(r"<(draft|candidate)\b.*?</\1>", "", each, flags=re.S) for each in prompts]
    writing = [each for each, p in zip(outside, prompts, strict=True) if "<draft " in p]
    writing = [each for each in writing if "Summarise it" not in each]
    assert len(writing) > 10
    for each in writing:
        assert CLOSINGS.get(kind, "") in each
        if kind != "boxed":
            assert "\\boxed" not in each
