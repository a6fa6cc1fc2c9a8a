"""The paper's networks, with their audio front end inside, for any parameter space.

Keras layers and `keras.ops` only, so that they run on every Keras back end. A network takes raw audio
(n, samples) and gives one row of logits, the classes of all parameters side by side; `Heads` cuts it.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .architectures import HIDDEN_UNITS, SPECTROGRAM_STACKS, WAVEFORM_STACKS, check_model
from .devices import quiet
from .errors import UsageError
from .spec import AudioFormat, ParamSpace

try:
    # What TensorFlow says of itself is for those who set the variable lower; it heeds it only once it is loaded.
    with quiet() if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3" else contextlib.nullcontext():
        import keras
        from keras import layers, ops
except (ImportError, ValueError) as error:
    asked = os.environ.get("KERAS_BACKEND")
    raise UsageError(
        f"training needs Keras and a back end for it ({error}); "
        + (
            f"KERAS_BACKEND is {asked}: install that, or unset it"
            if asked
            else "install both with: pip install 'inversynth[train]'"
        )
    ) from None

WINDOW, HOP = 512, 256
LOG_FLOOR = 1e-3
"""Magnitudes below this are silence to a network; a full-scale sine has a magnitude of 128."""


@keras.saving.register_keras_serializable("inversynth")
class LogSpectrogram(layers.Layer):
    """(n, samples) audio to (n, frames, 257, 1) scaled natural log magnitudes.

    Periodic Hann window of 512, hop 256, frame m centred at sample 256 m + 128, as the paper's measures
    (see `inversynth.metrics`); the transform is a product with a fixed matrix, which every back end and
    ONNX have.
    """

    def build(self, input_shape: Any) -> None:
        samples = input_shape[-1]
        self.frames = -(-samples // HOP)
        self.behind = (self.frames + 1) * HOP - WINDOW // 4 - samples
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
        turns = np.outer(np.arange(WINDOW), np.arange(WINDOW // 2 + 1)) / WINDOW
        kernel = np.concatenate([np.cos(2 * np.pi * turns), -np.sin(2 * np.pi * turns)], axis=1)
        self.kernel = self.add_weight(
            name="dft",
            shape=(WINDOW, WINDOW + 2),
            initializer=keras.initializers.Constant((window[:, None] * kernel).astype("float32")),
            trainable=False,
        )

    def call(self, audio: Any) -> Any:
        padded = ops.pad(audio, ((0, 0), (WINDOW // 4, self.behind)))
        hops = ops.reshape(padded, (-1, self.frames + 1, HOP))
        frames = ops.concatenate([hops[:, :-1], hops[:, 1:]], axis=2)
        parts = ops.matmul(frames, self.kernel)
        bins = WINDOW // 2 + 1
        power = ops.square(parts[:, :, :bins]) + ops.square(parts[:, :, bins:])
        return ops.expand_dims(0.125 * ops.log(ops.maximum(power, LOG_FLOOR**2)) + 1.0, -1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], -(-input_shape[-1] // HOP), WINDOW // 2 + 1, 1)


def build(
    model: str, space: ParamSpace, audio: AudioFormat, seed: int = 0, data_format: str = "channels_last"
) -> keras.Model:
    """One of the paper's networks: (n, audio.samples) float32 to (n, sum of levels) logits.

    Convolutions use "same" padding, which gives the paper's weight counts (1.2 M; Conv6XL 2.3 M) and
    ConvE2E's 64 x 257. `seed` fixes the initial weights, by its low 32 bits. Raises `UsageError` for an unknown model.
    """
    check_model(model)
    if data_format not in ("channels_last", "channels_first"):
        raise UsageError(f"data format {data_format!r} is not channels_last or channels_first")
    keras.utils.set_random_seed(seed & 0xFFFFFFFF)
    inputs = keras.Input((audio.samples,), dtype="float32", name="audio")
    if model in WAVEFORM_STACKS:
        x = layers.Reshape((audio.samples, 1))(inputs)
        for filters, kernel, stride in WAVEFORM_STACKS[model]:
            x = layers.Conv1D(filters, kernel, stride, padding="same", activation="relu")(x)
        x = layers.Reshape((*x.shape[1:], 1))(x)
    else:
        x = LogSpectrogram(name="log_spectrogram")(inputs)
    if data_format == "channels_first":
        x = layers.Permute((3, 1, 2))(x)
    for filters, k1, k2, s1, s2 in SPECTROGRAM_STACKS[model]:
        x = layers.Conv2D(filters, (k1, k2), (s1, s2), padding="same", activation="relu", data_format=data_format)(x)
    x = layers.Flatten(data_format=data_format)(x)
    x = layers.Dense(HIDDEN_UNITS, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(int(space.levels.sum()), name="logits")(x), name=model)


@dataclass(frozen=True)
class Heads:
    """Cuts a row of logits into one distribution per parameter of a space."""

    space: ParamSpace
    sigmoid: bool = False
    """Whether the logits were trained as the paper's independent sigmoids; else as one softmax a parameter."""

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(P,) where each parameter's classes begin in the row."""
        return np.concatenate([[0], np.cumsum(self.space.levels)[:-1]])

    def probabilities(self, logits: Any) -> list[Any]:
        """(n, sum of levels) logits to P tensors (n, levels of the parameter) that sum to 1."""
        out = []
        for start, count in zip(self.starts, self.space.levels, strict=True):
            row = logits[:, int(start) : int(start + count)]
            if self.sigmoid:
                row = ops.sigmoid(row)
                out.append(row / ops.sum(row, axis=-1, keepdims=True))
            else:
                out.append(ops.softmax(row, axis=-1))
        return out

    def loss(self, levels: Any, logits: Any) -> Any:
        """(n, P) int levels, -1 where a parameter has no effect, and logits to the mean loss of a parameter.

        Cross-entropy of each parameter's softmax, or the paper's binary cross-entropy over its classes;
        what has no effect has no part in it.
        """
        levels = ops.cast(levels, "int32")
        heard = ops.cast(levels >= 0, "float32")
        widest = int(self.space.levels.max())
        columns = np.minimum(np.arange(widest), self.space.levels[:, None] - 1) + self.starts[:, None]
        real = ops.convert_to_tensor((np.arange(widest) < self.space.levels[:, None]).astype("float32"))
        rows = ops.reshape(ops.take(logits, columns.reshape(-1).astype("int32"), axis=1), (-1, len(self.space), widest))
        right = ops.one_hot(ops.maximum(levels, 0), widest)
        if self.sigmoid:
            each = ops.relu(rows) - rows * right + ops.softplus(-ops.abs(rows))
            losses = ops.sum(each * real, axis=-1) / ops.sum(real, axis=-1)
        else:
            rows = rows + (real - 1.0) * 1e9
            losses = ops.logsumexp(rows, axis=-1) - ops.sum(rows * right, axis=-1)
        return ops.sum(losses * heard) / ops.maximum(ops.sum(heard), 1.0)
