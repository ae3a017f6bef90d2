"""Sprites that are folders, on this machine or on any Linux machine that OpenSSH reaches.

Under the backend's folder each sprite has `home`, which is all that is promised, beside `checkpoints` and
`about.json`. A checkpoint is a copy, restore replaces home, destroy removes all. Each call is one small
shell script, so that it is one dialogue with the machine; a script that is cut off leaves what its next
call mends: what is new is made beside and moved into its place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import stat
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from sprint import proc
from sprint.config import LocalBackendConfig, SshBackendConfig
from sprint.domain import Completed, replace
from sprint.errors import ConfigError
from sprint.sprite.backend import (
    FILE_CAP,
    BackendError,
    Checkpoint,
    Done,
    Failed,
    Missing,
    Refused,
    Sprite,
    SpriteState,
    Unreachable,
    check_size,
    checked,
    kind_of_failure,
    repeated,
    shown,
)

_QUICK, _SLOW = 60.0, 1800.0  # seconds for a look, and for a copy of everything
_LOGIN_SECONDS, _SILENT_SECONDS = 10, 5  # for a login; and of silence, of which three are a lost connection
_SHARED_SECONDS = 20  # without a request, after which a connection is closed
_LONGEST_SOCKET = 107 - len(".0123456789abcdef")  # bytes of a socket's path, less what ssh adds for a moment
_NO_SUCH, _TAKEN, _TOO_LARGE, _OWN_255 = 90, 91, 92, 93

# What ssh says where it takes a connection of its own, and no word of the command's.
_OF_SHARING = re.compile(rb"\A(?:(?:ControlSocket|mux_client_)[^\n]*\n)+")

# $1 is the backend's folder, $2 the sprite. Restores that were cut off are mended first.
_ENTER = f"""\
cd "$1/$2" 2>/dev/null || exit {_NO_SUCH}
[ -d home ] || {{ [ -d .old ] && mv .old home; }} || exit {_NO_SUCH}
"""
_CREATE = f"""\
umask 077; mkdir -p "$1" && cd "$1" || exit 1
mkdir "$2" 2>/dev/null || exit {_TAKEN}
mkdir "$2/home" "$2/checkpoints" && printf %s "$3" >"$2/about.json"
"""
_LABEL = (
    _ENTER
    + """\
umask 077; printf %s "$3" >".about.new$$" && mv -f ".about.new$$" about.json
"""
)
_ABOUT = _ENTER + "cat about.json 2>/dev/null || true"
_LIST = r"""
cd "$1" 2>/dev/null || exit 0
for each in */about.json; do
[ ! -f "$each" ] || printf '%s\t%s\n' "${each%%/*}" "$(head -c 20000 "$each" | tr -d '\n')"
done
"""
_STATE = f'[ -d "$1/$2/home" ] || [ -d "$1/$2/.old" ] || exit {_NO_SUCH}'
_RUN = f"""\
seconds=$1; home=$PWD; shift
env -i PATH='{proc.SEARCH_PATH}':"$home/.local/bin" HOME="$home" LANG=C.UTF-8 timeout -k 5 "$seconds" "$@"
code=$?; [ $code -ne 255 ] || code={_OWN_255}; exit $code
"""
_EXEC = _ENTER + "cd home; shift 2\n" + _RUN
_EXEC_BESIDE = 'umask 077; mkdir -p "$1" && cd "$1" || exit 1\nshift\n' + _RUN
_PUT = (
    _ENTER
    + """\
cd home; umask 077; mkdir -p "$(dirname "$3")" && cat >"$3.part$$" && chmod "$4" "$3.part$$" &&
mv -f "$3.part$$" "$3"
"""
)
_GET = (
    _ENTER
    + f"""\
cd home; [ -f "$3" ] || exit {_NO_SUCH}
[ "$(stat -Lc %s "$3")" -le "$4" ] || exit {_TOO_LARGE}
cat "$3"
"""
)
# Copies of all that a home holds: of those that runs leave behind, called "sprint: RUN", the newest stay.
_CHECKPOINT = (
    _ENTER
    + r"""
