"""What is exported is read back by the library that it is for, and shown by its viewer."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Workshop


def _export(workshop: Workshop, folder: Path, kind: str) -> list[Path]:
    status, _, err = workshop.run("report", str(folder), "--export", kind)
    assert status == 0, err
    lines = (line.removeprefix("wrote ") for line in err.splitlines())
    return [Path(line) for line in lines if f"/{kind}/" in line]


def test_inspect_reads_the_log_back(workshop: Workshop, folder: Path) -> None:
    log = pytest.importorskip("inspect_ai.log")
    (file,) = _export(workshop, folder, "inspect")
    assert file.suffix == ".eval"
    read = log.read_eval_log(str(file))
    assert (read.status, read.eval.task, len(read.samples)) == ("success", "toy/task.yaml", 6)
    first = read.samples[0]
    assert (first.id, first.input, len(first.messages)) == ("q0", "Is it 0?", 1 + 4)
    texts = [message.text for message in first.messages[1:]]
    assert first.target == "yes"
    assert texts[0].startswith("[rollout 0: score ")
    assert {text.split("\n")[-1] for text in texts} <= {"so yes", "so no"}
    assert [choice.message.text for choice in first.output.choices] == texts
    assert set(first.scores) == {"single", "majority", "cat"}
    assert (first.scores["cat"].value, first.scores["cat"].answer) == (1.0, "yes")
    assert first.scores["majority"].answer in {"yes", "no"}
    means = {score.name: score.metrics["mean"].value for score in read.results.scores}
    each = [sample.scores["majority"].value for sample in read.samples]
    assert math.isclose(means["majority"], sum(each) / len(each))


def test_what_the_cache_lost_is_said_in_the_log(workshop: Workshop, folder: Path) -> None:
    log = pytest.importorskip("inspect_ai.log")
    (workshop.folder / "cache.sqlite").unlink()
    (file,) = _export(workshop, folder, "inspect")
    first = log.read_eval_log(str(file)).samples[0]
    assert "not in the cache" in first.messages[1].text
    assert first.scores["cat"].explanation.endswith("yes")


def test_lm_eval_shows_the_results_and_its_loader_the_samples(
    workshop: Workshop, folder: Path
) -> None:
    utils = pytest.importorskip("lm_eval.utils")
    from datasets import load_dataset

    results, samples = sorted(_export(workshop, folder, "lm-eval"))
    read = json.loads(results.read_text())
    table = utils.make_table(read)
    for method in ("single", "majority", "cat"):
        assert method in table
    assert read["results"]["toy-task.yaml"]["score,cat"] == 1.0
    paths = [str(results), str(samples)]
    assert utils.get_sample_results_filenames(paths) == [str(samples)]
    rows = load_dataset("json", data_files=str(samples), split="train", cache_dir="hf-cache")
    assert len(rows) == 6 * 3
    first = rows[2]
    assert (first["filter"], first["doc"]["id"], first["score"]) == ("cat", "q0", 1.0)
    assert (first["target"], first["filtered_resps"]) == ("yes", ["yes"])
    assert len(first["resps"][0]) == 4


def test_inspect_view_lists_and_opens_the_log(workshop: Workshop, folder: Path) -> None:
    pytest.importorskip("inspect_ai")
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromedriver are not installed")
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    (file,) = _export(workshop, folder, "inspect")
    shutil.copy(file, file.with_name(file.name.replace("task", "other")))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = str(Path(sys.executable).with_name("inspect"))
    view = [program, "view", "start", "--log-dir", str(file.parent), "--port", str(port)]
    options = ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    with subprocess.Popen(view, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
        try:
            _listening(port)
            driver.get(f"http://127.0.0.1:{port}/")
            said = "return document.body.innerText"
            wait = WebDriverWait(driver, 120)
            wait.until(lambda d: "toy/task.yaml" in d.execute_script(said))
            driver.get(f"http://127.0.0.1:{port}/#/tasks/{file.name}/samples/sample/q0/1/")
            wait.until(lambda d: "[rollout 0: score" in d.execute_script(said))
            assert "majority" in driver.execute_script(said)
        finally:
            driver.quit()
            server.terminate()


def _listening(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("inspect view does not answer")
