"""`sprint serve --public` over HTTP: who may call, and what a call starts."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.datastructures import Headers

from sprint import callbacks, proc
from sprint.config import load
from sprint.domain import Phase
from sprint.errors import ConfigError, ForgeError
from sprint.lock import is_held, lock, lock_path
from sprint.runs import RunStore
from sprint.serve import forge_hooks, http_server, public_site, tick_starter
from sprint.serve.public_site import PublicSite
from sprint.serve.tick_starter import TickStarter
from tests.around import around
from tests.serve import signed
from tests.serve.asked_ticks import Asked, asked_of
from tests.serve.serving import Served, serving
from tests.some_run import a_run, settled

LOGIN = forge_hooks.ForgeHooks._login  # as it is, while the whole site's is another
FORGE_SECRET = "of-the-forge-0123456789"


def a_root(root: Path) -> Path:
    (root / "hooks.secret").write_text(FORGE_SECRET)
    (root / "hub.secret").write_text(FORGE_SECRET[::-1])
    for name in ("hooks.secret", "hub.secret"):
        (root / name).chmod(0o600)
    forges = {
        "gitea": {"kind": "gitea", "url": "https://git.example.org", "webhook_secret_file": "hooks.secret"},
        "github": {"kind": "github", "webhook_secret_file": "hub.secret"},
    }
    repos = [{"name": "octo/widgets", "forge": "gitea"}, {"name": "octo/widgets", "forge": "github"}]
    paths = {"results": "results", "cache": "cache"}
    (root / "sprint.yaml").write_text(yaml.safe_dump({"forges": forges, "repos": repos, "paths": paths}))
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return a_root(tmp_path)


@pytest.fixture(scope="module")
def whole_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served[PublicSite], Path]]:
    """Of an account called sprint-bot."""
    root = a_root(tmp_path_factory.mktemp("public"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forge_hooks.ForgeHooks, "_login", lambda *_: "sprint-bot")
        patch.setattr(public_site, "TickStarter", Asked)
        with serving(PublicSite(load(root / "sprint.yaml", around(root)), around(root))) as one:
            yield one, root


@pytest.fixture
def site(whole_site: tuple[Served[PublicSite], Path]) -> Served[PublicSite]:
    asked_of(whole_site[0].site).clear()
    return whole_site[0]


class Caller:
    """A sprite that works on one run."""

    def __init__(self, site: Served[PublicSite], root: Path) -> None:
        self.site, self.store = site, RunStore(root / "results")
        self.run = a_run(phase=Phase.WORKING)
        self.folder = self.store.create(self.run)
        self.key = callbacks.make_key(self.folder)

    def post(
        self, body: bytes, headers: dict[str, str], run: str = "", path: str = "/webhooks/sprite/"
    ) -> int:
        place = f"{path}{run or self.run.id}"
        return self.site.get(place, method="POST", body=body, **headers).status

    def body(self, body: bytes) -> bytes:
        return signed.of_run(body, self.run.id)

    def marks(self) -> list[dict[str, Any]]:
        path = self.folder / "callbacks.json"
        return list(json.loads(path.read_bytes())["marks"]) if path.exists() else []


@pytest.fixture
def caller(site: Served[PublicSite], whole_site: tuple[Served[PublicSite], Path]) -> Caller:
    return Caller(site, whole_site[1])


def test_plainly_signed_payloads_are_taken_once_each(caller: Caller) -> None:
    """Whoever signs without a time can say each thing once, and ask each question once."""
    for body in (signed.COMPLETED, signed.ERROR, signed.QUESTION):
        body = caller.body(body)
        assert caller.post(body, signed.plainly(caller.key, body), path="/api/webhooks/sprite/") == 202
        assert caller.post(body, signed.plainly(caller.key, body)) == 200, "known already"
    other = caller.body(signed.COMPLETED.replace(b"15", b"16"))
    assert caller.post(other, signed.plainly(caller.key, other)) == 200
    another = caller.body(signed.QUESTION.replace(b"proceed", b"stop"))
    assert caller.post(another, signed.plainly(caller.key, another)) == 202
    assert [mark["kind"] for mark in caller.marks()] == ["completed", "error", "question", "question"]
    assert callbacks.said(caller.folder, "question") == "Should I stop?"
    run = caller.run
    assert asked_of(caller.site.site) == 4 * [(run.forge, run.repo, run.id)]
    notes = (caller.folder / "transcript.jsonl").read_text()
    assert "called back: error: Git push failed" in notes


def test_with_a_time_it_counts_once_and_again_at_another_time(caller: Caller) -> None:
    body = caller.body(signed.COMPLETED)
    headers = signed.with_time(caller.key, body)
    assert [caller.post(body, headers), caller.post(body, headers)] == [202, 200]
    assert caller.post(body, signed.with_time(caller.key, body, time.time() - 100)) == 202
    assert caller.post(body, signed.plainly(caller.key, body)) == 202, "the other form is another call"
    with ThreadPoolExecutor(8) as pool:
        late = signed.with_time(caller.key, body, time.time() - 50)
        answers = [pool.submit(caller.post, body, late) for _ in range(8)]
        assert sorted(answer.result() for answer in answers) == [200] * 7 + [202]
    assert len(asked_of(caller.site.site)) == len(caller.marks()) == 4


def test_after_the_agent_was_begun_anew_what_it_said_before_is_over(caller: Caller) -> None:
    callbacks.begin_anew(caller.folder)
    body = caller.body(signed.QUESTION)
    assert caller.post(body, signed.plainly(caller.key, body)) == 202
    assert (caller.folder / "callback.key").stat().st_mode & 0o777 == 0o600
    callbacks.begin_anew(caller.folder)
    assert callbacks.said(caller.folder, "question") == ""
    assert caller.post(body, signed.plainly(caller.key, body)) == 200


@pytest.mark.parametrize(
    ("what", "status"),
    {
        "not signed": 401,
        "signed with nothing": 401,
        "signed by another run's secret": 401,
        "signed twice": 401,
        "of another text": 401,
        "by no digest": 401,
        "old": 401,
        "of the future": 401,
        "at no time": 401,
        "a time that is not signed": 401,
        "a time as the body's begin": 400,
        "huge": 413,
        "huge, and told so": 413,
        "of a run that is none": 401,
        "of a path that is none": 404,
        "of a name that is none": 401,
        "of a run that nobody calls back": 401,
        "about another run": 400,
        "about another session": 400,
        "no JSON": 400,
        "no object": 400,
        "of no type": 400,
        "of another type": 400,
        "with a list for a text": 400,
        "without a question": 400,
        "over": 409,
    }.items(),
)
def test_what_is_not_right_marks_nothing(caller: Caller, what: str, status: int) -> None:
    key, body, run_id = caller.key, caller.body(signed.ERROR), caller.run.id
    headers, now = signed.plainly(key, body), time.time()
    path = "/webhooks/sprite/"

    def other(text: bytes) -> None:
        nonlocal body, headers
        body, headers = text, signed.plainly(key, text)

    match what:
        case "not signed":
            headers = {}
        case "signed with nothing":
            headers = signed.plainly("", body)
        case "signed by another run's secret":
            headers = signed.plainly(callbacks.make_key(caller.store.create(a_run(minute=9))), body)
        case "signed twice":
            headers = {"X-Webhook-Signature": ", ".join(2 * [headers["X-Webhook-Signature"]])}
        case "of another text":
            body += b" "
        case "by no digest":
            headers = {"X-Webhook-Signature": "sha1=\xe9"}
        case "old":
            headers = signed.with_time(key, body, now - 400)
        case "of the future":
            headers = signed.with_time(key, body, now + 400)
        case "at no time":
            headers = {**headers, "X-Webhook-Timestamp": "yesterday"}
        case "a time that is not signed":
            headers = {**headers, "X-Webhook-Timestamp": str(int(now))}
        case "a time as the body's begin":
            headers = signed.with_time(key, body)
            body = f"{headers.pop('X-Webhook-Timestamp')}.".encode() + body
        case "huge":
            other(b'{"type":"error","taskId":"' + b"x" * 66_000)
            headers["Transfer-Encoding"] = "chunked"
        case "huge, and told so":
            other(b"x" * 66_000)
        case "of a run that is none":
            run_id = "20261121T120102Z-octo-widgets-12-00000000"
        case "of a path that is none":
            run_id = "..%2f..%2fhooks.secret"
        case "of a name that is none":
            run_id = ".."
        case "of a run that nobody calls back":
            run_id = caller.store.create(a_run(minute=9)).name
        case "about another run":
            other(body.replace(f'"taskId":"{run_id}"'.encode(), b'"taskId":"another"'))
        case "about another session":
            other(body.replace(f'"sessionId":"{run_id}"'.encode(), b'"sessionId":"another"'))
        case "no JSON":
            other(body[:-1])
        case "no object":
            other(b"[" + body + b"]")
        case "of no type":
            other(body.replace(b'"type":"error",', b""))
        case "of another type":
            other(body.replace(b'"error"', b'"rm -rf"', 1))
        case "with a list for a text":
            other(body.replace(b'"Git push failed"', b'["Git"]'))
        case "without a question":
            other(caller.body(signed.QUESTION).replace(b"Should I proceed?", b" "))
        case "over":
            caller.store.save(settled(caller.run))
    assert caller.post(body, headers, run_id, path) == status
    assert caller.marks() == []
    assert asked_of(caller.site.site) == []


def test_a_run_calls_back_only_so_often(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "MOST", 3)
    body = caller.body(signed.ERROR)
    times = [time.time() - ago for ago in range(5)]
    answers = [caller.post(body, signed.with_time(caller.key, body, at)) for at in times]
    assert answers == [202, 202, 202, 429, 429]


def test_whoever_is_slow_is_hung_up_on(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a body with an answer, before there is a request without one; others are served."""
    monkeypatch.setattr(public_site, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.3)
    head = f"POST /webhooks/sprite/{caller.run.id} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nabc"
    said = {}
    for sent in (head, "POST /webhooks", ""):
        with socket.create_connection(("127.0.0.1", caller.site.port)) as slow:
            slow.settimeout(60)
            slow.sendall(sent.encode())
            assert caller.site.get("/healthz").text == "ok\n"
            try:
                said[sent] = slow.recv(4096)
            except ConnectionResetError:
                said[sent] = b""
    assert said[head].startswith(b"HTTP/1.1 408")
    assert said["POST /webhooks"] == said[""] == b""


