"""`inversynth live`: sound in, control changes out, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from .. import synths
from ..errors import UsageError
from ..version import __version__
from . import add_synth, list_ends, say

if TYPE_CHECKING:
    from ..audio.sources import Source
    from ..live import Comparison, Session, Settings
    from ..midi import Profile, Sink
    from ..synths.synth import Synth


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One input, any number of outputs, and how to listen."""
    from ..audio.sources import BLOCK_SAMPLES
    from ..live import MODES, NOTES, Settings
    from ..midi import BAUD
    from ..predict.model import DEVICES

    listen = parser.add_argument_group("input (one)")
    listen.add_argument("--in", dest="input", metavar="DEVICE", help="audio input: its index or a part of its name")
    listen.add_argument("--file", metavar="TARGET.wav", help="a recording, heard in real time")
    listen.add_argument("--replay", metavar="SESSION", help="a session that --record kept, run again as it was")
    listen.add_argument("--fast", action="store_true", help="hear --file or --replay as fast as possible")
    listen.add_argument("--sample-rate", type=int, metavar="HZ", help="of the device (default: its own)")
    listen.add_argument(
        "--block-size",
        type=int,
        default=BLOCK_SAMPLES,
        metavar="SAMPLES",
        help=f"a block; 0 leaves it to the device (default: {BLOCK_SAMPLES})",
    )
    listen.add_argument("--list-devices", action="store_true", help="list the audio inputs, and leave")

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

    how = parser.add_argument_group("listening")
    add_synth(how, "whose parameters are sent")
    how.add_argument("--model", help="a shipped model's name, or an ONNX file (default: the synth's)")
    how.add_argument("--device", default="auto", choices=DEVICES, help="where the network runs (default: auto)")
    how.add_argument("--mode", choices=MODES, help=f"a patch a note, or all the time (default: {Settings.mode})")
    how.add_argument("--rate", type=float, help=f"predictions a second in follow mode (default: {Settings.rate:g})")
    how.add_argument(
        "--gain", dest="gain_db", type=float, metavar="DB", help="hear the input so much louder, or softer (default: 0)"
    )
    how.add_argument(
        "--threshold",
        dest="threshold_db",
        type=float,
        metavar="DBFS",
        help=f"sound is what is above (default: {Settings.threshold_db:g})",
    )
    how.add_argument(
        "--confidence",
        type=float,
        metavar="0..1",
        help=f"how sure the network must be to move a parameter (default: {Settings.confidence:g})",
    )
    how.add_argument(
        "--smooth", type=float, metavar="SECONDS", help="how long a move takes (default: 0.1 in follow mode, else 0)"
    )
    how.add_argument("--anything", action="store_true", help="let every sound move parameters, noise and speech too")
    how.add_argument(
        "--notes",
        nargs="?",
        const=NOTES[0],
        choices=NOTES,
        help=f"send notes too: key {Settings.note} at the onset (fixed), or the fundamental's once heard (pitch)",
    )
    how.add_argument(
        "--refine", type=float, metavar="SECONDS", help="search in the background for a better patch, so long a note"
    )
    how.add_argument("--panic", action="store_true", default=None, help="silence the receivers at the end")
    how.add_argument("--record", metavar="SESSION", help="keep what is heard and sent in a folder")
    how.add_argument("--quiet", action="store_true", help="no display")
    how.add_argument("--awake", action="store_true", help="let no processor sleep, lest it wakes too late (Linux)")
    how.add_argument("--duration", type=float, metavar="SECONDS", help="stop by itself (default: never)")


class _Output(argparse.Action):
    """Appends an output to `outputs`, as a dictionary of what is said of it."""

    def __call__(self, parser: object, space: argparse.Namespace, value: object, option: str | None = None) -> None:
        space.outputs = [*space.outputs, {"kind": self.dest, "name": value}]


class _OfOutput(argparse.Action):
    """Says something of the last output, or of all."""

    def __call__(self, parser: object, space: argparse.Namespace, value: object, option: str | None = None) -> None:
        if space.outputs:
            space.outputs = [*space.outputs[:-1], {**space.outputs[-1], self.dest: value}]
        else:
            space.of_all = {**space.of_all, self.dest: value}


