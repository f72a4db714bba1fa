"""The page in a real browser: from disk, without network, by keyboard, on a phone, under attack."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from cat_bench.loading.catalog import root
from cat_bench.report import markdown
from cat_bench.report.palette import looks
from cat_bench.report.rounding import format_fixed, format_measured
from cat_bench.report.webpage import write_page
from cat_bench.runs.config import RunConfig
from cat_bench.runs.exchanges import Exchanges, read_exchanges
from cat_bench.runs.folder import read_record
from cat_bench.runs.opening import run
from cat_bench.types.calls import JSON
from tests.conftest import Workshop

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="chromium and chromedriver are not installed"
)
SCRIPT = "<script>window.owned = 1</script><img src=x onerror='window.owned = 2'>"
HOSTILE = (
    f"{SCRIPT}</script><!-- so yes",
    "x" * 20_000 + " yes",
    "\u202eright to left \u05d0\u05d1\u05d2 so no",
    "broken $\\frac{1$ and \\(\\undefined{x}\\) but fine $\\frac{1}{2}$ so \\boxed{yes}",
    "{{index}} ${owned = 3} \\u003cscript> NUL \x00 \ud800 no",
    "$$\\href{javascript:owned=4}{x}$$ \\htmlData{a=b}{c} yes",
)
TASK = """\
version: 1
summary: hostile
data: {file: rows.jsonl, fields: {problem: problem, meta: [half]}}
scorer: ./scorer.py:LastWord
"""
SCORER = '''\
from cat_bench import Score


class LastWord:
    """Right where the text says yes in the end; nothing is said of a question that has no gold."""

    version = "1"

    def answer(self, text):
        return text[-12:] or None

    async def clusters(self, answers):
        distinct = sorted({answer for answer in answers if answer})
        return [distinct.index(answer) if answer else None for answer in answers]

    async def score(self, sample, texts, ctx):
        if sample.target == "gone":
            return [Score(None, "no gold") for text in texts]
        return [Score(float(sample.target in text[-8:])) for text in texts]
'''


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run whose model is hostile; the last question cannot be scored."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "task.yaml").write_text(TASK)
    (folder / "scorer.py").write_text(SCORER)
    (folder / "prompt.txt").write_text("{{ problem }}")
    answers = ["yes", "yes", "never", "gone"]
    (folder / "rows.jsonl").write_text(
        "".join(
            f'{{"id": "q{k}</script>", "problem": "{k}: $x^{k}$ {SCRIPT}", "answer": "{answer}", '
            f'"half": "{SCRIPT}{k // 2}"}}\n'
            for k, answer in enumerate(answers)
        )
    )
    (folder / "model.py").write_text(
        f"HOSTILE = {HOSTILE!r}\n\n\n"
        "async def reply(request, seed):\n"
        "    if 'drafts' in request.messages[-1]['content']:\n"
        "        return '# UNIFIED RESPONSE\\nso yes'\n"
        "    return HOSTILE[seed % len(HOSTILE)]\n"
    )
    config = RunConfig(
        task="task.yaml",
        model="scripted:./model.py:reply",
        methods=("single", "majority", "cat"),
        pool=24,
        out=folder / "run",
    )
    return page_of(config, folder)


def page_of(config: RunConfig, folder: Path, *, data: Path | None = None) -> Path:
    """Run in the folder and write the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CAT_BENCH_CACHE", str(folder / "cache.sqlite"))
        patch.setenv("CAT_BENCH_TRUST", "1")  # the task has a scorer of its own
        asyncio.run(run(config))
        return write_page(folder / "run", data=data)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(str(DRIVER)))
    driver.execute_cdp_cmd("Network.enable", {})
    driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["http://*", "https://*"]})
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Chrome, page: Path) -> Chrome:
    browser.set_window_size(1280, 1000)
    browser.get("about:blank")
    browser.get(page.as_uri())
    _until(browser, "return document.body.dataset.ready === 'yes'")
    return browser


FILLED = "return [...document.querySelectorAll('details[open]')].every(d => d.children.length > 1)"
"""Each open fold has its content, which comes by an event after the fold was opened."""


