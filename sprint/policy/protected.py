"""What acts before a person has looked: run by CI, by whoever opens the repository, or read by an agent.

A pull request is a proposal only as long as nothing in it takes effect by itself. So these paths are refused
whatever the configuration adds to them (`publish.protected`), and passed only where the operator lists them
(`publish.allow`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from sprint.config import PublishConfig
from sprint.domain import Refusal
from sprint.policy.ci import ACTIONS, CI_FILES
from sprint.policy.names import folded
from sprint.policy.patterns import covers, is_above, is_listed
from sprint.policy.trees import LINK, Trees, link_targets, resolve_link

_BY_CONFIGURATION = "it is listed in publish.protected"
_MOST_HOPS = 3
_MOST_NAMES = 10_000


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# From the repository's root; `**/` stands for any folder, `*` for anything within a name, a last slash for
# all that is in a folder.
PROTECTED: Mapping[str, tuple[str, ...]] = {
    "CI would run it before anybody has looked": (*ACTIONS, *itertools.chain(*CI_FILES.values())),
    "it decides what is merged, and who has to agree": _words("""
        **/CODEOWNERS OWNERS OWNERS_ALIASES .github/settings.yml
        .dependabot/ **/dependabot.yml **/dependabot.yaml
        **/renovate.json **/renovate.json5 **/.renovaterc **/.renovaterc.*
        .mergify/ .mergify.yml .github/mergify.yml .kodiak.toml .github/.kodiak.toml bors.toml
    """),
    "git or an editor would run it on the machine of whoever checks it out": _words("""
        **/.husky/ **/.huskyrc **/.huskyrc.* .git-hooks/ .githooks/ .overcommit.yml
        .lefthook/ .lefthook-local/ .config/lefthook.* **/lefthook.* **/.lefthook.* **/lefthook-local.*
        **/.lefthook-local.* **/.pre-commit-config.yaml **/.pre-commit-config.yml .pre-commit-hooks.yaml
        prek.toml .simple-git-hooks.* simple-git-hooks.*
        **/.vscode/tasks.json **/.vscode/launch.json **/.vscode/settings.json **/*.code-workspace
        **/.devcontainer/ **/.devcontainer.json .gitpod.yml .zed/tasks.json .idea/runConfigurations/
        **/.envrc .mise/ **/.mise.toml **/mise.toml **/.lfsconfig
    """),
    "it says where packages come from, and what runs when they are installed": _words("""
        **/.npmrc **/.yarnrc **/.yarnrc.yml .yarn/plugins/ .yarn/releases/ **/.pnpmfile.cjs **/.pnpmfile.mjs
        **/bunfig.toml **/.pypirc **/pip.conf **/.cargo/config **/.cargo/config.toml
    """),
    "it would instruct the next agent": _words("""
        .agent/ .agents/ **/AGENT.md **/AGENTS.md **/AGENTS.override.md **/SKILL.md **/.mcp.json
        **/.claude/ **/CLAUDE.md **/CLAUDE.local.md **/.cursor/ **/.cursorrules
        **/.windsurf/ **/.windsurfrules
        .github/agents/ .github/chatmodes/ .github/copilot-instructions.md .github/instructions/
        .github/prompts/ .github/skills/ .vscode/mcp.json .aider.conf.yml .amazonq/ **/.clinerules .codex/
        .continue/ .gemini/ **/GEMINI.md .goosehints .hermes/ .hermes.md HERMES.md .junie/ .kiro/
        .opencode/ opencode.json opencode.jsonc .openhands/ .qwen/ QWEN.md **/.roo/
    """),
}


def protected_paths(trees: Trees, rules: PublishConfig) -> Iterator[Refusal]:
    """Changes at or below a protected path by any of its names, and what is put in the place of a folder
    above one."""
    reasons = {**PROTECTED, _BY_CONFIGURATION: rules.protected}
    links = _links(trees)
    for change in trees.changes:
        if is_listed(change.path, rules.allow):
            continue
        names = _names(folded(change.path), links)
        if names is None:
            yield Refusal(change.path, "has more names by links than can be looked at")
            continue
        for name in names:
            why = next((why for why, entries in reasons.items() if covers(entries, name)), "")
            if not why and change.status != "D":
                why = next((why for why, entries in reasons.items() if is_above(entries, name)), "")
            if why:
                by_link = f" as {name}" if name != folded(change.path) else ""
                yield Refusal(change.path, f"is protected{by_link}: {why} (publish.allow lets it through)")
                break


def _names(path: str, links: Mapping[str, str]) -> set[str] | None:
    """A folded path, and what else leads there: where CLAUDE.md is a link, it is the file it points to that
    instructs. None where that becomes too many."""
    found, newest = {path}, {path}
    for _ in range(_MOST_HOPS):
        newest = {
            link + name[len(target) :] if target else f"{link}/{name}"
            for name in newest
            for link, target in links.items()
            if not target or name == target or name.startswith(f"{target}/")
        } - found
        found |= newest
        if len(found) > _MOST_NAMES:
            return None
    return found


def _links(trees: Trees) -> dict[str, str]:
    """Where the links of both trees lead within them, folded; "" is the root."""
    found: dict[str, str] = {}
    for entries in (trees.before, trees.after):
        if any(mode == LINK for mode, _ in entries.values()):
            links = {
                folded(path): target and folded(target)
                for path, target in link_targets(trees.mirror, entries).items()
            }
            resolved = ((path, resolve_link(path, links)) for path in links)
            found |= {path: target for path, target in resolved if target is not None}
    return found
