"""`Atoms`, a network for the paper's synth: it searches a sound for the synth's own oscillators.

An oscillator that carries f, swung by B sin(2 pi v t), has a known phase at every moment (see `table`),
so a sound's correlation with all 16 x 16 x 16 of them can be computed: a matched filter each. The sound is whitened
first, in time and in frequency, which takes off most of what gate, envelope and low-pass did to it. What correlates
most becomes a set of tokens, an atom (f, v, B) each, with the correlations of its harmonics; self-attention among
them, and with what a few layers make of the power in bands, decides whose they are. What comes before the tokens is in
`matched_filters`, and isn't trained.

Keras layers and `keras.ops` only, so that it runs on every Keras back end, as `inversynth.networks.build` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import UsageError
from ...spec import AudioFormat, ParamSpace
from . import table as paper
from .matched_filters import (  # first: it says what to install
    ATOM,
    FRAMES,
    TOKENS,
    Candidates,
    Demodulated,
    MatchedFilters,
    Whitened,
)

import keras  # isort: skip
from keras import layers, ops  # isort: skip

WAVEFORMS = len(paper.WAVEFORMS)
WIDTH, HEADS, BLOCKS = 80, 4, 2
GLOBAL_TOKENS = 2
"""Tokens that carry what is inferred of envelope and filter."""
BAND_UNITS, FRAMES_A_GROUP, GROUP_UNITS = 48, 6, 32
UNITS, OWNED_UNITS, LAST_UNITS = 128, 64, 192


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

    def compute_output_shape(self, shape: Any) -> Any:
        return shape  # JAX can't divide an unknown number of rows by the tokens

    def call(self, x: Any) -> Any:
        width = x.shape[1]
        asked = ops.reshape(self.asked(x), (-1, TOKENS + GLOBAL_TOKENS, 3 * HEADS, width // HEADS))
        query, key, value = ops.split(ops.transpose(asked, (0, 2, 1, 3)), 3, axis=1)
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) * (width // HEADS) ** -0.5
        answer = ops.matmul(ops.softmax(scores), value)
        return self.answered(ops.reshape(ops.transpose(answer, (0, 2, 1, 3)), (-1, width)))


@keras.saving.register_keras_serializable("inversynth")
class Owners(layers.Layer):
    """Which token is whose atom, and what it says of f, v and B.

    (n * tokens, d + 48), the tokens with their levels, to the log probabilities of f, v, B of each waveform
    (n, 4, 3, 16), a mixture over the tokens; and each waveform's mean token (n, 4, d + 48).
    """

    SHARPNESS = 4.0
    LEAST = 1e-9

    def build(self, shape: Any) -> None:
        count = len(ATOM) * 16
        self.said = layers.Dense(WAVEFORMS * (1 + count), dtype=self.dtype_policy, name="said")
        self.said.build(shape)
        kernel = np.array(keras.ops.convert_to_numpy(self.said.kernel))
        kernel[-count:] = np.concatenate(
            [np.zeros((count, WAVEFORMS))] + WAVEFORMS * [self.SHARPNESS * np.eye(count)], 1
        )
        self.said.kernel.assign(kernel)

    def compute_output_shape(self, shape: Any) -> Any:
        return (None, WAVEFORMS, len(ATOM), 16), (None, WAVEFORMS, shape[1])

    def call(self, tokens: Any) -> Any:
        rows, count = TOKENS + GLOBAL_TOKENS, len(ATOM) * 16
        said = self.said(tokens)
        owner = ops.transpose(ops.reshape(said[:, :WAVEFORMS], (-1, rows, WAVEFORMS)), (0, 2, 1))
        owner = ops.softmax(owner, axis=2)
        said = ops.softmax(ops.reshape(said[:, WAVEFORMS:], (-1, rows, WAVEFORMS * len(ATOM), 16)), axis=3)
        said = ops.transpose(ops.reshape(said, (-1, rows, WAVEFORMS, count)), (0, 2, 1, 3))
        mixed = ops.matmul(ops.reshape(owner, (-1, WAVEFORMS, 1, rows)), said)
        mixed = ops.log(ops.reshape(mixed, (-1, WAVEFORMS, len(ATOM), 16)) + self.LEAST)
        return mixed, ops.matmul(owner, ops.reshape(tokens, (-1, rows, tokens.shape[1])))


def build(space: ParamSpace, audio: AudioFormat, precision: str = "float32") -> keras.Model:
    """(n, samples) float32 to (n, 368) logits; raises `UsageError` for another synth's space or format.

    precision: of the layers that are trained.
    """
    if space.fingerprint != paper.SPACE.fingerprint or audio != paper.FORMAT:
        raise UsageError("the model Atoms is for the synth paper only; choose another --model")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return _network(space, audio)
    finally:
        keras.config.set_dtype_policy(before)


def _network(space: ParamSpace, audio: AudioFormat) -> keras.Model:
    exact = "float32"
    inputs = keras.Input((audio.samples,), dtype=exact, name="audio")
    bands, whitened, in_time, in_frequency = Whitened(name="whitened", dtype=exact, trainable=False)(inputs)
    demodulated = Demodulated(name="demodulated", dtype=exact, trainable=False)(whitened)
    products = MatchedFilters(name="matched_filters", dtype=exact, trainable=False)(demodulated)
    candidates = Candidates(name="candidates", dtype=exact, trainable=False)
    levels, features = candidates(in_time, in_frequency, products, whitened)

    x = layers.Dense(BAND_UNITS, activation="relu", name="bands")(bands)
    x = ops.reshape(x, (-1, FRAMES_A_GROUP * BAND_UNITS))
    x = layers.Dense(GROUP_UNITS, activation="relu", name="groups")(x)
    x = ops.reshape(x, (-1, FRAMES // FRAMES_A_GROUP * GROUP_UNITS))
    powers = layers.Rescaling(0.125)(layers.Concatenate()([in_time, in_frequency]))
    summary = layers.Dense(UNITS, activation="relu", name="summary")(layers.Concatenate()([x, powers]))

    row = WIDTH + levels.shape[1]
    x = layers.Dense(WIDTH, activation="relu", name="features")(layers.Concatenate()([features, levels]))
    x = layers.Dense(WIDTH, name="tokens")(x)
    x = ops.reshape(layers.Concatenate()([x, levels]), (-1, TOKENS, row))
    said = layers.Reshape((GLOBAL_TOKENS, row))(layers.Dense(GLOBAL_TOKENS * row, name="global_tokens")(summary))
    x = ops.reshape(layers.Concatenate(axis=1)([x, said]), (-1, row))  # a row a token: dense layers are quicker so
    x, levels = x[:, :WIDTH], x[:, WIDTH:]
    for n in range(BLOCKS):
        y = Normalised(name=f"before_attention_{n}")(x)
        x = layers.Add()([x, Attention(name=f"attention_{n}")(y)])
        y = Normalised(name=f"before_dense_{n}")(x)
        y = layers.Dense(2 * WIDTH, activation="relu", name=f"wide_{n}")(y)
        x = layers.Add()([x, layers.Dense(WIDTH, name=f"narrow_{n}")(y)])
    x = layers.Concatenate()([Normalised(name="normalised")(x), levels])
    atoms, owned = Owners(name="owners", dtype=exact)(x)
    overall = ops.reshape(
        ops.reshape(x, (-1, TOKENS + GLOBAL_TOKENS, row))[:, TOKENS:, :WIDTH], (-1, GLOBAL_TOKENS * WIDTH)
    )
    owned = layers.Dense(OWNED_UNITS, activation="relu", name="owned")(ops.reshape(owned, (-1, row)))
    owned = ops.reshape(owned, (-1, WAVEFORMS * OWNED_UNITS))
    x = layers.Dense(LAST_UNITS, activation="relu", name="last")(layers.Concatenate()([summary, overall, owned]))
    amplitudes = layers.Dense(WAVEFORMS * 16, dtype=exact, name="amplitudes")(x)
    amplitudes = layers.Reshape((WAVEFORMS, 1, 16), dtype=exact)(amplitudes)
    oscillators = layers.Concatenate(axis=2, dtype=exact)([atoms[:, :, :2], amplitudes, atoms[:, :, 2:]])
    others = layers.Dense(int(space.levels.sum()) - WAVEFORMS * 4 * 16, dtype=exact, name="others")(x)
    logits = layers.Concatenate(name="logits", dtype=exact)([layers.Flatten(dtype=exact)(oscillators), others])
    return keras.Model(inputs, logits, name="Atoms")
