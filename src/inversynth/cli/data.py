"""`inversynth data`: what a dataset holds, whether it is whole, its other forms, and its parts."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..dataset import failures, open_dataset, splits, verify
from ..dataset.exports import EXPORTS, check
from ..errors import UsageError
from . import actions, printable, tell_error
from .render import progress

ACTIONS = {
    "info": "say what a dataset holds",
    "verify": "read a whole dataset and name its damaged files",
    "export": "write a dataset in a form that other programs read",
    "split": "say which items of a dataset are for training, validation and the test",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions, each with the folder of a dataset."""
    made = actions(parser, ACTIONS)
    for action in made.values():
        action.add_argument("path", metavar="DIR", help="folder of the dataset, or its URL")
    made["export"].add_argument("--format", choices=list(EXPORTS), required=True, help="what to write")
    made["export"].add_argument("--out", required=True, metavar="PATH", help="where to: a folder, or an .h5 file")
    shares = ",".join(f"{name}={share:g}" for name, share in splits.DEFAULT.items())
    made["split"].add_argument(
        "--parts", default=shares, metavar="NAME=SHARE,...", help="the parts and their shares (%(default)s)"
    )
    made["split"].add_argument("--seed", type=int, default=0, help="another seed is another split (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Returns 1 if a file is damaged or missing."""
    if args.action == "export":
        return _export(args.path, args.format, args.out)
    if args.action == "split":
        return _split(args.path, args.parts, args.seed)
    return _info(args.path) if args.action == "info" else _verify(args.path)


def _info(path: str) -> int:
    dataset = open_dataset(path)
    manifest = dataset.manifest
    rows = {
        "synth": f"{dataset.synth} ({len(dataset.space)} parameters, fingerprint {dataset.space.fingerprint})",
        "sounds": f"{len(dataset)} in {manifest.shards} shards of up to {manifest.shard_size}, "
        f"{manifest.bytes / 1e6:.1f} MB",
        "audio": f"{dataset.audio.seconds:g} s at {dataset.audio.sample_rate} Hz, {dataset.audio.samples} samples, "
        + manifest.dtype
        + (", normalised" if manifest.normalise else ""),
        "seed": str(dataset.seed),
        "drawn": f"by the prior {manifest.prior}",
        "note": "each sound has its own" if manifest.note is None else str(manifest.note),
        "rendered by": f"version {manifest.renderer} of the renderer, arithmetic {manifest.arithmetic}",
    }
    if manifest.failed:
        rows["failures"] = printable(failures(manifest))
    for name, text in rows.items():
        print(f"{name:<12} {text}")
    print()
    for param in dataset.space:
        if param.choices is None:
            shape, ends = param.curve, f"{param.low:g} .. {param.high:g} {param.unit}".rstrip()
        else:
            shape, ends = param.kind, f"{param.choices[0]} .. {param.choices[-1]}"
        print(f"{param.name:<22} {param.levels:>3} levels, {shape:<11} {ends}")
    return 0


def _verify(path: str) -> int:
    with progress("verifying") as report:
        lines = verify(path, report)
    for line in lines:
        tell_error(line)
    if lines:
        print(f"{printable(path)}: damaged files: {len(lines)}; render it again with its own command to repair them")
        return 1
    print(f"{printable(path)}: every file is whole")
    return 0


def _export(path: str, form: str, out: str) -> int:
    check(form, out)
    dataset = open_dataset(path)
    with progress(form) as report:
        EXPORTS[form](dataset, Path(out), report)
    failed = dataset.manifest.failed
    left_out = f"; {failed} that failed are left out" if failed else ""
    print(f"{printable(out)}: {len(dataset) - failed} sounds of {dataset.synth}{left_out}")
    return 0


def _split(path: str, parts: str, seed: int) -> int:
    dataset = open_dataset(path)
    made = splits.split(dataset, _shares(parts), seed)
    of, failed = sum(made.counts.values()), dataset.manifest.failed
    for name, count in made.counts.items():
        print(f"{name:<12} {count} sounds, {100 * count / of:.2f} % (asked: {100 * made.shares[name]:g} %)")
    if failed:
        print(f"{'in no part':<12} {failed} that failed")
    together = "equal patches stay" if dataset.families is None else "a family stays"
    print(f"{printable(dataset.store.name(splits.SPLITS))}: {together} together, so the shares hold on average")
    return 0


def _shares(text: str) -> dict[str, float]:
    try:
        pairs = [(name, float(share)) for name, share in (part.split("=") for part in text.split(","))]
    except ValueError:
        raise UsageError(f"invalid split {text!r}; give it as train=0.8,validation=0.1,test=0.1") from None
    if len(dict(pairs)) < len(pairs):
        raise UsageError(f"{text!r} names a part twice")
    return dict(pairs)
