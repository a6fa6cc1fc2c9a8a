"""`inversynth train`: fresh sounds or a dataset in, a run folder out."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import sys
from typing import Any

from .. import synths
from ..errors import UsageError
from ..networks.architectures import MODELS
from . import add_synth, printable

METAVARS = {str: "NAME", int: "N", float: "NUMBER"}
HELP = {
    "model": f"{', '.join(MODELS)}, or one of the synth's own",
    "data": "train on this dataset (without --split, its last --validation items are held out)",
    "split": "train on this part of the dataset (see: inversynth data split); measure on the part validation",
    "epochs": "at most this many epochs; the learning rate falls over all of them",
    "steps": "steps of the optimiser between two validations",
    "batch_size": "sounds in a step",
    "learning_rate": "highest learning rate of AdamW",
    "warmup_steps": "steps over which the learning rate rises",
    "weight_decay": "weight decay of AdamW",
    "loss": "softmax (a distribution a parameter) or sigmoid (a binary cross-entropy for each level)",
    "seed": "seed of the weights, the sounds and their order",
    "validation": "number of held-out sounds",
    "patience": "stop after this many epochs without a better validation loss",
    "data_format": "channels_last or channels_first",
    "augment": "the share of fresh sounds that get noise, rounding to 16 bits, or an offset",
    "partial": "the share of fresh sounds that are truncated, as notes that still sound",
    "note": "the note that is played is a second input of the network",
    "precision": "float32 or mixed_bfloat16 (faster where the processor computes in bfloat16)",
}
"""What each field of `training.Settings` but the synth means, as an option."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One option for each field of `training.Settings`, with its default, and where the run is kept."""
    from ..training.settings import Settings

    parser.add_argument("--out", required=True, metavar="RUN", help="folder of the run")
    add_synth(parser, "whose sounds to learn", f"{synths.DEFAULT}, with --resume that of the run")
    own = ", ".join(synths.load().networks)
    texts = HELP | {"model": f"{HELP['model']} ({synths.DEFAULT}: {own})"}
    source = parser.add_mutually_exclusive_group()
    for field in dataclasses.fields(Settings):
        flag = "--" + field.name.replace("_", "-")
        if field.name == "synth":
            continue
        if isinstance(field.default, bool):
            parser.add_argument(flag, action="store_true", default=None, help=texts[field.name])
        elif field.name == "data":
            source.add_argument(flag, metavar="DIR", help=texts["data"])
            source.add_argument("--render", action="store_true", help="draw fresh sounds while training (the default)")
        else:
            kind: Any = str if field.default is None else type(field.default)
            text = texts[field.name] + (f" (default: {field.default})" if field.default is not None else "")
            parser.add_argument(flag, type=kind, metavar=METAVARS[kind], help=text)
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, with its own settings")
    parser.add_argument("--tensorboard", action="store_true", help="write logs for TensorBoard to RUN/tensorboard")


def run(args: argparse.Namespace) -> int:
    """Trains; returns 0 when the run is finished and 130 when it was stopped and can be resumed."""
    from pathlib import Path

    from ..training.loop import train
    from ..training.run import Run
    from ..training.settings import Settings

    options = {name: value for name, value in vars(args).items() if name in HELP and value is not None}
    if args.resume:
        before = Run.read(Path(args.out)).settings
        synth = args.synth or synths.find(before.synth)
        if synth is None:
            raise UsageError(f"{args.out} was trained on {before.synth}, which isn't here; name its file with --synth")
        settings = dataclasses.replace(before, synth=synth.name, **options)
        if args.render and settings.data is not None:
            raise UsageError(f"{args.out} was trained on {settings.data}; resume it without --render")
    else:
        synth = args.synth or synths.load()
        settings = Settings(synth.name, **options)
    with _Display(settings.epochs) as display:
        finished = train(settings, synth, args.out, resume=args.resume, report=display, tensorboard=args.tensorboard)
    out = printable(args.out)
    origin = synth.origin or synth.name
    named = "" if origin in synths.names() else f" --synth {shlex.quote(printable(origin))}"
    if not finished:
        print(f"stopped; go on with: inversynth train --out {out} --resume{named}", file=sys.stderr)
        return 130
    print(f"finished; the best weights are in {out}; next: inversynth export {out}{named}", file=sys.stderr)
    return 0


class _Display:
    """A progress bar with the validation measures, or a line an epoch where there is no terminal."""

    def __init__(self, epochs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(stderr=True)
        self.epochs = epochs
        self.progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("training", total=None, loss=float("nan"))

    def __enter__(self) -> _Display:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def __call__(self, what: str, facts: dict[str, Any]) -> None:
        if what == "step":
            self.progress.update(self.task, completed=facts["step"], total=facts["total"], loss=facts["loss"])
        else:
            mae = facts["val_mae"]
            self.console.print(
                f"epoch {facts['epoch']}/{self.epochs}  {facts['sounds']:,} sounds  {facts['seconds']:.0f} s "
                f"({facts['waited']:.1f} s waiting for data)  loss {facts['loss']:.4f}  "
                f"validation: loss {facts['val_loss']:.4f}  MPR {facts['val_mpr']:.2f}  "
                f"top-1 {facts['val_top1']:.3f}  MAE {'-' if mae is None else f'{mae:.2f}'}",
                highlight=False,
                soft_wrap=True,
            )
