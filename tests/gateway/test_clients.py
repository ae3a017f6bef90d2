"""The clients of package indexes are asked which ones they use: the real ones, where they are installed."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from sprint import proc
from sprint.gateway import clients
from sprint.gateway.clients import CLIENTS, Machine, NotTold, told_by
from sprint.sandbox import variables
from sprint.sandbox.toolchains import Toolchains
from tests.around import around

_PATH = os.environ["PATH"]  # with the toolchains of this machine's home, which other tests do not see
MIRROR = "https://mirror.example.org/repository/all"


@pytest.fixture(autouse=True)
def _clients_of_this_machine(_own_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", _PATH)


@pytest.fixture
def machine(tmp_path: Path) -> Callable[..., Machine]:
    def make(**environ: str) -> Machine:
        (tmp_path / "home").mkdir(exist_ok=True)
        return Machine(around(tmp_path / "home", environ), tmp_path / "cache")

    return make


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def toolchain() -> dict[str, str]:
    """rustup keeps its toolchains in the home, which tests have not."""
    cargo = shutil.which("cargo")
    if cargo is None:
        return {}
    home = Path(os.path.realpath(cargo)).parents[2]
    return {"RUSTUP_HOME": os.environ.get("RUSTUP_HOME") or str(home / ".rustup")}


EVERY = [
    pytest.param("pypi", marks=needs("python3")),
    pytest.param("npm", marks=needs("npm")),
    pytest.param("go", marks=needs("go")),
    pytest.param("crates", marks=needs("cargo")),
    pytest.param("maven", marks=needs("mvn")),
]


@pytest.mark.parametrize("index", EVERY)
def test_where_nothing_is_configured_it_is_the_clients_own(
    machine: Callable[..., Machine], index: str
) -> None:
    (address,) = told_by(CLIENTS[index], machine(**toolchain())).addresses
    assert address.startswith("https://")
    assert "." in address


_CARGO = f"""[source.crates-io]
replace-with = "first"
[source.first]
replace-with = "second"
[source.second]
registry = "sparse+{MIRROR}/"
"""
_MAVEN = f"""<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0"><mirrors>
<mirror><id>a</id><mirrorOf>other</mirrorOf><url>https://other.example.org</url></mirror>
<mirror><id>b</id><mirrorOf>external:*,!central</mirrorOf><url>https://other.example.org</url></mirror>
<mirror><id>c</id><mirrorOf>*</mirrorOf><url>{MIRROR}/</url></mirror></mirrors></settings>"""


@pytest.mark.parametrize(
    ("index", "file", "text"),
    [
        pytest.param(
            "pypi", ".config/pip/pip.conf", f"[global]\nindex-url = {MIRROR}", marks=needs("python3")
        ),
        pytest.param("npm", ".npmrc", f"registry={MIRROR}/\n", marks=needs("npm")),
        pytest.param("go", ".config/go/env", f"GOPROXY={MIRROR},direct\n", marks=needs("go")),
        pytest.param("crates", ".cargo/config.toml", _CARGO, marks=needs("cargo")),
        pytest.param("maven", ".m2/settings.xml", _MAVEN, marks=needs("mvn")),
    ],
)
def test_the_users_mirror_holds(machine: Callable[..., Machine], index: str, file: str, text: str) -> None:
    here = machine()
    path = here.around.home / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert told_by(CLIENTS[index], here).addresses[0].rstrip("/") == MIRROR


@pytest.mark.parametrize(
    ("index", "variables"),
    [
        pytest.param(
            "pypi", {"PIP_INDEX_URL": MIRROR, "PIP_EXTRA_INDEX_URL": f"{MIRROR}/more"}, marks=needs("python3")
        ),
        pytest.param("npm", {"npm_config_registry": MIRROR}, marks=needs("npm")),
        pytest.param("go", {"GOPROXY": f"off,{MIRROR}|direct"}, marks=needs("go")),
    ],
)
def test_the_users_variables_hold(
    machine: Callable[..., Machine], index: str, variables: dict[str, str]
) -> None:
    addresses = told_by(CLIENTS[index], machine(**variables)).addresses
    assert addresses[0].rstrip("/") == MIRROR
    assert (
        len(addresses) == len([name for name in variables if name.startswith("PIP")]) or len(addresses) == 1
    )


@needs("go")
def test_what_go_keeps_from_the_checksum_database(machine: Callable[..., Machine]) -> None:
    told = told_by(CLIENTS["go"], machine(GOPRIVATE="git.example.org/*", GOSUMDB="sums.example.org+a+b"))
    assert told.settings == {"GOSUMDB": "sums.example.org+a+b", "GONOSUMDB": "git.example.org/*"}


@pytest.mark.parametrize(
    ("index", "variables", "why"),
    [
        pytest.param("go", {"GOPROXY": "direct"}, "go is configured to use no index", marks=needs("go")),
        pytest.param(
            "pypi", {"PIP_NO_INDEX": "1"}, "python3 is configured to use no index", marks=needs("python3")
        ),
    ],
)
def test_a_client_without_an_index(
    machine: Callable[..., Machine], index: str, variables: dict[str, str], why: str
) -> None:
    with pytest.raises(NotTold, match=why):
        told_by(CLIENTS[index], machine(**variables))


@needs("cargo")
def test_an_index_of_cargos_that_cannot_be_passed_on(machine: Callable[..., Machine]) -> None:
    here = machine()
    (here.around.home / ".cargo").mkdir(parents=True)
    (here.around.home / ".cargo" / "config.toml").write_text(
        '[source.crates-io]\nreplace-with = "a"\n[source.a]\nregistry = "https://git.example.org/index.git"\n'
    )
    with pytest.raises(NotTold, match="no sparse one"):
        told_by(CLIENTS["crates"], here)


def test_a_cargo_that_cannot_begin_says_why(
    machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As rustup's does without a toolchain; nothing is waited for that it would have asked."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "cargo").write_text("#!/bin/sh\necho 'no default toolchain' >&2; exit 1\n")
    (tmp_path / "bin" / "cargo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{_PATH}")
    with pytest.raises(NotTold, match="cargo generate-lockfile` failed: no default toolchain"):
        told_by(CLIENTS["crates"], machine())


def test_go_is_found_where_sandboxes_have_it(
    machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its own installer's folder is on few PATHs, not cron's; commands see it all the same."""
    (tmp_path / "go").mkdir()
    answer = dict.fromkeys(("GOSUMDB", "GONOSUMDB", "GOPRIVATE"), "off")
    answer["GOPROXY"] = "https://proxy.example.org"
    (tmp_path / "go" / "go").write_text(f"#!/bin/sh\necho '{json.dumps(answer)}'\n")
    (tmp_path / "go" / "go").chmod(0o755)
    monkeypatch.setattr(proc, "GO_PATH", str(tmp_path / "go"))
    monkeypatch.setattr(proc, "SEARCH_PATH", "/bin")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert str(tmp_path / "go") in variables._search_path((), "bwrap", Toolchains(), str(tmp_path)).split(":")
    assert told_by(CLIENTS["go"], machine()).addresses == ("https://proxy.example.org",)


