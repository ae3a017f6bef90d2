"""What lock files name, in each of their forms."""

from __future__ import annotations

import json

import pytest

from sprint.gateway.lockfiles import Locked, locked_at
from tests.gateway.conftest import Site

_NPM_V1 = {
    "lockfileVersion": 1,
    "dependencies": {
        "a": {"version": "1.0.0", "dependencies": {"@b/c": {"version": "2.0.0"}}},
        "alias": {"version": "npm:real@3.0.0"},
    },
}
_NPM_V3 = {
    "lockfileVersion": 3,
    "packages": {
        "": {"name": "own", "version": "0.0.0"},
        "packages/workspace": {"name": "workspace", "version": "0.0.0"},
        "node_modules/a": {"version": "1.0.0"},
        "node_modules/a/node_modules/@b/c": {"version": "2.0.0"},
        "node_modules/alias": {"name": "real", "version": "3.0.0"},
    },
}
_YARN_1 = """# yarn lockfile v1

a@^1.0.0, a@~1.0:
  version "1.0.0"
  resolved "https://registry.example.org/a/-/a-1.0.0.tgz#x"

"@b/c@^2.0.0":
  version "2.0.0"
"""
_YARN_2 = """__metadata:
  version: 8

"a@npm:^1.0.0, a@npm:~1.0":
  version: 1.0.0
  resolution: "a@npm:1.0.0"

"alias@npm:real@^3":
  version: 3.0.0
  resolution: "real@npm:3.0.0"

"@b/c@npm:^2.0.0":
  version: 2.0.0
  resolution: "@b/c@npm:2.0.0"
"""
_PNPM_6 = """lockfileVersion: '6.0'
dependencies:
  a:
    specifier: ^1.0.0
    version: 1.0.0
packages:

  /a@1.0.0:
    resolution: {integrity: sha512-x==}

  /@b/c@2.0.0(peer@1.0.0):
    resolution: {integrity: sha512-y==}
"""
_PNPM_9 = """lockfileVersion: '9.0'
packages:

  a@1.0.0:
    resolution: {integrity: sha512-x==}

  '@b/c@2.0.0':
    resolution: {integrity: sha512-y==}
"""
_PNPM_5 = """lockfileVersion: 5.4
packages:

  /a/1.0.0:
    resolution: {integrity: sha512-x==}

  /@b/c/2.0.0_peer@1.0.0:
    resolution: {integrity: sha512-y==}
"""


@pytest.mark.parametrize(
    ("file", "text", "index", "named"),
    [
        ("uv.lock", '[[package]]\nname = "A_b.c"\nversion = "1.0"\n', "pypi", {"a-b-c": "1.0"}),
        ("poetry.lock", '[[package]]\nname = "a"\nversion = "1.0"\n', "pypi", {"a": "1.0"}),
        ("pdm.lock", '[[package]]\nname = "a"\nversion = "1.0"\n', "pypi", {"a": "1.0"}),
        ("pylock.toml", '[[packages]]\nname = "a"\nversion = "1.0"\n', "pypi", {"a": "1.0"}),
        ("Pipfile.lock", '{"_meta": {"x": {}}, "default": {"A": {"version": "==1"}}}', "pypi", {"a": ""}),
        ("requirements.txt", "# c\n-r x.txt\nA.b[extra]==1.0; x\nc>=2\n", "pypi", {"a-b": "1.0", "c": ""}),
        ("dev-requirements.txt", "a==1.0 \\\n    --hash=sha256:x\n", "pypi", {"a": "1.0"}),
        ("package-lock.json", json.dumps(_NPM_V1), "npm", {"a": "1.0.0", "@b/c": "2.0.0", "real": "3.0.0"}),
        ("package-lock.json", json.dumps(_NPM_V3), "npm", {"a": "1.0.0", "@b/c": "2.0.0", "real": "3.0.0"}),
        ("yarn.lock", _YARN_1, "npm", {"a": "1.0.0", "@b/c": "2.0.0"}),
        (
            "yarn.lock",
            _YARN_2,
            "npm",
            {"a": "1.0.0", "@b/c": "2.0.0", "alias": "3.0.0", "real": "3.0.0"},
        ),
        ("pnpm-lock.yaml", _PNPM_5, "npm", {"a": "1.0.0", "@b/c": "2.0.0"}),
        ("pnpm-lock.yaml", _PNPM_6, "npm", {"a": "1.0.0", "@b/c": "2.0.0"}),
        ("pnpm-lock.yaml", _PNPM_9, "npm", {"a": "1.0.0", "@b/c": "2.0.0"}),
        ("go.sum", "a.org/b v1.0.0 h1:x=\na.org/b v0.9.0/go.mod h1:y=\n", "go", {"a.org/b": "1.0.0"}),
        (
            "go.mod",
            "module own.org/m\ngo 1.21\nrequire a.org/b v1.0.0\nrequire (\n\tc.org/d/v2 v2.0.0 // indirect\n"
            ")\nreplace a.org/b => e.org/f v3.0.0\n",
            "go",
            {"a.org/b": "v1.0.0", "c.org/d/v2": "v2.0.0", "e.org/f": "v3.0.0", "own.org/m": ""},
        ),
        ("Cargo.lock", '[[package]]\nname = "A"\nversion = "1.0.0"\n', "crates", {"a": "1.0.0"}),
        (
            "pom.xml",
            "<groupId>a.b</groupId>\n <artifactId>c</artifactId>\n <version>1</version>",
            "maven",
            {"a.b:c": "1"},
        ),
        ("gradle.lockfile", "# c\na.b:c:1.0=compileClasspath\nempty=\n", "maven", {"a.b:c": "1.0"}),
    ],
)
def test_the_names_and_versions_of_a_lock_file(
    site: Site, file: str, text: str, index: str, named: dict[str, str]
) -> None:
    site.files = {file: text}
    locked = locked_at(*site.base())
    assert set(locked.names) == {index}
    assert set(locked.names[index]) == set(named)
    for name, version in named.items():
        prefix = "v" if file == "go.sum" else ""
        assert locked.has(index, name, f"{prefix}{version}" if version else "")
        assert not locked.has(index, name, "99.0")
        assert not locked.has("other", name)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("uv.lock", "no TOML ["),
        ("uv.lock", "package = 3"),
        ("poetry.lock", "[[package]]\nversion = '1'\n"),
        ("package-lock.json", "[1, 2]"),
        ("package-lock.json", "[" * 100_000),
        ("package-lock.json", '{"packages": {"node_modules/a": 3}}'),
        ("Pipfile.lock", "3"),
        ("Cargo.lock", "\x00\xff"),
    ],
)
def test_a_lock_file_that_cannot_be_read_names_nothing(site: Site, file: str, text: str) -> None:
    """And costs the others nothing: the agent's base is a stranger's."""
    site.files = {file: text, "go.sum": "a.org/b v1.0.0 h1:x=\n"}
    locked = locked_at(*site.base())
    assert locked.go_hosts() == {"a.org"}
    assert not locked.names.get("pypi")
    assert not locked.names.get("npm")


def test_without_lock_files_nothing_is_named(site: Site) -> None:
    site.files = {"README.md": "a==1"}
    assert locked_at(*site.base()) == Locked()
