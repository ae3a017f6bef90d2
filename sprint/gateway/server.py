"""The gateway's own side: a socket in a folder that only the runner can enter, and a thread a connection."""

from __future__ import annotations

import contextlib
import contextvars
import hmac
import json
import logging
import os
import selectors
import socket
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from sprint.gateway.exchange import ClientGone, Connection, Exchange, Refused

CONNECTIONS = 128  # at once; more of them wait
HANDED_OVER = 32  # sets of doors, the newest ones: each keeps the name space of a command alive
_HANDING_OVER = 8  # at once
_MESSAGE_BYTES = 4096
_MOST_DOORS = 16
_SECONDS = 5.0

_log = logging.getLogger(__name__)


class Route(Protocol):
    """What answers behind one of the doors."""

    def serve(self, exchange: Exchange) -> None:
        """Answer one request. Raises Refused in place of an answer, ClientGone where nobody waits for it."""
        ...


class Server:
    """Serves `routes` at every set of doors that is handed over with the token, from `start` to `close`."""

    def __init__(self, path: Path, token: str, routes: Mapping[str, Route]) -> None:
        self._token = token
        self._routes = routes
        self._listener = _listening_at(path)
        self._sets: deque[list[socket.socket]] = deque()
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._threads: set[threading.Thread] = set()
        self._may_connect = threading.BoundedSemaphore(CONNECTIONS)
        self._may_hand_over = threading.BoundedSemaphore(_HANDING_OVER)
        # Threads run in copies of this: what they log belongs to the run.
        self._context = contextvars.copy_context()

    def start(self) -> None:
        self._spawn(self._accept_at, {self._listener: self._hand_over}, self._may_hand_over)

    def listen(self, name: str) -> int:
        """Serve a route on this machine's loopback, too; returns the port."""
        door = socket.socket()
        door.bind(("127.0.0.1", 0))
        door.listen(CONNECTIONS)
        self._spawn(self._accept_at, {door: self._speaking(self._routes[name])}, self._may_connect)
        return int(door.getsockname()[1])

    def listen_at(self, name: str, path: Path) -> None:
        """Serve a route at a socket of its own, too, which only this user may connect to."""
        door = _listening_at(path, mode=0o600)
        self._spawn(self._accept_at, {door: self._speaking(self._routes[name])}, self._may_connect)

    def close(self) -> None:
        """Hang up on everybody and wait until no thread is left; then the token is of no use any more."""
        with self._lock:
            self._closing = True
            for one in self._sockets:
                _hang_up(one)
            threads = list(self._threads)
        for thread in threads:
            thread.join(_SECONDS)

    # --- threads and sockets

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        def run() -> None:
            try:
                self._context.copy().run(target, *args)
            finally:
                with self._lock:
                    self._threads.discard(thread)

        thread = threading.Thread(target=run, daemon=True, name="sprint-gateway")
        with self._lock:
            self._threads.add(thread)
            thread.start()

    @contextlib.contextmanager
    def _held(self, *sockets: socket.socket) -> Iterator[bool]:
        """Close them at the end, and let `close` reach them until then; False where it was there already."""
        with self._lock:
            self._sockets.update(sockets)
            is_open = not self._closing
        try:
            yield is_open
        finally:
            with self._lock:
                self._sockets.difference_update(sockets)
                for one in sockets:
                    one.close()

    def _accept_at(
        self, doors: Mapping[socket.socket, Callable[[socket.socket], None]], slots: threading.Semaphore
    ) -> None:
        """Accept at listening sockets, a thread for each client, until they are shut down."""
        with self._held(*doors) as is_open, selectors.DefaultSelector() as selector:
            for door in doors:
                door.setblocking(False)  # a client that is gone again must not stop the others
                selector.register(door, selectors.EVENT_READ)
            while (
                is_open and not self._closing
            ):  # one that is shut down is ready, and may say no more than that
                for key, _ in selector.select():
                    try:
                        client, _ = key.fileobj.accept()  # type: ignore[union-attr]
                    except (BlockingIOError, ConnectionAbortedError):
                        continue
                    except OSError:  # shut down, or out of descriptors: either way the end
                        return
                    slots.acquire()
                    client.setblocking(True)
                    self._spawn(self._serve, client, doors[key.fileobj], slots)  # type: ignore[index]

    def _serve(
        self, client: socket.socket, speak: Callable[[socket.socket], None], slots: threading.Semaphore
    ) -> None:
        try:
            with self._held(client) as is_open:
                if is_open:
                    speak(client)
        except (ClientGone, OSError) as error:
            _log.debug("gateway: a connection ended: %s", error)
        except Exception:  # noqa: BLE001 - a defect must not take the other connections with it
            _log.exception("gateway: a connection was dropped")
        finally:
            slots.release()

    # --- what is said on them

    def _hand_over(self, client: socket.socket) -> None:
        client.settimeout(_SECONDS)
        message, descriptors, _, _ = socket.recv_fds(client, _MESSAGE_BYTES, _MOST_DOORS)
        doors = []
        for descriptor in descriptors:
            if _is_socket(descriptor):
                doors.append(socket.socket(fileno=descriptor))
            else:
                os.close(descriptor)
        try:
            names = self._understood(message)
            if not len(names) == len(doors) == len(descriptors) or not all(map(_is_door, doors)):
                raise ValueError("not a door for each route")
        except ValueError as error:
            _log.info("gateway: refused to serve what was handed over: %s", error)
            for door in doors:
                door.close()
            return
        with self._lock:
            self._sets.append(doors)
            for door in self._sets.popleft() if len(self._sets) > HANDED_OVER else ():
                _hang_up(door)
        speaking = {door: self._speaking(self._routes[name]) for door, name in zip(doors, names, strict=True)}
        self._spawn(self._accept_at, speaking, self._may_connect)
        client.sendall(b"+")

    def _understood(self, message: bytes) -> list[str]:
        """The routes that are asked for. Raises ValueError where it is not ours to serve them."""
        asked = json.loads(message)
        if not isinstance(asked, dict) or not isinstance(asked.get("routes"), list):
            raise ValueError("no such message is known")
        if not hmac.compare_digest(str(asked.get("token")).encode(), self._token.encode()):
            raise ValueError("another run's token")
        names = [str(name) for name in asked["routes"]]
        if unknown := set(names) - set(self._routes):
            raise ValueError(f"no such route: {', '.join(sorted(unknown))[:200]}")
        return names

    def _speaking(self, route: Route) -> Callable[[socket.socket], None]:
        def speak(client: socket.socket) -> None:
            if client.family == socket.AF_INET:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for exchange in Connection(client).exchanges():
                try:
                    route.serve(exchange)
                except Refused as refusal:
                    if exchange.started:
                        raise ClientGone(refusal.reason) from None
                    exchange.refuse(refusal)

        return speak


def _listening_at(path: Path, mode: int = 0o666) -> socket.socket:
    """A socket at a path of any length; anybody may connect to it, by default, who can come to its folder."""
    listener = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")  # the address itself holds 107 bytes
    finally:
        os.close(folder)
    path.chmod(mode)
    listener.listen(_HANDING_OVER)
    return listener


def _is_socket(descriptor: int) -> bool:
    return stat.S_ISSOCK(os.fstat(descriptor).st_mode)


def _is_door(candidate: socket.socket) -> bool:
    """Whether it listens for TCP on a loopback."""
    try:
        is_listening = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        address = candidate.getsockname()
    except OSError:
        return False
    is_tcp = candidate.family == socket.AF_INET and candidate.type == socket.SOCK_STREAM
    return bool(is_tcp and is_listening and address[0] == "127.0.0.1")


def _hang_up(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
