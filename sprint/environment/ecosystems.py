"""The ecosystems, one row each: what their projects look like, and what is proposed for them."""

from __future__ import annotations

import re

from sprint.environment.node import node
from sprint.environment.proposal import COMPILE_GO, COMPILE_RUST, Check, Ecosystem, Part, Proposal, Tools
from sprint.environment.python import python
from sprint.environment.snapshot import Snapshot


def propose(project: Snapshot, tools: Tools) -> Proposal:
    """Set-up, build and checks of a project, by its files and what the sandbox has; empty where it has none.

    The same tests are not run twice: a script (`make test`, `npm test`, tox) that names the tool of a check
    that was found already is left out, because the tool's own output tells which tests failed.
    """
    found: list[Check] = []
    setup: dict[str, None] = {}
    build: dict[str, None] = {}
    for ecosystem in ECOSYSTEMS.values():
        part = ecosystem(project, tools)
        for check in part.checks:
            if not any(re.search(rf"\b{re.escape(other.tool)}\b", check.script) for other in found):
                found.append(check)
        setup.update(dict.fromkeys(part.setup))
        build.update(dict.fromkeys(part.build))
    return Proposal(tuple(setup), tuple(build), tuple(dict.fromkeys(check.command for check in found)))


def _go(project: Snapshot, _: Tools) -> Part:
    if not project.has("go.mod"):
        return Part()
    is_fetched = re.search(r"^require\b", project.text("go.mod"), re.MULTILINE) is not None
    is_vendored = project.has("vendor/modules.txt")
    fetch = ("go mod download",) if is_fetched and not is_vendored else ()
    return Part((*fetch, COMPILE_GO), checks=(Check("go test ./...", "go test"),))


def _rust(project: Snapshot, _: Tools) -> Part:
    manifest = project.text("Cargo.toml")
    if not project.has("Cargo.toml"):
        return Part()
    is_workspace = re.search(r"^\[workspace", manifest, re.MULTILINE) is not None
    is_fetched = (
        is_workspace or re.search(r"^\[[^\]\n]{0,200}dependencies", manifest, re.MULTILINE) is not None
    )
    locked = " --locked" if project.has("Cargo.lock") else ""
    test = "cargo test --workspace" if is_workspace else "cargo test"
    setup = (f"cargo fetch{locked}", COMPILE_RUST) if is_fetched else ()
    return Part(setup, checks=(Check(test, "cargo"),))


def _deno(project: Snapshot, _: Tools) -> Part:
    for name in ("deno.json", "deno.jsonc"):
        if project.has(name):
            has_task = re.search(r'"tasks"\s*+:\s*+\{[^{}]*"test"\s*+:', project.text(name)) is not None
            return Part(checks=(Check("deno task test" if has_task else "deno test", "deno"),))
    return Part()


def _ruby(project: Snapshot, _: Tools) -> Part:
    prefix = "bundle exec " if project.has("Gemfile") else ""
    checks = []
    if project.below("spec") and ("rspec" in project.text("Gemfile") or project.has(".rspec")):
        checks.append(Check(f"{prefix}rspec", "rspec"))
    rakefile = project.text("Rakefile")
    if re.search(r"TestTask|task:?\s*+[\(:]?\s*+:?test\b", rakefile):
        checks.append(Check(f"{prefix}rake test", "rake", rakefile))
    return Part(checks=tuple(checks))


def _php(project: Snapshot, _: Tools) -> Part:
    scripts = project.json("composer.json").get("scripts")
    if isinstance(scripts, dict) and scripts.get("test"):
        return Part(checks=(Check("composer test", "phpunit"),))
    if project.has("phpunit.xml", "phpunit.xml.dist"):
        return Part(checks=(Check("vendor/bin/phpunit", "phpunit"),))
    return Part()


def _jvm(project: Snapshot, _: Tools) -> Part:
    if project.has("pom.xml"):
        return Part(checks=(Check(f"{'./mvnw' if project.has('mvnw') else 'mvn'} -B test", "mvn"),))
    if project.has("build.gradle", "build.gradle.kts"):
        return Part(checks=(Check(f"{'./gradlew' if project.has('gradlew') else 'gradle'} test", "gradle"),))
    return Part()


def _dotnet(project: Snapshot, _: Tools) -> Part:
    if any(name.endswith((".sln", ".slnx", ".csproj", ".fsproj")) for name in project.names()):
        return Part(checks=(Check("dotnet test", "dotnet"),))
    return Part()


def _by_file(file: str, command: str, tool: str) -> Ecosystem:
    def ecosystem(project: Snapshot, _: Tools) -> Part:
        return Part(checks=(Check(command, tool),)) if project.has(file) else Part()

    return ecosystem


def _make(project: Snapshot, _: Tools) -> Part:
    # In the order in which make itself looks for them.
    name = next((name for name in ("GNUmakefile", "makefile", "Makefile") if project.has(name)), "")
    text = project.text(name)
    targets = _targets(text)
    for target in ("test", "check"):
        if target in targets:
            return Part(checks=(Check(f"make {target}", "make", text),))
    return Part()


def _targets(makefile: str) -> set[str]:
    """Rule heads by hand: a pattern over lines that somebody else made long takes quadratic time."""
    found: set[str] = set()
    for line in makefile.splitlines():
        head, colon, rest = line.partition(":")
        if colon and not rest.startswith("=") and "=" not in head and not line.startswith("\t"):
            found.update(head.partition("#")[0].split())
    return found


def _just(project: Snapshot, _: Tools) -> Part:
    text = project.text("justfile")
    if re.search(r"^test\b[^\n]*:(?!=)", text, re.MULTILINE):
        return Part(checks=(Check("just test", "just", text),))
    return Part()


def _tox(project: Snapshot, _: Tools) -> Part:
    for file, command in (("tox.ini", "python3 -m tox"), ("noxfile.py", "python3 -m nox")):
        if project.has(file):
            return Part(checks=(Check(command, "tox", project.text(file)),))
    return Part()


# Tools before the scripts that may call them.
ECOSYSTEMS: dict[str, Ecosystem] = {
    "python": python,
    "go": _go,
    "rust": _rust,
    "elixir": _by_file("mix.exs", "mix test", "mix test"),
    "swift": _by_file("Package.swift", "swift test", "swift"),
    "dotnet": _dotnet,
    "jvm": _jvm,
    "ruby": _ruby,
    "php": _php,
    "deno": _deno,
    "node": node,
    "just": _just,
    "make": _make,
    "tox": _tox,
}
