"""Turns parsed YAML into typed records, and says what is wrong with a value by its key's path."""

from __future__ import annotations

import ipaddress
import json
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

from sprint import decoding
from sprint.errors import ConfigError
from sprint.surroundings import Surroundings

T = TypeVar("T")

_AT = re.compile(r"(?P<problem>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_SECRET_NAME = re.compile(r"token|key|secret|passw", re.IGNORECASE)
_LITERAL_SECRET = re.compile(r"(sk-|gh[opusr]_|github_pat_|gl(pat|ptt)-|[0-9a-f]{40}$|ey[A-Za-z0-9_-]{20})")
_WORDS = {"array": "a list", "object": "a mapping", "str": "str", "bool": "true or false"}
_BOOLEAN_WORDS = {"yes", "no", "on", "off", "y", "n"}


def typed(value: object, kind: type[T], at: str) -> T:
    """`value` as a `kind`. Raises ConfigError whose message begins with the wrong key's path below `at`."""
    try:
        return decoding.convert(value, kind, dec_hook=_path_hook)
    except msgspec.ValidationError as error:
        raise ConfigError(_explain(str(error), value, kind, at)) from error


def _path_hook(kind: type[Any], value: object) -> object:
    if kind is not Path:
        raise NotImplementedError(kind)
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    if not value.strip():
        raise ValueError("Expected a path, got nothing")
    return Path(value)


def _explain(message: str, value: object, kind: type[Any], at: str) -> str:
    match = _AT.fullmatch(message)
    assert match is not None
    problem, path = match["problem"], match["path"] or ""
    steps: list[str | int] = [name or int(index) for name, index in _STEP.findall(path)]
    place = f"{at}{path}".lstrip(".") or "the file"
    found, wanted = _value_at(value, steps), _type_at(kind, steps)
    if unknown := re.search(r"unknown field `(.*)`", problem):
        return _unknown_key(place if at or path else "", unknown[1], wanted)
    if missing := re.search(r"missing required field `(.*)`", problem):
        choices = _choices(_type_at(kind, [*steps, missing[1]]))
        return f"{place}: the key {missing[1]} is missing" + (f"; {choices}" if choices else "")
    last_name = next((step for step in reversed(steps) if isinstance(step, str)), at)
    shown = _shown(found, secret=_SECRET_NAME.search(last_name) is not None)
    if choices := _choices(wanted):
        return f"{place}: expected {choices}, got {shown}"
    expected = re.sub(r"`([^`]*)`", lambda names: _in_words(names[1]), problem.removeprefix("Expected "))
    return f"{place}: expected {expected.split(', got ')[0]}, got {shown}{_remedy(problem, found)}"


def _in_words(names: str) -> str:
    return " or ".join(_WORDS.get(name, name) for name in names.split(" | "))


def _remedy(problem: str, found: object) -> str:
    if "`str`" in problem.split(", got")[0] and isinstance(found, (bool, int, float)):
        return "; put it in quotes"
    if "`bool`" in problem and isinstance(found, str) and found.lower() in _BOOLEAN_WORDS:
        return "; write true or false"
    if "`array" in problem and isinstance(found, str):
        return f"; write [{_shown(found).removeprefix('str ')}]"
    return ""


def _shown(value: object, *, secret: bool = False) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    name = type(value).__name__
    if secret:
        return f"another {name}" if isinstance(value, str) else name
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool, int, float)) else ""
    return f"{name} {text if len(text) <= 60 else text[:57] + '...'}".strip()


def _unknown_key(place: str, key: str, kind: object) -> str:
    where = f"{place}: " if place else ""
    names = [field.name for field in msgspec.structs.fields(kind)] if _is_struct(kind) else []
    secret_homes = [name for name in names if name.endswith(("_file", "_env"))]
    if secret_homes and _SECRET_NAME.search(key) and not key.endswith(("_file", "_env")):
        return f"{where}unknown key {key}: no secret belongs in this file; use {' or '.join(secret_homes)}"
    import difflib

    near = difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
    return f"{where}unknown key {key}; {hint}"


def _value_at(value: Any, steps: Sequence[str | int]) -> object:
    for step in steps:
        value = value[step]
    return value


def _type_at(kind: object, steps: Sequence[str | int]) -> object:
    """The type that a path leads to; a record's own class where it is one, optional or in a list."""
    for step in steps:
        if isinstance(step, str):
            if not _is_struct(kind):
                return None
            kind = get_type_hints(kind, include_extras=True).get(step)
        kind = next(filter(_is_struct, _flat(kind)), kind)
    return kind


