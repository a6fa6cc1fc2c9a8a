"""Notes of a synth's patch, polyphonic; and the patches that they begin with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import _native
from ...errors import UsageError
from ...spec import AudioFormat
from ...synths.synth import Synth

VOICES = 8
TOP_VELOCITY = 127


class Voices:
    """Notes of a synth's patch, polyphonic.

    synth: one with voices; values: (P,) the patch, in units; voices: how many notes sound at a time, 1..64; gain_db: of
    their sum, by default the synth's. Notes are MIDI's, 0..127; the key of the synth's own note plays the patch as it
    is, others are transposed by their distance in semitones. `at` is the sample at which an event happens, counted from
    the first that is played; a late event happens at once, and all in the order in which they are given.

    A note of velocity v sounds at (v / 127)^2 of the patch's level: the curve of the MIDI Association's Downloadable
    Sounds, 40 log10(v / 127) dB. Above half of full scale the sum is limited, 1 - 1 / (4 x) for x, and never exceeds 1.
    """

    def __init__(
        self,
        synth: Synth,
        values: ArrayLike,
        sample_rate: int,
        voices: int = VOICES,
        gain_db: float | None = None,
        channels: int = 1,
    ) -> None:
        if synth.open_voices is None:
            raise UsageError(
                f"{synth.name} can't be played as an instrument: it has no voices (`open_voices` of its Synth); "
                "take another synth"
            )
        gain_db = synth.thresholds.gain_db if gain_db is None else gain_db
        if not 1 <= voices <= _native.Voices.MOST:
            raise UsageError(f"{voices} voices are outside 1..{_native.Voices.MOST}")
        if not -120 <= gain_db <= 24:
            raise UsageError(f"a gain of {gain_db:g} dB is outside -120..24")
        rate = AudioFormat(sample_rate, 1.0).sample_rate
        row = synth.checked(np.asarray(values)[None], rate)[0]
        self.synth, self.sample_rate, self.channels = synth, rate, channels
        self.values = row
        """(P,) the patch that it begins with, in units."""
        self.native = synth.open_voices(row, rate, voices, 10 ** (gain_db / 20), channels)
        self.lost = 0
        """Events lost because the ring was full: nothing has played for a while."""

    def note_on(self, note: int, velocity: int = TOP_VELOCITY, at: int = 0) -> None:
        """Begins a note; one that is held is retriggered. With all voices sounding it takes that of the oldest note
        that is released already, or else of the oldest, which fades out over 10 ms."""
        self._push(_native.Voices.NOTE_ON, note, (velocity / TOP_VELOCITY) ** 2, at)

    def note_off(self, note: int, at: int = 0) -> None:
        """Releases a note from where its envelope is; a note lasts at least a millisecond."""
        self._push(_native.Voices.NOTE_OFF, note, 0.0, at)

    def set(self, index: int, value: float, at: int = 0) -> None:
        """Gives parameter `index` a value in its unit, within its range; what sounds fades over to it in 10 ms."""
        param = self.synth.space[index]
        if not param.low <= value <= param.high:
            raise UsageError(f"{param.name}: {value:g} is outside {param.low:g}..{param.high:g} {param.unit}".rstrip())
        self._push(_native.Voices.SET, index, value, at)

    def bend(self, semitones: float, at: int = 0) -> None:
        """Makes all notes, also later ones, this much higher; what sounds fades over to it in 10 ms."""
        self._push(_native.Voices.BEND, 0, semitones, at)

    def notes_off(self, at: int = 0) -> None:
        """Releases all notes."""
        self._push(_native.Voices.NOTES_OFF, 0, 0.0, at)

    def sound_off(self, at: int = 0) -> None:
        """Fades everything out over 10 ms."""
        self._push(_native.Voices.SOUND_OFF, 0, 0.0, at)

    def process(self, samples: int) -> NDArray[np.float32]:
        """The next samples, (samples, channels) float32: for files; a device calls `native.callback`."""
        out = np.empty((samples, self.channels), np.float32)
        self.native.process(out)
        return out

    def _push(self, kind: int, index: int, value: float, at: int) -> None:
        if not self.native.push(kind, index, value, at):
            self.lost += 1


def initial_patch(synth: Synth, silent: bool = False) -> NDArray[np.float64]:
    """(P,) the values that an instrument begins with; silent: all at their lowest."""
    return np.array([param.low if silent else synth.initial.get(param.name, param.low) for param in synth.space])
