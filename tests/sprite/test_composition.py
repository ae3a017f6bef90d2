"""Compositions: what a file says, what a mistake in it says, and where issues go."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from sprint import resources
from sprint.errors import ConfigError
from sprint.sprite.backend import Sprite, SpriteState
from sprint.sprite.composition import Member, compare, examples, load
from sprint.sprite.routing import ranked, route

Write = Callable[..., Path]

PERSONA = "---\nname: bramble\ndescription: Systems and data\n---\n\nYou care for data.\n"
SEED = """
version: 1
name: "Fae Court v1"

sprites:
  bramble:
    definition: sprites/bramble.md
    preference: "Systems & Data"
    fallback: true

  willow:
    definition: sprites/willow.md
    preference: "Interface & Experience"
"""
BB = """
version: "2"
name: bb
philosophy: Small steps.
base: {claude_md: base/CLAUDE.md, settings: base/settings.json, hooks: base/hooks, skills: [skills/one]}
sprites:
  bramble:
    definition: sprites/bramble.md
    routing_labels: [backend]
    provider: openrouter
    model: z-ai/glm-4.7
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """The files of a composition in compositions/v1.yaml, as the seed has them."""

    def make(text: str, **more: str) -> Path:
        files = {
            "compositions/v1.yaml": dedent(text),
            "sprites/bramble.md": PERSONA,
            "sprites/willow.md": PERSONA.replace("bramble", "willow"),
            "base/CLAUDE.md": "Work alone.\n",
            "base/settings.json": '{"env": {"A": "b"}}',
            "base/hooks/guard.sh": "exit 0\n",
            "skills/one/SKILL.md": "---\nname: one\ndescription: one\n---\n",
            **more,
        }
        for name, data in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(data)
        return tmp_path / "compositions/v1.yaml"

    return make


def test_the_seeds_file_is_read_as_it_stands(write: Write) -> None:
    found = load(write(SEED))
    assert (found.name, found.version, list(found.members)) == ("Fae Court v1", "1", ["bramble", "willow"])
    assert found.members["bramble"].fallback
    assert found.personas["willow"].text == "You care for data."
    labels = found.labels("bramble")
    assert (labels["persona"], labels["config_version"]) == ("bramble", "1")


def test_bbs_file_is_read_where_its_keys_stand(write: Write) -> None:
    found = load(write(BB))
    kit = {one.path: one for one in found.kits["bramble"]}
    assert kit[".claude/CLAUDE.md"].data.decode().split("\n\n") == [
        *("Work alone.", "You care for data.", "# Philosophy", "Small steps.\n")
    ]
    assert kit[".codex/AGENTS.md"].data == kit[".claude/CLAUDE.md"].data
    assert kit[".claude/hooks/guard.sh"].mode == 0o700
    assert {".claude/settings.json", ".claude/skills/one/SKILL.md"} <= kit.keys()
    assert found.model("bramble") == "z-ai/glm-4.7"
    before = found.labels("bramble")["config_digest"]
    after = load(write(BB, **{"base/CLAUDE.md": "Work in pairs.\n"})).labels("bramble")["config_digest"]
    assert before != after


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version: 1\nname: x\nsprites: {}", "sprites: there is none"),
        ("version: 1\nname: x\nsprite: {}", "unknown key sprite; did you mean sprites?"),
        ("name: x\nsprites: {a: {definition: sprites/bramble.md}}", "the key version is missing"),
        ("version: 1\nname: x\nsprites: {A_b: {definition: x}}", "'A_b' is no name for a sprite"),
        ("version: 1\nname: x\nsprites: {a: {}}", "sprites.a: the key definition is missing"),
        (
            "version: 1\nname: x\nsprites: {a: {definition: sprites/bramble.md, fallback: yes}}",
            'sprites.a.fallback: expected true or false, got str "yes"; write true or false',
        ),
        (
            "version: 1\nname: x\nsprites: {a: {definition: sprites/no.md}}",
            "sprites.a.definition: there is no",
        ),
        ("version: 1\nname: x\nsprites: {a: {definition: ../../etc/passwd}}", "without .."),
        ("version: 1\nname: x\nsprites: {a: {definition: base/CLAUDE.md}}", "it needs frontmatter"),
        ("version: 1\nname: x\ndeployment: {max_concurrent: 3}\nsprites: {}", "deployment: how many"),
        ("version: 1\nname: x\nname: y", "v1.yaml:3: the key name is on line 2 already"),
        ("", "the key version is missing"),
        ("[", "v1.yaml:"),
    ],
)
def test_a_mistake_is_told_by_its_key(write: Write, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as told:
        load(write(text))
    assert says in str(told.value)
    assert "v1.yaml" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("name: a\nmodle: x", "bramble.md: unknown key modle; did you mean model?"),
        ("description: a", "bramble.md: the file: the key name is missing"),
        ("name: [a]", "bramble.md: name: expected str, got a list"),
    ],
)
def test_a_personas_mistake_is_told_by_its_key(write: Write, head: str, says: str) -> None:
    with pytest.raises(ConfigError) as told:
        load(write(SEED, **{"sprites/bramble.md": f"---\n{head}\n---\n"}))
    assert says in str(told.value)