def test_it_shows_nothing_of_the_page(site: Served[PublicSite]) -> None:
    for path in ("/", "/metrics", "/live.js", "/login", "/runs/x", "/webhooks/forge", "/webhooks/sprite/x"):
        answer = site.get(path)
        assert answer.status in (404, 405), path
        assert "html" not in answer.headers.get("content-type", "")


# --- forges


def on_github(*args: Any, **options: Any) -> signed.Delivery:
    return signed.by_github(FORGE_SECRET[::-1], *args, **options)


def on_gitea(*args: Any, **options: Any) -> signed.Delivery:
    return signed.by_gitea(FORGE_SECRET, *args, **options)


COMMENT = {"comment": {"id": 1, "body": "Like this.", "user": {"login": "carl"}}}
OWN = signed.issue_event("created", sender="Sprint-Bot", **COMMENT)


def pull(**more: Any) -> dict[str, Any]:
    return signed.issue_event("reviewed", pull_request={"number": 13}, **more)


@pytest.mark.parametrize(
    ("delivery", "starts"),
    [
        (on_gitea("issues", signed.issue_event()), "gitea"),
        (on_gitea("issues", signed.issue_event(), form=True), "gitea"),
        (on_gitea("issues", signed.issue_event("label_updated"), kind="issue_label"), "gitea"),
        (on_gitea("issue_comment", signed.issue_event("created", is_pull=False, **COMMENT)), "gitea"),
        (on_gitea("issue_comment", OWN), ""),
        (
            on_gitea(
                "pull_request_rejected",
                pull(review={"type": "pull_request_review_rejected", "content": "No."}),
                kind="pull_request_review_rejected",
            ),
            "gitea",
        ),
        (on_gitea("", signed.issue_event(state="failure", sender="Sprint-Bot"), kind="status"), "gitea"),
        (on_gitea("", signed.issue_event(state="pending"), kind="status"), ""),
        (on_gitea("push", signed.issue_event(ref="refs/heads/main")), ""),
        (on_gitea("issues", signed.issue_event(repo="Octo/Widgets")), "gitea"),
        (on_gitea("issues", signed.issue_event(repo="octo/other")), ""),
        (signed.by_forgejo(FORGE_SECRET, "issues", signed.issue_event()), "gitea"),
        (on_github("issues", signed.issue_event("labeled")), "github"),
        (on_github("issues", signed.issue_event("labeled"), form=True), "github"),
        (on_github("issue_comment", OWN), ""),
        (on_github("pull_request_review", pull(review={"state": "changes_requested"})), "github"),
        (on_github("pull_request_review_comment", pull(**COMMENT)), "github"),
        # What CI of ours says comes in our own name: we pushed.
        (on_github("check_suite", signed.issue_event("completed", sender="sprint-bot")), "github"),
        (on_github("check_suite", signed.issue_event("requested", sender="sprint-bot")), ""),
        (on_github("status", signed.issue_event("", state="success")), "github"),
        (on_github("ping", {"zen": "Keep it logically awesome.", "hook_id": 292430182}), ""),
    ],
)
def test_a_webhook_starts_a_tick_of_its_repository(
    site: Served[PublicSite], delivery: signed.Delivery, starts: str
) -> None:
    headers, body = delivery
    answer = site.get("/webhooks/forge", method="POST", body=body, **headers)
    assert answer.status == (202 if starts else 200), answer.text
    assert asked_of(site.site) == ([(starts, "octo/widgets")] if starts else [])


