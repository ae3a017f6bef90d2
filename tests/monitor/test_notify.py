from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sprint.config import Config, load
from sprint.domain import LedgerRow
from sprint.errors import ConfigError
from sprint.monitor.figures import Alarm, Figures, PullCounts, Report
from sprint.monitor.notify import notify
from tests.around import around
from tests.monitor.ledgers import NOW, a_row
from tests.servers.loopback import Answer, LoopbackServer, Request

STUCK = Alarm("stuck run1", "octo/widgets #12: stuck")
DEAD = Alarm("cron home:octo/widgets", "octo/widgets: cron looks dead")


class Inbox:
    """A server that apprise's json:// addresses post to."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.status = 200
        self.server = LoopbackServer(self._answer)

    @property
    def url(self) -> str:
        return f"{self.server.url.replace('http://', 'json://user:s3cret@')}/"

    def _answer(self, request: Request) -> Answer:
        if self.status == 200:
            self.messages.append(request.json())
        return Answer(self.status)

    @property
    def bodies(self) -> list[str]:
        return [message["message"] for message in self.messages]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    box = Inbox()
    with box.server:
        yield box


def configured(folder: Path, notify_text: str) -> Config:
    (folder / "sprint.yaml").write_text(f"notify: {notify_text}\n")
    return load(None, around(folder))


def report(*alarms: Alarm, rows: tuple[LedgerRow, ...] = (), minutes: float = 0.0) -> Report:
    made_at = NOW + timedelta(minutes=minutes)
    return Report(
        made_at=made_at,
        results="",
        figures=Figures(made_at=made_at, latest=rows),
        active=(),
        repos=(),
        pulls=PullCounts(),
        services=(),
        spent_today_usd=0.0,
        ceiling_usd=None,
        alarms=alarms,
    )


def test_an_alarm_is_sent_once_while_it_lasts(tmp_path: Path, inbox: Inbox) -> None:
    config = configured(tmp_path, "{urls_env: NOTIFY_URLS}")
    environ = {"NOTIFY_URLS": f"# to whom\n\n{inbox.url}\n"}
    notify(config, report(), environ)
    assert inbox.bodies == []
    for minutes in (0, 30, 60):
        notify(config, report(STUCK, minutes=minutes), environ)
    assert inbox.bodies == [STUCK.text]
    assert inbox.messages[0]["title"] == "sprint: alarm"
    notify(config, report(STUCK, DEAD), environ)
    assert inbox.bodies[1:] == [DEAD.text]
    notify(config, report(DEAD), environ)
    notify(config, report(STUCK, DEAD), environ)
    assert inbox.bodies[2:] == [STUCK.text]


def test_what_was_not_taken_is_sent_again(
    tmp_path: Path, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "urls").write_text(inbox.url)
    config = configured(tmp_path, "{urls_file: urls}")
    inbox.status = 500
    with caplog.at_level(logging.DEBUG):
        notify(config, report(STUCK), {})
    assert "sent again the next time" in caplog.text
    assert "s3cret" not in caplog.text
    inbox.status = 200
    notify(config, report(STUCK), {})
    assert inbox.bodies == [STUCK.text]
    (config.paths.results / "notified.json").write_text("{broken")
    notify(config, report(STUCK), {})
    assert inbox.bodies == [STUCK.text] * 2


def test_pull_requests_are_told_if_wanted(tmp_path: Path, inbox: Inbox) -> None:
    (tmp_path / "urls").write_text(inbox.url)
    old = a_row(1, pr_url="https://git.example.org/octo/widgets/pulls/1")
    middle = a_row(-0.25, pr_url="https://git.example.org/octo/widgets/pulls/3")
    new = a_row(-0.75, pr_url="https://git.example.org/octo/widgets/pulls/2")
    quiet = configured(tmp_path, "{urls_file: urls}")
    notify(quiet, report(rows=(old,)), {})
    notify(quiet, report(rows=(middle, old), minutes=30), {})
    assert inbox.bodies == []
    config = configured(tmp_path, "{urls_file: urls, pull_requests: true}")
    for minutes in (40, 50, 60):
        rows = (new, middle, old) if minutes == 50 else (middle, old)
        notify(config, report(rows=rows, minutes=minutes), {})
    assert inbox.bodies == ["octo/widgets #12: https://git.example.org/octo/widgets/pulls/2"]


def test_addresses_that_cannot_be_used_are_one_sentence(tmp_path: Path) -> None:
    for text, environ, reason in (
        ("{urls_env: NOTIFY_URLS}", {}, r"notify\.urls_env: \$NOTIFY_URLS is empty"),
        ("{urls_file: missing}", {}, r"notify\.urls_file: cannot read .*/missing: No such file"),
        ("{urls_env: NOTIFY_URLS}", {"NOTIFY_URLS": "no-such-scheme://s3cret"}, "address 1 of 1"),
    ):
        with pytest.raises(ConfigError, match=reason) as caught:
            notify(configured(tmp_path, text), report(STUCK), environ)
        assert "s3cret" not in str(caught.value)
    notify(configured(tmp_path, "{}"), report(STUCK), {})
    assert not (tmp_path / "results" / "notified.json").exists()


def test_without_apprise_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "apprise", None)
    config = configured(tmp_path, "{urls_env: NOTIFY_URLS}")
    with pytest.raises(ConfigError, match="pip install"):
        notify(config, report(STUCK), {"NOTIFY_URLS": "json://127.0.0.1"})
