"""Training: what a run folder holds, that it learns, and that an interrupted run goes on as if nothing had happened."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="training needs Keras (the extra `train`)")

import keras

from inversynth import synths
from inversynth.dataset import DatasetSettings, render_dataset
from inversynth.errors import InversynthError, MismatchError, UsageError
from inversynth.networks.architectures import MODELS
from inversynth.spec import ParamSpace
from inversynth.synths import sampling
from inversynth.system.files import locked
from inversynth.training import ahead as making
from inversynth.training import loop, sources, trainer
from inversynth.training.ahead import in_order, prefetch
from inversynth.training.loop import train
from inversynth.training.run import HISTORY, Run, load_arrays, read_history, save_arrays
from inversynth.training.settings import Settings
from inversynth.training.sources import Batch, FreshSounds, row_keys
from inversynth.training.trainer import Trainer

SINE = synths.load("sine")
PAPER = synths.load("paper")

SMALL = Settings(
    synth="sine", model="C1", epochs=3, steps=4, batch_size=16, validation=32, learning_rate=3e-3, warmup_steps=2
)


def rows(run: Path) -> list[dict[str, str]]:
    with open(run / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def arrays(path: Path) -> list[np.ndarray]:
    return load_arrays(path)[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert train(SMALL, SINE, run)
    return run


def test_a_run_folder_holds_settings_history_and_weights(whole: Path) -> None:
    assert sorted(p.name for p in whole.iterdir()) == ["best.npz", "history.csv", "last.npz", "settings.json"]
    assert [row["epoch"] for row in rows(whole)] == ["1", "2", "3"]
    assert [row["sounds"] for row in rows(whole)] == ["64", "128", "192"]
    weights, meta = load_arrays(whole / "best.npz")
    assert meta["fingerprint"] == SINE.space.fingerprint
    assert meta["val_loss"] == min(float(row["val_loss"]) for row in rows(whole))
    assert all(np.isfinite(w).all() for w in weights)


def test_training_learns(tmp_path: Path) -> None:
    train(dataclasses.replace(SMALL, epochs=2, steps=40), SINE, tmp_path / "run")
    first, last = rows(tmp_path / "run")
    assert float(last["val_loss"]) < float(first["val_loss"]) < np.log(16)
    assert float(last["val_mpr"]) > 60  # chance is 53.1


@pytest.mark.parametrize("model", [*MODELS, *PAPER.networks])
def test_every_network_learns_a_batch_by_heart(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "FITTED", 64)
    settings = dataclasses.replace(SMALL, model=model, batch_size=8, warmup_steps=1, learning_rate=1e-3)
    synth = SINE if model in MODELS else PAPER
    made = Trainer(settings, FreshSounds(synth, settings))
    made.adapt()
    batch, _ = next(made.source.batches(0))
    losses = [made.train_step(batch) for _ in range(6)]
    assert losses[-1] < 0.98 * losses[0]


def test_a_run_resumed_after_a_stop_in_mid_epoch_ends_with_the_same_weights(tmp_path: Path, whole: Path) -> None:
    def stop_at_six(what: str, facts: dict[str, Any]) -> None:
        if what == "step" and facts["step"] == 6:
            os.kill(os.getpid(), signal.SIGINT)

    run = tmp_path / "run"
    assert not train(SMALL, SINE, run, report=stop_at_six)
    assert len(rows(run)) == 1
    assert train(SMALL, SINE, run, resume=True)
    for name in ("last.npz", "best.npz"):
        for mine, other in zip(arrays(run / name), arrays(whole / name), strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)
    assert [row["epoch"] for row in rows(run)] == ["1", "2", "3"]


def test_a_run_with_a_fitted_front_end_and_dropout_is_resumed_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "FITTED", 64)
    settings = dataclasses.replace(SMALL, model="FC2", epochs=2)
    source = FreshSounds(SINE, settings)
    straight, stopped, resumed = Trainer(settings, source), Trainer(settings, source), Trainer(settings, source)
    straight.adapt()
    stopped.adapt()
    batches = [batch for batch, _ in itertools.islice(source.batches(0), 4)]
    for batch in batches[:2]:
        straight.train_step(batch)
        stopped.train_step(batch)
    stopped.save(tmp_path / "last.npz")
    resumed.load(tmp_path / "last.npz")
    for batch in batches[2:]:
        assert straight.train_step(batch) == resumed.train_step(batch)
    for mine, other in zip(straight.network.variables, resumed.network.variables, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_finished_run_can_be_given_more_epochs(tmp_path: Path) -> None:
    run = tmp_path / "run"
    short = dataclasses.replace(SMALL, epochs=1)
    train(short, SINE, run)
    assert train(dataclasses.replace(short, epochs=2), SINE, run, resume=True)
    assert len(rows(run)) == 2


def test_the_history_says_how_much_of_the_time_was_waiting_for_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = FreshSounds.batches

    def late(self: FreshSounds, cursor: int) -> Iterator[tuple[Batch, int]]:
        for item in batches(self, cursor):
            time.sleep(0.1)
            yield item

    monkeypatch.setattr(FreshSounds, "batches", late)
    monkeypatch.setattr(loop, "prefetch", lambda items: items)  # nothing is made ahead: all of it is waited for
    train(dataclasses.replace(SMALL, epochs=2), SINE, tmp_path / "run")
    for row in rows(tmp_path / "run"):
        assert 0.1 * int(row["step"]) <= float(row["waited"]) <= float(row["seconds"]) + 0.1


def test_a_run_from_before_waiting_was_measured_goes_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    short = dataclasses.replace(SMALL, epochs=1)
    train(short, SINE, run)
    row = rows(run)[0]
    del row["waited"]
    (run / "history.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
    weights, meta = load_arrays(run / "last.npz")
    del meta["waited"]
    save_arrays(run / "last.npz", weights, **meta)
    settings = json.loads((run / "settings.json").read_text())
    del settings["settings"]["split"]
    (run / "settings.json").write_text(json.dumps(settings))
    assert train(dataclasses.replace(short, epochs=2), SINE, run, resume=True)
    assert [line["epoch"] for line in rows(run)] == ["1", "2"]
    assert float(rows(run)[0]["waited"]) == 0


def test_a_dataset_that_grew_is_refused_since_its_validation_set_is_another(tmp_path: Path) -> None:
    data = DatasetSettings(SINE, count=100)
    render_dataset(data, tmp_path / "data")
    settings = dataclasses.replace(SMALL, data=str(tmp_path / "data"), epochs=1, steps=1)
    train(settings, SINE, tmp_path / "run")
    render_dataset(dataclasses.replace(data, count=200), tmp_path / "data")
    with pytest.raises(MismatchError, match="'count': 100"):
        train(dataclasses.replace(settings, epochs=2), SINE, tmp_path / "run", resume=True)


def test_channels_first_trains_where_the_back_end_can_and_is_refused_elsewhere(tmp_path: Path) -> None:
    settings = dataclasses.replace(SMALL, epochs=1, data_format="channels_first")
    if keras.backend.backend() == "tensorflow" and not keras.distribution.list_devices("gpu"):
        with pytest.raises(UsageError, match="on a GPU only"):
            train(settings, SINE, tmp_path / "run")
        assert not (tmp_path / "run").exists()
    else:
        assert train(settings, SINE, tmp_path / "run")


def test_early_stopping_ends_a_run_that_does_not_improve(tmp_path: Path) -> None:
    still = dataclasses.replace(SMALL, epochs=50, steps=1, learning_rate=1e-12, patience=2)
    assert train(still, SINE, tmp_path / "run")
    assert len(rows(tmp_path / "run")) < 50


def test_a_folder_with_a_run_is_not_overwritten_and_other_settings_are_refused(whole: Path) -> None:
    with pytest.raises(UsageError, match="holds a run already"):
        train(SMALL, SINE, whole)
    with pytest.raises(MismatchError, match="model C1, not C2"):
        train(dataclasses.replace(SMALL, model="C2"), SINE, whole, resume=True)


def test_a_folder_in_which_another_process_trains_is_left_alone(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(InversynthError, match="another process is at work"):
        train(SMALL, SINE, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_named(tmp_path: Path, whole: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("settings.json", "history.csv"):
        (run / name).write_bytes((whole / name).read_bytes())
    (run / "last.npz").write_bytes((whole / "last.npz").read_bytes()[:1000])
    with pytest.raises(UsageError, match=r"last\.npz is damaged"):
        train(SMALL, SINE, run, resume=True)


@pytest.fixture
def spoilt(tmp_path: Path, whole: Path) -> Path:
    """A copy of the run to spoil."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


