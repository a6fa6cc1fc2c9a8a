"""What the networks hear: layers that take raw audio and are not trained.

Keras layers and `keras.ops` only, so that they run on every Keras back end and convert to ONNX. Layers with a
method `adapt` are fitted once, to sounds, before training; what they found are weights that training leaves alone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..system.devices import quiet

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

Floats = NDArray[np.float32]

WINDOW, HOP = 512, 256
BINS = WINDOW // 2 + 1
LOG_FLOOR = 1e-3
"""Magnitudes below this are silence to a network; a full-scale sine has a magnitude of 128."""

BANDS = 24
"""Mel bands of the hand-made features."""
COEFFICIENTS = 13
"""Mel-frequency cepstral coefficients of a frame."""
OCTAVES = (1, 8, 16, 32, 64, 128, BINS)
"""Edges, in bins, of the bands in which spectral peaks, valleys and contrast are taken."""
EXTREME = 0.2
"""The share of a band's bins that makes its peak, and its valley."""
ROLL_OFF = 0.85
"""The share of a frame's magnitudes that lies below its roll-off."""
INAUDIBLE = 1e-6
"""Samples up to this are not positive: of those near 2^-126, back ends disagree whether they are 0."""
SEGMENTS, SEGMENT_FRAMES = 25, 4
"""Segments whose mean and standard deviation are taken, evenly spread and overlapping."""

