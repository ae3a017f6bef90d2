"""What each kind of index lets through, what it rewrites, and how many names a run has."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import pytest

from sprint.gateway import DOORS
from tests.gateway.conftest import Page, Site, Upstream, Visitor

SUM = "a" * 64
PYPI, NPM, CRATES = (f"http://127.0.0.1:{DOORS[name]}" for name in ("pypi", "npm", "crates"))


def path_of(link: str) -> str:
    return urlsplit(link).path


# --- PyPI ---------------------------------------------------------------------------------------


@pytest.fixture
def gadget(upstream: Upstream) -> None:
    files = upstream.url
    upstream.pages |= {
        "/pypi/gadget/": Page(
            f"""<!DOCTYPE html><html><body>
            <a href="{files}/files/gadget-1.0-py3-none-any.whl#sha256={SUM}" data-core-metadata="sha256={SUM}"
               data-requires-python="&gt;=3.8">gadget-1.0-py3-none-any.whl</a>
            <a class='x' href='../../files/gadget-1.0.tar.gz?a=1&amp;b=2#sha256={SUM}'>gadget-1.0.tar.gz</a>
            </body></html>""".encode(),
            headers={"Content-Type": "text/html", "ETag": '"one"'},
        ),
        "/files/gadget-1.0-py3-none-any.whl": Page(b"wheel"),
        "/files/gadget-1.0-py3-none-any.whl.metadata": Page(b"metadata"),
        "/files/gadget-1.0.tar.gz?a=1&b=2": Page(b"source"),
    }


@pytest.mark.usefixtures("gadget")
def test_a_page_of_the_simple_index(visitor: Visitor, upstream: Upstream) -> None:
    page = visitor.get("pypi", "/simple/Gadget/").body.decode()
    links = [html.unescape(link) for link in re.findall(r'href="([^"]*)"', page)]
    assert all(link.startswith(f"{PYPI}/file/") for link in links)
    assert [link.rpartition("/")[2] for link in links] == [
        f"gadget-1.0-py3-none-any.whl#sha256={SUM}",
        f"gadget-1.0.tar.gz#sha256={SUM}",
    ]
    assert 'data-requires-python="&gt;=3.8"' in page, "all else is as it was"
    wheel, source = map(path_of, links)
    assert visitor.get("pypi", wheel).body == b"wheel"
    assert visitor.get("pypi", f"{wheel}.metadata").body == b"metadata"
    assert visitor.get("pypi", source).body == b"source"
    assert upstream.url not in page


def test_a_page_as_json(visitor: Visitor, upstream: Upstream) -> None:
    page = {
        "name": "gadget",
        "files": [{"url": f"{upstream.url}/files/gadget-1.0-py3-none-any.whl", "hashes": {"sha256": SUM}}],
        "meta": {"api-version": "1.1", "note": 'no "url": "http://a/b" of its own'},
    }
    kind = "application/vnd.pypi.simple.v1+json"
    data = gzip.compress(json.dumps(page).replace("/", "\\/").encode())
    headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
    upstream.pages |= {
        "/pypi/gadget/": Page(data, headers=headers),
        "/files/gadget-1.0-py3-none-any.whl": Page(b"wheel"),
    }
    answer = visitor.get("pypi", "/simple/gadget/", Accept=f"{kind}, text/html;q=0.1")
    assert answer.headers["content-type"] == kind
    told = json.loads(answer.body)
    assert visitor.get("pypi", path_of(told["files"][0].pop("url"))).body == b"wheel"
    assert told["meta"] == page["meta"]
    assert kind in upstream.headers[0]["accept"]


@pytest.mark.usefixtures("gadget")
def test_only_files_that_a_page_links_to(site: Site, upstream: Upstream) -> None:
    with site.visitor() as visitor:
        page = visitor.get("pypi", "/simple/gadget/").body.decode()
        link = path_of(re.findall(r'href="([^"]*)"', page)[0])
        _, _, signature, address, name = link.split("/")
        other = "aHR0cDovLzEyNy4wLjAuMTo4MC9zZWNyZXQ"
        for bad in (
            f"/file/{'0' * 32}/{address}/{name}",
            f"/file/{signature}/{other}/{name}",
            f"/file/{signature}/{address}/secret.whl",
            f"/file/{signature}/{address}/{name}.other",
        ):
            assert visitor.get("pypi", bad).status == 403, bad
        assert visitor.get("npm", link).status == 403, "a link is good for its own index"
        assert visitor.get("pypi", link).body == b"wheel"
    with site.visitor() as visitor:
        assert visitor.get("pypi", link).status == 403, "and for its own gateway"
    assert upstream.asked == ["/pypi/gadget/", "/files/gadget-1.0-py3-none-any.whl"]


@pytest.mark.parametrize(
    "path",
    ["/", "/simple/", "/simple/a/b/", "/pypi/gadget/json", "/simple/-x/", "/simple/a%20b/", "/legacy/"],
)
def test_nothing_but_pages_and_files(visitor: Visitor, upstream: Upstream, path: str) -> None:
    assert visitor.get("pypi", path).status == 404
    assert upstream.asked == []


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:{port}/x.whl", "file:///etc/passwd", "http://example.org/x.whl", "https://10.0.0.1/x"],
)
def test_a_link_or_redirect_to_elsewhere_is_not_followed(
    visitor: Visitor, upstream: Upstream, target: str
) -> None:
    """To the index itself, or by https to a host with a name: else a page could point into the network."""
    target = target.format(port=1)
    upstream.pages |= {
        "/pypi/gadget/": Page(f'<a href="{target}">x</a>'.encode(), headers={"Content-Type": "text/html"}),
        "/pypi/moved/": Page(status=302, headers={"Location": target}),
        "/pypi/away/": Page(status=301, headers={"Location": "/pypi/gadget/"}),
        "/pypi/loop/": Page(status=301, headers={"Location": "/pypi/loop/"}),
    }
    link = re.findall(r'href="([^"]*)"', visitor.get("pypi", "/simple/gadget/").body.decode())[0]
    assert visitor.get("pypi", path_of(link)).status == 502
    assert visitor.get("pypi", "/simple/moved/").status == 502
    assert visitor.get("pypi", "/simple/loop/").status == 502
    assert visitor.get("pypi", "/simple/away/").status == 200
    assert len(upstream.asked) < 12


def test_a_mirror_with_a_password_gets_it_and_nobody_else_does(site: Site, upstream: Upstream) -> None:
    site.indexes["pypi"] = upstream.url.replace("//", "//me:pass%40word@") + "/pypi"
    upstream.pages["/pypi/gadget/"] = Page(b'<a href="/f/x.whl">x</a>', headers={"Content-Type": "text/html"})
    upstream.pages["/f/x.whl"] = Page(b"wheel")
    with site.visitor() as visitor:
        page = visitor.get("pypi", "/simple/gadget/")
        visitor.get("pypi", path_of(re.findall(rb'href="([^"]*)"', page.body)[0].decode()))
        shown = "".join(path.read_text() for path in visitor.inside.rglob("*") if path.is_file()) + str(
            site.journal()
        )
    assert [one["authorization"] for one in upstream.headers] == ["Basic bWU6cGFzc0B3b3Jk"] * 2
    for secret in ("pass@word", "pass%40word", "bWU6cGFzc0B3b3Jk"):
        assert secret not in shown + str(page)


# --- npm ----------------------------------------------------------------------------------------


def packument(registry: str, *versions: str, name: str = "@acme/gadget") -> Page:
    file = name.rpartition("/")[2]
    return Page(
        json.dumps(
            {
                "name": name,
                "dist-tags": {"latest": versions[-1]},
                "versions": {
                    version: {
                        "name": name,
                        "version": version,
                        "readme": 'see "tarball": "http://other/"',
                        "dist": {
                            "tarball": f"{registry}/{name}/-/{file}-{version}.tgz",
                            "integrity": "sha512-",
                        },
                    }
                    for version in versions
                },
            }
        ).encode(),
        headers={"Content-Type": "application/json"},
    )


@pytest.mark.parametrize("agent", ["pnpm/9.1.0 npm/? node/v22", "npm/6.14.0 node/v14", "npm/10.9.0 node/v22"])
def test_tarballs_lead_to_the_gateway(visitor: Visitor, upstream: Upstream, agent: str) -> None:
    """Of npm since 8 in its own way: it puts our host in place of the registry's, and locks the true one."""
    upstream.pages["/npm/@acme%2Fgadget"] = packument(f"{upstream.url}/npm", "1.0.0", "1.1.0")
    upstream.pages["/npm/@acme/gadget/-/gadget-1.1.0.tgz"] = Page(b"tarball")
    told = json.loads(visitor.get("npm", "/@acme%2fgadget", User_Agent=agent).body)
    link = told["versions"]["1.1.0"]["dist"]["tarball"]
    origin = upstream.url if agent.startswith("npm/10") else NPM
    assert link.startswith(f"{origin}/")
    assert told["versions"]["1.1.0"]["readme"] == 'see "tarball": "http://other/"'
    assert visitor.get("npm", path_of(link)).body == b"tarball"


