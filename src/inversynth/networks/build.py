"""The networks, with their audio front end inside, for any parameter space.

Keras layers and `keras.ops` only, so that they run on every Keras back end. A network takes raw audio
(n, samples) and gives one row of logits, the classes of all parameters side by side; `Heads` cuts it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..metrics import WINDOW
from ..spec import AudioFormat, ParamSpace
from .architectures import (
    DENSE_STACKS,
    FEATURE_DIMENSIONS,
    HAND_MADE,
    HIDDEN_UNITS,
    LINEAR,
    SPECTROGRAM_STACKS,
    WAVEFORM_STACKS,
    WORD_DIMENSIONS,
    WORDS,
    check_model,
)
from .frontends import HandMadeFeatures, LogSpectrogram, NoteShares  # first: it says what to install

from .fitted import PrincipalComponents, WordCounts  # isort: skip

import keras  # isort: skip
from keras import layers, ops  # isort: skip

CALIBRATION_ROUNDS, CALIBRATION_STEPS = 7, 7
TINY = 1e-30
"""The least probability in an entropy."""
PRECISIONS = ("float32", "mixed_bfloat16")

Own = Mapping[str, Callable[[ParamSpace, AudioFormat, str], keras.Model]]
"""Networks of a synth's own: of a space, an audio format and a precision."""


def build(
    model: str,
    space: ParamSpace,
    audio: AudioFormat,
    seed: int = 0,
    data_format: str = "channels_last",
    precision: str = "float32",
    own: Own = MappingProxyType({}),
    window: int = WINDOW,
    note: bool = False,
) -> keras.Model:
    """A network by its name: (n, audio.samples) float32 `audio` to (n, sum of levels) logits.

    window: of its front end, in samples. note: it has a second input, `note`, (n, 3) float32: key, velocity and hold in
    seconds, as `spec.Note.rows` gives them; it meets what is made of the sound before the first dense layer.

    Convolutions use "same" padding, which gives the published weight counts (1.2 M; Conv6XL 2.3 M) and ConvE2E's 64 x
    257, and takes spectrograms of any size. `seed` fixes the initial weights, by its low 32 bits. With the precision
    mixed_bfloat16 the layers that are trained compute in bfloat16; their weights, the front end and the logits stay
    float32. The fully connected networks must be adapted before they are trained. own: networks of the synth's own,
    by their names; they choose their own front end. Raises `UsageError` for an unknown model, and for a `note` where
    the network is one of the synth's own.
    """
    check_model(model, own)
    taken = sorted({"audio", "note"} & set(space.names))
    if taken:
        raise UsageError(f"a parameter can't be called {taken[0]}: an input of a network is; call it otherwise")
    if data_format not in ("channels_last", "channels_first"):
        raise UsageError(f"data format {data_format!r} is not channels_last or channels_first")
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    _multiply_in_full()
    keras.utils.set_random_seed(seed & 0xFFFFFFFF)
    if model in own:
        if note:
            raise UsageError(f"the network {model} can't take the note; leave --note out, or choose another --model")
        return own[model](space, audio, precision)
    sound = keras.Input((audio.samples,), dtype="float32", name="audio")
    inputs, more = [sound], []
    if note:
        inputs.append(keras.Input((3,), dtype="float32", name="note"))
        more = [NoteShares(audio.seconds, name="note_shares")(inputs[1])]
    if model in DENSE_STACKS:
        hidden = _dense(model, sound, more, audio, window, precision)
    else:
        hidden = _convolutions(model, sound, more, audio, window, data_format, precision)
    logits = layers.Dense(int(space.levels.sum()), name="logits")(hidden)
    return keras.Model(inputs if note else sound, logits, name=model)


def _multiply_in_full() -> None:
    """Keeps float32 products float32 on a GPU, too, where back ends else may round their factors to 10 bits (TF32)."""
    if keras.backend.backend() == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")
    elif keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_tensor_float_32_execution(False)


