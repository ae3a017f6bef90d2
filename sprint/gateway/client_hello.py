"""The server's name in the first message of TLS (RFC 8446 4.1.2, RFC 6066 3), and nothing else of it."""

from __future__ import annotations

CLIENT_HELLO_BYTES = 65_536
_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0


class Incomplete(Exception):
    """The message goes on in bytes that have not come yet."""


def server_name(data: bytes) -> str:
    """The name that a ClientHello asks for in lower case, "" where it names none.

    `data` begins with the connection's first byte, and may hold more. Raises Incomplete, and ValueError for
    what is no ClientHello or names more than one host.
    """
    body = _Reader(_message(data))
    body.skip(2 + 32)  # version, random
    body.skip(body.number(1))  # session id
    body.skip(body.number(2))  # cipher suites
    body.skip(body.number(1))  # compression methods
    if body.is_empty():
        return ""
    extensions = _Reader(body.take(body.number(2)))
    names = []
    while not extensions.is_empty():
        kind = extensions.number(2)
        content = extensions.take(extensions.number(2))
        if kind == _SERVER_NAME:
            names += _host_names(content)
    if len(names) > 1:
        raise ValueError("it names more than one host")
    return names[0] if names else ""


def _message(data: bytes) -> bytes:
    """The ClientHello out of the records that carry it."""
    records = _Reader(data, more_may_come=True)
    message = b""
    while True:
        if records.number(1) != _HANDSHAKE:
            raise ValueError("no handshake")
        if records.number(1) != 3:
            raise ValueError("an unknown version")
        records.skip(1)
        length = records.number(2)
        if not 0 < length <= 16_384:
            raise ValueError("a record of an impossible length")
        message += records.take(length)
        if message[0] != _CLIENT_HELLO:
            raise ValueError("no ClientHello")
        if len(message) >= 4:
            size = int.from_bytes(message[1:4], "big")
            if size > CLIENT_HELLO_BYTES:
                raise ValueError("a ClientHello that is too long")
            if len(message) >= 4 + size:
                return message[4 : 4 + size]


def _host_names(content: bytes) -> list[str]:
    listed = _Reader(content)
    entries = _Reader(listed.take(listed.number(2)))
    names = []
    while not entries.is_empty():
        kind = entries.number(1)
        name = entries.take(entries.number(2))
        if kind == _HOST_NAME:
            names.append(name.decode("ascii", "replace").lower())
    return names


class _Reader:
    """Takes bytes from the front. Raises Incomplete or ValueError where there are fewer."""

    def __init__(self, data: bytes, *, more_may_come: bool = False) -> None:
        self._data = data
        self._at = 0
        self._more_may_come = more_may_come

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise Incomplete if self._more_may_come else ValueError("it ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def skip(self, count: int) -> None:
        self.take(count)

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def is_empty(self) -> bool:
        return self._at >= len(self._data)
