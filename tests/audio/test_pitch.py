"""The fundamental of a note, and how steady it is."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth.audio.pitch import pitch

RATE = 16384
T = np.arange(RATE) / RATE


def harmonic(hz: float, shares: list[float]) -> NDArray[np.float32]:
    return sum(a * np.sin(2 * np.pi * hz * k * T + k) for k, a in enumerate(shares, 1)).astype(np.float32)  # type: ignore[union-attr]


@pytest.mark.parametrize("note", range(36, 91, 5))
@pytest.mark.parametrize("shares", [[1.0], [1, 0.5, 0.3, 0.2], [0.2, 1, 0.8, 0.6]], ids=["sine", "saw", "weak first"])
def test_a_note_has_its_pitch_to_ten_cents(note: int, shares: list[float]) -> None:
    hz = 440 * 2 ** ((note - 69) / 12)
    found = pitch(harmonic(hz, shares), RATE)
    assert abs(12 * math.log2(found.hz / hz)) < 0.1
    assert found.note == note
    assert found.steady == 1.0


def test_a_tenth_of_a_second_is_enough_and_any_rate_will_do() -> None:
    for rate in (8000, 44100, 48000):
        sound = np.sin(2 * np.pi * 220 * np.arange(rate // 10) / rate).astype(np.float32)
        assert pitch(sound, rate).note == 57


def test_a_glide_is_not_steady_and_vibrato_is() -> None:
    glide = np.sin(2 * np.pi * 220 * np.cumsum(2 ** (T / 2)) / RATE).astype(np.float32)
    vibrato = np.sin(2 * np.pi * np.cumsum(440 * 2 ** (0.2 / 12 * np.sin(2 * np.pi * 6 * T))) / RATE).astype(np.float32)
    assert pitch(glide, RATE).steady < 0.5
    assert pitch(vibrato, RATE).steady == 1.0


def test_noise_hum_and_silence_have_none() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    for sound in (noise, np.zeros(RATE, np.float32), harmonic(50, [1, 0.5, 0.5, 0.2]), noise[:100], noise[:0]):
        found = pitch(sound, RATE)
        assert found.steady == 0
        assert found.note is None
