"""`inversynth profiles`: which message each parameter becomes on a device; new ones from charts and from devices."""

from __future__ import annotations

import argparse
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from .. import synths
from ..errors import InversynthError, UsageError
from ..synths.synth import Synth
from ..system import files
from . import actions, add_synth, say

if TYPE_CHECKING:
    from ..midi import Control, Profile

ACTIONS = {
    "list": "name the shipped profiles",
    "show": "print a profile",
    "check": "say what a profile drives, or what is wrong in it",
    "import": "make a profile from a chart of control changes and NRPNs",
    "learn": "make a profile by moving the device's controls",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the actions."""

    made = actions(parser, ACTIONS)
    for name in ("show", "check"):
        made[name].add_argument(
            "profile", metavar="NAME|FILE.toml", help="a shipped profile, a synth's name for its own, or a TOML file"
        )
        add_synth(made[name], "whose parameters are driven", otherwise="that of the profile")
    made["import"].add_argument(
        "chart", metavar="CHART.csv", help="a chart in the form of github.com/pencilresearch/midi"
    )
    made["learn"].add_argument(
        "--midi-in", required=True, metavar="PORT", help="the device's MIDI output: its name or a part of it"
    )
    for name in ("import", "learn"):
        made[name].add_argument("--out", required=True, metavar="PROFILE.toml", help="the profile to write")
        add_synth(made[name], "whose parameters are driven")


def run(args: argparse.Namespace) -> int:
    """Returns 0."""
    from ..midi import profiles

    if args.action == "list":
        for name in [*synths.names(), *profiles.names()]:
            each = profiles.load(name, _synth_of(name))
            print(f"{name:12} {each.maker} {each.model}: {_driven(each)}")
    elif args.action == "show":
        name, synth = _asked(args)
        print(profiles.text(name, synth), end="")
    elif args.action == "check":
        profile = profiles.load(*_asked(args))
        print(f"{args.profile}: {_driven(profile)}, channel {profile.channel}")
        _print_driven(profile)
    elif args.action == "import":
        _import(args)
    else:
        _learn(args)
    return 0


def _asked(args: argparse.Namespace) -> tuple[str, Synth]:
    """The profile that is asked for, and the synth that it is for; that of a synth's own file has the synth's name."""
    if args.profile.endswith(".py"):
        synth = synths.load(args.profile)
        return synth.name, synth
    return args.profile, args.synth or _synth_of(args.profile)


def _synth_of(profile: str) -> Synth:
    """The synth that a profile is for: the one of its name, or that it names, or the default."""
    from ..midi import profiles

    if profile in synths.names():
        return synths.load(profile)
    named = profiles.synth_of(profile)
    found = synths.load() if named is None else synths.find(named)
    if found is None:
        raise UsageError(f"{profile} is for the synth {named!r}, which isn't installed; give it with --synth FILE.py")
    return found


def _driven(profile: Profile) -> str:
    own = f"{len(profile.driven)} of {len(profile.space)} parameters driven"
    return f"{own}, {len(profile.others)} other parameters of the device named"


def _print_driven(profile: Profile) -> None:
    for control in profile.driven:
        ends = "a table" if control.table else f"{control.low}..{control.high}"
        print(f"  {control.param.name:18} {control.address}, {ends}")


def _import(args: argparse.Namespace) -> None:
    from ..midi.profiles import to_toml
    from ..midi.profiles.charts import read_chart

    profile = read_chart(args.chart, args.synth, say)
    with files.writing(args.out) as temporary:
        temporary.write_text(to_toml(profile, args.synth.name), encoding="utf-8")
    print(f"{args.out}: {_driven(profile)}")
    _print_driven(profile)
    print("check these; to drive more, give [[others]] the head [parameters.NAME]")


def _learn(args: argparse.Namespace) -> None:
    from ..midi import InputPort, Profile
    from ..midi.profiles import to_toml
    from ..midi.profiles.learning import learn
    from ..system.devices import quiet

    space = args.synth.space
    typed: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read_lines() -> None:
        for line in sys.stdin:
            typed.put(line)

    def entered() -> str | None:
        try:
            return typed.get_nowait()
        except queue.Empty:
            return None

    controls: dict[str, Control] = {}
    channel = 1
    with files.writing(args.out) as temporary:  # an error is found now, not after all controls were moved
        port = InputPort(args.midi_in)
        threading.Thread(target=read_lines, name="lines", daemon=True).start()
        try:
            with quiet():  # libjack prints messages when its server goes
                for param, received_on, control in learn(space, port.receive, entered, say):
                    channel = received_on or channel
                    controls.pop(param.name, None)
                    if control is not None:
                        controls[param.name] = control
        except KeyboardInterrupt:
            say("stopped; what was moved so far is kept")
        finally:
            port.close()
        if not controls:
            raise InversynthError("nothing was moved; no profile is written")
        found = tuple(controls.get(name) for name in space.names)
        profile = Profile(Path(args.out).stem, space, found, channel)
        temporary.write_text(to_toml(profile, args.synth.name), encoding="utf-8")
    print(f"{args.out}: {_driven(profile)}")
