"""`Atoms`, a network of ours for the paper's synth: it looks for the synth's own oscillators in a sound.

An oscillator that carries f, swung by B sin(2 pi v t), has a known phase at every moment (`inversynth.synths.paper`),
so a sound's correlation with all 16 x 16 x 16 of them can be computed: a matched filter each. The sound is whitened
first, in time and in frequency, which takes off most of what gate, envelope and low-pass did to it. What correlates
most becomes a set of tokens, an atom (f, v, B) each, with the correlations of its harmonics; self-attention among
them, and with what a convolutional stack makes of the log spectrogram, decides whose they are. Nothing before the
tokens is trained.

Keras layers and `keras.ops` only, so that it runs on every Keras back end, as `inversynth.networks` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import UsageError
from .frontends import BINS, HOP, WINDOW, FrontEnd, Spectrum, log_power  # first: says what to install
from .spec import AudioFormat, ParamSpace
from .synths import paper

import keras  # isort: skip
from keras import layers, ops  # isort: skip

WAVEFORMS = len(paper.WAVEFORMS)
ATOM = ("frequency", "mod_frequency", "mod_amplitude")
SWINGS = 256
"""Pairs of v and B."""

TOKENS, WIDTH, HEADS, BLOCKS = 48, 96, 4, 3
GLOBAL_TOKENS = 4
"""Tokens that the convolutional stack speaks to the others by."""
CONVOLUTIONS = ((32, 2, 4), (48, 2, 2), (64, 2, 2), (96, 2, 2), (128, 2, 2))
"""Filters, strides (time, frequency); all kernels are 3 x 3."""
UNITS = 256

SEGMENTS = 8
"""Parts of the note that the fundamental's correlation is kept of."""
FILTERS = ((1, 4, 0, 8192, SEGMENTS), (2, 2, 1024, 1024, 1), (3, 1, 1024, 768, 1))
"""Harmonic k, decimation, first sample, samples, segments: a swing of k * 1500 Hz must fit what decimation leaves."""
TAPS_A_STEP = 8


@keras.saving.register_keras_serializable("inversynth")
class Whitened(FrontEnd):
    """(n, samples) audio to its log spectrogram, the whitened audio, and the logs of the powers that were taken off.

    (n, frames, 257, 1), (n, samples), (n, frames) and (n, 257). The frames of a `Spectrum` are divided by the root of
    their power in time and of their smoothed power in frequency, turned back, and added where they overlap: there,
    Hann windows sum to 1.
    """

    FLOOR_TIME, FLOOR_FREQUENCY, SILENCE = 1e-4, 1e-6, 1e-9
    SMOOTHED_BINS = 13

    def build(self, input_shape: Any) -> None:
        self.samples = input_shape[-1]
        self.spectrum = Spectrum()
        self.spectrum.build(input_shape)
        bins = np.arange(BINS)
        turns = np.outer(bins, np.arange(HOP + 1)) / WINDOW
        weight = np.where((bins == 0) | (bins == bins[-1]), 1.0, 2.0)[:, None] / WINDOW
        self.cosines = self.keep("inverse_cosines", weight * np.cos(2 * np.pi * turns))
        self.sines = self.keep("inverse_sines", -weight * np.sin(2 * np.pi * turns))

    def call(self, audio: Any) -> Any:
        real, imaginary = self.spectrum(audio)
        power = ops.square(real) + ops.square(imaginary)
        in_time = ops.mean(power, axis=2, keepdims=True)
        in_time = in_time + self.FLOOR_TIME * ops.max(in_time, axis=1, keepdims=True) + self.SILENCE
        in_frequency = ops.mean(power / in_time, axis=1)
        in_frequency = ops.average_pool(in_frequency[:, :, None], self.SMOOTHED_BINS, 1, padding="same")[:, None, :, 0]
        in_frequency = in_frequency + self.FLOOR_FREQUENCY * ops.max(in_frequency, axis=2, keepdims=True) + self.SILENCE
        gain = ops.rsqrt(in_time * in_frequency)
        even = ops.matmul(real * gain, self.cosines)
        odd = ops.matmul(imaginary * gain, self.sines)
        ahead = ops.pad((even + odd)[:, :, :HOP], ((0, 0), (0, 1), (0, 0)))
        behind = ops.pad(ops.take(even - odd, np.arange(HOP, 0, -1), axis=2), ((0, 0), (1, 0), (0, 0)))
        front = WINDOW // 4
        whitened = ops.reshape(ahead + behind, (-1, ahead.shape[1] * HOP))[:, front : front + self.samples]
        return log_power(power), whitened, ops.log(in_time)[:, :, 0], ops.log(in_frequency)[:, 0, :]