MEANS_FRAMES = 1 << 16
MEANS_ROUNDS = 20
"""k-means: the most frames that it looks at, and its iterations."""
SKETCH_EXTRA, SKETCH_ROUNDS = 100, 2
"""The randomised decomposition: columns beyond those asked for, and its iterations."""


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
    """(n, samples) audio to the real and the imaginary part of its spectrum, (n, frames, 257) each.

    Periodic Hann window of 512, which hops by half; frame m is centred a quarter of the window behind the beginning of
    hop m, as in the paper's measures (see `inversynth.metrics`).
    """

    def build(self, input_shape: Any) -> None:
        self.frames = -(-input_shape[-1] // HOP)
        self.cosines, self.sines = (
            self.keep(name, part) for name, part in zip(("cosines", "sines"), halves(WINDOW, BINS), strict=True)
        )

    def call(self, audio: Any) -> Any:
        audio, length = _padded(audio), self.frames * HOP
        rising = ops.reshape(audio[:, 1 : length + 1], (-1, HOP))
        falling = backwards(ops.reshape(audio[:, HOP:], (-1, HOP)))
        parts = ops.matmul(rising + falling, self.cosines), ops.matmul(rising - falling, self.sines)
        real, imaginary = (ops.reshape(part, (-1, self.frames, BINS)) for part in parts)
        return real, imaginary


@keras.saving.register_keras_serializable("inversynth")
class LogSpectrogram(Spectrum):
    """(n, samples) audio to (n, frames, 257, 1) scaled natural log magnitudes of its `Spectrum`, above a floor."""

    def call(self, audio: Any) -> Any:
        real, imaginary = super().call(audio)
        power = ops.square(real) + ops.square(imaginary)
        return ops.expand_dims(0.125 * ops.log(ops.maximum(power, LOG_FLOOR**2)) + 1.0, -1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], -(-input_shape[-1] // HOP), BINS, 1)


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


def _hops(audio: Any) -> Any:
    """(n, samples) to (n, frames + 1, 256): frame m of the spectrogram is the hops m and m + 1."""
    audio = _padded(audio)
    return ops.reshape(audio, (-1, audio.shape[-1] // HOP, HOP))


def _padded(audio: Any) -> Any:
    """(n, samples) with the silence that its frames reach into, of a whole number of hops."""
    samples, front = audio.shape[-1], WINDOW // 4
    return ops.pad(audio, ((0, 0), (front, (-(-samples // HOP) + 1) * HOP - front - samples)))


# -- hand-made features --------------------------------------------------------------------------


def mel_bands(sample_rate: int) -> NDArray[np.float64]:
    """(257, 24) weights of triangular bands, evenly spaced from 0 to the Nyquist frequency on the mel scale.

    The scale is 2595 log10(1 + f / 700) (O'Shaughnessy, "Speech Communication", 1987).
    """
    nyquist_hz = sample_rate / 2
    edges_mel = np.linspace(0, 2595 * np.log10(1 + nyquist_hz / 700), BANDS + 2)
    low, middle, high = (700 * (10 ** (edges_mel[i : BANDS + i] / 2595) - 1) for i in range(3))
    hz = np.linspace(0, nyquist_hz, BINS)[:, None]
    return np.asarray(np.maximum(np.minimum((hz - low) / (middle - low), (high - hz) / (high - middle)), 0))


def cosines() -> NDArray[np.float64]:
    """(24, 13) the first rows of the orthonormal discrete cosine transform (DCT-II), as columns."""
    phases = np.pi * np.outer(np.arange(BANDS) + 0.5, np.arange(COEFFICIENTS)) / BANDS
    return np.asarray(np.cos(phases) * np.where(np.arange(COEFFICIENTS) == 0, 1, np.sqrt(2)) / np.sqrt(BANDS))


@keras.saving.register_keras_serializable("inversynth")
class HandMadeFeatures(FrontEnd):
    """(n, samples) audio and its `LogSpectrogram` to (n, features).

    Of each frame, with |S| the magnitudes: log energies of 24 mel bands, 13 mel-frequency cepstral coefficients,
    zero crossings, spectral centroid, width (standard deviation about the centroid), roll-off (where 85 % of the
    sum of |S| is reached, between the bins too) and flux (Euclidean distance to the |S| of the frame before); of
    each of six octaves the peak and the valley (mean log |S| of the fifth of its bins that is largest, and
    smallest) and their difference, the contrast (Jiang et al., "Music type classification by spectral contrast
    feature", ICME 2002). To these their time derivatives (central differences). Of all of them the mean and the
    standard deviation in 25 overlapping segments of four frames.

    Frequencies are shares of the Nyquist frequency, zero crossings a share of the frame's samples.
    """

    def __init__(self, sample_rate: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sample_rate = sample_rate

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sample_rate": self.sample_rate}

    def build(self, audio_shape: Any, picture_shape: Any) -> None:
        self.bands = self.keep("bands", mel_bands(self.sample_rate))
        self.cosines = self.keep("cosines", cosines())
        self.place = self.keep("place", np.linspace(0, 1, BINS))

    def call(self, audio: Any, picture: Any) -> Any:
        each = self.frames(audio, picture)
        ahead = ops.concatenate([each[:, 1:], each[:, -1:]], axis=1)
        behind = ops.concatenate([each[:, :1], each[:, :-1]], axis=1)
        return segment_statistics(ops.concatenate([each, (ahead - behind) / 2], axis=2))

    def frames(self, audio: Any, picture: Any) -> Any:
        """(n, frames, 60) what is taken of each frame, in the order of the class's description."""
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
        octaves = [logs[:, :, low:high] for low, high in itertools.pairwise(OCTAVES)]
        peaks = ops.stack([_largest(band) for band in octaves], axis=2)
        valleys = ops.stack([-_largest(-band) for band in octaves], axis=2)
        return ops.concatenate(
            [
                energies,
                ops.matmul(energies, self.cosines),
                _crossings(audio),
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


def _crossings(audio: Any) -> Any:
    """(n, samples) to (n, frames, 1): how often the sign changes in each frame, as a share of its samples."""
    positive = ops.cast(audio > INAUDIBLE, "float32")
    changes = ops.abs(positive - ops.pad(positive, ((0, 0), (1, 0)))[:, :-1])
    hops = ops.sum(_hops(changes), axis=2, keepdims=True)
    return (hops[:, :-1] + hops[:, 1:]) / WINDOW


def segment_statistics(series: Any) -> Any:
    """(n, frames, features) to (n, 25 * 2 * features): mean and standard deviation of each in each segment."""
    frames, features = series.shape[1:]
    length = min(SEGMENT_FRAMES, frames)
    starts = np.rint(np.linspace(0, frames - length, SEGMENTS)).astype("int32")
    parts = ops.stack([series[:, start : start + length] for start in starts.tolist()], axis=1)
    means = ops.mean(parts, axis=2, keepdims=True)
    spreads = ops.sqrt(ops.mean(ops.square(parts - means), axis=2))
    return ops.reshape(ops.concatenate([means[:, :, 0], spreads], axis=2), (-1, SEGMENTS * 2 * features))


# -- what is fitted to sounds --------------------------------------------------------------------


@keras.saving.register_keras_serializable("inversynth")
class PrincipalComponents(FrontEnd):
    """(..., features) to (..., dimensions): their principal components, as `adapt` found them.

    With `standardise` each feature is first divided by its standard deviation: for features of different units.
    All components are divided by one number, so that their mean square is 1. Where there are fewer components than
    dimensions, the rest is 0.
    """

    def __init__(self, dimensions: int, standardise: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dimensions, self.standardise = dimensions, standardise

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dimensions": self.dimensions, "standardise": self.standardise}

    def build(self, input_shape: Any) -> None:
        self.mean = self.keep("mean", np.zeros(input_shape[-1]))
        self.components = self.keep("components", np.zeros((input_shape[-1], self.dimensions)))

    def call(self, inputs: Any) -> Any:
        return ops.matmul(inputs - self.mean, self.components)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.dimensions)

    def adapt(self, inputs: Floats) -> None:
        """Finds the components of the rows of `inputs`."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
        rows = rows - mean
        scale = np.ones_like(mean)
        if self.standardise:
            spread = np.sqrt(np.mean(np.square(rows), axis=0, dtype=np.float64))
            scale = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 1e-5 * spread.max()).astype("f4")
            rows *= scale
        axes, spread = principal_axes(rows, self.dimensions)
        size = np.sqrt(np.sum(np.square(spread)) / self.dimensions)
        found = np.zeros(self.components.shape, np.float32)
        found[:, : axes.shape[1]] = scale[:, None] * axes / max(size, 1e-6)
        self.mean.assign(mean)
        self.components.assign(found)


def principal_axes(rows: Floats, count: int) -> tuple[Floats, Floats]:
    """The directions (features, k) in which centred rows (n, features) vary most, and their deviations (k,) there.

    k is `count`, or the number of rows or features where that is less. Many axes are found by random projections
    (Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Review 2011, algorithm 4.4), always the same.
    """
    count = min(count, *rows.shape)
    if rows.shape[1] <= 2 * count or rows.shape[1] < 512:
        values, axes = np.linalg.eigh(rows.T @ rows)
    else:
        width = min(count + SKETCH_EXTRA, *rows.shape)
        sketch = np.random.default_rng(0).standard_normal((rows.shape[1], width), np.float32)
        for _ in range(SKETCH_ROUNDS):
            sketch = np.linalg.qr(rows.T @ (rows @ sketch))[0]
        inside = rows @ sketch
        values, turned = np.linalg.eigh(inside.T @ inside)
        axes = sketch @ turned
    order = slice(None, -count - 1, -1)
    return axes[:, order], np.sqrt(np.maximum(values[order], 0) / len(rows))


@keras.saving.register_keras_serializable("inversynth")
class WordCounts(FrontEnd):
    """(n, frames, features) to (n, words): how many of the frames are nearest to each of the centroids."""

    def __init__(self, words: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.words = words

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "words": self.words}

    def build(self, input_shape: Any) -> None:
        self.centroids = self.keep("centroids", np.zeros((input_shape[-1], self.words)))

    def call(self, inputs: Any) -> Any:
        nearness = ops.matmul(inputs, self.centroids) - 0.5 * ops.sum(ops.square(self.centroids), axis=0)
        nearest = ops.top_k(nearness, 1)[1][..., 0]  # Keras' argmax doesn't convert to ONNX
        return ops.sum(ops.one_hot(nearest, self.words), axis=1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.words)

    def adapt(self, inputs: Floats) -> None:
        """Finds the centroids of the rows of `inputs`, by k-means."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        self.centroids.assign(k_means(rows[:: -(-len(rows) // MEANS_FRAMES)], self.words).T)


def k_means(rows: Floats, count: int) -> Floats:
    """(count, features) the centroids of Lloyd's algorithm, from different rows drawn at random, always the same.

    A centroid that is nearest to no row goes to the row that is farthest from its own. Where there are fewer
    different rows than centroids, the rest of the centroids lie too far away to be nearest to anything.
    """
    different = np.unique(rows, axis=0)
    chosen = np.random.default_rng(0).permutation(len(different))[:count]
    centroids = different[chosen]
    squares = np.sum(np.square(rows), axis=1)
    for _ in range(MEANS_ROUNDS):
        nearest = np.empty(len(rows), np.int64)
        distances = np.empty(len(rows), np.float32)
        lengths = np.sum(np.square(centroids), axis=1)
        for at in range(0, len(rows), 4096):
            part = slice(at, at + 4096)
            far = lengths - 2 * (rows[part] @ centroids.T)
            nearest[part] = far.argmin(axis=1)
            distances[part] = far.min(axis=1) + squares[part]
        sizes = np.bincount(nearest, minlength=len(centroids))
        order = np.argsort(nearest, kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        used = sizes > 0
        centroids[used] = np.add.reduceat(rows[order], starts[used]) / sizes[used, None]
        centroids[~used] = rows[np.argsort(-distances, kind="stable")[: np.count_nonzero(~used)]]
    rest = np.full((count - len(centroids), rows.shape[1]), 1e6, np.float32)
    return np.concatenate([centroids, rest]).astype(np.float32)
