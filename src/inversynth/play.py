"""A synth of ours as an instrument: notes and changes of its patch come in as they are played, sound goes out.

    MIDI port, pipe or file -> Player -> ring -> voices -> device or file
    a thread of its own                  the audio callback, in C alone

What a player does becomes events in a ring (see ext/voices.h). PortAudio calls the voices themselves: the audio thread
runs no Python, waits for no lock and takes no memory, whatever the rest of the process does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _native
from .errors import UsageError
from .render import Synth
from .spec import AudioFormat

VOICES = 8
GAIN_DB = -18.0
"""Random patches of the paper's synth peak at 2.6 (median; 5 in 100 above 6.5): most notes stay below the limiter."""
TOP_VELOCITY = 127


class Voices:
    """Notes of a synth's patch, polyphonic.

    synth: one with voices; values: (P,) the patch, in units; voices: how many notes sound at a time, 1..64; gain_db: of
    their sum. Notes are MIDI's, 0..127; the synth's own `NOTE` plays the patch as it is, others are so many semitones
    higher or lower. `at` is the sample at which something happens, counted from the first that is played; what comes
    later than that happens at once, and all of it in the order in which it is given.

    A note of velocity v sounds at (v / 127)^2 of the patch's level: the curve of the MIDI Association's Downloadable
    Sounds, 40 log10(v / 127) dB. Above half of full scale the sum is limited, 1 - 1 / (4 x) for x, and never exceeds 1.
    """

    def __init__(
        self,
        synth: Synth,
        values: ArrayLike,
        sample_rate: int,
        voices: int = VOICES,
        gain_db: float = GAIN_DB,
        channels: int = 1,
    ) -> None:
        if synth.voices is None:
            raise UsageError(f"{synth.name} can't be played")
        if not 1 <= voices <= _native.VOICES:
            raise UsageError(f"{voices} voices are outside 1..{_native.VOICES}")
        if not -120 <= gain_db <= 24:
            raise UsageError(f"a gain of {gain_db:g} dB is outside -120..24")
        rate = AudioFormat(sample_rate, 1.0).sample_rate
        row = synth.checked(np.asarray(values)[None], rate)[0]
        self.synth, self.sample_rate, self.channels = synth, rate, channels
        self.native = synth.voices(row, rate, voices, 10 ** (gain_db / 20), channels)
        self.lost = 0
        """Events that found the ring full: nothing has played for so long."""

    def note_on(self, note: int, velocity: int = TOP_VELOCITY, at: int = 0) -> None:
        """Begins a note; one that is held begins anew. With all voices sounding it takes that of the oldest note that
        is released already, or else of the oldest, which fades out over 10 ms."""
        self._push(_native.NOTE_ON, note, (velocity / TOP_VELOCITY) ** 2, at)

    def note_off(self, note: int, at: int = 0) -> None:
        """Releases a note from where its envelope is; a note lasts at least a millisecond."""
        self._push(_native.NOTE_OFF, note, 0.0, at)

    def set(self, index: int, value: float, at: int = 0) -> None:
        """Gives parameter `index` a value in its unit, within its range; what sounds fades over to it in 10 ms."""
        param = self.synth.space[index]
        if not param.low <= value <= param.high:
            raise UsageError(f"{param.name}: {value:g} is outside {param.low:g}..{param.high:g} {param.unit}".rstrip())
        self._push(_native.SET, index, value, at)

    def notes_off(self, at: int = 0) -> None:
        """Releases all notes."""
        self._push(_native.NOTES_OFF, 0, 0.0, at)

    def sound_off(self, at: int = 0) -> None:
        """Fades everything out over 10 ms."""
        self._push(_native.SOUND_OFF, 0, 0.0, at)

    def process(self, samples: int) -> NDArray[np.float32]:
        """The next samples, (samples, channels) float32: for files; a device calls `native.callback`."""
        out = np.empty((samples, self.channels), np.float32)
        self.native.process(out)
        return out

    def _push(self, kind: int, index: int, value: float, at: int) -> None:
        if not self.native.push(kind, index, value, at):
            self.lost += 1