@keras.saving.register_keras_serializable("inversynth")
class MatchedFilters(FrontEnd):
    """(n, samples) whitened audio to its correlations with all atoms of one harmonic.

    Two (segments, 256 pairs of v and B, n, 16 f), real and imaginary. The sound is brought down by each k f and
    decimated; then one product with the swings' phasors gives all v and B.
    """

    def __init__(
        self, harmonic: int, decimation: int, start: int, samples: int, segments: int, name: str | None = None
    ) -> None:
        super().__init__(name=name, trainable=False)
        self.harmonic, self.decimation = harmonic, decimation
        self.start, self.length, self.segments = start, samples, segments

    def build(self, input_shape: Any) -> None:
        f, v, b = (paper.SPACE[f"sin_{name}"].values for name in ATOM)  # those of all four are the same
        rate, k = paper.FORMAT.sample_rate, self.harmonic
        taps = _lowpass(self.decimation)
        local = np.exp(-2j * np.pi * k * np.outer(np.arange(len(taps)), f) / rate) * taps[:, None]
        self.lowpass = self.keep("lowpass", np.concatenate([local.real, local.imag], 1)[:, None, :])
        at = self.start + np.arange(0, self.length, self.decimation)
        carrier = np.exp(-2j * np.pi * k * np.outer(at, f) / rate)
        self.carrier = self.keep("carrier", np.stack([carrier.real, carrier.imag]))
        middle = (at + (len(taps) - 1) / 2) / rate
        turns = (b / (2 * np.pi * v[:, None]))[:, :, None] * (1 - np.cos(2 * np.pi * v[:, None, None] * middle))
        phasor = np.exp(-2j * np.pi * k * turns) * self.decimation / np.sqrt(self.length)
        phasor = phasor.reshape(SWINGS, self.segments, -1).transpose(1, 0, 2)
        self.phasor = self.keep("phasor", np.concatenate([phasor.real, phasor.imag], 1))
        self.span = self.length - self.decimation + len(taps)

    def call(self, audio: Any) -> Any:
        x = audio[:, self.start : self.start + self.span, None]
        x = ops.conv(x, self.lowpass, strides=self.decimation, padding="valid")
        notes = x.shape[2] // 2
        real, imaginary = x[:, :, :notes], x[:, :, notes:]
        x = ops.concatenate(
            [
                real * self.carrier[0] - imaginary * self.carrier[1],
                real * self.carrier[1] + imaginary * self.carrier[0],
            ],
            axis=2,
        )
        count = self.length // self.decimation // self.segments
        x = ops.transpose(ops.reshape(x, (-1, self.segments, count, 2 * notes)), (1, 2, 0, 3))
        x = ops.matmul(self.phasor, ops.reshape(x, (self.segments, count, -1)))
        x = ops.reshape(x, (self.segments, 2, SWINGS, -1, 2, notes))
        return x[:, 0, :, :, 0] - x[:, 1, :, :, 1], x[:, 0, :, :, 1] + x[:, 1, :, :, 0]


