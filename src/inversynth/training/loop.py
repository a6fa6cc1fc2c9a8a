"""Training: fresh sounds or a dataset in, a run folder out (see `run`), resumable at any step."""

from __future__ import annotations

import importlib.util
import math
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InversynthError, UsageError
from ..networks.architectures import check_model
from ..synths.synth import Synth
from ..system.files import locked, make_folder, remove_stale
from .ahead import prefetch
from .run import BEST, HISTORY, HISTORY_FILE, LAST, SETTINGS_FILE, Run, read_history, save_arrays, write_history
from .settings import Settings
from .sources import Source, open_source
from .trainer import Trainer

Report = Callable[[str, dict[str, Any]], None]
"""Called with ("step", {...}) after each step and ("epoch", row of the history) after each epoch."""


def train(
    settings: Settings,
    synth: Synth,
    out: str | Path,
    resume: bool = False,
    report: Report | None = None,
    tensorboard: bool = False,
) -> bool:
    """Trains a network for a synth into the run folder `out`; returns whether the run is finished (else resume it).

    Ends after `settings.epochs`, or when the validation loss has not improved for `settings.patience`
    epochs. On Ctrl-C it finishes its step, saves and returns False. Raises `UsageError` if `out` holds
    a run and `resume` is not set, or holds one of other settings; `InversynthError` while another process trains there,
    and where the synth renders nothing.
    """
    settings.require_synth(synth)
    check_model(settings.model, synth.networks)
    folder = Path(out)
    before = Run.read(folder) if resume else None
    if before is not None:
        settings.require(before.settings, folder)
    elif (folder / SETTINGS_FILE).exists():
        raise UsageError(f"{folder} holds a run already; go on with --resume, or choose another folder")
    if tensorboard:
        _require_tensorboard()
    source = open_source(settings, synth)
    window = synth.window_samples(source.audio.sample_rate) if before is None else before.window
    run = Run(settings, source.space, source.audio, window, source.identity)
    if before is not None:
        run.require(before, folder)
    trainer = Trainer(settings, source, window)
    with locked(make_folder(folder)):
        remove_stale(folder)
        run.write(folder)
        last = folder / LAST
        if before is not None and last.exists():
            trainer.load(last)
            changed = ("precision", *Settings.AUGMENTATION)
            if any(getattr(settings, name) != getattr(before.settings, name) for name in changed):
                trainer.best, trainer.stale = math.inf, 0  # the losses so far: of other sounds, or another network
        else:
            trainer.adapt()
        return _fit(settings, source, trainer, folder, report, tensorboard)


def _fit(
    settings: Settings, source: Source, trainer: Trainer, folder: Path, report: Report | None, tensorboard: bool
) -> bool:
    """Trains from where the trainer is; returns whether the run is finished."""
    last = folder / LAST
    history = read_history(folder / HISTORY_FILE, trainer.step)
    stopped = threading.Event()
    handlers: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {s: signal.signal(s, lambda *_: stopped.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    writer = _tensorboard(folder) if tensorboard else None
    batches = prefetch(source.batches(trainer.cursor))
    total = settings.epochs * settings.steps
    pending: tuple[int, Any] | None = None

    def finish() -> None:
        """Reads the loss of the step before; called after the next one has started, so that a device never waits."""
        nonlocal pending
        if pending is not None:
            (step, loss), pending = (pending[0], float(pending[1])), None
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
            trainer.step, trainer.cursor, pending = trainer.step + 1, cursor, (trainer.step + 1, loss)
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
                write_history(folder / HISTORY_FILE, history)
                trainer.loss_sum, trainer.stale = 0.0, trainer.stale + 1
                if row["val_loss"] < trainer.best:
                    trainer.best, trainer.stale = row["val_loss"], 0
                    save_arrays(
                        folder / BEST,
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
                if row[key] is not None:
                    tf.summary.scalar(key, row[key], step=row["epoch"])
        writer.flush()

    return write
