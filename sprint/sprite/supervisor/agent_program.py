"""The program of a kind of agent, with its arguments and its environment."""

from __future__ import annotations

import re
import shlex
import stat
from pathlib import Path

from sprint.sprite.supervisor.fault import Fault
from sprint.sprite.supervisor.given_flags import Given

SECRET = re.compile(r"sk-ant-|sk-or-v1-|gh[pousr]_|github_pat_|\bsk-[A-Za-z0-9_-]{20,}")


def command(given: Given, prompt: str) -> tuple[str, ...]:
    """The kind's own, with the prompt on stdin where the program reads it there."""
    text = given.text
    flags, model = _split(text("--agent-flags")), text("--model")
    if own := text("--agent-command"):
        return (*shlex.split(own), *flags)
    match text("--agent"):
        case "claude":
            argv = ["claude", "-p", "--verbose", "--output-format", "stream-json"]
            argv += ["--dangerously-skip-permissions"] if given.is_free else []
            argv += ["--model", model] if model else []
            return (*argv, *flags)
        case "codex":
            argv = ["codex", "exec", "--json", "--skip-git-repo-check"]
            argv += ["--dangerously-bypass-approvals-and-sandbox"] if given.is_free else []
            argv += ["-m", model] if model else []
            return (*argv, *flags, "-")
        case "opencode":
            argv = ["opencode", "run", "--format", "json", *(["--auto"] if given.is_free else [])]
            argv += ["-m", model] if model else []
            return (*argv, *flags, prompt)  # it reads no prompt on stdin
    return ("kimi", "-p", prompt, "--output-format", "stream-json", *flags)  # nor does this; it asks nobody


def agent_env(given: Given) -> dict[str, str]:
    """Raises Fault where a secret would be seen, or a file cannot be used."""
    text, environ = given.text, given.environ
    kept = {
        name: environ[name] for name in ("PATH", "HOME", "USER", "LANG", "SHELL", "TZ") if name in environ
    }
    env = {"TERM": "dumb", "IS_SANDBOX": "1", **kept}
    env |= {name: environ[name] for name in _split(text("--pass-env")) if name in environ}
    for pair in filter(None, text("--agent-env").split(",")):
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise Fault(f"--agent-env: {pair!r} is not KEY=VALUE")
        if SECRET.search(value):
            raise Fault(
                f"--agent-env: {name} looks like a secret: put it into a file, and name it with --env-file"
            )
        env[name] = value
    if file := text("--env-file"):
        env |= _env_file(Path(file))
    if text("--agent") == "kimi-code" and text("--model"):  # it has no flag for it
        env.setdefault("KIMI_MODEL_NAME", text("--model"))
    if env.get("ANTHROPIC_API_KEY") and env.get("ANTHROPIC_BASE_URL"):
        raise Fault(
            "ANTHROPIC_API_KEY is Anthropic's own: beside ANTHROPIC_BASE_URL set ANTHROPIC_AUTH_TOKEN"
        )
    return env


def _split(flags: str) -> list[str]:
    """`--a,--b=1` as the variable had it, or as in a shell where there is white space or a quote."""
    return shlex.split(flags) if re.search(r"[\s'\"]", flags) else [one for one in flags.split(",") if one]


def _env_file(path: Path) -> dict[str, str]:
    lines = private(path).splitlines()
    env = {}
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, sign, value = line.removeprefix("export ").partition("=")
        if not sign:
            raise Fault(f"{path}: a line is not KEY=VALUE")
        env[name.strip()] = value.strip().strip("\"'")
    return env


def private(path: Path) -> str:
    """The text of a file that nobody else can read."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise Fault(f"others can read {path}: chmod 600 {path}")
        return path.read_text("utf-8")
    except OSError as error:
        raise Fault(f"cannot read {path}: {error.strerror}") from None
