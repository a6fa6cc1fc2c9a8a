"""The notes that are sent with the sound: which key goes down, how hard, and when it comes up."""

from __future__ import annotations

import math

from ..audio.pitch import pitch
from .listener import Prediction
from .outputs import Outputs
from .settings import Settings

VELOCITY_DB = 40.0
"""Full scale is velocity 127, and this far below it velocity 1."""


class Keys:
    """Presses a key of the receivers' while a note sounds, if the settings ask for it.

    sounding: whether a note does; note: its MIDI number where it is known. Times are in seconds of the stream.
    """

    def __init__(self, settings: Settings, outputs: Outputs, sample_rate: int) -> None:
        self._mode, self._fixed = settings.notes, settings.note
        self._outputs, self._rate = outputs, sample_rate
        self.sounding = False
        self.note = settings.note if settings.notes == "fixed" else None
        self._level = 0.0
        self._down: int | None = None

    def begin(self, at_s: float, level: float) -> None:
        """A note begins, with this amplitude so far."""
        self.sounding, self._level = True, level
        if self._mode == "fixed":
            self._press(at_s, self._fixed)

    def end(self, at_s: float) -> None:
        """What sounded is over."""
        self.sounding = False
        self.lift(at_s)

    def know(self, at_s: float, found: Prediction) -> None:
        """More is known of the note: its pitch, and whether it is accepted. `sample_rate` is that of the window."""
        if self._mode is not None and self.sounding and self._down is None:
            key: int | None = self._fixed
            if self._mode == "pitch":
                key = self.note = pitch(found.part, self._rate).note
            if key is not None and found.refusal is None:
                self._press(at_s, key)
        if found.refusal is not None and found.last_chance:
            self.lift(at_s)  # before, a steady note can still turn out to be one

    def _press(self, at_s: float, key: int) -> None:
        level_db = 20 * math.log10(self._level) if self._level > 0 else -math.inf
        velocity = round(min(max(1 + 126 * (1 + level_db / VELOCITY_DB), 1), 127))
        self.lift(at_s)
        self._down = key
        self._outputs.do(at_s, lambda receiver: receiver.note_on(key, velocity))

    def lift(self, at_s: float) -> None:
        """The key that is down comes up."""
        key, self._down = self._down, None
        if key is not None:
            self._outputs.do(at_s, lambda receiver: receiver.note_off(key))
