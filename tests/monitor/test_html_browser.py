"""The pages in a real browser: headless Chromium, driven by its own driver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from sprint import ledger
from sprint.config import load
from sprint.domain import replace
from sprint.ledger import rows
from sprint.monitor.figures import Service as Server
from sprint.monitor.gather import Scope, gather
from sprint.monitor.html.run_page import write_run
from sprint.monitor.html.written import write_report
from sprint.runs import RunStore
from tests.around import around
from tests.chromium import PHONE, WIDE, Browser
from tests.chromium import browser as browser  # a fixture
from tests.monitor.ledgers import NOW, a_row
from tests.monitor.sample import FORGE, HOSTILE, a_month, a_run

pytestmark = pytest.mark.machine


@dataclass(frozen=True)
class Pages:
    """A report, runs of kinds, and a report on what hostile people sent, with one of their runs."""

    report: Path
    run: Path
    big: Path
    hostile: Path
    runs: Path
    hostile_runs: tuple[Path, ...]
    results: Path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    root = tmp_path_factory.mktemp("pages")
    report, results = _report(root / "kind", hostile=False)
    hostile, evil = _report(root / "hostile", hostile=True)
    opened = next(row for row in reversed(list(ledger.read(results))) if getattr(row, "pr_url", ""))
    assert isinstance(opened, ledger.LedgerRow)
    run = root / "run.html"
    store = RunStore(results)
    write_run(run, store.folder(opened.run_id), store.load(opened.run_id))
    big = root / "big.html"
    large = a_run(results, replace(opened, run_id="large"), big=True)
    assert (store.folder("large") / "transcript.jsonl").stat().st_size > 5_000_000
    write_run(big, store.folder("large"), large)
    runs = sorted((evil / "runs").glob("*/run.html"))[-len(HOSTILE) :]
    listed = _ten_thousand(hostile.parent.parent)
    return Pages(report, run, big, hostile, listed, tuple(runs), results)


def _ten_thousand(root: Path) -> Path:
    """The list of all runs of a hostile ledger, with many before them."""
    path = ledger.path_of(root / "results")
    many = (
        a_row(
            800 + at / 60,
            "limit" if at % 3 else "pr_opened",
            run_id=f"run-{at}",
            issue=at,
            repo=f"octo/{'gears' if at % 4 else 'widgets'}",
            detail=f"turns: {at} of 100" if at % 3 else "",
        )
        for at in range(10_000)
    )
    first, second, third, header, *rest = path.read_bytes().splitlines(keepends=True)
    lines = [rows.write(row, rows.COLUMNS) for row in many]
    path.write_bytes(b"".join([first, second, third, header, *reversed(lines), *rest]))
    config = load(root / "sprint.yaml", around(root))
    write_report(
        root / "out" / "all.html", gather(config, around(root), NOW, ask=False), config.forges, Scope()
    )
    return root / "out" / "all-runs.html"


def _report(root: Path, *, hostile: bool) -> tuple[Path, Path]:
    results = root / "results"
    a_month(results, hostile=hostile)
    config_file = root / "sprint.yaml"
    config_file.write_text(
        f"forges:\n  gitea: {{kind: gitea, url: {FORGE}}}\n"
        "repos: [{name: octo/widgets}, {name: acme/docs}]\npaths: {results: results}\n"
    )
    config = load(config_file, around(root))
    report = gather(config, around(root), NOW, ask=False)
    servers = (
        Server("hermes server", "http://127.0.0.1:8642/health", True),
        Server("model", "", False, "down"),
    )
    page = root / "out" / "report.html"
    page.parent.mkdir()
    write_report(page, replace(report, services=servers, spent_today_usd=6.4), config.forges, Scope())
    return page, results


@pytest.mark.parametrize("name", ["report", "run", "big", "hostile", "runs"])
def test_a_page_opens_from_disk_and_asks_for_nothing(browser: Browser, pages: Pages, name: str) -> None:
    page = getattr(pages, name)
    browser.open(page)
    assert browser.said == []
    assert {url for url in browser.requests if not url.startswith("data:")} == {page.as_uri()}


def test_what_a_page_says_and_asks_for_would_be_seen(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "talks.html"
    page.write_text("<img src='http://127.0.0.1:9/pixel.png'><script>console.error('heard')</script>")
    browser.open(page)
    assert "http://127.0.0.1:9/pixel.png" in browser.requests
    assert any("heard" in line for line in browser.said)


@pytest.mark.parametrize("width", [PHONE, 820, WIDE])
@pytest.mark.parametrize("name", ["report", "run", "hostile", "runs"])
def test_nothing_is_wider_than_the_screen(browser: Browser, pages: Pages, name: str, width: int) -> None:
    browser.open(getattr(pages, name), width=width)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    page = "document.documentElement"
    assert browser.run(f"return {page}.scrollWidth - {page}.clientWidth") == 0
    assert browser.run("return window.innerWidth") == width


@pytest.mark.parametrize("width", [PHONE, 820, 1100, WIDE])
def test_nothing_lies_on_anything_else(browser: Browser, pages: Pages, width: int) -> None:
    browser.open(pages.report, width=width)
    assert browser.run(_OVERLAPS) == []


# Badges, links and numbers of one run, or texts of one chart, that share pixels.
_OVERLAPS = """
const found = [];
for (const group of document.querySelectorAll('.run, .tile, .chart svg')) {
  const parts = [...group.querySelectorAll('.badge, .links a, .spent span, dt, dd > *, text')]
    .filter(one => one.checkVisibility()).map(one => [one, one.getBoundingClientRect()]);
  for (const [one, a] of parts) for (const [other, b] of parts) {
    if (one !== other && a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3
        && b.top < a.bottom - 3) found.push(`${one.textContent} / ${other.textContent}`);
  }
}
return found;
"""


@pytest.mark.parametrize(("width", "columns"), [(PHONE, 2), (820, 3), (WIDE, 6)])
def test_no_figure_stands_alone_in_a_row(browser: Browser, pages: Pages, width: int, columns: int) -> None:
    browser.open(pages.report, width=width)
    tops = browser.run(
        "return [...document.querySelectorAll('.tile')].map(one => one.getBoundingClientRect().top)"
    )
    assert [tops.count(top) for top in sorted(set(tops))] == [columns] * (6 // columns)


def test_on_a_phone_the_runs_come_before_the_charts(browser: Browser, pages: Pages) -> None:
    browser.open(pages.report, width=PHONE)
    tops = browser.run(
        "return ['.run', '.panels', '.repositories'].map(one => "
        "document.querySelector(one).getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)
    assert tops[0] < 1000


@pytest.mark.parametrize("width", [PHONE, 820, 1100, WIDE])
def test_numbers_fit_their_columns(browser: Browser, pages: Pages, width: int) -> None:
    """None is broken within a word, as `price / unknow / n` was."""
    browser.open(pages.report, width=width)
    browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
    heights = browser.run(
        "return [...document.querySelectorAll('.spent span, .rates td b, .usage td')].map("
        "one => [one.textContent, one.getClientRects().length, one.scrollWidth - one.clientWidth])"
    )
    assert any(text == "price unknown" for text, _, _ in heights)
    assert browser.run(_CUT_OFF) == []
    assert [text for text, lines, over in heights if lines > 1 or over > 1] == []


# Cells and heads of what runs take that are outside their panel, or on more than one line.
_CUT_OFF = """
const panel = document.querySelector('.panel-usage').getBoundingClientRect();
return [...document.querySelectorAll('.usage td, .usage thead th')].filter(one => one.checkVisibility())
  .map(one => [one.textContent, one.getBoundingClientRect()])
  .filter(([, box]) => box.right > panel.right || box.height > 40).map(([text]) => text);
