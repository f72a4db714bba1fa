"""`cat-bench show`: a task, a method, a run, one question of a run."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.conftest import TOY, Workshop


def test_a_task_and_a_method(workshop: Workshop) -> None:
    _, out, _ = workshop.run("show", "tally", "--json")
    assert json.loads(out)["task"] == "tally"
    _, out, _ = workshop.run("show", "cat", "--json")
    assert json.loads(out).items() >= {"aggregator": "synthesis", "needs": ["anchor"]}.items()
    status, out, _ = workshop.run("show", "greedy")
    assert status == 0
    assert "temperature 0" in out


def test_a_task_and_a_method_of_the_users_own(workshop: Workshop) -> None:
    mine = workshop.folder / "mine.yaml"
    mine.write_text("summary: mine\naggregator: vote\nwith: {keep: 0.5}\n")
    for name, shown in (
        ("./mine.yaml", {"method": "mine", "parameters": {"keep": 0.5}}),
        ("vote{keep=0.5}", {"method": "vote{keep=0.5}", "needs": ["answers"]}),
        ("toy", {"task": "toy"}),
        ("toy/task.yaml", {"task": "toy"}),
    ):
        status, out, err = workshop.run("show", name, "--json")
        assert status == 0, err
        assert json.loads(out).items() >= shown.items()
    status, _, err = workshop.run("show", "results/runs/gone")
    assert (status, err.count("\n")) == (2, 1)
    assert "results/runs/gone is neither a run nor a task: see `cat-bench list runs`" in err


def test_a_run_and_one_question_of_it(workshop: Workshop) -> None:
    workshop.run(*TOY, "--pool", "2", "--n", "1,2", "--method", "majority")
    (folder,) = (workshop.folder / "results").iterdir()
    _, out, _ = workshop.run("show", str(folder), "--json")
    assert json.loads(out)["config"]["pool"] == 2
    status, out, err = workshop.run("show", str(folder), "--question", "q1", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert [row["slot"] for row in found["rollouts"]] == [0, 1]
    assert {row["method"] for row in found["methods"]} == {"majority", "oracle"}
    assert [row["text"] for row in found["rollouts"]] == ["so no", "so no"]
    assert (found["text"], found["target"]) == ("Is it 1?", "yes")
    status, out, err = workshop.run("show", str(folder), "--question", "q77")
    assert (status, out) == (2, "")
    assert "there is no question of this run 'q77'" in err
    vote = next(row for row in found["methods"] if (row["method"], row["n"]) == ("majority", 1))
    assert dict(zip(vote["picks"], vote["weights"], strict=True)) == {0: 0.5, 1: 0.5}
    assert vote["answer"] is None


def test_the_nearest_question_is_sought_among_all(workshop: Workshop) -> None:
    rows = [f'{{"id": "item-{k}", "problem": "Is it {k}?", "answer": "yes"}}\n' for k in range(60)]
    (workshop.folder / "toy" / "rows.jsonl").write_text("".join(rows))
    workshop.run(*TOY, "--pool", "1", "--n", "1", "--method", "single")
    (folder,) = (workshop.folder / "results").iterdir()
    _, _, err = workshop.run("show", str(folder), "--question", "itme-57")
    assert "Did you mean 'item-57'?" in err


def test_a_question_of_which_every_rollout_failed_lacks_no_texts(workshop: Workshop) -> None:
    down = "from cat_bench import Failure\n\n\nasync def reply(request, seed):\n"
    down += "    return Failure('server', 'the model is down', permanent=True)\n"
    (workshop.folder / "model.py").write_text(down)
    workshop.run(*TOY, "--pool", "1", "--n", "1", "--method", "single")
    (folder,) = (workshop.folder / "results").iterdir()
    status, out, err = workshop.run("show", str(folder), "--question", "q1")
    assert status == 0, err
    assert "the model is down" in out
    assert "texts are not here" not in err


def test_a_question_with_its_texts(workshop: Workshop) -> None:
    workshop.run(*TOY, "--pool", "2", "--n", "2", "--method", "majority,cat")
    (folder,) = (workshop.folder / "results").iterdir()
    status, out, err = workshop.run("show", str(folder), "--question", "q1")
    assert status == 0, err
    lines = [line.split() for line in out.splitlines()]
    assert ["text", "Is", "it", "1?"] in lines
    assert ["target", "yes"] in lines
    assert ["1", "0", "no", "stop", "so", "no"] in lines
    assert ["majority", "2", "0", "1", "(50%),", "0", "(50%)"] in lines
    assert ["cat", "2", "0", "1", "yes", "yes"] in lines


def test_a_long_text_is_cut_unless_it_is_asked_for(workshop: Workshop) -> None:
    model = workshop.folder / "model.py"
    model.write_text("def reply(request, seed):\n    return 'word ' * 50 + 'yes'\n")
    workshop.run(*TOY, "--pool", "1", "--n", "1", "--method", "single")
    (folder,) = (workshop.folder / "results").iterdir()
    for option, words in (((), range(1, 20)), (("--full",), [50])):
        _, out, _ = workshop.run("show", str(folder), "--question", "q1", *option)
        assert out.count("word") in words
    (workshop.folder / "cache.sqlite").unlink()
    status, out, err = workshop.run("show", str(folder), "--question", "q1")
    assert (status, out.count("word")) == (0, 0)
    assert f"{workshop.folder / 'cache.sqlite'} lacks them: set CAT_BENCH_CACHE" in err
    assert "cat-bench cache import FILE" in err


def test_what_a_model_wrote_is_shown_and_not_obeyed(workshop: Workshop) -> None:
    said = r"'\x1b[2J\ud800 so = ' + '9' * 500 + '\x07'"
    (workshop.folder / "model.py").write_text(f"def reply(request, seed):\n    return {said}\n")
    workshop.run(*TOY, "--pool", "1", "--n", "1", "--method", "single")
    (folder,) = (workshop.folder / "results").iterdir()
    for option in ((), ("--full",)):
        process = workshop.start("show", str(folder), "--question", "q1", *option)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        assert not {"\x1b", "\x07"} & set(out)
        assert "99\ufffd" in out
        assert option or max(map(len, out.splitlines())) < 250
    assert "\ufffd[2J\\ud800 so = 999" in out


def test_rows_given_to_the_run_are_given_to_what_shows_it(workshop: Workshop) -> None:
    rows = (workshop.folder / "toy" / "rows.jsonl").rename(workshop.folder / "mine.jsonl")
    given = ("--data", str(rows))
    status, _, err = workshop.run(*TOY, *given, "--pool", "1", "--n", "1", "--method", "single")
    assert status == 0, err
    (folder,) = (workshop.folder / "results").iterdir()
    status, out, err = workshop.run("show", str(folder), "--question", "q1", *given)
    assert (status, err) == (0, "")
    assert ["target", "yes"] in [line.split() for line in out.splitlines()]
    _, _, err = workshop.run("show", str(folder), "--question", "q1")
    assert "The rollouts' texts are not here." in err
    assert "rows.jsonl" in err


def test_what_is_not_there(workshop: Workshop) -> None:
    for arguments in (("majorty",), ("model.py",), ("majority", "--question", "q1")):
        status, out, err = workshop.run("show", *arguments)
        assert (status, out, err.count("\n")) == (2, "", 1)


def test_a_run_is_shown_in_lines(workshop: Workshop) -> None:
    workshop.run(*TOY, "--pool", "2", "--n", "1,2", "--method", "majority,best-of-n{by=length}")
    (folder,) = (workshop.folder / "results").iterdir()
    status, out, _ = workshop.run("show", str(folder))
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert ["config.budgets", "1,", "2"] in lines
    assert ["questions", "6"] in lines
    assert ["Methods"] in lines
    assert [line[1] for line in lines if line[:1] == ["majority"]] == ["method"]
    (invocation,) = (line for line in lines if "cat-bench" in line)
    assert invocation[invocation.index("cat-bench") + 1] == "run"
    assert not any(line.startswith("{") for line in out.splitlines())


def test_reasoning_is_shown_in_full_and_json_is_strict(workshop: Workshop) -> None:
    (workshop.folder / "model.py").write_text(
        "from cat_bench import Failure, Reply\n"
        "def reply(request, seed):\n"
        "    if '2' in request.messages[-1]['content']:\n"
        "        return Failure('server', 'down', permanent=True)\n"
        "    return Reply(text='so yes', reasoning='I think.', finish='stop')\n"
    )
    workshop.run(*TOY, "--pool", "2", "--n", "1", "--method", "majority", "--set", "retries=0")
    (folder,) = (workshop.folder / "results").iterdir()
    question = ("show", str(folder), "--question", "q1")
    assert "I think." not in workshop.run(*question)[1]
    assert "<reasoning>\nI think.\n</reasoning>\nso yes" in workshop.run(*question, "--full")[1]
    _, out, _ = workshop.run(*question, "--json")
    assert "NaN" not in out
    first, _ = json.loads(out)["rollouts"]
    assert (first["reasoning"], first["met"]) == ("I think.", [])
    _, out, _ = workshop.run("show", str(folder), "--question", "q2", "--json")
    assert "NaN" not in out
    assert [row["score"] for row in json.loads(out)["rollouts"]] == [None, None]


def test_what_was_sent_is_shown_in_full_and_as_json(workshop: Workshop) -> None:
    (workshop.folder / "model.py").write_text(
        "from cat_bench import Reply\n"
        "def reply(request, seed):\n"
        "    if 'drafts' in request.messages[-1]['content']:\n"
        "        return Reply(text='# UNIFIED RESPONSE\\nyes', reasoning='I weigh.')\n"
        "    return 'so yes' if seed % 2 else 'so no'\n"
    )
    given = ("--pool", "2", "--n", "2", "--method", "cat", "--set", "anchor.temperature=0.25")
    workshop.run(*TOY, *given)
    (folder,) = (workshop.folder / "results").iterdir()
    question = ("show", str(folder), "--question", "q1")
    _, out, _ = workshop.run(*question, "--json")
    found = json.loads(out)
    sent = found["sent"]
    assert (sent["role"], sent["messages"]) == ("policy", [{"role": "user", "content": "Is it 1?"}])
    ((call,),) = [row["calls"] for row in found["methods"] if row["method"] == "cat"]
    assert (call["role"], call["sampling"], call["reasoning"]) == (
        "anchor",
        {"temperature": 0.25},
        "I weigh.",
    )
    (message,) = call["messages"]
    drafts = {row["text"] for row in found["rollouts"]}
    assert drafts <= set(message["content"].splitlines())
    assert call["reply"] == "# UNIFIED RESPONSE\nyes"
    _, out, _ = workshop.run(*question, "--full")
    assert message["content"] in out
    assert "cat n = 2 draw 0  anchor scripted:./model.py:reply temperature=0.25  slot 0" in out
    assert "[reply]\n<reasoning>\nI weigh.\n</reasoning>\n# UNIFIED RESPONSE\nyes" in out
    _, out, _ = workshop.run(*question)
    assert "1 calls of methods: --full or --json shows" in out
    assert "drafts" not in out


def test_a_selection_and_a_call_that_is_not_here(workshop: Workshop) -> None:
    (workshop.folder / "model.py").write_text(
        "def reply(request, seed):\n"
        "    if 'Is it' in request.messages[-1]['content'][:5]:\n"
        "        return 'so yes' if seed % 2 else 'so no'\n"
        "    return '\\\\boxed{1}'\n"
    )
    given = ("--pool", "2", "--n", "2", "--method", "self-select,judge-select")
    workshop.run(*TOY, *given)
    (folder,) = (workshop.folder / "results").iterdir()
    question = ("show", str(folder), "--question", "q1", "--json")
    _, out, _ = workshop.run(*question)
    found = json.loads(out)
    calls = {row["method"]: row["calls"] for row in found["methods"]}
    (own,), (judge,) = calls["self-select"], calls["judge-select"]
    assert (own["role"], judge["role"]) == ("anchor", "judge")
    for row in found["rollouts"]:
        assert row["text"] in own["messages"][0]["content"]
    with sqlite3.connect(workshop.folder / "cache.sqlite") as cache:
        keys = [key for (key,) in cache.execute("select key from results group by key")]
        single = [key for key in keys if len(_slots(cache, key)) == 1]
        cache.executemany("delete from results where key = ?", [(key,) for key in single])
    _, out, _ = workshop.run(*question)
    calls = {row["method"]: row["calls"] for row in json.loads(out)["methods"]}
    assert calls["judge-select"][0]["failed"] == "the call is not in this cache"


def _slots(cache: sqlite3.Connection, key: str) -> list[int]:
    return [slot for (slot,) in cache.execute("select slot from results where key = ?", (key,))]


def test_what_was_sent_for_an_imported_pool_is_not_known(workshop: Workshop) -> None:
    rows = [{"id": f"q{k}", "responses": ["so yes", "so no"]} for k in range(6)]
    Path("mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    workshop.run("cache", "import", "mine.jsonl", "--task", "toy/task.yaml", "--model", "mine")
    workshop.run("run", "toy/task.yaml", "--model", "replay:mine", "--method", "majority")
    (folder,) = (workshop.folder / "results").iterdir()
    _, out, _ = workshop.run("show", str(folder), "--question", "q1")
    assert "The rollouts were imported, so the prompts behind them are unknown." in out
    _, out, _ = workshop.run("show", str(folder), "--question", "q1", "--json")
    assert json.loads(out)["sent"] is None