rm -rf checkpoints/.new; number=$(ls checkpoints | sed -n 's/^v\([0-9]*\)$/\1/p' | sort -n | tail -n 1)
number=$((${number:-0} + 1))
mkdir checkpoints/.new && cp -a home checkpoints/.new/home && printf %s "$3" >checkpoints/.new/comment &&
mv checkpoints/.new "checkpoints/v$number" && echo "v$number" || exit 1
cd checkpoints; grep -ls '^sprint: [0-9]' v*/comment | sed 's,/.*,,' | sort -V | head -n -3 | xargs -r rm -rf
"""
)
_CHECKPOINTS = (
    _ENTER
    + r"""
cd checkpoints; for each in v*; do
comment=$(head -c 2000 "$each/comment" 2>/dev/null | tr '\n\t' '  ')
[ ! -d "$each" ] || printf '%s\t%s\t%s\n' "$each" "$(stat -c %Y "$each/comment")" "$comment"
done
"""
)
_RESTORE = (
    _ENTER
    + f"""\
[ -d "checkpoints/$3/home" ] || exit {_NO_SUCH}
rm -rf .new && cp -a "checkpoints/$3/home" .new && rm -rf .old && mv home .old && mv .new home && rm -rf .old
"""
)
_DESTROY = """\
cd "$1" 2>/dev/null || exit 0
[ ! -e "$2" ] || mv "$2" ".gone-$2-$$" && chmod -R u+rwx .gone-"$2"-* 2>/dev/null; rm -rf .gone-"$2"-*
"""


class Shell(Protocol):
    """Runs a script of ours with arguments, on the machine where the folders are."""

    folder: str
    where: str  # for people
    at_once: int

    def run(self, script: str, args: Sequence[str], *, timeout: float, stdin: bytes, cap: int) -> Completed:
        """Raises Unreachable, or Refused where the machine does not let us in."""


class LocalShell:
    """This machine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.where, self.at_once = str(folder), "this machine", 32

    def run(self, script: str, args: Sequence[str], *, timeout: float, stdin: bytes, cap: int) -> Completed:
        return proc.run(["sh", "-c", script, "sh", *args], timeout=timeout, stdin=stdin, output_cap=cap)


class SshShell:
    """A machine with OpenSSH, by keys or an agent: never a password, never a question.

    Requests share a connection, also those of other processes: a login takes half a second. It is closed soon
    after the last of them.
    """

    def __init__(self, config: SshBackendConfig) -> None:
        self.folder, self.where = config.path, config.host
        self.at_once = 8  # sshd has ten sessions on a connection at most (MaxSessions)
        options = ["BatchMode=yes", f"ConnectTimeout={_LOGIN_SECONDS}"]
        options += [f"ServerAliveInterval={_SILENT_SECONDS}", "ServerAliveCountMax=3"]
        self._argv = ["ssh", "-T", *(word for option in options for word in ("-o", option))]
        self._shared = _shared(config)
        self._argv += ["-p", str(config.port)] if config.port else []
        self._argv += ["-i", config.identity_file, "-o", "IdentitiesOnly=yes"] if config.identity_file else []
        self._argv += ["-F", config.config_file] if config.config_file else []
        self._host = ["--", config.host]

    def forwarding(self, there: str, socket: Path) -> list[str]:
        """The command that, while it runs, has a socket there, or HOST:PORT, lead to a socket here. Port 0: a
        free one, which it names on stderr."""
        options = ["-S", "none", "-N", "-o", "ExitOnForwardFailure=yes", "-R", f"{there}:{socket}"]
        return [*self._argv, *options, *self._host]

    def run(self, script: str, args: Sequence[str], *, timeout: float, stdin: bytes, cap: int) -> Completed:
        there = shlex.join(["sh", "-c", script, "sh", *args])
        agent = os.environ.get("SSH_AUTH_SOCK")  # holds keys, and gives none of them away
        env = proc.minimal_environment(**({"SSH_AUTH_SOCK": agent} if agent else {}))
        argv = [*self._argv, *self._shared, *self._host, there]
        done = proc.run(argv, timeout=timeout, env=env, stdin=stdin, output_cap=cap)
        done = replace(done, stderr=_OF_SHARING.sub(b"", done.stderr))
        if done.exit_code != 255:
            return done
        said = _last_line(done.stderr)
        if re.search(
            r"permission denied|host key verification|no matching|too many authentication", said, re.I
        ):
            raise Refused(f"{self.where}: {said}; try `ssh {self.where}` by hand")
        raise Unreachable(f"{self.where} is unreachable: {said or 'the connection was lost'}")


