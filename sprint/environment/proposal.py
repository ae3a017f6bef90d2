"""What is proposed for a project: how it is set up, built and checked, as people of its ecosystem would."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from sprint.environment.snapshot import Snapshot

Tools = Mapping[str, str]  # programs of the sandbox to their versions, as `tools.versions` tells them

# Compilers that keep what they made by its content, or by its time, which a new checkout's files are always
# after: what is the same is at hand for each check, and what is not is compiled anew.
COMPILE_GO = "go test -run '^$' ./... || true"
COMPILE_RUST = "cargo test --no-run --workspace || true"

# The first yarn fetches from the addresses in its lock file, whatever registry it is given. What comes is
# held to the lock file's checksums all the same.
_SCOPED, _PLAIN = r's,https\?://[^"]*/\(@[^/"]*/[^/"]*/-/\),', r's,https\?://[^"]*/\([^/"@]*/-/\),'
YARN_BY_REGISTRY = (
    'if [ -n "$YARN_REGISTRY" ]; then '
    f"sed -i -e '{_SCOPED}'\"$YARN_REGISTRY\"'\\1,;t' -e '{_PLAIN}'\"$YARN_REGISTRY\"'\\1,' yarn.lock; fi"
)
YARN_LOCK_AS_IT_WAS = "git checkout --quiet yarn.lock"


class Check(Struct, frozen=True):
    """`command` runs the tests with `tool`; `script` is what the project itself says that it runs."""

    command: str
    tool: str
    script: str = ""


class Part(Struct, frozen=True):
    """What one ecosystem has to say of a project."""

    setup: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()


class Proposal(Struct, frozen=True):
    """Shell commands, in their order, from the root of a checkout.

    `setup` fetches what the project depends on, `build` makes what its own sources have to be made into, and
    `checks` prove a change. Each is made of fixed words: nothing of it is the project's own text.
    """

    setup: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()


Ecosystem = Callable[[Snapshot, Tools], Part]
