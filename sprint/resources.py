"""The files that come with the program: prompts/ and skills/, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from sprint.errors import SprintError

_PACKAGE = Path(__file__).resolve().parent
# The skills that help with an issue at hand; the one on running sprint itself is for its operators.
OFFERED_SKILLS = ("systematic-debugging", "test-driven-development", "gitea-workflow-automation")


class Skill(Struct, frozen=True):
    """One SKILL.md: its frontmatter's name and description, and the text below it."""

    name: str
    description: str
    text: str
    frontmatter: dict[str, Any]


def folder(name: str) -> Path:
    """Where `prompts` or `skills` is. Raises SprintError where the installation is broken."""
    for place in (_PACKAGE / "_assets" / name, _PACKAGE.parent / name):
        if place.is_dir():
            return place
    raise SprintError(f"{name}/ is missing from the installation at {_PACKAGE}; install sprint again")


def skills() -> dict[str, Skill]:
    """Every skill by name, sorted. Raises SprintError for one that cannot be read."""
    return {path.parent.name: read_skill_file(path) for path in sorted(folder("skills").glob("*/SKILL.md"))}


def offered_skills(forge_kind: str = "") -> dict[str, Skill]:
    """The skills that a model working on an issue may read; with a kind of forge, those that fit it."""
    found = {name: read_skill_file(folder("skills") / name / "SKILL.md") for name in OFFERED_SKILLS}
    return {name: skill for name, skill in found.items() if not forge_kind or _fits(skill, forge_kind)}


def _fits(skill: Skill, forge_kind: str) -> bool:
    """Whether it is about this kind of forge, or about none: `metadata: {sprint: {forges: [...]}}`."""
    about = skill.frontmatter.get("metadata", {}).get("sprint", {})
    return forge_kind in about.get("forges", [forge_kind])


def read_skill_file(path: Path) -> Skill:
    """Raises SprintError where there is no frontmatter with a name and a description."""
    from sprint.strict_yaml import parse

    try:
        head, mark, text = path.read_text("utf-8").removeprefix("---\n").partition("\n---\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SprintError(f"{path}: cannot be read: {error}; install sprint again") from error
    fields = parse(head, str(path)) if mark else None
    if not isinstance(fields, dict) or not all(
        isinstance(fields.get(key), str) for key in ("name", "description")
    ):
        raise SprintError(f"{path}: it needs frontmatter with a name and a description")
    return Skill(fields["name"], fields["description"], text.strip(), fields)
