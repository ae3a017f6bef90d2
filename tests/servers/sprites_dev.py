"""A sprites.dev on loopback: what the SDK asks, over HTTP and WebSocket, answered as by the real one.

Each sprite is a folder, which a command finds at /home/sprite, by a mount in a name space of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

HOME = "/home/sprite"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ENTER = 'mount --bind "$0" /home && cd "$1" && shift && exec "$@"'


@dataclass
class Box:
    """One sprite: `home` is its /home/sprite."""

    home: Path
    labels: list[str]
    status: str = "running"
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat().replace("+00:00", "Z"))
    checkpoints: list[dict[str, Any]] = field(default_factory=list)


class SpritesDev:
    """`fault` may answer in place of the server: it gets method and path, and returns status, headers and
    body, or raises ConnectionError to cut the connection; None lets the request through."""

    def __init__(self, root: Path) -> None:
        self.root, self.token = root, "sprite-token-1234567890"
        self.boxes: dict[str, Box] = {}
        self.fault: Callable[[str, str], tuple[int, dict[str, str], bytes] | None] = lambda _method, _path: (
            None
        )
        self.drop_exec_after: int | None = None  # bytes of output
        self.checkpoint_events: list[dict[str, str]] | None = None
        self.asked: list[tuple[str, str]] = []
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] - of one that hung up
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> SpritesDev:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(self, name: str, labels: list[str]) -> Box:
        home = self.root / name / "sprite"
        home.mkdir(parents=True)
        self.boxes[name] = Box(home, labels)
        return self.boxes[name]

    def about(self, name: str) -> dict[str, Any]:
        box = self.boxes[name]
        return {"id": f"id-{name}", "name": name, "organization": "personal", "status": box.status} | {
            "labels": box.labels,
            "created_at": box.created,
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: SpritesDev

    def log_message(self, *_args: Any) -> None:
        pass

    def _answer(
        self, status: int, body: object = None, kind: str = "application/json", **headers: str
    ) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def _handle(self) -> None:
        service, parts = self.service, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        query = parse_qs(parts.query, keep_blank_values=True)
        service.asked.append((self.command, parts.path))
        try:
            if spoiled := service.fault(self.command, parts.path):
                status, headers, data = spoiled
                return self._answer(status, data, **headers)
        except ConnectionError:
            self.close_connection = True
            return self.connection.close()
        if parts.path.startswith("/v1/organizations/") and self.command == "POST":
            if self.headers["Authorization"] != "FlyV1 fm2_fly":
                return self._answer(401, {"error": "unauthorized"})
            return self._answer(201, {"token": service.token})
        if self.headers["Authorization"] != f"Bearer {service.token}":
            return self._answer(401, {"error": "unauthorized"})
        names = [unquote(part) for part in parts.path.split("/")[3:]]
        return self._sprites(body, query) if not names else self._sprite(names[0], names[1:], body, query)

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815 - as the base class calls them

    def _sprites(self, body: bytes, query: dict[str, list[str]]) -> None:
        service = self.service
        if self.command == "POST":
            asked = json.loads(body)
            if asked["name"] in service.boxes:
                return self._answer(409, {"error": "name is taken"})
            service.create(asked["name"], asked.get("labels") or [])
            return self._answer(201, service.about(asked["name"]))
        names, most = sorted(service.boxes), min(2, int(query.get("max_results", ["2"])[0]))
        start = int(query.get("continuation_token", ["0"])[0])
        page = [service.about(name) for name in names[start : start + most]]
        more = start + most < len(names)
        answer = {
            "sprites": page,
            "has_more": more,
            "next_continuation_token": str(start + most) if more else None,
        }
        return self._answer(200, answer)

    def _sprite(self, name: str, rest: list[str], body: bytes, query: dict[str, list[str]]) -> None:
        box = self.service.boxes.get(name)
        if box is None:
            return self._answer(404, {"error": "sprite not found"})
        if not rest and self.command == "DELETE":
            shutil.rmtree(box.home.parent)
            del self.service.boxes[name]
            return self._answer(204, b"")
        if not rest and self.command == "PUT":
            box.labels = json.loads(body).get("labels", box.labels)
        if not rest:
            return self._answer(200, self.service.about(name))
        if rest == ["exec"]:
            return self._exec(box, query)
        if rest[0] == "fs":
            return self._files(box, rest[1], query, body)
        return self._checkpoints(box, rest, body)

    def _files(self, box: Box, verb: str, query: dict[str, list[str]], body: bytes) -> None:
        where = Path(query["workingDir"][0], query["path"][0])
        path = box.home.parent / where.relative_to("/home")
        if verb == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            path.chmod(int(query["mode"][0], 8))
            return self._answer(200, {"path": str(where), "size": len(body), "mode": query["mode"][0]})
        if not path.is_file():
            return self._answer(404, {"error": "no such file", "code": "ENOENT"})
        return self._answer(200, path.read_bytes(), kind="application/octet-stream")

    def _checkpoints(self, box: Box, rest: list[str], body: bytes) -> None:
        if rest == ["checkpoints"]:
            return self._answer(200, box.checkpoints)
        events = self.service.checkpoint_events
        if rest == ["checkpoint"]:
            number = f"v{len(box.checkpoints) + 1}"
            shutil.copytree(box.home, box.home.parent / f".{number}", symlinks=True)
            made = datetime.now(UTC).isoformat().replace("+00:00", "Z")
            comment = json.loads(body or b"{}").get("comment", "")
            if events is None:
                box.checkpoints.append({"id": number, "create_time": made, "comment": comment})
            return self._events(
                events or [{"type": "info", "data": f"Checkpoint {number} created"}, {"type": "complete"}]
            )
        kept = box.home.parent / f".{rest[1]}"
        if not kept.exists():  # as the real one: a stream that looks like success
            return self._events([{"type": "error", "error": "no such checkpoint"}])
        shutil.rmtree(box.home)
        shutil.copytree(kept, box.home, symlinks=True)
        return self._events(events or [{"type": "complete"}])

    def _events(self, events: list[dict[str, str]]) -> None:
        lines = "".join(json.dumps(event) + "\n" for event in events)
        self._answer(200, lines.encode(), kind="application/x-ndjson")

    # A command, over a WebSocket: one text frame, then binary ones of a stream byte and the payload.

    def _exec(self, box: Box, query: dict[str, list[str]]) -> None:
        key = self.headers["Sec-WebSocket-Key"].encode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header(
            "Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        )
        self.end_headers()
        self.close_connection = True
        self._frame(1, json.dumps({"type": "session_info", "session_id": "1", "tty": False}).encode())
        given = self._stdin() if query.get("stdin") == ["true"] else b""
        env = dict(pair.split("=", 1) for pair in query.get("env", []))
        argv = [
            "unshare",
            *(["--map-root-user"] if os.getuid() else []),
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            _ENTER,
            str(box.home.parent),
        ]
        argv += [query.get("dir", [HOME])[0], *query["cmd"]]
        done = subprocess.run(argv, input=given, env=env, capture_output=True, timeout=60)
        left = self.service.drop_exec_after
        for stream, data in ((1, done.stdout), (2, done.stderr)):
            if data and left is not None:
                self._frame(2, bytes([stream]) + data[:left])
                return
            if data:
                self._frame(2, bytes([stream]) + data)
        self._frame(2, bytes([3, done.returncode & 0xFF]))

    def _stdin(self) -> bytes:
        given = bytearray()
        for data in self._frames():
            if data[:1] == b"\4":
                break
            given += data[1:]
        return bytes(given)

    def _frames(self) -> Iterator[bytes]:
        while True:
            head = self.rfile.read(2)
            size = head[1] & 0x7F
            if size >= 126:
                size = int.from_bytes(self.rfile.read(2 if size == 126 else 8), "big")
            mask, data = self.rfile.read(4), self.rfile.read(size)
            if head[0] & 0xF == 2:
                whole = int.from_bytes(data, "big") ^ int.from_bytes((mask * (size // 4 + 1))[:size], "big")
                yield whole.to_bytes(size, "big")

    def _frame(self, opcode: int, data: bytes) -> None:
        size = len(data)
        length = (
            bytes([size])
            if size < 126
            else (b"\x7e" + struct.pack(">H", size))
            if size < 65536
            else b"\x7f" + struct.pack(">Q", size)
        )
        self.wfile.write(bytes([0x80 | opcode]) + length + data)
        self.wfile.flush()
