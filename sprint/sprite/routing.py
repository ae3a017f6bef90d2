"""Which sprite of a composition an issue goes to: pure, so that the reason can be told and tested."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sprint.sprite.composition import Member


@dataclass(frozen=True)
class Route:
    """`sprite` "": none is free for this issue now. `reason` is for the record."""

    sprite: str
    reason: str


def route(labels: Sequence[str], members: Mapping[str, Member], free: Collection[str]) -> Route:
    """The sprite that an issue with these labels goes to, of those that are `free`.

    Most routing labels first, then most words of the preference that are words of labels, then the order of
    the file. What nobody is meant for, or whose sprites are busy, goes to a free fallback; where the
    composition has no fallback, to any that is free.
    """
    named = {label.casefold() for label in labels}
    words = {word for label in named for word in _words(label)}
    ranked = {name: _fit(member, named, words) for name, member in members.items()}
    best = sorted(ranked, key=lambda name: ranked[name], reverse=True)  # the file's order where alike
    meant = [name for name in best if ranked[name] > (0, 0)]
    for name in meant:
        if name in free:
            return Route(name, _why(members[name], named, words))
    busy = f"{', '.join(meant)} {'is' if len(meant) == 1 else 'are'} busy" if meant else "no label names one"
    fallbacks = [name for name, member in members.items() if member.fallback]
    for name in fallbacks or members:
        if name in free:
            return Route(name, f"{'fallback' if fallbacks else 'free'}: {busy}")
    return Route("", busy if meant and not fallbacks else f"{busy}, and no fallback is free")


def ranked(labels: Sequence[str], members: Mapping[str, Member]) -> list[Route]:
    """Where the issue would go, were those before in the list busy."""
    found: list[Route] = []
    free = set(members)
    while (next_one := route(labels, members, free)).sprite:
        found.append(next_one)
        free.remove(next_one.sprite)
    return found


def _fit(member: Member, labels: set[str], words: set[str]) -> tuple[int, int]:
    routed = {label.casefold() for label in member.routing_labels}
    return len(routed & labels), len(set(_words(member.preference)) & words)


def _why(member: Member, labels: set[str], words: set[str]) -> str:
    if routed := sorted(label for label in member.routing_labels if label.casefold() in labels):
        return f"routing label {', '.join(routed)}"
    liked = sorted(set(_words(member.preference)) & words)
    return f"preference {member.preference!r}: {', '.join(liked)}"


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.casefold()) if len(word) > 2 and word != "and"]
