"""The pages in a real browser: headless Chromium, driven by its own driver."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from sprint import ledger
from sprint.config import load
from sprint.monitor.figures import Service as Server
from sprint.monitor.gather import gather
from sprint.monitor.html.report_page import write_report
from sprint.monitor.html.run_page import write_run
from sprint.runs import RunStore
from tests.monitor.ledgers import NOW
from tests.monitor.sample import FORGE, HOSTILE, a_month, a_run

pytestmark = pytest.mark.machine

PHONE, WIDE = 390, 1600
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """A browser with one page in it, and what it said and asked for since the page was opened."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, *, width: int = WIDE, theme: str = "light") -> None:
        self._cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        self._cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width == PHONE,
        )
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(page.as_uri())

    def _cdp(self, command: str, **arguments: Any) -> None:
        self.driver.execute_cdp_cmd(command, arguments)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def style(self, selector: str, name: str) -> str:
        return str(self.all(selector)[0].value_of_css_property(name))

    @property
    def said(self) -> list[str]:
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    @property
    def requests(self) -> list[str]:
        messages = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    home = tmp_path_factory.mktemp("browser")
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*_FLAGS, f"--user-data-dir={home / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    environment = {**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)}
    driver = webdriver.Chrome(options, Service("/usr/bin/chromedriver", env=environment))
    yield Browser(driver)
    driver.quit()


@dataclass(frozen=True)
class Pages:
    """A report, runs of kinds, and a report on what hostile people sent, with one of their runs."""

    report: Path
    run: Path
    big: Path
    hostile: Path
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
    return Pages(report, run, big, hostile, tuple(runs), results)


def _report(root: Path, *, hostile: bool) -> tuple[Path, Path]:
    results = root / "results"
    a_month(results, hostile=hostile)
    config_file = root / "sprint.yaml"
    config_file.write_text(
        f"forges:\n  gitea: {{kind: gitea, url: {FORGE}}}\n"
        "repos: [{name: octo/widgets}, {name: acme/docs}]\npaths: {results: results}\n"
    )
    config = load(config_file, environ={}, cwd=root, home=root)
    report = gather(config, {}, root, NOW, ask=False)
    servers = (
        Server("hermes server", "http://127.0.0.1:8642/health", True),
        Server("model", "", False, "down"),
    )
    page = root / "out" / "report.html"
    page.parent.mkdir()
    write_report(page, replace(report, services=servers, spent_today_usd=6.4), config.forges)
    return page, results


@pytest.mark.parametrize("name", ["report", "run", "big", "hostile"])
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
@pytest.mark.parametrize("name", ["report", "run", "hostile"])
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
    assert [text for text, lines, over in heights if lines > 1 or over > 1] == []


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
            assert (page.parent / unquote(link)).is_file(), link


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


@pytest.mark.parametrize("name", ["report", "run"])
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