def _until(browser: Chrome, script: str) -> None:
    WebDriverWait(browser, 60).until(lambda driver: driver.execute_script(script))


def _all(browser: Chrome, css: str) -> list[WebElement]:
    return browser.find_elements(By.CSS_SELECTOR, css)


def _active(browser: Chrome, script: str) -> JSON:
    return browser.execute_script(f"return document.activeElement.{script}")


def _open(browser: Chrome, question: str) -> None:
    """Open a question and everything that is folded in it."""
    for button in _all(browser, "#list button"):
        if question in button.text:
            button.click()
    _until(browser, "return document.querySelectorAll('#detail details').length > 0")
    browser.execute_script("document.querySelectorAll('#detail details').forEach(d => d.open = 1)")
    _until(browser, FILLED)
    _until(browser, "return document.querySelectorAll('#detail .text').length > 8")


def _filtered(browser: Chrome, name: str) -> list[str]:
    Select(browser.find_element(By.ID, "filter")).select_by_visible_text(name)
    return [button.text.split("<")[0] for button in _all(browser, "#list button")]


def test_whatever_a_model_writes_is_shown_as_text(opened: Chrome) -> None:
    _open(opened, "q0")
    shown = opened.execute_script(
        "return document.getElementById('detail').textContent.toWellFormed()"
    )
    for text in (SCRIPT, "x" * 20_000, "{{index}} ${owned = 3}", "\u202eright to left", "\x00"):
        assert text in shown
    assert "broken $\\frac{1$ and \\(\\undefined{x}\\) but fine" in shown
    assert opened.execute_script("return window.owned") is None
    for element in ("img", "a", "script", "iframe", "object", "form"):
        assert _all(opened, f"#detail {element}, #list {element}") == []
    assert "q0</script>" in _all(opened, "#detail h3")[0].text


def test_signals_are_shown_where_a_run_has_some(opened: Chrome, workshop: Workshop) -> None:
    assert not _all(opened, "#signals")
    config = RunConfig(
        task="toy/task.yaml",
        model="scripted:./model.py:reply",
        pool=4,
        methods=("single", "best_of_n{by=length}"),
    )
    folder = asyncio.run(run(config)).folder
    opened.get(write_page(folder.absolute()).as_uri())
    _until(opened, "return document.body.dataset.ready === 'yes'")
    (row,) = _all(opened, "#signal-table tbody tr")
    assert row.text.startswith("length")
    assert len(_all(opened, "#signal-plots canvas")) == 2
    assert opened.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_formulas_are_drawn_and_broken_ones_stay_text(opened: Chrome) -> None:
    _open(opened, "q2")
    assert _all(opened, "#detail .question math msup")
    assert _all(opened, "#detail math mfrac")
    boxed = _all(opened, "#detail math menclose")
    assert boxed
    assert boxed[0].value_of_css_property("border-top-width") == "1px"
    opened.find_element(By.ID, "math").click()
    _until(opened, "return !document.querySelector('#detail math')")
    assert "$x^2$" in _all(opened, "#detail .question")[0].text


def test_nothing_is_fetched_and_nothing_is_complained_about(opened: Chrome) -> None:
    _open(opened, "q0")
    fetched = opened.execute_script(
        "return performance.getEntriesByType('resource').map(entry => entry.name)"
    )
    assert fetched == []
    complaints = opened.get_log("browser")  # type: ignore[no-untyped-call]
    assert complaints == []
    blocked = opened.execute_async_script(
        "const done = arguments[0]; fetch('data:,x').then(() => done('open'), () => done('shut'))"
    )
    assert blocked == "shut"


def test_filters_find_what_they_say(opened: Chrome) -> None:
    assert len(_filtered(opened, "all questions")) == 4
    assert _filtered(opened, "nobody right") == ["q2"]
    assert _filtered(opened, "unscored") == ["q3"]
    assert _filtered(opened, "every rollout right") == []
    better = _filtered(opened, "A right where B is wrong")
    assert set(better) <= {"q0", "q1"}
    assert opened.find_element(By.ID, "count").text == f"{len(better)} of 4 questions"
    _filtered(opened, "all questions")
    opened.find_element(By.ID, "find").send_keys("1: $x")
    assert [button.text[:2] for button in _all(opened, "#list button")] == ["q1"]


