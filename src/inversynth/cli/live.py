"""`inversynth live`: sound in, control changes out, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING

from ..errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..audio import Source
    from ..midi import Profile, Sink


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One input, any number of outputs, and how to listen."""
    from ..audio import BLOCK_SAMPLES
    from ..live import MODES, Settings
    from ..predict import DEVICES
    from ..render import SYNTHS

    listen = parser.add_argument_group("input (one)")
    listen.add_argument("--in", dest="input", metavar="DEVICE", help="audio input: its index or a part of its name")
    listen.add_argument("--file", metavar="TARGET.wav", help="a recording, heard in real time")
    listen.add_argument("--fast", action="store_true", help="hear --file as fast as possible")
    listen.add_argument("--sample-rate", type=int, metavar="HZ", help="of the device (default: its own)")
    listen.add_argument(
        "--block-size",
        type=int,
        default=BLOCK_SAMPLES,
        metavar="SAMPLES",
        help=f"a block; 0 leaves it to the device (default: {BLOCK_SAMPLES})",
    )
    listen.add_argument("--list-devices", action="store_true", help="list the audio inputs, and leave")

    output = parser.add_argument_group("output (at least one)")
    output.add_argument("--midi-out", metavar="PORT", help="a MIDI output port: its name or a part of it")
    output.add_argument("--virtual", metavar="NAME", help="make a MIDI port that others connect to")
    output.add_argument("--midi-file", metavar="OUT.mid", help="a standard MIDI file")
    output.add_argument("--dry-run", action="store_true", help="print SendMIDI's commands")
    output.add_argument("--list-ports", action="store_true", help="list the MIDI output ports, and leave")
    output.add_argument(
        "--profile",
        metavar="NAME|FILE.toml",
        help="what the receiver takes, see `inversynth profiles` (default: the synth's own)",
    )
    output.add_argument("--channel", type=int, metavar="1..16", help="MIDI channel (default: the profile's)")
    output.add_argument("--baud", type=float, help=f"speed of the wire, bits a second (default: {Settings.baud})")

    how = parser.add_argument_group("listening")
    how.add_argument("--synth", default="paper", choices=SYNTHS, help="whose parameters (default: paper)")
    how.add_argument("--model", help="a shipped model's name, or an ONNX file (default: the synth's)")
    how.add_argument("--device", default="auto", choices=DEVICES, help="where the network runs (default: auto)")
    how.add_argument("--mode", choices=MODES, help=f"a patch a note, or all the time (default: {Settings.mode})")
    how.add_argument("--rate", type=float, help=f"predictions a second in follow mode (default: {Settings.rate:g})")
    how.add_argument(
        "--threshold",
        dest="threshold_db",
        type=float,
        metavar="DBFS",
        help=f"sound is what is above (default: {Settings.threshold_db:g})",
    )
    how.add_argument("--duration", type=float, metavar="SECONDS", help="stop by itself (default: never)")


def run(args: argparse.Namespace) -> int:
    """Listens until the end of the file, the duration, Ctrl-C or SIGTERM; returns 0."""
    from ..live import Settings
    from ..live import run as listen
    from ..midi import Receiver
    from ..predict import default_model, load_model
    from ..profiles import load
    from ..render import synth

    if args.list_devices or args.list_ports:
        return _list(args)
    _check(args)
    given = {name: getattr(args, name) for name in ("mode", "rate", "threshold_db", "baud", "duration")}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    target = synth(args.synth)
    profile = load(args.profile or args.synth, target.space, args.channel)

    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(_until_signalled())
        model = load_model(args.model or default_model(args.synth), args.device)
        model.require(target)
        source = _source(args)
        stack.callback(source.close)
        receivers: list[Receiver] = []
        for sink in _sinks(args, profile):
            stack.callback(sink.close)
            receivers.append(Receiver(profile, sink, settings.baud))

        _say(f"listening to {source.description}, {settings.mode} mode, above {settings.threshold_db:g} dBFS")
        _say(f"model {model.name} on {model.device}; profile {profile.name}, channel {profile.channel}")
        for receiver in receivers:
            _say(f"sending to {receiver.description}")
        _say(f"driven: {', '.join(f'{each.param.name} ({each.address})' for each in profile.driven)}")
        count = 0

        def report(at_s: float, levels: NDArray[np.int64]) -> None:
            nonlocal count
            count += 1
            _say(f"{at_s:8.2f} s  note {count}")

        captures = settings.mode == "capture"
        summary = listen(source, model, receivers, settings, stop, report if captures else None)
    for line in summary.lines("note" if captures else "prediction"):
        _say(line)
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _check(args: argparse.Namespace) -> None:
    """Raises `UsageError` for options that don't go together."""
    if (args.input is None) == (args.file is None):
        raise UsageError("give one input: --in DEVICE (see --list-devices) or --file TARGET.wav")
    if not (args.midi_out or args.virtual or args.midi_file or args.dry_run):
        raise UsageError(
            "give an output: --midi-out PORT (see --list-ports), --virtual NAME, --midi-file OUT.mid or --dry-run"
        )
    if args.fast and args.file is None:
        raise UsageError("--fast is for --file; a device is heard in real time")
    if args.sample_rate is not None and args.file is not None:
        raise UsageError("--sample-rate is for --in; a file has its own")
    if args.rate is not None and args.mode != "follow":
        raise UsageError("--rate is for --mode follow")


def _source(args: argparse.Namespace) -> Source:
    from ..audio import DeviceSource, FileSource, StreamClock, WallClock

    if args.file is not None:
        return FileSource(args.file, StreamClock() if args.fast else WallClock(), args.block_size)
    return DeviceSource(args.input, args.sample_rate, args.block_size)


def _sinks(args: argparse.Namespace, profile: Profile) -> Iterator[Sink]:
    from ..midi import MidiFileSink, PortSink, TextSink

    if args.midi_out:
        yield PortSink(args.midi_out)
    if args.virtual:
        yield PortSink(args.virtual, virtual=True)
    if args.midi_file:
        yield MidiFileSink(args.midi_file)
    if args.dry_run:
        yield TextSink(sys.stdout, profile.pairs)


def _list(args: argparse.Namespace) -> int:
    from ..audio import list_devices
    from ..midi import output_ports

    if args.list_devices:
        for row in list_devices():
            rate, channels = row["default_samplerate"], row["max_input_channels"]
            print(f"{row['index']:3}  {row['name']}  ({row['hostapi']}, {channels} channels, {rate:g} Hz)")
    if args.list_ports:
        names = output_ports()
        for name in names:
            print(name)
        if not names:
            _say("no MIDI output ports; start what is to receive, or make one with --virtual NAME")
    return 0


@contextlib.contextmanager
def _until_signalled() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second Ctrl-C interrupts whatever goes on."""
    stop = threading.Event()

    def leave(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    kept = {number: signal.signal(number, leave) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
