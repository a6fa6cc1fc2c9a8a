"""Training: fresh sounds or a dataset in, a run folder out, resumable at any step.

A run folder holds `settings.json`, `history.csv` (a row an epoch), `last.npz` (weights, optimiser and
position: what --resume goes on from) and `best.npz` (the weights with the lowest validation loss).
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import importlib.util
import itertools
import json
import math
import os
import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import synths
from ..audio.augmentation import augmented, truncated
from ..dataset import Dataset, open_dataset, splits
from ..errors import InversynthError, MismatchError, UsageError
from ..metrics import mean_mpr, parameter_measures
from ..networks.architectures import check_model
from ..spec import AudioFormat, ParamSpace
from ..synths import sampling
from ..synths.synth import Synth
from ..system.files import check_types, locked, make_folder, read_json, sweep, write_json, writing

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]
"""Audio (n, samples) float32 and levels (n, P)."""

MEASURES = ("val_loss", "val_mpr", "val_top1", "val_mae")
HISTORY = ("epoch", "step", "sounds", "seconds", "waited", "learning_rate", "loss", *MEASURES)
"""The columns of `history.csv`; of the `seconds` since the run began, `waited` went by waiting for data."""

MOST = 1 << 20
"""The most epochs, steps, and sounds of a batch or a validation set."""
VALIDATION = "validation"
"""The part of a split that a run is measured on."""
AHEAD = 1024
"""Fresh patches drawn at a time, at least; drawing a batch alone would cost as much as rendering it."""
MAKERS = 8
"""The most threads that make batches; more would wait for one another, at what holds Python's lock."""
FITTED = 4096
"""The first sounds that a run trains on: to these, at least, the layers that are not trained are fitted before."""


