"""Patches and notes as MIDI: messages, what a device takes, the pace of the wire, and where they go."""

from .addresses import Address, ControlChange, ControlChange14, Nrpn, Sysex
from .decoding import BEND_SEMITONES, PatchReader
from .din import DinSink
from .messages import BAUD, RESERVED, Message
from .osc import OSC_BAUD, OscSink, check_osc
from .ports import LOOK_S, InputPort, PortSink, input_ports, output_ports, rtmidi_output
from .profile import Control, Driven, Dump, Profile
from .receiver import Receiver, byte_s
from .sinks import MidiFileSink, Sink, TextSink
from .streams import Splitter, check_channel, read_midi

__all__ = [
    "BAUD",
    "BEND_SEMITONES",
    "LOOK_S",
    "OSC_BAUD",
    "RESERVED",
    "Address",
    "Control",
    "ControlChange",
    "ControlChange14",
    "DinSink",
    "Driven",
    "Dump",
    "InputPort",
    "Message",
    "MidiFileSink",
    "Nrpn",
    "OscSink",
    "PatchReader",
    "PortSink",
    "Profile",
    "Receiver",
    "Sink",
    "Splitter",
    "Sysex",
    "TextSink",
    "byte_s",
    "check_channel",
    "check_osc",
    "input_ports",
    "output_ports",
    "read_midi",
    "rtmidi_output",
]
