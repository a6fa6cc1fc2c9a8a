"""The front ends of networks: layers that take raw audio, or notes, and are not trained.

Keras layers and `keras.ops` only, so that they run on every Keras back end and convert to ONNX.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..metrics import WINDOW
from ..system.devices import quiet

try:
    # TensorFlow's own log is for those who set this variable lower. It must be set before TensorFlow is loaded.
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

Floats = NDArray[np.float32]

LOG_FLOOR = 1e-3
"""Magnitudes below this are silence to a network; a full-scale sine has one of a quarter of the window's samples."""

BANDS = 24
"""Mel bands of the hand-made features."""
COEFFICIENTS = 13
"""Mel-frequency cepstral coefficients of a frame."""
OCTAVES_HZ = (32, 256, 512, 1024, 2048, 4096)
"""Lower edges of the bands in which spectral peaks, valleys and contrast are taken; the last ends at the Nyquist
frequency."""
EXTREME = 0.2
"""The share of a band's bins that makes its peak, and its valley."""
ROLL_OFF = 0.85
"""The share of a frame's magnitudes that lies below its roll-off."""
INAUDIBLE = 1e-6
"""Samples up to this are not positive: of those near 2^-126, back ends disagree whether they are 0."""
SEGMENTS, SEGMENT_FRAMES = 25, 4
"""Segments whose mean and standard deviation are taken, evenly spread and overlapping."""


class FrontEnd(layers.Layer):
    """A layer that training leaves alone: its arrays are kept as weights, for the graph and for a run's folder."""

    def keep(self, name: str, array: NDArray[Any], dtype: str = "float32") -> Any:
        """A weight of this value."""
        return self.add_weight(
            name=name,
            shape=array.shape,
            dtype=dtype,
            initializer=keras.initializers.Constant(array.astype(dtype)),
            trainable=False,
        )


