"""What an item may have beside its sound and its patch: a note, a family, and a failure."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import tarfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth import synths
from inversynth.cli import main
from inversynth.dataset import (
    MANIFEST,
    PARTIAL,
    Dataset,
    DatasetSettings,
    Manifest,
    failures,
    open_dataset,
    render_dataset,
    splits,
    verify,
)
from inversynth.dataset.exports import DATASET, PATCHES, export_hdf5, export_wav, export_webdataset
from inversynth.dataset.splits import NONE, place_families
from inversynth.dataset.stores import store
from inversynth.errors import InversynthError, MismatchError, UsageError
from inversynth.spec import AudioFormat, Note, Param, ParamSpace
from inversynth.synths import Synth, sampling
from inversynth.synths.function import from_function
from inversynth.synths.sampling import Drawn

SPACE = ParamSpace(
    [
        Param("level", "a", 0.1, 1.0),
        Param("pitch", "f", 100.0, 400.0, "Hz"),
        Param("stability", "s", 0.0, 7.0, levels=8, kind="ordinal"),
    ]
)
COUNT = 60


def tones(values: NDArray[np.float64], notes: NDArray[np.float64], rate: int, samples: int) -> NDArray[np.float64]:
    t = np.arange(samples) / rate
    hz = values[:, 1:2] * 2 ** ((notes[:, :1] - 69) / 12)
    return np.asarray(values[:, :1] * notes[:, 1:2] / 127 * np.sin(2 * np.pi * hz * t) * (t < notes[:, 2:]))


def shaky(values: NDArray[np.float64], notes: NDArray[np.float64], rate: int, samples: int) -> NDArray[np.float64]:
    """Fails on two of the eight levels of stability, each in its own way."""
    if np.any(values[:, 2] == 7):
        raise ValueError("it is\nunstable there")
    return np.where(values[:, 2:] == 6, np.nan, tones(values, notes, rate, samples))


@dataclass(frozen=True)
class Played:
    """Uniform patches with a note each, in families of three items."""

    name: str = "played"

    def draw(self, space: ParamSpace, seed: int, start: int, count: int, stream: int) -> Drawn:
        items = np.arange(start, start + count)
        holds = np.where(items % 4 == 0, np.inf, 0.01 + items / 3000)
        notes = np.stack([40 + items % 37 + 1 / 3, 1 + items % 127, holds], axis=1)
        return Drawn(sampling.draw(space, seed, start, count, stream), notes, items // 3)


def made(function: Any, prior: sampling.Prior = synths.synth.UNIFORM) -> DatasetSettings:
    synth = from_function("made", SPACE, AudioFormat(8000, 0.05), function, note=Note(60, 100, 0.03), prior=prior)
    return DatasetSettings(synth, COUNT, seed=4, shard_size=8)


PLAYED, SHAKY = made(tones, Played()), made(shaky)


def contents(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def changed(settings: DatasetSettings, **fields: Any) -> DatasetSettings:
    return dataclasses.replace(settings, **fields)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset of `PLAYED`, not to be written to."""
    return render_dataset(PLAYED, tmp_path_factory.mktemp("played") / "ds")


@pytest.fixture
def shaken(tmp_path: Path) -> Dataset:
    """A dataset of `SHAKY`."""
    return render_dataset(SHAKY, tmp_path / "shaken")


# -- notes --------------------------------------------------------------------------------------


def test_each_item_is_played_by_the_note_that_the_prior_drew(played: Dataset) -> None:
    synth, drawn = PLAYED.synth, PLAYED.synth.draw(4, 0, COUNT)
    assert drawn.notes is not None
    assert np.array_equal(played.notes, drawn.notes)
    values = synth.space.values_of_levels(drawn.levels)
    expected = synth.render(values, note=drawn.notes)
    assert np.array_equal(played.read(np.arange(COUNT))[0], expected)
    assert not np.array_equal(expected, synth.render(values))
    stored = np.load(played.path / "notes-000007.npy")
    assert (stored.dtype, stored.shape) == (np.float64, (4, 3))
    assert json.loads((played.path / MANIFEST).read_text())["note"] is None


