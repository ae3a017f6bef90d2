"""The server below every forge and model of the tests: bodies, faults, the log."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator

import pytest
import requests

from tests.servers.loopback import Answer, Fault, LoopbackServer, Request, json_answer
from tests.waiting import wait_until


def echo(request: Request) -> Answer:
    if request.path == "/stream":
        return Answer(200, (piece for piece in (b"one ", b"", b"two")), {"Content-Type": "text/plain"})
    return json_answer({"method": request.method, "query": request.query, "body": request.body.decode()})


@pytest.fixture
def server() -> Iterator[LoopbackServer]:
    with LoopbackServer(echo, lambda: ["s3cret"]) as made:
        yield made


def test_reads_a_chunked_body(server: LoopbackServer) -> None:
    answered = requests.post(f"{server.url}/x?a=1&b=", data=iter([b"some", b"thing"]), timeout=5)
    assert answered.json() == {"method": "POST", "query": {"a": "1", "b": ""}, "body": "something"}


def test_keeps_a_connection_whose_body_nobody_read(server: LoopbackServer) -> None:
    with requests.Session() as session:
        assert session.post(f"{server.url}/stream", data=b"x" * 100_000, timeout=5).text == "one two"
        assert session.get(f"{server.url}/next", timeout=5).json()["method"] == "GET"


def test_logs_who_brought_a_token(server: LoopbackServer) -> None:
    requests.get(f"{server.url}/a", headers={"Authorization": "token s3cret"}, timeout=5)
    requests.get(f"{server.url}/b", auth=("anyone", "s3cret"), timeout=5)
    requests.get(f"{server.url}/c", auth=("anyone", "other"), timeout=5)
    assert {seen.path: (seen.has_token, seen.status) for seen in server.requests} == {
        "/a": (True, 200),
        "/b": (True, 200),
        "/c": (False, 200),
    }


def test_a_status_comes_as_often_as_it_should(server: LoopbackServer) -> None:
    server.faults.append(
        Fault("/x", "GET", times=2, skip=1, status=503, headers={"Retry-After": "0"}, body="no")
    )
    got = [requests.get(f"{server.url}/x", timeout=5) for _ in range(4)]
    assert [answer.status_code for answer in got] == [200, 503, 503, 200]
    assert (got[1].text, got[1].headers["Retry-After"]) == ("no", "0")
    assert requests.post(f"{server.url}/x", timeout=5).status_code == 200


def test_drop_and_truncate(server: LoopbackServer) -> None:
    server.faults.append(Fault("/drop", drop=True))
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/drop", timeout=5)
    whole = requests.get(f"{server.url}/half", timeout=5).content
    server.faults.append(Fault("/half", truncate=True))
    assert requests.get(f"{server.url}/half", timeout=5).content == whole[: len(whole) // 2]


def test_work_is_done_before_the_answer_is_lost(server: LoopbackServer) -> None:
    done: list[str] = []
    server._handle = lambda request: done.append(request.path) or json_answer({})  # type: ignore[func-returns-value]
    server.faults += [Fault("/kept", drop=True, after=True), Fault("/lost", drop=True)]
    for path in ("/kept", "/lost"):
        with pytest.raises(requests.ConnectionError):
            requests.post(server.url + path, timeout=5)
    assert done == ["/kept"]


def test_a_hang_ends_with_the_server(server: LoopbackServer) -> None:
    server.faults.append(Fault("/slow", hang=3600))
    failed: list[Exception] = []

    def ask() -> None:
        try:
            requests.get(f"{server.url}/slow", timeout=60)
        except requests.ConnectionError as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert wait_until(lambda: server.faults[0].hits == 1)
    server.stop()
    asking.join(10)
    assert not asking.is_alive()
    assert failed


def test_call_sees_the_request_before_it_is_answered(server: LoopbackServer) -> None:
    order: list[str] = []
    server._handle = lambda _request: order.append("answered") or json_answer({})  # type: ignore[func-returns-value]
    server.faults.append(Fault("/x", call=lambda: order.append("called")))
    assert requests.get(f"{server.url}/x", timeout=5).status_code == 200
    assert order == ["called", "answered"]


def test_head_sends_no_body(server: LoopbackServer) -> None:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=5)
    connection.request("HEAD", "/x")
    assert connection.getresponse().read() == b""
    connection.request("GET", "/y")
    assert connection.getresponse().status == 200
    connection.close()


def test_tests_reach_loopback_only() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("example.org", 443)
    socket.getaddrinfo("localhost", 80)
