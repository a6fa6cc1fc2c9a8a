"""Voices that are played by MIDI messages."""

from __future__ import annotations

import threading

import numpy as np

from ...errors import UsageError
from ...midi import Message, PatchReader, Profile
from ...midi.messages import (
    ALL_NOTES_OFF,
    ALL_SOUND_OFF,
    CONTROL_CHANGE,
    DAMPER,
    NOTE_OFF,
    NOTE_ON,
    PITCH_BEND,
    RESET,
    SYSEX,
)
from ...midi.profiles import nrpn_profile
from .voices import TOP_VELOCITY, Voices

BEND_MIDDLE = 1 << 13


class Player:
    """Voices that are played by the MIDI messages of a profile's channel, and those of `nrpn_profile` on the same.

    velocity: 1..127 of all notes; by default each has its own. `notes` and `changes` count what came.
    """

    def __init__(self, voices: Voices, profile: Profile, velocity: int | None = None) -> None:
        if velocity is not None and not 1 <= velocity <= TOP_VELOCITY:
            raise UsageError(f"a velocity of {velocity} is outside 1..{TOP_VELOCITY}")
        self.voices, self._velocity = voices, velocity
        self.notes = self.changes = 0
        self.channel = profile.channel
        self._pedal, self._wheel = False, BEND_MIDDLE
        self._sustained: set[int] = set()  # notes that only the pedal holds
        self._one_at_a_time = threading.Lock()
        x = voices.synth.space.x_of_values(voices.values[None])[0]
        self._reader = PatchReader(profile, nrpn_profile(voices.synth, profile.channel), x=x)

    def receive(self, message: Message, at: int = 0) -> None:
        """Does what a whole message says; others than notes, the pitch wheel, the damper pedal, what ends notes and
        the profile's are ignored.

        For any thread: inputs may share a player.
        """
        with self._one_at_a_time:
            self._receive(message, at)

    def _receive(self, message: Message, at: int) -> None:
        kind, channel = message[0] & 0xF0, (message[0] & 0x0F) + 1
        ours = kind < SYSEX and channel == self.channel
        controller = message[1] if ours and kind == CONTROL_CHANGE else None
        if ours and kind == NOTE_ON and message[2]:
            self.notes += 1
            self._sustained.discard(message[1])
            self.voices.note_on(message[1], self._velocity or message[2], at)
        elif ours and kind in (NOTE_ON, NOTE_OFF):
            if self._pedal:
                self._sustained.add(message[1])
            else:
                self.voices.note_off(message[1], at)
        elif ours and kind == PITCH_BEND:
            self._wheel = message[1] + 128 * message[2]
            self._bend(at)
        elif controller == ALL_SOUND_OFF:
            self._sustained.clear()
            self.voices.sound_off(at)
        elif controller is not None and controller >= ALL_NOTES_OFF:  # the modes beyond mean it, too
            self._sustained.clear()
            self.voices.notes_off(at)
        elif controller == RESET:
            self._reader.feed(message)
            self._damp(False, at)
            self._wheel = BEND_MIDDLE
            self._bend(at)
        else:
            range_ = self._reader.bend_semitones
            found = self._reader.feed(message)
            if found is not None:
                index, x = found
                param = self.voices.synth.space[index]
                self.changes += 1
                self.voices.set(index, float(np.clip(param.value_of_x(x), param.low, param.high)), at)
            elif controller == DAMPER:
                self._damp(message[2] >= 64, at)
            elif self._reader.bend_semitones != range_ and self._wheel != BEND_MIDDLE:
                self._bend(at)

    def _bend(self, at: int) -> None:
        self.voices.bend(self._reader.bend_semitones * (self._wheel - BEND_MIDDLE) / BEND_MIDDLE, at)

    def _damp(self, pedal: bool, at: int) -> None:
        self._pedal = pedal
        if not pedal:
            for note in sorted(self._sustained):
                self.voices.note_off(note, at)
            self._sustained.clear()

    def summary(self) -> str:
        """What was played, in one line."""
        samples, blocks, underflows, _ = self.voices.native.played()
        line = f"{samples / self.voices.sample_rate:.1f} s, {self.notes} notes, {self.changes} changes of the patch"
        if blocks:
            line += f"; {blocks} blocks, {underflows} xruns"
        return f"{line}, {self.voices.lost} events lost"
