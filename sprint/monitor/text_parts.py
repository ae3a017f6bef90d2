"""What the text report is made of."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text


def head(text: str, more: str = "") -> Text:
    return Text.assemble((text, "bold"), more)


def grid(*styles: str) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=1)
    for style in styles:
        grid.add_column(style=style, overflow="fold")
    return grid
