"""An agent's stdout and stderr while it works."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess

_MOST = 8 << 20  # bytes of an unfinished line that are kept


class Pipes:
    """The agent's stdout and stderr, line by line, without waiting for either."""

    def __init__(self, agent: subprocess.Popen[bytes], wake: socket.socket) -> None:
        assert agent.stdout
        assert agent.stderr
        self._pipes = {agent.stdout.fileno(): "stdout", agent.stderr.fileno(): "stderr"}
        self._files = (agent.stdout, agent.stderr)
        self._parts: dict[int, bytearray] = {number: bytearray() for number in self._pipes}
        self._lines: list[tuple[str, bytes]] = []
        self._wake = wake
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ)
        for number in self._pipes:
            os.set_blocking(number, False)
            self._selector.register(number, selectors.EVENT_READ)

    def wait(self, seconds: float) -> None:
        for key, _ in self._selector.select(max(0.0, seconds)):
            if key.fileobj is self._wake:
                self._wake.recv(64)
            else:
                self._read(key.fd)

    def _read(self, number: int) -> None:
        for _ in range(64):  # of 64 KiB: then others have their turn
            try:
                data = os.read(number, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self._selector.unregister(number)
                return
            part = self._parts[number]
            part += data
            *whole, tail = part.split(b"\n")
            self._lines += [(self._pipes[number], bytes(line)) for line in whole]
            self._parts[number] = bytearray(tail[-_MOST:])

    def lines(self) -> list[tuple[str, bytes]]:
        found, self._lines = self._lines, []
        return found

    def rest(self) -> list[tuple[str, bytes]]:
        """What is left once nobody writes any more."""
        for number in self._pipes:
            if number in self._selector.get_map():
                self._read(number)
        tails = [(self._pipes[number], bytes(part)) for number, part in self._parts.items() if part]
        return [*self.lines(), *tails]

    def close(self) -> None:
        self._selector.close()
        for file in self._files:
            file.close()


def rest_until(sock: socket.socket, seconds: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        if selector.select(seconds):
            sock.recv(64)
