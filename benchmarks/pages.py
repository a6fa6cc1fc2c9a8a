"""Figures of the benchmarks, in the pages of the documentation."""

from __future__ import annotations

import re
from typing import Any


def rewritten(page: str, source: str, figures: str) -> str:
    """A page with these figures between its marks: `source` is the file they are from, relative to the project."""
    first, last = f"<!-- figures of {source} -->", "<!-- end of the figures -->"
    new = f"{first}\n{figures}\n{last}"
    return re.sub(f"{re.escape(first)}.*{re.escape(last)}", lambda _: new, page, flags=re.DOTALL)


def rounded(figures: Any) -> Any:
    """All figures to four digits."""
    if isinstance(figures, dict):
        return {name: rounded(figure) for name, figure in figures.items()}
    if isinstance(figures, list):
        return [rounded(figure) for figure in figures]
    return float(f"{figures:.4g}") if isinstance(figures, float) else figures