def test_a_secret_is_put_on_no_sprite(write: Write) -> None:
    settings = '{"env": {"ANTHROPIC_API_KEY": "sk-ant-api03-abcdefgh"}}'
    with pytest.raises(ConfigError, match="looks like a secret") as told:
        load(write(BB, **{"base/settings.json": settings}))
    assert "api03-abc" not in str(told.value)


def test_what_is_missing_extra_and_drifted(write: Write) -> None:
    found = load(write(SEED))

    def sprite(name: str, **labels: str) -> Sprite:
        return Sprite(name, SpriteState.UP, labels)

    good = sprite("bramble", managed_by="bb.dispatch", **found.labels("bramble"))
    assert compare(found, [good]).missing == ["willow"]
    old = {**found.labels("willow"), "config_version": "0"}
    others = [sprite("mine"), sprite("x", managed_by="sprint"), sprite("y", managed_by="bb.dispatch")]
    others += [sprite("z", managed_by="sprint", mode="ephemeral")]
    difference = compare(found, [good, sprite("willow", managed_by="sprint", **old), *others])
    assert (difference.missing, difference.extra) == ([], ["x", "y"])
    assert difference.drifted == {"willow": "version 0 instead of 1"}
    files = {**found.labels("willow"), "config_digest": "other"}
    assert "files" in compare(found, [good, sprite("willow", **files)]).drifted["willow"]
    assert compare(found, [good, sprite("willow", **found.labels("willow"))]).is_none


COURT = {
    "bramble": Member(preference="Systems & Data", fallback=True),
    "willow": Member(preference="Interface & Experience", routing_labels=("frontend", "UI")),
    "thorn": Member(preference="Quality", routing_labels=("frontend", "security")),
}


@pytest.mark.parametrize(
    ("labels", "free", "sprite", "reason"),
    [
        (["ui"], {"bramble", "willow"}, "willow", "routing label UI"),
        (["frontend"], {"willow", "thorn"}, "willow", "routing label frontend"),
        (["frontend", "security"], {"willow", "thorn"}, "thorn", "routing label frontend, security"),
        (["frontend"], {"bramble", "thorn"}, "thorn", "routing label frontend"),
        (["area/data"], {"bramble", "willow"}, "bramble", "preference 'Systems & Data': data"),
        (["ui"], {"bramble"}, "bramble", "fallback: willow is busy"),
        (["frontend"], {"bramble"}, "bramble", "fallback: willow, thorn are busy"),
        (["docs"], {"bramble", "willow"}, "bramble", "fallback: no label names one"),
        (["docs"], {"willow"}, "", "no label names one, and no fallback is free"),
        ([], set(), "", "no label names one, and no fallback is free"),
    ],
)
def test_where_an_issue_goes(labels: list[str], free: set[str], sprite: str, reason: str) -> None:
    found = route(labels, COURT, free)
    assert (found.sprite, found.reason) == (sprite, reason)


def test_where_it_would_go_next() -> None:
    assert [one.sprite for one in ranked(["frontend"], COURT)] == ["willow", "thorn", "bramble"]
    assert [one.sprite for one in ranked(["docs"], COURT)] == ["bramble"]


def test_without_a_fallback_whoever_is_free_takes_it() -> None:
    members = {name: member for name, member in COURT.items() if not member.fallback}
    assert route(["docs"], members, {"thorn"}).sprite == "thorn"
    assert route(["ui"], members, {"thorn"}).sprite == "thorn"
    assert route(["ui"], members, set()).sprite == ""


@pytest.mark.parametrize("name", ["fae-court", "one-sprite"])
def test_an_example_is_sound(name: str) -> None:
    found = load(Path(name))
    assert sum(member.fallback for member in found.members.values()) == 1
    assert examples()[name].parent == resources.folder("compositions")


@pytest.mark.parametrize(
    ("command", "is_refused"),
    [
        ("git push origin main", True),
        ("git push --force origin x", True),
        ("git push --force-with-lease origin x", False),
        ("cd x && git reset --hard HEAD~1", True),
        ("git rebase main", True),
        ("gh pr merge 4", True),
        ("git commit --no-verify -m x", True),
        ("git commit -m 'the main thing'; git push origin feat/x", False),
        ("ls main", False),
    ],
)
def test_the_examples_guard(command: str, is_refused: bool) -> None:
    guard = resources.folder("compositions") / "base/hooks/guard.py"
    given = f'{{"tool_input": {{"command": "{command}"}}}}'
    told = subprocess.run([sys.executable, guard], input=given, capture_output=True, text=True, timeout=60)
    assert (told.returncode == 2) is is_refused
