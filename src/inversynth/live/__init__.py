"""The live bridge: a source of sound in, MIDI out. The only package that starts threads.

    source -> ring -> listener -> window -> network -> gate -> tracker -> sender -> receivers
    its own process   this thread                                        its own thread

What is told by the listener, decided by the tracker and chosen by the receivers depends on the samples alone, not on
the blocks they come in nor on the clock: a file heard with a `StreamClock` goes through the same code, with the sender
on this thread and in the file's time, and a recorded session gives the same messages again.
"""

from .bridge import MODES, NOTES, STAGES_S, Bridge, Model, Settings, Status, Summary, run
from .gate import Gate
from .refining import Refiner
from .sending import Sender
from .session import Comparison, Recorder, Session, SessionSource
from .session import load as load_session
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
    "run",
]
