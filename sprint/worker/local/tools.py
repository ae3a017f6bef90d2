"""The tools a model may call: one definition each gives the schema it sees and checks what it sends."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from sprint import decoding
from sprint.model.reply import joined

WorkspacePath = Annotated[str, Meta(min_length=1)]


class RunCommand(Struct, frozen=True, forbid_unknown_fields=True):
    """Run a bash command line in the repository's root. Each call is a new shell without terminal or stdin;
    what it leaves in the background is killed. Keep the output short."""

    command: Annotated[str, Meta(min_length=1)]
    timeout: Annotated[float, Meta(gt=0, description="Seconds.")] | UnsetType = UNSET


class ReadFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Read a text file. Each line is shown behind its number and a tab, which are not in the file."""

    path: WorkspacePath
    offset: Annotated[int, Meta(ge=1, description="First line, from 1.")] = 1
    limit: Annotated[int, Meta(ge=1, description="How many lines.")] = 1000


class Search(Struct, frozen=True, forbid_unknown_fields=True):
    """Find lines by a regular expression, as path:line:text. Better than reading whole files."""

    pattern: Annotated[str, Meta(min_length=1)]
    path: Annotated[str, Meta(min_length=1, description="File or folder.")] = "."
    files: Annotated[str, Meta(description="Only names like this: *.py")] = ""


class WriteFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Write a whole file, new or in place of the old one. To change a part of one, use edit_file."""

    path: WorkspacePath
    content: str


class EditFile(Struct, frozen=True, forbid_unknown_fields=True):
    """Replace one passage of a file. `old` must be in it exactly once: copy it, with lines around it until it
    is the only one."""

    path: WorkspacePath
    old: Annotated[str, Meta(min_length=1)]
    new: Annotated[str, Meta(description="What stands there instead; empty removes it.")]


class ForgeApi(Struct, frozen=True, forbid_unknown_fields=True):
    """GET from the forge's REST API, this repository only."""

    path: Annotated[str, Meta(description="issues/3/comments, pulls/4/files, branches")]
    params: dict[str, str | int | bool] | UnsetType = UNSET


class ReadSkill(Struct, frozen=True, forbid_unknown_fields=True):
    """Read one of these guides before you do what it is about:"""

    name: str


class Finish(Struct, frozen=True, forbid_unknown_fields=True):
    """End the work. Nothing after it is read."""

    status: Literal["implemented", "already_fixed", "question"]
    summary: Annotated[str, Meta(description="For the reviewer, in a few plain sentences.")]
    commit: Annotated[str, Meta(description="already_fixed: the full id of the commit that did it.")] = ""
    question: Annotated[str, Meta(description="question: one thing, answerable in a sentence.")] = ""


Call = RunCommand | ReadFile | Search | WriteFile | EditFile | ForgeApi | ReadSkill | Finish

TOOLS: dict[str, type[Call]] = {
    "run_command": RunCommand,
    "read_file": ReadFile,
    "search": Search,
    "write_file": WriteFile,
    "edit_file": EditFile,
    "forge_api": ForgeApi,
    "read_skill": ReadSkill,
    "finish": Finish,
}


class BadCall(Exception):
    """A call that cannot be run: its message tells the model how to do it right. `kind` names the mistake."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def definitions(skills: Mapping[str, str]) -> list[dict[str, Any]]:
    """The tools in the shape of the API; `skills` are names and what each is about."""
    made = []
    for name, tool in TOOLS.items():
        description = " ".join((tool.__doc__ or "").split())
        if tool is ReadSkill:
            if not skills:
                continue
            description += "".join(f"\n- {skill}: {about}" for skill, about in skills.items())
        function = {"name": name, "description": description, "parameters": _parameters(tool)}
        made.append({"type": "function", "function": function})
    return made


def _parameters(tool: type[Call]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([tool])
    schema = dict(components[tool.__name__])
    return {key: value for key, value in schema.items() if key not in ("title", "description")}


def tool_named(name: str) -> str:
    """The tool that a name means, without what models wrap around it; the name itself where there is none."""
    bare = name.split("<|")[0].strip().strip("\"'`")
    bare = re.sub(r"^(functions?|tools?|default_api)[.:/]", "", bare)
    bare = re.sub(r":\d+$", "", bare)
    return bare if bare in TOOLS else name


def parse(name: str, arguments: str) -> Call:
    """A call as the model wrote it, checked. Raises BadCall, with the right way to do it."""
    tool = TOOLS.get(name)
    if tool is None:
        raise BadCall("unknown tool", f"There is no tool {name[:80]!r}. The tools are: {', '.join(TOOLS)}.")
    try:
        return decoding.convert(decoded(name, arguments), tool, strict=False)
    except msgspec.ValidationError as error:
        raise BadCall("wrong arguments", f"{error}. {usage(name)}") from error


def decoded(name: str, arguments: str) -> dict[str, Any]:
    """The arguments as an object; raw line breaks in strings, a fence and a second encoding are let pass."""
    text = re.sub(r"\A```(?:json)?\s*|\s*```\Z", "", arguments.strip()) or "{}"
    try:
        value = json.loads(text, strict=False)
        if isinstance(value, str):
            value = json.loads(value, strict=False)
    except (ValueError, RecursionError) as error:
        raise BadCall(
            "arguments are no JSON", f"The arguments are not valid JSON: {error}. {usage(name)}"
        ) from error
    if "\\ud" in text.lower():  # half a character, which no request and no file can hold
        value = json.loads(joined(json.dumps(value, ensure_ascii=False)))
    if not isinstance(value, dict):
        raise BadCall("arguments are no object", f"The arguments must be a JSON object. {usage(name)}")
    return value


def usage(name: str) -> str:
    """How a tool is called, in one line."""
    schema = _parameters(TOOLS[name])
    required = schema.get("required", [])
    fields = [
        f'"{field}": {_type(about)}{"" if field in required else " (optional)"}'
        for field, about in schema["properties"].items()
    ]
    return f"{name} takes {{{', '.join(fields)}}}."


def _type(about: Mapping[str, Any]) -> str:
    if "enum" in about:
        return "|".join(json.dumps(value) for value in about["enum"])
    return str(about.get("type", "value"))