@pytest.mark.parametrize(
    "what", ["unsigned", "sha1 only", "another secret", "changed", "huge", "fields", "no JSON"]
)
def test_a_webhook_that_is_not_the_forges_starts_none(site: Served[PublicSite], what: str) -> None:
    headers, body = on_github("issues", signed.issue_event())
    match what:
        case "unsigned":
            headers = {name: value for name, value in headers.items() if "Signature" not in name}
        case "sha1 only":
            del headers["X-Hub-Signature-256"]
        case "another secret":
            headers, body = signed.by_github("x" * 20, "issues", signed.issue_event())
        case "changed":
            body = body.replace(b"Often", b"Never")
        case "huge":
            body = body + b" " * forge_hooks.BODY_BYTES
        case "fields":
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = b"a=b&" * 20
        case "no JSON":
            body = b"no JSON"
            headers["X-Hub-Signature-256"] = f"sha256={signed.digest(FORGE_SECRET[::-1], body)}"
    answer = site.get("/webhooks/forge", method="POST", body=body, **headers)
    assert answer.status == {"huge": 413, "no JSON": 400}.get(what, 401)
    assert asked_of(site.site) == []


def test_a_secret_that_can_be_guessed_is_refused(root: Path) -> None:
    (root / "hooks.secret").write_text("short")
    with pytest.raises(ConfigError, match="webhook_secret_file: give it 16 characters"):
        PublicSite(load(root / "sprint.yaml", around(root)), around(root))


