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
from .frontends import (
    BINS,
    HOP,
    WINDOW,
    FrontEnd,
    Spectrum,
    backwards,
    log_power,
    product,
)  # first: says what to install
from .spec import AudioFormat, ParamSpace
from .synths import paper

import keras  # isort: skip
from keras import layers, ops  # isort: skip

WAVEFORMS = len(paper.WAVEFORMS)
ATOM = ("frequency", "mod_frequency", "mod_amplitude")
NOTES, SWINGS = 16, 256
"""Levels of f, and pairs of v and B."""

TOKENS, WIDTH, HEADS, BLOCKS = 48, 96, 4, 3
GLOBAL_TOKENS = 4
"""Tokens that the convolutional stack speaks to the others by."""
CONVOLUTIONS = ((32, 2, 4), (48, 2, 2), (64, 2, 2), (96, 2, 2), (128, 2, 2))
"""Filters, strides (time, frequency); all kernels are 3 x 3."""
UNITS = 256

SEGMENTS = 8
"""Parts of the note that the fundamental's correlation is kept of."""
FILTERS = (1, 4, 0, 8192), (2, 2, 1024, 1024), (3, 1, 1024, 768)
"""Harmonic k, decimation, first sample, samples: a swing of k * 1500 Hz must fit what decimation leaves."""
FUNDAMENTAL, *HARMONICS = FILTERS
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
        even, odd = product(real * gain, self.cosines), product(imaginary * gain, self.sines)
        ahead = ops.pad((even + odd)[:, :, :HOP], ((0, 0), (0, 1), (0, 0)))
        behind = ops.pad(backwards(even - odd)[:, :, :HOP], ((0, 0), (1, 0), (0, 0)))
        front = WINDOW // 4
        whitened = ops.reshape(ahead + behind, (-1, ahead.shape[1] * HOP))[:, front : front + self.samples]
        return log_power(power), whitened, ops.log(in_time)[:, :, 0], ops.log(in_frequency)[:, 0, :]


@keras.saving.register_keras_serializable("inversynth")
class Demodulated(FrontEnd):
    """(n, samples) whitened audio, brought down by k times each of the 16 f and decimated.

    (n, samples / decimation, 32): the real parts of the 16, and the imaginary ones.
    """

    def __init__(self, harmonic: int, decimation: int, start: int, samples: int, name: str | None = None) -> None:
        super().__init__(name=name, trainable=False)
        self.harmonic, self.decimation, self.start, self.length = harmonic, decimation, start, samples

    def build(self, input_shape: Any) -> None:
        f, k, rate = _levels("frequency"), self.harmonic, paper.FORMAT.sample_rate
        taps = _lowpass(self.decimation)
        local = np.exp(-2j * np.pi * k * np.outer(np.arange(len(taps)), f) / rate) * taps[:, None]
        self.lowpass = self.keep("lowpass", np.concatenate([local.real, local.imag], 1)[:, None, :])
        at = self.start + np.arange(0, self.length, self.decimation)
        carrier = np.exp(-2j * np.pi * k * np.outer(at, f) / rate)
        self.carrier = self.keep("carrier", np.stack([carrier.real, carrier.imag]))
        self.span = self.length - self.decimation + len(taps)

    def call(self, audio: Any) -> Any:
        x = audio[:, self.start : self.start + self.span, None]
        x = ops.conv(x, self.lowpass, strides=self.decimation, padding="valid")
        real, imaginary = x[:, :, :NOTES], x[:, :, NOTES:]
        return ops.concatenate(
            [
                real * self.carrier[0] - imaginary * self.carrier[1],
                real * self.carrier[1] + imaginary * self.carrier[0],
            ],
            axis=2,
        )