def test_where_the_prior_draws_none_all_are_played_by_the_synths_own_note(shaken: Dataset) -> None:
    assert np.array_equal(shaken.notes, np.tile([60, 100, 0.03], (COUNT, 1)))
    assert json.loads((shaken.path / MANIFEST).read_text())["note"] == {"key": 60.0, "velocity": 100.0, "hold_s": 0.03}
    assert {name.partition("-")[0] for name in shaken.manifest.files} == {"audio", "levels", "failed"}


def test_a_note_that_is_held_to_the_end_is_null_in_the_manifest_and_comes_back(tmp_path: Path) -> None:
    made = render_dataset(DatasetSettings(synths.load("sine"), 3, seconds=0.01), tmp_path)
    assert json.loads((tmp_path / MANIFEST).read_text())["note"]["hold_s"] is None
    assert made.manifest.note == Note(69, 100)
    assert set(made.notes[:, 2]) == {np.inf}


@pytest.mark.parametrize(("first", "shard_size"), [(1, 8), (20, 8), (COUNT, 8)])
def test_a_dataset_with_notes_is_gone_on_with_to_the_same_bytes(
    played: Dataset, tmp_path: Path, first: int, shard_size: int
) -> None:
    render_dataset(changed(PLAYED, count=first), tmp_path)
    (tmp_path / "notes-000000.npy").unlink()
    render_dataset(PLAYED, tmp_path)
    assert contents(tmp_path) == contents(played.path)
    with pytest.raises(MismatchError, match="prior played, not uniform"):
        render_dataset(made(tones), tmp_path)


def test_a_damaged_note_is_named_before_any_is_used(played: Dataset, tmp_path: Path) -> None:
    render_dataset(PLAYED, tmp_path)
    file = tmp_path / "notes-000002.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    assert [line.split()[0] for line in verify(tmp_path)] == [str(file)]
    with pytest.raises(UsageError, match=r"notes-000002\.npy is damaged"):
        _ = open_dataset(tmp_path).notes