@pytest.mark.parametrize(
    "harm",
    [
        lambda s: s.pop("settings"),
        lambda s: s.update(settings=[]),
        lambda s: s.update(space=5),
        lambda s: s.update(fingerprint="0" * 16),
        lambda s: s.update(sample_rate="x"),
        lambda s: s.update(dataset=5),
        lambda s: s["settings"].update(epochs=2.5),
        lambda s: s["settings"].update(epochs=0),
        lambda s: s["settings"].update(synth=[]),
        lambda s: s["settings"].update(model=None),
        lambda s: s["settings"].update(seed="a"),
        lambda s: s["settings"].update(data=5),
        lambda s: s["settings"].update(surprise=1),
    ],
)
def test_damaged_settings_are_refused(spoilt: Path, harm: Callable[[dict[str, Any]], object]) -> None:
    stored = json.loads((spoilt / "settings.json").read_text())
    harm(stored)
    (spoilt / "settings.json").write_text(json.dumps(stored))
    with pytest.raises(UsageError, match=r"settings\.json is damaged \("):
        Run.read(spoilt)


def test_a_run_whose_synth_has_changed_since_is_refused_by_the_parameters_names(spoilt: Path) -> None:
    first, *others = SINE.space
    changed = ParamSpace([dataclasses.replace(first, high=first.high / 2), *others])
    with pytest.raises(MismatchError, match=rf"{first.name}: high is {first.high}, not {first.high / 2}"):
        train(SMALL, dataclasses.replace(SINE, space=changed), spoilt, resume=True)


