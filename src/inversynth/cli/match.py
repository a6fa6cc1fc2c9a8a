"""`inversynth match`."""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from . import tell_error

if TYPE_CHECKING:
    from ..matching import Match


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `inversynth match`."""
    from ..matching import match
    from ..predict import DEVICES
    from ..render import SYNTHS

    defaults = {name: parameter.default for name, parameter in inspect.signature(match).parameters.items()}
    parser.add_argument(
        "targets", metavar="TARGET", nargs="+", type=Path, help="a recording; its first note is matched"
    )
    parser.add_argument("--synth", choices=SYNTHS, default=defaults["synth"], help="its synth (default: %(default)s)")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        default=Path("matches"),
        help="a folder for each target goes there (default: %(default)s)",
    )
    parser.add_argument(
        "--model", metavar="NAME|PATH", default=defaults["model"], help="a model (default: the one for the synth)"
    )
    parser.add_argument(
        "--device", choices=DEVICES, default=defaults["device"], help="where to run it (default: %(default)s)"
    )
    parser.add_argument(
        "--normalise", action="store_true", default=defaults["normalise"], help="scale each target's peak to 1 first"
    )


def run(args: argparse.Namespace) -> int:
    """Matches each target; one that is no good leaves the others be, a place that can't be written to ends it."""
    from ..matching import match
    from ..predict import default_model, load_model
    from ..render import synth

    folders: dict[str, Path] = {}
    for target in args.targets:
        stem = target.stem if target.stem.strip(".") else target.name
        before = folders.setdefault(stem, target)
        if before is not target:
            raise UsageError(f"{before} and {target} would both be written to {args.out / stem}; rename one")
    model = load_model(args.model or default_model(args.synth), args.device)
    model.require(synth(args.synth))
    code = 0
    for stem, target in folders.items():
        try:
            found = match(target, args.synth, model, out=args.out / stem, normalise=args.normalise)
        except UsageError as error:
            tell_error(error)
            code = error.exit_code
        else:
            _show(target, found, args.out / stem)
    return code


def _show(target: Path, found: Match, folder: Path) -> None:
    """Prints the patch as a table, and how near it comes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{target.name} as a patch of {found.synth}"), title_justify="left", title_style="bold")
    table.add_column("parameter")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("level", justify="right")
    table.add_column("confidence")
    for setting in found.patch:
        bar = "█" * round(20 * setting.confidence)
        table.add_row(
            setting.name,
            f"{setting.value:.4g}",
            setting.unit,
            str(setting.level),
            f"{bar:<20} {setting.confidence:4.0%}",
        )
    console = Console()
    console.print(table)
    console.print(
        f"correlation of the log spectrograms {found.measures['rho_stft']:.3f}, "
        f"of the spectra {found.measures['rho_ft']:.3f}; {found.model} on {found.device}\n"
        f"wrote {folder}: patch.json, match.wav, match.png, report.html",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if found.warning:
        print(f"inversynth: warning: {found.warning}", file=sys.stderr)
