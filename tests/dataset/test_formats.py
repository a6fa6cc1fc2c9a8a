"""Datasets that inversynth 0.1.0 wrote: they are read, trained on, gone on with and extended.

data/finished-0.1.0: inversynth render --num-examples 20 --seed 9 --length 0.005 --shard-size 8 --dtype int16
data/partial-0.1.0: the same of the synth sine as float32, stopped when two of three shards were done.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from inversynth import synths
from inversynth.cli import main
from inversynth.dataset import MANIFEST, PARTIAL, DatasetSettings, open_dataset, render_dataset, splits, verify
from inversynth.errors import MismatchError, UsageError
from inversynth.spec import Note
from inversynth.synths import sampling
from inversynth.system.simd import simd_target
from inversynth.training.settings import Settings
from inversynth.training.sources import DatasetSounds

DATA = Path(__file__).with_name("data")
FINISHED = DatasetSettings(synths.load("paper"), 20, seed=9, seconds=0.005, shard_size=8, dtype="int16")
PARTLY = DatasetSettings(synths.load("sine"), 20, seed=9, seconds=0.005, shard_size=8)
as_theirs = pytest.mark.skipif(simd_target().arithmetic != "fma", reason="they were rendered on a processor with FMA")


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "finished-0.1.0", tmp_path / "finished")


@pytest.fixture
def partial(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "partial-0.1.0", tmp_path / "partial")


def told_by(file: Path) -> dict[str, object]:
    return {name: value for name, value in json.loads(file.read_text()).items() if name not in ("space", "files")}


def test_a_finished_one_opens_verifies_and_is_read(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = open_dataset(finished)
    paper = synths.load("paper")
    assert (len(dataset), dataset.synth, dataset.seed, dataset.space) == (20, "paper", 9, paper.space)
    manifest = dataset.manifest
    assert (manifest.renderer, manifest.prior, manifest.note) == ("1", "uniform", Note(69, 100, 0.75))
    audio, levels = dataset.read(np.arange(20))
    assert np.array_equal(levels, sampling.draw(paper.space, 9, 0, 20))
    expected = paper.render(paper.space.values_of_levels(levels), seconds=0.005)
    peaks = np.abs(expected).max(axis=1, keepdims=True)
    assert np.abs(audio - expected).max() <= 0.51 * peaks.max() / 32767
    assert dataset.failed.tolist() == [False] * 20
    assert np.array_equal(dataset.notes, np.tile([69, 100, 0.75], (20, 1)))
    assert verify(finished) == []
    assert main(["data", "info", str(finished)]) == 0
    assert "version 1 of the renderer, arithmetic fma" in capsys.readouterr().out


def test_a_finished_one_is_split_and_trained_on(finished: Path) -> None:
    dataset = open_dataset(finished)
    splits.split(dataset, {"train": 0.5, "test": 0.5})
    settings = Settings("paper", data=str(finished), batch_size=4, validation=5)
    source = DatasetSounds(dataset, synths.load("paper"), settings)
    assert np.array_equal(source.validation[1], dataset.levels[15:])
    (audio, levels), _ = next(source.batches(0))
    assert (np.shape(audio), levels.shape) == ((4, 82), (4, 23))


@as_theirs
def test_a_finished_one_is_left_as_it_is_but_for_its_manifest(finished: Path) -> None:
    before = {file.name: file.read_bytes() for file in finished.glob("*.npy")}
    reports: list[tuple[int, ...]] = []
    render_dataset(FINISHED, finished, report=lambda *numbers: reports.append(numbers))
    assert reports[-1] == (20, 20, 0)
    assert {file.name: file.read_bytes() for file in finished.glob("*.npy")} == before
    told_now = told_by(finished / MANIFEST)
    assert told_now["format"] == "inversynth dataset 3"
    assert "inversynth" not in told_now


@as_theirs
def test_a_finished_one_is_extended_to_the_bytes_of_a_longer_one(finished: Path, tmp_path: Path) -> None:
    longer = DatasetSettings(FINISHED.synth, 30, seed=9, seconds=0.005, shard_size=8, dtype="int16")
    render_dataset(longer, finished)
    render_dataset(longer, tmp_path / "again")
    assert {file.name: file.read_bytes() for file in finished.iterdir()} == {
        file.name: file.read_bytes() for file in (tmp_path / "again").iterdir()
    }


@as_theirs
def test_one_that_was_stopped_is_gone_on_with(partial: Path) -> None:
    with pytest.raises(UsageError, match="not finished"):
        open_dataset(partial)
    before = {file.name: file.read_bytes() for file in partial.glob("*.npy")}
    reports: list[tuple[int, ...]] = []
    dataset = render_dataset(PARTLY, partial, report=lambda *numbers: reports.append(numbers))
    assert reports[-1] == (20, 20, 4)
    assert before.items() <= {file.name: file.read_bytes() for file in partial.glob("*.npy")}.items()
    assert told_by(partial / MANIFEST)["format"] == "inversynth dataset 3"
    assert not (partial / PARTIAL).exists()
    assert dataset.manifest.note == Note(69, 100)
    audio, levels = dataset.read(np.arange(20))
    sine = synths.load("sine")
    assert np.array_equal(levels, sampling.draw(sine.space, 9, 0, 20))
    assert audio == pytest.approx(sine.render(sine.space.values_of_levels(levels), seconds=0.005), abs=1e-6)


@as_theirs
def test_other_settings_are_refused_by_name(finished: Path) -> None:
    other = DatasetSettings(FINISHED.synth, 20, seed=8, seconds=0.005, shard_size=8, dtype="int16")
    with pytest.raises(MismatchError, match="holds a dataset of seed 9, not 8;"):
        render_dataset(other, finished)


def test_a_damaged_manifest_of_it_is_named(finished: Path) -> None:
    text = (finished / MANIFEST).read_bytes()
    (finished / MANIFEST).write_bytes(text.replace(b'"count": 20', b'"count": 21'))
    with pytest.raises(UsageError, match=r"manifest\.json is damaged"):
        open_dataset(finished)
