"""What the gateway costs whoever is behind it: a large file, and the time to answer a small request."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from sprint import sandbox
from sprint.config import GatewayConfig, SandboxConfig
from sprint.config.schema import IndexesConfig
from sprint.domain import Workspace
from sprint.gateway import DOORS, Gateway
from sprint.gateway.clients import Machine
from sprint.gateway.packages import package_gateway
from sprint.sandbox import Command
from tests.around import around
from tests.bench import measure, model_route

MEGABYTES = 100
REQUESTS = 300
TIMES = 5
WHEEL = "large-1.0-py3-none-any.whl"
# A client that does no more than read, as a compiled one would; and small requests on one connection.
_READ = """
import http.client, sys, time
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
started = time.perf_counter()
connection.request("GET", sys.argv[2])
response, buffer, size = connection.getresponse(), bytearray(1 << 20), 0
while count := response.readinto(buffer):
    size += count
assert (response.status, size) == (200, int(sys.argv[3])), (response.status, size)
print(time.perf_counter() - started)
"""
_ASK = """
import http.client, statistics, sys, time
connection, took = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1])), []
for _ in range(int(sys.argv[3])):
    started = time.perf_counter()
    connection.request("GET", sys.argv[2])
    assert connection.getresponse().read()
    took.append(time.perf_counter() - started)
print(statistics.median(took))
"""
_SERVE = """
import http.server, os, shutil, sys
os.chdir(sys.argv[1])
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def copyfile(self, source, outputfile):
        offset, size = 0, os.fstat(source.fileno()).st_size
        while offset < size:
            offset += os.sendfile(outputfile.fileno(), source.fileno(), offset, size - offset)
    def log_message(self, *arguments): pass
class Server(http.server.ThreadingHTTPServer): pass
server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def bench(scratch: Path) -> Iterator[str]:
    yield from model_route.bench(scratch / "model")
    yield from _packages(scratch / "packages")


def _packages(scratch: Path) -> Iterator[str]:
    scratch.mkdir(mode=0o711)
    with _serving(scratch / "site") as port, _gateway(scratch, port) as gateway:
        space = measure.space(scratch / "space")

        def inside(code: str, *arguments: object) -> float:
            argv = ["python3", "-c", code, *map(str, arguments)]
            done = sandbox.make(SandboxConfig()).run(
                Command(gateway.wrap(argv), timeout=120, read_only=gateway.read_only), space
            )
            assert done.ok, done.err
            return float(done.out)

        def outside(code: str, *arguments: object) -> float:
            argv = ["/usr/bin/python3", "-c", code, *map(str, arguments)]
            return float(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)

        size, small, large = (
            MEGABYTES * 1_000_000,
            "/org/a/b/1/b-1.pom.sha1",
            "/org/a/b/1/b-1.jar",
        )
        behind = DOORS["maven"]
        reads = [
            (outside(_READ, port, f"/maven{large}", size), inside(_READ, behind, large, size))
            for _ in range(TIMES)
        ]
        direct, through = (statistics.median(times) for times in zip(*reads, strict=True))
        yield f"{MEGABYTES} MB: direct {MEGABYTES / direct:.0f} MB/s, through {MEGABYTES / through:.0f} MB/s"
        yield f"through / direct: {direct / through:.2f} (aim: at least 0.5)"
        asked = [
            (outside(_ASK, port, f"/maven{small}", REQUESTS), inside(_ASK, behind, small, REQUESTS))
            for _ in range(TIMES)
        ]
        direct, through = (statistics.median(times) for times in zip(*asked, strict=True))
        yield f"a small file, median of {REQUESTS}: {direct * 1e3:.2f} ms, {through * 1e3:.2f} ms through"
        yield f"added: {(through - direct) * 1e3:.2f} ms (aim: less than 5)"
        yield from _with_pip(scratch, port, gateway, space)
        plain, wrapped = (
            measure.seconds(
                lambda argv=argv: [  # type: ignore[misc]
                    sandbox.make(SandboxConfig()).run(
                        Command(argv, timeout=20, read_only=gateway.read_only), space
                    )
                    for _ in range(20)
                ]
            )
            / 20
            for argv in (["true"], gateway.wrap(["true"]))
        )
        yield f"opening the doors adds {(wrapped - plain) * 1e3:.0f} ms to a command"


def _with_pip(scratch: Path, port: int, gateway: Gateway, space: Workspace) -> Iterator[str]:
    pip = Path(__import__("pip").__file__).parent
    packages = scratch / "packages"
    shutil.copytree(pip, packages / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    command = "python3 -m pip download --no-cache-dir --no-deps -q -d {to} large"

    def direct() -> None:
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages), "HOME": str(scratch)}
        env["PIP_INDEX_URL"] = f"http://127.0.0.1:{port}/pypi/"
        argv = f"/usr/bin/{command.format(to=scratch / 'got')}".split()
        subprocess.run(argv, env=env, check=True, capture_output=True)
        shutil.rmtree(scratch / "got")

    def through() -> None:
        done = sandbox.make(SandboxConfig()).run(
            Command(
                gateway.wrap(["/bin/sh", "-c", f"{command.format(to='got')} && rm -r got"]),
                timeout=120,
                env={**gateway.env, "PYTHONPATH": "/opt/packages"},
                read_only={**gateway.read_only, packages: "/opt/packages"},
            ),
            space,
        )
        assert done.ok, done.err

    pairs = [(measure.seconds(direct), measure.seconds(through)) for _ in range(3)]
    plain, gated = (statistics.median(times) for times in zip(*pairs, strict=True))
    yield f"pip download of {MEGABYTES} MB: {plain:.2f} s direct, {gated:.2f} s in the sandbox, through"
    yield f"direct / through: {plain / gated:.2f} (aim: at least 0.5)"


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[int]:
    jar = folder / "maven" / "org" / "a" / "b" / "1" / "b-1.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(os.urandom(1_000_000) * MEGABYTES)
    (jar.parent / "b-1.pom.sha1").write_bytes(b"a" * 1000)
    wheel = folder / "files" / WHEEL
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(jar, "large.bin")
        about = "large-1.0.dist-info"
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: large\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    page = folder / "pypi" / "large" / "index.html"
    page.parent.mkdir(parents=True)
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    page.write_text(f'<a href="/files/{WHEEL}#sha256={sha256}">{WHEEL}</a>')
    server = subprocess.Popen([sys.executable, "-c", _SERVE, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def _gateway(scratch: Path, port: int) -> Iterator[Gateway]:
    url = f"http://127.0.0.1:{port}"
    indexes = IndexesConfig(pypi=f"{url}/pypi", npm="none", go="none", crates="none", maven=f"{url}/maven")
    mirror = scratch / "mirror.git"
    subprocess.run(["git", "init", "-q", "--bare", str(mirror)], check=True)
    tree = _git(mirror, "mktree")
    base = _git(mirror, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", "-m", "base", tree)
    (scratch / "run").mkdir()
    machine = Machine(around(scratch), scratch / "cache")
    with package_gateway(
        scratch / "run", GatewayConfig(indexes=indexes), machine, mirror=mirror, base=base
    ) as gateway:
        yield gateway


def _git(mirror: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(mirror), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
