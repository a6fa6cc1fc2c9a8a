"""The live bridge: a source of sound in, MIDI out. The only package that starts threads.

    source -> ring -> listener (onsets -> window -> network -> gate) -> tracker, keys -> outputs -> receivers
    its own process   this thread: the pipeline                                         a thread each

What the pipeline does depends on the samples alone, not on the blocks they come in nor on the clock: a file with a
`StreamClock` goes through the same code, with the senders on this thread and in the file's time, and a recorded session
gives the same messages again.
"""

from .bridge import Bridge, run
from .gate import Gate, renders_quickly
from .listener import STAGES_S, Model
from .refining import Refiner
from .sending import Sender
from .session import Comparison, Recorder, Session, SessionSource
from .session import load as load_session
from .settings import MODES, NOTES, Settings
from .status import Status, Summary
from .tracking import Estimate, Tracker

__all__ = [
    "MODES",
    "NOTES",
    "STAGES_S",
    "Bridge",
    "Comparison",
    "Estimate",
    "Gate",
    "Model",
    "Recorder",
    "Refiner",
    "Sender",
    "Session",
    "SessionSource",
    "Settings",
    "Status",
    "Summary",
    "Tracker",
    "load_session",
    "renders_quickly",
    "run",
]
