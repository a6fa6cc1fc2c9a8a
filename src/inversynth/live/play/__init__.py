"""A synth as an instrument: notes and changes of its patch come in as they are played, sound goes out.

    MIDI port, pipe or file -> Player -> ring -> voices -> device or file
    a thread of its own                  the audio callback, in C alone

What a player does becomes events in a ring (see ext/engines/voices.h). PortAudio calls the voices themselves: the
audio thread runs no Python, waits for no lock and allocates no memory.
"""

from .inputs import FileInput, Input, PipeInput, PortInput
from .output import Output, find_output, list_outputs
from .performing import perform, render
from .player import Player
from .process import PIPE_BAUD, ProcessSink, receiver
from .voices import VOICES, Voices, initial_patch

__all__ = [
    "PIPE_BAUD",
    "VOICES",
    "FileInput",
    "Input",
    "Output",
    "PipeInput",
    "Player",
    "PortInput",
    "ProcessSink",
    "Voices",
    "find_output",
    "initial_patch",
    "list_outputs",
    "perform",
    "receiver",
    "render",
]
