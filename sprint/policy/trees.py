"""The tree before and after, and the symbolic links in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from sprint import git
from sprint.config import PublishConfig
from sprint.domain import Change, ImportedWork, Refusal

LINK = "120000"
GITLINK = "160000"
NOWHERE = "000000"  # the mode of a file that is not there
LARGEST = 50_000_000  # bytes of one file that is read at all

_LONGEST_TARGET = 4096
_MOST_HOPS = 40


class Trees:
    """All entries at the base and in the result, by path; read once, when first asked for."""

    def __init__(self, mirror: Path, work: ImportedWork) -> None:
        self.mirror = mirror
        self.work = work

    @property
    def changes(self) -> tuple[Change, ...]:
        return self.work.changes

    @property
    def added(self) -> list[Change]:
        """Changes that put content there: all but deletions."""
        return [change for change in self.changes if change.status != "D"]

    @cached_property
    def before(self) -> Mapping[str, tuple[str, str]]:
        """Mode and object id by path."""
        return git.ls_tree(self.mirror, self.work.base)

    @cached_property
    def after(self) -> dict[str, tuple[str, str]]:
        entries = {**self.before, **{c.path: (c.new_mode, c.new_sha) for c in self.added}}
        for change in self.changes:
            if change.status == "D":
                del entries[change.path]
        return entries

    @cached_property
    def blobs(self) -> Mapping[str, bytes]:
        """What the changed files hold, and held, by object id; those that are too large are left out."""
        wanted = [c.new_sha for c in self.added if c.new_mode != GITLINK]
        wanted += [self.before[c.path][1] for c in self.changes if c.old_mode not in (NOWHERE, GITLINK)]
        return git.read_blobs(self.mirror, wanted, LARGEST)


def escaping_links(trees: Trees, rules: PublishConfig) -> Iterator[Refusal]:
    """Links that lead out of the tree, by themselves or through others, and did not before."""
    if not any(LINK in (change.old_mode, change.new_mode) for change in trees.changes):
        return
    old, new = link_targets(trees.mirror, trees.before), link_targets(trees.mirror, trees.after)
    for path, target in new.items():
        was_so = old.get(path) == target and resolve_link(path, old) is None
        if not was_so and resolve_link(path, new) is None:
            yield Refusal(path, "is a link that leads out of the repository, or nowhere")


def link_targets(mirror: Path, entries: Mapping[str, tuple[str, str]]) -> dict[str, str | None]:
    """Where each link points; None where that is too long to be a path."""
    shas = {path: sha for path, (mode, sha) in entries.items() if mode == LINK}
    targets = git.read_blobs(mirror, shas.values(), _LONGEST_TARGET)
    return {
        path: targets[sha].decode("utf-8", "surrogateescape") if sha in targets else None
        for path, sha in shas.items()
    }


def resolve_link(path: str, links: Mapping[str, str | None]) -> str | None:
    """Where a link leads, walked as the kernel would from the folder it is in; None: out, or nowhere."""
    here, ahead, hops = path.split("/")[:-1], [path.rpartition("/")[2]], 0
    while ahead:
        name = ahead.pop(0)
        if name in ("", "."):
            continue
        if name == "..":
            if not here:
                return None
            here.pop()
            continue
        if name.casefold() == ".git":
            return None
        target = links.get("/".join([*here, name]), "")
        if target is None or target.startswith("/"):
            return None
        if target:
            hops += 1
            if hops > _MOST_HOPS:
                return None
            ahead = target.split("/") + ahead
        else:
            here.append(name)
    return "/".join(here)