def test_the_table_sorts_by_keyboard(opened: Chrome) -> None:
    def column(number: int) -> list[str]:
        return [row.text for row in _all(opened, f"#table tbody tr > :nth-child({number})")]

    def scores() -> list[float]:
        return [float(text) for text in column(3)[:-2]]

    assert scores() == sorted(scores(), reverse=True)
    head = _all(opened, "#table thead button")[2]
    head.send_keys(Keys.ENTER)
    assert scores() == sorted(scores())
    assert _all(opened, "#table th[aria-sort=ascending]")[0].text.startswith("score")
    assert _active(opened, "textContent") == "score, %"
    _all(opened, "#table thead button")[0].send_keys(Keys.SPACE)
    assert column(1)[:-2] == sorted(column(1)[:-2])
    assert set(column(1)[-2:]) == {"oracle (ceiling)", "single (floor)"}


def test_the_table_comes_first_and_its_notes_are_inside(opened: Chrome, page: Path) -> None:
    heads = [head.text for head in _all(opened, "h2, h3")]
    assert heads[:4] == ["Comparison", "Notes", "Curves", "Questions"]
    shown = [note.text for note in _all(opened, "#notes li")]
    written = markdown(page.parent).split("## Notes\n\n")[1].split("\n\n")[0].split("\n")
    assert len(shown) == len(written) > 3
    assert "Methods that cost calls end at n = 8, all others at n = 24." in shown[0]
    assert "Unscored questions are left out" in " ".join(shown)


def test_a_question_is_found_and_opened_by_keyboard_alone(opened: Chrome) -> None:
    for _ in range(60):
        opened.switch_to.active_element.send_keys(Keys.TAB)
        if _active(opened, "closest('#list') !== null"):
            break
    opened.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    assert "q1" in _active(opened, "textContent")
    opened.switch_to.active_element.send_keys(Keys.ENTER)
    _until(opened, "return document.activeElement.id === 'detail'")
    assert opened.execute_script("return location.hash") == "#q=q1%3C%2Fscript%3E"
    opened.switch_to.active_element.send_keys(Keys.TAB)
    for _ in range(9):
        if _active(opened, "tagName") == "SUMMARY":
            break
        opened.switch_to.active_element.send_keys(Keys.TAB)
    opened.switch_to.active_element.send_keys(Keys.ENTER)
    _until(opened, "return document.activeElement.parentElement.open")


def test_every_control_has_a_name(opened: Chrome) -> None:
    _open(opened, "q0")
    for element in _all(opened, "button, select, input, [role=region], [role=img], summary"):
        assert element.accessible_name, element.get_attribute("outerHTML")


def test_the_list_is_one_stop_of_the_tabulator(opened: Chrome) -> None:
    stops = "return [...document.querySelectorAll('#list [tabindex=\"0\"]')].map(b => b.innerText)"
    assert opened.execute_script(stops)[0].startswith("q0")
    _all(opened, "#list button")[0].send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert [text[:2] for text in opened.execute_script(stops)] == ["q2"]


def test_a_number_is_rounded_as_in_the_tables(opened: Chrome) -> None:
    rng = np.random.default_rng(0)
    ties = [(2 * k + 1) / 2000 for k in range(-60, 60)]
    noisy = [tie * (1 + 1e-15 * sign) for tie in ties for sign in (-1, 1)]
    shares = [*ties, *noisy, *rng.uniform(-1, 1, 200).tolist(), 0.0, -1e-9, 34.25]
    for digits in (0, 1, 3):
        shown = opened.execute_script(
            f"return arguments[0].map(share => percent(share, {digits}))", shares
        )
        wanted = [format_fixed(100 * share, digits) for share in shares]
        assert [text.replace("−", "-") for text in shown] == wanted
    signed = opened.execute_script("return arguments[0].map(signed)", shares)
    assert [text.replace("−", "-") for text in signed] == [
        format_measured(share, sign="+") for share in shares
    ]