@dataclass(frozen=True)
class Settings:
    """What a run is, apart from where it is kept.

    `data` is a dataset's folder, or None for fresh sounds; `split` is the part of it that is trained on.
    """

    synth: str = "paper"
    model: str = "C6XL"
    data: str | None = None
    split: str | None = None
    epochs: int = 100
    steps: int = 250
    batch_size: int = 64
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 1e-4
    loss: str = "softmax"
    seed: int = 0
    validation: int = 2048
    patience: int = 10
    data_format: str = "channels_last"
    precision: str = "float32"
    augment: float = 0.0
    partial: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "steps", "batch_size", "warmup_steps", "validation", "patience"):
            if not 1 <= getattr(self, name) <= MOST:
                raise UsageError(f"{name} is {getattr(self, name)}; it must be at least 1 and at most {MOST}")
        if self.split is not None and self.data is None:
            raise UsageError(f"a part {self.split!r} of no dataset; name its folder with --data, or leave --split out")
        if self.split == VALIDATION:
            raise UsageError(f"the part {VALIDATION} is what a run is measured on; train on another")
        if not 0 < self.learning_rate < 1:
            raise UsageError(f"learning rate {self.learning_rate} is outside (0, 1)")
        if not 0 <= self.weight_decay < 1:
            raise UsageError(f"weight decay {self.weight_decay} is outside [0, 1)")
        for name in ("augment", "partial"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise UsageError(f"{name}: a share of {share} of the sounds is outside [0, 1]")
            if share and self.data is not None:
                raise UsageError(f"the sounds of a dataset are trained on as they are; leave --{name} out, or --data")
        if self.loss not in ("softmax", "sigmoid"):
            raise UsageError(f"loss {self.loss!r} is not softmax or sigmoid")
        sampling.check_seed(self.seed)

    HEARD = ("augment", "partial")
    CHANGEABLE = ("epochs", "patience", "precision", *HEARD)
    """What --resume may change: the schedule stretches or shrinks to the new number of epochs, how sounds are heard
    may change, and a run in bfloat16 should end in float32, in which its network is exported."""

    def require(self, before: Settings, folder: Path) -> None:
        """Raises `MismatchError`, naming what differs, unless the run in `folder` can go on from `before`."""
        for name in (field.name for field in dataclasses.fields(self) if field.name not in self.CHANGEABLE):
            was, now = getattr(before, name), getattr(self, name)
            if was != now:
                raise MismatchError(
                    f"{folder} was trained with {name} {was}, not {now}; resume it with its own settings"
                )

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to a hundredth over all epochs."""
        progress = min(step / (self.epochs * self.steps), 1.0)
        cosine = 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2
        return self.learning_rate * cosine * min((step + 1) / self.warmup_steps, 1.0)


class Source(Protocol):
    """Where batches come from. `batches(cursor)` goes on from a position and yields (batch, next position).

    `identity` is what must be the same for a run to go on: a dataset that grew has another validation set.
    """

    space: ParamSpace
    audio: AudioFormat
    validation: Batch
    identity: dict[str, Any]

    def batches(self, cursor: int) -> Iterator[tuple[Batch, int]]: ...


def _row_keys(space: ParamSpace, levels: NDArray[np.int64]) -> NDArray[np.void]:
    rows = np.ascontiguousarray(space.canonical(levels).astype(np.uint16))
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


class FreshSounds:
    """Sounds that never repeat, rendered as training asks for them.

    The validation set is fixed by the seed and drawn from a stream of its own; a training item that
    sounds the same patch as any of its items is dropped, so none can enter.
    """

    def __init__(self, synth: Synth, settings: Settings) -> None:
        self.space, self.audio = synth.space, synth.format
        self.identity: dict[str, Any] = {}
        self._synth, self._settings = synth, settings
        levels = sampling.draw(self.space, settings.seed, 0, settings.validation, sampling.VALIDATION)
        self._held_out = set(_row_keys(self.space, levels).tolist())
        if len(self._held_out) > 0.5 * math.prod(int(n) for n in self.space.levels):
            raise UsageError(f"a validation set of {settings.validation} leaves too few patches to train on")
        self.validation = self._heard(synth.render(self.space.values_of_levels(levels)), 0), levels

    def _heard(self, sounds: NDArray[np.float32], position: int) -> NDArray[np.float32]:
        """Turns sounds into what the run hears, some by way of the world or in part; the same for the same position."""
        random = np.random.default_rng((self._settings.seed, position))
        if self._settings.augment:
            augmented(sounds, self._settings.augment, random, out=sounds)
        if self._settings.partial:
            truncated(sounds, self._settings.partial, self.audio.sample_rate, random, out=sounds)
        return sounds

    def _patches(self, cursor: int) -> Iterator[tuple[NDArray[Any], ...]]:
        """Levels and values of many patches at a time, and for each the position after it."""
        count = max(AHEAD, self._settings.batch_size)
        while True:
            levels = sampling.draw(self.space, self._settings.seed, cursor, count, sampling.TRAINING)
            keys = _row_keys(self.space, levels).tolist()
            kept = np.array([i for i, key in enumerate(keys) if key not in self._held_out], np.int64)
            yield levels[kept], self.space.values_of_levels(levels[kept]), cursor + kept + 1
            cursor += count

    def _batch(self, levels: NDArray[np.int64], values: NDArray[np.float64], after: int) -> tuple[Batch, int]:
        return (self._heard(self._synth.render(values, workers=1), after), levels), after

    def batches(self, cursor: int) -> Iterator[tuple[Batch, int]]:
        return in_order(self._batch, self._drawn(cursor))

    def _drawn(self, cursor: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], int]]:
        """Levels and values of batches, and the position after each: all that is left to do is a function of these."""
        want, patches = self._settings.batch_size, self._patches(cursor)
        ahead = next(patches)
        while True:
            while len(ahead[0]) < want:
                ahead = tuple(np.concatenate(both) for both in zip(ahead, next(patches), strict=True))
            levels, values, after = (rows[:want] for rows in ahead)
            ahead = tuple(rows[want:] for rows in ahead)
            yield levels, values, int(after[-1])


class DatasetSounds:
    """The items of a dataset, or of a part of its split, every one once an epoch, in an order that (seed, epoch)
    alone decides.

    The first `settings.validation` items of the part `validation` are the validation set. Where there is no such
    part, it is the last items, and an item before them that sounds the same patch as any of them is left
    out. Raises `MismatchError` if the dataset is of another synth or parameter space, `UsageError` if there is
    no such part or less than a batch is left to train on.
    """

    def __init__(self, dataset: Dataset, synth: Synth, settings: Settings) -> None:
        if dataset.synth != synth.name:
            raise MismatchError(f"{dataset.store} holds sounds of {dataset.synth}, not of {synth.name}")
        synth.space.require(dataset.space, str(dataset.store))
        self.space, self.audio = synth.space, dataset.audio
        self.identity: dict[str, Any] = {
            "count": len(dataset),
            "seed": dataset.seed,
            "normalise": dataset.manifest.normalise,
            "dtype": dataset.manifest.dtype,
        }
        self._dataset, self._settings = dataset, settings
        items, held_out = np.arange(len(dataset)), np.empty(0, np.int64)
        what = f"a validation set of {settings.validation}"
        if settings.split is not None:
            split = splits.read(dataset)
            self.identity["split"] = {"shares": split.shares, "seed": split.seed}
            items = split.items(settings.split)
            if VALIDATION in split.shares:
                held_out, what = split.items(VALIDATION)[: settings.validation], f"the part {settings.split}"
        if not len(held_out):
            first = max(len(items) - settings.validation, 0)
            items, held_out = items[:first], items[first:]
            keys = _row_keys(self.space, dataset.levels)
            items = items[~np.isin(keys[items], keys[held_out])]
        self._items = items
        if len(items) < settings.batch_size:
            raise UsageError(
                f"{dataset.store} is too small: of its {len(dataset)} sounds, {what} leaves {len(items)} to train on, "
                f"less than a batch of {settings.batch_size}; render more"
            )
        self.validation = dataset.read(held_out)

    def batches(self, cursor: int) -> Iterator[tuple[Batch, int]]:
        want, count = self._settings.batch_size, len(self._items)

        @functools.lru_cache(2)
        def order(epoch: int) -> NDArray[np.int64]:
            return self._items[sampling.permutation(count, self._settings.seed, epoch)]

        while True:
            epoch, place = divmod(cursor, count)
            rows = order(epoch)[place : place + want]
            if len(rows) < want:
                rows = np.concatenate([rows, order(epoch + 1)[: want - len(rows)]])
            cursor += want
            yield self._dataset.read(rows), cursor


def in_order(make: Callable[..., Any], work: Iterable[tuple[Any, ...]], threads: int | None = None) -> Iterator[Any]:
    """make(*args) of each of the args in `work`, in that order, made ahead in threads.

    threads: by default one a core, up to `MAKERS`. One more than there are threads are under way or done at a time, at
    most. What `make` raises is raised here, in its turn.
    """
    threads = threads or min(os.cpu_count() or 1, MAKERS)
    pool, ahead = ThreadPoolExecutor(threads), deque[Future[Any]]()
    try:
        for args in work:
            ahead.append(pool.submit(make, *args))
            if len(ahead) > threads:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def prefetch(items: Iterator[Any], depth: int = 4) -> Iterator[Any]:
    """The same items, made ahead in a thread; an error there is raised here."""
    box: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[Any, BaseException | None]) -> None:
        while not stop.is_set():
            try:
                return box.put(entry, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
        except BaseException as error:
            put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = box.get()
            if error is not None:
                raise error
            yield item
    finally:
        stop.set()
        thread.join()


def save_arrays(path: Path, arrays: list[NDArray[Any]], **meta: Any) -> None:
    """Writes arrays, in order, and plain data to one .npz, whole or not at all."""
    named = {f"{i:04d}": array for i, array in enumerate(arrays)}
    with writing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, meta=np.array(json.dumps(meta)), **named)  # type: ignore[arg-type]


def load_arrays(path: Path) -> tuple[list[NDArray[Any]], dict[str, Any]]:
    """Reads what `save_arrays` wrote; raises `UsageError` if it is missing or damaged."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            names = sorted(name for name in file.files if name != "meta")
            return [file[name] for name in names], json.loads(str(file["meta"]))
    except FileNotFoundError:
        raise UsageError(f"{path} is not there; has the run been started?") from None
    except Exception as error:
        raise UsageError(f"{path} is damaged ({type(error).__name__}); start the run again") from None


@dataclass(frozen=True)
class Run:
    """What the `settings.json` of a run folder says; `identity` is that of its source."""

    settings: Settings
    space: ParamSpace
    audio: AudioFormat
    identity: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Reads what `write` wrote; raises `UsageError` if it is missing or damaged."""
        file = folder / "settings.json"
        stored = read_json(file, "the settings of a training run")
        try:
            run = cls(
                Settings(**stored["settings"]),
                ParamSpace.from_data(stored["space"]),
                AudioFormat(stored["sample_rate"], stored["seconds"]),
                dict(stored.get("dataset", {})),
            )
            check_types(run.settings)
            if run.space.fingerprint != stored["fingerprint"]:
                raise ValueError("the fingerprint is of another space")
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise UsageError(f"{file} is damaged ({error}); start the run again in another folder") from None
        return run

    def write(self, folder: Path) -> None:
        """Writes it as JSON."""
        write_json(
            folder / "settings.json",
            {
                "settings": dataclasses.asdict(self.settings),
                "sample_rate": self.audio.sample_rate,
                "seconds": self.audio.seconds,
                "space": self.space.to_data(),
                "fingerprint": self.space.fingerprint,
                "dataset": self.identity,
            },
        )

    def require(self, before: Run, folder: Path) -> None:
        """Raises `MismatchError`, naming what differs, unless `before`, which `folder` holds, learnt from the same."""
        self.space.require(before.space, str(folder))
        if (before.audio, before.identity) != (self.audio, self.identity):
            raise MismatchError(
                f"{self.settings.data or 'the synth'} was {before.audio} {before.identity} when {folder} began, "
                f"and is {self.audio} {self.identity}; start anew"
            )


def _source(settings: Settings) -> Source:
    synth = synths.load(settings.synth)
    check_model(settings.model, synth.networks)
    if settings.data is None:
        return FreshSounds(synth, settings)
    return DatasetSounds(open_dataset(settings.data), synth, settings)


class _JaxSteps:
    """Steps of the optimiser on JAX, one begun while the last is computed; Keras' own would wait for each loss.

    What is learnt stays on the device until `settle` brings it back to the variables of the network and the optimiser.
    """

    def __init__(self, network: Any, optimizer: Any, loss: Callable[[Any, Any], Any]) -> None:
        import jax

        self._trained, self._others, self._optimizer = (
            network.trainable_variables,
            network.non_trainable_variables,
            optimizer.variables,
        )
        self._state: list[Any] | None = None
        rate_at = next(i for i, v in enumerate(self._optimizer) if v.name == "learning_rate")

        def loss_of(trained: Any, others: Any, audio: Any, labels: Any) -> tuple[Any, Any]:
            logits, others = network.stateless_call(trained, others, audio, training=True)
            return loss(labels, logits), others

        def step(state: Any, rate: Any, audio: Any, labels: Any) -> tuple[Any, Any]:
            trained, others, optimised = state
            (value, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trained, others, audio, labels)
            optimised = [*optimised[:rate_at], rate, *optimised[rate_at + 1 :]]
            trained, optimised = optimizer.stateless_apply(optimised, gradients, trained)
            return value, [trained, others, optimised]

        self._step = jax.jit(step)

    @property
    def _variables(self) -> list[list[Any]]:
        return [self._trained, self._others, self._optimizer]

    def __call__(self, rate: float, audio: NDArray[np.float32], labels: NDArray[np.int32]) -> Any:
        """Begins a step; returns its loss, for which `float` waits."""
        state = self._state or [[v.value for v in part] for part in self._variables]
        loss, self._state = self._step(state, np.float32(rate), audio, labels)
        return loss

    def settle(self) -> None:
        """Brings the variables up to date; the next step begins from them, whatever they then are."""
        for part, arrays in zip(self._variables, self._state or [[]] * 3, strict=True):
            for variable, array in zip(part, arrays, strict=False):
                variable.assign(array)
        self._state = None


class Trainer:
    """One run: the network, its optimiser, its position."""

    POSITION = ("step", "cursor", "stale", "seconds", "waited", "loss_sum", "best")

    def __init__(self, settings: Settings, source: Source) -> None:
        from ..networks import build as networks  # isort: skip  (first: it says what to install)
        import keras

        on_cpu = keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices("gpu")
        if settings.data_format == "channels_first" and on_cpu:
            raise UsageError("TensorFlow trains channels_first on a GPU only, and finds none; leave --data-format out")
        self.settings, self.source = settings, source
        self.heads = networks.Heads(source.space, sigmoid=settings.loss == "sigmoid")
        self.network = networks.build(
            settings.model,
            source.space,
            source.audio,
            settings.seed,
            settings.data_format,
            settings.precision,
            synths.load(settings.synth).networks,
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
            self._jax = _JaxSteps(self.network, self.optimizer, self.heads.loss)
        self._adapt = functools.partial(networks.adapt, self.network)
        self.step = self.cursor = self.stale = 0
        self.seconds = self.waited = self.loss_sum = 0.0
        self.best = math.inf

    def adapt(self) -> None:
        """Fits the front end of a new run to its first `FITTED` sounds, where the network has one that is fitted."""
        count = -(-FITTED // self.settings.batch_size)
        self._adapt(lambda: (sounds for (sounds, _), _ in itertools.islice(self.source.batches(0), count)))

    def settle(self) -> None:
        """Brings the variables of network and optimiser up to date with the steps that have begun."""
        if self._jax:
            self._jax.settle()

    @property
    def _variables(self) -> list[Any]:
        self.settle()
        return [*self.network.variables, *self.optimizer.variables]  # not only weights: the states of dropout too

    def save(self, path: Path) -> None:
        """Writes all that `load` needs to go on as if nothing had happened."""
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
            setattr(self, key, meta.get(key, 0.0) if key == "waited" else meta[key])  # once it wasn't measured

    def train_step(self, batch: Batch) -> Any:
        """One step of the optimiser; returns the batch's loss.

        On JAX the step has only begun: `float` of the loss waits for it, and `settle` is due before variables are read.
        """
        audio, levels = batch
        labels = np.where(self.source.space.active(levels), levels, -1).astype(np.int32)
        rate = self.settings.learning_rate_at(self.step)
        if self._jax:
            return self._jax(rate, audio, labels)
        self.optimizer.learning_rate = rate
        return float(self.network.train_on_batch(audio, labels))

    def validate(self) -> dict[str, float]:
        """Loss, mean MPR, top-1 accuracy and mean absolute error in levels on the validation set."""
        self.settle()
        audio, levels = self.source.validation
        space = self.source.space
        chunks = [np.asarray(self.network.predict_on_batch(audio[i : i + 256])) for i in range(0, len(audio), 256)]
        logits = np.concatenate(chunks)
        labels = np.where(space.active(levels), levels, -1).astype(np.int32)
        rows = parameter_measures(space, [np.asarray(p) for p in self.heads.probabilities(logits)], levels)
        return {
            "val_loss": float(self.heads.loss(labels, logits)),
            "val_mpr": mean_mpr(rows),
            "val_top1": float(np.mean([row["top"][0] for row in rows])),
            "val_mae": float(np.mean([row["mae"] for row in rows])),
        }


Report = Callable[[str, dict[str, Any]], None]
"""Told of ("step", {...}) after each step and ("epoch", row of the history) after each epoch."""


def train(
    settings: Settings, out: str | Path, resume: bool = False, report: Report | None = None, tensorboard: bool = False
) -> bool:
    """Trains into the run folder `out`; returns whether the run is finished (else resume it).

    Ends after `settings.epochs`, or when the validation loss has not improved for `settings.patience`
    epochs. On Ctrl-C it finishes its step, saves and returns False. Raises `UsageError` if `out` holds
    a run and `resume` is not set, or holds one of other settings; `InversynthError` while another process trains there.
    """
    folder = Path(out)
    if resume:
        before = Run.read(folder)
        settings.require(before.settings, folder)
    elif (folder / "settings.json").exists():
        raise UsageError(f"{folder} holds a run already; go on with --resume, or choose another folder")
    if tensorboard:
        _require_tensorboard()
    source = _source(settings)
    run = Run(settings, source.space, source.audio, source.identity)
    if resume:
        run.require(before, folder)
    trainer = Trainer(settings, source)
    with locked(make_folder(folder)):
        sweep(folder)
        run.write(folder)
        last = folder / "last.npz"
        if resume and last.exists():
            trainer.load(last)
            changed = ("precision", *Settings.HEARD)
            if any(getattr(settings, name) != getattr(before.settings, name) for name in changed):
                trainer.best, trainer.stale = math.inf, 0  # the losses so far: of other sounds, or another network
        else:
            trainer.adapt()
        return _fit(settings, source, trainer, folder, report, tensorboard)


def _fit(
    settings: Settings, source: Source, trainer: Trainer, folder: Path, report: Report | None, tensorboard: bool
) -> bool:
    """Trains from where the trainer is; returns whether the run is finished."""
    last = folder / "last.npz"
    history = _read_history(folder / "history.csv", trainer.step)
    stopped = threading.Event()
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {s: signal.signal(s, lambda *_: stopped.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    writer = _tensorboard(folder) if tensorboard else None
    batches = prefetch(source.batches(trainer.cursor))
    total = settings.epochs * settings.steps
    begun: tuple[int, Any] | None = None

    def finish() -> None:
        """Takes account of the step that has begun; called when the next one has, so that a device never waits."""
        nonlocal begun
        if begun is not None:
            (step, loss), begun = (begun[0], float(begun[1])), None
            if not math.isfinite(loss):
                raise InversynthError(
                    f"the loss is {loss} at step {step - 1}; start a new run with a lower --learning-rate"
                )
            trainer.loss_sum += loss
            if report:
                report("step", {"step": step, "total": total, "loss": loss, "seconds": trainer.seconds})

    try:
        while trainer.step < total and trainer.stale < settings.patience:
            started = time.monotonic()
            batch, cursor = next(batches)
            trainer.waited += time.monotonic() - started
            loss = trainer.train_step(batch)
            finish()
            trainer.step, trainer.cursor, begun = trainer.step + 1, cursor, (trainer.step + 1, loss)
            if trainer.step % settings.steps == 0:
                finish()
            trainer.seconds += time.monotonic() - started
            if trainer.step % settings.steps == 0:
                row = {
                    "epoch": trainer.step // settings.steps,
                    "step": trainer.step,
                    "sounds": trainer.step * settings.batch_size,
                    "seconds": round(trainer.seconds, 3),
                    "waited": round(trainer.waited, 3),
                    "learning_rate": settings.learning_rate_at(trainer.step - 1),
                    "loss": trainer.loss_sum / settings.steps,
                    **trainer.validate(),
                }
                history.append(row)
                _write_history(folder / "history.csv", history)
                trainer.loss_sum, trainer.stale = 0.0, trainer.stale + 1
                if row["val_loss"] < trainer.best:
                    trainer.best, trainer.stale = row["val_loss"], 0
                    save_arrays(
                        folder / "best.npz",
                        [np.asarray(v) for v in trainer.network.weights],
                        fingerprint=source.space.fingerprint,
                        **{k: row[k] for k in HISTORY},
                    )
                trainer.save(last)
                if writer:
                    writer(row)
                if report:
                    report("epoch", row)
            if stopped.is_set():
                finish()
                trainer.save(last)
                return False
    finally:
        batches.close()  # type: ignore[attr-defined]
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return True


def _read_history(path: Path, until_step: int) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            kinds = {key: int if key in ("epoch", "step", "sounds") else float for key in HISTORY}
            rows = [
                {key: kind(row[key]) for key, kind in kinds.items()}
                for row in ({"waited": "0", **row} for row in csv.DictReader(file))
            ]
    except (KeyError, TypeError, ValueError, csv.Error):
        raise UsageError(f"{path} is damaged; remove it to go on without the history so far") from None
    return [row for row in rows if row["step"] <= until_step]


def _write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    with writing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, HISTORY)
        table.writeheader()
        table.writerows(rows)


def _require_tensorboard() -> None:
    missing = [name for name in ("tensorflow", "tensorboard") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"logs for TensorBoard need {missing[0]}; install it with: pip install {' '.join(missing)}")


def _tensorboard(run: Path) -> Callable[[dict[str, Any]], None]:
    import tensorflow as tf

    writer = tf.summary.create_file_writer(str(run / "tensorboard"))

    def write(row: dict[str, Any]) -> None:
        with writer.as_default():
            for key in HISTORY[3:]:
                tf.summary.scalar(key, row[key], step=row["epoch"])
        writer.flush()

    return write