def _convolutions(
    model: str, sound: Any, more: list[Any], audio: AudioFormat, window: int, data_format: str, precision: str
) -> Any:
    if model in WAVEFORM_STACKS:
        x = layers.Reshape((audio.samples, 1))(sound)
        for filters, kernel, stride in WAVEFORM_STACKS[model]:
            x = layers.Conv1D(filters, kernel, stride, padding="same", activation="relu", dtype=precision)(x)
        x = layers.Reshape((*x.shape[1:], 1), dtype=precision)(x)
    else:
        x = LogSpectrogram(window, name="log_spectrogram")(sound)
    if data_format == "channels_first":
        x = layers.Permute((3, 1, 2))(x)
    form: dict[str, Any] = {"padding": "same", "activation": "relu", "data_format": data_format, "dtype": precision}
    for filters, k1, k2, s1, s2 in SPECTROGRAM_STACKS[model]:
        x = layers.Conv2D(filters, (k1, k2), (s1, s2), **form)(x)
    x = _with(layers.Flatten(data_format=data_format, dtype=precision)(x), more, precision)
    return layers.Dense(HIDDEN_UNITS, activation="relu", dtype=precision)(x)


def _with(x: Any, more: list[Any], precision: str) -> Any:
    """(n, k) and what else the dense layers are given."""
    return layers.Concatenate(dtype=precision)([x, *more]) if more else x


def _dense(model: str, sound: Any, more: list[Any], audio: AudioFormat, window: int, precision: str) -> Any:
    x = LogSpectrogram(window, name="log_spectrogram")(sound)
    if model in HAND_MADE:
        x = HandMadeFeatures(audio.sample_rate, window, name="features")(sound, x)
        x = PrincipalComponents(FEATURE_DIMENSIONS, standardise=True, name="principal_components")(x)
    else:
        x = layers.Reshape(x.shape[1:3])(x)
        x = PrincipalComponents(WORD_DIMENSIONS, name="principal_components")(x)
        x = WordCounts(WORDS, name="words")(x)
    x = _with(x, more, precision)
    for units, dropout in DENSE_STACKS[model]:
        x = layers.Dense(units, activation=None if model in LINEAR else "relu", dtype=precision)(x)
        x = layers.Dropout(dropout, dtype=precision)(x)
    return x


def adapt(network: keras.Model, inputs: Callable[[], Iterable[Any]]) -> None:
    """Fits the layers that are fitted and not trained, one after another; `inputs` gives the same batches each time."""
    for layer in network.layers:
        if hasattr(layer, "adapt"):
            until = keras.Model(network.inputs, layer.input)
            layer.adapt(np.concatenate([np.asarray(until.predict_on_batch(batch)) for batch in inputs()]))