def test_exports_hold_the_notes(played: Dataset, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    export_wav(played, tmp_path / "wav")
    with open(tmp_path / "wav" / PATCHES, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = ("note key", "note velocity", "note hold (s)")
    assert np.array_equal([[float(row[name]) for name in columns] for row in rows], played.notes)
    export_webdataset(played, tmp_path / "web")
    with tarfile.open(tmp_path / "web" / "000000.tar") as tar:
        items = [json.load(tar.extractfile(f"{i:06d}.json") or io.BytesIO()) for i in (0, 1)]
    assert [Note.from_data(item["note"]).row for item in items] == [tuple(row) for row in played.notes[:2].tolist()]
    assert items[0]["note"]["hold_s"] is None
    export_hdf5(played, tmp_path / "ds.h5")
    with h5py.File(tmp_path / "ds.h5") as file:
        assert np.array_equal(file["notes"][:], played.notes)
        assert "note" not in file.attrs


def test_exports_of_one_note_say_it_once(shaken: Dataset, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    own = {"key": 60.0, "velocity": 100.0, "hold_s": 0.03}
    export_webdataset(shaken, tmp_path / "web")
    assert json.loads((tmp_path / "web" / DATASET).read_text())["note"] == own
    export_hdf5(shaken, tmp_path / "ds.h5")
    with h5py.File(tmp_path / "ds.h5") as file:
        assert json.loads(file.attrs["note"]) == own
        assert "notes" not in file


def test_info_tells_of_notes(played: Dataset, shaken: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(played.path)]) == 0
    output = capsys.readouterr().out
    assert "by the prior played" in output
    assert "each sound has its own" in output
    assert main(["data", "info", str(shaken.path)]) == 0
    assert "key 60, velocity 100, held 0.03 s" in capsys.readouterr().out


def silence(values: NDArray[np.float64], notes: NDArray[np.float64], rate: int, samples: int) -> NDArray[np.float64]:
    return np.zeros((len(values), samples))


def test_info_names_the_choices_of_a_parameter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    space = ParamSpace([Param.choice("wave", "w", ("sine", "square", "saw")), *SPACE])
    synth = from_function("choosy", space, AudioFormat(8000, 0.05), silence)
    render_dataset(DatasetSettings(synth, 2), tmp_path / "choosy")
    assert main(["data", "info", str(tmp_path / "choosy")]) == 0
    output = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "wave 3 levels, categorical sine .. saw" in output
    assert "pitch 16 levels, linear 100 .. 400 Hz" in output


# -- failures -----------------------------------------------------------------------------------


def test_items_that_fail_are_marked_silent_and_counted_with_their_reasons(shaken: Dataset) -> None:
    audio, levels = shaken.read(np.arange(COUNT))
    unstable, broken = levels[:, 2] == 7, levels[:, 2] == 6
    assert min(unstable.sum(), broken.sum()) > 1
    assert np.array_equal(shaken.failed, unstable | broken)
    assert np.array_equal(np.load(shaken.path / "failed-000001.npy"), shaken.failed[8:16].astype(np.uint8))
    assert not audio[shaken.failed].any()
    assert audio[~shaken.failed].any(axis=1).all()
    expected = {
        "its sound has samples that are NaN or infinite": broken.sum(),
        "ValueError: it is unstable there": unstable.sum(),
    }
    assert open_dataset(shaken.path).manifest.reasons == expected
    assert shaken.manifest.failed == shaken.failed.sum()
    assert list(shaken.manifest.reasons.values()) == sorted(expected.values(), reverse=True)
    assert verify(shaken.path) == []


@pytest.mark.parametrize("dtype", ["float16", "int16"])
def test_what_fails_is_silent_in_any_dtype(dtype: str, tmp_path: Path) -> None:
    dataset = render_dataset(changed(SHAKY, dtype=dtype, normalise=True), tmp_path)
    audio, _ = dataset.read(np.arange(COUNT))
    assert np.array_equal(audio.any(axis=1), ~dataset.failed)


def test_a_synth_that_cannot_fail_has_none_that_failed(played: Dataset, tmp_path: Path) -> None:
    dataset = render_dataset(DatasetSettings(synths.load("sine"), 5, seconds=0.01), tmp_path)
    assert dataset.failed.tolist() == [False] * 5
    assert not list(tmp_path.glob("failed-*"))
    assert not played.failed.any()


def test_what_failed_is_not_tried_again_unless_all_is_started_again(tmp_path: Path) -> None:
    calls: list[int] = []

    def counted(values: Any, notes: Any, rate: int, samples: int) -> Any:
        calls.append(len(values))
        return shaky(values, notes, rate, samples)

    settings = changed(SHAKY, synth=made(counted).synth)
    before = contents(render_dataset(settings, tmp_path).path)
    tried = len(calls)
    render_dataset(settings, tmp_path)
    assert len(calls) == tried
    assert contents(tmp_path) == before
    mended = changed(SHAKY, synth=made(tones).synth)
    assert render_dataset(mended, tmp_path).failed.any()
    assert not render_dataset(mended, tmp_path, overwrite=True).failed.any()


def test_a_longer_dataset_with_failures_is_that_of_a_single_run(shaken: Dataset, tmp_path: Path) -> None:
    render_dataset(changed(SHAKY, count=21), tmp_path / "ds")
    render_dataset(SHAKY, tmp_path / "ds")
    assert contents(tmp_path / "ds") == contents(shaken.path)


def failing(why: Callable[[int], str]) -> DatasetSettings:
    """Every patch fails, each call with another reason."""
    calls: list[int] = []

    def function(values: Any, notes: Any, rate: int, samples: int) -> Any:
        calls.append(0)
        raise RuntimeError(why(len(calls)))

    return changed(SHAKY, synth=made(function).synth)


def test_a_rendering_of_which_everything_fails_is_an_error(tmp_path: Path) -> None:
    settings = failing(lambda call: "no sound")
    for _ in range(2):
        with pytest.raises(InversynthError, match=r"60 of 60 failed: RuntimeError: no sound \(60 times\); correct"):
            render_dataset(settings, tmp_path)
        assert (tmp_path / PARTIAL).exists()
        assert not (tmp_path / MANIFEST).exists()


def test_the_most_frequent_reasons_are_kept_and_shown(tmp_path: Path) -> None:
    with pytest.raises(InversynthError) as error:
        render_dataset(changed(failing(lambda call: f"number {call} " + 500 * "x"), shard_size=COUNT), tmp_path)
    manifest = Manifest.read(store(tmp_path), PARTIAL)
    assert (manifest.failed, len(manifest.reasons)) == (COUNT, 21)
    assert [*manifest.reasons.items()][-1] == ("other reasons", COUNT - 20)
    assert len(str(error.value)) < 20 * 210 + 200


def test_one_reason_is_shown_once_with_its_count() -> None:
    manifest = Manifest.of(SHAKY)
    manifest.files = {
        "failed-000000.npy": {"reasons": {"too slow": 1, "unstable": 2}},
        "failed-000001.npy": {"reasons": {"too slow": 2, "crashed": 1}},
    }
    assert failures(manifest) == "6 of 60 failed: too slow (3 times); unstable (twice); crashed"


def test_a_failure_of_a_renderer_that_says_it_has_none_ends_the_rendering(tmp_path: Path) -> None:
    renderer: Any = dataclasses.replace(SHAKY.synth.renderer, fallible=False)  # type: ignore[type-var]
    settings = changed(SHAKY, synth=dataclasses.replace(SHAKY.synth, renderer=renderer))
    with pytest.raises(InversynthError, match=r"item \d+ can't be rendered by made: "):
        render_dataset(settings, tmp_path)


def test_exports_leave_out_what_failed(shaken: Dataset, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    kept = np.flatnonzero(~shaken.failed)
    names = [f"{item:06d}" for item in kept]
    export_wav(shaken, tmp_path / "wav")
    assert sorted(file.stem for file in (tmp_path / "wav").glob("*.wav")) == names
    with open(tmp_path / "wav" / PATCHES, newline="", encoding="utf-8") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [f"{name}.wav" for name in names]
    export_webdataset(shaken, tmp_path / "web")
    with tarfile.open(tmp_path / "web" / "000000.tar") as tar:
        assert sorted({name.partition(".")[0] for name in tar.getnames()}) == names
    facts = json.loads((tmp_path / "web" / DATASET).read_text())
    assert (facts["count"], facts["failed"]) == (len(kept), COUNT - len(kept))
    export_hdf5(shaken, tmp_path / "ds.h5")
    audio, levels = shaken.read(kept)
    with h5py.File(tmp_path / "ds.h5") as file:
        assert np.array_equal(file["audio"][:], audio)
        assert np.array_equal(file["levels"][:], levels)
        assert np.array_equal(file["items"][:], kept)


def test_what_failed_is_in_no_part_of_a_split(shaken: Dataset) -> None:
    made = splits.split(shaken, {"train": 0.5, "test": 0.5})
    assert sum(made.counts.values()) == np.sum(~shaken.failed)
    together = np.concatenate([made.items(name) for name in made.shares])
    assert sorted(together.tolist()) == np.flatnonzero(~shaken.failed).tolist()
    assert np.array_equal(splits.read(shaken).part == NONE, shaken.failed)


MINE = """
import numpy as np
from inversynth import AudioFormat, Param, ParamSpace, from_function

SPACE = ParamSpace([Param("level", "a", 0, 7, levels=8, kind="ordinal"), Param("pitch", "f", 100, 400, "Hz")])

def render(values, notes, sample_rate, samples):
    if values[:, 0].max() > LIMIT:
        raise ArithmeticError("too loud")
    return np.sin(2 * np.pi * values[:, 1:] * np.arange(samples) / sample_rate)

SYNTH = from_function("mine", SPACE, AudioFormat(8000, 0.05), render)
"""


def test_the_commands_tell_of_failures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synth, out = tmp_path / "mine.py", tmp_path / "ds"
    synth.write_text(MINE.replace("LIMIT", "6"))
    assert main(["render", "--synth", str(synth), "--num-examples", "60", "--out", str(out)]) == 0
    failed = int(open_dataset(out).failed.sum())
    assert failed > 2
    line = f"{failed} of 60 failed: ArithmeticError: too loud ({failed} times)"
    assert capsys.readouterr().out.splitlines()[-1] == line
    assert main(["data", "info", str(out)]) == 0
    assert line in capsys.readouterr().out
    assert main(["data", "export", str(out), "--format", "wav", "--out", str(tmp_path / "wav")]) == 0
    output = f"{tmp_path / 'wav'}: {60 - failed} sounds of mine; {failed} that failed are left out\n"
    assert capsys.readouterr().out == output
    assert main(["data", "split", str(out), "--parts", "train=0.5,test=0.5"]) == 0
    train, test, none, _ = capsys.readouterr().out.splitlines()
    assert none == f"in no part   {failed} that failed"
    assert sum(int(line.split()[1]) for line in (train, test)) == 60 - failed


def test_the_command_ends_with_one_where_everything_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    synth = tmp_path / "loud.py"
    synth.write_text(MINE.replace("LIMIT", "-1"))
    assert main(["render", "--synth", str(synth), "--num-examples", "5", "--out", str(tmp_path / "ds")]) == 1
    assert (
        "error: 5 of 5 failed: ArithmeticError: too loud (5 times); correct the synth mine" in capsys.readouterr().err
    )


def test_a_function_is_called_by_one_thread_at_a_time(tmp_path: Path) -> None:
    inside, together = threading.Lock(), []

    def function(values: Any, notes: Any, rate: int, samples: int) -> Any:
        together.append(not inside.acquire(blocking=False))
        time.sleep(0.001)
        inside.release()
        return tones(values, notes, rate, samples)

    render_dataset(changed(made(function), shard_size=1), tmp_path, workers=4)
    assert together == [False] * COUNT


# -- families -----------------------------------------------------------------------------------


def test_the_families_that_the_prior_drew_are_kept(played: Dataset, shaken: Dataset) -> None:
    assert played.families is not None
    assert np.array_equal(played.families, np.arange(COUNT) // 3)
    assert np.load(played.path / "families-000000.npy").dtype == np.int64
    assert shaken.families is None


def test_a_family_is_never_divided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = render_dataset(changed(PLAYED, count=300, shard_size=100), tmp_path)
    made = splits.split(dataset, {"train": 0.5, "test": 0.5}, 1)
    of_three = made.part.reshape(100, 3)
    assert np.array_equal(of_three, np.repeat(of_three[:, :1], 3, axis=1))
    assert made.counts["train"] == pytest.approx(150, abs=3 * 4 * np.sqrt(25))
    assert main(["data", "split", str(tmp_path), "--parts", "train=0.5,test=0.5"]) == 0
    assert "a family stays together" in capsys.readouterr().out
    longer = render_dataset(changed(PLAYED, count=330, shard_size=100), tmp_path)
    assert np.array_equal(splits.split(longer, {"train": 0.5, "test": 0.5}, 1).part[:300], made.part)


def test_the_places_of_families_are_uniform_and_another_seed_gives_others() -> None:
    families = np.concatenate([np.arange(-5000, 5000), 2**40 + np.arange(10_000)])
    at = place_families(families, 3)
    assert np.histogram(at, 10, (0, 1))[0] == pytest.approx(np.full(10, 2000), abs=4 * np.sqrt(1800))
    assert len(np.unique(at)) == 20_000
    assert abs(np.corrcoef(at, place_families(families, 4))[0, 1]) < 0.05


def test_a_split_places_what_may_change_places_together(tmp_path: Path) -> None:
    """Two operators in a sum: exchanged, they are the same patch."""
    from inversynth.spec import Symmetry

    space = ParamSpace(
        [Param(f"pitch {n}", f"f{n}", 100.0, 400.0, levels=5, group=str(n)) for n in (1, 2)], [Symmetry(("1", "2"))]
    )

    def sum_of_two(values: Any, notes: Any, rate: int, samples: int) -> Any:
        return np.sin(2 * np.pi * values[:, :, None] * np.arange(samples) / rate).sum(axis=1)

    synth: Synth = from_function("two", space, AudioFormat(8000, 0.01), sum_of_two)
    dataset = render_dataset(DatasetSettings(synth, 200), tmp_path)
    part = splits.split(dataset, {"train": 0.5, "test": 0.5}).part
    by_patch: dict[frozenset[int], set[int]] = {}
    for levels, number in zip(dataset.levels.tolist(), part.tolist(), strict=True):
        by_patch.setdefault(frozenset(levels), set()).add(number)
    assert len(by_patch) == 15
    assert all(len(numbers) == 1 for numbers in by_patch.values())
