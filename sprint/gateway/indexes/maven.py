"""Maven's central repository, in its usual layout."""

from __future__ import annotations

import re
from urllib.parse import unquote

from sprint.gateway.exchange import Exchange, Refused
from sprint.gateway.index import Found, Index

_SEGMENT = r"[A-Za-z0-9_][\w.+-]*"
_PATH = re.compile(rf"/(?P<folders>{_SEGMENT}(?:/{_SEGMENT})+)/(?P<file>{_SEGMENT})")
_DEPENDENCY = re.compile(
    rb"<groupId>\s*([\w.${}-]+)\s*</groupId>\s*<artifactId>\s*([\w.-]+)\s*</artifactId>", re.ASCII
)
_OWN_GROUP = re.compile(r"\$\{(?:project\.|pom\.)?(?:parent\.)?groupId\}")


def environment(address: str, found: Found) -> dict[str, str]:
    return {"MVNW_REPOURL": address}


def home_files(address: str) -> dict[str, str]:
    """A mirror of Maven's own name for it: what is fetched counts as the central repository's later on."""
    return {
        ".m2/settings.xml": "<settings><mirrors><mirror><id>central</id><mirrorOf>central</mirrorOf>"
        f"<url>{address}</url></mirror></mirrors></settings>\n"
    }


def serve(exchange: Exchange, index: Index) -> None:
    path = unquote(exchange.path)
    asked = _PATH.fullmatch(path)
    if asked is None:
        raise Refused(404, "this repository has artifacts, nothing else")
    folders, file = asked["folders"].split("/"), asked["file"]
    index.allow(_name(folders, file))
    if not file.endswith(".pom"):
        index.forward(exchange, path)
        return
    group = ".".join(folders[:-2])
    index.forward(
        exchange,
        path,
        rewrite=lambda body, response, site: _noted(body, index, group),
    )


def _name(folders: list[str], file: str) -> str:
    """GROUP:ARTIFACT of a file in .../GROUP/ARTIFACT/VERSION/, or of metadata that lies higher up."""
    if len(folders) > 2 and file.startswith(f"{folders[-2]}-{folders[-1].removesuffix('-SNAPSHOT')}"):
        return f"{'.'.join(folders[:-2])}:{folders[-2]}"
    if not file.startswith("maven-metadata"):
        raise Refused(404, "this repository has artifacts, nothing else")
    if folders[-1][:1].isdecimal() and len(folders) > 2:
        return f"{'.'.join(folders[:-2])}:{folders[-2]}"
    return f"{'.'.join(folders[:-1])}:{folders[-1]}"


def _noted(body: bytes, index: Index, group: str) -> bytes:
    """The model as it is; what it depends on may then be asked for: Maven has no lock files to say it."""
    for found, artifact in _DEPENDENCY.findall(body):
        index.offer(f"{_OWN_GROUP.sub(group, found.decode())}:{artifact.decode()}")
    return body
