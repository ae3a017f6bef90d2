"""What arrives at a door: only plain requests get through, and a bad one harms nobody but who sent it."""

from __future__ import annotations

import contextlib
import itertools
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from sprint.gateway import exchange, server
from tests.gateway.conftest import Page, Site, Upstream, Visitor
from tests.waiting import wait_until

FILE = "/maven/org/acme/gadget/1.0/gadget-1.0.jar"
GOOD = b"GET /org/acme/gadget/1.0/gadget-1.0.jar HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(autouse=True)
def gadget(upstream: Upstream) -> None:
    upstream.pages[FILE] = Page(b"the jar")


def works(visitor: Visitor) -> bool:
    return visitor.get("maven", FILE.removeprefix("/maven")).body == b"the jar"


def head(request: str) -> bytes:
    return request.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        ("GET {path} HTTP/1.1\nHost: a\nContent-Length: 5\nTransfer-Encoding: chunked", 400),
        ("GET {path} HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nContent-Length: 0", 400),
        ("GET {path} HTTP/1.1\nHost: a\nContent-Length: 5\nContent-Length: 6", 400),
        ("GET {path} HTTP/1.1\nHost: a\nTransfer-Encoding: chunked, identity", 400),
        ("GET {path} HTTP/1.1\nHost: a\nTransfer-Encoding : chunked", 400),
        ("GET {path} HTTP/1.1\nHost: a\nContent-Length: 3", 400),
        ("GET {path} HTTP/1.1\nHost: a\nX: a\0b", 400),
        ("GET {path} HTTP/1.1\nHost: a\nHost: b", 400),
        ("GET {path} HTTP/1.1", 400),
        ("GET {path} HTTP/2.0\nHost: a", 400),
        ("GET {path} a HTTP/1.1\nHost: a", 400),
        ("PRI * HTTP/2.0", 400),
        ("\x16\x03\x01\x02", 400),
        ("GET {upstream}{path} HTTP/1.1\nHost: a", 400),
        ("GET http://127.0.0.1{path} HTTP/1.1\nHost: a", 400),
        ("GET //127.0.0.1{path} HTTP/1.1\nHost: a", 400),
        ("GET org/acme HTTP/1.1\nHost: a", 400),
        ("OPTIONS * HTTP/1.1\nHost: a", 400),
        ("GET /org/../../secret HTTP/1.1\nHost: a", 400),
        ("GET /org/%2e%2e/%2e%2e/secret HTTP/1.1\nHost: a", 400),
        ("GET /org/..%2f..%2fsecret HTTP/1.1\nHost: a", 400),
        ("GET /org\\..\\secret HTTP/1.1\nHost: a", 400),
        ("GET /org/acme%0d%0aX:%20y/1/a-1.jar HTTP/1.1\nHost: a", 400),
        ("GET /org/acme/a%00b/1/a-1.jar HTTP/1.1\nHost: a", 400),
        ("CONNECT 127.0.0.1:443 HTTP/1.1\nHost: a", 400),
        ("POST {path} HTTP/1.1\nHost: a\nContent-Length: 0", 405),
        ("PUT {path} HTTP/1.1\nHost: a\nContent-Length: 0", 405),
        ("DELETE {path} HTTP/1.1\nHost: a", 405),
    ],
)
def test_what_is_no_plain_request_is_refused(
    visitor: Visitor, upstream: Upstream, request_head: str, status: int
) -> None:
    path = FILE.removeprefix("/maven")
    said = visitor.raw("maven", head(request_head.format(path=path, upstream=upstream.url)))
    assert said.startswith(b"HTTP/1.1 %d " % status), said[:300]
    assert upstream.asked == []
    assert works(visitor)


def test_a_request_behind_another_is_one_of_its_own(visitor: Visitor, upstream: Upstream) -> None:
    """What would be smuggled past a lenient server is answered, or refused, as what it is."""
    smuggled = GOOD + b"Content-Length: 0\r\n\r\n" + b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"
    said = visitor.raw("maven", smuggled)
    assert said.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 404" in said
    assert upstream.asked == [FILE]


def test_nothing_of_the_request_but_its_path_goes_on(visitor: Visitor, upstream: Upstream) -> None:
    visitor.get(
        "maven",
        f"{FILE.removeprefix('/maven')}?secret=query",
        Authorization="Bearer secret",
        Cookie="secret",
        X_Secret="secret",
        User_Agent="secret",
        Range="bytes=1-2",
        If_None_Match="secret",
    )
    assert upstream.asked == [FILE]
    assert "secret" not in str(upstream.headers)
    assert upstream.headers[0]["range"] == "bytes=1-2"


