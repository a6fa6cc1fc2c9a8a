"""Figures of the benchmarks: kept as JSON, printed, and in the pages of the documentation."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from inversynth.errors import InversynthError
from inversynth.system.files import read_json, write_json

Rows = list[tuple[str, ...]]
Tables = list[tuple[tuple[str, ...], Rows]]
"""Each a header and its rows."""
Found = dict[str, Any]
ROOT = Path(__file__).parents[1]


def add_options(parser: argparse.ArgumentParser, out: Path, quick: str = "the docs stay as they are") -> None:
    """What every benchmark that has a page can be asked for: `settled` and `shown` heed it."""
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument(
        "--show", action="store_true", help="measure nothing; rewrite the docs by the figures there are"
    )
    parser.add_argument("--out", type=Path, default=out, metavar="FILE.json", help="where to write the figures")


def settled(args: argparse.Namespace, measure: Callable[[], Found]) -> Found:
    """The figures that are there, or those measured now, to four digits and kept."""
    if args.show:
        found: Found = read_json(args.out, "the figures of this benchmark")
    else:
        found = rounded(measure())
        write_json(args.out, found)
    return found


def concluded(
    name: str, args: argparse.Namespace, measure: Callable[[], Found], publish: Callable[[Found], None]
) -> int:
    """Measures and publishes what can be stopped and gone on with; returns the exit code, after a line on an error."""
    try:
        found = settled(args, measure)
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    except InversynthError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return error.exit_code
    publish(found)
    return 0


def shown(console: Console, tables: Tables, page: Path, source: Path, figures: str, quick: bool = False) -> None:
    """Prints the tables; unless it was quick, writes the figures into the page, between the marks of their source."""
    if not quick:
        text = page.read_text(encoding="utf-8")
        page.write_text(rewritten(text, str(source.relative_to(ROOT)), figures), encoding="utf-8")
    printed(console, tables)


def as_markdown(tables: Tables) -> list[str]:
    """The lines of tables, an empty one before each."""
    lines = []
    for header, rows in tables:
        lines += ["", "| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
        lines += ["| " + " | ".join(cell or " " for cell in row) + " |" for row in rows]
    return lines


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


def printed(console: Console, tables: Tables) -> None:
    """Prints tables, each a header and its rows."""
    for header, rows in tables:
        table = Table(*header, box=box.SIMPLE)
        for cells in rows:
            table.add_row(*cells)
        console.print(table)
