"""Figures of the benchmarks: kept as JSON, printed, and in the pages of the documentation."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from needs import left_out
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


def add_options(parser: argparse.ArgumentParser, kept: Path, quick: str = "few and short measurements") -> None:
    """What every benchmark that has a page can be asked for: `settled` and `shown` heed it.

    `kept` is the file with the figures of the page. Only a whole run changes it, and the page.
    """
    parser.add_argument("--quick", action="store_true", help=f"{quick}; the docs stay as they are")
    parser.add_argument(
        "--show", action="store_true", help="measure nothing; rewrite the docs by the figures there are"
    )
    out = f"where to write the figures (default: benchmarks/{kept.name}, if all was measured)"
    parser.add_argument("--out", type=Path, metavar="FILE.json", help=out)
    parser.set_defaults(source=kept)


def settled(args: argparse.Namespace, measure: Callable[[], Found]) -> Found:
    """The figures that are there, or those measured now, to four digits, with their commit, and kept."""
    if args.show:
        found: Found = read_json(args.out or args.source, "the figures of this benchmark")
        return found
    measured_at = commit()  # what is committed while it runs was not measured
    found = rounded(measure()) | {"commit": measured_at}
    if args.out or is_whole(args, found):
        write_json(args.out or args.source, found)
    return found


def shortened(args: argparse.Namespace, usual: Any, quick: Any) -> Any:
    """How much of something is measured: as asked for, or with --quick at most this much."""
    return min(usual, quick) if args.quick else usual


def is_whole(args: argparse.Namespace, found: Found) -> bool:
    """Whether these are figures for the page: nothing is shorter or left out, and they go where its own are kept."""
    return not args.quick and not args.out and not left_out(found)


def commit() -> str:
    """The commit of the sources that are measured, and whether they were changed since; "unknown" without git."""
    words = ("git", "-C", str(ROOT), "describe", "--always", "--exclude=*", "--abbrev=7", "--dirty= with changes")
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def dated(figures: str, found: Found) -> str:
    """The figures of a page, and below them the commit that they were measured at."""
    return f"{figures}\n\nMeasured at commit {found['commit']}."


def concluded(
    name: str,
    args: argparse.Namespace,
    measure: Callable[[], Found],
    publish: Callable[[Found], None],
    stopped: str = "stopped",
) -> int:
    """Measures and publishes; returns the exit code, after a line on an error or, if it was `stopped`, on that."""
    try:
        found = settled(args, measure)
    except KeyboardInterrupt:
        print(stopped, file=sys.stderr)
        return 130
    except InversynthError as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return error.exit_code
    publish(found)
    return 0


def shown(args: argparse.Namespace, console: Console, found: Found, tables: Tables, page: Path, figures: str) -> None:
    """Prints the tables and what was left out; writes the figures of a whole run into the page, between their marks."""
    if is_whole(args, found):
        source = f"benchmarks/{args.source.name}"
        page.write_text(rewritten(page.read_text(encoding="utf-8"), source, dated(figures, found)), encoding="utf-8")
    printed(console, tables)
    for line in left_out(found):
        console.print(line, highlight=False, soft_wrap=True)


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
