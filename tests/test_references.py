"""Issues, pull requests and runs by what people paste."""

from __future__ import annotations

from pathlib import Path

import pytest

from sprint import references
from sprint.config import Config, ForgeConfig, load
from sprint.domain import replace
from sprint.errors import ConfigError, SprintError
from sprint.references import Reference
from sprint.runs import RunStore
from tests.around import around
from tests.some_run import a_run


@pytest.fixture
def config(tmp_path: Path) -> Config:
    config = load(None, around(tmp_path))
    forges = {
        "home": ForgeConfig(kind="gitea", url="https://Git.example.org/forge"),
        "root": ForgeConfig(kind="forgejo", url="http://git.example.org:3000"),
        "github": ForgeConfig(kind="github"),
    }
    return replace_forges(config, forges)


def replace_forges(config: Config, forges: dict[str, ForgeConfig]) -> Config:
    from msgspec import structs

    return structs.replace(config, forges=forges)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("acme/widgets#12", Reference("acme/widgets", 12)),
        ("home:acme/widgets#12", Reference("home:acme/widgets", 12)),
        ("https://github.com/acme/widgets/issues/12", Reference("acme/widgets", 12, "github")),
        ("https://GitHub.com/acme/widgets/pull/3/files#r1", Reference("acme/widgets", 3, "github", True)),
        ("https://git.example.org/forge/a/b/issues/1#issuecomment-9", Reference("a/b", 1, "home")),
        ("https://u:p@git.example.org:443/forge/a/b/pulls/2?x=1", Reference("a/b", 2, "home", True)),
        ("http://git.example.org:3000/a/b/issues/1/", Reference("a/b", 1, "root")),
        ("acme/widgets", None),
        ("20261127T", None),
        ("#12", None),
        ("acme/widgets#0", None),
    ],
)
def test_what_names_an_issue(config: Config, text: str, found: Reference | None) -> None:
    assert references.parse(config, text) == found


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("https://evil.example/acme/widgets/issues/1", "on no forge of the configuration"),
        ("https://git.example.org/a/b/issues/1", "on no forge"),  # not below the forge's own path
        ("https://github.com/acme/widgets", "no address of an issue"),
        ("https://github.com/acme/widgets/issues/x", "no address of an issue"),
        ("https://github.com:99999/a/b/issues/1", "no address"),
        ("https://[/a/b/issues/1", "no address"),
        ("https://github.com/a/b/pull/1", "is a pull request; name the issue"),
    ],
)
def test_an_address_that_will_not_do_is_refused_in_one_line(config: Config, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        references.issue(config, text)
    assert "\n" not in str(refused.value)


def test_a_run_by_its_issue_or_its_pull_request(config: Config, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    runs = [a_run(number, "Acme/Widgets", 12, forge="github") for number in range(2)]
    runs[0] = replace(runs[0], pr_number=13, pr_url="x")
    runs.append(a_run(5, "acme/widgets", 12, forge="home"))
    for run in runs:
        store.create(run)
    site = "https://github.com/acme/widgets"
    assert references.run(config, store, f"{site}/issues/12").id == runs[1].id
    assert references.run(config, store, f"{site}/pull/13").id == runs[0].id
    assert references.run(config, store, runs[2].id).id == runs[2].id
    with pytest.raises(SprintError, match="no run for https"):
        references.run(config, store, f"{site}/issues/13")
