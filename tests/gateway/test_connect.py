"""CONNECT: what is listed goes through, and each known way around a list does not."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sprint.gateway import DOORS, connect
from sprint.gateway.client_hello import Incomplete, server_name
from sprint.gateway.connect import Network, is_public
from tests.gateway.conftest import Inside, Site, Visitor

HOST = "files.example.org"
PUBLIC = "93.184.215.14"
OPEN = f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode()


class TlsServer:
    """Answers HTTP with a page, all else with itself."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
             "-keyout", str(folder / "key.pem"), "-out", str(self.certificate)],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, folder / "key.pem")
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.came: list[bytes] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(20)
            self.came.append(client.recv(1, socket.MSG_PEEK))
            with self._context.wrap_socket(client, server_side=True) as tls:
                while data := tls.recv(65536):
                    if data.startswith(b"GET "):
                        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
                        return
                    tls.sendall(data)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    with contextlib.closing(TlsServer(tmp_path_factory.mktemp("tls"))) as server:
        yield server


class Names:
    """The network's own seam: names as the test has it, and every public address at the test's server."""

    def __init__(self, port: int) -> None:
        self.known: dict[str, list[Sequence[str]]] = {HOST: [[PUBLIC]]}
        self.resolved: list[str] = []
        self.dialled: list[str] = []
        self._port = port

    def resolve(self, host: str) -> Sequence[str]:
        self.resolved.append(host)
        answers = self.known.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def dial(self, address: str) -> socket.socket:
        self.dialled.append(address)
        return socket.create_connection(("127.0.0.1", self._port), 20)


@pytest.fixture
def names(site: Site, certified: TlsServer) -> Names:
    certified.came.clear()
    names = Names(certified.port)
    site.network = Network(names.resolve, names.dial)
    site.config = {"connect": (HOST, ".example.net")}
    return names


def opened(visitor: Visitor, head: bytes = OPEN) -> tuple[socket.socket, bytes]:
    """A connection after a CONNECT, and the status line that came."""
    client = visitor.connect("connect")
    client.sendall(head)
    came = b""
    while b"\r\n\r\n" not in came and (piece := client.recv(1)):
        came += piece
    return client, came.partition(b"\r\n")[0]


def echo(client: socket.socket, certificate: Path, data: bytes = b"hello", *, name: str = HOST) -> bytes:
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = name == HOST
    with context.wrap_socket(client, server_hostname=name) as tls:
        tls.sendall(data)
        return tls.recv(len(data))


