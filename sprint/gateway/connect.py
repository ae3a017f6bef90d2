"""CONNECT to the hosts that the configuration lists: TLS to port 443, for the name that was asked for."""

from __future__ import annotations

import contextlib
import contextvars
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sprint.config import GatewayConfig
from sprint.config.values import is_host
from sprint.gateway.client_hello import CLIENT_HELLO_BYTES, Incomplete, server_name
from sprint.gateway.exchange import ClientGone, Exchange, Refused
from sprint.gateway.journal import Journal

_PORT = 443
_HELLO_SECONDS = 15.0
_DIAL_SECONDS = 15.0
_IDLE_SECONDS = 300.0
_CHUNK = 65_536
_MOST_ADDRESSES = 8
_MEGABYTE = 1_000_000
_log = logging.getLogger(__name__)


def _resolve(host: str) -> Sequence[str]:
    found = socket.getaddrinfo(host, _PORT, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _dial(address: str) -> socket.socket:
    return socket.create_connection((address, _PORT), timeout=_DIAL_SECONDS)


@dataclass(frozen=True)
class Network:
    """How names become addresses, and addresses connections."""

    resolve: Callable[[str], Sequence[str]] = _resolve
    dial: Callable[[str], socket.socket] = _dial


class Connect:
    """The route of whatever goes through HTTPS_PROXY, for one run."""

    def __init__(self, config: GatewayConfig, journal: Journal, network: Network | None = None) -> None:
        self._config = config
        self._journal = journal
        self._network = network or Network()
        self._lock = threading.Lock()
        self._left = {"sent": config.sent_mb * _MEGABYTE, "received": config.received_mb * _MEGABYTE}

    def serve(self, exchange: Exchange) -> None:
        try:
            host = self._granted(exchange)
            addresses = self._addresses(host)
        except Refused as refusal:
            self._journal.refused("connect", f"{exchange.method} {exchange.target}", refusal.reason)
            raise
        client, early = exchange.tunnel()
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        hello = _hello(client, early)
        if why := _mismatch(hello, host):
            self._journal.refused("connect", f"CONNECT {exchange.target}", why)
            raise ClientGone(why)
        with self._dialled(exchange.target, addresses) as server:
            self._count("sent", len(hello), host)
            server.sendall(hello)
            self._pump(client, server, host)

    def _granted(self, exchange: Exchange) -> str:
        """The host, where it may be connected to. Raises Refused."""
        if exchange.method != "CONNECT":
            raise Refused(403, "only TLS by CONNECT goes out from here; plain HTTP does not")
        host, _, port = exchange.target.rpartition(":")
        host = host.lower()
        if port != str(_PORT):
            raise Refused(403, "only port 443 can be connected to")
        if not is_host(host):
            raise Refused(403, "only hosts by name can be connected to, no addresses")
        if not any(_matches(host, pattern) for pattern in self._config.connect):
            raise Refused(403, "gateway.connect does not list this host; list it there where set-up needs it")
        return host

    def _addresses(self, host: str) -> Sequence[str]:
        """What will be dialled, by number: what a name means is asked once. Raises Refused."""
        try:
            addresses = self._network.resolve(host)
        except OSError as error:
            raise Refused(502, "the host's name cannot be resolved") from error
        if not addresses or not all(is_public(address) for address in addresses):
            raise Refused(403, "the host's address is not one of the public network")
        return addresses

    def _dialled(self, target: str, addresses: Sequence[str]) -> socket.socket:
        """Connected to the first that answers. Raises ClientGone where none does."""
        why = ""
        for address in addresses[:_MOST_ADDRESSES]:
            try:
                return self._network.dial(address)
            except OSError as error:
                why = str(error)
        self._journal.unanswered("connect", f"CONNECT {target}", why)
        raise ClientGone("the server cannot be reached")

    def _pump(self, client: socket.socket, server: socket.socket, host: str) -> None:
        """Both ways until both sides have ended, nothing moves, or the run has moved all that it may."""
        moved = [time.monotonic()]  # when anything last did, either way

        def copy(source: socket.socket, target: socket.socket, direction: str) -> None:
            try:
                while data := _received(source, moved):
                    self._count(direction, len(data), host)
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)
            except (OSError, ClientGone) as error:
                _log.debug("gateway: a tunnel to %s ended: %s", host, error)
                for one in (client, server):
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

        for one in (client, server):
            one.settimeout(_IDLE_SECONDS)
        context = contextvars.copy_context()
        back = threading.Thread(target=context.run, args=(copy, server, client, "received"), daemon=True)
        back.start()
        copy(client, server, "sent")
        back.join()

    def _count(self, direction: str, size: int, host: str) -> None:
        with self._lock:
            self._left[direction] -= size
            is_over = self._left[direction] < 0
        if is_over:
            why = f"this run has {direction} all that gateway.{direction}_mb allows"
            self._journal.refused("connect", f"CONNECT {host}:{_PORT}", why)
            raise ClientGone(why)


def _received(source: socket.socket, moved: list[float]) -> bytes:
    while True:
        try:
            data = source.recv(_CHUNK)
        except TimeoutError:
            if time.monotonic() - moved[0] < _IDLE_SECONDS:
                continue  # the other way is busy
            raise
        moved[0] = time.monotonic()
        return data


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern) if pattern.startswith(".") else host == pattern


def is_public(address: str) -> bool:
    """Whether an IP address, or the one that is wrapped in it, is routed on the public network."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def _hello(client: socket.socket, early: bytes) -> bytes:
    """The first bytes of the client's, up to a whole ClientHello. Raises ClientGone."""
    data = early
    deadline = time.monotonic() + _HELLO_SECONDS
    while True:
        try:
            server_name(data)
        except Incomplete:
            left = deadline - time.monotonic()
            if left <= 0 or len(data) > CLIENT_HELLO_BYTES:
                raise ClientGone("no ClientHello came") from None
        except ValueError:
            return data
        else:
            return data
        client.settimeout(left)
        more = client.recv(_CHUNK)
        if not more:
            raise ClientGone("no ClientHello came")
        data += more


def _mismatch(hello: bytes, host: str) -> str:
    """Why these first bytes are not TLS to the host, or ""."""
    try:
        name = server_name(hello)
    except ValueError as error:
        return f"what was sent is no TLS: {error}"
    if name != host:
        return "TLS for another name than CONNECT asked for" if name else "TLS that names no host"
    return ""
