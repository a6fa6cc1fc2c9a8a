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
from . import add_synth, printable, say, tell_error

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..matching.match import Refine
    from ..matching.result import Match
    from ..search.refine import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `inversynth match`."""
    from ..matching.match import match
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
        "--model",
        metavar="NAME|FILE.onnx",
        default=defaults["model"],
        help="a shipped model or an ONNX file (default: the synth's)",
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
        help="search for a better patch with the renderer, at most SECONDS for each target; Ctrl-C stops the search "
        "and keeps the best patch so far; without a model, the search does it alone",
    )
    parser.add_argument(
        "--renders",
        metavar="N",
        type=int,
        default=defaults["renders"],
        help="the same search with at most N renders; without --refine, the same seed finds the same patch",
    )
    parser.add_argument(
        "--variations",
        metavar="N",
        type=int,
        default=defaults["variations"],
        help="write the N best distinct patches of the search (default: %(default)s)",
    )
    parser.add_argument(
        "--levels-only",
        action="store_true",
        default=defaults["levels_only"],
        help="search only on the levels, not between them",
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, default=defaults["seed"], help="seed of the search (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Matches each target; a bad target doesn't stop the others, a folder that can't be written to stops all.

    So does Ctrl-C; what a search has found until then is written.
    """
    from ..matching.match import command_line, match_target, open_model, search_options
    from ..matching.saving import PICTURE, REPORT, save_patch, save_pictures
    from ..matching.target import read_target
    from ..search.refine import INTERRUPTED

    folders: dict[str, Path] = {}
    for target in args.targets:
        stem = target.stem if target.stem.strip(".") else target.name
        before = folders.setdefault(stem, target)
        if before is not target:
            raise UsageError(f"{before} and {target} would both be written to {args.out / stem}; rename one")
    options = search_options(args.refine, args.renders, args.variations, args.levels_only, args.seed)
    model = open_model(args.synth, args.model, args.device, options)
    code = 0
    for stem, target in folders.items():
        folder = args.out / stem
        again = command_line(target, args.synth, args.model or model, args.normalise, args.out, options)
        try:
            sound = read_target(target, args.synth.format, normalise=args.normalise)
            with _bar(target, options) as watch:
                found = match_target(sound, args.synth, model, options, watch, again)
                save_patch(found, folder)
        except UsageError as error:
            tell_error(error)
            code = error.exit_code
            continue
        try:
            save_pictures(found, folder)
        except KeyboardInterrupt:
            wrote = f"wrote {printable(folder)}: patch.json, match.wav{_others(found)}"
            say(f"{wrote}; Ctrl-C came before {PICTURE} and {REPORT} were drawn")
            raise
        _show(target, found, folder)
        if found.refinement and found.refinement.stopped == INTERRUPTED and target is not args.targets[-1]:
            raise KeyboardInterrupt
    return code


@contextlib.contextmanager
def _bar(target: Path, options: Refine | None) -> Iterator[Callable[[Progress], None] | None]:
    """A bar of a search's progress while it runs, in a terminal; gives the function to call with it."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    console = Console(stderr=True)
    if options is None or not console.is_terminal:
        yield None
        return
    seconds, renders = options.seconds or math.inf, options.renders or math.inf
    columns = (BarColumn(), TextColumn("{task.fields[state]}", markup=False))
    with Bar(*columns, console=console, transient=True) as bar:
        console.print(Text(f"refining {printable(target.name)}; Ctrl-C ends it"))
        task = bar.add_task("", total=1.0, state="")

        def watch(now: Progress) -> None:
            done = max(now.seconds / seconds, now.renders / renders)
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
    count = 1 + len(found.variations)
    return "" if count == 1 else f", variation-2 to variation-{count}" if count > 2 else ", variation-2"


def _show(target: Path, found: Match, folder: Path) -> None:
    """Prints the patch as a table, and how near it comes."""
    from rich.console import Console

    from ..matching.saving import PICTURE, REPORT

    console = Console()
    if not console.is_terminal:
        console = Console(width=100)
    console.print(patch_table(target, found, console))
    by = f"{found.model} on {found.device}" if found.predicted else "without a model"
    console.print(
        f"{_gain(found)}correlation of the log spectrograms {found.measures['rho_stft']:.3f}, "
        f"of the spectra {found.measures['rho_ft']:.3f}; {by}\n"
        f"wrote {printable(folder)}: patch.json, match.wav, {PICTURE}, {REPORT}{_others(found)}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    if found.warning:
        print(f"inversynth: warning: {found.warning}", file=sys.stderr)


def patch_table(target: Path, found: Match, console: Console) -> Table:
    """The patch: as much as there is room for; confidences go first, then levels and units, names and values never."""
    shapes = [(4, 0), (3, 0), (2, 0)]
    if found.predicted or not found.active.all():
        shapes = [(5, 20), (5, 8), (5, 0), *shapes]
    endless = console.options.update(width=1 << 16)
    for columns, bar in shapes:
        table = _columns(target, found, columns, bar)
        if console.measure(table, options=endless).maximum <= console.width:
            break
    return table


def _columns(target: Path, found: Match, columns: int, bar: int) -> Table:
    """The first columns of the table of a patch; bar: letters of the bar of a confidence of 100 %."""
    from rich.table import Table
    from rich.text import Text

    from ..matching.picture import note_of

    table = Table(
        title=Text(f"{printable(target.name)} as a patch of {found.synth.name}"),
        title_justify="left",
        title_style="bold",
    )
    confidence = "" if not found.predicted else "the network's confidence" if found.refinement and bar else "confidence"
    for name in ("parameter", "value", "unit", "level", confidence)[:columns]:
        table.add_column(name, justify="right" if name in ("value", "level") else "left", overflow="fold")
    for param, setting, active in zip(found.synth.space, found.patch, found.active, strict=True):
        text, note = param.text(setting.value), note_of(param, setting.value)
        unit = "" if text else f"{setting.unit}, {note}" if note else setting.unit
        bars = f"{'█' * round(bar * setting.confidence):<{bar}} " if bar else ""
        sureness = (f"{bars}{setting.confidence:4.0%}" if found.predicted else "") if active else "inactive"
        row = (setting.name, text or f"{setting.value:.4g}", unit, str(setting.level), sureness)
        table.add_row(*map(Text, row[:columns]))
    return table
