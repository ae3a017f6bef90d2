"""Toolchains in homes are shown, and nothing of what lies around them; `python` is there in any case."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sprint import sandbox
from sprint.config import SandboxConfig
from sprint.domain import Workspace
from sprint.sandbox import Command, toolchains

DECOY = "DECOY-token-4711"
PROGRAMS = {  # by the folder that the PATH leads to, below a home: the program, and where it really lies
    ".cargo/bin": {"cargo-nextest": ".cargo/bin", "rustc": ".rustup/toolchains/stable-x86/bin"},
    ".nvm/versions/node/v20.1.0/bin": {"node": ".nvm/versions/node/v20.1.0/bin"},
    ".pyenv/shims": {"python3.12": ".pyenv/versions/3.12.1/bin"},
    ".rbenv/shims": {"ruby": ".rbenv/versions/3.3.0/bin"},
    ".asdf/shims": {"elixir": ".asdf/installs/elixir/1.16/bin"},
    ".local/share/mise/shims": {"zig": ".local/share/mise/installs/zig/0.13/bin"},
    ".sdkman/candidates/maven/current/bin": {"mvn": ".sdkman/candidates/maven/3.9/bin"},
    "go/bin": {"golangci-lint": "go/bin"},
    "sdk/go1.22/bin": {"gofmt": "sdk/go1.22/bin"},
    "anywhere/bin": {"go": "anywhere/bin"},
    ".local/bin": {"python3.13": ".local/share/uv/python/cpython-3.13/bin", "uv": ".local/bin"},
}
CHOSEN = {
    ".rustup/settings.toml": f'default_toolchain = "stable-x86"\n# {DECOY}\n',
    ".pyenv/version": "3.12.1\nsystem\n",
    ".rbenv/version": "3.3.0\n",
    ".tool-versions": "elixir 1.16\n",
}
TOKENS = (
    *(".cargo/credentials.toml", ".cargo/config.toml", ".m2/settings.xml", ".npmrc", ".netrc", ".ssh/id_rsa"),
    *(".nvm/.npmrc", ".nvm/versions/node/v18.0.0/x", ".pyenv/secret", ".pyenv/versions/3.11.1/x"),
    *(".rustup/toolchains/nightly-x86/x", ".sdkman/etc/config", ".config/gh/hosts.yml", "go/pkg/mod/x"),
    *(".local/share/uv/credentials/x", ".local/share/mise/x", ".local/bin/deploy", ".local/bin/just"),
    # In folders that are shown:
    *(".nvm/versions/node/v20.1.0/etc/npmrc", ".pyenv/versions/3.12.1/pip.conf"),
    *(".sdkman/candidates/maven/3.9/conf/settings.xml",),
)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home as people have it, closed to others, outside of the folders that a sandbox has for itself."""
    with tempfile.TemporaryDirectory(prefix="sprint-test-", dir="/var/tmp") as folder:
        home = Path(folder) / "me"
        for path in TOKENS:
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(f"#!/bin/sh\n# {DECOY}\n")
            (home / path).chmod(0o755)
        for path, text in CHOSEN.items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(text)
        for programs in PROGRAMS.values():
            for name, place in programs.items():
                (home / place).mkdir(parents=True, exist_ok=True)
                shutil.copy("/bin/echo", home / place / name)
        (home / ".sdkman/candidates/maven/current").symlink_to("3.9")
        (home / ".local/share/mise/installs/zig/latest").symlink_to("./0.13")
        (home / ".local/bin/python3.13").symlink_to(
            home / ".local/share/uv/python/cpython-3.13/bin/python3.13"
        )
        (home / "anywhere/src/runtime").mkdir(parents=True)
        (home / ".local/bin/uvx").symlink_to(home / ".ssh/id_rsa")
        for shims in (".pyenv/shims", ".rbenv/shims", ".asdf/shims", ".local/share/mise/shims"):
            (home / shims).mkdir(parents=True, exist_ok=True)
        home.chmod(0o700)
        monkeypatch.setenv("PATH", ":".join([*(str(home / path) for path in PROGRAMS), os.environ["PATH"]]))
        yield home


def run(space: Workspace, script: str) -> str:
    done = sandbox.make(SandboxConfig()).run(Command(["bash", "-c", script], timeout=30), space)
    return done.out + done.err