@keras.saving.register_keras_serializable("inversynth")
class Candidates(FrontEnd):
    """The atoms that correlate most: the levels of their f, v and B, one-hot (n, tokens, 3, 16), and features.

    (n, tokens, 34) features: the whole correlation's log magnitude and phase; each segment's correlation, turned by
    that phase, and its log magnitude before the sound was whitened; each harmonic's, turned by as many times that
    phase, and its log magnitude; the power in the atom's path before the sound was whitened.
    """

    def build(self, *_: Any) -> None:
        twins = np.zeros((16, 16, 1))
        twins[1:, 0] = -1e9  # without a swing all v are one
        self.twins = self.keep("twins", twins.reshape(1, SWINGS, 1))
        f, b = (paper.SPACE[f"sin_{name}"].values for name in (ATOM[0], ATOM[2]))
        frequencies = f[:, None, None] + b[:, None] * np.sin(2 * np.pi * np.arange(64) / 64)
        bins = np.rint(np.abs(frequencies) / paper.FORMAT.sample_rate * WINDOW).astype(int).reshape(SWINGS, -1)
        path = np.stack([np.bincount(row, minlength=BINS) for row in bins], axis=1) / 64
        self.swept = self.keep("swept", path)

    def call(self, in_time: Any, in_frequency: Any, *correlations: Any) -> Any:
        (real, imaginary), *harmonics = zip(correlations[::2], correlations[1::2], strict=True)
        notes = real.shape[3]
        whole = ops.sum(real, axis=0), ops.sum(imaginary, axis=0)
        power = ops.transpose(ops.square(whole[0]) + ops.square(whole[1]), (1, 0, 2)) + self.twins
        power, index = ops.top_k(ops.reshape(power, (-1, SWINGS * notes)), TOKENS)
        index = ops.cast(index, "int32")
        swing, note = index // notes, index % notes
        count = ops.shape(index)[0]
        rows = (swing * count + ops.cast(ops.arange(count), "int32")[:, None]) * notes + note

        def at(maps: Any) -> Any:
            """(segments, ...) maps to (segments, n, tokens)."""
            parts = np.arange(maps.shape[0], dtype=np.int32)[:, None, None] * (SWINGS * notes) * count
            return ops.take(ops.reshape(maps, (-1,)), rows + parts)

        level = ops.sqrt(ops.maximum(power, 1e-12))[None]
        c, s = (at(part[None]) / level for part in whole)
        columns = [ops.log(level + 1e-3), c, s]
        r, i = SEGMENTS * at(real) / level, SEGMENTS * at(imaginary) / level
        columns += [r * c + i * s, i * c - r * s]
        taken_off = ops.mean(ops.reshape(in_time[:, : SEGMENTS * 4], (-1, SEGMENTS, 4)), axis=2)
        taken_off = ops.transpose(taken_off)[:, :, None]
        columns += [0.25 * (ops.log(ops.square(r) + ops.square(i) + 1e-2) + taken_off)]
        turn_c, turn_s = c, s
        for r, i in harmonics:
            turn_c, turn_s = turn_c * c - turn_s * s, turn_c * s + turn_s * c
            r, i = at(r) / level, at(i) / level
            columns += [r * turn_c + i * turn_s, i * turn_c - r * turn_s]
            columns += [0.25 * ops.log(ops.square(r) + ops.square(i) + 1e-3)]
        path = ops.matmul(in_frequency, self.swept)
        columns += [0.25 * ops.take_along_axis(path, note * 16 + swing % 16, axis=1)[None]]
        levels = ops.one_hot(ops.stack([note, swing // 16, swing % 16], axis=2), 16)
        features = ops.transpose(ops.concatenate(columns, axis=0), (1, 2, 0))
        return levels, ops.clip(features, -8.0, 8.0)


@keras.saving.register_keras_serializable("inversynth")
class Owners(layers.Layer):
    """Which token is whose atom, and what it says of f, v and B.

    (n, tokens, d), their levels (n, tokens, 3, 16) and a summary (n, u) to the log probabilities of f, v, B of each
    waveform (n, 4, 3, 16), a mixture over the tokens and "none of them"; and each waveform's mean token (n, 4, d).
    """

    SHARPNESS = 4.0

    def build(self, tokens_shape: Any, levels_shape: Any, summary_shape: Any) -> None:
        def dense(units: int, shape: Any) -> Any:
            layer = layers.Dense(units, dtype=self.dtype_policy)
            layer.build(shape)
            return layer

        classes = WAVEFORMS * len(ATOM) * 16
        self.owner, self.levels = dense(WAVEFORMS, tokens_shape), dense(classes, tokens_shape)
        self.no_owner, self.no_levels = dense(WAVEFORMS, summary_shape), dense(classes, summary_shape)
        self.sharpness = self.add_weight(
            name="sharpness", shape=(WAVEFORMS, len(ATOM), 1), initializer=keras.initializers.Constant(self.SHARPNESS)
        )

    def call(self, tokens: Any, levels: Any, summary: Any) -> Any:
        count = tokens.shape[1]
        owner = ops.concatenate([self.owner(tokens), self.no_owner(summary)[:, None]], axis=1)
        owner = ops.log_softmax(owner, axis=1)
        said = ops.reshape(self.levels(tokens), (-1, count, WAVEFORMS, len(ATOM), 16))
        said = said + self.sharpness * levels[:, :, None]
        none = ops.reshape(self.no_levels(summary), (-1, 1, WAVEFORMS, len(ATOM), 16))
        said = ops.log_softmax(ops.concatenate([said, none], axis=1), axis=-1)
        mixed = ops.logsumexp(owner[:, :, :, None, None] + said, axis=1)
        return mixed, ops.matmul(ops.transpose(ops.exp(owner[:, :count]), (0, 2, 1)), tokens)


def build(space: ParamSpace, audio: AudioFormat, precision: str = "float32") -> keras.Model:
    """(n, samples) float32 to (n, 368) logits; raises `UsageError` for another synth's space or format.

    precision: of the layers that are trained, and of the matched filters.
    """
    if space.fingerprint != paper.SPACE.fingerprint or audio != paper.FORMAT:
        raise UsageError("the model Atoms hears the synth paper only; choose another --model")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return _network(space, audio)
    finally:
        keras.config.set_dtype_policy(before)


def _network(space: ParamSpace, audio: AudioFormat) -> keras.Model:
    exact = "float32"
    inputs = keras.Input((audio.samples,), dtype=exact, name="audio")
    picture, whitened, in_time, in_frequency = Whitened(name="whitened", dtype=exact, trainable=False)(inputs)
    correlations: list[Any] = []
    for harmonic, decimation, start, samples, segments in FILTERS:
        name = f"matched_filters_{harmonic}"
        correlations += MatchedFilters(harmonic, decimation, start, samples, segments, name)(whitened)
    candidates = Candidates(name="candidates", dtype=exact, trainable=False)
    levels, features = candidates(in_time, in_frequency, *correlations)

    x = picture
    for filters, *strides in CONVOLUTIONS:
        x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    powers = layers.Rescaling(0.125)(layers.Concatenate()([in_time, in_frequency]))
    summary = layers.Dense(UNITS, activation="relu")(layers.Concatenate()([layers.Flatten()(x), powers]))

    where = layers.Reshape((TOKENS, len(ATOM) * 16))(levels)
    x = layers.Dense(WIDTH, activation="relu")(layers.Concatenate()([features, where]))
    x = layers.Dense(WIDTH)(x)
    said = layers.Reshape((GLOBAL_TOKENS, WIDTH))(layers.Dense(GLOBAL_TOKENS * WIDTH)(summary))
    x = layers.Concatenate(axis=1)([x, said])
    for _ in range(BLOCKS):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, y)])
        y = layers.Dense(2 * WIDTH, activation="relu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(WIDTH)(y)])
    x = layers.LayerNormalization()(x)
    heard = layers.Flatten()(x[:, TOKENS:])
    summary = layers.Dense(UNITS, activation="relu")(layers.Concatenate()([summary, heard]))

    atoms, owned = Owners(name="owners", dtype=exact)(x[:, :TOKENS], levels, summary)
    x = layers.Concatenate()([summary, layers.Flatten()(owned)])
    x = layers.Dense(2 * UNITS, activation="relu")(x)
    amplitudes = layers.Dense(WAVEFORMS * 16, dtype=exact)(x)
    amplitudes = layers.Reshape((WAVEFORMS, 1, 16), dtype=exact)(amplitudes)
    oscillators = layers.Concatenate(axis=2, dtype=exact)([atoms[:, :, :2], amplitudes, atoms[:, :, 2:]])
    others = layers.Dense(int(space.levels.sum()) - WAVEFORMS * 4 * 16, dtype=exact)(x)
    logits = layers.Concatenate(name="logits", dtype=exact)([layers.Flatten(dtype=exact)(oscillators), others])
    return keras.Model(inputs, logits, name="Atoms")


def _lowpass(decimation: int) -> NDArray[np.float64]:
    """(taps,) a windowed sinc that keeps what fits after decimation."""
    if decimation == 1:
        return np.ones(1)
    taps = TAPS_A_STEP * decimation
    kernel = np.sinc((np.arange(taps) - (taps - 1) / 2) / decimation) * np.kaiser(taps, 5.0)
    return np.asarray(kernel / kernel.sum())
