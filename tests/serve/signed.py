"""What others send: sprites, in the plain form and as ours do; Gitea and GitHub, as they do."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

# Byte for byte; "..." where the sender puts what it knows.
COMPLETED = (
    b'{"type":"completed","sessionId":"...","taskId":"...","summary":"...",'
    b'"stats":{"messageCount":15,"inputTokens":12500,"outputTokens":8700}}'
)
ERROR = b'{"type":"error","sessionId":"...","taskId":"...","error":"Git push failed"}'
QUESTION = b'{"type":"question","sessionId":"...","taskId":"...","question":"Should I proceed?"}'


def of_run(body: bytes, run_id: str) -> bytes:
    session, task, rest = b'"sessionId":"...",', b'"taskId":"...",', f'"{run_id}",'.encode()
    return body.replace(session, b'"sessionId":' + rest).replace(task, b'"taskId":' + rest)


def digest(key: str, data: bytes) -> str:
    return hmac.new(key.encode(), data, hashlib.sha256).hexdigest()


def plainly(key: str, body: bytes) -> dict[str, str]:
    """Without a time."""
    return {"X-Webhook-Signature": f"sha256={digest(key, body)}"}


def with_time(key: str, body: bytes, at: float | None = None) -> dict[str, str]:
    """As our supervisor sends it."""
    stamp = str(int(time.time() if at is None else at))
    signature = f"sha256={digest(key, f'{stamp}.'.encode() + body)}"
    return {"X-Webhook-Timestamp": stamp, "X-Webhook-Signature": signature}


Delivery = tuple[dict[str, str], bytes]


def by_gitea(
    secret: str, event: str, payload: Mapping[str, Any], kind: str = "", form: bool = False
) -> Delivery:
    """Gitea signs the JSON, also where it sends a form; `kind` is its finer name of the event."""
    text, number = json.dumps(payload, indent=2).encode(), str(uuid.uuid4())
    names = {"X-Gitea": "X-Gitea", "X-Gogs": "X-Gogs", "X-GitHub": "X-GitHub"}
    headers = {
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
        **{f"{name}-Delivery": number for name in names},
        **{f"{name}-Event": event for name in names},
        **{f"{name}-Event-Type": kind or event for name in names},
        "X-Gitea-Signature": digest(secret, text),
        "X-Gogs-Signature": digest(secret, text),
        "X-Hub-Signature": "sha1=" + hmac.new(secret.encode(), text, hashlib.sha1).hexdigest(),
        "X-Hub-Signature-256": f"sha256={digest(secret, text)}",
    }
    return headers, urlencode({"payload": text}).encode() if form else text


def by_forgejo(secret: str, event: str, payload: Mapping[str, Any]) -> Delivery:
    headers, body = by_gitea(secret, event, payload)
    known = {name.replace("X-Gitea", "X-Forgejo"): value for name, value in headers.items()}
    return known, body


def by_github(secret: str, event: str, payload: Mapping[str, Any], form: bool = False) -> Delivery:
    """GitHub signs what it sends."""
    text = json.dumps(payload, separators=(",", ":")).encode()
    body = urlencode({"payload": text}).encode() if form else text
    headers = {
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": "292430182",
        "X-GitHub-Hook-Installation-Target-ID": "79929171",
        "X-GitHub-Hook-Installation-Target-Type": "repository",
        "X-Hub-Signature": "sha1=" + hmac.new(secret.encode(), body, hashlib.sha1).hexdigest(),
        "X-Hub-Signature-256": f"sha256={digest(secret, body)}",
    }
    return headers, body


def issue_event(
    action: str = "opened", sender: str = "carl", repo: str = "octo/widgets", **more: Any
) -> dict[str, Any]:
    """Both forges' shape, as far as both have it."""
    owner, _, name = repo.partition("/")
    user = {"id": 3, "login": sender, "avatar_url": "https://git.example.org/avatars/3"}
    return {
        "action": action,
        "number": 12,
        "issue": {
            "id": 120,
            "number": 12,
            "title": "It fails",
            "body": "Often.",
            "state": "open",
            "user": user,
        },
        "repository": {
            "id": 7,
            "name": name,
            "full_name": repo,
            "owner": {"id": 1, "login": owner},
            "private": False,
            "html_url": f"https://git.example.org/{repo}",
        },
        "sender": user,
        **more,
    }