@keras.saving.register_keras_serializable("inversynth")
class Spectrum(FrontEnd):
    """(n, samples) audio to the real and the imaginary part of its spectrum, (n, frames, window / 2 + 1) each.

    window: samples of a periodic Hann window, which hops by half; frame m is centred a quarter of the window behind the
    beginning of hop m, as in `inversynth.metrics`.
    """

    def __init__(self, window: int = WINDOW, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window, self.hop, self.bins = window, window // 2, window // 2 + 1

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "window": self.window}

    def build(self, input_shape: Any) -> None:
        self.frames = -(-input_shape[-1] // self.hop)
        self.cosines, self.sines = (
            self.keep(name, part)
            for name, part in zip(("cosines", "sines"), halves(self.window, self.bins), strict=True)
        )

    def call(self, audio: Any) -> Any:
        audio, length = _padded(audio, self.window), self.frames * self.hop
        rising = ops.reshape(audio[:, 1 : length + 1], (-1, self.hop))
        falling = backwards(ops.reshape(audio[:, self.hop :], (-1, self.hop)))
        parts = ops.matmul(rising + falling, self.cosines), ops.matmul(rising - falling, self.sines)
        real, imaginary = (ops.reshape(part, (-1, self.frames, self.bins)) for part in parts)
        return real, imaginary


@keras.saving.register_keras_serializable("inversynth")
class LogSpectrogram(Spectrum):
    """(n, samples) audio to (n, frames, bins, 1) scaled natural log magnitudes of its `Spectrum`, above a floor."""

    def call(self, audio: Any) -> Any:
        real, imaginary = super().call(audio)
        power = ops.square(real) + ops.square(imaginary)
        return ops.expand_dims(0.125 * ops.log(ops.maximum(power, LOG_FLOOR**2)) + 1.0, -1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], -(-input_shape[-1] // self.hop), self.bins, 1)


@keras.saving.register_keras_serializable("inversynth")
class NoteShares(FrontEnd):
    """(n, 3) notes, as `spec.Note.rows` gives them, to (n, 3): key / 127, velocity / 127, and the share of the sound's
    `seconds` for which the key is held, 1 where it is held to the end or longer."""

    def __init__(self, seconds: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seconds = seconds

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seconds": self.seconds}

    def build(self, input_shape: Any) -> None:
        self.most = self.keep("most", np.array([127.0, 127.0, self.seconds]))

    def call(self, notes: Any) -> Any:
        return ops.minimum(notes, self.most) / self.most


def halves(window: int, bins: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(window / 2, bins) twice: what makes the lowest bins of a frame's transform, under a periodic Hann window.

    The transform is a product with fixed matrices, which every back end and ONNX have: of the sum of a frame's samples
    1, 2.. to the middle and those from the last back to it, the real parts; of the difference, the imaginary ones. At
    sample 0 the window is 0.
    """
    at = np.arange(1, window // 2 + 1)
    shape = 0.5 - 0.5 * np.cos(2 * np.pi * at / window)
    shape[-1] /= 2  # the middle of a frame is in both halves
    turns = 2 * np.pi * np.outer(at, np.arange(bins)) / window
    return shape[:, None] * np.cos(turns), -shape[:, None] * np.sin(turns)


def backwards(x: Any) -> Any:
    """(rows, samples) with the last axis turned round; as a slice, which in ONNX is quicker than what flips."""
    return ops.flip(x, axis=1) if keras.backend.backend() == "torch" else x[:, ::-1]


def gathered(table: Any, at: Any, axis: int = 0) -> Any:
    """Rows or columns of a table; with TensorFlow by its own operation, since Keras looks for negative numbers, too."""
    if keras.backend.backend() != "tensorflow":
        return ops.take(table, at, axis=axis)
    import tensorflow

    return tensorflow.gather(table, at, axis=axis)


def _hops(audio: Any, window: int) -> Any:
    """(n, samples) to (n, frames + 1, hop): frame m of the spectrogram is the hops m and m + 1."""
    audio, hop = _padded(audio, window), window // 2
    return ops.reshape(audio, (-1, audio.shape[-1] // hop, hop))


def _padded(audio: Any, window: int) -> Any:
    """(n, samples) with the silence that its frames reach into, of a whole number of hops."""
    samples, front, hop = audio.shape[-1], window // 4, window // 2
    return ops.pad(audio, ((0, 0), (front, (-(-samples // hop) + 1) * hop - front - samples)))


# -- hand-made features --------------------------------------------------------------------------


def mel_bands(sample_rate: int, window: int = WINDOW) -> NDArray[np.float64]:
    """(window / 2 + 1, 24) weights of triangular bands, evenly spaced from 0 to the Nyquist frequency on the mel scale.

    The scale is 2595 log10(1 + f / 700) (O'Shaughnessy, "Speech Communication", 1987).
    """
    nyquist_hz = sample_rate / 2
    edges_mel = np.linspace(0, 2595 * np.log10(1 + nyquist_hz / 700), BANDS + 2)
    low, middle, high = (700 * (10 ** (edges_mel[i : BANDS + i] / 2595) - 1) for i in range(3))
    hz = np.linspace(0, nyquist_hz, window // 2 + 1)[:, None]
    return np.asarray(np.maximum(np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle)), 0))


def cosines() -> NDArray[np.float64]:
    """(24, 13) the first rows of the orthonormal discrete cosine transform (DCT-II), as columns."""
    phases = np.pi * np.outer(np.arange(BANDS) + 0.5, np.arange(COEFFICIENTS)) / BANDS
    return np.asarray(np.cos(phases) * np.where(np.arange(COEFFICIENTS) == 0, 1, np.sqrt(2)) / np.sqrt(BANDS))


def octaves(sample_rate: int, window: int = WINDOW) -> list[slice]:
    """The bins of each of the bands of `OCTAVES_HZ`; those that would have none are left out."""
    edges = [round(hz * window / sample_rate) for hz in OCTAVES_HZ if hz < sample_rate / 2]
    bins = window // 2 + 1
    return [slice(low, high) for low, high in itertools.pairwise(np.unique(np.clip([*edges, bins], 1, bins)).tolist())]


@keras.saving.register_keras_serializable("inversynth")
class HandMadeFeatures(FrontEnd):
    """(n, samples) audio and its `LogSpectrogram` to (n, features).

    Of each frame, with |S| the magnitudes: log energies of 24 mel bands, 13 mel-frequency cepstral coefficients,
    zero crossings, spectral centroid, width (standard deviation about the centroid), roll-off (where 85 % of the
    sum of |S| is reached, between the bins too) and flux (Euclidean distance to the |S| of the frame before); of
    each of six octaves (`OCTAVES_HZ`) the peak and the valley (mean log |S| of the fifth of its bins that is largest,
    and smallest) and their difference, the contrast (Jiang et al., "Music type classification by spectral contrast
    feature", ICME 2002). To these their time derivatives (central differences). Of all of them the mean and the
    standard deviation in 25 overlapping segments of four frames.

    Frequencies are shares of the Nyquist frequency, zero crossings a share of the frame's samples.
    """

    def __init__(self, sample_rate: int, window: int = WINDOW, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sample_rate, self.window = sample_rate, window
        self.octaves = octaves(sample_rate, window)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sample_rate": self.sample_rate, "window": self.window}

    def build(self, audio_shape: Any, picture_shape: Any) -> None:
        self.bands = self.keep("bands", mel_bands(self.sample_rate, self.window))
        self.cosines = self.keep("cosines", cosines())
        self.place = self.keep("place", np.linspace(0, 1, self.window // 2 + 1))

    def call(self, audio: Any, picture: Any) -> Any:
        each = self.frames(audio, picture)
        ahead = ops.concatenate([each[:, 1:], each[:, -1:]], axis=1)
        behind = ops.concatenate([each[:, :1], each[:, :-1]], axis=1)
        return segment_statistics(ops.concatenate([each, (ahead - behind) / 2], axis=2))

    def frames(self, audio: Any, picture: Any) -> Any:
        """(n, frames, features) what is taken of each frame, in the order of the class's description."""
        logs = 4.0 * (picture[..., 0] - 1.0)
        magnitudes = ops.exp(logs)
        energies = ops.log(ops.matmul(ops.square(magnitudes), self.bands) + LOG_FLOOR**2)
        total = ops.sum(magnitudes, axis=2, keepdims=True)
        centroid = ops.sum(magnitudes * self.place, axis=2, keepdims=True) / total
        away = ops.square(self.place - centroid)
        width = ops.sqrt(ops.sum(magnitudes * away, axis=2, keepdims=True) / total)
        until = ops.cumsum(magnitudes, axis=2)
        below = ops.clip((ROLL_OFF * total - (until - magnitudes)) / magnitudes, 0.0, 1.0)
        before = ops.concatenate([magnitudes[:, :1], magnitudes[:, :-1]], axis=1)
        bands = [logs[:, :, octave] for octave in self.octaves]
        peaks = ops.stack([_largest(band) for band in bands], axis=2)
        valleys = ops.stack([-_largest(-band) for band in bands], axis=2)
        return ops.concatenate(
            [
                energies,
                ops.matmul(energies, self.cosines),
                _crossings(audio, self.window),
                centroid,
                width,
                ops.mean(below, axis=2, keepdims=True),
                ops.sqrt(ops.sum(ops.square(magnitudes - before), axis=2, keepdims=True)),
                peaks,
                valleys,
                peaks - valleys,
            ],
            axis=2,
        )


def _largest(band: Any) -> Any:
    """(n, frames, bins) to (n, frames): the mean of the largest fifth."""
    return ops.mean(ops.top_k(band, -(-int(100 * EXTREME) * band.shape[2] // 100))[0], axis=2)


def _crossings(audio: Any, window: int) -> Any:
    """(n, samples) to (n, frames, 1): how often the sign changes in each frame, as a share of its samples."""
    positive = ops.cast(audio > INAUDIBLE, "float32")
    changes = ops.abs(positive - ops.pad(positive, ((0, 0), (1, 0)))[:, :-1])
    hops = ops.sum(_hops(changes, window), axis=2, keepdims=True)
    return (hops[:, :-1] + hops[:, 1:]) / window


def segment_statistics(series: Any) -> Any:
    """(n, frames, features) to (n, 25 * 2 * features): mean and standard deviation of each in each segment."""
    frames, features = series.shape[1:]
    length = min(SEGMENT_FRAMES, frames)
    starts = np.rint(np.linspace(0, frames - length, SEGMENTS)).astype("int32")
    parts = ops.stack([series[:, start : start + length] for start in starts.tolist()], axis=1)
    means = ops.mean(parts, axis=2, keepdims=True)
    spreads = ops.sqrt(ops.mean(ops.square(parts - means), axis=2))
    return ops.reshape(ops.concatenate([means[:, :, 0], spreads], axis=2), (-1, SEGMENTS * 2 * features))