def test_a_tarball_at_an_unusual_place(visitor: Visitor, upstream: Upstream) -> None:
    upstream.pages["/npm/odd"] = packument(f"{upstream.url}/elsewhere", "1.0.0", name="odd")
    upstream.pages["/elsewhere/odd/-/odd-1.0.0.tgz"] = Page(b"tarball")
    told = json.loads(visitor.get("npm", "/odd", User_Agent="npm/10.0.0").body)
    link = told["versions"]["1.0.0"]["dist"]["tarball"]
    assert link.startswith(f"{NPM}/file/")
    assert visitor.get("npm", path_of(link)).body == b"tarball"


@pytest.mark.parametrize(
    "path",
    ["/", "/-/v1/search?text=a", "/-/whoami", "/-/npm/v1/security/advisories/bulk", "/-/package/a/dist-tags",
     "/a/b/c", "/.hidden", "/@acme", "/@acme/gadget/-/", "/a/-/a-1.0.0.zip", "/a/-rev/1"],
)  # fmt: skip
def test_nothing_but_packages_and_tarballs(visitor: Visitor, upstream: Upstream, path: str) -> None:
    assert visitor.get("npm", path).status == 404
    assert upstream.asked == []


# --- Go -----------------------------------------------------------------------------------------

GO_MOD = "module example.com/own\n\ngo 1.21\n\nrequire (\n\tgithub.com/acme/gadget v1.0.0 // indirect\n)\n"
GO_SUM = "github.com/acme/gadget v1.0.0 h1:x=\ngithub.com/acme/gadget v1.0.0/go.mod h1:y=\n"


