"""The demo's repository: a small Python project with a bug, a wish, and tests that need nothing installed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sprint.demo.git_server import Commit

CHECK = "python3 -m unittest discover -t . -s tests"

_README = """\
# stocktake

Counts what is on the shelves and what it is worth. Prices are whole cents.

Run the tests with `python3 -m unittest discover -t . -s tests`.
"""

_AGENTS = """\
# For whoever works here

- Amounts are whole cents, never floats.
- Every change of behaviour comes with a test in `tests/`.
- The tests are `python3 -m unittest discover -t . -s tests`; they need nothing installed.
"""

_PRICES = '''\
"""Prices, in whole cents."""


def line_total(quantity: int, cents: int, discount: int = 0) -> int:
    """What a line costs; `discount` is a percentage."""
    return {expression}


def with_tax(cents: int, percent: int) -> int:
    """A price with its tax, rounded half up."""
    return cents + (cents * percent + 50) // 100
'''

_REPORT = '''\
"""What is on the shelves, for a person."""

from typing import NamedTuple

from stocktake.prices import line_total


class Line(NamedTuple):
    name: str
    quantity: int
    cents: int
    discount: int = 0


def total(lines: list[Line]) -> int:
    return sum(line_total(line.quantity, line.cents, line.discount) for line in lines)


def as_text(lines: list[Line]) -> str:
    """One row for each line, and the total."""
    rows = [f"{line.name:<20}{line.quantity:>6}{line.cents:>10}" for line in lines]
    return "\\n".join([*rows, f"{'total':<20}{total(lines):>16}"])
'''

_TEST_PRICES = """\
import unittest

from stocktake.prices import line_total, with_tax


class Prices(unittest.TestCase):
    def test_a_line_costs_quantity_times_price(self):
        self.assertEqual(line_total(3, 250), 750)

    def test_tax_is_rounded_half_up(self):
        self.assertEqual(with_tax(150, 7), 161)
"""

_TEST_REPORT = """\
import unittest

from stocktake.report import Line, as_text, total


class Report(unittest.TestCase):
    lines = [Line("flour", 3, 250), Line("salt", 1, 90)]

    def test_total_adds_all_lines(self):
        self.assertEqual(total(self.lines), 840)

    def test_text_ends_with_the_total(self):
        self.assertTrue(as_text(self.lines).endswith("840"))
"""

WRONG_LINE = "return quantity * cents - discount"
RIGHT_LINE = "return (quantity * cents * (100 - discount) + 50) // 100"


def commits() -> list[Commit]:
    """The history, oldest first: the bug came in with the second commit."""
    start = datetime.now(UTC) - timedelta(days=90)
    return [
        Commit(
            "Count lines and taxes",
            {
                "README.md": _README,
                ".gitignore": "__pycache__/\n",
                "stocktake/__init__.py": "",
                "stocktake/prices.py": _PRICES.format(expression="quantity * cents"),
                "tests/__init__.py": "",
                "tests/test_prices.py": _TEST_PRICES,
            },
            "Ada Example",
            start,
        ),
        Commit(
            "Take a discount off a line",
            {"stocktake/prices.py": _PRICES.format(expression="quantity * cents - discount")},
            "Ben Example",
            start + timedelta(days=9),
        ),
        Commit(
            "Report what is on the shelves",
            {"stocktake/report.py": _REPORT, "tests/test_report.py": _TEST_REPORT, "AGENTS.md": _AGENTS},
            "Ada Example",
            start + timedelta(days=20),
        ),
    ]