def test_a_client_that_is_not_there(machine: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sprint.proc.find", lambda program: None)
    with pytest.raises(NotTold, match="npm is not on the PATH"):
        told_by(CLIENTS["npm"], machine())


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client in npm's place that notes what it is asked, and the file with its notes.

    Its second question, for the default, names settings of its own and is not counted.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "npm").write_text(
        f"#!/bin/sh\nenv >>{tmp_path}/environment\n"
        f'case "$*" in *--userconfig*) ;; *) echo asked >>{tmp_path}/calls ;; esac\n'
        'echo "registry=$npm_config_registry"\n'
    )
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "calls"


def test_an_answer_is_kept_until_client_or_settings_change(
    machine: Callable[..., Machine], counted: Path, tmp_path: Path
) -> None:
    def asked(**environ: str) -> int:
        before = len(counted.read_text().splitlines()) if counted.exists() else 0
        told = told_by(CLIENTS["npm"], machine(**{"npm_config_registry": MIRROR, **environ}))
        assert told.addresses == (environ.get("npm_config_registry", MIRROR),)
        return len(counted.read_text().splitlines()) - before

    assert [asked(), asked(), asked()] == [1, 0, 0]
    assert asked(npm_config_registry=f"{MIRROR}/2") == 1
    assert [asked(), asked()] == [1, 0]
    (tmp_path / "home" / ".npmrc").write_text("audit=false\n")
    assert [asked(), asked()] == [1, 0]
    client = tmp_path / "bin" / "npm"
    client.write_text(client.read_text() + "# a newer version\n")
    assert [asked(), asked()] == [1, 0]
    kept = tmp_path / "cache" / "gateway" / "npm.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    kept.write_text("half of what was wri")
    assert [asked(), asked()] == [1, 0]


def test_a_password_in_an_address_is_kept_nowhere(
    machine: Callable[..., Machine], counted: Path, tmp_path: Path
) -> None:
    secret = MIRROR.replace("//", "//me:password@")
    for _ in range(2):
        assert told_by(CLIENTS["npm"], machine(npm_config_registry=secret)).addresses == (secret,)
    assert len(counted.read_text().splitlines()) == 2
    assert not (tmp_path / "cache").exists()


def test_a_client_gets_no_secret_of_others(
    machine: Callable[..., Machine], counted: Path, tmp_path: Path
) -> None:
    secrets = dict.fromkeys(
        ("GITEA_TOKEN", "OPENAI_API_KEY", "GOOGLE_API_KEY", "CARGO_REGISTRY_TOKEN"), "SECRET"
    )
    told_by(CLIENTS["npm"], machine(npm_config_registry=MIRROR, **secrets))
    assert "SECRET" not in (tmp_path / "environment").read_text()


@pytest.mark.parametrize(
    ("index", "file", "text", "expected"),
    [
        ("pypi", ".netrc", "machine mirror.example.org login me password word\n", "Basic bWU6d29yZA=="),
        ("npm", ".npmrc", "//mirror.example.org/repository/:_authToken=abc\n", "Bearer abc"),
        (
            "npm",
            ".npmrc",
            "a\n; c\n//mirror.example.org/:_authToken = ${TOKEN}\n",
            "Bearer from-outside",
        ),
        ("npm", ".npmrc", "//mirror.example.org.evil.com/:_authToken=abc\n", None),
        ("npm", ".npmrc", "//mirror.example.org/:_authToken=\n", None),
        ("pypi", ".npmrc", "//mirror.example.org/:_authToken=abc\n", None),
        ("pypi", ".netrc", "machine other.example.org login me password word\n", None),
        ("pypi", ".netrc", "nonsense\n", None),
    ],
)
def test_what_lets_the_user_into_his_mirror(
    machine: Callable[..., Machine], index: str, file: str, text: str, expected: str | None
) -> None:
    here = machine(TOKEN="from-outside")
    (here.around.home / file).write_text(text)
    (here.around.home / file).chmod(0o600)
    found = clients.authorization(here, index, "mirror.example.org")
    assert (found and found.reveal()) == expected
