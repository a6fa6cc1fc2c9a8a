"""Splits: no patch in two parts, an item in its part for ever, and nothing read that is of another dataset."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inversynth import synths
from inversynth.cli import main
from inversynth.dataset import Dataset, DatasetSettings, open_dataset, render_dataset, splits
from inversynth.dataset.splits import INDEX, SPLITS, place
from inversynth.errors import MismatchError, UsageError
from inversynth.spec import Param, ParamSpace
from inversynth.synths.sampling import philox
from inversynth.training.settings import Settings
from inversynth.training.sources import DatasetSounds

TINY = DatasetSettings(synths.load("sine"), 3000, seed=5, seconds=0.001, shard_size=1000)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of `TINY`, not to be written to."""
    return render_dataset(TINY, tmp_path_factory.mktemp("tiny") / "ds").path


@pytest.fixture
def dataset(rendered: Path, tmp_path: Path) -> Dataset:
    return open_dataset(shutil.copytree(rendered, tmp_path / "ds"))


def few_patches() -> ParamSpace:
    """32 patches, 24 to the ear, so that a dataset repeats them; v is inert where B is 0."""
    return ParamSpace(
        [
            Param("v", "v", 100.0, 400.0, levels=2, inert_when=("B", 0)),
            Param("B", "B", 0.5, 1.0, levels=2),
            Param("f", "f", 800.0, 1600.0, levels=4),
            Param("spare", "s", 0.5, 1.0, levels=2),
        ]
    )


@pytest.fixture
def repeating(tmp_path: Path) -> Dataset:
    synth = dataclasses.replace(TINY.synth, space=few_patches())
    return render_dataset(dataclasses.replace(TINY, synth=synth, count=400), tmp_path / "repeating")


# -- which part ---------------------------------------------------------------------------------


def test_every_item_is_in_one_part_and_the_shares_hold_on_average(dataset: Dataset) -> None:
    made = splits.split(dataset, {"train": 0.7, "validation": 0.2, "test": 0.1})
    together = np.concatenate([made.items(name) for name in made.shares])
    assert sorted(together.tolist()) == list(range(3000))
    assert made.counts == {name: len(made.items(name)) for name in made.shares}
    for name, share in made.shares.items():
        assert made.counts[name] == pytest.approx(3000 * share, abs=4 * np.sqrt(3000 * share * (1 - share)))


def test_no_patch_is_in_two_parts(repeating: Dataset) -> None:
    made = splits.split(repeating, {"train": 0.5, "test": 0.5})
    canonical = repeating.space.canonical(repeating.levels)
    train, test = ({tuple(row) for row in canonical[made.items(name)].tolist()} for name in ("train", "test"))
    assert train.isdisjoint(test)
    assert len(train | test) == 24
    drawn = {tuple(row) for row in repeating.levels.tolist()}
    assert len(drawn) == 32  # patches that differ only in what is not active were drawn


def test_an_extended_dataset_keeps_every_item_in_its_part(dataset: Dataset) -> None:
    before = splits.split(dataset, seed=3)
    longer = render_dataset(dataclasses.replace(TINY, count=4500), dataset.path)
    with pytest.raises(MismatchError, match="count 3000, not 4500"):
        splits.read(longer)
    after = splits.split(longer, seed=3)
    assert np.array_equal(after.part[:3000], before.part)
    assert len(after.part) == 4500


def test_another_seed_is_another_split_and_the_same_seed_the_same_bytes(dataset: Dataset) -> None:
    files = [dataset.path / name for name in (SPLITS, INDEX)]
    first = splits.split(dataset, seed=1).part
    bytes_before = [file.read_bytes() for file in files]
    other = splits.split(dataset, seed=2).part
    assert np.mean(first == other) == pytest.approx(0.8**2 + 2 * 0.1**2, abs=0.05)  # independent of each other
    splits.split(dataset, seed=1)
    assert [file.read_bytes() for file in files] == bytes_before