"""


def test_what_hostile_people_wrote_is_text(browser: Browser, pages: Pages) -> None:
    browser.open(pages.hostile)
    assert browser.driver.title.startswith("sprint: ")
    text = browser.run("return document.body.textContent")
    for sent in HOSTILE[:5]:
        assert sent in text
    assert "{{ 7 * 7 }}" in text
    assert "\u202e" not in text
    assert browser.all("script, iframe, img, object, base, [onerror], [onfocus], [onload], [style]") == []
    assert len(browser.all("style")) == 1
    assert not any("javascript" in link for link in _links(browser))


def test_a_hostile_run_is_text_too(browser: Browser, pages: Pages) -> None:
    assert len(pages.hostile_runs) == len(HOSTILE)
    for page in pages.hostile_runs:
        browser.open(page)
        browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert not browser.driver.title.startswith("ran")
        assert browser.said == []
        assert browser.all("script, iframe, img, object, base, [onerror], [onfocus], [onload], [style]") == []
        assert not any("javascript" in link or "passwd" in link for link in _links(browser))
        assert "\u202e" not in browser.run("return document.body.textContent")


def test_hostile_text_would_run_in_a_careless_page(browser: Browser, pages: Pages, tmp_path: Path) -> None:
    careless = tmp_path / "careless.html"
    for sent in (HOSTILE[0], HOSTILE[2], HOSTILE[3]):
        careless.write_text(f"<!doctype html><title>calm</title><svg><desc>{sent}</svg>{sent}")
        browser.open(careless)
        assert browser.driver.title.startswith("ran"), sent


def test_the_policy_would_stop_what_escaping_missed(browser: Browser, pages: Pages, tmp_path: Path) -> None:
    slipped = tmp_path / "slipped.html"
    text = pages.report.read_text().replace("<main", f"{''.join(HOSTILE[:2])}<main", 1)
    slipped.write_text(text)
    browser.open(slipped)
    assert browser.driver.title.startswith("sprint: ")
    refused = [line for line in browser.said if "Content Security Policy" in line]
    assert any("script" in line for line in refused)
    assert any("image" in line for line in refused)


def _links(browser: Browser) -> list[str]:
    links = browser.run("return [...document.querySelectorAll('a')].map(one => one.getAttribute('href'))")
    return [str(link) for link in links]


@pytest.mark.parametrize("name", ["report", "run", "hostile"])
def test_links_lead_to_the_forge_or_to_a_file(browser: Browser, pages: Pages, name: str) -> None:
    page = getattr(pages, name)
    browser.open(page)
    for link in _links(browser):
        if link.startswith("#"):
            assert browser.all(f"[id='{link[1:]}']"), link
        elif not link.startswith(f"{FORGE}/"):
            assert (page.parent / unquote(link.partition("#")[0])).is_file(), link


def test_a_run_in_the_report_links_to_issue_pull_request_and_transcript(
    browser: Browser, pages: Pages
) -> None:
    browser.open(pages.report)
    rows = [row for row in ledger.read(pages.results) if isinstance(row, ledger.LedgerRow)]
    newest = max(rows[:-1] if rows[-1].run_id == "large" else rows, key=lambda row: row.finished_at)
    first = browser.all(".run")[0]
    links = {link.text: link.get_attribute("href") for link in first.find_elements(By.TAG_NAME, "a")}
    number = newest.issue
    assert links.pop(f"{newest.repo}#{number}") == f"{FORGE}/{newest.repo}/issues/{number}"
    assert links.pop("transcript") == (pages.results / "runs" / newest.run_id / "run.html").as_uri()
    assert links == ({f"pull #{number + 200}": newest.pr_url} if newest.pr_url else {})
    browser.driver.find_element(By.LINK_TEXT, "transcript").click()
    assert f"{newest.repo}#{number}" in browser.driver.title


@pytest.mark.parametrize("name", ["report", "run", "runs"])
def test_light_and_dark_are_both_legible(browser: Browser, pages: Pages, name: str) -> None:
    backgrounds = {}
    for theme in ("light", "dark"):
        browser.open(getattr(pages, name), theme=theme)
        browser.run("document.querySelectorAll('details').forEach(one => one.open = true)")
        backgrounds[theme] = browser.style("body", "background-color")
        weak = browser.run(_WEAK_CONTRAST)
        assert weak == [], theme
    assert backgrounds["light"] != backgrounds["dark"]


# The visible texts whose contrast is below 4.5:1 (WCAG 2, level AA).
_WEAK_CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const channels = colour => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const luminance = rgb => rgb.slice(0, 3).map(value => value / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
const behind = element => {
  for (let one = element; one; one = one.parentElement) {
    const rgba = channels(getComputedStyle(one).backgroundColor);
    if (rgba[3] > 250) return rgba;
  }
  return [255, 255, 255, 255];
};
const weak = new Set();
for (const element of document.querySelectorAll('body *')) {
  const own = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  if (!own || !element.checkVisibility() || element.closest('.unseen, .skip')) continue;
  const look = getComputedStyle(element);
  if (element.closest('svg') && element.tagName !== 'text') continue;
  const ink = luminance(channels(element.tagName === 'text' ? look.fill : look.color));
  const paper = luminance(behind(element));
  const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  if (ratio < 4.5) weak.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
}
return [...weak];
"""


