"""`inversynth live`: sound in, control changes out, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .. import synths
from ..errors import UsageError
from ..version import __version__
from . import add_synth, list_ends, say, until_signalled
from .outputs import add_outputs, output_profiles, output_sink

if TYPE_CHECKING:
    from ..audio.sources import Source
    from ..live import Comparison, Gate, Session, Settings
    from ..midi import Profile
    from ..spec import AudioFormat
    from ..synths.synth import Synth


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One input, any number of outputs, and how to listen."""
    from ..audio.sources import BLOCK_SAMPLES
    from ..live import MODES, NOTES, Settings
    from ..predict.model import DEVICES

    listen = parser.add_argument_group("input (one)")
    listen.add_argument("--in", dest="input", metavar="DEVICE", help="audio input: its index or a part of its name")
    listen.add_argument("--file", metavar="TARGET.wav", help="a recording, in real time")
    listen.add_argument("--replay", metavar="SESSION", help="a session that --record kept, run again as it was")
    listen.add_argument("--fast", action="store_true", help="take --file or --replay as fast as possible")
    listen.add_argument("--sample-rate", type=int, metavar="HZ", help="of the device (default: its own)")
    listen.add_argument(
        "--block-size",
        type=int,
        default=BLOCK_SAMPLES,
        metavar="SAMPLES",
        help=f"size of a block; 0 leaves it to the device (default: {BLOCK_SAMPLES})",
    )
    listen.add_argument("--list-devices", action="store_true", help="list the audio inputs, and leave")

    add_outputs(parser)

    how = parser.add_argument_group("listening")
    add_synth(how, "whose parameters are sent", "that of the session or the model")
    how.add_argument("--model", metavar="NAME|FILE.onnx", help="a shipped model or an ONNX file (default: the synth's)")
    how.add_argument("--device", default="auto", choices=DEVICES, help="where the network runs (default: auto)")
    how.add_argument("--mode", choices=MODES, help=f"a patch a note, or all the time (default: {Settings.mode})")
    how.add_argument("--rate", type=float, help=f"predictions a second in follow mode (default: {Settings.rate:g})")
    how.add_argument("--gain", dest="gain_db", type=float, metavar="DB", help="amplify the input (default: 0)")
    how.add_argument(
        "--threshold",
        dest="threshold_db",
        type=float,
        metavar="DBFS",
        help=f"sound below this level is ignored (default: {Settings.threshold_db:g})",
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
        help="send notes too: the key of the synth's own note at the onset (fixed), or the fundamental's (pitch)",
    )
    how.add_argument(
        "--refine",
        type=float,
        metavar="SECONDS",
        help="search in the background for a better patch, up to this long after each note",
    )
    how.add_argument("--panic", action="store_true", default=None, help="silence the receivers at the end")
    how.add_argument("--record", metavar="SESSION", help="keep the sound and what is sent in a folder")
    how.add_argument("--quiet", action="store_true", help="no display")
    how.add_argument("--awake", action="store_true", help="let no processor sleep, so that none wakes too late (Linux)")
    how.add_argument("--duration", type=float, metavar="SECONDS", help="stop after this time (default: never)")


SETTINGS = ("mode", "gain_db", "rate", "threshold_db", "confidence", "smooth", "notes", "panic", "duration")


def run(args: argparse.Namespace) -> int:
    """Listens until the end of the file, the duration, Ctrl-C, SIGTERM or SIGHUP; returns 0."""
    from .. import live
    from ..midi import Receiver
    from ..midi.profiles import to_toml
    from ..predict.model import load_model
    from ..predict.shipped import default_model, digest
    from ..system.awake import awake
    from ..system.devices import quiet

    if args.list_devices or args.list_ports:
        return _list(args)
    _check(args)
    if args.notes is None and not args.replay and any(output["kind"] == "play" for output in args.outputs):
        args.notes = live.NOTES[0]
    session = live.load_session(args.replay) if args.replay else None
    kept = _kept(session) if session else None
    target = _target(args, kept)
    named = args.model or (kept.model if kept else default_model(target))
    settings = kept.settings if kept else _settings(args, target)
    profiles = output_profiles(args, target) if session is None or args.outputs else _kept_profiles(session, target)

    with contextlib.ExitStack() as stack:
        if args.awake:
            stack.enter_context(awake())
        model = load_model(named, args.device)
        model.require(target)
        if session is not None:
            _tell_differences(session, model.name, digest(named))
        source = _source(args, session)
        stack.callback(source.close)
        receivers: list[Receiver] = []
        compared: list[live.Comparison] = []
        for number, (profile, baud) in enumerate(profiles):
            if session is None or args.outputs:
                sink = output_sink(args.outputs[number], target, profile)
            else:
                sink = live.Comparison(session, number)
                compared.append(sink)
            stack.callback(sink.close)
            receivers.append(Receiver(profile, sink, baud))
        stop = stack.enter_context(until_signalled())  # only from here on: opening the devices above may hang
        refiner = recorder = None
        if args.refine is not None:
            refiner = live.Refiner(target, args.refine)
            stack.callback(refiner.close)
        if args.record:
            recorder = live.Recorder(args.record, say)
            stack.callback(recorder.stop)

        say(f"listening to {source.description}, {settings.mode} mode, above {settings.threshold_db:g} dBFS")
        say(f"model {model.name}, {'native' if model.engine == 'native' else f'onnxruntime on {model.device}'}")
        for receiver in receivers:
            profile = receiver.profile
            say(f"sending to {receiver.description}; profile {profile.name}, channel {profile.channel}")
        gated = kept.gate if kept else not args.anything
        gate = _gate(target, model.audio, kept) if gated else None
        bridge = live.Bridge(
            source, model, receivers, settings, gate, refiner, recorder, session, say, space=target.space
        )
        if recorder is not None:
            facts = {"synth": target.name, "model": named, "model_sha256": digest(named)}
            wires = [{"profile": to_toml(profile, target.name), "baud": baud} for profile, baud in profiles]
            more = {"version": __version__, **facts, "receivers": wires}
            recorder.start(source.sample_rate, {**bridge.facts, **more})
        if not (args.quiet or args.fast or any(output["kind"] == "dry_run" for output in args.outputs)):
            from ..live.display import Display

            stack.enter_context(Display(target.space, bridge.status, settings.confidence))
        with quiet():  # the libraries' messages would disturb the display
            summary = bridge.run(stop)
    for line in summary.lines():
        say(line)
    if recorder is not None:
        recorder.check()
    return _compare(compared)


