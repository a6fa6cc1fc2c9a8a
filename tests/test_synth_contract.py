"""What every synth goes through, from its table to MIDI: those of the registry, and one as awkward as they come.

A new synth is in these tests once it is in the registry.
"""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import onnx_file
from inversynth import live, synths
from inversynth.audio.sources import FileSource, StreamClock
from inversynth.dataset import DatasetSettings, open_dataset, render_dataset, verify
from inversynth.matching.match import match
from inversynth.midi import PatchReader, Receiver, TextSink
from inversynth.midi.profiles import default_profile, nrpn_profile
from inversynth.predict.model import load_model
from inversynth.search.refine import refine
from inversynth.search.scoring import Scorer
from inversynth.spec import CATEGORICAL, CONTINUOUS, Note, ParamSpace
from inversynth.synths import Synth
from inversynth.synths.sampling import TRAINING

FAKE = Path(__file__).with_name("fake_synth.py")
EVERY = [*synths.names(), str(FAKE)]
COUNT = 24


@pytest.fixture(params=EVERY, ids=[Path(name).stem for name in EVERY])
def synth(request: pytest.FixtureRequest) -> Synth:
    return synths.load(request.param)


@pytest.fixture
def levels(synth: Synth) -> NDArray[np.int64]:
    return synth.draw(3, 0, COUNT).levels


def near(sounds: NDArray[np.float32], others: NDArray[np.float32]) -> bool:
    """Whether sounds are the same, but for the noise of an instrument that is never quite the same."""
    return bool(np.linalg.norm(sounds - others) <= 0.01 * float(np.linalg.norm(sounds)) + 1e-9)


# -- space and prior -------------------------------------------------------------------------------


def test_its_space_survives_json(synth: Synth) -> None:
    back = ParamSpace.from_data(json.loads(json.dumps(synth.space.to_data())))
    assert back == synth.space
    assert back.names == synth.space.names


def test_its_parameters_are_what_the_tables_allow(synth: Synth) -> None:
    for param in synth.space:
        assert param.kind != CATEGORICAL or param.curve == "linear", param.name
        assert param.values[0] == pytest.approx(param.low)
        assert param.values[-1] == pytest.approx(param.high)
        assert param.choices is None or all(param.text(value) in param.choices for value in param.values)
    assert set(synth.initial) <= set(synth.space.names)


def test_an_item_is_a_function_of_seed_stream_and_number(synth: Synth, levels: NDArray[np.int64]) -> None:
    assert np.array_equal(synth.draw(3, 10, 5).levels, levels[10:15])
    assert not np.array_equal(synth.draw(3, 0, COUNT, TRAINING).levels, levels)
    assert not np.array_equal(synth.draw(4, 0, COUNT).levels, levels)
    assert np.array_equal(synth.space.check_levels(levels), levels)


def test_canonical_patches_are_what_they_are(synth: Synth, levels: NDArray[np.int64]) -> None:
    canonical = synth.space.canonical(levels)
    assert np.array_equal(synth.space.canonical(canonical), canonical)
    values = synth.space.values_of_levels
    assert near(synth.render_all(values(levels)).sounds, synth.render_all(values(canonical)).sounds)


# -- rendering -------------------------------------------------------------------------------------


def test_a_patch_sounds_the_same_whatever_it_is_rendered_beside(synth: Synth, levels: NDArray[np.int64]) -> None:
    values = synth.space.values_of_levels(levels)
    found = synth.render_all(values)
    assert np.isfinite(found.sounds).all()
    assert len(found.failures) < COUNT / 2
    assert all(not found.sounds[row].any() and why for row, why in found.failures.items())
    alone = np.stack([synth.render_all(row[None]).sounds[0] for row in values])
    assert near(found.sounds, alone)


def test_there_is_a_note_for_all_or_one_for_each(synth: Synth, levels: NDArray[np.int64]) -> None:
    values = synth.space.values_of_levels(levels[:4])
    other = Note(57, 64, 0.1)
    one = synth.render_all(values, note=other).sounds
    mixed = synth.render_all(values, note=[synth.note.row, other.row] * 2).sounds
    assert near(mixed[1::2], one[1::2])
    assert near(mixed[::2], synth.render_all(values).sounds[::2])
    assert not near(one, synth.render_all(values).sounds)


def test_its_renderer_has_a_version_of_its_own(synth: Synth) -> None:
    assert synth.renderer.version
    assert synth.renderer.arithmetic
    assert synth.renderer.lanes >= 1


# -- a dataset -------------------------------------------------------------------------------------


def test_a_dataset_of_it_is_rendered_and_gone_on_with(synth: Synth, tmp_path: Path) -> None:
    first = render_dataset(DatasetSettings(synth, COUNT, seed=3, shard_size=7), tmp_path)
    audio, levels = first.read(np.arange(COUNT))
    assert np.array_equal(levels, synth.draw(3, 0, COUNT).levels)
    assert near(audio, synth.render_all(synth.space.values_of_levels(levels)).sounds)
    assert np.array_equal(
        np.flatnonzero(first.failed), sorted(synth.render_all(synth.space.values_of_levels(levels)).failures)
    )
    kept = {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*-000000.npy")}
    more = render_dataset(DatasetSettings(synth, COUNT + 7, seed=3, shard_size=7), tmp_path)
    assert len(more) == len(open_dataset(tmp_path)) == COUNT + 7
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.glob("*-000000.npy")} == kept
    assert verify(tmp_path) == []


