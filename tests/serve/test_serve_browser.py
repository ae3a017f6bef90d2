"""The live page in a real browser."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sprint import progress, transcript
from sprint.domain import Outcome, Phase, replace
from sprint.runs import RunStore
from sprint.serve.site import Site
from tests.chromium import PHONE, WIDE, Browser
from tests.chromium import browser as browser  # a fixture
from tests.monitor.sample import HOSTILE, a_month
from tests.serve.serving import Served, served
from tests.serve.serving import quick as quick  # a fixture
from tests.waiting import wait_until

pytestmark = pytest.mark.machine

_TOO_WIDE = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"


_LOG_TOP = "return document.querySelector('.log').getBoundingClientRect().top + scrollY"


def said_of(browser: Browser, site: Served[Site]) -> list[str]:
    """Without what a page before still says, whose server has gone."""
    return [line for line in browser.said if f":{site.port}/" in line]


@pytest.mark.parametrize("width", [PHONE, WIDE])
def test_a_run_is_watched_without_loading_the_page_again(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    a_month(tmp_path / "results", hostile=True)
    store = RunStore(tmp_path / "results")
    (run_id,) = store.active_ids()
    folder = store.folder(run_id)

    def shows(text: str) -> bool:
        return text in browser.run("return document.querySelector('.live').textContent")

    with served(tmp_path) as site:
        browser.open(f"http://127.0.0.1:{site.port}/runs/{run_id}", width=width)
        browser.run("window.same = true")
        for text in HOSTILE:
            transcript.append(folder, "note", text=text)
        progress.append(folder, "doing", what="tool", text="make test " + "x" * 300, seconds=60)
        progress.append(folder, "output", text="3 of 9 passed")
        assert wait_until(lambda: shows("3 of 9 passed") and shows("make test"))
        assert wait_until(lambda: shows(HOSTILE[0]))
        assert browser.run(_TOO_WIDE) == 0
        assert browser.all(".log img, .log script, .log iframe") == []

        top = browser.run(_LOG_TOP)
        transcript.append(folder, "tool", text="done", exit_code=0)
        assert wait_until(lambda: not shows("make test"))
        progress.append(folder, "doing", what="tool", text="ls", seconds=60)
        assert wait_until(lambda: shows(" of 1:00 min · ls"))
        assert browser.run(_LOG_TOP) == top  # it stays where it is, whatever comes and goes
        progress.append(folder, "output", text="3 of 9 passed")
        assert wait_until(lambda: shows("3 of 9 passed"))

        run = store.load(run_id)
        store.save(replace(run, paused_since=datetime.now(UTC), paused_why="the model is away"))
        assert wait_until(
            lambda: "paused" in browser.run("return document.querySelector('header').textContent")
        )
        assert shows("3 of 9 passed")  # the log stays
        assert browser.run("return window.same")
        assert not browser.driver.title.startswith("ran")
        assert said_of(browser, site) == []


@pytest.mark.usefixtures("quick")
def test_the_report_follows_its_files(browser: Browser, tmp_path: Path) -> None:
    a_month(tmp_path / "results", hostile=True)
    with served(tmp_path) as site:
        browser.open(f"http://127.0.0.1:{site.port}/", width=PHONE)
        browser.run("window.same = true; document.querySelector('footer details').open = true")
        browser.run("document.querySelector('.panel-runs .data').open = true")
        (tmp_path / "results" / "cron.log").write_text("octo/widgets: news of a tick\n")
        assert wait_until(lambda: "news of a tick" in browser.run("return document.body.textContent"))
        assert browser.run("return window.same")
        assert browser.run("return document.querySelector('.panel-runs .data').open")
        assert browser.run(_TOO_WIDE) == 0
        assert not browser.driver.title.startswith("ran")
        assert said_of(browser, site) == []
        assert browser.all("img, iframe, [onerror], [onload], [style]") == []


@pytest.mark.usefixtures("quick")
def test_who_reads_a_report_is_not_disturbed_by_a_newer_one(browser: Browser, tmp_path: Path) -> None:
    a_month(tmp_path / "results")
    log = tmp_path / "results" / "cron.log"

    def shows(text: str) -> bool:
        return text in browser.run("return document.querySelector('main').textContent")

    with served(tmp_path) as site:
        browser.open(f"http://127.0.0.1:{site.port}/", width=PHONE)
        browser.run(
            "const panel = document.querySelector('.panel-runs details');"
            "panel.open = true; panel.querySelector('.scroll').scrollTop = 50;"
            "document.querySelector('nav.inside').scrollLeft = 40; panel.querySelector('summary').focus()"
        )
        log.write_text("news of a tick\n")
        assert wait_until(lambda: shows("news of a tick"))
        assert browser.run(
            "return [document.querySelector('.panel-runs .scroll').scrollTop,"
            "document.querySelector('nav.inside').scrollLeft,"
            "document.activeElement.closest('.panel-runs') !== null]"
        ) == [50, 40, True]

        browser.run("getSelection().selectAllChildren(document.querySelector('.tile dd'))")
        chosen = browser.run("return String(getSelection())")
        stamp = browser.run("return document.body.dataset.stamp")
        log.write_text("what came meanwhile\n")
        assert wait_until(lambda: browser.run("return waits"))
        assert browser.run("return String(getSelection())") == chosen
        assert browser.run("return document.body.dataset.stamp") == stamp
        browser.run("getSelection().removeAllRanges()")
        assert wait_until(lambda: shows("what came meanwhile"))
        assert said_of(browser, site) == []


def test_the_last_page_of_a_run_says_what_became_of_it(browser: Browser, tmp_path: Path) -> None:
    """Its last phases follow each other faster than its page is made."""
    a_month(tmp_path / "results")
    store = RunStore(tmp_path / "results")
    (run_id,) = store.active_ids()
    run = store.load(run_id)

    def badge() -> str:
        return str(browser.run("return document.querySelector('header .badge').textContent"))

    with served(tmp_path) as site:
        browser.open(f"http://127.0.0.1:{site.port}/runs/{run_id}")
        store.save(replace(run, phase=Phase.CONCLUDED))
        assert wait_until(lambda: "concluded" in badge())
        store.save(replace(run, phase=Phase.SETTLED, outcome=Outcome.LIMIT, finished_at=datetime.now(UTC)))
        assert wait_until(lambda: "limit" in badge())


@pytest.mark.usefixtures("quick")
def test_a_page_says_that_the_server_is_away_and_comes_back_with_it(browser: Browser, tmp_path: Path) -> None:
    a_month(tmp_path / "results")

    def lost() -> bool:
        return bool(browser.run("return document.querySelector('.lost').textContent"))

    with served(tmp_path) as site:
        browser.open(f"http://127.0.0.1:{site.port}/")
        browser.run("window.same = true")
    assert wait_until(lost)
    (tmp_path / "results" / "cron.log").write_text("octo/widgets: meanwhile\n")
    with served(tmp_path, port=site.port):
        assert wait_until(lambda: not lost())
        assert wait_until(lambda: "meanwhile" in browser.run("return document.body.textContent"))
        assert browser.run("return window.same")
