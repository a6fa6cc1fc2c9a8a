"""Patches and notes as MIDI: messages, what a device takes, the pace of the wire, and where they go."""

from .decoding import PatchReader
from .din import DinSink
from .messages import BAUD, RESERVED, Message
from .osc import OSC_BAUD, OscSink, check_osc
from .ports import LOOK_S, InputPort, PortSink, input_ports, output_ports, rtmidi_output
from .profile import Address, Control, ControlChange, ControlChange14, Nrpn, Profile, Sysex
from .receiver import Receiver, byte_s
from .sinks import MidiFileSink, Sink, TextSink

__all__ = [
    "BAUD",
    "LOOK_S",
    "OSC_BAUD",
    "RESERVED",
    "Address",
    "Control",
    "ControlChange",
    "ControlChange14",
    "DinSink",
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
    "Sysex",
    "TextSink",
    "byte_s",
    "check_osc",
    "input_ports",
    "output_ports",
    "rtmidi_output",
]
