"""What the person who started this can mend."""

from __future__ import annotations


class Fault(Exception):
    """One line for that person."""