def phasors(harmonic: int, decimation: int, start: int, samples: int) -> NDArray[np.complex128]:
    """(256 pairs of v and B, samples / decimation): what turns a `Demodulated` harmonic of an atom into a constant."""
    v, b = _levels("mod_frequency"), _levels("mod_amplitude")
    at = start + np.arange(0, samples, decimation)
    middle = (at + (len(_lowpass(decimation)) - 1) / 2) / paper.FORMAT.sample_rate
    turns = (b / (2 * np.pi * v[:, None]))[:, :, None] * (1 - np.cos(2 * np.pi * v[:, None, None] * middle))
    turned = np.exp(-2j * np.pi * harmonic * turns) * decimation / np.sqrt(samples)
    return np.asarray(turned.reshape(SWINGS, -1))


@keras.saving.register_keras_serializable("inversynth")
class MatchedFilters(FrontEnd):
    """(n, count, 32) the demodulated fundamental to its products with all phasors, in parts of the note.

    (segments, 512, n, 32): by the real parts of the 256 phasors and by the imaginary ones.
    """

    def build(self, input_shape: Any) -> None:
        parts = phasors(*FUNDAMENTAL).reshape(SWINGS, SEGMENTS, -1).transpose(1, 0, 2)
        self.phasors = self.keep("phasors", np.concatenate([parts.real, parts.imag], 1))

    def call(self, x: Any) -> Any:
        count = x.shape[1] // SEGMENTS
        x = ops.transpose(ops.reshape(x, (-1, SEGMENTS, count, 2 * NOTES)), (1, 2, 0, 3))
        x = ops.matmul(self.phasors, ops.reshape(x, (SEGMENTS, count, -1)))
        return ops.reshape(x, (SEGMENTS, 2 * SWINGS, -1, 2 * NOTES))