@pytest.mark.parametrize("text", ["<html>\n</html>", "epoch,step\n1,2\n", ",".join(HISTORY) + "\n1,x" + ",3" * 8])
def test_a_damaged_history_is_named(spoilt: Path, text: str) -> None:
    (spoilt / "history.csv").write_text(text)
    with pytest.raises(UsageError, match=r"history\.csv is damaged"):
        read_history(spoilt / "history.csv", 100)


def test_logs_for_tensorboard_hold_what_the_history_holds(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs TensorBoard (the extra `train`)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    train(dataclasses.replace(SMALL, epochs=2, steps=1), SINE, tmp_path / "run", tensorboard=True)
    logs = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"tensors": 0})
    logs.Reload()
    for key in ("loss", "val_mpr"):
        written = [float(make_ndarray(event.tensor_proto)) for event in logs.Tensors(key)]
        assert written == pytest.approx([float(row[key]) for row in rows(tmp_path / "run")], rel=1e-6)


def test_logs_for_tensorboard_are_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install tensorflow tensorboard"):
        train(SMALL, SINE, tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"batch_size": 10**20}, "at most 1048576"),
        ({"learning_rate": 0.0}, "learning rate 0.0"),
        ({"learning_rate": float("nan")}, "learning rate nan"),
        ({"loss": "hinge"}, "loss 'hinge'"),
        ({"precision": "float8"}, "precision 'float8'"),
        ({"seed": -1}, "seed -1"),
        ({"model": "C9"}, "no model 'C9'"),
        ({"synth": "moog"}, "a run on the synth moog, not on sine"),
        ({"warmup_steps": 0}, "warmup_steps is 0"),
        ({"weight_decay": -1.0}, "weight decay -1.0"),
    ],
)
def test_impossible_settings_are_refused_and_leave_nothing(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(dataclasses.replace(SMALL, **change), SINE, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_fresh_sounds_are_those_of_their_stream_and_never_a_validation_patch() -> None:
    settings = dataclasses.replace(SMALL, validation=20000, batch_size=64)
    source = FreshSounds(SINE, settings)
    held_out = set(row_keys(SINE.space, source.validation[1]).tolist())
    drawn = sampling.draw(SINE.space, settings.seed, 0, 400, sampling.TRAINING)
    expected = [
        row
        for row, key in zip(drawn.tolist(), row_keys(SINE.space, drawn).tolist(), strict=True)
        if key not in held_out
    ]
    assert 64 < len(expected) < 400  # some were drawn that are held out
    (audio, levels), cursor = next(source.batches(0))
    assert levels.tolist() == expected[:64]
    np.testing.assert_array_equal(audio, SINE.render(SINE.space.values_of_levels(levels)))
    assert next(source.batches(cursor))[0][1].tolist() == expected[64:128]


@pytest.mark.parametrize("ahead", [1, 7, 64])
def test_how_many_patches_are_drawn_ahead_changes_nothing(ahead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, cursor = FreshSounds(SINE, dataclasses.replace(SMALL, validation=20000, batch_size=10)), 0
    straight = source.batches(0)
    expected = [next(straight) for _ in range(5)]
    monkeypatch.setattr(sources, "AHEAD", ahead)
    for (audio, levels), after in expected:
        (other, rows_), reached = next(source.batches(cursor))
        assert np.array_equal(other, audio)
        assert np.array_equal(rows_, levels)
        assert reached == after
        cursor = reached


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_how_many_threads_make_batches_changes_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = dataclasses.replace(SMALL, augment=0.4, partial=0.6)
    source = FreshSounds(SINE, settings)
    expected = [source._batch(*work) for work in itertools.islice(source._drawn(0), 12)]
    monkeypatch.setattr(making, "MAKERS", threads)
    monkeypatch.setattr(os, "cpu_count", lambda: threads)
    for ((audio, levels), after), ((other, rows_), reached) in zip(expected, source.batches(0), strict=False):
        assert np.array_equal(other, audio)
        assert np.array_equal(rows_, levels)
        assert reached == after


def test_what_is_made_in_threads_comes_in_order_and_not_far_ahead() -> None:
    made: list[int] = []

    def make(i: int) -> int:
        made.append(i)
        time.sleep(0.01 * (i % 3))
        if i == 20:
            raise UsageError("the disk went away")
        return i

    items = in_order(make, ((i,) for i in itertools.count()), threads=3)
    for i in range(20):
        assert next(items) == i
        assert max(made) <= i + 3
    with pytest.raises(UsageError, match="went away"):
        next(items)
    assert list(in_order(make, [(i,) for i in range(5)], threads=3)) == [0, 1, 2, 3, 4]


def test_steps_on_jax_are_those_that_keras_takes(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="JAX isn't installed")
    words = [sys.executable, "-c", JAX_STEPS, str(tmp_path / "last.npz")]
    done = subprocess.run(
        words, env={**os.environ, "KERAS_BACKEND": "jax"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr


JAX_STEPS = """
import itertools, sys
import numpy as np
from pathlib import Path
from inversynth import synths
from inversynth.training.settings import Settings
from inversynth.training.sources import FreshSounds
from inversynth.training.trainer import Trainer

settings = Settings(synth="sine", model="C1", batch_size=16, validation=32, warmup_steps=2)
source = FreshSounds(synths.load("sine"), settings)
ours, keras, resumed = (Trainer(settings, source) for _ in range(3))
keras._jax = None
batches = [batch for batch, _ in itertools.islice(source.batches(0), 4)]
for i, batch in enumerate(batches):
    ours.step = keras.step = i
    np.testing.assert_allclose(float(ours.train_step(batch)), keras.train_step(batch), rtol=1e-5)
    if i == 1:
        np.testing.assert_allclose(ours.validate()["val_loss"], keras.validate()["val_loss"], rtol=1e-5)
        ours.save(Path(sys.argv[1]))
        resumed.load(Path(sys.argv[1]))
for resumed.step in (2, 3):
    resumed.train_step(batches[resumed.step])
ours.settle()
resumed.settle()
for mine, other, again in zip(*(t.network.variables for t in (ours, keras, resumed)), strict=True):
    np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(mine, again, rtol=1e-3, atol=1e-5)
"""


def test_a_validation_set_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(UsageError, match="too few patches"):
        FreshSounds(SINE, dataclasses.replace(SMALL, validation=65536))


def test_an_error_in_the_prefetching_thread_reaches_the_reader() -> None:
    def items() -> Any:
        yield 1
        raise UsageError("the disk went away")

    ahead = prefetch(items())
    assert next(ahead) == 1
    with pytest.raises(UsageError, match="went away"):
        next(ahead)


def test_the_learning_rate_warms_up_and_falls_over_all_epochs() -> None:
    settings = Settings(epochs=10, steps=100, learning_rate=1e-3, warmup_steps=100)
    rates = [settings.learning_rate_at(step) for step in range(1000)]
    assert np.argmax(rates) in range(90, 110)
    assert rates[0] == pytest.approx(1e-5)
    assert rates[-1] == pytest.approx(1e-5, rel=0.01)
    assert np.all(np.diff(rates[110:]) < 0)


def test_the_command_line_trains_stops_on_ctrl_c_and_resumes(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = [sys.executable, "-m", "inversynth", "train", "--out", str(run)]
    options = "--synth sine --model C1 --epochs 1000 --steps 20 --batch-size 4 --validation 16 --patience 2000 --render"
    process = subprocess.Popen([*words, *options.split()], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (run / "history.csv").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)  # until an epoch is finished
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 130, error
    assert f"stopped; go on with: inversynth train --out {run} --resume" in error
    epochs = len((run / "history.csv").read_text().splitlines()) - 1
    assert 1 <= epochs < 1000
    done = subprocess.run(
        [*words, "--resume", "--epochs", str(epochs + 1)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["epoch", "finished;"]
    assert f"epoch {epochs + 1}/{epochs + 1} " in done.stderr
    again = subprocess.run([*words, *options.split()], capture_output=True, text=True, timeout=120)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "holds a run already" in again.stderr


def test_augmented_sounds_are_a_share_of_them_and_the_same_each_time() -> None:
    settings = dataclasses.replace(SMALL, augment=0.25, batch_size=200, validation=400)
    plain = FreshSounds(SINE, dataclasses.replace(settings, augment=0.0))
    source = FreshSounds(SINE, settings)
    assert np.array_equal(source.validation[1], plain.validation[1])
    changed = np.any(source.validation[0] != plain.validation[0], axis=1)
    assert changed.mean() == pytest.approx(0.25, abs=0.06)
    (first, _), after = next(source.batches(0))
    assert np.array_equal(first, next(source.batches(0))[0][0])
    assert not np.array_equal(first, next(source.batches(after))[0][0])


def test_truncated_sounds_are_a_share_of_all_and_silent_after_a_time() -> None:
    settings = dataclasses.replace(SMALL, partial=0.5, batch_size=200, validation=400)
    plain = FreshSounds(SINE, dataclasses.replace(settings, partial=0.0)).validation[0]
    truncated = FreshSounds(SINE, settings).validation[0]
    changed = np.any(truncated != plain, axis=1)
    assert changed.mean() == pytest.approx(0.5, abs=0.08)
    rate = SINE.format.sample_rate
    ends = np.array([np.flatnonzero(row)[-1] / rate for row in truncated[changed]])
    assert ends.min() >= 0.058
    assert np.median(ends) == pytest.approx(0.245, abs=0.06)  # evenly in the logarithm of 0.06 to 1 s
    same = np.array(
        [
            np.array_equal(row[: round(end * rate)], sound[: round(end * rate)])
            for row, sound, end in zip(truncated[changed], plain[changed], ends, strict=True)
        ]
    )
    assert same.mean() == pytest.approx(0.75, abs=0.12)  # the others begin a little late, or have lost their beginning


def test_augmentation_that_comes_in_later_begins_a_new_best(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(dataclasses.replace(SMALL, epochs=1), SINE, run)
    before = arrays(run / "best.npz")
    train(dataclasses.replace(SMALL, epochs=2, augment=1.0), SINE, run, resume=True)
    after = arrays(run / "best.npz")
    assert any(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    with pytest.raises(UsageError, match="as they are"):
        dataclasses.replace(SMALL, augment=0.5, data="somewhere")
    with pytest.raises(UsageError, match="partial: a share"):
        dataclasses.replace(SMALL, partial=1.5)
