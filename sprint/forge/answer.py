"""An answer of a forge, read with limits."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import urllib3
from msgspec import Struct

from sprint.errors import ForgeError
from sprint.retries import PassingFault

BODY_CAP = 20_000_000  # bytes of one answer, after decompression


class Answer(Struct, frozen=True):
    """A successful answer. `url` is where it came from in the end; `data` is None where there is no body."""

    status: int
    url: str
    headers: Mapping[str, str]
    data: Any
    redirected: bool = False

    def link(self, relation: str) -> str:
        """The address in the Link header for that relation, or ""."""
        links = self.headers.get("Link", "")
        found = re.search(rf'<([^<>]*)>[^<>]*;\s*rel="?{relation}"?\s*(?:[;,]|$)', links)
        return found[1] if found else ""

    def count(self, header: str) -> int | None:
        text = self.headers.get(header, "").strip()
        return int(text) if re.fullmatch("[0-9]{1,9}", text) else None


def read_body(response: urllib3.BaseHTTPResponse, what: str, seconds: float) -> bytes:
    """The body, at most BODY_CAP bytes and not longer than `seconds`, however slowly it trickles."""
    body = bytearray()
    deadline = time.monotonic() + seconds
    while chunk := response.read1(1 << 16, decode_content=True):
        body += chunk
        if len(body) > BODY_CAP:
            raise ForgeError(f"{what}: the answer is larger than {BODY_CAP // 1_000_000} MB")
        if time.monotonic() > deadline:
            raise PassingFault(f"{what}: the answer did not end within {seconds:g} seconds", maybe_done=True)
    return bytes(body)


def parse(body: bytes, what: str, status: int) -> Any:
    """The body as JSON; None where it is empty, or an error's body in another format."""
    if not body.strip():
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if status >= 300:
            return None
        if body.lstrip()[:1] != b"<":
            raise PassingFault(f"{what}: the answer is no JSON, or was cut off", maybe_done=True) from error
        raise ForgeError(
            f"{what}: a web page came where JSON was expected; check the url,"
            " and whether a login page or a proxy is in the way",
            status=status,
        ) from error