def test_programs_of_toolchains_run(home: Path, space: Workspace) -> None:
    names = sorted(name for programs in PROGRAMS.values() for name in programs)
    lines = run(
        space, f"for name in {' '.join(names)}; do command -v $name; $name it runs; done"
    ).splitlines()
    places = {
        name: str(home / place / name) for programs in PROGRAMS.values() for name, place in programs.items()
    }
    assert lines == [line for name in names for line in (places[name], "it runs")]


def test_nothing_around_a_toolchain_is_shown(home: Path, space: Workspace) -> None:
    assert DECOY in (home / ".cargo/credentials.toml").read_text()
    assert run(space, f"grep -rl {DECOY} {home} 2>/dev/null; true") == ""
    seen = run(space, f"find {home} -type f").splitlines()
    assert not [
        path for path in seen if path.endswith((".npmrc", "/x", "credentials.toml", "deploy", "/just"))
    ]
    assert f"{home}/.cargo/bin/cargo-nextest" in seen
    assert run(space, f"ls -A {home}/.cargo").split() == ["bin"]


def test_a_configuration_inside_a_toolchain_is_emptied(home: Path, space: Workspace) -> None:
    maven = run(space, f"cat {home}/.sdkman/candidates/maven/3.9/conf/settings.xml")
    assert maven == "<settings/>\n"
    assert run(space, f"cat {home}/.nvm/versions/node/v20.1.0/etc/npmrc") == ""


def test_nothing_of_it_can_be_written(home: Path, space: Workspace) -> None:
    run(
        space,
        f"echo x >{home}/.cargo/bin/cargo-nextest; touch {home}/new {home}/.cargo/bin/new {home}/.cargo/new",
    )
    assert not list(home.rglob("new"))
    assert (home / ".cargo/bin/cargo-nextest").read_bytes() == Path("/bin/echo").read_bytes()


def test_only_what_the_path_leads_to(home: Path) -> None:
    assert toolchains.on("/usr/bin:/bin").shown == ()
    assert toolchains.on(f"{home}/.nvm/versions/node/v20.1.0/bin").shown == (
        f"{home}/.nvm/versions/node/v20.1.0",
    )
    # Neither the manager's own folder, nor a link to the whole home, is one of them.
    (home / ".nvm/versions/node/all").symlink_to(home)
    for entry in (
        home,
        home / ".nvm",
        home / ".nvm/versions/node/all/bin",
        home / ".cargo",
        home / ".missing/bin",
    ):
        assert toolchains.on(str(entry)).shown == ()
    assert toolchains.on("relative/.cargo/bin").shown == ()


def test_what_is_only_another_version_comes_last(home: Path) -> None:
    found = toolchains.on(f"{home}/.local/bin")
    assert found.first == (f"{home}/.local/bin/uv",)
    assert found.last == (f"{home}/.local/share/uv/python/cpython-3.13",)


def test_folders_of_the_sandboxes_own_are_left_out(slash_tmp: Path) -> None:
    (slash_tmp / ".cargo/bin").mkdir(parents=True)
    assert toolchains.on(f"{slash_tmp}/.cargo/bin").shown == ()


def test_python_is_there_besides_python3(box: sandbox.Sandbox, space: Workspace) -> None:
    code = "import sys; print(sys.version_info[0], *sys.argv[1:])"
    done = box.run(Command(["python", "-c", code, "a b"], timeout=30), space)
    assert (done.out, done.err) == ("3 a b\n", "")


def test_python_is_python3_where_the_system_has_only_that(
    monkeypatch: pytest.MonkeyPatch, space: Workspace
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    has_its_own = run(space, "ls /usr/bin/python /usr/local/bin/python 2>/dev/null; true")
    told = "-c 'import sys; print(sys.executable)'"
    where = run(space, f"command -v python; python {told}; python3 {told}")
    stand_in, python, python3 = where.splitlines()
    assert (stand_in == "/run/sprint/bin/python") is (not has_its_own)
    assert python == python3


def test_compiled_files_of_others_are_used(box: sandbox.Sandbox, space: Workspace) -> None:
    done = box.run(Command(["sh", "-c", "env"], timeout=30), space)
    assert "PYTHONPYCACHEPREFIX" not in done.out
