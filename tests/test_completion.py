"""Shells complete sprint's command line: the real shells, the real script."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFIG = """
forges: {home: {kind: gitea, url: "http://127.0.0.1:1"}}
defaults: {forge: home}
repos: [{name: acme/widgets}, {name: octo/gears}]
workers: {careful: {kind: claude}}
"""
# Asks bash as a person does with the TAB key: $1 is the script, then the words so far.
ASK_BASH = r"""
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
function=$(complete -p sprint | sed 's/.*-F \([^ ]*\).*/\1/')
"$function" sprint "${@: -1}" "" && printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """With `sprint` on the PATH, and in the configuration three runs, one of them of a hostile name."""
    (tmp_path / "sprint.yaml").write_text(CONFIG)
    for name in ("20261127T120000Z-acme-widgets-1-aa", "20261127T130000Z-octo-gears-2-bb", "$(touch owned)"):
        (tmp_path / "results" / "runs" / name).mkdir(parents=True)
    program = tmp_path / "bin" / "sprint"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sprint "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[1])}


def script(shell: str, environ: dict[str, str], folder: Path) -> Path:
    made = subprocess.run(
        ["sprint", "completion", shell], env=environ, cwd=folder, capture_output=True, check=True, timeout=60
    )
    path = folder / f"completion.{shell}"
    path.write_bytes(made.stdout)
    return path


def test_bash_completes_commands_options_and_names(environ: dict[str, str], tmp_path: Path) -> None:
    path = script("bash", environ, tmp_path)
    (tmp_path / "page.html").touch()

    def asked(*words: str) -> set[str]:
        argv = ["bash", "--norc", "-c", ASK_BASH, "bash", str(path), *words]
        done = subprocess.run(argv, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        return set(done.stdout.split())

    assert asked("sprint", "re") == {"resume"}
    assert {"--issue", "--worker", "--quiet"} <= asked("sprint", "run", "--")
    assert asked("sprint", "run", "") == {"acme/widgets", "octo/gears"}
    assert asked("sprint", "run", "--worker", "") == {"local", "careful"}
    assert asked("sprint", "stop", "20261127T13") == {"20261127T130000Z-octo-gears-2-bb"}
    assert asked("sprint", "show", "--html", "pag") == {"page.html"}
    assert not (tmp_path / "owned").exists()
    (tmp_path / "sprint.yaml").write_text("nonsense: 1\n")
    assert asked("sprint", "run", "") == set()  # what is wrong is said by commands, not by the TAB key


@pytest.mark.machine
def test_fish_completes_the_same(environ: dict[str, str], tmp_path: Path) -> None:
    if not shutil.which("fish"):
        pytest.skip("fish is not here: apt-get install fish")
    path = script("fish", environ, tmp_path)

    def asked(line: str) -> set[str]:
        argv = ["fish", "--no-config", "-c", 'source $argv[1]; complete -C "$argv[2]"', str(path), line]
        done = subprocess.run(argv, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return {found.split("\t")[0] for found in done.stdout.splitlines()}

    assert asked("sprint re") == {"resume"}
    assert asked("sprint run ") == {"acme/widgets", "octo/gears"}


def test_each_shell_takes_its_script_and_no_other_is_asked_for(
    environ: dict[str, str], tmp_path: Path
) -> None:
    assert b"#compdef sprint" in script("zsh", environ, tmp_path).read_bytes()
    done = subprocess.run(
        ["sprint", "completion"], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "which shell? `sprint completion bash|zsh|fish`" in done.stderr
