"""Requests to a forge over real HTTP on loopback: waiting, repeating, redirects, pages, and the sentences."""

from __future__ import annotations

import gzip
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, NoReturn

import pytest

from sprint.config import ForgeConfig
from sprint.domain import Secret
from sprint.errors import ForgeError
from sprint.forge import answer, connect
from sprint.forge.http import Api
from sprint.retries import ATTEMPTS
from tests.servers.loopback import Answer as Served
from tests.servers.loopback import Fault, LoopbackServer, Request, Seen, json_answer
from tests.waiting import wait_until

TOKEN = "t0ken-of-the-test"


@pytest.fixture
def serve() -> Iterator[Callable[..., LoopbackServer]]:
    with ExitStack() as stack:

        def start(handle: Callable[[Request], Served]) -> LoopbackServer:
            return stack.enter_context(LoopbackServer(handle, lambda: [TOKEN]))

        yield start


def fine(request: Request) -> Served:
    return json_answer({"ok": request.method})


def asked(server: LoopbackServer, count: int) -> list[Seen]:
    """The requests that came, `count` of them: what the client gave up may be in the log late."""
    wait_until(lambda: len(server.requests) >= count, 5)
    assert len(server.requests) == count
    return server.requests


def api_of(server: LoopbackServer, **more: Any) -> Api:
    more = {"token_from": "the token in $T", **more}
    return Api(server.url + "/api/v1", Secret(TOKEN), scheme="token", headers={}, **more)


def test_the_token_goes_in_a_header_and_nowhere_else(serve: Callable[..., LoopbackServer]) -> None:
    server = serve(fine)
    assert api_of(server).get("user", {"a": "b c"}).data == {"ok": "GET"}
    (seen,) = asked(server, 1)
    assert (seen.path, seen.query) == ("/api/v1/user", {"a": "b c"})
    assert seen.headers["authorization"] == f"token {TOKEN}"


def test_netrc_and_cookies_play_no_part(serve: Callable[..., LoopbackServer]) -> None:
    (Path.home() / ".netrc").write_text("machine 127.0.0.1 login me password netrc-word\n")
    server = serve(lambda request: Served(200, b"{}", {"Set-Cookie": "session=1; Path=/"}))
    api = api_of(server)
    api.get("a")
    api.get("b")
    nobody = Api(server.url, None, scheme="token", headers={})
    nobody.get("c")
    assert [seen.headers.get("authorization") for seen in asked(server, 3)] == [f"token {TOKEN}"] * 2 + [None]
    assert not any("cookie" in seen.headers for seen in server.requests)


# --- waiting


@pytest.mark.parametrize(
    ("status", "headers", "body", "wait"),
    [
        (429, {"Retry-After": "7"}, "", 7.0),
        (403, {"Retry-After": "9"}, "", 9.0),
        (503, {"Retry-After": "3"}, "", 3.0),
    ],
)
def test_waits_as_told(
    serve: Callable[..., LoopbackServer],
    slept: list[float],
    status: int,
    headers: dict[str, str],
    body: str,
    wait: float,
) -> None:
    server = serve(fine)
    server.faults.append(Fault(status=status, headers=headers, body=body))
    assert api_of(server).get("user").data == {"ok": "GET"}
    assert slept == [wait]


