"""What the supervisor says over connections: that it works, and how it ended."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import os
import socket
import time
import urllib.error
import urllib.request
from typing import Any

from sprint.sprite.supervisor.fault import Fault

_TRIES = 3
_AWAKE = ("/.sprite/api.sock", "/v1/tasks/sprint", "5m")


def stay_awake(*, for_it: bool = True) -> None:
    """Hold the machine awake while there is work, and no longer; only sprites have this socket."""
    path, name, expiry = _AWAKE
    if not os.path.exists(path):  # noqa: PTH110
        return
    connection = http.client.HTTPConnection("localhost", timeout=5)
    try:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(5)
        connection.sock.connect(path)
        body = json.dumps({"expire": expiry}) if for_it else None
        connection.request("PUT" if for_it else "DELETE", name, body, {"Content-Type": "application/json"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        pass  # it may fall asleep, and is woken by the next poll
    finally:
        connection.close()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any) -> None:
        return None


def call_back(address: str, secret: str, body: bytes) -> None:
    """POST, signed: HMAC-SHA256 over the time, a dot and the body. Raises OSError after three tries."""
    if not address.startswith(("https://", "http://")):
        raise Fault(f"{address!r} is no address to call back")
    at = str(int(time.time()))
    signature = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-Webhook-Timestamp": at,
        "X-Webhook-Signature": f"sha256={signature}",
    }
    opener = urllib.request.build_opener(_NoRedirects)
    for left in reversed(range(_TRIES)):
        try:
            with opener.open(urllib.request.Request(address, body, headers), timeout=10):  # noqa: S310
                return
        except urllib.error.HTTPError as error:
            if error.code < 500 or not left:
                raise OSError(f"the call-back was answered with {error.code}") from None
        except OSError:
            if not left:
                raise
        time.sleep(2.0 * (_TRIES - left))
