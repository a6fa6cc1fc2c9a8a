"""Profiles that are made of a synth's parameters alone: a synth's own, and one of NRPNs."""

from __future__ import annotations

from ...errors import UsageError
from ...spec import CONTINUOUS, Param
from ..addresses import Address, ControlChange, Nrpn
from ..messages import DATA_MAX, NULL, RESERVED
from ..profile import Control, Driven, Profile, check_places

MAX_NRPNS = NULL[0] << 7 | NULL[1]
"""How many parameters NRPNs can number: the last number of 14 bits stands for none."""


def default_profile(synth: Driven) -> Profile:
    """A synth's own profile: each parameter on its control change number, or as in `nrpn_profile` if it has none.

    An NRPN is also what a parameter of more levels than a control change has values gets, unless it is continuous.
    Where the synth has messages of a whole patch, the profile has them. Raises `UsageError` for a number that MIDI
    reserves, and for one of two parameters.
    """
    controls = tuple(Control.of(param, _own(param, i)) for i, param in enumerate(synth.space))
    check_places(f"the synth {synth.name}", {control.param.name: control for control in controls})
    return Profile(synth.name, synth.space, controls, maker="inversynth", model=synth.name, dump=synth.dump)


def nrpn_profile(synth: Driven, channel: int = 1) -> Profile:
    """The profile that players accept beside their own: NRPN i >> 7 : i & 127, 14 bits, for parameter i."""
    controls = tuple(Control.of(param, _nrpn(i)) for i, param in enumerate(synth.space))
    return Profile("nrpn", synth.space, controls, channel, "inversynth", "NRPN")


def _own(param: Param, i: int) -> Address:
    if param.midi is None or (param.kind != CONTINUOUS and param.levels > DATA_MAX + 1):
        return _nrpn(i)
    if not 0 <= param.midi <= DATA_MAX or param.midi in RESERVED:
        why = f"MIDI 1.0 reserves it ({RESERVED[param.midi]})" if param.midi in RESERVED else "it is not one of 0..127"
        raise UsageError(f"{param.name}: midi = {param.midi} can't be its control change number: {why}")
    return ControlChange(param.midi)


def _nrpn(i: int) -> Nrpn:
    if i >= MAX_NRPNS:
        raise UsageError(f"a synth of more than {MAX_NRPNS} parameters has no NRPN for each; give it another profile")
    return Nrpn(i >> 7, i & DATA_MAX)
