"""The front end of `atoms`: untrained layers that search a sound for the oscillators, by a matched filter each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...networks.frontends import LOG_FLOOR, FrontEnd, backwards, gathered, halves  # first: it says what to install
from . import table as paper

import keras  # isort: skip
from keras import ops  # isort: skip

ATOM = ("frequency", "mod_frequency", "mod_amplitude")
NOTES, SWINGS = 16, 256
"""Levels of f, and pairs of v and B. An atom's number is 256 v + 16 B + f, of their levels."""

TOKENS = 24
"""Candidates that are kept of a sound."""
BANDS = 48

WINDOW, HOP = 256, 128
BINS = 80
"""Of the transform's bins, the lowest, up to 5 kHz: above them the low-pass leaves little."""
FRAMES = 126
SEGMENTS, DECIMATION, STEPS_A_SEGMENT = 8, 8, 96
"""The parts of a note that correlations are kept of, and their samples after decimation. A swing of 1500 Hz wraps
round the rate that is left: it is no other atom's for that."""
TAPS = 24
ROW = 32
"""Samples of a row of the demodulation's product, which gives `ROW` / `DECIMATION` of each note."""
LENGTH = SEGMENTS * STEPS_A_SEGMENT * DECIMATION
"""Samples of the note that is listened to for its fundamentals, from the first hop on."""
BEGIN = -(-(LENGTH + ROW) // HOP) + 1
"""Frames that reach into them."""
HARMONICS = (2, 3)
HARMONICS_START, HARMONICS_LENGTH, HARMONICS_STEP = 512, 320, 3
"""First sample, number and distance of the samples in which the harmonics are searched for."""

WHOLE_NUMBERS = 63
"""The largest part of a phasor, as whole numbers: what a processor without VNNI adds two products of in 16 bits."""
STEP = 0.002
"""Of the demodulated sound, which is whitened, as whole numbers from -127 to 127."""


@keras.saving.register_keras_serializable("inversynth")
class Whitened(FrontEnd):
    """(n, samples) audio to the logs of its power in bands, its beginning whitened, and the logs of what was taken off.

    (n * `FRAMES`, `BANDS`), (n, samples from the first hop on), (n, `FRAMES`) and (n, 2 * `BINS`). Frames of Hann
    windows, which hop by half, are divided by the root of their power in time and of their smoothed power in
    frequency, turned back, and added where they overlap: there, Hann windows sum to 1.
    """

    FLOOR_TIME, FLOOR_FREQUENCY, SILENCE = 1e-4, 1e-3, 1e-9
    SMOOTHED_BINS = 5

    def build(self, _: Any) -> None:
        cosines, sines = halves(WINDOW, BINS)
        self.cosines, self.sines = self.keep("cosines", cosines), self.keep("sines", sines)
        bins = np.arange(BINS)
        turns = np.outer(bins, np.arange(WINDOW)) / WINDOW
        weight = np.where(bins == 0, 1.0, 2.0)[:, None] / WINDOW
        inverse = [weight * np.cos(2 * np.pi * turns), -weight * np.sin(2 * np.pi * turns)]
        self.inverse = self.keep("inverse", np.concatenate(inverse))
        near = (np.abs(bins[:, None] - bins) <= self.SMOOTHED_BINS // 2).astype(float)
        self.smoothed = self.keep("smoothed", np.tile(near / near.sum(axis=0), (2, 2)))
        self.bands = self.keep("bands", np.tile(_bands(), (2, 1)))

    def call(self, audio: Any) -> Any:
        rising = ops.reshape(audio[:, 1 : FRAMES * HOP + 1], (-1, HOP))
        falling = backwards(ops.reshape(audio[:, HOP : (FRAMES + 1) * HOP], (-1, HOP)))
        parts = [ops.matmul(rising + falling, self.cosines), ops.matmul(rising - falling, self.sines)]
        spectrum = ops.concatenate(parts, axis=1)
        power = ops.square(spectrum)
        in_time = ops.reshape(ops.mean(power, axis=1), (-1, FRAMES))
        in_time = in_time + (self.FLOOR_TIME * ops.max(in_time, axis=1, keepdims=True) + self.SILENCE)
        bands = ops.matmul(power, self.bands)
        power = ops.reshape(power, (-1, FRAMES, 2 * BINS))
        in_frequency = ops.reshape(ops.matmul(ops.reshape(1 / in_time, (-1, 1, FRAMES)), power), (-1, 2 * BINS))
        in_frequency = ops.matmul(in_frequency, self.smoothed)
        in_frequency = (
            in_frequency / (ops.mean(in_frequency, axis=1, keepdims=True) + self.SILENCE) + self.FLOOR_FREQUENCY
        )
        taken_off = ops.sqrt(
            ops.reshape(in_time[:, :BEGIN], (-1, BEGIN, 1)) * ops.reshape(in_frequency, (-1, 1, 2 * BINS))
        )
        frames = ops.reshape(spectrum, (-1, FRAMES, 2 * BINS))[:, :BEGIN] / taken_off
        frames = ops.reshape(ops.matmul(ops.reshape(frames, (-1, 2 * BINS)), self.inverse), (-1, BEGIN, WINDOW))
        whitened = ops.reshape(frames[:, 1:, :HOP] + frames[:, :-1, HOP:], (-1, (BEGIN - 1) * HOP))
        logs = 0.125 * ops.log(bands + LOG_FLOOR**2) + 1.0
        return logs, whitened, ops.log(in_time), ops.log(in_frequency)


@keras.saving.register_keras_serializable("inversynth")
class Demodulated(FrontEnd):
    """(n, samples) whitened audio, brought down by each of the 16 f and decimated.

    (n, segments, 128, 32): of each moment the real parts of all f and the imaginary ones. A row of samples gives some
    moments, brought down from its beginning; the rows' own turns come after.
    """

    def build(self, _: Any) -> None:
        f, rate = _levels("frequency"), paper.FORMAT.sample_rate
        taps, moments = _lowpass(), ROW // DECIMATION
        local = np.zeros((2 * ROW, moments, 2, NOTES))
        for moment in range(moments):
            at = DECIMATION * moment + np.arange(TAPS)
            turned = taps[:, None] * np.exp(-2j * np.pi * np.outer(at, f) / rate)
            local[at, moment] = np.stack([turned.real, turned.imag], axis=1)
        self.lowpass = self.keep("lowpass", local.reshape(2 * ROW, -1))
        at = HOP + ROW * (np.arange(LENGTH // DECIMATION) // moments)
        turns = 2 * np.pi * np.outer(at, f) / rate
        shape = (SEGMENTS, STEPS_A_SEGMENT, 2 * NOTES)
        self.cosines = self.keep("cosines", np.concatenate([np.cos(turns), np.cos(turns)], 1).reshape(shape))
        self.sines = self.keep("sines", np.concatenate([np.sin(turns), -np.sin(turns)], 1).reshape(shape))

    def call(self, audio: Any) -> Any:
        rows = [ops.reshape(audio[:, start : start + LENGTH], (-1, ROW)) for start in (0, ROW)]
        x = ops.matmul(ops.concatenate(rows, axis=1), self.lowpass)
        x = ops.reshape(x, (-1, SEGMENTS, STEPS_A_SEGMENT, 2 * NOTES))
        other = ops.concatenate([x[..., NOTES:], x[..., :NOTES]], axis=3)
        return x * self.cosines + other * self.sines


def swings(seconds: NDArray[np.float64]) -> NDArray[np.complex128]:
    """(256 pairs of v and B, times): what turns an atom, once brought down by its f, into a constant."""
    v, b = _levels("mod_frequency"), _levels("mod_amplitude")
    turns = (b / (2 * np.pi * v[:, None]))[:, :, None] * (1 - np.cos(2 * np.pi * v[:, None, None] * seconds))
    return np.asarray(np.exp(-2j * np.pi * turns).reshape(SWINGS, -1))


def phasors() -> NDArray[np.complex128]:
    """(256, count) the `swings` at the times of `Demodulated` sound, as whole numbers up to `WHOLE_NUMBERS`."""
    at = HOP + np.arange(0, LENGTH, DECIMATION) + (TAPS - 1) / 2
    exact = WHOLE_NUMBERS * swings(at / paper.FORMAT.sample_rate)
    return np.asarray(np.rint(exact.real) + 1j * np.rint(exact.imag))


@keras.saving.register_keras_serializable("inversynth")
class MatchedFilters(FrontEnd):
    """(n, segments, 128, 32) the demodulated sound to its correlations with all atoms.

    (n, segments, 8192): of each part of the note, for each pair of v and B, the real parts of all f and the imaginary
    ones. Sound and phasors are rounded to whole numbers, so that 8 bits hold them and their products are exact (see
    `export`); times `SCALE` they are correlations.
    """

    SCALE = STEP * DECIMATION / np.sqrt(LENGTH) / WHOLE_NUMBERS

    def build(self, *_: Any) -> None:
        parts = phasors().reshape(SWINGS, SEGMENTS, STEPS_A_SEGMENT).transpose(1, 0, 2)
        self.phasors = self.keep("phasors", np.concatenate([parts.real, parts.imag], 2))

    def call(self, sound: Any) -> Any:
        # Below the sound the same times i: what is gained from real and from imaginary phasors adds up.
        whole = ops.clip(ops.round(sound / STEP), -127.0, 127.0)
        turned = ops.concatenate([-whole[..., NOTES:], whole[..., :NOTES]], axis=3)
        x = ops.matmul(self.phasors, ops.concatenate([whole, turned], axis=2))
        return ops.reshape(x, (-1, SEGMENTS, 2 * NOTES * SWINGS))


@keras.saving.register_keras_serializable("inversynth")
class Candidates(FrontEnd):
    """The atoms that correlate most: the levels of their f, v and B, one-hot (n * tokens, 48), and features.

    (n * tokens, 35) features: the whole correlation's phase, magnitude and the log of that; each segment's correlation,
    turned by that phase, and its log magnitude before the sound was whitened; each harmonic's, turned by as many times
    that phase, and its log magnitude; the power in the atom's path before the sound was whitened. The harmonics'
    correlations are taken of these atoms alone.
    """

    def build(self, *_: Any) -> None:
        v, b, note = (part.reshape(-1) for part in np.indices((16, 16, NOTES)))
        self.twins = self.keep("twins", np.where((b == 0) & (v > 0), -1e9, 0.0))  # without a swing all v are one
        self.atoms = self.keep("atoms", np.eye(16)[np.stack([note, v, b], axis=1)].reshape(-1, len(ATOM) * 16))
        self.notes = self.keep("notes", note, "int32")
        self.pairs = self.keep("pairs", 16 * v + b, "int32")
        column = 2 * NOTES * (16 * v + b) + note
        parts = column[:, None, None] + NOTES * np.arange(2)[:, None] + 2 * NOTES * SWINGS * np.arange(SEGMENTS)
        self.places = self.keep("places", parts.reshape(NOTES * SWINGS, -1), "int32")
        self.paths = self.keep("paths", 16 * note + b, "int32")
        self.ones = self.keep("ones", np.full((1, SEGMENTS), MatchedFilters.SCALE))
        self.both = self.keep("both", np.tile(np.eye(NOTES), (2, 1)))
        self.sums = self.keep("sums", MatchedFilters.SCALE * np.repeat(np.eye(2), SEGMENTS, axis=0))
        self.turn = self.keep("turn", np.array([[1.0, 0, 0, 1], [0, 1, -1, 0]]))
        # Of a token's segments and harmonics, and its level, to the logs of their powers.
        count = SEGMENTS + len(HARMONICS)
        real = np.r_[0:SEGMENTS, 0:SEGMENTS, np.repeat(np.arange(SEGMENTS, count), 2), count]
        self.powers = self.keep("powers", np.eye(count + 1)[real])
        self.floors = self.keep("floors", np.repeat([1e-2, 1e-3, 1e-6], [SEGMENTS, len(HARMONICS), 1]))
        self.weights_of_logs = self.keep("weights", np.repeat([0.25, 0.5], [count, 1]))
        frame = (np.arange(FRAMES) * HOP - HOP // 2) // (LENGTH // SEGMENTS)
        parts = (np.clip(frame, 0, None)[:, None] == np.arange(count + 1)) & (np.arange(count + 1) < SEGMENTS)
        self.parts = self.keep("parts", 0.25 * parts / np.maximum(parts.sum(axis=0), 1))
        f, b, rate = _levels("frequency"), _levels("mod_amplitude"), paper.FORMAT.sample_rate
        frequencies = f[:, None, None] + b[:, None] * np.sin(2 * np.pi * np.arange(64) / 64)
        bins = np.rint(np.abs(frequencies) / rate * WINDOW).astype(int).reshape(SWINGS, -1)
        path = np.stack([np.bincount(row, minlength=BINS) for row in bins], axis=1) / 64
        self.swept = self.keep("swept", 0.25 * np.concatenate([path, np.zeros_like(path)]))
        at = (HOP + HARMONICS_START + HARMONICS_STEP * np.arange(HARMONICS_LENGTH)) / rate
        carrier = np.exp(-2j * np.pi * f[:, None, None] * np.array(HARMONICS)[:, None] * at)
        swing = swings(at)[:, None] ** np.array(HARMONICS)[:, None]
        self.carriers = self.keep("carriers", np.stack([carrier.real, carrier.imag], 2).reshape(-1, HARMONICS_LENGTH))
        self.swings = self.keep("swings", np.stack([swing.real, swing.imag], 2).reshape(SWINGS, -1))
        # Of a token's products of sound (harmonic, part) with swings (the same): each harmonic's own, added as complex.
        one = np.array([[[1.0, 0], [0, 1]], [[0, 1], [-1, 0]]])
        sums = np.einsum("hg,hk,pqr->hpgqkr", np.eye(len(HARMONICS)), np.eye(len(HARMONICS)), one)
        self.complex_sums = self.keep("complex_sums", sums.reshape((2 * len(HARMONICS)) ** 2, -1))

    def call(self, in_time: Any, in_frequency: Any, products: Any, whitened: Any) -> Any:
        whole = ops.reshape(ops.matmul(self.ones, products), (-1, 2 * NOTES))
        power = ops.reshape(ops.matmul(ops.square(whole), self.both), (-1, NOTES * SWINGS))
        power, index = ops.top_k(power + self.twins, TOKENS)
        level = ops.reshape(ops.sqrt(ops.maximum(power, 1e-12)), (-1, 1))
        index = ops.cast(index, "int32")
        sound = ops.reshape(ops.zeros_like(index) + ops.arange(ops.shape(index)[0], dtype="int32")[:, None], (-1,))
        atom = ops.reshape(index, (-1,))
        levels = gathered(self.atoms, atom)

        places = gathered(self.places, atom) + 2 * NOTES * SWINGS * SEGMENTS * sound[:, None]
        x = gathered(ops.reshape(products, (-1,)), places) / level
        phase = ops.matmul(x, self.sums)
        back = ops.reshape(ops.matmul(phase, self.turn), (-1, 2, 2))
        x = ops.matmul(back, ops.reshape((SEGMENTS * MatchedFilters.SCALE) * x, (-1, 2, SEGMENTS)))

        end = HARMONICS_START + HARMONICS_STEP * HARMONICS_LENGTH
        strided = whitened[:, None, HARMONICS_START:end:HARMONICS_STEP]
        count = len(HARMONICS)
        down = ops.reshape(strided * self.carriers, (-1, count * 2 * HARMONICS_LENGTH))
        down = gathered(down, gathered(self.notes, atom) + NOTES * sound)
        swing = gathered(self.swings, gathered(self.pairs, atom))
        down, swing = (ops.reshape(part, (-1, 2 * count, HARMONICS_LENGTH)) for part in (down, swing))
        harmonics = ops.reshape(ops.matmul(down, ops.transpose(swing, (0, 2, 1))), (-1, (2 * count) ** 2))
        harmonics = ops.reshape(ops.matmul(harmonics, self.complex_sums), (-1, count, 2))
        twice = ops.matmul(back, back)
        second = ops.matmul(harmonics[:, :1], ops.transpose(twice, (0, 2, 1)))
        third = ops.matmul(harmonics[:, 1:], ops.transpose(ops.matmul(twice, back), (0, 2, 1)))
        harmonics = ops.reshape(ops.concatenate([second, third], axis=1), (-1, 2 * count))
        harmonics = harmonics / (HARMONICS_LENGTH**0.5 * level)

        turned = ops.concatenate([ops.reshape(x, (-1, 2 * SEGMENTS)), harmonics, level], axis=1)
        logs = self.weights_of_logs * ops.log(ops.matmul(ops.square(turned), self.powers) + self.floors)
        taken_off = ops.matmul(in_time, self.parts)
        logs = ops.reshape(ops.reshape(logs, (-1, TOKENS, logs.shape[1])) + taken_off[:, None], (-1, logs.shape[1]))
        swept = ops.reshape(ops.matmul(in_frequency, self.swept), (-1, 1))
        swept = gathered(swept, gathered(self.paths, atom) + SWINGS * sound)
        features = ops.concatenate([phase, turned, logs, swept], axis=1)
        return levels, ops.clip(features, -8.0, 8.0)


def _levels(what: str) -> NDArray[np.float64]:
    """(16,) the values of an oscillator's parameter; those of all four are the same."""
    return paper.SPACE[f"sin_{what}"].values


def _lowpass() -> NDArray[np.float64]:
    """(taps,) a windowed sinc that keeps swings of up to 1500 Hz."""
    kernel = np.sinc((np.arange(TAPS) - (TAPS - 1) / 2) / 5) * np.kaiser(TAPS, 4.0)
    return np.asarray(kernel / kernel.sum())


def _bands() -> NDArray[np.float64]:
    """(`BINS`, `BANDS`) the mean of each band's bins: bands of one bin, and then ever wider ones."""
    hz = np.arange(BINS + 1) / BINS * (BINS / WINDOW * paper.FORMAT.sample_rate)
    mel = np.interp(np.linspace(0, 1, BANDS + 1), np.log1p(hz / 700) / np.log1p(hz[-1] / 700), np.arange(BINS + 1))
    edges = np.maximum(np.rint(mel), np.arange(BANDS + 1))
    inside = (np.arange(BINS)[:, None] >= edges[:-1]) & (np.arange(BINS)[:, None] < edges[1:])
    return np.asarray(inside / inside.sum(axis=0))