def test_tls_to_a_listed_host_goes_through(site: Site, names: Names, certified: TlsServer) -> None:
    with site.visitor() as visitor:
        client, said = opened(visitor)
        assert said == b"HTTP/1.1 200 Connection established"
        assert echo(client, certified.certificate) == b"hello"
    assert (names.resolved, names.dialled) == ([HOST], [PUBLIC])
    assert site.refusals() == []


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("evil.example.org:443", "gateway.connect does not list"),
        ("example.org:443", "gateway.connect does not list"),
        (f"{HOST}.evil.com:443", "gateway.connect does not list"),
        (f"x{HOST}:443", "gateway.connect does not list"),
        ("example.net:443", "gateway.connect does not list"),
        ("evilexample.net:443", "gateway.connect does not list"),
        (f"{HOST}:80", "only port 443"),
        (f"{HOST}:4430", "only port 443"),
        (f"{HOST}:0443", "only port 443"),
        (HOST, "only port 443"),
        (f"{HOST}.:443", "only hosts by name"),
        (f"{PUBLIC}:443", "only hosts by name"),
        ("127.0.0.1:443", "only hosts by name"),
        ("2130706433:443", "only hosts by name"),
        ("0x7f.1:443", "only hosts by name"),
        ("127.1:443", "only hosts by name"),
        ("[::1]:443", "only hosts by name"),
        ("localhost:443", "only hosts by name"),
        (f"user@{HOST}:443", "only hosts by name"),
        (f"{HOST}/:443", "only hosts by name"),
        (f"{HOST}%00.evil.com:443", "only hosts by name"),
        (f"evil.com,{HOST}:443", "only hosts by name"),
        ("unknown.example.net:443", "cannot be resolved"),
    ],
)
def test_nothing_else_does(site: Site, names: Names, target: str, why: str) -> None:
    with site.visitor() as visitor:
        _, said = opened(visitor, f"CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert said.startswith((b"HTTP/1.1 403 ", b"HTTP/1.1 502 ", b"HTTP/1.1 400 ")), said
        assert opened(visitor)[1].startswith(b"HTTP/1.1 200 ")
    assert names.dialled == []
    (refusal,) = site.refusals()
    assert why in refusal
    assert target in refusal


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_plain_http_is_not_forwarded(site: Site, names: Names, method: str) -> None:
    """claude-code#40213: a list for https that let http pass."""
    with site.visitor() as visitor:
        head = f"{method} http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
        said = visitor.raw("connect", head.encode())
    assert said.startswith(b"HTTP/1.1 403 only TLS by CONNECT")
    assert (names.resolved, names.dialled) == ([], [])
    assert "plain HTTP does not" in site.refusals()[0]


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: evil.example.com\r\n\r\n",
        b"CONNECT evil.example.com:443 HTTP/1.1\r\nHost: evil.example.com:443\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x80\x2e\x01\x00\x02" + b"\0" * 60,
    ],
)
def test_what_is_no_tls_does_not_reach_the_host(site: Site, names: Names, first: bytes) -> None:
    with site.visitor() as visitor:
        client, _ = opened(visitor)
        client.sendall(first)
        assert _end(client) == b""
    assert names.dialled == []
    assert "what was sent is no TLS" in site.refusals()[0]


@pytest.mark.parametrize("name", ["evil.example.com", "a.example.net", f"{HOST}.evil.com", ""])
def test_tls_for_another_name_does_not_reach_the_host(
    site: Site, names: Names, certified: TlsServer, name: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with site.visitor() as visitor:
        client, _ = opened(visitor)
        with pytest.raises(OSError, match=r"EOF|reset|closed"):
            context.wrap_socket(client, server_hostname=name or None)
        assert echo(opened(visitor)[0], certified.certificate) == b"hello"
    assert len(names.dialled) == 1
    assert "TLS" in site.refusals()[0]


@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.1"], ["10.0.0.8"], ["169.254.169.254"], ["::1"], ["fd00::1"], [PUBLIC, "127.0.0.1"], []],
)
def test_a_listed_name_does_not_lead_inside(site: Site, names: Names, addresses: list[str]) -> None:
    names.known[HOST] = [addresses]
    with site.visitor() as visitor:
        assert opened(visitor)[1].startswith(b"HTTP/1.1 403 the host's address is not one of the public")
    assert names.dialled == []


