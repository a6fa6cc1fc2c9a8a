"""A network, its optimiser and their position in a run: steps, validation, and what is saved and loaded."""

from __future__ import annotations

import functools
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MismatchError, UsageError
from ..metrics import mean_mae, mean_mpr, mean_top, parameter_measures
from .jax_steps import JaxSteps
from .run import load_arrays, save_arrays
from .settings import Settings
from .sources import Batch, Levels, Source, rows_of

FITTED = 4096
"""The first sounds that a run trains on: to these, at least, the layers that are not trained are fitted before."""
CHUNK = 256
"""Sounds of the validation set that are predicted at a time."""


class Trainer:
    """One run: the network, its optimiser, its position.

    window: of the network's front end, in samples; by default the synth's.
    """

    POSITION = ("step", "cursor", "stale", "seconds", "waited", "loss_sum", "best")

    def __init__(self, settings: Settings, source: Source, window: int | None = None) -> None:
        from ..networks import build as networks  # isort: skip  (first: it says what to install)
        import keras

        on_cpu = keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices("gpu")
        if settings.data_format == "channels_first" and on_cpu:
            raise UsageError(
                "TensorFlow trains channels_first on a GPU only, and there is none; leave --data-format out"
            )
        self.settings, self.source = settings, source
        self.heads = networks.Heads(source.space, sigmoid=settings.loss == "sigmoid")
        self.network = networks.build(
            settings.model,
            source.space,
            source.audio,
            settings.seed,
            settings.data_format,
            settings.precision,
            source.synth.networks,
            window or source.synth.window_samples(source.audio.sample_rate),
            settings.note,
        )
        self.optimizer = keras.optimizers.AdamW(
            settings.learning_rate, weight_decay=settings.weight_decay, clipnorm=1.0
        )
        self.network.compile(
            self.optimizer,
            loss=self.heads.loss,
            jit_compile="auto" if keras.backend.backend() != "tensorflow" else False,
        )
        self.optimizer.build(self.network.trainable_variables)
        self._jax = None
        if keras.backend.backend() == "jax":
            self._jax = JaxSteps(self.network, self.optimizer, self.heads.loss)
        self._adapt = functools.partial(networks.adapt, self.network)
        self.step = self.cursor = self.stale = 0
        self.seconds = self.waited = self.loss_sum = 0.0
        self.best = math.inf

    def adapt(self) -> None:
        """Fits the front end of a new run to its first `FITTED` sounds, where the network has one that is fitted."""
        count = -(-FITTED // self.settings.batch_size)
        self._adapt(lambda: (inputs for (inputs, _), _ in itertools.islice(self.source.batches(0), count)))

    def settle(self) -> None:
        """Brings the variables of network and optimiser up to date with the steps that have begun."""
        if self._jax:
            self._jax.settle()

    @property
    def _variables(self) -> list[Any]:
        self.settle()
        return [*self.network.variables, *self.optimizer.variables]  # not only weights: the states of dropout too

    def save(self, path: Path) -> None:
        """Writes all that `load` needs to continue exactly from here."""
        save_arrays(
            path,
            [np.asarray(v) for v in self._variables],
            weights=len(self.network.weights),
            fingerprint=self.source.space.fingerprint,
            **{key: getattr(self, key) for key in self.POSITION},
        )

    def load(self, path: Path) -> None:
        """Goes on from what `save` wrote; raises `UsageError` where it doesn't fit."""
        arrays, meta = load_arrays(path)
        variables = self._variables
        if len(arrays) != len(variables) or any(
            a.shape != tuple(v.shape) for a, v in zip(arrays, variables, strict=True)
        ):
            raise MismatchError(f"{path} holds another network; train it with its own settings")
        for array, variable in zip(arrays, variables, strict=True):
            variable.assign(array)
        for key in self.POSITION:
            setattr(self, key, meta.get(key, 0.0) if key == "waited" else meta[key])  # older runs didn't measure it

    def train_step(self, batch: Batch) -> Any:
        """One step of the optimiser; returns the batch's loss.

        On JAX the step has only begun: `float` of the loss waits for it, and `settle` is due before variables are read.
        """
        inputs, levels = batch
        labels = self._labels(levels)
        rate = self.settings.learning_rate_at(self.step)
        if self._jax:
            return self._jax(rate, inputs, labels)
        self.optimizer.learning_rate = rate
        return float(self.network.train_on_batch(inputs, labels))

    def _labels(self, levels: Levels) -> NDArray[np.int32]:
        """(n, P) levels, -1 where a parameter has no effect."""
        return np.where(self.source.space.active(levels), levels, -1).astype(np.int32)

    def validate(self) -> dict[str, Any]:
        """Loss, mean MPR, top-1 accuracy and mean absolute error in levels on the validation set.

        The error is None where all parameters are categorical.
        """
        self.settle()
        inputs, levels = self.source.validation
        chunks = [rows_of(inputs, slice(at, at + CHUNK)) for at in range(0, len(levels), CHUNK)]
        logits = np.concatenate([np.asarray(self.network.predict_on_batch(chunk)) for chunk in chunks])
        probabilities = [np.asarray(p) for p in self.heads.probabilities(logits)]
        rows = parameter_measures(self.source.space, probabilities, levels)
        return {
            "val_loss": float(self.heads.loss(self._labels(levels), logits)),
            "val_mpr": mean_mpr(rows),
            "val_top1": mean_top(rows)[0],
            "val_mae": mean_mae(rows),
        }
