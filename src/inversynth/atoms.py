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
from .frontends import FrontEnd, Spectrum, backwards, gathered, log_power  # first: says what to install
from .spec import AudioFormat, ParamSpace
from .synths import paper

import keras  # isort: skip
from keras import layers, ops  # isort: skip

WAVEFORMS = len(paper.WAVEFORMS)
ATOM = ("frequency", "mod_frequency", "mod_amplitude")
NOTES, SWINGS = 16, 256
"""Levels of f, and pairs of v and B. An atom's number is 256 f + 16 v + B, of their levels."""

TOKENS, WIDTH, HEADS, BLOCKS = 32, 96, 4, 2
GLOBAL_TOKENS = 4
"""Tokens that the convolutional stack speaks to the others by."""
CONVOLUTIONS = ((24, 4, 4), (32, 2, 2), (48, 2, 2), (64, 2, 2), (96, 2, 2))
"""Filters, strides (time, frequency); all kernels are 3 x 3."""
UNITS = 192

WINDOW = 256
LENGTH, SEGMENTS, DECIMATION = 8000, 8, 5
"""Samples of the note that is listened to for its fundamentals; the parts of it that correlations are kept of; what
decimation leaves holds a swing of 1500 Hz."""
TAPS_A_STEP = 8
HEARD = LENGTH + (TAPS_A_STEP - 1) * DECIMATION
HARMONICS = (2, 3)
HARMONICS_START, HARMONICS_LENGTH = 1024, 768
"""First sample, and samples, that the harmonics are looked for in."""

WHOLE_NUMBERS = 63
"""The largest part of a phasor, as whole numbers: what a processor without VNNI adds two products of in 16 bits."""
STEP = 0.002
"""Of the demodulated sound, which is whitened, as whole numbers from -128 to 127."""


