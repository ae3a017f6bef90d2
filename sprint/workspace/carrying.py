"""Puts an earlier attempt's patch into a fresh workspace, inside the sandbox."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sprint.domain import Workspace
from sprint.sandbox import Command, Sandbox
from sprint.workspace.importing import ENVIRONMENT

_SECONDS = 120.0
# The patch on standard input; whole or not at all. The rest are options that leave paths out.
_APPLY = """
patch=$(mktemp) && cat >"$patch" || exit 1
git apply --check --whitespace=nowarn "$@" "$patch" && git apply --whitespace=nowarn "$@" "$patch"
code=$?
rm -f -- "$patch"
exit $code
"""


def apply_patch(workspace: Workspace, sandbox: Sandbox, patch: str, leaving_out: Sequence[str] = ()) -> bool:
    """Change the checkout as a patch of `diff` says, without a commit; False where it does not apply.

    Call it after `leftovers`, whose list would take its changes for those of set-up and checks, and before
    the worker begins. Of a run's patch.diff `leaving_out` are the paths not to take over.
    """
    excluded = [f"--exclude={_literally(path)}" for path in leaving_out]
    done = sandbox.run(
        Command(
            ["sh", "-c", _APPLY, "apply", *excluded],
            timeout=_SECONDS,
            stdin=patch.encode("utf-8", "surrogateescape"),
            env={key: value for key, value in ENVIRONMENT.items() if key != "HOME"},
        ),
        workspace,
    )
    return done.ok


def _literally(path: str) -> str:
    return re.sub(r"([\\*?\[])", r"\\\1", path)
