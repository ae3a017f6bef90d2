"""Which sprites there shall be, and what each is good at; `routing` says which of them an issue goes to.

A composition is a YAML file: `version`, `name`, and under `sprites` one entry for each, whose `definition` is
a persona, a Markdown file with frontmatter. Here it is read and compared; `compose` makes sprites as it says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from sprint import resources
from sprint.clean_text import safe_line
from sprint.config.small_files import data_in, text_in
from sprint.config.values import typed
from sprint.errors import ConfigError
from sprint.sprite.backend import Sprite, checked
from sprint.sprite.validation import refuse_secrets
from sprint.strict_yaml import parse

MANAGED_BY, OURS, BB = "managed_by", "sprint", "bb.dispatch"
PERSONA, VERSION, DIGEST = "persona", "config_version", "config_digest"
MODE, EPHEMERAL, RUN = "mode", "ephemeral", "run"

_MOST_FILES = 500
_FRONT = re.compile(r"---[ \t]*\r?\n(?P<head>.*?)\r?\n---[ \t]*(?:\r?\n|\Z)(?P<text>.*)", re.DOTALL)

Text = Annotated[str, Meta(min_length=1)]


class Base(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files that every sprite gets, by paths from the composition: files or folders."""

    claude_md: str = ""
    settings: str = ""
    hooks: str | tuple[str, ...] = ()
    skills: str | tuple[str, ...] = ()
    commands: str | tuple[str, ...] = ()