def test_places_are_uniform_and_those_of_the_chained_cipher() -> None:
    space = synths.load("paper").space
    levels = np.random.default_rng(0).integers(0, 16, (20_000, len(space)))
    at = place(space, levels, 2**40 + 7)
    assert np.histogram(at, 10, (0, 1))[0] == pytest.approx(np.full(10, 2000), abs=4 * np.sqrt(1800))
    assert len(np.unique(at)) == 20_000
    row = [*space.canonical(levels[:1])[0].tolist(), 0]
    state = [0, 0, 0, 0]
    for block in range(0, 24, 4):
        mixed = [a ^ b for a, b in zip(state, row[block : block + 4], strict=True)]
        state = philox(np.array([mixed], np.uint32), (7, 2**8))[0].tolist()
    assert at[0] == (state[0] * 2**21 + state[1] // 2**11) / 2**53


def test_how_many_are_hashed_at_a_time_changes_nothing(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = splits.split(dataset).part
    monkeypatch.setattr(splits, "BLOCK", 7)
    assert np.array_equal(splits.split(dataset).part, whole)


# -- what is kept -------------------------------------------------------------------------------


def test_a_split_is_read_as_it_was_made(dataset: Dataset) -> None:
    made = splits.split(dataset, {"train": 0.75, "rest": 0.25}, 8)
    read = splits.read(open_dataset(dataset.path))
    assert (read.shares, read.seed) == (made.shares, made.seed) == ({"train": 0.75, "rest": 0.25}, 8)
    assert np.array_equal(read.part, made.part)
    assert np.array_equal(np.load(dataset.path / INDEX), made.part)
    stored = json.loads((dataset.path / SPLITS).read_text())
    assert stored["counts"] == made.counts
    assert stored["dataset"] == {"synth": "sine", "seed": 5, "count": 3000, "fingerprint": dataset.space.fingerprint}
    with pytest.raises(UsageError, match="no part 'test'; there are train, rest"):
        read.items("test")


def test_a_dataset_without_a_split_says_how_to_make_one(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match=f"is not split; split it with: inversynth data split {dataset.path}"):
        splits.read(dataset)


def test_the_split_of_another_dataset_is_refused(dataset: Dataset) -> None:
    splits.split(dataset)
    other = render_dataset(dataclasses.replace(TINY, seed=6), dataset.path, overwrite=True)
    with pytest.raises(MismatchError, match="seed 5, not 6"):
        splits.read(other)


@pytest.mark.parametrize(
    "harm",
    [
        lambda s: s.pop("format"),
        lambda s: s.update(format="inversynth split 9"),
        lambda s: s.pop("dataset"),
        lambda s: s.update(dataset=3),
        lambda s: s["dataset"].pop("seed"),
        lambda s: s.update(shares=[0.5, 0.5]),
        lambda s: s.update(shares={"train": 0.5}),
        lambda s: s.update(seed="x"),
        lambda s: s.update(sha256="0" * 64),
    ],
)
def test_a_damaged_split_is_refused(dataset: Dataset, harm: Callable[[dict[str, Any]], object]) -> None:
    splits.split(dataset)
    stored = json.loads((dataset.path / SPLITS).read_text())
    harm(stored)
    (dataset.path / SPLITS).write_text(json.dumps(stored))
    with pytest.raises(UsageError, match=r"splits\.json .*is damaged"):
        splits.read(dataset)


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", None, b"flip"])
def test_a_damaged_index_is_refused(dataset: Dataset, data: bytes | None) -> None:
    splits.split(dataset)
    file = dataset.path / INDEX
    if data is None:
        file.unlink()
    elif data == b"flip":
        file.write_bytes(file.read_bytes()[:-1] + b"\x09")
    else:
        file.write_bytes(data)
    with pytest.raises(UsageError, match=r"splits\.npy beside it is damaged or missing"):
        splits.read(dataset)


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"train": 0.8}, r"train=0\.8 don't add up to 1"),
        ({"train": 0.8, "test": 0.3}, "don't add up to 1"),
        ({}, "don't add up to 1"),
        ({"train": 1.0, "test": 0.0}, r"a share of 0\.0 for test"),
        ({"train": -1.0, "test": 2.0}, r"a share of -1\.0 for train"),
        ({"train": float("nan")}, "a share of nan"),
        ({"": 1.0}, "'' can't be the name"),
        ({"a/b": 1.0}, "'a/b' can't be the name"),
        ({"train": 0.9999, "test": 0.0001}, "none of the 3000 sounds .* falls into test"),
    ],
)
def test_impossible_shares_are_refused_and_nothing_is_written(
    dataset: Dataset, shares: dict[str, float], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        splits.split(dataset, shares)
    assert not (dataset.path / SPLITS).exists()
    assert not (dataset.path / INDEX).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--parts", "train"], "invalid split 'train'; give it as train=0.8"),
        (["--parts", "train=much"], "invalid split 'train=much'"),
        (["--parts", "train=0.5,train=0.5"], "names a part twice"),
        (["--parts", "train=0.5"], "don't add up to 1"),
        (["--seed", "-1"], "seed -1"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(
    dataset: Dataset, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "split", str(dataset.path), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_command_prints_what_each_part_got(dataset: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "split", str(dataset.path), "--parts", "train=0.75,test=0.25", "--seed", "4"]) == 0
    made = splits.read(dataset)
    assert (made.shares, made.seed) == ({"train": 0.75, "test": 0.25}, 4)
    train, test, where = capsys.readouterr().out.splitlines()
    count = made.counts["train"]
    assert train == f"train        {count} sounds, {count / 30:.2f} % (asked: 75 %)"
    assert test.startswith(f"test         {made.counts['test']} sounds, ")
    assert where.startswith(str(dataset.path / SPLITS))


# -- training on a part -------------------------------------------------------------------------


def sounds(dataset: Dataset, **fields: Any) -> DatasetSounds:
    settings = Settings("sine", data=str(dataset.path), split="train", batch_size=50)
    return DatasetSounds(dataset, synths.load("sine"), dataclasses.replace(settings, **fields))


def test_a_run_trains_on_its_part_and_is_measured_on_the_part_validation(dataset: Dataset) -> None:
    made = splits.split(dataset)
    source = sounds(dataset)
    audio, levels = dataset.read(made.items("validation"))
    assert np.array_equal(source.validation[0], audio)
    assert np.array_equal(source.validation[1], levels)
    count, seen, cursor = made.counts["train"], [], 0
    batches = source.batches(0)
    while cursor < count:
        (_, rows), cursor = next(batches)
        seen += rows.tolist()
    assert sorted(seen[:count]) == sorted(dataset.levels[made.items("train")].tolist())
    assert len(sounds(dataset, validation=100).validation[1]) == 100


def test_without_a_part_validation_the_last_items_of_the_part_are_held_out(dataset: Dataset) -> None:
    made = splits.split(dataset, {"train": 0.5, "test": 0.5})
    source = sounds(dataset, validation=30)
    assert np.array_equal(source.validation[1], dataset.levels[made.items("train")[-30:]])


def test_a_run_remembers_the_split_it_was_trained_on(dataset: Dataset) -> None:
    splits.split(dataset, seed=1)
    first = sounds(dataset).identity
    splits.split(dataset, seed=2)
    assert sounds(dataset).identity != first
    assert "split" not in sounds(dataset, split=None).identity


def test_parts_that_are_not_there_or_too_small_are_refused(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="is not split"):
        sounds(dataset)
    splits.split(dataset)
    with pytest.raises(UsageError, match="no part 'training'; there are train, validation, test"):
        sounds(dataset, split="training")
    with pytest.raises(UsageError, match="of its 3000 sounds, the part test leaves"):
        sounds(dataset, split="test", batch_size=1000)
    with pytest.raises(UsageError, match="what a run is measured on"):
        sounds(dataset, split="validation")
    with pytest.raises(UsageError, match="--split train needs a dataset"):
        Settings(split="train")
