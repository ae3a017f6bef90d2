"""The repositories: their own keys over the defaults', checked, and the one that a name means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import asdict, replace

from sprint.config.schema import Config, ForgeConfig, GatewayConfig, PublishConfig, RepoConfig
from sprint.config.values import (
    absolute,
    check_branch_pattern,
    check_host,
    check_line,
    check_not_secret,
    is_branch,
    merged,
    typed,
    web_address,
)
from sprint.domain import is_repo_name
from sprint.errors import ConfigError
from sprint.surroundings import Surroundings

_SECTIONS = ("limits", "sandbox", "gateway", "pick", "publish", "follow")


def written_out(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A repository's keys with `sandbox: none` written out and empty sections taken as absent."""
    own = {key: value for key, value in raw.items() if value is not None or key not in _SECTIONS}
    if isinstance(own.get("sandbox"), str):
        own["sandbox"] = {"kind": own["sandbox"]}
    return own


def repo_section(
    raw: object, below: Mapping[str, Any], forges: Mapping[str, ForgeConfig], at: str, around: Surroundings
) -> RepoConfig:
    if isinstance(raw, str):
        forge, colon, name = raw.rpartition(":")
        raw = {"name": name, "forge": forge} if colon else {"name": name}
    own = written_out(raw) if isinstance(raw, dict) else raw
    check_repo(repo := typed(own, RepoConfig, at), forges, at)
    if not is_repo_name(repo.name):
        raise ConfigError(f"{at}.name: {repo.name!r} is not OWNER/REPO")
    assert isinstance(own, dict)
    repo = typed(laid_over(below, own), RepoConfig, at)
    if not repo.forge:
        names = ", ".join(forges)
        raise ConfigError(f"{at}.forge: there are several ({names}); name one here or in defaults.forge")
    return with_paths(repo, at, around)


def laid_over(below: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A repository's keys over the defaults'; what is protected adds up, so that nothing is lost by it."""
    result = merged(below, own)
    lists = [keys["publish"]["protected"] for keys in (below, own) if "protected" in keys.get("publish", {})]
    if lists:
        result["publish"]["protected"] = [path for paths in lists for path in paths]
    return result


def check_repo(repo: RepoConfig, forges: Mapping[str, ForgeConfig], at: str) -> None:
    if repo.forge and repo.forge not in forges:
        raise ConfigError(f"{at}.forge: no forge is called {repo.forge!r}; there are {', '.join(forges)}")
    if repo.base and not is_branch(repo.base):
        raise ConfigError(f"{at}.base: {repo.base!r} is no branch name that git accepts")
    for key, commands in (("setup", repo.setup), ("build", repo.build), ("checks", repo.checks)):
        for index, command in enumerate(commands or ()):
            if not command.strip() or "\0" in command:
                raise ConfigError(f"{at}.{key}[{index}]: expected a command")
    check_gateway(repo.gateway, f"{at}.gateway")
    check_publish(repo.publish, f"{at}.publish")


def check_gateway(gateway: GatewayConfig, at: str) -> None:
    for name, address in asdict(gateway.indexes).items():
        if address not in ("", "none"):
            web_address(address, f"{at}.indexes.{name}")
    for index, host in enumerate(gateway.go_hosts):
        check_host(host, f"{at}.go_hosts[{index}]")
    for index, host in enumerate(gateway.connect):
        check_host(host, f"{at}.connect[{index}]", may_be_suffix=True)


def check_publish(publish: PublishConfig, at: str) -> None:
    check_branch_pattern(publish.branch, f"{at}.branch")
    check_line(publish.author_name, f"{at}.author_name", "<>")
    check_line(publish.author_email, f"{at}.author_email", "<> ")
    check_not_secret(publish.sign, f"{at}.sign")
    for key, paths in (("protected", publish.protected), ("allow", publish.allow)):
        for index, path in enumerate(paths):
            check_line(path, f"{at}.{key}[{index}]")
            if path.startswith("/"):
                raise ConfigError(
                    f"{at}.{key}[{index}]: paths begin at the repository's root, without a slash"
                )


def with_paths(repo: RepoConfig, at: str, around: Surroundings) -> RepoConfig:
    readable = [
        str(absolute(path, around, f"{at}.sandbox.readable[{index}]"))
        for index, path in enumerate(repo.sandbox.readable)
    ]
    key = repo.publish.sign
    return replace(
        repo,
        sandbox=replace(repo.sandbox, readable=tuple(readable)),
        publish=replace(repo.publish, sign=key and str(absolute(key, around, f"{at}.publish.sign"))),
    )


def refuse_twice(repos: list[RepoConfig]) -> None:
    first: dict[tuple[str, str], int] = {}
    for index, repo in enumerate(repos):
        earlier = first.setdefault((repo.forge, repo.name.lower()), index)
        if earlier != index:
            raise ConfigError(f"repos[{index}]: {repo.name} is repos[{earlier}] already; keep one")


def resolve(config: Config, name: str) -> RepoConfig:
    """The repository that OWNER/REPO or FORGE:OWNER/REPO on the command line means.

    Its configured entry where there is one, else the defaults with that name. Raises ConfigError.
    """
    forge, _, repo_name = name.strip().rpartition(":")
    if not is_repo_name(repo_name):
        raise ConfigError(f"{name!r} is no repository; write OWNER/REPO or FORGE:OWNER/REPO")
    if forge and forge not in config.forges:
        raise ConfigError(f"{name}: no forge is called {forge!r}; there are {', '.join(config.forges)}")
    same = [repo for repo in config.repos if repo.name.lower() == repo_name.lower()]
    preferred = forge or (config.defaults.forge if len(same) != 1 else same[0].forge)
    for repo in same:
        if repo.forge == preferred:
            return repo
    if not preferred:
        raise ConfigError(
            f"{name}: on which forge? Write FORGE:{repo_name}; there are {', '.join(config.forges)}"
        )
    return replace(config.defaults, name=repo_name, forge=preferred)
