"""YAML as people mean it: 1.2's plain words and numbers, no key twice, and errors that name the line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sprint.errors import ConfigError

if TYPE_CHECKING:
    from yaml.nodes import Node

# YAML 1.1 reads `no` as false, `12:30` as 750, `010` as 8 and `2024-01-31` as a date; here they are text.
_PLAIN = {
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "tag:yaml.org,2002:int": (r"[-+]?(?:0|[1-9][0-9]{0,17})", list("-+0123456789")),
    "tag:yaml.org,2002:float": (r"[-+]?(?:[0-9]{0,17}\.[0-9]{1,17})", list("-+.0123456789")),
    "tag:yaml.org,2002:merge": (r"<<", ["<"]),
}


def parse(text: str, name: str, *, strict: bool = True) -> Any:
    """The document in `text`; None where it is empty. `name` says in errors where the text is from.

    `strict` refuses keys that are not text and keys that come twice. Raises ConfigError.
    """
    import yaml

    fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(fast):  # type: ignore[misc]
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own interface

    for tag, (pattern, first) in _PLAIN.items():
        Loader.add_implicit_resolver(tag, re.compile(rf"(?:{pattern})\Z"), first)
    try:
        loader = Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if strict:
                _refuse_bad_keys(node, name, set())
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}" if mark else ""
        problem = " ".join((error.problem or error.context or "it cannot be read").split())
        raise ConfigError(f"{name}{where}: not valid YAML: {problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid YAML: {' '.join(str(error).split())}") from error


def _refuse_bad_keys(node: Node, name: str, visited: set[int]) -> None:
    """Raises ConfigError for a key that is no text or that its mapping has already."""
    if id(node) in visited or not isinstance(node.value, list):
        return
    visited.add(id(node))
    keys: dict[str, int] = {}
    for item in node.value:
        if not isinstance(item, tuple):
            _refuse_bad_keys(item, name, visited)
            continue
        key, value = item
        line = key.start_mark.line + 1
        if key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
            shown = key.value if isinstance(key.value, str) else "a list or mapping"
            raise ConfigError(f"{name}:{line}: the key {shown} is not text; put it in quotes")
        if key.value in keys:
            first = keys[key.value]
            raise ConfigError(f"{name}:{line}: the key {key.value} is on line {first} already; keep one")
        keys[key.value] = line
        _refuse_bad_keys(value, name, visited)