@keras.saving.register_keras_serializable("inversynth")
class Candidates(FrontEnd):
    """The atoms that correlate most: the levels of their f, v and B, one-hot (n, tokens, 3, 16), and features.

    (n, tokens, 34) features: the whole correlation's log magnitude and phase; each segment's correlation, turned by
    that phase, and its log magnitude before the sound was whitened; each harmonic's, turned by as many times that
    phase, and its log magnitude; the power in the atom's path before the sound was whitened. The harmonics'
    correlations are taken of these atoms alone.
    """

    def build(self, *_: Any) -> None:
        twins = np.zeros((16, 16, 1))
        twins[1:, 0] = -1e9  # without a swing all v are one
        self.twins = self.keep("twins", twins.reshape(1, SWINGS, 1))
        f, b = _levels("frequency"), _levels("mod_amplitude")
        frequencies = f[:, None, None] + b[:, None] * np.sin(2 * np.pi * np.arange(64) / 64)
        bins = np.rint(np.abs(frequencies) / paper.FORMAT.sample_rate * WINDOW).astype(int).reshape(SWINGS, -1)
        path = np.stack([np.bincount(row, minlength=BINS) for row in bins], axis=1) / 64
        self.swept = self.keep("swept", path)
        parts = [phasors(*harmonic) for harmonic in HARMONICS]
        self.phasors = [
            self.keep(f"phasors_{harmonic[0]}", np.stack([part.real, part.imag], 1))
            for harmonic, part in zip(HARMONICS, parts, strict=True)
        ]

    def call(self, in_time: Any, in_frequency: Any, products: Any, *harmonics: Any) -> Any:
        # A sum over segments; as a product, which in ONNX is quicker.
        whole = ops.matmul(np.ones((1, SEGMENTS), np.float32), ops.reshape(products, (SEGMENTS, -1)))
        whole = ops.reshape(whole, (2 * SWINGS, -1, 2 * NOTES))
        real = whole[:SWINGS, :, :NOTES] - whole[SWINGS:, :, NOTES:]
        imaginary = whole[:SWINGS, :, NOTES:] + whole[SWINGS:, :, :NOTES]
        power = ops.transpose(ops.square(real) + ops.square(imaginary), (1, 0, 2)) + self.twins
        power, index = ops.top_k(ops.reshape(power, (-1, SWINGS * NOTES)), TOKENS)
        index = ops.cast(index, "float32")  # in which ONNX divides by fewer steps than among integers
        pair = ops.floor(index / NOTES)
        v = ops.floor(pair / 16)
        b, note = pair - 16 * v, index - NOTES * pair
        swing, note, v, b = (ops.cast(part, "int32") for part in (pair, note, v, b))
        count = ops.shape(index)[0]
        sound = ops.cast(ops.arange(count), "int32")[:, None]

        size = 2 * NOTES * count  # of a phasor's products
        parts = np.arange(SEGMENTS, dtype=np.int32)[:, None] * (2 * SWINGS) + np.array([0, SWINGS], np.int32)
        rows = ops.reshape(size * parts, (SEGMENTS, 2, 1, 1, 1)) + np.array([0, NOTES], np.int32)[:, None, None]
        rows = rows + (swing * size + 2 * NOTES * sound + note)
        level = ops.sqrt(ops.maximum(power, 1e-12))[None]
        x = ops.take(ops.reshape(products, (-1,)), rows) / level
        r, i = x[:, 0, 0] - x[:, 1, 1], x[:, 0, 1] + x[:, 1, 0]
        c, s = ops.sum(r, axis=0, keepdims=True), ops.sum(i, axis=0, keepdims=True)
        columns = [ops.log(level + 1e-3), c, s]
        r, i = SEGMENTS * r, SEGMENTS * i
        columns += [r * c + i * s, i * c - r * s]
        taken_off = ops.mean(ops.reshape(in_time[:, : SEGMENTS * 4], (-1, SEGMENTS, 4)), axis=2)
        taken_off = ops.transpose(taken_off)[:, :, None]
        columns += [0.25 * (ops.log(ops.square(r) + ops.square(i) + 1e-2) + taken_off)]
        turn_c, turn_s = c, s
        for x, table in zip(harmonics, self.phasors, strict=True):
            turn_c, turn_s = turn_c * c - turn_s * s, turn_c * s + turn_s * c
            x = ops.transpose(ops.reshape(x, (-1, x.shape[1], 2, NOTES)), (0, 3, 1, 2))
            x = ops.take(ops.reshape(x, (-1, *x.shape[2:])), NOTES * sound + note, axis=0)
            x = ops.matmul(ops.take(table, swing, axis=0), x)[None]
            r, i = (x[..., 0, 0] - x[..., 1, 1]) / level, (x[..., 0, 1] + x[..., 1, 0]) / level
            columns += [r * turn_c + i * turn_s, i * turn_c - r * turn_s]
            columns += [0.25 * ops.log(ops.square(r) + ops.square(i) + 1e-3)]
        path = ops.matmul(in_frequency, self.swept)
        columns += [0.25 * ops.take_along_axis(path, note * 16 + b, axis=1)[None]]
        levels = ops.one_hot(ops.stack([note, v, b], axis=2), 16)
        features = ops.transpose(ops.concatenate(columns, axis=0), (1, 2, 0))
        return levels, ops.clip(features, -8.0, 8.0)


@keras.saving.register_keras_serializable("inversynth")
class Normalised(layers.Layer):
    """Layer normalization of the rows of (n, d), in the steps that onnxruntime makes one of."""

    EPSILON = 1e-3

    def build(self, shape: Any) -> None:
        self.gamma = self.add_weight(name="gamma", shape=(shape[-1],), initializer="ones")
        self.beta = self.add_weight(name="beta", shape=(shape[-1],), initializer="zeros")

    def call(self, x: Any) -> Any:
        x = ops.cast(x, "float32")
        x = x - ops.mean(x, axis=-1, keepdims=True)
        x = x / ops.sqrt(ops.mean(ops.power(x, 2.0), axis=-1, keepdims=True) + self.EPSILON)
        return ops.cast(x * ops.cast(self.gamma, "float32") + ops.cast(self.beta, "float32"), self.compute_dtype)


