"""Layers that are fitted once, to sounds, before training (`adapt`), and that training leaves alone.

What they found are weights of the network.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .frontends import Floats, FrontEnd  # first: it says what to install

import keras  # isort: skip
from keras import ops  # isort: skip

MEANS_FRAMES = 1 << 16
MEANS_ROUNDS = 20
"""k-means: the most frames that it uses, and its iterations."""
SKETCH_EXTRA, SKETCH_ROUNDS = 100, 2
"""The randomised decomposition: columns beyond those asked for, and its iterations."""


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