def test_the_table_says_what_the_markdown_says(opened: Chrome, page: Path) -> None:
    lines = markdown(page.parent).split("## Every method at its largest n\n\n")[1].splitlines()
    heads, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[:6])
    wanted = {
        row[0].strip("*").replace("* ", " "): dict(zip(heads, row, strict=True)) for row in rows
    }
    shown = {
        cells[0]: cells[1:]
        for row in _all(opened, "#table tbody tr")
        for cells in [[cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")]]
    }
    assert shown.keys() == wanted.keys() >= {"cat", "majority", "oracle (ceiling)"}
    for name, (n, score, span, difference, p, calls, tokens, *_) in shown.items():
        row = wanted[name]
        assert [n, span, p, calls, tokens] == [
            row[head] for head in ("n", "95 % interval", "p (Holm)", "calls", "tokens")
        ]
        assert score == row["score ± SE, %"].split(" ±")[0]
        assert difference.split(" vs ")[0].replace("−", "-") == row["vs majority, points"]


def test_the_list_says_who_is_right(opened: Chrome) -> None:
    assert opened.find_element(By.ID, "key").text.startswith("A: cat. B: majority. At n = 8:")
    marks = [line.text for line in _all(opened, "#list .marks")]
    assert marks[0].startswith("A ✓ B ") or marks[0].startswith("A ✓\nB ")
    assert [marks[2].split(), marks[3].split()] == [["A", "✗", "B", "✗"], ["A", "–", "B", "–"]]


def test_only_a_real_difference_is_one(opened: Chrome) -> None:
    value = "run.questions[0][2][keyAt.get('majority\\n8')] = arguments[0]"
    for near, found in ((0.75, []), (0.51, []), (0.5, ["q0"]), (0.0, ["q0"])):
        opened.execute_script(value, near)
        assert _filtered(opened, "A right where B is wrong")[:1] == found
        _filtered(opened, "all questions")


def test_a_group_is_chosen_by_what_the_data_say(opened: Chrome) -> None:
    group = Select(opened.find_element(By.ID, "group"))
    assert [option.text for option in group.options] == [
        "all",
        *(f"half: {SCRIPT}{half}" for half in (0, 1)),
    ]
    group.select_by_visible_text(f"half: {SCRIPT}1")
    assert [button.text[:2] for button in _all(opened, "#list button")] == ["q2", "q3"]
    assert _filtered(opened, "nobody right") == ["q2"]


def test_responses_are_searched(opened: Chrome) -> None:
    Select(opened.find_element(By.ID, "where")).select_by_value("responses")
    find = opened.find_element(By.ID, "find")
    for words, count in (("nowhere to be found", 0), ("SO", 4)):
        find.clear()
        find.send_keys(words)
        _until(opened, f"return document.getElementById('count').innerText[0] === '{count}'")
    _open(opened, "q0")
    found, said = opened.execute_script(
        "const all = [...document.querySelectorAll('#detail .rollout')];"
        "return [all.map(one => Boolean(one.querySelector('.match'))),"
        " all.map(one => one.querySelector('.text').textContent.toLowerCase().includes('so'))]"
    )
    assert found == said
    assert set(found) == {True, False}
    Select(opened.find_element(By.ID, "where")).select_by_value("questions")
    assert _all(opened, "#list button") == []


def test_what_was_sent_is_shown_to_the_letter(opened: Chrome, page: Path) -> None:
    _open(opened, "q1")
    opened.execute_script("document.querySelectorAll('#detail .call').forEach(d => d.open = 1)")
    _until(opened, "return document.querySelectorAll('#detail .sent').length === 4")
    (asked,) = _all(opened, "#detail > .call")
    head = asked.find_element(By.TAG_NAME, "summary").text
    assert head.startswith("what was sent for each rollout\npolicy scripted:./model.py:reply")
    sent = (
        "return [...document.querySelectorAll(arguments[0])].filter(block => !arguments[1] ||"
        " block.querySelector('strong').textContent === arguments[1])"
        ".flatMap(block => [...block.querySelectorAll('.sent')])"
        ".map(each => each.textContent.toWellFormed())"
    )
    assert opened.execute_script(sent, "#detail > .call", "") == [f"1: $x^1$ {SCRIPT}"]
    record = json.loads((page.parent / "run.json").read_text())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(page.parent.parent)
        patch.setenv("CAT_BENCH_CACHE", str(page.parent.parent / "cache.sqlite"))
        patch.setenv("CAT_BENCH_TRUST", "1")
        (found,) = asyncio.run(_replay(record, "q1</script>"))
    calls = [call for draw in range(3) for call in found.methods["cat", 8, draw]]
    shown = opened.execute_script(sent, "#detail .method", "cat")
    said = [message["content"] for call in calls for message in call.sent.messages]
    assert len(shown) == 3
    assert shown == [text.replace("\ud800", "\ufffd") for text in said]


async def _replay(record: dict[str, JSON], question: str) -> list[Exchanges]:
    return [each async for each in read_exchanges(record, methods=["cat"], only=question)]


def test_what_is_right_stands_beside_the_question(opened: Chrome) -> None:
    _open(opened, "q2")
    assert "right answer never" in [line.text for line in _all(opened, "#detail > p")]


def test_tokens_have_round_ticks(opened: Chrome) -> None:
    ticks = opened.execute_script(
        "return [[42, 553], [3, 4], [12, 18000]].map(([low, high]) => decades(low, high))"
    )
    assert ticks == [[50, 100, 200, 500], [], [100, 1000, 10000]]


def test_curves_are_switched_off_one_by_one(opened: Chrome) -> None:
    pixels = "return document.querySelector('#plot canvas').toDataURL()"
    before = opened.execute_script(pixels)
    button = _all(opened, "#legend button")[0]
    button.send_keys(Keys.SPACE)
    assert button.get_attribute("aria-pressed") == "false"
    without = opened.execute_script(pixels)
    assert without != before
    opened.find_element(By.ID, "bands").click()
    assert opened.execute_script(pixels) != without
    Select(opened.find_element(By.ID, "axis")).select_by_value("tokens")
    assert "tokens" in str(_all(opened, "#plot")[0].get_attribute("aria-label"))


def test_on_a_phone_nothing_hangs_over(opened: Chrome) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        _open(opened, "q0")
        assert opened.execute_script("return document.documentElement.scrollWidth") <= 390
        assert opened.execute_script(
            "return [...document.querySelectorAll('#detail .text')]"
            ".every(text => text.scrollWidth <= text.clientWidth + 1)"
        )
        first = _all(opened, "#table tbody th")[0]
        assert first.size["height"] < 60
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


FAILING = """\
from cat_bench.types.calls import Failure


def reply(request, seed):
    return Failure("context", "too long <b>")
"""


def test_a_run_of_failures_alone_has_a_page(
    browser: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.py").write_text(FAILING)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "cache.sqlite"))
    config = RunConfig(
        task="tally",
        model="scripted:./model.py:reply",
        methods=("single", "majority"),
        pool=2,
        limit=3,
        out=tmp_path / "run",
    )
    asyncio.run(run(config))
    browser.get(write_page(tmp_path / "run").as_uri())
    _until(browser, "return document.body.dataset.ready === 'yes'")
    assert "No method has a score." in _all(browser, "#plot")[0].text
    _all(browser, "#list button")[1].click()
    _until(browser, "return document.querySelectorAll('#detail .rollout').length === 2")
    assert "too long <b>" in _all(browser, "#detail .rollout > summary")[0].text
    assert [
        name for name in ("axis", "budget") if _all(browser, f"#{name}")[0].is_displayed()
    ] == []


JUDGE = """\
def met(request, seed):
    yes = "true" if sum(request.messages[-1]["content"].encode()) % 2 else "false"
    return '{"explanation": "by a sum", "met": %s}' % yes


def reply(request, seed):
    return f"answer {seed % 5}"
"""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run that a judge scored by rubric, on rows of the caller's."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "model.py").write_text(JUDGE)
    rows = root() / "tasks" / "healthbench-mini" / "conversations.jsonl"
    config = RunConfig(
        task="healthbench",
        data=rows,
        model="scripted:./model.py:reply",
        judge="scripted:./model.py:met",
        methods=("single",),
        pool=4,
        out=folder / "run",
    )
    return page_of(config, folder, data=rows)


def test_a_verdict_is_green_where_it_earns_points(judged: Path, browser: Chrome) -> None:
    browser.get(judged.as_uri())
    _until(browser, "return document.body.dataset.ready === 'yes'")
    _all(browser, "#list button")[0].click()
    _until(browser, "return document.querySelectorAll('#detail details').length > 0")
    browser.execute_script("document.querySelectorAll('#detail details').forEach(d => d.open = 1)")
    _until(browser, FILLED)
    _until(browser, "return document.querySelectorAll('#detail .verdicts li').length > 0")
    seen = set()
    for line in _all(browser, "#detail .verdicts li"):
        verdict, points = line.text.split(" (")[0], int(line.text.split(" (")[1].split()[0])
        shown = line.find_element(By.TAG_NAME, "span").get_attribute("class")
        assert shown == ("good" if (verdict == "met") == (points > 0) else "bad"), line.text
        seen.add((verdict, points > 0))
    assert len(seen) == 4


def test_the_prompt_of_a_verdict_is_shown(judged: Path, browser: Chrome) -> None:
    browser.get(judged.as_uri())
    _until(browser, "return document.body.dataset.ready === 'yes'")
    _all(browser, "#list button")[0].click()
    _until(browser, "return document.querySelectorAll('#detail details').length > 0")
    _all(browser, ".rollout > summary")[0].click()
    _until(browser, "return document.querySelectorAll('.rollout .call').length > 0")
    criteria = _all(browser, ".rollout .verdicts li")
    calls = _all(browser, ".rollout .call")
    assert len(calls) == len(criteria)
    for call, criterion in zip(calls, criteria, strict=True):
        call.find_element(By.TAG_NAME, "summary").click()
        _until(browser, FILLED)
        assert "judge scripted:./model.py:met" in call.text
        sent = call.find_element(By.CSS_SELECTOR, ".sent").text
        assert criterion.find_element(By.TAG_NAME, "bdi").text in sent
        assert _all(browser, ".rollout > .text")[0].text in sent
        assert '"explanation": "by a sum"' in call.text


def test_a_method_has_its_colour_and_marker_from_the_palette(opened: Chrome, page: Path) -> None:
    look = looks(read_record(page.parent), [])["cat"]
    (button,) = (b for b in _all(opened, "#legend button") if b.text == "cat")
    line, marker = button.find_elements(By.TAG_NAME, "path")
    assert line.get_attribute("stroke") == marker.get_attribute("fill") == look.colour
    assert str(marker.get_attribute("d")).count("L") == len(look.outline) - 1


def test_on_paper_the_whole_table_is_there_in_dark_ink(opened: Chrome) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    paper = {"width": 794, "height": 1123, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    try:
        _until(opened, "return document.documentElement.scrollWidth <= 794")
        table = _all(opened, "#table")[0]
        assert table.rect["x"] + table.rect["width"] <= 794
        assert (
            opened.execute_script("return getComputedStyle(document.body).backgroundColor")
            == "rgb(255, 255, 255)"
        )
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_texts_that_are_not_here_are_said_to_be(
    page: Path, browser: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAT_BENCH_CACHE", str(tmp_path / "empty.sqlite"))
    monkeypatch.chdir(page.parent.parent)
    copy = shutil.copytree(page.parent, tmp_path / "run")
    browser.get(write_page(copy).as_uri())
    _until(browser, "return document.body.dataset.ready === 'yes'")
    _all(browser, "#list button")[0].click()
    _until(browser, "return document.querySelectorAll('#detail details').length > 0")
    browser.execute_script("document.querySelectorAll('#detail details').forEach(d => d.open = 1)")
    _until(browser, FILLED)
    _until(browser, "return document.body.textContent.includes('text is not in the cache')")