def test_modules_of_known_hosts(site: Site, upstream: Upstream) -> None:
    site.files = {"go.mod": GO_MOD, "go.sum": GO_SUM}
    site.config = {"go_hosts": ("gopkg.in",)}
    upstream.pages |= {
        "/go/github.com/acme/gadget/@v/v1.0.0.zip": Page(b"zip"),
        "/go/github.com/!burnt!sushi/toml/@v/list": Page(b"v1.0.0\nv1.1.0\n"),
        "/go/github.com/!burnt!sushi/toml/@v/v1.1.0.info": Page(b"{}"),
        "/go/gopkg.in/yaml.v3/@latest": Page(b'{"Version":"v3.0.1"}'),
        "/go/gopkg.in/yaml.v3/@v/v3.0.1.mod": Page(b"module"),
        "/go/example.com/own/@latest": Page(b"{}"),
    }
    with site.visitor() as visitor:
        for path in upstream.pages:
            assert visitor.get("go", path.removeprefix("/go")).status == 200, path
        for path in (
            "/golang.org/x/text/@v/list",
            "/attacker.example/SECRET/@latest",
            "/github.com.evil/a/@latest",
        ):
            answer = visitor.get("go", path)
            assert answer.status == 403, path
            assert "gateway.go_hosts" in answer.reason
    names = [one["name"] for one in site.journal("name")]
    assert names == ["github.com/BurntSushi/toml", "gopkg.in/yaml.v3"], (
        "versions that the index listed are known"
    )
    assert not any("SECRET" in path for path in upstream.asked)


def test_what_a_proxy_does_not_have_the_next_one_may(site: Site, upstream: Upstream) -> None:
    site.files = {"go.mod": GO_MOD}
    upstream.pages["/go/github.com/acme/gadget/@v/list"] = Page(b"not found: no such\n", 404)
    with site.visitor() as visitor:
        answer = visitor.get("go", "/github.com/acme/gadget/@v/list")
    assert (answer.status, answer.body) == (404, b"not found\n")


