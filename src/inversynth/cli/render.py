"""`inversynth render`: a dataset of random patches and their sounds."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..dataset import DatasetSettings, Report, export_hdf5, export_wav, render_dataset, require_h5py
from ..errors import UsageError
from ..render import SYNTHS

PLAIN_S = 5.0
"""Time between two lines of progress where there is no terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options; their defaults are those of `DatasetSettings`."""
    own = DatasetSettings
    parser.add_argument("--synth", choices=list(SYNTHS), default=own.synth, help="synth to render (%(default)s)")
    parser.add_argument(
        "--num-examples", type=int, default=own.count, metavar="N", help="how many sounds (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=own.seed, help="item i is a function of seed and i (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the dataset")
    parser.add_argument("--length", type=float, default=own.seconds, metavar="S", help="seconds (the synth's own)")
    parser.add_argument(
        "--sample-rate", type=int, default=own.sample_rate, metavar="HZ", help="sample rate (the synth's own)"
    )
    parser.add_argument("--normalise", action="store_true", help="scale each sound to a peak of 1")
    parser.add_argument(
        "--shard-size", type=int, default=own.shard_size, metavar="N", help="sounds a file (%(default)s)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads (one a core)")
    parser.add_argument(
        "--overwrite", action="store_true", help="start again from nothing; else go on with what is in DIR"
    )
    parser.add_argument(
        "--wav", nargs="?", const="", metavar="DIR", help="write WAV files as well, into DIR (the dataset's folder wav)"
    )
    parser.add_argument("--hdf5", type=Path, metavar="FILE", help="write one HDF5 file as well")


def run(args: argparse.Namespace) -> int:
    """Renders, exports, and says where and how fast."""
    settings = DatasetSettings(
        args.synth, args.num_examples, args.seed, args.length, args.sample_rate, args.normalise, args.shard_size
    )
    if args.hdf5:
        if args.hdf5.suffix not in (".h5", ".hdf5"):
            raise UsageError(f"{args.hdf5} is not the name of an HDF5 file; end it with .h5 or .hdf5")
        require_h5py()
    try:
        with progress("rendering") as report:
            dataset = render_dataset(settings, args.out, args.workers, args.overwrite, report)
        if args.wav is not None:
            with progress("WAV files") as report:
                export_wav(dataset, args.wav or args.out / "wav", report)
        if args.hdf5:
            with progress("HDF5 file") as report:
                export_hdf5(dataset, args.hdf5, report)
    except KeyboardInterrupt:
        print("inversynth: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    audio = dataset.audio
    print(
        f"{dataset.path}: {len(dataset)} sounds of {dataset.synth}, seed {dataset.seed}, "
        f"{audio.seconds:g} s at {audio.sample_rate} Hz"
    )
    return 0


@contextlib.contextmanager
def progress(what: str) -> Iterator[Report]:
    """Shows progress on standard error: a bar on a terminal, else a line now and then and at the end."""
    started = told = time.monotonic()

    def speed(rendered: int) -> str:
        return f", {rendered / max(time.monotonic() - started, 1e-9):.0f} sounds/s" if rendered else ""

    if not sys.stderr.isatty():

        def line(done: int, total: int, rendered: int) -> None:
            nonlocal told
            if done == total or time.monotonic() - told > PLAIN_S:
                told = time.monotonic()
                print(f"{what}: {done} of {total}{speed(rendered)}", file=sys.stderr, flush=True)

        yield line
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as shown:
        task = shown.add_task(what, total=None, speed="")

        def bar(done: int, total: int, rendered: int) -> None:
            shown.update(task, completed=done, total=total, speed=speed(rendered)[2:])

        yield bar