def test_charts_follow_the_theme_and_the_width(browser: Browser, pages: Pages) -> None:
    fills = {}
    for theme, width, shown in (("light", PHONE, "narrow"), ("dark", WIDE, "wide")):
        browser.open(pages.report, theme=theme, width=width)
        fills[theme] = browser.run(
            "return [...document.querySelectorAll('.panel-runs .' + arguments[0] + ' .series')]"
            ".map(one => getComputedStyle(one.querySelector('rect')).fill)",
            shown,
        )
        visible = [chart for chart in browser.all(".chart") if chart.is_displayed()]
        assert len(visible) == 5
        assert all(shown in str(chart.get_attribute("class")) for chart in visible)
        smallest = browser.run(
            "return Math.min(...[...document.querySelectorAll('.chart text')].filter(one => "
            "one.checkVisibility()).map(one => one.getBoundingClientRect().height))"
        )
        assert smallest >= 12
    assert len(set(fills["light"])) == len(fills["light"]) > 4
    assert not set(fills["light"]) & set(fills["dark"])


def test_charts_say_in_words_what_they_show(browser: Browser, pages: Pages) -> None:
    browser.open(pages.report)
    for svg in browser.all(".chart svg"):
        assert svg.get_attribute("role") == "img"
        named = str(svg.get_attribute("aria-labelledby")).split()
        words = [
            browser.run("return document.getElementById(arguments[0]).textContent", key) for key in named
        ]
        assert len(words) == 2
        assert all(words)
    assert len(browser.all(".panel .chart")) == 2 * len(browser.all(".panel .data"))
    identifiers = browser.run("return [...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(identifiers) == len(set(identifiers))


def test_outputs_and_numbers_unfold(browser: Browser, pages: Pages) -> None:
    for page, block, inside in ((pages.report, ".panel-runs .data", "table"), (pages.run, ".output", "pre")):
        browser.open(page)
        details = browser.all(block)[0]
        content = details.find_element(By.TAG_NAME, inside)
        assert not content.is_displayed()
        details.find_element(By.TAG_NAME, "summary").click()
        assert content.is_displayed()
    prompt = browser.all(".prompt")[0]
    assert not prompt.find_element(By.TAG_NAME, "pre").is_displayed()


def test_a_run_shows_its_turns_checks_and_diff(browser: Browser, pages: Pages) -> None:
    browser.open(pages.run)
    text = browser.run("return document.body.textContent")
    for part in ("pytest -q", "212 tests", "src/export.py", "Turn 3", "Ended: implemented", "Reasoning"):
        assert part in text
    added, removed = (browser.style(f".diff .{kind}", "background-color") for kind in ("add", "del"))
    assert len({added, removed, browser.style(".diff .same", "background-color")}) == 3
    assert len(browser.all("article.turn")) >= 4


def test_a_large_transcript_stays_usable(browser: Browser, pages: Pages) -> None:
    assert pages.big.stat().st_size < 3_000_000
    browser.open(pages.big, width=PHONE)
    seconds = browser.run(
        "const [page] = performance.getEntriesByType('navigation'); return page.loadEventEnd / 1000"
    )
    assert seconds < 5
    assert "This is a long transcript" in browser.all("#transcript ~ .note")[0].text
    assert "characters left out" in browser.run("return document.body.textContent")
    assert browser.all("article.turn.end")


def _counted(browser: Browser) -> str:
    return str(browser.all(".count")[0].text)


def test_ten_thousand_runs_are_filtered_and_paged(browser: Browser, pages: Pages) -> None:
    browser.open(pages.runs, width=PHONE)
    assert _counted(browser) == "10,152 runs, page 1 of 102"
    assert len(browser.all(".run")) == 100
    assert browser.all(".run")[0].location["y"] < 600
    Select(browser.all("#repo")[0]).select_by_visible_text("octo/gears")
    Select(browser.all("#outcome")[0]).select_by_visible_text("limit")
    assert _counted(browser) == "5,000 of 10,152 runs, page 1 of 50"
    browser.all("#text")[0].send_keys("GEARS#99 limit")
    assert _counted(browser) == "55 of 10,152 runs"  # half of 99, 990 to 999, 9900 to 9999
    assert browser.run("return location.hash") == "#repo=octo%2Fgears&outcome=limit&text=GEARS%2399+limit"
    browser.all("#text")[0].send_keys(Keys.CONTROL, "a", Keys.DELETE)
    browser.all(".older")[0].click()
    assert _counted(browser).endswith("page 2 of 50")
    browser.driver.back()
    assert _counted(browser).endswith("page 1 of 50")
    assert not browser.all(".newer")[0].is_enabled()
    milliseconds = browser.run("const began = performance.now(); show(); return performance.now() - began")
    assert milliseconds < 1000


def test_a_cause_in_the_report_leads_to_its_runs(browser: Browser, pages: Pages) -> None:
    browser.open(pages.report)
    link = next(one for one in browser.all(".causes td a") if one.text == "the worker changed nothing")
    count = link.find_element(By.XPATH, "ancestor::tr/th").text
    link.click()
    assert _counted(browser) == f"{count} of 152 runs"
    assert {one.text for one in browser.all(".run .detail")} == {"the worker changed nothing"}
    assert browser.all(".chosen")[0].text.startswith("Cause: the worker changed nothing, since 2026-10-22")
    browser.all(".chosen button")[0].click()
    assert not browser.all(".chosen")[0].is_displayed()


def test_hostile_runs_are_text_in_the_list(browser: Browser, pages: Pages) -> None:
    browser.open(pages.runs)
    assert browser.driver.title == "sprint: 10,152 runs, 21 Nov 2026, 12:00"
    text = browser.run("return document.querySelector('ol.runs').textContent")
    for sent in HOSTILE[:5]:
        assert " ".join(sent.split()) in text
    assert "\u202e" not in text
    assert browser.all("iframe, img, object, base, [onerror], [onfocus], [onload], [style]") == []
    assert len(browser.all("script")) == 2
    assert not any("javascript" in link for link in _links(browser))


def test_the_list_is_for_the_keyboard_and_for_screen_readers(browser: Browser, pages: Pages) -> None:
    browser.open(pages.runs)
    named = {}
    for _ in range(40):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        one = browser.driver.switch_to.active_element
        named[one.accessible_name] = one.aria_role
    names = list(named)
    assert names[:7] == [
        "Skip to the content",
        "Report",
        "Repository",
        "Outcome",
        "Worker",
        "Model",
        "Text",
    ]
    assert all(names)
    assert named["Text"] == "searchbox"
    assert browser.all("ol.runs")[0].accessible_name == "Runs, the newest first; times are UTC"
    assert browser.all(".count")[0].aria_role == "status"