def test_a_name_that_changes_its_meaning_is_asked_once(
    site: Site, names: Names, certified: TlsServer
) -> None:
    """DNS rebinding: the address that was judged is the one that is dialled."""
    names.known[HOST] = [[PUBLIC], ["127.0.0.1"]]
    with site.visitor() as visitor:
        assert echo(opened(visitor)[0], certified.certificate) == b"hello"
        assert (names.resolved, names.dialled) == ([HOST], [PUBLIC])
        assert opened(visitor)[1].startswith(b"HTTP/1.1 403 ")
    assert names.dialled == [PUBLIC]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        (PUBLIC, True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("64:ff9b::5db8:d70e", True),
        ("0.0.0.0", False),
        ("100.64.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("198.18.0.1", False),
        ("203.0.113.9", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a00:1", False),
        ("2002:7f00:1::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("ff02::1", False),
        ("not an address", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    "setting",
    [
        {"names": 0},
        {"go_hosts": (HOST, "evil.example.com")},
        {"received_mb": 100_000},
        {"sent_mb": 100_000},
        {"connect": ()},
        {"connect": (".com.example",)},
    ],
)
def test_no_other_setting_opens_it(site: Site, names: Names, setting: dict[str, Any]) -> None:
    """claude-code#81572: a list that failed open when something else was configured."""
    site.config = {"connect": (HOST,), **setting}
    with site.visitor() as visitor:
        said = opened(visitor, b"CONNECT evil.example.com:443 HTTP/1.1\r\nHost: a\r\n\r\n")[1]
    assert said.startswith(b"HTTP/1.1 403 gateway.connect does not list this host")
    assert names.resolved == []


@pytest.mark.parametrize("direction", ["sent", "received"])
def test_a_run_moves_so_much_and_no_more(
    site: Site, names: Names, certified: TlsServer, direction: str
) -> None:
    site.config = {"connect": (HOST,), f"{direction}_mb": 1}
    context = ssl.create_default_context(cafile=certified.certificate)
    moved = 0
    with site.visitor() as visitor, context.wrap_socket(opened(visitor)[0], server_hostname=HOST) as tls:
        with contextlib.suppress(OSError):
            while moved < 3_000_000:
                tls.sendall(bytes(50_000))
                taken = 0
                while taken < 50_000 and (piece := tls.recv(65536)):
                    taken += len(piece)
                if taken < 50_000:
                    break
                moved += 50_000
        assert echo_fails(visitor, certified), "what is used up stays so, whatever connects"
    assert 700_000 < moved < 1_000_000
    assert f"gateway.{direction}_mb allows" in site.refusals()[0]


def echo_fails(visitor: Visitor, certified: TlsServer) -> bool:
    try:
        return echo(opened(visitor)[0], certified.certificate) != b"hello"
    except OSError:
        return True


def test_a_hello_that_does_not_come(site: Site, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "_HELLO_SECONDS", 0.2)
    with site.visitor() as visitor:
        client, _ = opened(visitor)
        client.sendall(b"\x16\x03\x01")
        assert _end(client) == b""
    assert names.dialled == []


def test_nothing_moves(
    site: Site, names: Names, certified: TlsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_IDLE_SECONDS", 0.3)
    context = ssl.create_default_context(cafile=certified.certificate)
    with site.visitor() as visitor, context.wrap_socket(opened(visitor)[0], server_hostname=HOST) as tls:
        tls.sendall(b"a")
        assert tls.recv(1) == b"a"
        started = time.monotonic()
        with contextlib.suppress(OSError):
            assert tls.recv(1) == b""
        assert time.monotonic() < started + 15


def _end(client: socket.socket) -> bytes:
    with contextlib.suppress(ConnectionError):
        return client.recv(10)
    return b""


# --- the first message of TLS ------------------------------------------------------------------


def hello(*names: str) -> bytes:
    """A ClientHello as OpenSSL makes it, with the names given put in place of its own."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(
        incoming, outgoing, server_hostname=names[0] if names else "a.b"
    )
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def records(message: bytes, size: int) -> bytes:
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + struct.pack(">H", len(part)) + part for part in parts)


def test_a_hello_is_read_however_it_is_cut() -> None:
    whole = hello(HOST)
    assert server_name(whole) == HOST
    assert server_name(whole + b"more") == HOST
    message = whole[5:]
    for size in (1, 3, 100, 16_000):
        assert server_name(records(message, size)) == HOST
    for end in range(len(whole)):
        with pytest.raises(Incomplete):
            server_name(whole[:end])


def test_a_damaged_hello_is_no_hello() -> None:
    """Every byte changed in turn: another name, none, or refused, and never anything else."""
    whole = hello(HOST)
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :]
        with contextlib.suppress(ValueError, Incomplete):
            assert isinstance(server_name(damaged), str)


def test_a_hello_of_two_names_is_refused() -> None:
    names = b"".join(b"\0" + struct.pack(">H", len(name)) + name for name in (b"a.b", b"c.d"))
    listed = struct.pack(">H", len(names)) + names
    extension = b"\0\0" + struct.pack(">H", len(listed)) + listed
    body = (
        b"\3\3"
        + bytes(32)
        + b"\0"
        + b"\0\2\x13\x01"
        + b"\1\0"
        + struct.pack(">H", len(extension))
        + extension
    )
    with pytest.raises(ValueError, match="more than one host"):
        server_name(records(b"\1" + len(body).to_bytes(3, "big") + body, 1000))


# --- from inside the sandbox -------------------------------------------------------------------

RELAY = """
import socket, sys, threading
def pass_on(source, target):
    while data := source.recv(65536):
        target.sendall(data)
def serve():
    client = listener.accept()[0]
    door = socket.create_connection(("127.0.0.1", %d))
    threading.Thread(target=pass_on, args=(client, door), daemon=True).start()
    pass_on(door, client)
listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, daemon=True).start()
client = socket.create_connection(listener.getsockname())
client.sendall(f"CONNECT {sys.argv[1]}:443 HTTP/1.1\\r\\nHost: {sys.argv[1]}:443\\r\\n\\r\\n".encode())
print(client.makefile().readline().split()[1])
"""


def test_a_relay_inside_changes_nothing(inside: Inside, names: Names) -> None:
    """claude-code#87381: a CONNECT that a process in the sandbox passes on was let out; #77045: any was."""
    inside.write("relay.py", RELAY % DOORS["connect"])
    with inside.site.gateway() as gateway:
        said = [
            inside.within(gateway, f"python3 relay.py {host}").out.strip()
            for host in (HOST, "evil.example.com")
        ]
    assert said == ["200", "403"]
    assert names.resolved == [HOST]


def test_the_ways_out_of_the_sandbox(inside: Inside, names: Names, certified: TlsServer) -> None:
    """Through the door to what is listed; and no other way, whatever is unset, dialled or asked for."""
    certificate = certified.certificate.read_text()
    inside.write("cert.pem", certificate)
    curl = "curl -sS --cacert cert.pem --max-time 10 -o /dev/null -w '%{http_connect} %{errormsg}\\n'"
    with socket.create_server(("0.0.0.0", 0)) as host_service, inside.site.gateway() as gateway:
        port = host_service.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), 5):
            pass  # outside of the sandbox it is there

        def said(command: str) -> str:
            return inside.within(gateway, command).out.strip()

        assert said(f"{curl} https://{HOST}/") == "200"
        assert len(names.dialled) == 1
        assert said(f"{curl} https://evil.example.com/").startswith("403")
        for unset in (
            "env -u https_proxy -u HTTPS_PROXY",
            "env -i PATH=$PATH",
        ):  # nono#713, claude-code-action#341
            assert said(f"{unset} {curl} https://{HOST}/").startswith("000 Could not resolve")
        assert said(f"{curl} --noproxy '*' https://{PUBLIC}/").startswith("000 ")  # sandy#121
        for address in (PUBLIC, "169.254.169.254", "10.0.0.1"):
            assert (
                said(f"(exec 3<>/dev/tcp/{address}/80) 2>/dev/null && echo open || echo closed") == "closed"
            )
        assert (
            said(f"(exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo open || echo closed") == "closed"
        )
        assert said(f"(exec 3<>/dev/tcp/127.0.0.1/{DOORS['connect']}) && echo open") == "open"
        assert "Could not resolve" in said(f"env -u http_proxy -u HTTP_PROXY {curl} http://{HOST}/")
        assert said(f"{curl} http://{HOST}/").startswith("000")
    assert len(names.dialled) == 1
    assert [one["what"] for one in inside.site.journal("refused")] == [
        "CONNECT evil.example.com:443",
        f"GET http://{HOST}/",
    ]