# -- learning and searching --------------------------------------------------------------------------


def test_a_network_learns_from_it(synth: Synth) -> None:
    pytest.importorskip("keras", reason="training needs Keras (the extra `train`)")
    from inversynth.training.settings import Settings
    from inversynth.training.sources import FreshSounds
    from inversynth.training.trainer import Trainer

    settings = Settings(synth.name, "C1", batch_size=8, validation=16, warmup_steps=1)
    source = FreshSounds(synth, settings)
    trainer = Trainer(settings, source)
    batch, _ = next(source.batches(0))
    before = trainer.validate()["val_loss"]
    losses = [float(trainer.train_step(batch)) for _ in range(12)]
    assert before == pytest.approx(np.log(synth.space.levels).mean(), rel=0.5), "it knows nothing yet"
    assert losses[-1] < 0.9 * losses[0], "it learns a batch by heart"
    assert 0 <= trainer.validate()["val_mpr"] <= 100


def uniform(space: ParamSpace) -> list[NDArray[np.float64]]:
    return [np.full(param.levels, 1 / param.levels) for param in space]


@pytest.fixture
def target(synth: Synth) -> NDArray[np.float32]:
    """The first sound of a stream that isn't silent, nor failed."""
    for number in range(8):
        sound = synth.render_all(synth.space.values_of_levels(synth.draw(5, number, 1).levels)).sounds[0]
        if sound.any():
            return np.asarray(sound, np.float32)
    raise AssertionError("all are silent")


def test_a_search_never_ends_worse_than_it_began(synth: Synth, target: NDArray[np.float32]) -> None:
    found = refine(synth, target, uniform(synth.space), renders=300, seed=1)
    best = found.best[0]
    assert found.renders <= 300
    distances = [moment.distance for moment in found.progress]
    assert distances == sorted(distances, reverse=True)
    assert Scorer(synth, target)(best.values[None]).rho_stft[0] == pytest.approx(best.rho_stft, abs=0.02)
    levels = synth.space.levels_of_values(best.values[None])
    on_levels = np.isclose(synth.space.values_of_levels(levels)[0], best.values)
    assert on_levels[~synth.space.of_kind(CONTINUOUS)].all(), "there is nothing between choices and steps"


def test_a_sound_is_matched_with_it_without_a_network(
    synth: Synth, target: NDArray[np.float32], tmp_path: Path
) -> None:
    found = match(target, synth, out=tmp_path, sample_rate=synth.format.sample_rate, renders=150)
    patch = json.loads((tmp_path / "patch.json").read_text())["patch"]
    assert [row["name"] for row in patch] == list(synth.space.names)
    assert [row["value"] for row in patch] == pytest.approx([setting.value for setting in found.patch])
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    for param, setting in zip(synth.space, found.patch, strict=True):
        text = param.text(setting.value)
        assert text is None or text in report
    assert {"match.wav", "match.png"} <= {file.name for file in tmp_path.iterdir()}


# -- MIDI and live -----------------------------------------------------------------------------------


def test_its_patches_are_sent_and_received_by_midi(synth: Synth, levels: NDArray[np.int64]) -> None:
    for profile in (nrpn_profile(synth), default_profile(synth)):
        assert len(profile.driven) == len(synth.space)
        reader = PatchReader(profile)
        for row in levels[:3]:
            x = row / (synth.space.levels - 1)
            received: dict[int, float] = {}
            for control, value in zip(profile.controls, profile.values_of_x(x), strict=True):
                assert control is not None
                for message in control.address.messages(profile.channel, int(value)):
                    assert all(byte < 0x80 for byte in message[1:]), "a data byte has seven bits"
                    received |= dict([found] if (found := reader.feed(message)) else [])
            back = np.array([received.get(i, np.nan) for i in range(len(synth.space))])
            if profile.name == "nrpn":
                assert np.array_equal(np.rint(back * (synth.space.levels - 1)), row)


def test_it_is_driven_live_from_a_recording_of_it(synth: Synth, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")
    file, model = tmp_path / "played.wav", tmp_path / "model.onnx"
    model.write_bytes(onnx_file.model(synth))
    rendered = synth.render_all(synth.space.values_of_levels(synth.draw(3, 0, 4).levels))
    sounds = [sound / np.abs(sound).max() for row, sound in enumerate(rendered.sounds) if row not in rendered.failures]
    rest = np.zeros(synth.format.sample_rate // 2, np.float32)
    soundfile.write(
        file, np.concatenate([part for sound in sounds for part in (rest, sound)]), synth.format.sample_rate
    )
    sent = io.StringIO()
    bridge = live.Bridge(
        FileSource(file, StreamClock()),
        load_model(model, "cpu"),
        [Receiver(default_profile(synth), TextSink(sent))],
        live.Settings(),
        space=synth.space,
    )
    summary = bridge.run(threading.Event())
    assert summary.notes >= 1, "without a gate all that is inferred is sent"
    assert summary.sent >= len(synth.space)
    assert len(sent.getvalue().splitlines()) >= len(synth.space), "an NRPN is one line, of several messages"