def _settings(args: argparse.Namespace, target: Synth) -> Settings:
    from ..live import Settings

    given = {name: getattr(args, name) for name in SETTINGS}
    known = {name: value for name, value in given.items() if value is not None}
    return Settings(note=round(target.note.key), **known)


def _target(args: argparse.Namespace, kept: _Kept | None) -> Synth:
    """The synth that is asked for, or that of the session or of the model."""
    from ..predict.model import load_model

    given: Synth | None = args.synth
    if kept is not None:
        if given is not None and given.name != kept.synth:
            raise UsageError(f"the session {args.replay} is of the synth {kept.synth!r}, not of {given.name!r}")
        name, what = kept.synth, f"the session {args.replay}"
    elif given is None and args.model:
        model = load_model(args.model, args.device)
        name, what = model.synth, f"the model {model.name}"
    else:
        return given or synths.load()
    found = given or synths.find(name)
    if found is None:
        raise UsageError(f"{what} is of the synth {name!r}, which isn't here; give it with --synth FILE.py")
    return found


def _gate(target: Synth, audio: AudioFormat, kept: _Kept | None) -> Gate:
    """The gate, as in the session, or by the time that rendering takes here."""
    from .. import live

    renders = kept.gate_renders if kept else live.renders_quickly(target, audio)
    if not renders:
        say(f"{target.name} takes long to render: confident predictions move it uncompared, and so do steady notes")
    return live.Gate(target, audio, renders)


class _Kept(NamedTuple):
    """What a session was recorded with."""

    synth: str
    model: str
    settings: Settings
    gate: bool
    gate_renders: bool


def _kept(session: Session) -> _Kept:
    from ..live import Settings
    from ..system.files import check_types

    facts = {"gate_renders": True, **session.facts}
    with session.reading():
        for name, kind in (("synth", str), ("model", str), ("gate", bool), ("gate_renders", bool)):
            if not isinstance(facts[name], kind):
                raise TypeError(f"{name} is {facts[name]!r}")
        settings = Settings(**facts["settings"])
        check_types(settings)
        return _Kept(facts["synth"], facts["model"], settings, facts["gate"], facts["gate_renders"])


def _tell_differences(session: Session, model: str, model_sha256: str) -> None:
    """Says what has changed since the session was recorded."""
    if session.facts.get("model_sha256", model_sha256) != model_sha256:
        say(f"model {model} is not the one that the session was recorded with: its messages may differ")
    version = session.facts.get("version", "before 0.1.0")
    if version != __version__:
        say(f"the session was recorded by inversynth {version}, this is {__version__}: its messages may differ")


def _kept_profiles(session: Session, target: Synth) -> list[tuple[Profile, float]]:
    """The profiles and speeds of a session's receivers; the patches that were refined are of the same parameters."""
    import tomllib

    from ..midi.profiles import parse

    with session.reading():
        if any(mark.what == "refined" and len(mark.value) != len(target.space) for mark in session.marks):
            raise ValueError(f"a refined patch doesn't have {len(target.space)} parameters")
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
            raise UsageError("--out is the audio output of --play; put it after --play")
        if output["kind"] == "play" and not set(output) <= {"kind", "name", "out"}:
            raise UsageError(
                "--play has a profile, a channel and a speed of its own; put those of other outputs after them"
            )
        if output["kind"] == "play" and args.fast:
            raise UsageError("--play plays in real time; leave out --fast")
    if args.fast and args.input is not None:
        raise UsageError("--fast is for --file and --replay; a device has its own time")
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
            raise UsageError(f"--{wrong.removesuffix('_db')} is for new sound; a session has its own settings")


def _source(args: argparse.Namespace, session: Session | None) -> Source:
    from ..audio.input import DeviceSource
    from ..audio.sources import FileSource, StreamClock, WallClock
    from ..live import SessionSource

    clock = StreamClock() if args.fast else WallClock()
    if session is not None:
        return SessionSource(session, clock, args.block_size)
    if args.file is not None:
        return FileSource(args.file, clock, args.block_size)
    return DeviceSource(args.input, args.sample_rate, args.block_size)


def _list(args: argparse.Namespace) -> int:
    from ..audio.devices import list_devices
    from ..midi import output_ports

    without = "no MIDI output ports; start what is to receive, or make one with --virtual NAME"
    return list_ends(args, "input", list_devices, output_ports, without)
