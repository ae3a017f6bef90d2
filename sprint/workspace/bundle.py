"""Weighing a bundle before any git unpacks it."""

from __future__ import annotations

import re
import zlib

_HEADER = re.compile(
    rb"# v2 git bundle\n-(?P<base>[0-9a-f]{40}) base\n(?P<work>[0-9a-f]{40}) refs/heads/work\n\n"
    rb"(?P<pack>PACK\x00\x00\x00\x02)(?P<count>.{4})",
    re.DOTALL,
)
_COMMIT, _TREE, _BLOB = 1, 2, 3
_MAX_OBJECTS = 200_000
_TRAILER = 20
_CHUNK = 65536


class BundleError(Exception):
    """A bundle that our own export would not have made, or one that is too big."""


def open_bundle(bundle: bytes, base: str, most: int) -> tuple[str, bytes]:
    """The id of the commit in a bundle that stands on `base` alone, and its pack.

    The pack has that one commit, no deltas, and at most `most` bytes in it when it is unpacked.

    Every entry is unpacked to nowhere, piece by piece: two kilobytes that would become two gigabytes, or that
    say they are smaller than they are, end here. Raises BundleError.
    """
    header = _HEADER.match(bundle)
    if header is None or header["base"].decode() != base:
        raise BundleError("it is no bundle on the base commit")
    count = int.from_bytes(header["count"], "big")
    if count > _MAX_OBJECTS:
        raise BundleError(f"it has {count} objects")
    view, at, total, commits = memoryview(bundle), header.end(), 0, 0
    for _ in range(count):
        kind, size, at = _entry(view, at)
        if kind not in (_COMMIT, _TREE, _BLOB):
            raise BundleError("it has entries that are no plain objects")
        commits += kind == _COMMIT
        total += size
        if total > most:
            raise BundleError(f"it unpacks to more than {most} bytes")
        at = _skip(view, at, size)
    if commits != 1 or at + _TRAILER != len(view):
        raise BundleError("it holds more than one state of the work tree")
    return header["work"].decode(), bundle[header.start("pack") :]


def _entry(view: memoryview, at: int) -> tuple[int, int, int]:
    """Kind and size of the entry at an offset, and where its data begins."""
    try:
        byte = view[at]
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            at += 1
            byte = view[at]
            size |= (byte & 0x7F) << shift
            shift += 7
            if shift > 60:
                raise BundleError("it has an entry of absurd size")
    except IndexError:
        raise BundleError("it is cut short") from None
    return kind, size, at + 1


def _skip(view: memoryview, at: int, size: int) -> int:
    """Where the compressed data at an offset ends; it must be exactly `size` bytes."""
    unpack, made = zlib.decompressobj(), 0
    while not unpack.eof:
        piece = view[at : at + _CHUNK]
        if not piece:
            raise BundleError("it is cut short")
        try:
            made += len(unpack.decompress(piece, _CHUNK))
        except zlib.error:
            raise BundleError("it is damaged") from None
        # At the end, what is left over may be in both.
        at += len(piece) - len(unpack.unused_data if unpack.eof else unpack.unconsumed_tail)
        if made > size:
            break
    if made != size:
        raise BundleError("it has an entry that is not as big as it says")
    return at
