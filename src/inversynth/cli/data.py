"""`inversynth data`: what a dataset holds, and whether it is whole."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..dataset import open_dataset, verify
from . import tell_error
from .render import progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares `info DIR` and `verify DIR`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (("info", "say what a dataset holds"), ("verify", "read all of it and name damaged files")):
        action = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        action.add_argument("path", type=Path, metavar="DIR", help="folder of the dataset")


def run(args: argparse.Namespace) -> int:
    """Returns 1 if a file is damaged or missing."""
    return _info(args.path) if args.action == "info" else _verify(args.path)


def _info(path: Path) -> int:
    dataset = open_dataset(path)
    manifest = dataset.manifest
    size = sum(part.bytes for number in range(manifest.shards) for part in manifest.parts(number))
    rows = {
        "synth": f"{dataset.synth} ({len(dataset.space)} parameters, fingerprint {dataset.space.fingerprint})",
        "sounds": f"{len(dataset)} in {manifest.shards} shards of up to {manifest.shard_size}, {size / 1e6:.1f} MB",
        "audio": f"{dataset.audio.seconds:g} s at {dataset.audio.sample_rate} Hz, {dataset.audio.samples} samples"
        + (", normalised" if manifest.normalise else ""),
        "seed": str(dataset.seed),
        "rendered by": f"inversynth {manifest.inversynth}",
    }
    for name, text in rows.items():
        print(f"{name:<12} {text}")
    print()
    for param in dataset.space:
        span = f"{param.low:g} .. {param.high:g} {param.unit}".rstrip()
        print(f"{param.name:<22} {param.levels:>3} levels, {param.curve:<11} {span}")
    return 0


def _verify(path: Path) -> int:
    with progress("verifying") as report:
        lines = verify(path, report)
    for line in lines:
        tell_error(line)
    if lines:
        print(f"{path}: damaged files: {len(lines)}; render it again with its own command to repair them")
        return 1
    print(f"{path}: every file is whole")
    return 0
