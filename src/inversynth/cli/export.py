"""`inversynth export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import UsageError
from . import add_synth, printable

MOST_SOUNDS = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `inversynth export`."""
    parser.add_argument("folder", metavar="RUN", type=Path, help="the folder of a training run")
    parser.add_argument("--out", metavar="FILE.onnx", type=Path, help="the file to write (default: RUN/model.onnx)")
    add_synth(parser, "whose sounds the run learned", "that of the run")
    parser.add_argument(
        "--calibrate",
        metavar="N",
        type=int,
        default=0,
        help="calibrate the probabilities on N fresh sounds (default: leave them as trained)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")


def run(args: argparse.Namespace) -> int:
    """Exports a run's best network."""
    out: Path = args.out or args.folder / "model.onnx"
    if out.suffix != ".onnx":
        raise UsageError(f"{out} is not the name of an ONNX file; end it with .onnx")
    if out.exists() and not args.overwrite:
        raise UsageError(f"{out} is there already; replace it with --overwrite, or give another --out")
    if not args.folder.is_dir():
        raise UsageError(f"{args.folder} is not a folder; give the folder of a training run")
    if not 0 <= args.calibrate <= MOST_SOUNDS:
        raise UsageError(f"{args.calibrate} sounds to calibrate on are outside 0..{MOST_SOUNDS}")
    from ..training.onnx_export import export

    difference = export(args.folder, out, args.synth, lambda text: print(text, flush=True), args.calibrate)
    print(f"wrote {printable(out)} ({out.stat().st_size / 1e6:.1f} MB); largest difference from Keras {difference:.1e}")
    return 0