def test_waits_for_a_date_by_the_servers_own_clock(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    server = serve(fine)
    wrong_clock = datetime.now(UTC) - timedelta(days=3)
    until = format_datetime(wrong_clock + timedelta(seconds=20), usegmt=True)
    now = format_datetime(wrong_clock, usegmt=True)
    server.faults.append(Fault(status=429, headers={"Retry-After": until, "Date": now}))
    api_of(server).get("user")
    assert slept == [20.0]


def test_waits_for_the_reset_of_a_spent_limit(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    server = serve(fine)
    now = datetime.now(UTC).replace(microsecond=0)
    headers = {
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(now.timestamp()) + 30),
        "Date": format_datetime(now, usegmt=True),
    }
    server.faults.append(Fault(status=403, headers=headers, body='{"message": "API rate limit exceeded"}'))
    api_of(server).get("user")
    assert slept == [31.0]


def test_beyond_its_patience_it_says_when_to_come_back(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    server = serve(fine)
    server.faults.append(Fault(status=429, headers={"Retry-After": "3600"}, times=None))
    before = datetime.now(UTC)
    with pytest.raises(ForgeError, match=r"limits our requests \(429\); try again after (.*) UTC$") as caught:
        api_of(server).get("user")
    when = datetime.strptime(str(caught.value)[-23:-4], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert timedelta(minutes=59) < when - before < timedelta(minutes=61)
    assert caught.value.status == 429
    assert slept == []
    asked(server, 1)


def test_a_secondary_limit_that_names_no_time_means_a_minute(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    server = serve(fine)
    body = '{"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}'
    server.faults.append(Fault(status=403, body=body))
    api_of(server, patience=100).get("user")
    assert slept == [60.0]
    server.faults.append(Fault(status=403, body=body))
    with pytest.raises(ForgeError, match="secondary rate limit"):
        api_of(server, patience=60).get("user")


def test_a_failing_server_is_asked_a_few_times(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    server = serve(fine)
    server.faults.append(Fault(status=502, times=2))
    assert api_of(server).get("user").data == {"ok": "GET"}
    assert len(slept) == 2
    assert slept[0] < slept[1]
    server.faults.append(Fault(status=500, body='{"message": "boom"}', times=None))
    with pytest.raises(ForgeError, match=r"the server failed \(500\): boom; try again later") as caught:
        api_of(server).get("user")
    assert caught.value.status == 500
    asked(server, 3 + ATTEMPTS)


def test_waiting_is_logged(
    serve: Callable[..., LoopbackServer], slept: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(fine)
    server.faults.append(Fault(status=429, headers={"Retry-After": "7"}))
    with caplog.at_level(logging.INFO, "sprint.retries"):
        api_of(server).get("user")
    assert "waiting 7.0 s" in caplog.text


# --- no answer, half an answer


def test_a_connection_that_breaks_is_made_again(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    server = serve(fine)
    server.faults += [Fault(drop=True), Fault(truncate=True)]
    assert api_of(server).get("user").data == {"ok": "GET"}
    asked(server, 3)


def test_a_body_shorter_than_promised_is_asked_for_again(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    calls: list[Request] = []

    def broken(request: Request) -> Served:
        calls.append(request)

        def pieces() -> Any:
            yield b'{"ok": '
            if len(calls) == 1:
                raise ConnectionError
            yield b"1}"

        return Served(200, pieces())

    server = serve(broken)
    assert api_of(server).get("user").data == {"ok": 1}
    asked(server, 2)


def test_a_silent_server_is_left_after_the_timeout(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    server = serve(fine)
    server.faults.append(Fault(hang=30, times=None))
    with pytest.raises(ForgeError, match=r"no answer within 0\.2 seconds"):
        api_of(server, timeout=0.2, patience=1).get("user")


def test_an_answer_that_trickles_is_left(serve: Callable[..., LoopbackServer], slept: list[float]) -> None:
    def drip(request: Request) -> Served:
        def pieces() -> Any:
            while True:
                server.wait(0.05)
                yield b" "

        return Served(200, pieces())

    server = serve(drip)
    with pytest.raises(ForgeError, match=r"did not end within 0\.3 seconds"):
        api_of(server, timeout=0.3, patience=0.3).get("user")


def test_a_huge_answer_is_refused(
    serve: Callable[..., LoopbackServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answer, "BODY_CAP", 1_000_000)
    plain = b'"' + b"x" * 1_100_000 + b'"'
    server = serve(
        lambda request: (
            Served(200, plain)
            if request.path.endswith("plain")
            else Served(200, gzip.compress(plain), {"Content-Encoding": "gzip"})
        )
    )
    for name in ("plain", "bomb"):
        with pytest.raises(ForgeError, match="larger than 1 MB"):
            api_of(server).get(name)
    monkeypatch.setattr(answer, "BODY_CAP", 2_000_000)
    assert len(api_of(server).get("bomb").data) == 1_100_000


def test_no_server_no_name_no_tls(serve: Callable[..., LoopbackServer], slept: list[float]) -> None:
    server = serve(fine)
    port = server.url.rsplit(":", 1)[1]

    def ask(base: str) -> str:
        with pytest.raises(ForgeError) as caught:
            Api(base, Secret(TOKEN), scheme="token", headers={}).get("user")
        assert caught.value.status is None
        return str(caught.value)

    assert "no host has this name; check the forge's url" in ask("https://git.example.invalid")
    assert slept == [], "it is as wrong a minute later"
    assert "no trusted TLS connection" in ask(f"https://127.0.0.1:{port}")
    assert slept == []
    server.stop()
    assert "no connection (Connection refused): check that the server is up; try" in ask(server.url)


def test_a_resolver_that_is_away_is_waited_for(
    serve: Callable[..., LoopbackServer], slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object, **kwargs: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    server = serve(fine)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", away)
        with pytest.raises(ForgeError, match=r"no DNS answers here; check .*resolv\.conf; try again later"):
            api_of(server).get("user")
    assert len(slept) == ATTEMPTS - 1


# --- what may have been done


def test_a_post_that_was_refused_is_repeated(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    server = serve(fine)
    server.faults.append(Fault(status=429, headers={"Retry-After": "1"}))
    assert api_of(server).post("x", {"a": "b"}) == {"ok": "POST"}
    assert [seen.status for seen in asked(server, 2)] == [429, 200]
    assert server.requests[-1].body == b'{"a":"b"}'
    assert server.requests[-1].headers["content-type"] == "application/json"


@pytest.mark.parametrize("fault", [Fault(drop=True, after=True), Fault(status=502, after=True)])
def test_a_post_that_may_have_been_done_is_looked_for(
    serve: Callable[..., LoopbackServer], slept: list[float], fault: Fault
) -> None:
    made: list[str] = []

    def forge(request: Request) -> Served:
        if request.method == "POST":
            made.append("one")
        return json_answer(made)

    server = serve(forge)
    api = api_of(server)
    server.faults.append(fault)
    assert api.post("x", {}, find=lambda: api.get("x").data or None) == ["one"]
    assert made == ["one"]


def test_a_post_that_was_not_done_after_all_is_repeated(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    made: list[str] = []

    def forge(request: Request) -> Served:
        if request.method == "POST":
            made.append("one")
        return json_answer(made)

    server = serve(forge)
    api = api_of(server)
    server.faults.append(Fault(method="POST", drop=True, times=2))
    assert api.post("x", {}, find=lambda: api.get("x").data or None) == ["one"]
    assert [seen.method for seen in asked(server, 5)] == ["POST", "GET", "POST", "GET", "POST"]


def test_a_post_in_doubt_is_not_repeated_blindly(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    server = serve(fine)
    server.faults.append(Fault(drop=True, after=True, times=None))
    with pytest.raises(ForgeError, match="the connection broke off"):
        api_of(server).post("x", {})
    asked(server, 1)


def test_the_last_attempt_in_doubt_is_looked_for_too(
    serve: Callable[..., LoopbackServer], slept: list[float]
) -> None:
    server = serve(fine)
    server.faults.append(Fault(method="POST", drop=True, times=None))
    found = iter([None] * (ATTEMPTS - 1) + ["late"])
    assert api_of(server).post("x", {}, find=lambda: next(found)) == "late"


def test_lone_surrogates_are_no_crash(serve: Callable[..., LoopbackServer]) -> None:
    server = serve(fine)
    api_of(server).patch("x", {"body": "a\ud800b"})
    assert asked(server, 1)[0].body == b'{"body":"a?b"}'


# --- redirects and pages


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("with_query", [True, False])
def test_a_redirect_on_the_same_host_is_followed(
    serve: Callable[..., LoopbackServer], status: int, with_query: bool
) -> None:
    def moved(request: Request) -> Served:
        if "old" in request.path:
            query = f"?{request.query_string}" if with_query else ""
            return Served(status, b"", {"Location": f"/api/v1/new{query}"})
        return json_answer([request.method, request.query])

    server = serve(moved)
    answered = api_of(server).get("old", {"page": 2})
    assert answered.redirected
    assert answered.data == ["GET", {"page": "2"}]
    assert api_of(server).post("old", {"a": "b"}) == ["POST", {}]
    assert asked(server, 4)[-1].body == b'{"a":"b"}'


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_redirect_to_another_host_gets_nothing(serve: Callable[..., LoopbackServer], method: str) -> None:
    other = serve(fine)
    server = serve(lambda request: Served(302, b"", {"Location": f"{other.url}/api/v1/user"}))
    api = api_of(server)
    with pytest.raises(ForgeError, match=f"sends us on to {other.url}, where the token must not go"):
        api.get("user") if method == "get" else api.post("user", {})
    assert other.requests == []
    assert Api(other.url, None, scheme="token", headers={}).get("user").data  # it would have answered


def test_other_redirects_are_refused(serve: Callable[..., LoopbackServer]) -> None:
    server = serve(fine)
    port = server.url.rsplit(":", 1)[1]
    for location, sentence in {
        "/user/login?redirect_to=x": "sends us on to /user/login, which is not its API",
        f"https://127.0.0.1:{port}/api/v1/user": "where the token must not go",
        f"http://127.0.0.1:{port}@example.org/api/v1/user": "where the token must not go",
        "http://[broken": "where the token must not go",
        "": "more than 5 redirects",
        "/api/v1/user": "more than 5 redirects",
    }.items():
        server.faults[:] = [Fault(status=302, headers={"Location": location}, times=None)]
        with pytest.raises(ForgeError, match=sentence.replace("?", r"\?")):
            api_of(server).get("user")
    server.faults[:] = [Fault(status=301, headers={"Location": "/api/v1/other"})]
    with pytest.raises(ForgeError, match=r"moved \(301\), which is not followed here"):
        api_of(server).get("user", follow=False)


def test_pages_are_followed_as_given_and_asked_for_as_used(serve: Callable[..., LoopbackServer]) -> None:
    def paged(request: Request) -> Served:
        cursor = request.query.get("after", "a")
        following = {"a": "b", "b": "c"}.get(cursor)
        link = f'<{server.url}/api/v1/repositories/1/x?after={following}>; rel="next"' if following else ""
        return json_answer([cursor], headers={"Link": link})

    server = serve(paged)
    pages = api_of(server).pages("repos/o/r/x", {"state": "open"})
    assert next(pages).data == ["a"]
    asked(server, 1)
    assert [page.data for page in pages] == [["b"], ["c"]]
    assert [seen.path for seen in asked(server, 3)[1:]] == ["/api/v1/repositories/1/x"] * 2


def test_a_page_on_another_host_is_asked_for_on_our_own(serve: Callable[..., LoopbackServer]) -> None:
    other = serve(fine)

    def paged(request: Request) -> Served:
        link = f'<{other.url}/git/api/v1/x?page=2>; rel="next"' if "page" not in request.query else ""
        return json_answer([request.query.get("page", "1")], headers={"Link": link})

    server = serve(paged)
    assert [page.data for page in api_of(server).pages("x", {"limit": 1})] == [["1"], ["2"]]
    assert [seen.path for seen in asked(server, 2)] == ["/api/v1/x"] * 2
    assert other.requests == []


def test_pages_that_go_round_in_circles_end(serve: Callable[..., LoopbackServer]) -> None:
    server = serve(
        lambda request: json_answer([1], headers={"Link": f'<{server.url}/api/v1/x?page=2>; rel="next"'})
    )
    with pytest.raises(ForgeError, match="the pages of x do not end"):
        list(api_of(server).pages("x", {}))
    asked(server, 2)


def test_the_same_once_more_costs_no_body(serve: Callable[..., LoopbackServer]) -> None:
    def tagged(request: Request) -> Served:
        if request.headers.get("if-none-match") == 'W/"1"':
            return Served(304)
        return json_answer([1], headers={"ETag": 'W/"1"'})

    api = api_of(serve(tagged))
    first = api.get("x", {"page": 3})
    again = api.again(first)
    assert (again.status, again.data, again.url) == (304, None, first.url)


# --- sentences


@pytest.mark.parametrize(
    ("status", "headers", "body", "sentence"),
    [
        (401, {}, '{"message": "Bad credentials"}', "the token in $T is wrong, expired or revoked"),
        (403, {}, "", "refused (403); the token in $T or its account lacks the right to do this"),
        (
            403,
            {"X-Accepted-GitHub-Permissions": "issues=write"},
            '{"message": "Resource not accessible"}',
            "refused (403): Resource not accessible; the token in $T needs: issues=write",
        ),
        (
            403,
            {"X-Accepted-OAuth-Scopes": "repo", "X-OAuth-Scopes": "gist"},
            "",
            "the token in $T needs: repo, it has: gist",
        ),
        (403, {"X-GitHub-SSO": "required; url=https://x"}, "", "single sign-on"),
        (404, {}, "<html>nope</html>", "not there, or the token cannot see it"),
        (410, {}, '{"message": "Issues are disabled for this repo"}', "(410): Issues are disabled"),
        (
            422,
            {},
            '{"message": "Failed", "errors": [{"message": "No commits between"}, {"code": "x"}, "y"]}',
            "not accepted (422): Failed: No commits between: x: y",
        ),
        (423, {}, '{"message": "Repository is archived"}', "locked, or the repository is archived (423)"),
        (451, {}, "", "legal reasons"),
        (418, {}, "", "refused (418)"),
    ],
)
def test_a_sentence_for_each_refusal(
    serve: Callable[..., LoopbackServer],
    slept: list[float],
    status: int,
    headers: dict[str, str],
    body: str,
    sentence: str,
) -> None:
    server = serve(fine)
    server.faults.append(Fault(status=status, headers=headers, body=body))
    with pytest.raises(ForgeError) as caught:
        api_of(server).get("repos/o/r")
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"{server.url.removeprefix('http://')}: GET repos/o/r: ")
    assert caught.value.status == status
    assert slept == []


def test_without_a_token_the_sentence_says_so(serve: Callable[..., LoopbackServer]) -> None:
    for status in (401, 403, 404):
        server = serve(lambda request, status=status: Served(status))
        with pytest.raises(ForgeError, match="no token is configured: set token_file or token_env") as caught:
            Api(server.url, None, scheme="token", headers={}).get("user")
        assert "the token" not in str(caught.value)


def test_a_web_page_is_no_answer(serve: Callable[..., LoopbackServer], slept: list[float]) -> None:
    server = serve(lambda request: Served(200, b"\n<!DOCTYPE html><html>Sign in</html>"))
    with pytest.raises(ForgeError, match="a web page came where JSON was expected; check the url"):
        api_of(server).get("user")
    asked(server, 1)


def test_a_servers_words_are_cleaned_and_cut(serve: Callable[..., LoopbackServer]) -> None:
    words = f"\\u001b[2J\\nroot\\u202e {TOKEN} " + "x" * 5000
    server = serve(lambda request: Served(400, f'{{"message": "{words}"}}'.encode()))
    with pytest.raises(ForgeError) as caught:
        api_of(server).get("user")
    message = str(caught.value)
    assert message.isprintable()
    assert TOKEN not in message
    assert "[2J root *** xxx" in message
    assert len(message) < 400


# --- configuration


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("git.example.org", "is no http or https address"),
        ("ftp://git.example.org", "is no http or https address"),
        ("https://git.example.org:port", "is no http or https address"),
        ("https://[git", "is no http or https address"),
        ("", "is no http or https address"),
        ("https://me:word@git.example.org", "must hold nothing but the address"),
        ("https://git.example.org/?token=x", "must hold nothing but the address"),
    ],
)
def test_a_url_that_cannot_be_right(url: str, sentence: str) -> None:
    with pytest.raises(ForgeError, match=sentence) as caught:
        connect(ForgeConfig(kind="gitea", url=url), None)
    assert "word" not in str(caught.value)


def test_a_token_that_cannot_be_sent() -> None:
    config = ForgeConfig(kind="gitea", url="https://git.example.org", token_file="/etc/sprint.token")
    with pytest.raises(
        ForgeError, match=r"the token in /etc/sprint\.token holds more than a token"
    ) as caught:
        connect(config, Secret("s3cret\nX-Other: 1"))
    assert "s3cret" not in str(caught.value)
    token = connect(config, Secret(" s3cret\r\n")).token
    assert token is not None
    assert token.reveal() == "s3cret"
    assert connect(config, Secret("\n")).token is None