def _shared(config: SshBackendConfig) -> list[str]:
    """The options that have requests share a connection, whose socket only we can reach; none where there is
    no place for it, as where the path of the folder for temporary files is long."""
    folder = Path(tempfile.gettempdir(), f"sprint-ssh-{os.getuid()}")
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
        is_ours = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o077
        path = str(folder / hashlib.sha256(repr(config).encode()).hexdigest()[:12])
        if is_ours and len(path) <= _LONGEST_SOCKET and re.fullmatch(r"[\w./-]+", path, re.ASCII):
            options = ("ControlMaster=auto", f"ControlPath={path}", f"ControlPersist={_SHARED_SECONDS}")
            return [word for option in options for word in ("-o", option)]
    return []


class FolderBackend:
    """See the module. `kind` and `name` as in the configuration."""

    def __init__(self, kind: str, name: str, shell: Shell) -> None:
        self.kind, self.name, self.at_once = kind, name, shell.at_once
        self._shell = shell

    def create(self, sprite: str, labels: Mapping[str, str]) -> None:
        about = {"labels": dict(labels), "created": datetime.now(UTC).isoformat(timespec="seconds")}
        self._run(_CREATE, checked(sprite), json.dumps(about))

    def label(self, sprite: str, labels: Mapping[str, str]) -> None:
        about = repeated(lambda: self._run(_ABOUT, checked(sprite))).stdout
        made = _sprite(sprite, about.decode("utf-8", "replace")).created or datetime.now(UTC)
        text = json.dumps({"labels": dict(labels), "created": made.isoformat(timespec="seconds")})
        repeated(lambda: self._run(_LABEL, checked(sprite), text))

    def list(self) -> Sequence[Sprite]:
        done = repeated(lambda: self._run(_LIST))
        found = []
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            name, _, about = line.partition("\t")
            found.append(_sprite(name, about))
        return found

    def state(self, sprite: str) -> SpriteState:
        try:
            repeated(lambda: self._run(_STATE, checked(sprite)))
        except Missing:
            return SpriteState.GONE
        except BackendError:
            return SpriteState.UNKNOWN
        return SpriteState.UP

    def exec(
        self,
        sprite: str,
        argv: Sequence[str],
        *,
        timeout: float,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> Done:
        given = (
            ["env", *(f"{key}={value}" for key, value in (env or {}).items()), *argv] if env else list(argv)
        )
        done = self._command(_EXEC, [checked(sprite)], given, timeout, stdin)
        if done.exit_code == _NO_SUCH and not done.stdout + done.stderr:
            self._run(_STATE, sprite)  # Missing, unless that was the command's own
        return done

    def exec_beside(self, argv: Sequence[str], *, timeout: float, stdin: bytes = b"") -> Done:
        """The same in the backend's folder, on no sprite: for what the machine is to be asked."""
        return self._command(_EXEC_BESIDE, [], argv, timeout, stdin)

    def _command(
        self, script: str, sprite: Sequence[str], argv: Sequence[str], timeout: float, stdin: bytes
    ) -> Done:
        args = [self._shell.folder, *sprite, f"{timeout:.3f}", *argv]
        done = self._shell.run(script, args, timeout=timeout + 15.0, stdin=stdin, cap=10_000_000)
        if done.killed_by:
            raise Unreachable(f"{self._shell.where} did not answer within {timeout + 15:g} s")
        if done.exit_code in (124, 137) and done.seconds >= timeout:
            where = "".join(sprite) or self._shell.where
            raise Failed(f"{where}: {shown(argv)} did not end within {timeout:g} s")
        return Done(255 if done.exit_code == _OWN_255 else done.exit_code, done.stdout, done.stderr)

    def put(self, sprite: str, path: str, data: bytes, *, mode: int = 0o600) -> None:
        check_size(path, data)
        repeated(lambda: self._run(_PUT, checked(sprite), path, f"{mode:o}", stdin=data, timeout=_SLOW))

    def get(self, sprite: str, path: str, *, cap: int = FILE_CAP) -> bytes:
        done = repeated(
            lambda: self._run(
                _GET, checked(sprite), path, str(cap), timeout=_SLOW, output_cap=cap + 1, what=path
            )
        )
        return done.stdout

    def checkpoint(self, sprite: str, comment: str = "") -> Checkpoint:
        done = self._run(_CHECKPOINT, checked(sprite), comment, timeout=_SLOW)
        return Checkpoint(done.stdout.decode().strip(), comment, datetime.now(UTC))

    def checkpoints(self, sprite: str) -> Sequence[Checkpoint]:
        done = repeated(lambda: self._run(_CHECKPOINTS, checked(sprite)))
        found = []
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            name, made, comment = line.split("\t", 2)
            found.append(Checkpoint(name, comment, datetime.fromtimestamp(int(made), UTC)))
        return sorted(found, key=lambda one: int(one.id[1:]))

    def restore(self, sprite: str, checkpoint: str) -> None:
        if not re.fullmatch(r"v\d{1,6}", checkpoint):
            raise Refused(f"{sprite} has no checkpoint {checkpoint!r}")
        self._run(_RESTORE, checked(sprite), checkpoint, timeout=_SLOW, what=f"checkpoint {checkpoint}")

    def destroy(self, sprite: str) -> None:
        self._run(_DESTROY, checked(sprite), timeout=_SLOW)

    def _run(
        self,
        script: str,
        *args: str,
        stdin: bytes = b"",
        timeout: float = _QUICK,
        output_cap: int = 10_000_000,
        what: str = "",
    ) -> Completed:
        arguments = [self._shell.folder, *args]
        done = self._shell.run(script, arguments, timeout=timeout, stdin=stdin, cap=output_cap)
        if done.killed_by:
            raise Unreachable(f"{self._shell.where} did not answer within {timeout:g} s")
        sprite = args[0] if args else ""
        if done.exit_code == _NO_SUCH:
            thing = f"there is no {what} on sprite {sprite}" if what else f"there is no sprite {sprite}"
            raise Missing(f"{self._shell.where}: {thing}")
        if done.exit_code == _TAKEN:
            raise Refused(f"{self._shell.where} has a sprite {sprite} already")
        if done.exit_code == _TOO_LARGE:
            raise Refused(f"{what} on sprite {sprite} is larger than it may be")
        if done.exit_code:
            said = _last_line(done.stderr) or f"exit code {done.exit_code}"
            raise kind_of_failure(said)(f"{self._shell.where}: {said}")
        return done


def local(name: str, config: LocalBackendConfig) -> FolderBackend:
    return FolderBackend("local", name, LocalShell(Path(config.path)))


def ssh(name: str, config: SshBackendConfig) -> FolderBackend:
    if proc.find("ssh") is None:
        raise ConfigError(f"backends.{name}: there is no `ssh` here; install openssh-client")
    return FolderBackend("ssh", name, SshShell(config))


def _sprite(name: str, about: str) -> Sprite:
    """What another program put there may be anything."""
    try:
        data = json.loads(about)
        labels = {str(key): str(value) for key, value in data["labels"].items()}
        return Sprite(name, SpriteState.UP, labels, datetime.fromisoformat(data["created"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return Sprite(name, SpriteState.UP)


def _last_line(output: bytes) -> str:
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
