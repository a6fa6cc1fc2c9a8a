"""`inversynth bench`: what the live bridge does on this machine, beside what it should."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from .. import synths
from ..errors import UsageError
from . import add_synth, say

SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is measured, how long, and where the figures go."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = "measure the live bridge"
    listen = actions.add_parser("live", help=text, description=text[0].upper() + text[1:] + ".")
    listen.add_argument(
        "--model", metavar="NAME|FILE.onnx", help="a shipped model or an ONNX file (default: the synth's)"
    )
    add_synth(listen, "whose patches are played", "that of the model")
    listen.add_argument(
        "--seconds",
        type=float,
        default=SECONDS,
        help=f"for each block size, three measurements of this length (default: {SECONDS:g})",
    )
    listen.add_argument("--periods", metavar="SAMPLES,...", help="block sizes (default: 128,256,512,1024)")
    listen.add_argument("--simulated", action="store_true", help="use a simulated device, even where JACK is installed")
    listen.add_argument("--awake", action="store_true", help="as with live --awake, let no processor sleep (Linux)")
    listen.add_argument("--out", type=Path, metavar="FILE.json", help="where to write the figures")


def run(args: argparse.Namespace) -> int:
    """Measures and prints; returns 0, whether the budgets are met or not."""
    from ..live import bench
    from ..live.bench.apart import apart
    from ..live.bench.players import RATE_HZ, has_jack
    from ..predict.shipped import default_model, find
    from ..system.awake import awake
    from ..system.files import to_json, writing
    from ..system.machine import machine

    periods = _periods(args.periods, bench.PERIODS)
    if not 1 <= args.seconds <= 7 * 86400:
        raise UsageError(f"{args.seconds:g} seconds are outside 1..{7 * 86400}")
    model = args.model or default_model(args.synth or synths.load())
    find(model)
    simulate = args.simulated or not has_jack()
    found: dict[str, Any] = {"machine": machine(), "model": model, "sample_rate": RATE_HZ}
    found |= {"kept_awake": args.awake, "seconds": args.seconds, "periods": []}
    with contextlib.ExitStack() as stack:
        file = None if args.out is None else stack.enter_context(writing(args.out))
        if args.awake:
            stack.enter_context(awake())
        for period in periods:
            say(f"measuring at {period} samples a block")
            figures = apart(bench.measure, bench.load_on_cpu, model, period, args.seconds, simulate, args.synth)
            found["periods"].append(figures)
        _print(found["periods"])
        if file is not None:
            file.write_bytes(to_json(found))
    return 0


def _periods(given: str | None, default: tuple[int, ...]) -> tuple[int, ...]:
    if given is None:
        return default
    try:
        periods = tuple(int(word) for word in given.split(","))
    except ValueError:
        raise UsageError(f"{given!r} are not numbers of samples, such as 128,256") from None
    for period in periods:
        if not 16 <= period <= 8192:
            raise UsageError(f"a period of {period} samples is outside 16..8192")
    return periods


def _print(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from ..live.bench.budgets import BUDGETS

    utf = (sys.stdout.encoding or "").lower().startswith("utf")
    marks = {True: "✓" if utf else "ok", False: "✗" if utf else "over"}
    table = Table("samples a block", *(str(row["period_samples"]) for row in rows), "budget", box=box.SIMPLE)
    for column in table.columns[1:]:
        column.justify = "right"
    for budget in BUDGETS:
        cells = []
        for row in rows:
            figure = budget.figure(row)
            met = figure is not None and budget.met(figure)
            shown = "-" if figure is None else f"{budget.shown(figure)} {marks[met]}"
            cells.append(f"[red]{shown}[/]" if figure is not None and not met else shown)
        table.add_row(budget.name, *cells, f"{budget.most:g} {budget.unit}".rstrip())
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    last = rows[-1]
    print(f"audio in: {last['device']}; MIDI out: {last['midi']}")
