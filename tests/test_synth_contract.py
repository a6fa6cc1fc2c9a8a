"""What every synth goes through, from its table to MIDI: those of the registry, and one as awkward as they come.

A new synth is in these tests once it is in the registry.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth import synths
from inversynth.dataset import DatasetSettings, open_dataset, render_dataset, verify
from inversynth.spec import CATEGORICAL, Note, ParamSpace
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
    return bool(np.linalg.norm(sounds - others) <= 0.01 * max(np.linalg.norm(sounds), 1e-9))


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
