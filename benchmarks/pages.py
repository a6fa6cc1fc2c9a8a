"""Figures of the benchmarks, in the pages of the documentation."""

from __future__ import annotations

import re
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

Rows = list[tuple[str, ...]]


def rewritten(page: str, source: str, figures: str) -> str:
    """A page with these figures between its marks: `source` is the file they are from, relative to the project."""
    first, last = f"<!-- figures of {source} -->", "<!-- end of the figures -->"
    new = f"{first}\n{figures}\n{last}"
    return re.sub(f"{re.escape(first)}.*?{re.escape(last)}", lambda _: new, page, flags=re.DOTALL)


def rounded(figures: Any) -> Any:
    """All figures to four digits."""
    if isinstance(figures, dict):
        return {name: rounded(figure) for name, figure in figures.items()}
    if isinstance(figures, list):
        return [rounded(figure) for figure in figures]
    return float(f"{figures:.4g}") if isinstance(figures, float) else figures


def printed(console: Console, tables: list[tuple[tuple[str, ...], Rows]]) -> None:
    """Prints tables, each a header and its rows."""
    for header, rows in tables:
        table = Table(*header, box=box.SIMPLE)
        for cells in rows:
            table.add_row(*cells)
        console.print(table)
