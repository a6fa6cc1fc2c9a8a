"""The outputs of `inversynth live`: their options, the profile and the sink of each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..midi import Profile, Sink
    from ..synths.synth import Synth


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Declares any number of outputs: `args.outputs` has the options of each, `args.of_all` those of all."""
    from ..midi import BAUD

    output = parser.add_argument_group(
        "output (any number)",
        "--profile, --channel and --baud are of the output before them; those before the first output are of all",
    )
    parser.set_defaults(outputs=[], of_all={})
    output.add_argument("--midi-out", action=_Output, metavar="PORT", help="a MIDI port: its name or a part of it")
    output.add_argument("--virtual", action=_Output, metavar="NAME", help="make a MIDI port that others connect to")
    output.add_argument("--osc", action=_Output, metavar="HOST:PORT", help="Open Sound Control, over UDP")
    output.add_argument("--din", action=_Output, metavar="FILE", help="a raw MIDI device or serial line, as a DIN wire")
    output.add_argument("--midi-file", action=_Output, metavar="OUT.mid", help="a standard MIDI file")
    output.add_argument("--dry-run", action=_Output, nargs=0, help="print SendMIDI's commands")
    output.add_argument(
        "--play",
        action=_Output,
        nargs=0,
        help="play the synth here, by `inversynth play`; notes are sent, as by --notes",
    )
    output.add_argument(
        "--out", action=_OfOutput, metavar="DEVICE", help="audio output of --play (default: the system's)"
    )
    output.add_argument(
        "--profile",
        action=_OfOutput,
        metavar="NAME|FILE.toml",
        help="what the receiver takes, see `inversynth profiles` (default: the synth's own)",
    )
    output.add_argument(
        "--channel", action=_OfOutput, type=int, metavar="1..16", help="MIDI channel (default: the profile's)"
    )
    output.add_argument(
        "--baud", action=_OfOutput, type=float, help=f"speed of the wire, bits a second (default: {BAUD})"
    )
    output.add_argument("--list-ports", action="store_true", help="list the MIDI output ports, and leave")


class _Output(argparse.Action):
    """Appends an output to `outputs`, as a dictionary of its options."""

    def __call__(self, parser: object, space: argparse.Namespace, value: object, option: str | None = None) -> None:
        space.outputs = [*space.outputs, {"kind": self.dest, "name": value}]


class _OfOutput(argparse.Action):
    """Sets an option of the last output, or of all."""

    def __call__(self, parser: object, space: argparse.Namespace, value: object, option: str | None = None) -> None:
        if space.outputs:
            space.outputs = [*space.outputs[:-1], {**space.outputs[-1], self.dest: value}]
        else:
            space.of_all = {**space.of_all, self.dest: value}


def output_profiles(args: argparse.Namespace, target: Synth) -> list[tuple[Profile, float]]:
    """The profile and the speed of the wire of each output."""
    from ..live.play import PIPE_BAUD
    from ..midi import BAUD, OSC_BAUD, check_osc
    from ..midi.profiles import load, nrpn_profile

    found = []
    for output in args.outputs:
        if output["kind"] == "play":
            found.append((nrpn_profile(target), PIPE_BAUD))
            continue
        own = {"profile": "osc", "baud": OSC_BAUD} if output["kind"] == "osc" else {}
        about = {"profile": target.name, "channel": None, "baud": BAUD, **args.of_all, **own, **output}
        profile = load(about["profile"], target, about["channel"])
        check_osc(profile, output["kind"] == "osc")
        if output["kind"] == "din":
            profile = replace(profile, running_status=True)
        found.append((profile, about["baud"]))
    return found


def output_sink(output: Mapping[str, str], target: Synth, profile: Profile) -> Sink:
    """Opens an output."""
    from ..live.play import ProcessSink
    from ..midi import DinSink, MidiFileSink, OscSink, PortSink, TextSink

    kind, name = output["kind"], output["name"]
    if kind == "play":
        out = ("--out", output["out"]) if "out" in output else ()
        return ProcessSink("--synth", target.origin or target.name, *out)
    if kind == "osc":
        return OscSink(name)
    if kind == "din":
        return DinSink(name)
    if kind == "midi_file":
        return MidiFileSink(name)
    if kind == "dry_run":
        return TextSink(sys.stdout, profile.pairs)
    return PortSink(name, virtual=kind == "virtual")
