"""`inversynth play`: a synth as an instrument, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..synths.synth import Synth
from . import add_synth, list_ends, say, until_signalled

if TYPE_CHECKING:
    from ..live.play import Input, Player

OUT_RATE = 48000
"""Of a file, in Hz."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where notes come from, where sound goes, and what is played."""
    from ..live.play import VOICES

    inputs = parser.add_argument_group("input (at least one)")
    inputs.add_argument(
        "--midi-in",
        metavar="PORT",
        help="a MIDI port: its number, its name or a part of it; - reads MIDI's bytes from standard input",
    )
    inputs.add_argument("--virtual", metavar="NAME", help="make a MIDI port that others connect to")
    inputs.add_argument("--midi-file", metavar="IN.mid", help="a standard MIDI file")
    inputs.add_argument("--list-ports", action="store_true", help="list the MIDI input ports, and leave")
    inputs.add_argument(
        "--profile", metavar="NAME|FILE.toml", help="what its messages mean (default: the synth's own profile)"
    )
    inputs.add_argument("--channel", type=int, metavar="1..16", help="MIDI channel (default: the profile's)")

    inputs.add_argument("--velocity", type=int, metavar="1..127", help="of all notes (default: each has its own)")

    output = parser.add_argument_group("output (one)")
    output.add_argument(
        "--out", metavar="DEVICE", help="audio output: its index or a part of its name (default: the system's)"
    )
    output.add_argument("--out-file", metavar="OUT.wav", help="a WAV file, of --midi-file, as fast as possible")
    output.add_argument(
        "--sample-rate", type=int, metavar="HZ", help=f"default: the device's own; of a file, {OUT_RATE}"
    )
    output.add_argument(
        "--block-size", type=int, default=0, metavar="SAMPLES", help="a block (default: as the device has it)"
    )
    output.add_argument(
        "--gain", type=float, metavar="DB", help="of the sum of all voices (default: the synth's, -18 for most)"
    )
    output.add_argument("--list-devices", action="store_true", help="list the audio outputs, and leave")

    what = parser.add_argument_group("what is played")
    add_synth(what, "what is played")
    begin = what.add_mutually_exclusive_group()
    begin.add_argument("--patch", metavar="PATCH.json", help="what it begins with, as `match` writes it")
    begin.add_argument("--silent", action="store_true", help="begin with a patch that is hardly audible")
    what.add_argument("--voices", type=int, default=VOICES, metavar="N", help=f"notes at a time (default: {VOICES})")
    what.add_argument("--duration", type=float, metavar="SECONDS", help="stop after it (default: with the input)")


def run(args: argparse.Namespace) -> int:
    """Plays until the end of the input, the duration, Ctrl-C or SIGTERM; returns 0."""
    from ..audio.sources import check_block
    from ..live.play import FileInput, Output, Player, Voices, find_output, initial_patch, perform, render
    from ..matching.patch import read_patch
    from ..midi.profiles import load
    from ..system.devices import quiet
    from ..system.files import wav, writing

    if args.list_devices or args.list_ports:
        return _list(args)
    _check(args)
    instrument: Synth = args.synth
    profile = load(args.profile or instrument.name, instrument, args.channel)
    patch = read_patch(args.patch, instrument) if args.patch else initial_patch(instrument, args.silent)
    check_block(args.block_size or 1)
    row = None if args.out_file else find_output(args.out)
    channels = 1 if row is None else min(2, row["max_output_channels"])
    rate = args.sample_rate or (OUT_RATE if row is None else round(row["default_samplerate"]))
    player = Player(Voices(instrument, patch, rate, args.voices, args.gain, channels), profile, args.velocity)

    with contextlib.ExitStack() as stack:
        if row is None:
            file = FileInput(args.midi_file, player)
            sound = render(player, file, args.duration)
            with writing(args.out_file) as temporary:
                temporary.write_bytes(wav(sound, rate))
        else:
            stop = stack.enter_context(until_signalled())
            output = Output(row, player.voices, args.block_size, say)
            stack.callback(output.close)
            inputs = []
            for each in _inputs(args, player):
                stack.callback(each.close)
                inputs.append(each)
            for each in inputs:
                say(f"MIDI from {each.description}, channel {profile.channel}")
            say(f"driven: {', '.join(f'{each.param.name} ({each.address})' for each in profile.driven)}")
            say(f"playing {instrument.name} on {output.description}, {args.voices} voices")
            with quiet():  # libjack prints messages when its server goes
                perform(player, output, inputs, stop, args.duration)
    say(player.summary())
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises `UsageError` for options that don't go together."""
    if not (args.midi_in or args.virtual or args.midi_file):
        raise UsageError("give an input: --midi-in PORT (see --list-ports), --virtual NAME or --midi-file IN.mid")
    if args.out_file and (args.out or args.midi_in or args.virtual or not args.midi_file):
        raise UsageError("--out-file is made from --midi-file alone; live input goes to --out DEVICE")
    if args.synth.open_voices is None:
        raise UsageError(f"{args.synth.name} can't be played: it has no voices; give another --synth")
    if args.out_file and Path(args.out_file).suffix.lower() != ".wav":
        raise UsageError(f"--out-file {args.out_file}: a WAV file is written; give a name that ends in .wav")
    if args.duration is not None and not 0 < args.duration < float("inf"):
        raise UsageError(f"a duration of {args.duration:g} s is not above 0")


def _inputs(args: argparse.Namespace, player: Player) -> Iterator[Input]:
    from ..live.play import FileInput, PipeInput, PortInput

    if args.midi_in == "-":
        yield PipeInput(sys.stdin.fileno(), player)
    elif args.midi_in:
        yield PortInput(args.midi_in, player)
    if args.virtual:
        yield PortInput(args.virtual, player, virtual=True)
    if args.midi_file:
        yield FileInput(args.midi_file, player)


def _list(args: argparse.Namespace) -> int:
    from ..live.play import list_outputs
    from ..midi import input_ports

    without = "no MIDI input ports; connect a keyboard, or make one with --virtual NAME"
    return list_ends(args, "output", list_outputs, input_ports, without)
