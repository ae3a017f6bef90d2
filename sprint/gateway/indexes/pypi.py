"""Python's simple API, as HTML and as JSON: pages by project, and the files that they link to."""

from __future__ import annotations

import html
import json
import re
from urllib.parse import urljoin

from urllib3.response import BaseHTTPResponse

from sprint.gateway.exchange import Exchange, Refused
from sprint.gateway.index import Found, Index
from sprint.gateway.lockfiles import pypi_name
from sprint.gateway.upstream import Site

_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT_JSON = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_ACCEPT_HTML = "application/vnd.pypi.simple.v1+html, text/html;q=0.2"
_PAGE = re.compile(r"/simple(?P<number>\d?)/(?P<project>[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)/?")
_HREF = re.compile(rb"""(<a\s[^>]*?\bhref\s*=\s*)(?:"([^"]*)"|'([^']*)')""", re.I)
_URL = re.compile(rb'("url"\s*:\s*)("(?:[^"\\]|\\.)*")')


def environment(address: str, found: Found) -> dict[str, str]:
    first, *others = [f"{address}/simple{number or ''}/" for number in range(max(len(found.sites[:10]), 1))]
    variables = {
        "PIP_INDEX_URL": first,
        "UV_DEFAULT_INDEX": first,
        "UV_INDEX_URL": first,  # uv before 0.4.23
        "PDM_PYPI_URL": first,
        "POETRY_PYPI_MIRROR_URL": first,  # of poetry-plugin-pypi-mirror
    }
    if others:
        variables |= {"PIP_EXTRA_INDEX_URL": " ".join(others), "UV_INDEX": " ".join(others)}
    return variables


def home_files(address: str) -> dict[str, str]:
    return {}


def serve(exchange: Exchange, index: Index) -> None:
    page = _PAGE.fullmatch(exchange.path)
    if page is None or int(page["number"] or 0) >= len(index.sites):
        raise Refused(404, "this index has pages of projects and their files, nothing else")
    project = pypi_name(page["project"])
    index.allow(project)
    wants_json = _JSON in exchange.headers.get("accept", "")
    index.forward(
        exchange,
        f"/{project}/",
        site=index.sites[int(page["number"] or 0)],
        accept=_ACCEPT_JSON if wants_json else _ACCEPT_HTML,
        rewrite=lambda body, response, site: _rewritten(body, response, site, index),
    )


def _rewritten(body: bytes, response: BaseHTTPResponse, site: Site, index: Index) -> bytes:
    """The page with every link to a file leading through the gateway; all else byte for byte."""
    page = urljoin(f"{site.url}/", response.geturl() or "")

    def anchor(found: re.Match[bytes]) -> bytes:
        target = html.unescape((found[2] or found[3] or b"").decode("utf-8", "replace"))
        return found[1] + f'"{html.escape(index.link(urljoin(page, target)))}"'.encode()

    def value(found: re.Match[bytes]) -> bytes:
        return found[1] + json.dumps(index.link(urljoin(page, json.loads(found[2])))).encode()

    if "json" in response.headers.get("content-type", ""):
        return _URL.sub(value, body)
    return _HREF.sub(anchor, body)