SETTINGS = ("mode", "gain_db", "rate", "threshold_db", "confidence", "smooth", "notes", "panic", "duration")


def run(args: argparse.Namespace) -> int:
    """Listens until the end of the file, the duration, Ctrl-C or SIGTERM; returns 0."""
    from .. import live
    from ..midi import Receiver
    from ..midi.profiles import to_toml
    from ..predict.model import load_model
    from ..predict.shipped import default_model, digest
    from ..system.devices import quiet
    from ..system.realtime import awake

    if args.list_devices or args.list_ports:
        return _list(args)
    _check(args)
    if args.notes is None and not args.replay and any(output["kind"] == "play" for output in args.outputs):
        args.notes = live.NOTES[0]
    given = {name: getattr(args, name) for name in SETTINGS}
    session = live.load_session(args.replay) if args.replay else None
    if session is None:
        settings = live.Settings(**{name: value for name, value in given.items() if value is not None})
    else:
        kept_synth, kept_model, settings, gated = _kept(session)
        args.synth = synths.load(kept_synth)
        args.model, args.anything = args.model or kept_model, not gated
    target: Synth = args.synth
    profiles = _profiles(args, target) if args.outputs or not session else _kept_profiles(session, target)

    with contextlib.ExitStack() as stack:
        if args.awake:
            stack.enter_context(awake())
        named = args.model or default_model(target)
        model = load_model(named, args.device)
        model.require(target)
        if session is not None and session.facts.get("model_sha256", digest(named)) != digest(named):
            say(f"model {model.name} is not the one that the session was recorded with: its messages may differ")
        if session is not None and (version := session.facts.get("version", "before 0.1.0")) != __version__:
            say(f"the session was recorded by inversynth {version}, this is {__version__}: its messages may differ")
        source = _source(args, session)
        stack.callback(source.close)
        receivers: list[Receiver] = []
        compared: list[live.Comparison] = []
        for number, (profile, baud) in enumerate(profiles):
            if args.outputs:
                sink = _sink(args.outputs[number], target, profile)
            else:
                assert session is not None
                sink = live.Comparison(session, number)
                compared.append(sink)
            stack.callback(sink.close)
            receivers.append(Receiver(profile, sink, baud))
        stop = stack.enter_context(_until_signalled())  # from here on; what is opened above may hang
        refiner = recorder = None
        if args.refine is not None:
            refiner = live.Refiner(target, args.refine)
            stack.callback(refiner.close)
        if args.record:
            recorder = live.Recorder(args.record)
            stack.callback(recorder.close)

        say(f"listening to {source.description}, {settings.mode} mode, above {settings.threshold_db:g} dBFS")
        say(f"model {model.name}, {'native' if model.engine == 'native' else f'onnxruntime on {model.device}'}")
        for receiver in receivers:
            profile = receiver.profile
            say(f"sending to {receiver.description}; profile {profile.name}, channel {profile.channel}")
        gate = None if args.anything else live.Gate(target, model.audio)
        bridge = live.Bridge(source, model, receivers, settings, gate, refiner, recorder, session, say)
        if recorder is not None:
            kept = [{"profile": to_toml(profile, target.name), "baud": baud} for profile, baud in profiles]
            recorder.start(
                source.sample_rate,
                {
                    **bridge.facts,
                    "version": __version__,
                    "synth": target.name,
                    "model": named,
                    "model_sha256": digest(named),
                    "receivers": kept,
                },
            )
        if not (args.quiet or args.fast or any(output["kind"] == "dry_run" for output in args.outputs)):
            from ..live.display import Display

            stack.enter_context(Display(target.space, bridge.status, settings.confidence))
        with quiet():  # what libraries say of a server that is gone would be in the display's way
            summary = bridge.run(stop)
    for line in summary.lines():
        say(line)
    return _compare(compared)


def _profiles(args: argparse.Namespace, target: Synth) -> list[tuple[Profile, float]]:
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


def _kept(session: Session) -> tuple[str, str, Settings, bool]:
    """The synth, the model, the settings, and whether there was a gate, that a session was recorded with."""
    from ..live import Settings
    from ..system.files import check_types

    facts = session.facts
    with session.reading():
        for name, kind in (("synth", str), ("model", str), ("gate", bool)):
            if not isinstance(facts[name], kind):
                raise TypeError(f"{name} is {facts[name]!r}")
        settings = Settings(**facts["settings"])
        check_types(settings)
        return facts["synth"], facts["model"], settings, facts["gate"]


