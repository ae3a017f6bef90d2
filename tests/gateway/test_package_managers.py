"""The real package managers in the real sandbox, through the gateway, against an index of the test's own."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from sprint.gateway import DOORS
from sprint.sandbox import Command
from tests.gateway.conftest import Inside, Page, Site, Upstream


def needs(program: str) -> pytest.MarkDecorator:
    """Seen from the sandbox, which has what is below /usr."""
    found = shutil.which(program, path="/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin")
    return pytest.mark.skipif(found is None, reason=f"{program} is not installed below /usr")


def zipped(files: Mapping[str, str]) -> bytes:
    with io.BytesIO() as data:
        with zipfile.ZipFile(data, "w") as archive:
            for name, text in files.items():
                archive.writestr(name, text)
        return data.getvalue()


def tarred(files: Mapping[str, str]) -> bytes:
    with io.BytesIO() as data:
        with tarfile.open(fileobj=data, mode="w") as archive:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text.encode()))
        return gzip.compress(data.getvalue(), mtime=0)


def add_wheel(upstream: Upstream, name: str, *requires: str) -> None:
    about = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
    wheel = zipped(
        {
            f"{name}.py": f"NAME = {name!r}\n",
            f"{about}/METADATA": metadata + "".join(f"Requires-Dist: {other}\n" for other in requires),
            f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: a\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{about}/RECORD": f"{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n",
        }
    )
    file = f"{name}-1.0-py3-none-any.whl"
    link = f'<a href="/files/{file}#sha256={hashlib.sha256(wheel).hexdigest()}">{file}</a>'
    upstream.pages[f"/pypi/{name}/"] = Page(link.encode(), headers={"Content-Type": "text/html"})
    upstream.pages[f"/files/{file}"] = Page(wheel)


@needs("python3")
def test_pip(inside: Inside, upstream: Upstream, tmp_path: Path) -> None:
    add_wheel(upstream, "gadget", "gizmo")
    add_wheel(upstream, "gizmo")
    # Debian's python3 may lack pip: the runner's own serves, which is Python alone.
    pip = Path(__import__("pip").__file__).parent
    shutil.copytree(pip, inside.space.home / "packages" / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    done = inside.run(
        "PYTHONPATH=~/packages python3 -m pip install --target lib gadget && "
        "PYTHONPATH=lib python3 -c 'import gadget, gizmo; print(gadget.NAME, gizmo.NAME)'"
    )
    assert done.out.splitlines()[-1:] == ["gadget gizmo"], done.err
    assert [one["name"] for one in inside.site.journal("name")] == ["gadget", "gizmo"]


@needs("npm")
def test_npm(inside: Inside, upstream: Upstream) -> None:
    """What goes into the lock file is the registry's own address; and by it alone the next install works."""
    package = {"name": "gadget", "version": "1.0.0"}
    tarball = tarred({"package/package.json": json.dumps(package), "package/index.js": "console.log('hi')"})
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(tarball).digest()).decode()}"
    link = f"{upstream.url}/npm/gadget/-/gadget-1.0.0.tgz"
    told = {
        "name": "gadget",
        "dist-tags": {"latest": "1.0.0"},
        "versions": {"1.0.0": {**package, "dist": {"tarball": link, "integrity": integrity}}},
    }
    upstream.pages["/npm/gadget"] = Page(
        json.dumps(told).encode(), headers={"Content-Type": "application/json"}
    )
    upstream.pages["/npm/gadget/-/gadget-1.0.0.tgz"] = Page(tarball)
    inside.write("package.json", '{"name": "own", "version": "1.0.0"}')
    done = inside.run("npm install gadget && node -e \"require('gadget')\" && cat package-lock.json")
    assert "\nhi\n" in done.out, done.err
    assert f'"resolved": "{link}"' in done.out
    assert "127.0.0.1:47" not in done.out, "no address of the sandbox gets into a commit"
    inside.site.files = {"package-lock.json": (inside.space.checkout / "package-lock.json").read_text()}
    inside.site.config = {"names": 0}
    done = inside.run("rm -rf node_modules ~/.npm && npm ci && node -e \"require('gadget')\"")
    assert "\nhi\n" in done.out, done.err


@needs("go")
def test_go(inside: Inside, upstream: Upstream) -> None:
    module = "example.org/gadget"
    go_mod = f"module {module}\n\ngo 1.18\n"
    at = f"{module}@v1.0.0"
    upstream.pages |= {
        f"/go/{module}/@v/list": Page(b"v1.0.0\n"),
        f"/go/{module}/@v/v1.0.0.info": Page(b'{"Version":"v1.0.0"}'),
        f"/go/{module}/@v/v1.0.0.mod": Page(go_mod.encode()),
        f"/go/{module}/@v/v1.0.0.zip": Page(
            zipped({f"{at}/go.mod": go_mod, f"{at}/a.go": 'package gadget\n\nconst Name = "gadget"\n'})
        ),
    }
    own = f"module example.net/own\n\ngo 1.18\n\nrequire {module} v1.0.0\n"
    inside.site.files = {"go.mod": own}
    inside.write("go.mod", own)
    inside.write("own.go", f'package own\n\nimport "{module}"\n\nconst Name = gadget.Name\n')
    done = inside.run("go mod tidy && go list -m all && cat go.sum", GONOSUMDB="*", GOFLAGS="-mod=mod")
    assert f"{module} v1.0.0 h1:" in done.out, done.err
    assert inside.site.journal() == []
    done = inside.run("go list -m other.example/SECRET@latest", GONOSUMDB="*")
    assert "gateway.go_hosts" in done.err
    assert not any("SECRET" in path for path in upstream.asked)