def test_a_huge_head_is_refused(visitor: Visitor) -> None:
    said = visitor.raw("maven", GOOD + b"X: " + b"a" * 100_000 + b"\r\n\r\n")
    assert said[:12] in (b"HTTP/1.1 431", b"")  # hung up on while it was still being sent
    said = visitor.raw("maven", GOOD + b"X: " + b"a" * (exchange.HEAD_BYTES + 10))
    assert said.startswith(b"HTTP/1.1 431 ")
    assert works(visitor)


def test_the_slow_and_the_silent_are_hung_up_on(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "HEAD_SECONDS", 0.3)
    started = time.monotonic()
    with visitor.connect("maven") as silent, visitor.connect("maven") as slow:
        for byte in itertools.cycle(b"GET /"):
            if time.monotonic() > started + 0.6:
                break
            try:
                slow.send(bytes([byte]))
            except OSError:
                break
            time.sleep(0.02)
        assert works(visitor)
        assert silent.recv(1) == b""
        with contextlib.suppress(ConnectionError):
            assert slow.recv(1) == b""
    assert time.monotonic() < started + 10


def test_who_takes_nothing_is_given_up(
    site: Site, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "IDLE_SECONDS", 0.3)
    upstream.pages[FILE] = Page(lambda: itertools.repeat(bytes(1_000_000), 100), length=100_000_000)
    with site.visitor() as visitor:
        with visitor.connect("maven") as client:
            client.sendall(GOOD + b"\r\n")
            assert client.recv(8) == b"HTTP/1.1"
            assert wait_until(lambda: not _serving())
        upstream.pages[FILE] = Page(b"the jar")
        assert works(visitor)


def _serving() -> bool:
    """Whether a thread of the gateway is busy with a client."""
    return any(
        thread.name == "sprint-gateway" and _is_in(thread, "_pass_on") for thread in threading.enumerate()
    )


def _is_in(thread: threading.Thread, function: str) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == function:
            return True
        frame = frame.f_back
    return False


def test_more_clients_than_are_served_at_once_wait(
    site: Site, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 3)
    with site.visitor() as visitor:
        held = [visitor.connect("maven") for _ in range(3)]
        done = threading.Event()
        late = threading.Thread(target=lambda: works(visitor) and done.set())
        late.start()
        assert not done.wait(0.3)
        held[0].close()
        assert done.wait(20)
        late.join()


def test_a_file_of_100_mb_passes_in_little_memory(site: Site, upstream: Upstream) -> None:
    """Unbuffered: the first bytes are there while the last are not even made yet."""
    size, may_go_on = 100_000_000, threading.Event()

    def pieces() -> Iterator[bytes]:
        yield bytes(1_000_000)
        assert may_go_on.wait(20)
        for _ in range(99):
            yield bytes(1_000_000)

    upstream.pages[FILE] = Page(pieces, length=size)
    with site.visitor() as visitor, visitor.connect("maven") as client:
        client.sendall(GOOD + b"Connection: close\r\n\r\n")
        taken = len(client.recv(65536))
        may_go_on.set()
        tracemalloc.start()
        try:
            buffer = bytearray(1_000_000)
            while count := client.recv_into(buffer):
                taken += count
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert size < taken < size + 1000
    assert peak < 12_000_000, f"{peak / 1e6:.0f} MB at once"


@pytest.mark.parametrize("length", [3, 50])
def test_an_answer_that_breaks_off_is_not_passed_on_as_whole(
    visitor: Visitor, upstream: Upstream, length: int
) -> None:
    upstream.pages[FILE] = Page(b"the jar", length=length)
    said = visitor.raw("maven", GOOD + b"Connection: close\r\n\r\n")
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"content-length: %d" % length in head
    assert body == b"the jar"[:length]


def test_a_server_that_is_away_is_said_without_its_address(site: Site) -> None:
    site.indexes["maven"] = "http://127.0.0.1:1/private/path"
    with site.visitor() as visitor:
        answer = visitor.get("maven", FILE.removeprefix("/maven"))
    assert (answer.status, answer.reason) == (502, "the package index did not answer as one does")
    assert b"127.0.0.1" not in answer.body
    (noted,) = site.journal("unanswered")
    assert "Connection refused" in noted["why"]
    assert [path.name for path in site.folder.iterdir()] == ["gateway.jsonl"], "its own folder is gone"