@dataclass(frozen=True)
class Heads:
    """Cuts a row of logits into one distribution per parameter of a space."""

    space: ParamSpace
    sigmoid: bool = False
    """Whether the logits were trained as independent sigmoids; else as one softmax a parameter."""
    temperatures: tuple[tuple[float, float], ...] | None = None
    """(P, 2) a and b of each parameter: its logits are divided by exp(a + b H), H the entropy of their softmax in nats,
    to make its probabilities mean what they say."""

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(P,) where each parameter's classes begin in the row."""
        return np.concatenate([[0], np.cumsum(self.space.levels)[:-1]])

    def probabilities(self, logits: Any) -> list[Any]:
        """(n, sum of levels) logits to P tensors (n, levels of the parameter) that sum to 1."""
        rows, real = self._rows(logits)
        if self.sigmoid:
            rows = ops.sigmoid(rows) * real
            rows = rows / ops.sum(rows, axis=-1, keepdims=True)
        else:
            if self.temperatures is not None:
                at = np.array(self.temperatures, np.float32)[:, :, None]
                sure = ops.softmax(rows, axis=-1)
                entropy = -ops.sum(sure * ops.log(ops.maximum(sure, TINY)), axis=-1, keepdims=True)
                rows = rows / ops.exp(entropy * at[:, 1] + at[:, 0])
            rows = ops.softmax(rows, axis=-1)
        widest = rows.shape[2]
        parts = ops.split(ops.reshape(rows, (-1, len(self.space) * widest)), len(self.space), axis=1)
        return [
            part if count == widest else part[:, :count]
            for part, count in zip(parts, self.space.levels.tolist(), strict=True)
        ]

    def _rows(self, logits: Any) -> tuple[Any, Any]:
        """(n, sum of levels) logits as (n, P, most levels), far below all others where there is no level; and where."""
        widest = int(self.space.levels.max())
        columns = np.minimum(np.arange(widest), self.space.levels[:, None] - 1) + self.starts[:, None]
        real = ops.convert_to_tensor((np.arange(widest) < self.space.levels[:, None]).astype("float32"))
        if (self.space.levels != widest).any():
            logits = ops.take(logits, columns.reshape(-1).astype("int32"), axis=1)
        return ops.reshape(logits, (-1, len(self.space), widest)) + (real - 1.0) * 1e9, real

    def calibrated(
        self, logits: NDArray[np.float32], levels: NDArray[np.int64], counted: NDArray[np.bool_] | None = None
    ) -> Heads:
        """The same with the temperatures that make (n, P) levels likeliest, from their (n, sum of levels) logits.

        One temperature for each softmax, at the least cross-entropy (Guo, Pleiss, Sun, Weinberger, "On calibration of
        modern neural networks", ICML 2017), which depends on the entropy (Balanya, Maronas, Ramos, "Adaptive
        temperature scaling for robust calibration of deep neural networks", 2022). The order of the levels stays.
        counted: (n, P) what counts; by default, where the space says that a parameter has an effect.
        """
        counts = self.space.active(levels) if counted is None else counted
        found = []
        for i, (start, count) in enumerate(zip(self.starts, self.space.levels, strict=True)):
            rows = logits[counts[:, i], start : start + count].astype(np.float64)
            rows -= rows.max(axis=1, keepdims=True)
            right = np.take_along_axis(rows, levels[counts[:, i], i][:, None], axis=1)[:, 0]
            sure = np.exp(rows - np.logaddexp.reduce(rows, axis=1)[:, None])
            entropy = -np.sum(sure * np.log(np.maximum(sure, TINY)), axis=1)
            found.append(_temperature(rows, right, entropy))
        return dataclasses.replace(self, temperatures=tuple(found))

    def loss(self, levels: Any, logits: Any) -> Any:
        """(n, P) int levels, -1 where a parameter has no effect, and logits to the mean loss of a parameter.

        Cross-entropy of each parameter's softmax, or binary cross-entropy over its classes;
        what has no effect has no part in it.
        """
        levels = ops.cast(levels, "int32")
        counted = ops.cast(levels >= 0, "float32")
        rows, real = self._rows(logits)
        right = ops.one_hot(ops.maximum(levels, 0), rows.shape[2])
        if self.sigmoid:
            rows = rows * real
            each = ops.relu(rows) - rows * right + ops.softplus(-ops.abs(rows))
            losses = ops.sum(each * real, axis=-1) / ops.sum(real, axis=-1)
        else:
            losses = ops.logsumexp(rows, axis=-1) - ops.sum(rows * right, axis=-1)
        return ops.sum(losses * counted) / ops.maximum(ops.sum(counted), 1.0)


def _temperature(
    rows: NDArray[np.float64], right: NDArray[np.float64], entropy: NDArray[np.float64]
) -> tuple[float, float]:
    """a and b with the least cross-entropy of rows (n, levels) over exp(a + b entropy): a grid, ever finer."""
    (a, b), reach = (0.0, 0.0), 1.2
    for _ in range(CALIBRATION_ROUNDS):
        steps = np.linspace(-reach, reach, CALIBRATION_STEPS)
        losses = {}
        for at in itertools.product(a + steps, b + steps):
            temperature = np.exp(at[0] + at[1] * entropy)
            over = np.logaddexp.reduce(rows / temperature[:, None], axis=1)
            losses[at] = float(np.mean(over - right / temperature))
        a, b = min(losses, key=lambda at: losses[at])
        reach /= 2.5
    return float(a), float(b)