@pytest.mark.parametrize("passes_on", [True, False])
def test_the_checksum_database(
    site: Site, upstream: Upstream, passes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the proxy where it passes it on, else from itself; only for modules that are let through."""
    site.files = {"go.mod": GO_MOD}
    name = "sums.example.org+abc+def"
    settings = {"GOSUMDB": f"{name} {upstream.url}/sums", "GONOSUMDB": ""}
    monkeypatch.setattr("sprint.gateway.packages._settings_of", lambda *_: settings)
    at = "/go/sumdb/sums.example.org" if passes_on else "/sums"
    upstream.pages |= {
        f"{at}/latest": Page(b"tree"),
        f"{at}/lookup/github.com/acme/gadget@v1.0.0": Page(b"sum"),
        f"{at}/tile/8/0/x001/234.p/5": Page(b"tile"),
    }
    if passes_on:
        upstream.pages[f"{at}/supported"] = Page(b"")
    with site.visitor() as visitor:
        for path in ("supported", "latest", "lookup/github.com/acme/gadget@v1.0.0", "tile/8/0/x001/234.p/5"):
            assert visitor.get("go", f"/sumdb/sums.example.org/{path}").status == 200, path
        assert visitor.get("go", "/sumdb/sums.example.org/lookup/evil.example/SECRET@v1.0.0").status == 403
        assert visitor.get("go", "/sumdb/other.example.org/latest").status == 404
        assert visitor.get("go", "/sumdb/sums.example.org/tile/8/0/SECRET").status == 404
    assert not any("SECRET" in path or "other" in path for path in upstream.asked)


# --- crates -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("{url}/dl", "/dl/Gadget/1.0.0/download"),
        ("{url}/dl/{{crate}}/{{crate}}-{{version}}.crate", "/dl/Gadget/Gadget-1.0.0.crate"),
        ("{url}/{{prefix}}/{{lowerprefix}}/{{sha256-checksum}}", f"/Ga/dg/ga/dg/{SUM}"),
    ],
)
def test_crates_are_downloaded_from_where_the_index_says(
    visitor: Visitor, upstream: Upstream, template: str, path: str
) -> None:
    entry = b'{"name":"Gadget","vers":"1.0.0","deps":[],"cksum":"%s"}\n' % SUM.encode()
    upstream.pages |= {
        "/crates/config.json": Page(
            json.dumps({"dl": template.format(url=upstream.url), "api": "x"}).encode()
        ),
        "/crates/ga/dg/gadget": Page(entry),
        path: Page(b"crate"),
    }
    told = json.loads(visitor.get("crates", "/config.json").body)
    assert told == {"dl": f"{CRATES}/crate/{{crate}}/{{version}}/{{sha256-checksum}}"}
    assert visitor.get("crates", "/ga/dg/gadget").body == entry
    assert visitor.get("crates", f"/crate/Gadget/1.0.0/{SUM}").body == b"crate"
    assert visitor.get("crates", "/api/v1/crates?q=secret").status == 404


def test_an_index_without_a_place_for_crates(visitor: Visitor, upstream: Upstream) -> None:
    upstream.pages["/crates/config.json"] = Page(b"<html>a sign-in page</html>")
    answer = visitor.get("crates", f"/crate/gadget/1.0.0/{SUM}")
    assert (answer.status, answer.reason) == (502, "the index does not say where its crates are")


# --- Maven --------------------------------------------------------------------------------------


def test_artifacts_and_what_their_models_name(site: Site, upstream: Upstream) -> None:
    pom = (
        b"<project><parent><groupId>org.acme</groupId>\n<artifactId>parent</artifactId></parent><dependencies>"
        b"<dependency><groupId>${project.groupId}</groupId><artifactId>core</artifactId></dependency>"
        b"</dependencies></project>"
    )
    upstream.pages |= {
        "/maven/org/acme/gadget/1.0/gadget-1.0.pom": Page(pom),
        "/maven/org/acme/gadget/1.0/gadget-1.0.jar": Page(b"jar"),
        "/maven/org/acme/gadget/1.0/gadget-1.0-sources.jar.sha1": Page(b"sum"),
        "/maven/org/acme/gadget/maven-metadata.xml": Page(b"versions"),
        "/maven/org/acme/parent/2/parent-2.pom": Page(b"<project/>"),
        "/maven/org/acme/core/3-SNAPSHOT/core-3-20260101.1-1.jar": Page(b"jar"),
    }
    with site.visitor() as visitor:
        for path in upstream.pages:
            assert visitor.get("maven", path.removeprefix("/maven")).status == 200, path
        for path in ("/org/acme/", "/a.jar", "/org/acme/gadget/1.0/other-1.0.jar", "/.index/x", "/org/acme/"):
            assert visitor.get("maven", path).status == 404
    assert [one["name"] for one in site.journal("name")] == ["org.acme:gadget"]


# --- names --------------------------------------------------------------------------------------


@pytest.fixture
def everything(upstream: Upstream) -> None:
    class Everything(dict[str, Page]):
        def get(self, path: str, default: object = None) -> Page:  # type: ignore[override]
            return Page(b"{}")

    upstream.pages = Everything()


def page_of(index: str, name: str) -> str:
    return {
        "pypi": f"/simple/{name}/",
        "npm": f"/{name}",
        "go": f"/github.com/acme/{name}/@latest",
        "crates": f"/{name[:2]}/{name[2:4]}/{name}",
        "maven": f"/org/acme/{name}/maven-metadata.xml",
    }[index]


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("index", ["pypi", "npm", "go", "crates", "maven"])
def test_every_index_is_for_reading_only(site: Site, upstream: Upstream, index: str) -> None:
    site.files = {"go.mod": "module a.example/own\n\nrequire github.com/acme/known v1.0.0\n"}
    path = page_of(index, "known")
    with site.visitor() as visitor:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
            assert visitor.raw(index, head.encode()).startswith(b"HTTP/1.1 405 "), method
        assert upstream.asked == []
        assert visitor.get(index, path).status == 200
    assert len(upstream.asked) == 1


LOCKS: Mapping[str, str] = {
    "requirements.txt": "known==1.0 \\\n    --hash=sha256:x\n",
    "package-lock.json": json.dumps({"packages": {"": {}, "node_modules/known": {"version": "1.0.0"}}}),
    "go.sum": "github.com/acme/known v1.0.0 h1:x=\n",
    "Cargo.lock": '[[package]]\nname = "known"\nversion = "1.0.0"\n',
    "pom.xml": "<project><groupId>org.acme</groupId><artifactId>known</artifactId></project>",
}


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize("index", ["pypi", "npm", "go", "crates", "maven"])
def test_a_run_has_so_many_names_and_no_more(site: Site, upstream: Upstream, index: str) -> None:
    """Over all of its set-ups; a name is data, which what is refused does not carry out."""
    site.files = dict(LOCKS)
    site.config = {"names": 3}
    with site.visitor() as visitor:
        for name in ("known", "first", "second", "first", "known"):
            assert visitor.get(index, page_of(index, name)).status == 200, name
    with site.visitor() as visitor:
        for name, status in (
            ("second", 200),
            ("third", 200),
            ("fourth", 403),
            ("known", 200),
            ("first", 200),
        ):
            answer = visitor.get(index, page_of(index, name))
            assert answer.status == status, name
            assert status == 200 or "gateway.names allows more" in answer.reason
    assert not any("fourth" in path for path in upstream.asked)
    assert [one["name"].rpartition("/")[2].rpartition(":")[2] for one in site.journal("name")] == [
        "first",
        "second",
        "third",
    ]
    assert "fourth" in site.refusals()[0]


def test_what_a_package_depends_on_is_no_news(site: Site, upstream: Upstream) -> None:
    """Without a lock file it takes many names to set a project up, which the index itself gives."""
    needs = {
        "dependencies": {"one": "^1", "alias": "npm:@acme/two@^2"},
        "optionalDependencies": {"three": "1"},
    }
    upstream.pages |= {
        "/npm/gadget": Page(
            json.dumps({"versions": {"1.0.0": needs, "0.9.0": {"dependencies": []}}}).encode()
        ),
        **{f"/npm/{name}": Page(b"{}") for name in ("one", "@acme%2Ftwo", "three", "alias")},
        "/npm/broken": Page(b"[" * 100_000),
        "/crates/ga/dg/gadget": Page(
            b'{"name":"gadget","vers":"1.0.0","deps":[{"name":"one","req":"^1"},'
            b'{"name":"other","package":"Two"}]}\nnot JSON\n{"name":"gadget","vers":"2.0.0","deps":[1]}\n'
        ),
        "/crates/3/o/one": Page(b""),
        "/crates/3/t/two": Page(b""),
    }
    site.config = {"names": 3}
    with site.visitor() as visitor:
        assert visitor.get("npm", "/broken").status == 200
        for path in ("/gadget", "/one", "/@acme%2ftwo", "/three"):
            assert visitor.get("npm", path).status == 200, path
        for path in ("/ga/dg/gadget", "/3/o/one", "/3/t/two"):
            assert visitor.get("crates", path).status == 200, path
        assert visitor.get("npm", "/alias").status == 403, "what nobody named is news"
        assert visitor.get("crates", "/ot/he/other").status == 403
    assert [one["name"] for one in site.journal("name")] == ["broken", "gadget", "gadget"]


def test_what_a_package_depends_on_is_news_where_it_is_too_much(site: Site, upstream: Upstream) -> None:
    """Its author could have it depend on one name for each byte that is to be told."""
    needs = {"dependencies": {f"x{number}": "1" for number in range(12)}}
    upstream.pages |= {"/npm/gadget": Page(json.dumps({"versions": {"1.0.0": needs}}).encode())}
    upstream.pages |= {f"/npm/x{number}": Page(b"{}") for number in range(12)}
    site.config = {"names": 1}
    with site.visitor() as visitor:
        told = [
            visitor.get("npm", path).status for path in ("/gadget", *(f"/x{n}" for n in range(12)), "/x0")
        ]
    assert told == [200] * 11 + [403] * 2 + [200]


@pytest.mark.usefixtures("everything")
@pytest.mark.parametrize(
    ("index", "path", "is_news"),
    [
        ("npm", "/known/-/known-1.0.0.tgz", False),
        ("npm", "/known/-/known-c2VjcmV0.tgz", True),
        ("npm", "/known/1.0.0", False),
        ("npm", "/known/c2VjcmV0", True),
        ("go", "/github.com/acme/known/@v/v1.0.0.zip", False),
        ("go", "/github.com/acme/known/@v/v0.0.0-20260101000000-c2vjcmv0c2vj.info", True),
        ("crates", f"/crate/known/1.0.0/{SUM}", False),
        ("crates", f"/crate/known/9.9.9-c2VjcmV0/{SUM}", True),
    ],
)
def test_a_version_is_a_name_too(site: Site, index: str, path: str, is_news: bool) -> None:
    site.files = dict(LOCKS)
    site.config = {"names": 0}
    with site.visitor() as visitor:
        status = visitor.get(index, path).status
    assert (status == 403) is is_news
    assert len(site.refusals()) == is_news


@pytest.mark.usefixtures("everything")
def test_a_name_has_a_length(visitor: Visitor, upstream: Upstream) -> None:
    assert visitor.get("pypi", f"/simple/{'a' * 215}/").status == 403
    assert visitor.get("npm", f"/{'a' * 215}").status == 403
    assert upstream.asked == []


@pytest.mark.parametrize("name", ["pypi", "npm", "go", "crates", "maven"])
def test_an_index_that_is_off_says_which_key_sets_it(site: Site, name: str) -> None:
    site.indexes[name] = "none"
    site.files = {"go.mod": GO_MOD}
    with site.visitor() as visitor:
        answer = visitor.get(name, page_of(name, "gadget"))
    assert answer.status == 403
    assert answer.reason == f"the {name} index is switched off; gateway.indexes.{name} sets its address"
    assert f"gateway.indexes.{name}" in site.refusals()[0]


@pytest.mark.parametrize(
    ("status", "told"), [(404, 404), (410, 410), (401, 403), (403, 403), (500, 502), (429, 429)]
)
def test_what_an_index_refuses(visitor: Visitor, upstream: Upstream, status: int, told: int) -> None:
    """Its status, and none of its words: they may name hosts and accounts."""
    upstream.pages["/pypi/gadget/"] = Page(b"account me@example.org at 10.0.0.1", status)
    answer = visitor.get("pypi", "/simple/gadget/")
    assert answer.status == told
    assert b"example.org" not in answer.body


def test_loops_do_not_fill_the_journal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sprint.gateway.journal.MOST_NOTES", 5)
    with site.visitor() as visitor:
        for _ in range(10):
            assert visitor.get("pypi", "/simple/gadget/", method="POST").status == 405
    with site.visitor() as visitor:
        visitor.get("pypi", "/simple/gadget/", method="POST")
    assert len(site.journal()) == 5
