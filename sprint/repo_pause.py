"""A switch for people: `refs/sprint/paused` beside a repository's claims, so that it holds on all hosts.

The ref points at a commit whose message says why and since when. While it is there no host begins a run;
runs under way go on.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from sprint import decoding, git
from sprint.clean_text import safe_line
from sprint.errors import ForgeError

REF = "refs/sprint/paused"
_WHY_CAP = 200
_RACES = 5


class RepoPause(Struct, frozen=True):
    """`since` None where whoever wrote it did not say."""

    since: datetime | None = None
    why: str = ""

    def says(self, repo: str) -> str:
        """One line for people, with the remedy."""
        since = f" since {self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if self.since else ""
        why = f": {safe_line(self.why, _WHY_CAP)}" if self.why else ""
        return f"paused{since}{why}; `sprint resume {repo}` lifts it"


def parse(message: str) -> RepoPause:
    """What the ref's commit says; a pause without words where that is nonsense: it counts all the same."""
    try:
        found = decoding.decode(message, RepoPause)
    except (msgspec.MsgspecError, UnicodeError):
        return RepoPause()
    if found.since is not None and found.since.tzinfo is None:
        return RepoPause(found.since.replace(tzinfo=UTC), found.why)
    return found


def last_known(git_dir: Path) -> RepoPause | None:
    """The pause as a tick of this host last saw it in its copy of the claims; nothing is asked."""
    if not (git_dir / "HEAD").is_file() or (sha := git.resolve(git_dir, REF)) is None:
        return None
    return parse(git.log(git_dir, sha, limit=1)[0][1])


def pause(git_dir: Path, remote: git.Remote, why: str, now: datetime) -> None:
    """Have no host begin a run. Raises ForgeError where the server does not take it."""
    git.init_bare(git_dir)
    message = msgspec.json.encode(RepoPause(now, why[:_WHY_CAP])).decode()
    tree = git.EMPTY_TREE
    sha = git.commit_tree(git_dir, tree, [], message, "sprint", "sprint@localhost", now)
    for _ in range(_RACES):
        there = git.ls_remote(remote, REF).get(REF, "")
        result, said = git.push(git_dir, remote, sha, REF, expected=there)
        if result is git.PushResult.OK:
            git.update_ref(git_dir, REF, sha)
            return
        if result is git.PushResult.REJECTED:
            raise ForgeError(f"{remote.url} refuses the pause: {said}; give the account write access")
    raise ForgeError(f"{remote.url}: others change the pause at this moment; try again")


def resume(git_dir: Path, remote: git.Remote) -> bool:
    """Lift the pause; False where there was none. Raises ForgeError where the server does not take it."""
    git.init_bare(git_dir)
    for _ in range(_RACES):
        there = git.ls_remote(remote, REF).get(REF, "")
        if not there:
            git.update_ref(git_dir, REF, None)
            return False
        result = git.delete_ref(git_dir, remote, REF, expected=there)
        if result is git.PushResult.OK:
            git.update_ref(git_dir, REF, None)
            return True
        if result is git.PushResult.REJECTED:
            raise ForgeError(f"{remote.url} does not let the pause be removed; give the account write access")
    raise ForgeError(f"{remote.url}: others change the pause at this moment; try again")
