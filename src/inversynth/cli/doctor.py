"""`inversynth doctor`: what this machine lacks, and how to get it."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def run(args: argparse.Namespace) -> int:
    """Prints a line for each finding; returns 1 if live can't run."""
    from rich.console import Console
    from rich.text import Text

    from .checks import LIMIT, MISSING, OK, OPTIONAL, examine

    styles = {OK: ("✓", "green"), OPTIONAL: ("·", "dim"), LIMIT: ("!", "yellow"), MISSING: ("✗", "bold red")}
    plain = {OK: "+", OPTIONAL: "-", LIMIT: "!", MISSING: "x"}
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    console = Console(soft_wrap=True, highlight=False)
    states = []
    for finding in examine():
        states.append(finding.state)
        mark, style = styles[finding.state]
        line = Text.assemble(
            (mark if unicode else plain[finding.state], style), f" {finding.about:18}  {finding.found}"
        )
        if finding.remedy:
            line.append(f"{'  →  ' if unicode else '  ->  '}{finding.remedy}")
        console.print(line)
    can = MISSING not in states
    print("inversynth live can run here" if can else "inversynth live cannot run here")
    return 0 if can else 1