@keras.saving.register_keras_serializable("inversynth")
class Attention(layers.Layer):
    """Self-attention with `HEADS` heads among each sound's tokens: (n * tokens, d) to the same."""

    def build(self, shape: Any) -> None:
        self.asked = layers.Dense(3 * shape[-1], dtype=self.dtype_policy, name="asked")
        self.answered = layers.Dense(shape[-1], dtype=self.dtype_policy, name="answered")
        self.asked.build(shape)
        self.answered.build(shape)

    def call(self, x: Any) -> Any:
        width = x.shape[1]
        asked = ops.reshape(self.asked(x), (-1, TOKENS + GLOBAL_TOKENS, 3, HEADS, width // HEADS))
        query, key, value = ops.unstack(ops.transpose(asked, (2, 0, 3, 1, 4)), 3)
        scores = ops.matmul(query * (width // HEADS) ** -0.5, ops.transpose(key, (0, 1, 3, 2)))
        answer = ops.matmul(ops.softmax(scores), value)
        return self.answered(ops.reshape(ops.transpose(answer, (0, 2, 1, 3)), (-1, width)))


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
        count, rows = tokens.shape[1], ops.reshape(tokens, (-1, tokens.shape[2]))
        owner = ops.reshape(self.owner(rows), (-1, count, WAVEFORMS))
        owner = ops.log_softmax(ops.concatenate([owner, self.no_owner(summary)[:, None]], axis=1), axis=1)
        said = ops.reshape(self.levels(rows), (-1, count, WAVEFORMS, len(ATOM), 16))
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
    first, *higher = (Demodulated(*harmonic, name=f"demodulated_{harmonic[0]}")(whitened) for harmonic in FILTERS)
    products = MatchedFilters(name="matched_filters", trainable=False)(first)
    candidates = Candidates(name="candidates", dtype=exact, trainable=False)
    levels, features = candidates(in_time, in_frequency, products, *higher)

    x = picture
    for filters, *strides in CONVOLUTIONS:
        x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    powers = layers.Rescaling(0.125)(layers.Concatenate()([in_time, in_frequency]))
    summary = layers.Dense(UNITS, activation="relu")(layers.Concatenate()([layers.Flatten()(x), powers]))

    rows = [ops.reshape(part, (-1, size)) for part, size in ((features, features.shape[2]), (levels, len(ATOM) * 16))]
    x = layers.Dense(WIDTH, activation="relu")(layers.Concatenate()(rows))
    x = ops.reshape(layers.Dense(WIDTH)(x), (-1, TOKENS, WIDTH))
    said = layers.Reshape((GLOBAL_TOKENS, WIDTH))(layers.Dense(GLOBAL_TOKENS * WIDTH)(summary))
    x = ops.reshape(layers.Concatenate(axis=1)([x, said]), (-1, WIDTH))  # a row a token: dense layers are quicker so
    for _ in range(BLOCKS):
        x = layers.Add()([x, Attention()(Normalised()(x))])
        y = layers.Dense(2 * WIDTH, activation="relu")(Normalised()(x))
        x = layers.Add()([x, layers.Dense(WIDTH)(y)])
    x = ops.reshape(Normalised()(x), (-1, TOKENS + GLOBAL_TOKENS, WIDTH))
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


def _levels(what: str) -> NDArray[np.float64]:
    """(16,) the values of an oscillator's parameter; those of all four are the same."""
    return paper.SPACE[f"sin_{what}"].values


def _lowpass(decimation: int) -> NDArray[np.float64]:
    """(taps,) a windowed sinc that keeps what fits after decimation."""
    if decimation == 1:
        return np.ones(1)
    taps = TAPS_A_STEP * decimation
    kernel = np.sinc((np.arange(taps) - (taps - 1) / 2) / decimation) * np.kaiser(taps, 5.0)
    return np.asarray(kernel / kernel.sum())
