"""/gateway/RUN: what a run's own key opens from elsewhere, and what it does not."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sprint import json_file
from sprint.cli import main
from sprint.config import load
from sprint.domain import Phase
from sprint.gateway import Door, opened
from sprint.gateway.exchange import Exchange, Refused
from sprint.gateway.own_process import FOLDER, KEY
from sprint.runs import RunStore
from sprint.serve import gateway_door, public_site
from sprint.serve.public_site import PublicSite
from tests.around import around
from tests.serve.asked_ticks import Asked, asked_of
from tests.serve.serving import Served, a_configuration, serving
from tests.some_run import a_run
from tests.waiting import wait_until

MODEL_KEY = "run-0123456789"


class Echo:
    """Behind the door in place of a model: says what came, or a piece whenever it is told to."""

    def __init__(self) -> None:
        self.next = threading.Semaphore(0)
        self.gone = threading.Event()

    def serve(self, exchange: Exchange) -> None:
        if exchange.path == "/v1/refused":
            raise Refused(404, "only this and that")
        if exchange.path == "/v1/slowly":
            exchange.start(200, {"content-type": "text/event-stream"})
            while not exchange.is_gone():
                if self.next.acquire(timeout=0.05):
                    exchange.write(b"data: x\n\n")
            self.gone.set()
            return
        body = exchange.body(1_000_000)
        told = {"target": exchange.target, "headers": exchange.headers, "size": len(body)}
        exchange.answer(201, json.dumps(told).encode(), {"content-type": "application/json", "x-own": "1"})


class There:
    """A run, its gateway, and the site before it."""

    def __init__(self, root: Path) -> None:
        self.store, self.run, self.echo = RunStore(root / "results"), a_run(phase=Phase.WORKING), Echo()
        self.folder = self.store.create(self.run)
        found = around(root)
        self.site = PublicSite(load(a_configuration(root), found), found)

    @contextmanager
    def gateway(self) -> Iterator[None]:
        with opened(self.folder, {"model": Door(self.echo, {}, {})}, name=FOLDER):
            json_file.write(self.folder / FOLDER / KEY, {"key": MODEL_KEY, "model": "m"})
            yield


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> There:
    monkeypatch.setattr(public_site, "TickStarter", Asked)
    return There(tmp_path)


@pytest.fixture
def site(there: There) -> Iterator[Served[PublicSite]]:
    with there.gateway(), serving(there.site) as one:
        yield one


BEARER = {"Authorization": f"Bearer {MODEL_KEY}"}


def test_what_the_key_opens_is_passed_on_as_it_came(there: There, site: Served[PublicSite]) -> None:
    path = f"/gateway/{there.run.id}"
    given = {"X-Api-Key": MODEL_KEY, "Anthropic-Version": "2023-06-01", "Cookie": "a=b", "TE": "trailers"}
    answer = site.get(f"{path}/v1/messages?beta=true", method="POST", body="x" * 300_000, **given)
    assert (answer.status, answer.headers["x-own"]) == (201, "1")
    told = json.loads(answer.text)
    assert (told["target"], told["size"]) == ("/v1/messages?beta=true", 300_000)
    assert told["headers"]["anthropic-version"] == "2023-06-01"
    assert not {"cookie", "te", "connection"} & set(told["headers"])
    in_pieces = site.get(
        f"{path}/v1/%2e%2e/x", method="POST", body="abc", **BEARER, Transfer_Encoding="chunked"
    )
    assert json.loads(in_pieces.text)["target"] == "/v1/%2e%2e/x", "it is the gateway's to refuse that"
    assert json.loads(in_pieces.text)["size"] == 3
    assert site.get(f"{path}/v1/models", **BEARER).status == 201
    assert site.get(f"{path}/v1/models", body="abc", **BEARER).status == 201, "its body stays here"
    assert site.get(f"{path}%2fv1", **BEARER).status == 404
    assert asked_of(site.site) == []
    refused = site.get(f"{path}/v1/refused", **BEARER)
    assert (refused.status, refused.text) == (404, "only this and that\n")
    assert site.get(f"{path}/", method="HEAD").status == 200


def test_a_key_that_is_empty_opens_nothing(there: There, site: Served[PublicSite]) -> None:
    json_file.write(there.folder / FOLDER / KEY, {"key": "", "model": "m"})
    assert site.get(f"/gateway/{there.run.id}/v1/models").status == 401


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer run-other", "Bearer \xe9"])
def test_without_the_key_there_is_nothing(there: There, site: Served[PublicSite], key: str) -> None:
    for run_id in (there.run.id, "20261121T120000Z-octo-widgets-12-00000000", ".."):
        answer = site.get(f"/gateway/{run_id}/v1/models", **({"Authorization": key} if key else {}))
        assert answer.status == 401
        assert answer.text == "not this run's key, or the run is over\n"
    assert site.get(f"/gateway/{there.run.id}/v1/models", method="DELETE", **BEARER).status == 405


def test_a_stream_comes_as_it_is_written_and_ends_with_its_reader(
    there: There, site: Served[PublicSite], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_door, "MOST", 1)
    path = f"/gateway/{there.run.id}/v1/slowly"
    with closing(http.client.HTTPConnection("127.0.0.1", site.port, timeout=60)) as connection:
        there.echo.next.release()
        connection.request("GET", path, headers=BEARER)
        answer = connection.getresponse()
        for _ in range(3):
            assert answer.readline() == b"data: x\n"
            assert answer.readline() == b"\n"
            there.echo.next.release()
        assert site.get(path, **BEARER).status == 503, "one at a time, in this test"
        answer.close()
    assert there.echo.gone.wait(60)
    assert wait_until(lambda: site.get(f"/gateway/{there.run.id}/v1/models", **BEARER).status == 201)


def test_it_dies_with_the_run_and_one_that_was_killed_is_begun_again(there: There) -> None:
    path = f"/gateway/{there.run.id}/v1/models"
    with serving(there.site) as site:
        with there.gateway():
            kept = there.folder / "kept"
            shutil.copytree(there.folder / FOLDER, kept, ignore=lambda *_: ["model.http", "socket"])
            assert site.get(path, **BEARER).status == 201
        assert site.get(path, **BEARER).status == 401
        kept.rename(there.folder / FOLDER)
        assert site.get(path, **BEARER).status == 503
    assert asked_of(there.site) == [(there.run.forge, there.run.repo)]


@pytest.mark.parametrize(
    ("proxy", "headers", "status"),
    [
        (False, {}, 201),
        (False, {"X-Forwarded-For": "192.0.2.1"}, 403),
        (False, {"Forwarded": "for=192.0.2.1;proto=https"}, 403),
        (False, {"X-Forwarded-Proto": "https"}, 403),
        (True, {"X-Forwarded-For": "192.0.2.1"}, 201),
        (True, {"X-Forwarded-Proto": "https"}, 201),
        (True, {"X-Forwarded-Proto": "http"}, 403),
    ],
)
def test_a_key_that_came_in_the_clear_opens_nothing(
    there: There, proxy: bool, headers: dict[str, str], status: int
) -> None:
    there.site._has_proxy = proxy
    with there.gateway(), serving(there.site) as site:
        assert site.get(f"/gateway/{there.run.id}/v1/models", **BEARER, **headers).status == status


# --- where it listens


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    files = (str(tmp_path / "public.pem"), str(tmp_path / "public.key"))
    asked = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    asked += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*asked, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True, timeout=60
    )
    return files


def test_with_a_certificate_it_speaks_tls(there: There, certificate: tuple[str, str]) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    path = f"/gateway/{there.run.id}/v1/models"
    with there.gateway(), serving(there.site, None, *certificate) as site:
        connection = http.client.HTTPSConnection("127.0.0.1", site.port, timeout=60, context=trusting)
        with closing(connection):
            connection.request("GET", path, headers=BEARER)
            assert connection.getresponse().status == 201
        with pytest.raises((http.client.HTTPException, OSError)):
            site.get(path, **BEARER)


@pytest.mark.parametrize(
    ("public", "options", "says"),
    [
        ("", ["--public", "0.0.0.0:8766"], "name public.certificate and its key, or listen on 127.0.0.1"),
        (
            "{proxy: true}",
            ["--public", "0.0.0.0"],
            "name public.certificate and its key, or listen on 127.0.0.1",
        ),
        ("{url: 'https://x.example.org'}", ["--public"], "say that a reverse proxy with TLS is there"),
        ("{url: 'http://x.example.org'}", [], "public.url: what is sent there goes over the network"),
        ("{certificate: a.pem}", [], "public.certificate: goes with certificate_key"),
        (
            "{certificate: a, certificate_key: b, proxy: true}",
            [],
            "public.proxy: TLS is the proxy's or our own",
        ),
        ("{certificate: a, certificate_key: b}", ["--public", "0.0.0.0:0"], "no TLS with"),
        ("", ["--public", "nonsense:port"], "expected ADDRESS:PORT"),
        ("{secret: x}", [], "unknown key secret"),
    ],
)
def test_what_may_not_be_is_said_in_a_line(
    public: str,
    options: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    path = a_configuration(tmp_path)
    path.write_text(f"{path.read_text()}public: {public}\n")
    assert main(["--config", str(path), "serve", "--port", "0", *options]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
