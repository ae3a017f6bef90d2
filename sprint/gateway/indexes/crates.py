"""cargo's sparse index and the crates' files."""

from __future__ import annotations

import json
import re
from urllib.parse import quote, unquote

from sprint.gateway.exchange import Exchange, Refused
from sprint.gateway.index import Found, Index
from sprint.gateway.upstream import Site

_NAME = r"[A-Za-z0-9_-]{1,64}"
_VERSION = r"[0-9A-Za-z.+-]{1,100}"
_ENTRY = re.compile(rf"/(?:1|2|3/[a-z0-9_-]|[a-z0-9_-]{{2}}/[a-z0-9_-]{{2}})/(?P<name>{_NAME})")
_CRATE = re.compile(rf"/crate/(?P<name>{_NAME})/(?P<version>{_VERSION})/(?P<checksum>[0-9a-f]{{64}})")
_MARKERS = ("{crate}", "{version}", "{prefix}", "{lowerprefix}", "{sha256-checksum}")


def environment(address: str, found: Found) -> dict[str, str]:
    return {}


def home_files(address: str) -> dict[str, str]:
    """cargo reads a source's replacement from no variable. It stays for checks: crates are kept under it."""
    return {
        ".cargo/config.toml": '[source.crates-io]\nreplace-with = "gateway"\n\n'
        f'[source.gateway]\nregistry = "sparse+{address}/"\n'
    }


def serve(exchange: Exchange, index: Index) -> None:
    path = unquote(exchange.path)
    if path == "/config.json":
        template = f"{index.address}/crate/{{crate}}/{{version}}/{{sha256-checksum}}"
        exchange.answer(200, json.dumps({"dl": template}).encode(), {"content-type": "application/json"})
    elif entry := _ENTRY.fullmatch(path):
        index.allow(entry["name"].lower())
        index.forward(
            exchange,
            path,
            rewrite=lambda body, response, site: _noted(body, index),
        )
    elif crate := _CRATE.fullmatch(path):
        index.allow(crate["name"].lower(), crate["version"])
        site = index.sites[0]
        index.forward_url(exchange, site, _download(index, site, crate))
    else:
        raise Refused(404, "this index has crates, nothing else")


def _noted(body: bytes, index: Index) -> bytes:
    """The entry as it is; the versions in it may then be downloaded, and what they depend on be asked for."""
    for line in body.splitlines():
        try:
            entry = json.loads(line)
            index.offer(str(entry["name"]).lower(), str(entry["vers"]))
            for needed in entry["deps"]:
                index.offer(str(needed.get("package") or needed["name"]).lower())
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
    return body


def _download(index: Index, site: Site, crate: re.Match[str]) -> str:
    """Where the index says that its crates are. Raises Refused where it says nothing."""
    template = index.remember("template", lambda: _template(index, site))
    if not any(marker in template for marker in _MARKERS):
        template += "/{crate}/{version}/download"
    name = crate["name"]
    values = (name, quote(crate["version"]), _prefix(name), _prefix(name.lower()), crate["checksum"])
    for marker, value in zip(_MARKERS, values, strict=True):
        template = template.replace(marker, value)
    return template


def _template(index: Index, site: Site) -> str:
    status, body = index.ask(site, f"{site.url}/config.json")
    try:
        template = str(json.loads(body)["dl"]) if status == 200 else ""
    except (ValueError, TypeError, KeyError):
        template = ""
    if not template:
        raise Refused(502, "the index does not say where its crates are")
    return template


def _prefix(name: str) -> str:
    if len(name) < 4:
        return f"3/{name[0]}" if len(name) == 3 else str(len(name))
    return f"{name[:2]}/{name[2:4]}"
