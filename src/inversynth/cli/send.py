"""`inversynth send`: a patch to a synth, once."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from . import add_synth, list_ends, say
from .outputs import add_outputs, output_profiles, output_sink

if TYPE_CHECKING:
    from ..midi import Receiver

CONNECT_S = 5.0
"""How long a port of our own waits for a receiver to be connected."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `inversynth send`."""
    parser.add_argument("patch", metavar="PATCH.json", type=Path, nargs="?", help="a patch, as `match` writes it")
    add_synth(parser, "whose patch it is")
    add_outputs(parser)
    parser.add_argument(
        "--wait",
        type=float,
        metavar="SECONDS",
        help=f"before sending, for a receiver to be connected (default: {CONNECT_S:g} with --virtual, else 0)",
    )


def run(args: argparse.Namespace) -> int:
    """Sends all of a patch to each output, as fast as its wire takes it; returns 0."""
    from ..matching.patch import read_patch
    from ..midi import Receiver
    from ..midi.ports import output_ports

    if args.list_ports:
        return list_ends(args, "output", list, output_ports, "no MIDI output ports; make one with --virtual NAME")
    if args.patch is None:
        raise UsageError("give a patch: the patch.json that match writes")
    if not args.outputs:
        raise UsageError(
            "give an output: --midi-out PORT, --virtual NAME, --osc HOST:PORT, --din FILE or --midi-file OUT.mid"
        )
    if any(output["kind"] == "play" for output in args.outputs):
        raise UsageError("there are no notes to play; hear a patch by: inversynth play --patch PATCH.json")
    own = any(output["kind"] == "virtual" for output in args.outputs)
    wait_s = args.wait if args.wait is not None else CONNECT_S if own else 0.0
    if not 0 <= wait_s <= 3600:
        raise UsageError(f"a wait of {wait_s:g} s is outside 0..3600")
    space = args.synth.space
    values = read_patch(args.patch, args.synth)[None]
    x, active = space.x_of_values(values)[0], space.active(space.levels_of_values(values))[0]
    with contextlib.ExitStack() as stack:
        receivers = []
        for output, (profile, baud) in zip(args.outputs, output_profiles(args, args.synth), strict=True):
            sink = output_sink(output, args.synth, profile)
            stack.callback(sink.close)
            receivers.append(Receiver(profile, sink, baud))
        time.sleep(wait_s)
        for receiver in receivers:
            receiver.offer(x, active)
        _pump(receivers, at_once=all(output["kind"] in ("dry_run", "midi_file") for output in args.outputs))
        sys.stdout.flush()
    for receiver in receivers:
        say(f"{receiver.sent} messages to {receiver.description}; profile {receiver.profile.name}")
    return 0


def _pump(receivers: list[Receiver], at_once: bool) -> None:
    """Sends until nothing waits; `at_once`: without a clock, for what is only written down."""
    began, now = time.perf_counter(), 0.0
    while due := [at for receiver in receivers if (at := receiver.pump(now)) is not None]:
        now = min(due)
        if not at_once:
            time.sleep(max(now - (time.perf_counter() - began), 0.0))
            now = max(now, time.perf_counter() - began)