def _kept_profiles(session: Session, target: Synth) -> list[tuple[Profile, float]]:
    """The profiles and speeds of a session's receivers; the patches that were refined are of the same parameters."""
    import tomllib

    from ..midi.profiles import parse

    with session.reading():
        if any(mark.what == "refined" and len(mark.value) != len(target.space) for mark in session.marks):
            raise ValueError(f"a refined patch has not {len(target.space)} parameters")
        return [
            (parse(tomllib.loads(kept["profile"]), session.folder, target), float(kept["baud"]))
            for kept in session.facts["receivers"]
        ]


def _compare(sinks: Sequence[Comparison]) -> int:
    """Says whether the messages are those of the session; returns 0 if so, else 1."""
    code = 0
    for number, sink in enumerate(sinks, 1):
        difference = sink.result()
        code = code or int(difference is not None)
        say(f"output {number}: {'the same messages again' if difference is None else difference}")
    return code


def _check(args: argparse.Namespace) -> None:
    """Raises `UsageError` for options that don't go together."""
    if sum(given is not None for given in (args.input, args.file, args.replay)) != 1:
        raise UsageError("give one input: --in DEVICE (see --list-devices), --file TARGET.wav or --replay SESSION")
    if not args.outputs and not args.replay:
        raise UsageError(
            "give an output: --midi-out PORT (see --list-ports), --virtual NAME, --osc HOST:PORT, --din FILE, "
            "--midi-file OUT.mid, --dry-run or --play"
        )
    for output in args.outputs:
        if output["kind"] != "play" and "out" in output:
            raise UsageError("--out is the audio output of --play; put it behind")
        if output["kind"] == "play" and not set(output) <= {"kind", "name", "out"}:
            raise UsageError("--play has a profile, a channel and a speed of its own; put those of others behind them")
        if output["kind"] == "play" and args.fast:
            raise UsageError("--play is heard in real time; leave out --fast")
    if args.fast and args.input is not None:
        raise UsageError("--fast is for --file and --replay; a device is heard in real time")
    if args.sample_rate is not None and args.input is None:
        raise UsageError("--sample-rate is for --in; a file has its own")
    if args.rate is not None and args.mode != "follow":
        raise UsageError("--rate is for --mode follow")
    if args.refine is not None and args.fast:
        raise UsageError("--refine is for sound in real time; leave out --fast, or see inversynth match --refine")
    if args.replay:
        others = [*SETTINGS, "refine", "record"]
        wrong = next((name for name in others if getattr(args, name) is not None), None)
        if wrong is not None:
            raise UsageError(f"--{wrong.removesuffix('_db')} is for sound that is new; a session has its own settings")


def _source(args: argparse.Namespace, session: Session | None) -> Source:
    from ..audio.sources import DeviceSource, FileSource, StreamClock, WallClock
    from ..live import SessionSource

    clock = StreamClock() if args.fast else WallClock()
    if session is not None:
        return SessionSource(session, clock, args.block_size)
    if args.file is not None:
        return FileSource(args.file, clock, args.block_size)
    return DeviceSource(args.input, args.sample_rate, args.block_size)


def _sink(output: Mapping[str, str], target: Synth, profile: Profile) -> Sink:
    from ..live.play import ProcessSink
    from ..midi import DinSink, MidiFileSink, OscSink, PortSink, TextSink

    kind, name = output["kind"], output["name"]
    if kind == "play":
        return ProcessSink(
            "--synth", target.origin or target.name, *(("--out", output["out"]) if "out" in output else ())
        )
    if kind == "osc":
        return OscSink(name)
    if kind == "din":
        return DinSink(name)
    if kind == "midi_file":
        return MidiFileSink(name)
    if kind == "dry_run":
        return TextSink(sys.stdout, profile.pairs)
    return PortSink(name, virtual=kind == "virtual")


def _list(args: argparse.Namespace) -> int:
    from ..audio.sources import list_devices
    from ..midi import output_ports

    without = "no MIDI output ports; start what is to receive, or make one with --virtual NAME"
    return list_ends(args, "input", list_devices, output_ports, without)


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
