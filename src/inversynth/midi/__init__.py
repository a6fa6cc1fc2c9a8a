"""Patches and notes as MIDI: messages, what a device takes, the pace of the wire, and where they go."""

from .messages import BAUD, RESERVED, Message
from .profile import Address, Control, ControlChange, ControlChange14, Nrpn, Profile, Sysex
from .receiver import Receiver, byte_s
from .sinks import LOOK_S, MidiFileSink, PortSink, Sink, TextSink, output_ports, rtmidi_output

__all__ = [
    "BAUD",
    "LOOK_S",
    "RESERVED",
    "Address",
    "Control",
    "ControlChange",
    "ControlChange14",
    "Message",
    "MidiFileSink",
    "Nrpn",
    "PortSink",
    "Profile",
    "Receiver",
    "Sink",
    "Sysex",
    "TextSink",
    "byte_s",
    "output_ports",
    "rtmidi_output",
]