CARGO = shutil.which("cargo", path=f"{os.environ['PATH']}:/usr/bin")


@pytest.mark.skipif(CARGO is None, reason="cargo is not installed")
def test_cargo(inside: Inside, upstream: Upstream) -> None:
    """And what was fetched is found again without a gateway, as checks are run."""
    manifest = '[package]\nname = "gadget"\nversion = "1.0.0"\nedition = "2018"\n'
    crate = tarred({"gadget-1.0.0/Cargo.toml": manifest, "gadget-1.0.0/src/lib.rs": "pub fn name() {}\n"})
    checksum = hashlib.sha256(crate).hexdigest()
    entry = {
        "name": "gadget",
        "vers": "1.0.0",
        "deps": [],
        "cksum": checksum,
        "features": {},
        "yanked": False,
    }
    upstream.pages |= {
        "/crates/config.json": Page(json.dumps({"dl": f"{upstream.url}/dl"}).encode()),
        "/crates/ga/dg/gadget": Page(json.dumps(entry).encode() + b"\n"),
        "/dl/gadget/1.0.0/download": Page(crate),
    }
    inside.write("Cargo.toml", '[package]\nname = "own"\nversion = "0.1.0"\n[dependencies]\ngadget = "1"\n')
    inside.write("src/lib.rs", "")
    show, path = _rust()
    done = inside.run("cargo fetch && cat Cargo.lock", show=show, PATH=path)
    assert checksum in done.out, done.err
    assert "127.0.0.1" not in done.out, "no address of the sandbox gets into a commit"
    from sprint import sandbox
    from sprint.config import SandboxConfig

    argv = ["cargo", "metadata", "--offline", "--format-version=1"]
    command = Command(argv, timeout=60, env={"PATH": path}, read_only=show)
    done = sandbox.make(SandboxConfig()).run(command, inside.space)
    assert '"name":"gadget"' in done.out, done.err


def _rust() -> tuple[dict[Path, str], str]:
    """A toolchain that is not below /usr is shown inside."""
    home = Path(os.path.realpath(str(CARGO))).parents[2] / ".rustup" / "toolchains"
    found = sorted(home.glob("stable-*")) or sorted(home.glob("*"))
    return dict.fromkeys(found[:1], "/opt/rust"), "/opt/rust/bin:/usr/local/bin:/usr/bin:/bin"


@needs("mvn")
def test_maven(inside: Inside, upstream: Upstream) -> None:
    """A parent is fetched before anything else, and no plugin is needed for it."""
    parent = (
        "<project><modelVersion>4.0.0</modelVersion><groupId>org.acme</groupId><artifactId>parent</artifactId>"
        "<version>1</version><packaging>pom</packaging></project>"
    )
    upstream.pages["/maven/org/acme/parent/1/parent-1.pom"] = Page(parent.encode())
    inside.write(
        "pom.xml",
        "<project><modelVersion>4.0.0</modelVersion><parent><groupId>org.acme</groupId><artifactId>parent"
        "</artifactId><version>1</version><relativePath/></parent><artifactId>own</artifactId>"
        "<packaging>pom</packaging></project>",
    )
    done = inside.run("mvn -B -q validate && cat ~/.m2/repository/org/acme/parent/1/_remote.repositories")
    assert done.exit_code == 0, done.out + done.err
    assert "parent-1.pom>central=" in done.out, "it counts as the central repository's later on"
    assert [one["name"] for one in inside.site.journal("name")] == ["org.acme:parent"]


def test_programs_are_told_where_to_ask(inside: Inside, site: Site) -> None:
    done = inside.run("env")
    told = dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)
    assert told["PIP_INDEX_URL"] == told["UV_DEFAULT_INDEX"] == f"http://127.0.0.1:{DOORS['pypi']}/simple/"
    assert told["npm_config_registry"] == f"http://127.0.0.1:{DOORS['npm']}/"
    assert (told["GOPROXY"], told["GONOPROXY"]) == (f"http://127.0.0.1:{DOORS['go']}", "none")
    assert told["HTTPS_PROXY"] == told["http_proxy"] == f"http://127.0.0.1:{DOORS['connect']}"
    assert "127.0.0.1" in told["no_proxy"]
