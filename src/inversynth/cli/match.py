"""`inversynth match`."""

from __future__ import annotations

import argparse
import contextlib
import inspect
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from . import add_synth, printable, tell_error

if TYPE_CHECKING:
    from ..matching.result import Match
    from ..search.refine import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `inversynth match`."""
    from ..matching.result import match
    from ..predict.model import DEVICES

    defaults = {name: parameter.default for name, parameter in inspect.signature(match).parameters.items()}
    parser.add_argument(
        "targets", metavar="TARGET", nargs="+", type=Path, help="a recording; its first note is matched"
    )
    add_synth(parser, "what is to make the sound")
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
    parser.add_argument(
        "--refine",
        metavar="SECONDS",
        type=float,
        default=defaults["refine"],
        help="search on from the model's patch with the renderer, so long for each target; Ctrl-C ends it before",
    )
    parser.add_argument(
        "--renders",
        metavar="N",
        type=int,
        default=defaults["renders"],
        help="search on so, but for N renders: without --refine, the same seed finds the same",
    )
    parser.add_argument(
        "--variations",
        metavar="N",
        type=int,
        default=defaults["variations"],
        help="the N best distinct patches of the search (default: %(default)s)",
    )
    parser.add_argument(
        "--levels-only",
        action="store_true",
        default=defaults["levels_only"],
        help="search no values between the levels",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=defaults["seed"], help="of the search (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Matches each target; one that is no good leaves the others be, a place that can't be written to ends it.

    So does Ctrl-C, which still leaves the match of a search that it ended.
    """
    from ..matching.result import match
    from ..predict.model import load_model
    from ..predict.shipped import default_model
    from ..search.refine import INTERRUPTED

    folders: dict[str, Path] = {}
    for target in args.targets:
        stem = target.stem if target.stem.strip(".") else target.name
        before = folders.setdefault(stem, target)
        if before is not target:
            raise UsageError(f"{before} and {target} would both be written to {args.out / stem}; rename one")
    model = load_model(args.model or default_model(args.synth), args.device)
    model.require(args.synth)
    code = 0
    for stem, target in folders.items():
        try:
            with _bar(target, args.refine, args.renders) as watch:
                found = match(
                    target,
                    args.synth,
                    model,
                    normalise=args.normalise,
                    refine=args.refine,
                    renders=args.renders,
                    variations=args.variations,
                    levels_only=args.levels_only,
                    seed=args.seed,
                    watch=watch,
                )
            found.save(args.out / stem)
        except UsageError as error:
            tell_error(error)
            code = error.exit_code
        else:
            _show(target, found, args.out / stem)
            if found.refinement and found.refinement.stopped == INTERRUPTED and target is not args.targets[-1]:
                raise KeyboardInterrupt
    return code


@contextlib.contextmanager
def _bar(target: Path, seconds: float | None, renders: int | None) -> Iterator[Callable[[Progress], None] | None]:
    """A bar of a search's progress while it runs, in a terminal; gives what is to be told of it."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    console = Console(stderr=True)
    if (seconds is None and renders is None) or not console.is_terminal:
        yield None
        return
    columns = (BarColumn(), TextColumn("{task.fields[state]}", markup=False))
    with Bar(*columns, console=console, transient=True) as bar:
        console.print(Text(f"refining {printable(target.name)}; Ctrl-C ends it"))
        task = bar.add_task("", total=1.0, state="")

        def watch(now: Progress) -> None:
            done = max(now.seconds / (seconds or math.inf), now.renders / (renders or math.inf))
            bar.update(task, completed=done, state=f"{now.renders:,} renders, correlation {now.rho_stft:.3f}")

        yield watch


def _gain(found: Match) -> str:
    """What the refinement gained, in words."""
    search = found.refinement
    if search is None:
        return ""
    best = search.best[0]
    return (
        f"refined in {search.seconds:.2g} s by {search.renders:,} renders ({search.method}): "
        f"correlation {search.start.rho_stft:.3f} to {best.rho_stft:.3f}, "
        f"difference of the log spectrograms {search.start.log_l1:.3f} to {best.log_l1:.3f} nats; {search.stopped}\n"
    )


def _others(found: Match) -> str:
    """The files of the variations, in words."""
    count = len(found.refinement.best) if found.refinement else 1
    return "" if count == 1 else f", variation-2 to variation-{count}" if count > 2 else ", variation-2"


def _show(target: Path, found: Match, folder: Path) -> None:
    """Prints the patch as a table, and how near it comes; what can't be heard in this patch is told so."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..matching.picture import note

    space = found.synth.space
    heard = space.active([[setting.level for setting in found.patch]])[0]
    table = Table(
        title=Text(f"{printable(target.name)} as a patch of {found.synth.name}"),
        title_justify="left",
        title_style="bold",
    )
    table.add_column("parameter")
    table.add_column("value", justify="right")
    table.add_column("unit")
    table.add_column("level", justify="right")
    table.add_column("the network's confidence" if found.refinement else "confidence")
    for param, setting, is_heard in zip(space, found.patch, heard, strict=True):
        bar = "█" * round(20 * setting.confidence)
        name = f", {note(setting.value)}" if param.role == "pitch" else ""
        table.add_row(
            setting.name,
            f"{setting.value:.4g}",
            f"{setting.unit}{name}",
            str(setting.level),
            f"{bar:<20} {setting.confidence:4.0%}" if is_heard else "unheard",
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    console.print(table)
    console.print(
        f"{_gain(found)}correlation of the log spectrograms {found.measures['rho_stft']:.3f}, "
        f"of the spectra {found.measures['rho_ft']:.3f}; {found.model} on {found.device}\n"
        f"wrote {printable(folder)}: patch.json, match.wav, match.png, report.html{_others(found)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if found.warning:
        print(f"inversynth: warning: {found.warning}", file=sys.stderr)