def test_a_forge_that_does_not_tell_who_we_are_is_not_asked_for_each_event(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile each counts: a tick too many is better than one too few."""
    hooks, asked = forge_hooks.ForgeHooks(load(root / "sprint.yaml", around(root)), around(root)), []

    def away(*_: Any) -> Any:
        asked.append(1)
        raise ForgeError("it does not answer")

    monkeypatch.setattr(forge_hooks, "forge_of", away)
    monkeypatch.setattr(forge_hooks.ForgeHooks, "_login", LOGIN)
    headers, body = on_gitea("issue_comment", OWN)
    for _ in range(3):
        assert hooks.event(Headers(headers), body).why_not == ""
    assert len(asked) == 1


# --- ticks


@pytest.fixture
def begun(root: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The ticks that were started: in their place something short."""
    for name, seconds in {"GATHER_SECONDS": 0.05, "LEAST_SECONDS": 0.1, "_LOOK_SECONDS": 0.02}.items():
        monkeypatch.setattr(tick_starter, name, seconds)
    begun: list[list[str]] = []
    detach = proc.detach

    def short(argv: list[str], **how: Any) -> int:
        begun.append(argv)
        return detach(["sleep", "0.3"], **how)

    monkeypatch.setattr(proc, "detach", short)
    return begun


def in_loop(root: Path, script: Callable[[TickStarter], Any]) -> None:
    """Ask as it says, and wait for what comes of that."""

    async def run() -> None:
        ticks = TickStarter(load(root / "sprint.yaml", around(root)), around(root))
        await script(ticks)
        while ticks._tasks:
            await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_burst_is_one_tick_and_what_comes_during_it_one_more(root: Path, begun: list[list[str]]) -> None:
    async def burst(ticks: TickStarter) -> None:
        for _ in range(50):
            ticks.ask("gitea", "octo/widgets")
        ticks.ask("github", "octo/widgets")
        while len(begun) < 2:
            await asyncio.sleep(0.01)
        for _ in range(50):
            ticks.ask("gitea", "octo/widgets")

    in_loop(root, burst)
    names = sorted(argv[-1] for argv in begun)
    assert names == ["gitea:octo/widgets", "gitea:octo/widgets", "github:octo/widgets"]
    assert begun[0][1:-1] == ["-m", "sprint", "--config", str(root / "sprint.yaml"), "run"]


def test_a_tick_of_crons_is_waited_for(
    root: Path, begun: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    leave = threading.Event()
    looks: list[bool] = []

    def noted(path: Path) -> bool:
        looks.append(is_held(path))
        return looks[-1]

    monkeypatch.setattr(tick_starter, "is_held", noted)

    def cron() -> None:
        with lock(lock_path(root / "cache", "gitea", "octo/widgets")):
            held.set()
            leave.wait(60)

    thread = threading.Thread(target=cron)
    thread.start()
    held.wait(60)

    async def asked(ticks: TickStarter) -> None:
        ticks.ask("gitea", "octo/widgets")
        while len(looks) < 3:
            await asyncio.sleep(0.01)
        assert looks == [True] * len(looks)
        assert begun == []
        leave.set()

    in_loop(root, asked)
    thread.join()
    assert len(begun) == 1


def test_a_run_that_said_it_is_done_is_looked_at_until_it_is(root: Path, begun: list[list[str]]) -> None:
    """But not for ever: the schedule does that."""
    store, run = RunStore(root / "results"), a_run(phase=Phase.WORKING)
    store.create(run)

    async def asked(ticks: TickStarter) -> None:
        ticks.ask("gitea", "octo/widgets", run.id)

    in_loop(root, asked)
    assert len(begun) == 4
    store.save(settled(run))
    in_loop(root, asked)
    assert len(begun) == 5
