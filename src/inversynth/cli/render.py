"""`inversynth render`: a dataset of random patches and their sounds."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from ..dataset import DTYPES, DatasetSettings, Report, failures, render_dataset
from ..dataset.engines import ENGINES
from ..dataset.exports import EXPORTS, check
from . import add_synth, printable

PLAIN_S = 5.0
"""Time between two lines of progress where there is no terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options; their defaults are those of `DatasetSettings`."""
    own = DatasetSettings
    add_synth(parser, "what to render")
    parser.add_argument(
        "--num-examples", type=int, default=own.count, metavar="N", help="how many sounds (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=own.seed, help="item i is a function of seed and i (%(default)s)")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the dataset, or a URL such as s3://...")
    parser.add_argument("--length", type=float, default=own.seconds, metavar="S", help="seconds (the synth's own)")
    parser.add_argument(
        "--sample-rate", type=int, default=own.sample_rate, metavar="HZ", help="sample rate (the synth's own)"
    )
    parser.add_argument("--normalise", action="store_true", help="scale each sound to a peak of 1")
    parser.add_argument(
        "--dtype", choices=list(DTYPES), default=own.dtype, help="what samples are stored as (%(default)s)"
    )
    parser.add_argument(
        "--shard-size",
        type=int,
        default=own.shard_size,
        metavar="N",
        help="sounds in a file (as many as take about 32 MB)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="shards rendered at a time (two a core)")
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="where to render (%(default)s)")
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of a Ray cluster, or auto: the one of which this machine is a node (RAY_ADDRESS, else a new one here)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="start again from nothing; else go on with what is in DIR"
    )
    for form, text in (("wav", "WAV files and patches.csv"), ("webdataset", "tar files for the library webdataset")):
        parser.add_argument(
            f"--{form}",
            nargs="?",
            const="",
            metavar="DIR",
            help=f"write {text} as well (into the dataset's folder {form})",
        )
    parser.add_argument("--hdf5", metavar="FILE", help="write one HDF5 file as well")


def run(args: argparse.Namespace) -> int:
    """Renders, exports, and says where and how fast."""
    settings = DatasetSettings(
        synth=args.synth,
        count=args.num_examples,
        seed=args.seed,
        seconds=args.length,
        sample_rate=args.sample_rate,
        normalise=args.normalise,
        shard_size=args.shard_size,
        dtype=args.dtype,
    )
    places = {
        form: getattr(args, form) or os.path.join(args.out, form) for form in EXPORTS if getattr(args, form) is not None
    }
    for form, place in places.items():
        check(form, place)
    try:
        with progress("rendering") as report:
            dataset = render_dataset(
                settings, args.out, args.workers, args.overwrite, report, args.engine, args.address
            )
        for form, place in places.items():
            with progress(form) as report:
                EXPORTS[form](dataset, Path(place), report)
    except KeyboardInterrupt:
        print("inversynth: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    audio = dataset.audio
    print(
        f"{printable(dataset.store)}: {len(dataset)} sounds of {dataset.synth}, seed {dataset.seed}, "
        f"{audio.seconds:g} s at {audio.sample_rate} Hz"
    )
    if dataset.manifest.failed:
        print(printable(failures(dataset.manifest)))
    return 0


@contextlib.contextmanager
def progress(what: str) -> Iterator[Report]:
    """Shows progress on standard error: a bar on a terminal, else a line now and then and at the end."""
    started = printed = time.monotonic()

    def speed(rendered: int) -> str:
        return f", {rendered / max(time.monotonic() - started, 1e-9):.0f} sounds/s" if rendered else ""

    if not sys.stderr.isatty():

        def line(done: int, total: int, rendered: int) -> None:
            nonlocal printed
            if done == total or time.monotonic() - printed > PLAIN_S:
                printed = time.monotonic()
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