@keras.saving.register_keras_serializable("inversynth")
class Whitened(FrontEnd):
    """(n, samples) audio to its log spectrogram, its beginning whitened, and the logs of the powers taken off.

    (n, frames, bins, 1), (n, `HEARD`), (n, frames) and (n, bins). The frames of a `Spectrum` are divided by the root
    of their power in time and of their smoothed power in frequency, turned back, and added where they overlap:
    there, Hann windows sum to 1.
    """

    FLOOR_TIME, FLOOR_FREQUENCY, SILENCE = 1e-4, 1e-5, 1e-9
    SMOOTHED_BINS = 7

    def build(self, input_shape: Any) -> None:
        self.spectrum = Spectrum(WINDOW)
        self.spectrum.build(input_shape)
        hop = self.spectrum.hop
        bins = np.arange(hop + 1)
        turns = np.outer(bins, bins) / WINDOW
        weight = np.where((bins == 0) | (bins == bins[-1]), 1.0, 2.0)[:, None] / WINDOW
        self.cosines = self.keep("inverse_cosines", weight * np.cos(2 * np.pi * turns))
        self.sines = self.keep("inverse_sines", -weight * np.sin(2 * np.pi * turns))
        near = (np.abs(bins[:, None] - bins) <= self.SMOOTHED_BINS // 2).astype(float)
        self.smoothed = self.keep("smoothed", near / near.sum(axis=0))

    def call(self, audio: Any) -> Any:
        frames, hop = self.spectrum.frames, self.spectrum.hop
        real, imaginary = self.spectrum.rows(audio)
        power = ops.square(real) + ops.square(imaginary)
        in_time = ops.reshape(ops.mean(power, axis=1), (-1, frames))
        in_time = in_time + (self.FLOOR_TIME * ops.max(in_time, axis=1, keepdims=True) + self.SILENCE)
        power = ops.reshape(power, (-1, frames, hop + 1))
        in_frequency = ops.reshape(ops.matmul(ops.reshape(1 / in_time, (-1, 1, frames)), power), (-1, hop + 1))
        in_frequency = ops.matmul(in_frequency, self.smoothed)
        in_frequency = (
            in_frequency / (ops.mean(in_frequency, axis=1, keepdims=True) + self.SILENCE) + self.FLOOR_FREQUENCY
        )
        begin = -(-(HEARD + WINDOW // 4) // hop)  # frames that reach into what is heard
        gain = ops.reshape(ops.rsqrt(in_time[:, :begin]), (-1, begin, 1))
        gain = ops.reshape(gain * ops.reshape(ops.rsqrt(in_frequency), (-1, 1, hop + 1)), (-1, hop + 1))
        real, imaginary = (
            ops.reshape(ops.reshape(part, (-1, frames, hop + 1))[:, :begin], (-1, hop + 1)) * gain
            for part in (real, imaginary)
        )
        even, odd = ops.matmul(real, self.cosines), ops.matmul(imaginary, self.sines)
        ahead = ops.reshape((even + odd)[:, :hop], (-1, begin * hop))
        behind = ops.reshape(backwards((even - odd)[:, 1:]), (-1, begin * hop))
        front = WINDOW // 4
        whitened = ahead[:, front : front + HEARD] + ops.pad(behind, ((0, 0), (hop - front, 0)))[:, :HEARD]
        return log_power(power), whitened, ops.log(in_time), ops.log(in_frequency)


@keras.saving.register_keras_serializable("inversynth")
class Demodulated(FrontEnd):
    """(n, `HEARD`) whitened audio, brought down by each of the 16 f and decimated.

    (n, 16, count) twice: the real parts and the imaginary ones.
    """

    def build(self, _: Any) -> None:
        f, rate = _levels("frequency"), paper.FORMAT.sample_rate
        taps = _lowpass()
        local = np.exp(-2j * np.pi * np.outer(np.arange(len(taps)), f) / rate) * taps[:, None]
        self.lowpass = self.keep("lowpass", np.concatenate([local.real, local.imag], 1)[:, None, :])
        carrier = np.exp(-2j * np.pi * np.outer(f, np.arange(0, LENGTH, DECIMATION)) / rate)
        self.cosines, self.sines = self.keep("cosines", carrier.real), self.keep("sines", carrier.imag)

    def call(self, audio: Any) -> Any:
        x = ops.conv(audio[:, :, None], self.lowpass, strides=DECIMATION, padding="valid")
        x = ops.transpose(x, (0, 2, 1))
        real, imaginary = x[:, :NOTES], x[:, NOTES:]
        return (
            real * self.cosines - imaginary * self.sines,
            real * self.sines + imaginary * self.cosines,
        )


def swings(seconds: NDArray[np.float64]) -> NDArray[np.complex128]:
    """(256 pairs of v and B, times): what turns an atom, once brought down by its f, into a constant."""
    v, b = _levels("mod_frequency"), _levels("mod_amplitude")
    turns = (b / (2 * np.pi * v[:, None]))[:, :, None] * (1 - np.cos(2 * np.pi * v[:, None, None] * seconds))
    return np.asarray(np.exp(-2j * np.pi * turns).reshape(SWINGS, -1))


def phasors() -> NDArray[np.complex128]:
    """(256, count) the `swings` at the times of `Demodulated` sound, as whole numbers up to `WHOLE_NUMBERS`."""
    ahead = (len(_lowpass()) - 1) / 2
    exact = WHOLE_NUMBERS * swings((np.arange(0, LENGTH, DECIMATION) + ahead) / paper.FORMAT.sample_rate)
    return np.asarray(np.rint(exact.real) + 1j * np.rint(exact.imag))


@keras.saving.register_keras_serializable("inversynth")
class MatchedFilters(FrontEnd):
    """(n, 16, count) the demodulated sound's real and imaginary parts to its correlations with all atoms.

    (segments * 2, n * 4096): of each part of the note the real and the imaginary part. Sound and phasors are rounded to
    whole numbers, so that 8 bits hold them and their products are exact (see `export`); times `SCALE` they are
    correlations.
    """

    SCALE = STEP * DECIMATION / np.sqrt(LENGTH) / WHOLE_NUMBERS

    def build(self, *_: Any) -> None:
        parts = phasors().reshape(SWINGS, SEGMENTS, -1).transpose(1, 2, 0)
        self.phasors = self.keep("phasors", np.concatenate([parts.real, parts.imag], 1))

    def call(self, real: Any, imaginary: Any) -> Any:
        count = real.shape[2] // SEGMENTS
        # Rows of which the products with real above imaginary phasors are real, and rows of which they are imaginary.
        real, less, imaginary = (
            ops.clip(ops.round(part / STEP), -128.0, 127.0) for part in (real, -imaginary, imaginary)
        )
        x = ops.stack([real, less, imaginary, real])
        x = ops.transpose(ops.reshape(x, (2, 2, -1, SEGMENTS, count)), (3, 0, 2, 1, 4))
        x = ops.matmul(ops.reshape(x, (SEGMENTS, -1, 2 * count)), self.phasors)
        return ops.reshape(x, (2 * SEGMENTS, -1))


@keras.saving.register_keras_serializable("inversynth")
class Candidates(FrontEnd):
    """The atoms that correlate most: the levels of their f, v and B, one-hot (n, tokens, 48), and features.

    (n, tokens, 34) features: the whole correlation's log magnitude and phase; each segment's correlation, turned by
    that phase, and its log magnitude before the sound was whitened; each harmonic's, turned by as many times that
    phase, and its log magnitude; the power in the atom's path before the sound was whitened. The harmonics'
    correlations are taken of these atoms alone.
    """

    def build(self, in_time_shape: Any, *_: Any) -> None:
        note, v, b = (part.reshape(-1) for part in np.indices((NOTES, 16, 16)))
        self.twins = self.keep("twins", np.where((b == 0) & (v > 0), -1e9, 0.0))  # without a swing all v are one
        one_hot = np.eye(16)[np.stack([note, v, b], axis=1)].reshape(-1, len(ATOM) * 16)
        self.atoms = self.keep("atoms", np.column_stack([one_hot, note, 16 * v + b, 16 * note + b]))
        self.sums = self.keep("sums", MatchedFilters.SCALE * np.tile(np.eye(2), SEGMENTS))
        self.quarter = self.keep("quarter", np.kron(np.eye(SEGMENTS), [[0.0, -1.0], [1.0, 0.0]]))
        # Of a token's segments and harmonics, and its level, to the logs of their powers.
        count = SEGMENTS + len(HARMONICS)
        self.powers = self.keep("powers", np.eye(count + 1)[np.repeat(np.arange(count + 1), [2] * count + [1])])
        self.floors = self.keep("floors", np.repeat([1e-2, 1e-3, 1e-6], [SEGMENTS, len(HARMONICS), 1]))
        self.weights_of_logs = self.keep("weights", np.repeat([0.25, 0.5], [count, 1]))
        frame = np.arange(in_time_shape[-1]) * (WINDOW // 2) // (LENGTH // SEGMENTS)
        parts = (frame[:, None] == np.arange(count + 1)) & (np.arange(count + 1) < SEGMENTS)
        self.parts = self.keep("parts", 0.25 * parts / np.maximum(parts.sum(axis=0), 1))
        f, b, rate = _levels("frequency"), _levels("mod_amplitude"), paper.FORMAT.sample_rate
        frequencies = f[:, None, None] + b[:, None] * np.sin(2 * np.pi * np.arange(64) / 64)
        bins = np.rint(np.abs(frequencies) / rate * WINDOW).astype(int).reshape(SWINGS, -1)
        path = np.stack([np.bincount(row, minlength=WINDOW // 2 + 1) for row in bins], axis=1) / 64
        self.swept = self.keep("swept", 0.25 * path)
        at = (HARMONICS_START + np.arange(HARMONICS_LENGTH)) / rate
        carrier, swing = np.exp(-2j * np.pi * np.outer(f, at)), swings(at)
        self.carriers = self.keep("carrier_cosines", carrier.real), self.keep("carrier_sines", carrier.imag)
        self.swings = self.keep("swing_cosines", swing.real), self.keep("swing_sines", swing.imag)

    def call(self, in_time: Any, in_frequency: Any, products: Any, whitened: Any) -> Any:
        whole = ops.matmul(self.sums, products)
        power = ops.matmul(np.ones((1, 2), np.float32), ops.square(whole))
        power, index = ops.top_k(ops.reshape(power, (-1, NOTES * SWINGS)) + self.twins, TOKENS)
        level = ops.reshape(ops.sqrt(ops.maximum(power, 1e-12)), (-1, 1))
        sound = ops.arange(ops.shape(index)[0], dtype="int32")[:, None]
        atom = gathered(self.atoms, ops.reshape(index, (-1,)))
        levels, numbers = atom[:, : len(ATOM) * 16], ops.cast(atom[:, len(ATOM) * 16 :], "int32")
        note, swing, path = numbers[:, 0], numbers[:, 1], ops.reshape(numbers[:, 2], (-1, TOKENS))

        at = ops.reshape(ops.cast(index, "int32") + NOTES * SWINGS * sound, (-1,))
        x = ops.transpose(gathered(products, at, axis=1)) / level
        phase = ops.matmul(x, ops.transpose(self.sums))
        c, s = phase[:, :1], phase[:, 1:]
        x = (SEGMENTS * MatchedFilters.SCALE) * x
        x = x * c + ops.matmul(x, self.quarter) * s

        # The atom, turned back by its phase: its powers are turned back by as many times that.
        a, b = (gathered(table, note) for table in self.carriers)
        p, q = (gathered(table, swing) for table in self.swings)
        a, b = a * c + b * s, b * c - a * s
        real, imaginary = atom_real, atom_imaginary = a * p - b * q, a * q + b * p
        heard = whitened[:, HARMONICS_START : HARMONICS_START + HARMONICS_LENGTH, None]
        harmonics = []
        for _ in HARMONICS:
            real, imaginary = (
                real * atom_real - imaginary * atom_imaginary,
                real * atom_imaginary + imaginary * atom_real,
            )
            harmonics += [
                ops.matmul(ops.reshape(part, (-1, TOKENS, HARMONICS_LENGTH)), heard) for part in (real, imaginary)
            ]
        harmonics = ops.reshape(ops.concatenate(harmonics, axis=2), (-1, 2 * len(HARMONICS)))
        turned = ops.concatenate([x, harmonics / (HARMONICS_LENGTH**0.5 * level)], axis=1)

        logs = ops.matmul(ops.square(ops.concatenate([turned, level], axis=1)), self.powers)
        logs = self.weights_of_logs * ops.log(logs + self.floors)
        taken_off = ops.matmul(in_time, self.parts)
        logs = ops.reshape(logs, (-1, TOKENS, logs.shape[1])) + taken_off[:, None]
        swept = gathered(ops.reshape(ops.matmul(in_frequency, self.swept), (-1, 1)), path + SWINGS * sound)
        features = ops.reshape(ops.concatenate([phase, turned], axis=1), (-1, TOKENS, 2 + turned.shape[1]))
        features = ops.concatenate([features, logs, swept], axis=2)
        return ops.reshape(levels, (-1, TOKENS, levels.shape[1])), ops.clip(features, -8.0, 8.0)

    def compute_output_shape(self, in_time_shape: Any, *_: Any) -> Any:
        # Said, since JAX can't divide the columns of the products by 4096 while it doesn't know their number.
        features = 4 + 3 * (SEGMENTS + len(HARMONICS))
        return (in_time_shape[0], TOKENS, len(ATOM) * 16), (in_time_shape[0], TOKENS, features)


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

    def compute_output_shape(self, shape: Any) -> Any:
        return shape  # said for the same reason as that of `Candidates`


@keras.saving.register_keras_serializable("inversynth")
class Owners(layers.Layer):
    """Which token is whose atom, and what it says of f, v and B.

    (n, tokens, d), their levels (n, tokens, 48) and a summary (n, u) to the log probabilities of f, v, B of each
    waveform (n, 4, 3, 16), a mixture over the tokens and "none of them"; and each waveform's mean token (n, 4, d).
    """

    SHARPNESS = 4.0
    LEAST = 1e-9

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
        owner = ops.concatenate([owner, ops.reshape(self.no_owner(summary), (-1, 1, WAVEFORMS))], axis=1)
        owner = ops.softmax(ops.transpose(owner, (0, 2, 1)), axis=2)
        said = ops.reshape(self.levels(rows), (-1, count, WAVEFORMS, len(ATOM), 16))
        said = said + self.sharpness * ops.reshape(levels, (-1, count, 1, len(ATOM), 16))
        none = ops.reshape(self.no_levels(summary), (-1, 1, WAVEFORMS, len(ATOM), 16))
        said = ops.softmax(ops.concatenate([said, none], axis=1), axis=-1)
        said = ops.transpose(ops.reshape(said, (-1, count + 1, WAVEFORMS, len(ATOM) * 16)), (0, 2, 1, 3))
        mixed = ops.matmul(ops.reshape(owner, (-1, WAVEFORMS, 1, count + 1)), said)
        mixed = ops.log(ops.reshape(mixed, (-1, WAVEFORMS, len(ATOM), 16)) + self.LEAST)
        return mixed, ops.matmul(owner[:, :, :count], tokens)


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
    demodulated = Demodulated(name="demodulated", dtype=exact, trainable=False)(whitened)
    products = MatchedFilters(name="matched_filters", dtype=exact, trainable=False)(*demodulated)
    candidates = Candidates(name="candidates", dtype=exact, trainable=False)
    levels, features = candidates(in_time, in_frequency, products, whitened)

    x = picture
    for filters, *strides in CONVOLUTIONS:
        x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    powers = layers.Rescaling(0.125)(layers.Concatenate()([in_time, in_frequency]))
    summary = layers.Dense(UNITS, activation="relu")(layers.Concatenate()([layers.Flatten()(x), powers]))

    x = layers.Concatenate()([features, levels])
    x = layers.Dense(WIDTH, activation="relu")(ops.reshape(x, (-1, x.shape[2])))
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


def _lowpass() -> NDArray[np.float64]:
    """(taps,) a windowed sinc that keeps what fits after decimation."""
    taps = TAPS_A_STEP * DECIMATION
    kernel = np.sinc((np.arange(taps) - (taps - 1) / 2) / DECIMATION) * np.kaiser(taps, 5.0)
    return np.asarray(kernel / kernel.sum())