class Member(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One sprite. `fallback`: it takes what no other is meant for. `model`, `provider`: its agent's."""

    definition: str = ""
    preference: str = ""
    fallback: bool = False
    routing_labels: tuple[Text, ...] = ()
    philosophy: str = ""
    provider: str = ""
    model: str = ""


class Persona(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The frontmatter of a persona, with Claude Code's own names; `text` is what stands below it."""

    name: Text
    description: str = ""
    model: str = ""
    memory: str = ""
    permissionMode: str = ""  # noqa: N815 - as the file has it
    skills: str | tuple[str, ...] = ()
    tools: str | tuple[str, ...] = ()
    color: str = ""
    text: str = ""


class _File(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    version: int | float | str
    name: Text
    sprites: dict[str, Any]
    base: Base = field(default_factory=Base)
    description: str = ""
    philosophy: str = ""
    deployment: Any = None


@dataclass(frozen=True)
class Placed:
    """A file on a sprite: its path from the sprite's home."""

    path: str
    data: bytes
    mode: int = 0o600


@dataclass(frozen=True)
class Composition:
    """`members` in the file's order; `kits` is what lies on each sprite besides its work."""

    name: str
    version: str
    members: Mapping[str, Member]
    personas: Mapping[str, Persona]
    kits: Mapping[str, Sequence[Placed]]

    def labels(self, sprite: str) -> dict[str, str]:
        """What the sprite says of itself once it is as it shall be."""
        persona = self.personas.get(sprite)
        named = persona.name if persona else sprite
        return {PERSONA: named, VERSION: self.version, DIGEST: digest(self.kits[sprite])}

    def model(self, sprite: str) -> str:
        """The one that is asked for by the entry, else by the persona; "" for the agent's own."""
        persona = self.personas.get(sprite)
        asked = self.members[sprite].model or (persona.model if persona else "")
        return "" if asked == "inherit" else asked


# --- comparing


@dataclass(frozen=True)
class Difference:
    """Sprites by name: `drifted` with what is other than it shall be."""

    missing: Sequence[str]
    extra: Sequence[str]
    drifted: Mapping[str, str]

    @property
    def is_none(self) -> bool:
        return not (self.missing or self.extra or self.drifted)


def compare(composition: Composition, sprites: Sequence[Sprite]) -> Difference:
    """By names and labels. Extra are those that sprint or bb made and the composition does not name; of
    ephemeral ones, and of strangers', it says nothing."""
    there = {sprite.name: sprite for sprite in sprites}
    drifted = {}
    for name in composition.members:
        if name in there and (why := _drift(there[name].labels, composition.labels(name))):
            drifted[name] = why
    extra = [
        name
        for name, one in sorted(there.items())
        if name not in composition.members
        and one.labels.get(MANAGED_BY) in (OURS, BB)
        and one.labels.get(MODE) != EPHEMERAL
    ]
    return Difference([name for name in composition.members if name not in there], extra, drifted)


def _drift(found: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    says = {PERSONA: "persona {} instead of {}", VERSION: "version {} instead of {}"}
    other = [key for key in says if found.get(key) != wanted[key]]
    if other:
        return ", ".join(says[key].format(found.get(key, "none"), wanted[key]) for key in other)
    return "" if found.get(DIGEST) == wanted[DIGEST] else "its files are of another state of the composition"


def digest(kit: Sequence[Placed]) -> str:
    made = hashlib.sha256()
    for one in sorted(kit, key=lambda placed: placed.path):
        made.update(f"{one.path}\0{one.mode:o}\0{len(one.data)}\0".encode() + one.data)
    return made.hexdigest()[:12]


# --- reading


def examples() -> dict[str, Path]:
    """The compositions that come with sprint, by name."""
    return {path.stem: path for path in sorted(resources.folder("compositions").glob("*.yaml"))}


def load(source: Path) -> Composition:
    """The file, or the example of that name. Raises ConfigError with file and key's path."""
    path = source
    if not source.exists() and source.name == str(source) and not source.suffix:
        path = examples().get(str(source), source)
    name = str(path)
    raw = parse(text_in(path, name), name)
    try:
        file = typed({} if raw is None else raw, _File, "")
        return _read(file, path.absolute())
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from error


def _read(file: _File, path: Path) -> Composition:
    if file.deployment is not None:
        raise ConfigError("deployment: how many work at once is pick.at_once in sprint.yaml; take this out")
    if not file.sprites:
        raise ConfigError("sprites: there is none; name one with its definition")
    base = list(_base(file.base, path))
    members, personas, kits = {}, {}, {}
    for name, raw in file.sprites.items():
        at = f"sprites.{safe_line(name)}"
        try:
            checked(name)
        except ConfigError as error:
            raise ConfigError(f"sprites: {error}") from error
        member = typed({} if raw is None else raw, Member, at)
        if not member.definition:
            raise ConfigError(f"{at}: the key definition is missing: the persona's Markdown file")
        persona = read_persona(_found(member.definition, path, f"{at}.definition"))
        members[name], personas[name] = member, persona
        kits[name] = list(_kit(base, persona, member.philosophy or file.philosophy, at))
    return Composition(file.name, str(file.version), members, personas, kits)


def read_persona(path: Path) -> Persona:
    """Raises ConfigError with file and key's path."""
    found = _FRONT.fullmatch(text_in(path, str(path)))
    if found is None:
        raise ConfigError(f"{path}: it needs frontmatter: name and description between two lines of ---")
    fields = parse(found["head"], str(path))
    try:
        typed(fields, Persona, "")
        return typed({**(fields or {}), "text": found["text"].strip()}, Persona, "")
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _base(base: Base, composition: Path) -> Iterator[Placed]:
    """As Claude Code looks for them in a home; a folder's files keep their places in it."""
    if base.claude_md:
        path = _found(base.claude_md, composition, "base.claude_md")
        yield Placed(".claude/CLAUDE.md", data_in(path, str(path)))
    if base.settings:
        path = _found(base.settings, composition, "base.settings")
        try:
            is_object = isinstance(json.loads(data_in(path, str(path))), dict)
        except ValueError:
            is_object = False
        if not is_object:
            raise ConfigError(f"base.settings: {path} is no JSON object")
        yield Placed(".claude/settings.json", data_in(path, str(path)))
    several = {"hooks": base.hooks, "skills": base.skills, "commands": base.commands}
    for kind, paths in several.items():
        for number, each in enumerate((paths,) if isinstance(paths, str) else paths):
            at = f"base.{kind}" if isinstance(paths, str) else f"base.{kind}[{number}]"
            if each:
                yield from _tree(_found(each, composition, at), f".claude/{kind}", kind, at)


def _tree(path: Path, target: str, kind: str, at: str) -> Iterator[Placed]:
    mode = 0o700 if kind == "hooks" else 0o600
    if path.is_file():
        yield Placed(f"{target}/{path.name}", data_in(path, str(path)), mode)
        return
    # One skill is a folder of its own; one that holds several stands for them all.
    target = f"{target}/{path.name}" if (path / "SKILL.md").is_file() else target
    paths = sorted(one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
    if len(paths) > _MOST_FILES:
        raise ConfigError(f"{at}: {path} holds more than {_MOST_FILES} files")
    for one in paths:
        yield Placed(f"{target}/{one.relative_to(path).as_posix()}", data_in(one, str(one)), mode)


def _kit(base: Sequence[Placed], persona: Persona, philosophy: str, at: str) -> Iterator[Placed]:
    """The base files; every agent's own instructions say who it is. Nothing of it lies in a repository."""
    about = next((one.data.decode("utf-8", "replace") for one in base if one.path.endswith("CLAUDE.md")), "")
    parts = [about.strip(), persona.text, f"# Philosophy\n\n{philosophy.strip()}" if philosophy else ""]
    text = "\n\n".join(filter(None, parts)) + "\n"
    files = {one.path: one for one in base}
    for path in (".claude/CLAUDE.md", ".codex/AGENTS.md", ".config/opencode/AGENTS.md"):
        files[path] = Placed(path, text.encode())
    if persona.permissionMode:
        given = files.get(".claude/settings.json")
        settings = json.loads(given.data) if given else {}
        permissions = settings.setdefault("permissions", {})
        if isinstance(permissions, dict):
            permissions.setdefault("defaultMode", persona.permissionMode)
        files[".claude/settings.json"] = Placed(
            ".claude/settings.json", json.dumps(settings, indent=1).encode()
        )
    for one in files.values():
        try:
            refuse_secrets(one.data.decode("utf-8", "replace"), one.path)
        except ConfigError as error:
            raise ConfigError(f"{at}: {error}") from error
        yield one


def _found(named: str, composition: Path, at: str) -> Path:
    """Beside the composition, or beside its folder, as in compositions/v1.yaml and sprites/bramble.md."""
    if named.startswith(("/", "~")) or ".." in Path(named).parts:
        raise ConfigError(f"{at}: {named!r}: name a path from the composition's folder, without ..")
    for folder in (composition.parent, composition.parent.parent):
        if (folder / named).exists():
            return folder / named
    raise ConfigError(f"{at}: there is no {named} beside {composition.name}, nor beside its folder")
