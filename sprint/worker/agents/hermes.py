"""Hermes by its command line: `hermes chat -q`, chat completions to the model, its last words on stdout.

It takes its prompt as an argument and in no other way, so whoever sees the sandbox's processes sees it. Its
exit code is 0 also after a cut stream and at its last turn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sprint.config import AgentWorkerConfig
from sprint.errors import ConfigError
from sprint.gateway.models.dialect import Dialect
from sprint.worker.agents import programs
from sprint.worker.agents.agent_kind import Assignment, Ended, Install, Launch, Said, Seen, Session
from sprint.worker.agents.programs import Program

NAME = "hermes"
DIALECT: Dialect = "chat"
TRIED = "0.19.0"
TELLS_STEPS = False
REMARK = ""

_REMEDY = "install it with `pip install hermes-agent` in an environment of its own"
INSTALL = Install("hermes", "hermes-agent")
_SESSION = re.compile(r"^session_id:\s*(\S+)\s*$", re.MULTILINE)
_SETTINGS = """\
model:
  default: {model}
  provider: custom
  base_url: {base_url}
  api_key: {key}
agent:
  api_max_retries: 2
security:
  tirith_enabled: false
  allow_lazy_installs: false
"""


def find(config: AgentWorkerConfig) -> Program:
    program = programs.located(NAME, config.program, _REMEDY)
    environment = program.parent.parent
    python = environment / "bin" / "python"
    if not (environment / "pyvenv.cfg").is_file() or not python.exists():
        raise ConfigError(f"worker {NAME}: {program} is in no virtual environment; {_REMEDY}")
    interpreter = python.resolve()
    inside = f"{programs.INSIDE}/{NAME}"
    read_only = {environment: inside, **programs.interpreter(interpreter)}
    # The compiled files that came with it are in its environment, not where those of the checkout are kept.
    argv = (f"{inside}/bin/python", "-X", "pycache_prefix", f"{inside}/bin/{program.name}")
    names = [path.name for path in environment.glob("lib/python3*/site-packages/hermes_agent-*")]
    return Program(argv, read_only, programs.version_in_name(names, r"hermes_agent-(.+)\.dist-info"))


def launch(work: Assignment) -> Launch:
    argv = [*work.program, "chat", "--yolo", "-Q", "--max-turns", str(work.max_turns)]
    if work.session:
        argv += ["--resume", work.session]
    home = str(Path(work.home) / ".hermes")
    settings = _SETTINGS.format(
        model=json.dumps(work.model), base_url=json.dumps(f"{work.base_url}/v1"), key=json.dumps(work.key)
    )
    return Launch((*argv, "-q", work.prompt), {"HERMES_HOME": home}, files={".hermes/config.yaml": settings})


def read(record: Mapping[str, Any]) -> Iterator[Seen]:
    yield from ()


def read_text(line: str) -> Iterator[Seen]:
    yield from ()


def closing(stdout: str, stderr: str, exit_code: int) -> Iterator[Seen]:
    if found := _SESSION.search(stderr) or _SESSION.search(stdout):
        yield Session(found[1])
    text = _SESSION.sub("", stdout).strip()
    yield Said(text)
    yield Ended(_SESSION.sub("", stderr).strip()[-2000:] or text[-2000:] if exit_code else "", text)
