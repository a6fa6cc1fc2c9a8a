"""Exports: what other programs read out of them is what the dataset holds, and a broken one says so."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inversynth import synths
from inversynth.cli import main
from inversynth.dataset import Dataset, DatasetSettings, exports, open_dataset, render_dataset
from inversynth.dataset.exports import DATASET, EXPORTS, PATCHES, check, export_hdf5, export_wav, export_webdataset
from inversynth.errors import InversynthError, UsageError
from inversynth.spec import ParamSpace

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and limits")
SMALL = DatasetSettings(synths.load("paper"), count=50, seed=9, seconds=0.1, shard_size=8)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A dataset of `SMALL`, not to be written to."""
    return render_dataset(SMALL, tmp_path_factory.mktemp("whole") / "ds")


def contents(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def values(dataset: Dataset) -> list[list[float]]:
    return [list(row) for row in dataset.space.values_of_levels(dataset.levels).tolist()]


# -- WAV ----------------------------------------------------------------------------------------


def test_wav_files_hold_the_sounds_as_they_are(dataset: Dataset, tmp_path: Path) -> None:
    import soundfile

    export_wav(dataset, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [*(f"{i:06d}.wav" for i in range(50)), PATCHES]
    for i in range(50):
        sound, rate = soundfile.read(tmp_path / f"{i:06d}.wav", dtype="float32")
        assert rate == 16384
        assert np.array_equal(sound, dataset.read([i])[0][0])


def test_the_table_beside_them_holds_every_level_and_every_value_in_its_unit(dataset: Dataset, tmp_path: Path) -> None:
    export_wav(dataset, tmp_path)
    with open(tmp_path / PATCHES, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row.pop("file") for row in rows] == [f"{i:06d}.wav" for i in range(50)]
    assert {"cutoff (Hz)", "attack (s)", "sustain (level)", "resonance", "cutoff (0..15)"} < rows[0].keys()
    for row, levels, units in zip(rows, dataset.levels.tolist(), values(dataset), strict=True):
        cells = list(row.values())
        assert [int(cell) for cell in cells[::2]] == levels
        assert [float(cell) for cell in cells[1::2]] == units


# -- WebDataset ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the library's own
def test_the_library_webdataset_reads_every_item(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    webdataset = pytest.importorskip("webdataset", reason="needs webdataset (the extra `dev`)")
    monkeypatch.setattr(exports, "SHARD_BYTES", 20 * 4 * 1638)
    export_webdataset(dataset, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["000000.tar", "000001.tar", "000002.tar", DATASET]
    items = list(webdataset.WebDataset(str(tmp_path / "{000000..000002}.tar"), shardshuffle=False).decode())
    assert [item["__key__"] for item in items] == [f"{i:06d}" for i in range(50)]
    audio, levels = dataset.read(range(50))
    assert np.array_equal(np.stack([item["npy"] for item in items]), audio)
    names = list(dataset.space.names)
    assert [item["json"]["levels"] for item in items] == [dict(zip(names, r, strict=True)) for r in levels.tolist()]
    assert [item["json"]["values"] for item in items] == [dict(zip(names, r, strict=True)) for r in values(dataset)]


def test_the_file_beside_the_shards_says_the_rest(dataset: Dataset, tmp_path: Path) -> None:
    export_webdataset(dataset, tmp_path)
    facts = json.loads((tmp_path / DATASET).read_text())
    assert ParamSpace.from_data(facts["space"]) == dataset.space
    assert facts["fingerprint"] == dataset.space.fingerprint
    assert facts.items() >= {"synth": "paper", "seed": 9, "count": 50, "sample_rate": 16384, "shards": 1}.items()


# -- HDF5 ---------------------------------------------------------------------------------------


def test_an_hdf5_file_holds_everything(dataset: Dataset, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    export_hdf5(dataset, tmp_path / "ds.h5")
    with h5py.File(tmp_path / "ds.h5") as file:
        audio, levels = dataset.read(np.arange(50))
        assert np.array_equal(file["audio"][:], audio)
        assert np.array_equal(file["levels"][:], levels)
        assert (file["audio"].dtype, file["levels"].dtype) == (np.float32, np.uint8)
        assert ParamSpace.from_data(json.loads(file.attrs["space"])) == dataset.space
        assert (file.attrs["synth"], file.attrs["seed"], file.attrs["sample_rate"]) == ("paper", 9, 16384)
        assert file.attrs["fingerprint"] == dataset.space.fingerprint
    assert [file.name for file in tmp_path.iterdir()] == ["ds.h5"]


def test_hdf5_without_h5py_is_refused_before_anything_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert main(["render", "--out", str(tmp_path / "ds"), "--hdf5", str(tmp_path / "ds.h5")]) == 2
    assert "pip install h5py" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# -- all of them --------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["wav", "webdataset"])
def test_the_same_dataset_gives_the_same_bytes(dataset: Dataset, form: str, tmp_path: Path) -> None:
    EXPORTS[form](dataset, tmp_path / "a", None)
    time.sleep(1.1)  # a clock in a file would show
    EXPORTS[form](dataset, tmp_path / "b", None)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("form", list(EXPORTS))
def test_what_is_held_at_a_time_changes_nothing(
    dataset: Dataset, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ds.h5" if form == "hdf5" else "ds"
    EXPORTS[form](dataset, tmp_path / "a" / name, None)
    monkeypatch.setattr(exports, "BLOCK_BYTES", 3 * 4 * 1638)
    reports: list[tuple[int, ...]] = []
    EXPORTS[form](dataset, tmp_path / "b" / name, lambda *numbers: reports.append(numbers))
    assert reports == [(n, 50, n) for n in [*range(3, 50, 3), 50]]
    if form == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "a" / name) as a, h5py.File(tmp_path / "b" / name) as b:
            assert np.array_equal(a["audio"][:], b["audio"][:])
    else:
        assert contents(tmp_path / "a" / name) == contents(tmp_path / "b" / name)


@pytest.mark.parametrize(("form", "last"), [("wav", PATCHES), ("webdataset", DATASET)])
def test_an_interrupted_export_lacks_its_last_file_and_the_next_one_completes_it(
    dataset: Dataset, form: str, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "BLOCK_BYTES", 8 * 4 * 1638)
    monkeypatch.setattr(exports, "SHARD_BYTES", 8 * 4 * 1638)

    def interrupted(done: int, total: int, fresh: int) -> None:
        if done == 24:
            raise KeyboardInterrupt

    EXPORTS[form](dataset, tmp_path / "once", None)
    EXPORTS[form](dataset, tmp_path / "again", None)
    (tmp_path / "again" / ".000001.4711.tmp.wav").write_bytes(b"what a killed process left")
    with pytest.raises(KeyboardInterrupt):
        EXPORTS[form](dataset, tmp_path / "again", interrupted)
    left = contents(tmp_path / "again")
    assert left
    assert left.items() <= contents(tmp_path / "once").items()
    assert last not in left
    assert not list((tmp_path / "again").glob(".*"))
    EXPORTS[form](dataset, tmp_path / "again", None)
    assert contents(tmp_path / "again") == contents(tmp_path / "once")


@pytest.mark.parametrize("form", ["wav", "webdataset"])
def test_nothing_is_left_of_an_earlier_export_and_all_else_is(
    dataset: Dataset, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "SHARD_BYTES", 8 * 4 * 1638)
    EXPORTS[form](dataset, tmp_path / "out", None)
    (tmp_path / "out" / "notes.wav").write_text("mine")
    short = render_dataset(dataclasses.replace(SMALL, count=10), tmp_path / "short")
    EXPORTS[form](short, tmp_path / "out", None)
    EXPORTS[form](short, tmp_path / "fresh", None)
    assert contents(tmp_path / "out").keys() - contents(tmp_path / "fresh").keys() == {"notes.wav"}


def test_without_one_call_for_all_files_each_is_synced_alone(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(number: int) -> None:
        synced.append(Path(f"/proc/self/fd/{number}").readlink().name)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc here")
    monkeypatch.delattr("os.sync", raising=False)
    monkeypatch.setattr("os.fsync", fsync)
    export_wav(dataset, tmp_path)
    assert synced[:-1] == [f"{i:06d}.wav" for i in range(50)]
    assert synced[-1].startswith(".patches.")


def limited(size: int) -> Callable[[], None]:
    """What a process does before it starts, so that no file of its may grow beyond `size` bytes."""
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@posix
@pytest.mark.parametrize(("form", "size"), [("wav", 4_000), ("hdf5", 100_000), ("webdataset", 100_000)])
def test_a_file_that_does_not_fit_gives_one_line_and_nothing_half_written(
    dataset: Dataset, form: str, size: int, tmp_path: Path
) -> None:
    if form == "hdf5":
        pytest.importorskip("h5py")
    out = tmp_path / ("out.h5" if form == "hdf5" else "out")
    words = ["data", "export", str(dataset.path), "--format", form, "--out", str(out)]
    process = subprocess.run(
        [sys.executable, "-m", "inversynth", *words], capture_output=True, text=True, preexec_fn=limited(size)
    )
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith(f"inversynth: error: cannot write {out}")
    assert "Traceback" not in process.stderr
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


@posix
def test_ctrl_c_exits_with_130_and_leaves_no_scraps(tmp_path: Path) -> None:
    render_dataset(
        dataclasses.replace(SMALL, synth=synths.load("sine"), count=20_000, seconds=0.01, shard_size=5000),
        tmp_path / "ds",
    )
    words = ["data", "export", str(tmp_path / "ds"), "--format", "wav", "--out", str(tmp_path / "wav")]
    process = subprocess.Popen([sys.executable, "-m", "inversynth", *words], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "wav" / "000002.wav").exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    output = process.communicate()[1]
    assert process.returncode == 130
    assert output.splitlines()[-1] == "inversynth: interrupted"
    assert not (tmp_path / "wav" / PATCHES).exists()
    assert list((tmp_path / "wav").glob(".*")) == []


def test_the_command_exports_what_the_function_exports(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for form in ("wav", "webdataset"):
        EXPORTS[form](dataset, tmp_path / "mine" / form, None)
        out = tmp_path / form
        assert main(["data", "export", str(dataset.path), "--format", form, "--out", str(out)]) == 0
        output = capsys.readouterr()
        assert output.out == f"{out}: 50 sounds of paper\n"
        assert f"{form}: 50 of 50" in output.err
        assert contents(out) == contents(tmp_path / "mine" / form)


def test_a_rendering_exports_at_once_what_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    words = ["--synth", "sine", "--num-examples", "5", "--length", "0.01", "--hdf5", str(tmp_path / "ds.h5")]
    assert main(["render", "--out", str(tmp_path / "ds"), "--wav", "--webdataset", str(tmp_path / "web"), *words]) == 0
    assert (tmp_path / "ds" / "wav" / PATCHES).is_file()
    assert (tmp_path / "web" / DATASET).is_file()
    assert (tmp_path / "ds.h5").is_file()
    assert open_dataset(tmp_path / "ds").synth == "sine"


def test_a_form_or_a_name_that_cannot_be_is_refused(
    dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="no form 'mp3'; there are wav, hdf5, webdataset"):
        check("mp3", tmp_path)
    assert main(["data", "export", str(dataset.path), "--format", "hdf5", "--out", "manifest.json"]) == 2
    assert "not the name of an HDF5 file" in capsys.readouterr().err
    (tmp_path / "taken").write_text("")
    for form in ("wav", "webdataset"):
        with pytest.raises(InversynthError, match="taken"):
            EXPORTS[form](dataset, tmp_path / "taken", None)


def test_more_than_256_levels_take_two_bytes_in_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    sine = synths.load("sine")
    fine = ParamSpace([dataclasses.replace(param, levels=1000) for param in sine.space])
    made = render_dataset(DatasetSettings(dataclasses.replace(sine, space=fine), 20, seconds=0.01), tmp_path / "ds")
    export_hdf5(made, tmp_path / "ds.h5")
    with h5py.File(tmp_path / "ds.h5") as file:
        assert file["levels"].dtype == np.uint16
        assert np.array_equal(file["levels"][:], made.levels)