def _flat(kind: object) -> Iterator[object]:
    yield kind
    for inner in get_args(kind):
        yield from _flat(inner)


def _is_struct(kind: object) -> TypeGuard[type[msgspec.Struct]]:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _choices(kind: object) -> str:
    parts = get_args(kind) if isinstance(kind, UnionType) or get_origin(kind) is Union else (kind,)
    names = [str(name) for part in parts if get_origin(part) is Literal for name in get_args(part)]
    if not names:
        return ""
    return " or ".join(
        [f"one of {', '.join(names)}", *("a list" for part in parts if get_origin(part) is tuple)]
    )


# --- single values -----------------------------------------------------------------------------


def web_address(url: str, at: str) -> str:
    """An http or https address without credentials, query and last slash."""
    try:
        parts = urlsplit(url.strip())
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\x00-\x20]", parts.geturl()):
        raise ConfigError(f"{at}: expected an address such as https://host.example")
    if "@" in parts.netloc:
        raise ConfigError(
            f"{at}: it holds credentials; take them out and name their file or variable instead"
        )
    if parts.query or parts.fragment:
        raise ConfigError(f"{at}: take off everything from the {'?' if parts.query else '#'} on")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def is_loopback(host: str) -> bool:
    """True for an address or a name that leads to this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def server_url(url: str, at: str) -> str:
    """A forge's own address: without `/api/v1` and `/api/v3`."""
    return re.sub(r"/api/v[13]$", "", web_address(url, at)).rstrip("/")


def is_branch(name: str) -> bool:
    """True for a branch name that git accepts."""
    return (
        re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)", name) is None
        and not name.startswith(("/", "-", "."))
        and not name.endswith(("/", "."))
        and name not in ("", "@")
    )


def check_branch_pattern(pattern: str, at: str) -> None:
    """Raises ConfigError unless it makes a branch name of its own for each issue."""
    try:
        fields = [part[1:] for part in string.Formatter().parse(pattern) if part[1] is not None]
    except ValueError:
        fields = []
    if not fields or any(field != ("number", "", None) for field in fields):
        raise ConfigError(f"{at}: it must hold {{number}}, and no other braces")
    if not is_branch(pattern.format(number=1)):
        raise ConfigError(f"{at}: {_shown(pattern)} makes no branch name that git accepts")


def check_not_secret(name: str, at: str) -> None:
    """Raises ConfigError, without showing it, for a secret where a variable's or a file's name belongs."""
    if _LITERAL_SECRET.match(name):
        raise ConfigError(f"{at}: this looks like the secret itself; give the name of where it is kept")


def check_variable(name: str, at: str) -> None:
    check_not_secret(name, at)
    if name and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
        # It is not shown: it may be a secret after all.
        raise ConfigError(f"{at}: not the name of an environment variable; write it as in MY_TOKEN")


def is_host(name: str) -> bool:
    """True for a host's full name in lower case: no address, no port, no final dot."""
    labels = name.split(".")
    return (
        len(name) <= 253
        and len(labels) > 1
        and all(re.fullmatch(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", label) for label in labels)
        and not labels[-1].isdecimal()
    )


def check_host(pattern: str, at: str, *, may_be_suffix: bool = False) -> None:
    """Raises ConfigError unless it is a host's name or, where that may be, `.` and the name of a domain."""
    name = pattern.removeprefix(".") if may_be_suffix else pattern
    if not is_host(name):
        also = " or .example.org for all below it" if may_be_suffix else ""
        raise ConfigError(
            f"{at}: {_shown(pattern)}: expected a host in lower case such as git.example.org{also}"
        )


def check_line(text: str, at: str, forbidden: str = "") -> None:
    """Raises ConfigError for an empty text, control characters and those in `forbidden`."""
    if not text.strip() or not text.isprintable() or any(character in text for character in forbidden):
        extra = f" without any of {forbidden!r}" if forbidden else ""
        raise ConfigError(f"{at}: expected one line of text{extra}")


def absolute(path: str | Path, around: Surroundings, at: str) -> Path:
    """`path` with `~` for the home directory, relative to the working directory."""
    text = str(path).strip()
    if "\0" in text:
        raise ConfigError(f"{at}: a path cannot hold a NUL character")
    if text == "~" or text.startswith("~/"):
        return around.home / text[2:]
    if text.startswith("~"):
        raise ConfigError(f"{at}: {_shown(text)}: write another user's home directory out in full")
    return Path(around.cwd, text)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, mapping by mapping."""
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        if isinstance(under, Mapping) and isinstance(value, Mapping):
            result[key] = merged(under, value)
        else:
            result[key] = value
    return result
