"""Datasets: the same bytes however they came about, and nothing read that isn't whole."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inversynth import dataset as module
from inversynth import sampling
from inversynth.cli import main
from inversynth.dataset import (
    MANIFEST,
    PARTIAL,
    Dataset,
    DatasetSettings,
    export_hdf5,
    export_wav,
    normalised,
    open_dataset,
    render_dataset,
    verify,
)
from inversynth.errors import InversynthError, MismatchError, UsageError
from inversynth.render import SYNTHS, Synth, synth
from inversynth.spec import Param, ParamSpace
from inversynth.training import DatasetSounds, Settings

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and limits")
SMALL = DatasetSettings("paper", count=50, seed=9, seconds=0.1, shard_size=8)


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder, hidden ones too, to the hash of its bytes."""
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def changed(settings: DatasetSettings, **fields: Any) -> DatasetSettings:
    return dataclasses.replace(settings, **fields)


def interrupted_after(shards: int) -> Callable[[int, int, int], None]:
    """A report that behaves as Ctrl-C would once so many shards are done."""
    seen = []

    def report(done: int, total: int, rendered: int) -> None:
        seen.append(done)
        if len(seen) == shards:
            raise KeyboardInterrupt

    return report


def command(settings: DatasetSettings, out: Path, *more: str) -> list[str]:
    words = ["render", "--synth", settings.synth, "--num-examples", str(settings.count), "--seed", str(settings.seed)]
    words += ["--length", str(settings.seconds), "--shard-size", str(settings.shard_size), "--out", str(out)]
    return [*words, *more]


def started(words: list[str], **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "inversynth", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset of `SMALL`, not to be written to."""
    return render_dataset(SMALL, tmp_path_factory.mktemp("whole") / "ds").path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in whole.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


# -- what an item is ----------------------------------------------------------------------------


def test_item_i_is_the_draw_of_seed_and_i_and_its_sound(whole: Path) -> None:
    dataset, paper = open_dataset(whole), synth("paper")
    assert (len(dataset), dataset.synth, dataset.seed, dataset.space) == (50, "paper", 9, paper.space)
    assert (dataset.audio.sample_rate, dataset.audio.seconds, dataset.audio.samples) == (16384, 0.1, 1638)
    levels = sampling.draw(paper.space, 9, 0, 50)
    audio, read = dataset.read(np.arange(50))
    assert audio.dtype == np.float32
    assert read.dtype == np.int64
    assert np.array_equal(read, levels)
    assert np.array_equal(dataset.levels, levels)
    assert np.array_equal(audio, paper.render(paper.space.values_of_levels(levels), seconds=0.1))


@pytest.mark.parametrize("shard_size", [1, 7, 50, 1000])
@pytest.mark.parametrize("workers", [1, 3])
def test_items_are_the_same_bytes_whatever_the_shards_and_workers(
    whole: Path, shard_size: int, workers: int, tmp_path: Path
) -> None:
    other = render_dataset(changed(SMALL, shard_size=shard_size), tmp_path / "ds", workers)
    expected, made = open_dataset(whole).read(np.arange(50)), other.read(np.arange(50))
    assert made[0].tobytes() == expected[0].tobytes()
    assert made[1].tobytes() == expected[1].tobytes()


def test_items_are_the_same_bytes_whatever_a_worker_holds_at_a_time(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 3 * 4 * 1638)
    assert contents(render_dataset(SMALL, tmp_path / "ds").path) == contents(whole)


def test_the_shards_are_plain_npy_files(whole: Path) -> None:
    audio, levels = np.load(whole / "audio-000006.npy"), np.load(whole / "levels-000000.npy")
    assert (whole / "levels-000000.npy").stat().st_size == 128 + 8 * 23
    assert (audio.shape, audio.dtype) == ((2, 1638), np.float32)
    assert (levels.shape, levels.dtype) == ((8, 23), np.uint8)
    assert np.array_equal(levels, sampling.draw(synth("paper").space, 9, 0, 8))


def test_more_than_256_levels_take_two_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sine = SYNTHS["sine"]
    fine = ParamSpace([dataclasses.replace(param, levels=1000) for param in sine.space])
    monkeypatch.setitem(SYNTHS, "sine", dataclasses.replace(sine, space=fine))
    dataset = render_dataset(DatasetSettings("sine", 20, seconds=0.01), tmp_path / "ds")
    assert np.load(tmp_path / "ds" / "levels-000000.npy").dtype == np.uint16
    assert np.array_equal(dataset.levels, sampling.draw(fine, 0, 0, 20))
    assert dataset.levels.max() > 255


def test_the_manifest_says_all_there_is_to_say(whole: Path) -> None:
    manifest = json.loads((whole / MANIFEST).read_text())
    space = synth("paper").space
    assert ParamSpace.from_list(manifest["space"]) == space
    assert manifest["fingerprint"] == space.fingerprint
    given = {"synth": "paper", "count": 50, "seed": 9, "seconds": 0.1, "sample_rate": 16384, "shard_size": 8}
    assert manifest.items() >= (given | {"normalise": False}).items()
    assert manifest["files"] == {
        file.name: {"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        for file in sorted(whole.glob("*.npy"))
    }
    assert len(manifest["files"]) == 14


def test_normalised_items_peak_at_one_and_silence_stays_silent(whole: Path, tmp_path: Path) -> None:
    dataset = render_dataset(changed(SMALL, normalise=True), tmp_path / "ds")
    plain, scaled = open_dataset(whole).read(np.arange(50))[0], dataset.read(np.arange(50))[0]
    assert np.abs(scaled).max(axis=1) == pytest.approx(np.ones(50))
    assert scaled == pytest.approx(plain / np.abs(plain).max(axis=1, keepdims=True), abs=1e-6)
    silent = np.array([[0, 0, 0], [0, -0.5, 0.25]], np.float32)
    assert normalised(silent).tolist() == [[0, 0, 0], [0, -1, 0.5]]


def test_other_rates_and_lengths_are_rendered_as_asked(tmp_path: Path) -> None:
    dataset = render_dataset(DatasetSettings("paper", 3, 1, 0.35, 44100), tmp_path / "ds")
    paper = synth("paper")
    assert dataset.audio.samples == 15435
    values = paper.space.values_of_levels(dataset.levels)
    assert np.array_equal(dataset.read([0, 1, 2])[0], paper.render(values, 44100, 0.35))


def test_items_are_read_in_any_order_and_number(whole: Path) -> None:
    dataset = open_dataset(whole)
    audio, levels = dataset.read(np.arange(50))
    order = [49, 0, 7, 8, 7, 23]
    assert np.array_equal(dataset.read(order)[0], audio[order])
    assert np.array_equal(dataset.read(order)[1], levels[order])
    assert dataset.read([])[0].shape == (0, 1638)
    for wrong in ([50], [-1], [[0]]):
        with pytest.raises(UsageError, match=r"0\.\.49"):
            dataset.read(wrong)


# -- stopped, gone on with, extended ------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 3, 6])
def test_an_interrupted_rendering_goes_on_to_the_same_bytes(whole: Path, tmp_path: Path, shards: int) -> None:
    folder = tmp_path / "ds"
    with pytest.raises(KeyboardInterrupt):
        render_dataset(SMALL, folder, workers=1, report=interrupted_after(shards))
    assert (folder / PARTIAL).exists()
    assert not (folder / MANIFEST).exists()
    with pytest.raises(UsageError, match="not finished"):
        open_dataset(folder)
    told: list[tuple[int, ...]] = []
    render_dataset(SMALL, folder, report=lambda *numbers: told.append(numbers))
    assert told[-1][:2] == (50, 50)
    assert 0 < told[-1][2] <= 50 - 8 * shards
    assert contents(folder) == contents(whole)


def test_a_finished_dataset_is_left_as_it_is(copy: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in copy.glob("*.npy")}
    told: list[tuple[int, ...]] = []
    render_dataset(SMALL, copy, report=lambda *numbers: told.append(numbers))
    assert told[-1] == (50, 50, 0)
    assert {file.name: file.stat().st_mtime_ns for file in copy.glob("*.npy")} == before


@pytest.mark.parametrize("first", [1, 8, 20])
def test_a_dataset_is_extended_to_the_bytes_of_a_longer_one(whole: Path, tmp_path: Path, first: int) -> None:
    render_dataset(changed(SMALL, count=first), tmp_path / "ds")
    render_dataset(SMALL, tmp_path / "ds")
    assert contents(tmp_path / "ds") == contents(whole)


def test_an_interrupted_extension_goes_on_to_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    render_dataset(changed(SMALL, count=20), tmp_path / "ds")
    with pytest.raises(KeyboardInterrupt):
        render_dataset(SMALL, tmp_path / "ds", workers=1, report=interrupted_after(4))
    render_dataset(SMALL, tmp_path / "ds")
    assert contents(tmp_path / "ds") == contents(whole)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"seed": 10}, "seed 9, not 10"),
        ({"synth": "sine"}, "synth paper, not sine"),
        ({"seconds": 0.2}, "seconds 0.1, not 0.2"),
        ({"sample_rate": 22050}, "sample_rate 16384, not 22050"),
        ({"normalise": True}, "normalise False, not True"),
        ({"shard_size": 9}, "shard_size 8, not 9"),
        ({"count": 49}, "50 examples, more than 49"),
        ({"seed": 1, "seconds": 1.0}, "seed 9, not 1; seconds 0.1, not 1.0"),
    ],
)
@pytest.mark.parametrize("state", ["finished", "interrupted"])
def test_other_settings_are_refused_by_name(copy: Path, other: dict[str, Any], told: str, state: str) -> None:
    if state == "interrupted":
        (copy / MANIFEST).rename(copy / PARTIAL)
    before = contents(copy)
    with pytest.raises(MismatchError) as error:
        render_dataset(changed(SMALL, **other), copy)
    assert told in str(error.value)
    assert contents(copy) == before


def test_a_synth_whose_parameters_changed_is_refused_by_their_names(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = synth("paper")
    space = ParamSpace([dataclasses.replace(p, high=5000.0) if p.name == "cutoff" else p for p in paper.space])
    monkeypatch.setitem(SYNTHS, "paper", dataclasses.replace(paper, space=space))
    with pytest.raises(MismatchError, match=r"cutoff: high is 4000\.0, not 5000\.0"):
        render_dataset(SMALL, copy)


def test_what_a_killed_process_left_is_swept_away(copy: Path, whole: Path) -> None:
    (copy / ".audio-000001.4711.tmp.npy").write_bytes(b"half")
    render_dataset(SMALL, copy)
    assert contents(copy) == contents(whole)


def test_overwriting_starts_from_nothing_and_leaves_what_is_not_its_own(copy: Path, tmp_path: Path) -> None:
    (copy / "notes.txt").write_text("mine")
    other = changed(SMALL, seed=2, count=11)
    render_dataset(other, copy, overwrite=True)
    fresh = contents(render_dataset(other, tmp_path / "fresh").path)
    assert contents(copy) == fresh | {"notes.txt": hashlib.sha256(b"mine").hexdigest()}


@posix
def test_a_rendering_killed_at_any_moment_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    settings = DatasetSettings("paper", count=160, seed=4, seconds=0.5, shard_size=2)
    random, killed, folder = np.random.default_rng(6), 0, tmp_path / "ds"
    for wait_for in (1, 40, 100):
        process = started(command(settings, folder))
        while process.poll() is None and len(list(folder.glob("*"))) < wait_for:
            time.sleep(0.001)
        time.sleep(random.random() * 0.02)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed > 0
    render_dataset(settings, folder)
    assert verify(folder) == []
    assert contents(folder) == contents(render_dataset(settings, tmp_path / "once", workers=1).path)


@posix
def test_ctrl_c_exits_with_130_leaves_no_scraps_and_can_be_gone_on_from(tmp_path: Path) -> None:
    settings = DatasetSettings("paper", count=400, seconds=4.0, shard_size=1)
    process = started(command(settings, tmp_path / "ds"))
    while process.poll() is None and not (tmp_path / "ds" / "levels-000002.npy").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    out, told = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert told.splitlines()[-1] == "inversynth: interrupted; the same command goes on from here"
    assert "Traceback" not in told
    assert (tmp_path / "ds" / PARTIAL).exists()
    assert list((tmp_path / "ds").glob(".*")) == []
    assert len(module.Manifest.read(tmp_path / "ds" / PARTIAL).files) >= 2


# -- where it can't be written ------------------------------------------------------------------


def limited(size: int) -> Callable[[], None]:
    """What a process does before it starts, so that no file of its may grow beyond `size` bytes."""
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@posix
def test_a_disk_that_takes_no_more_gives_one_line_and_nothing_half_written(whole: Path, tmp_path: Path) -> None:
    process = started(command(SMALL, tmp_path / "ds"), preexec_fn=limited(30_000))
    out, told = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert told.count("\n") == 1
    assert told.startswith(f"inversynth: error: cannot write {tmp_path / 'ds' / 'audio-00000'}")
    assert {file.name for file in (tmp_path / "ds").iterdir()} <= {PARTIAL, "levels-000006.npy", "audio-000006.npy"}
    render_dataset(SMALL, tmp_path / "ds")
    assert contents(tmp_path / "ds") == contents(whole)


@posix
def test_an_hdf5_file_that_does_not_fit_leaves_nothing(whole: Path, tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    file = tmp_path / "out.h5"
    process = started(command(SMALL, whole, "--hdf5", str(file)), preexec_fn=limited(100_000))
    told = process.communicate()[1]
    assert process.returncode == 1
    assert told.splitlines()[-1].startswith(f"inversynth: error: cannot write {file}")
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "below a file", "/proc/nowhere"])
def test_a_folder_that_cannot_be_made_gives_one_line(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if place.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("no /proc here")
    (tmp_path / "taken").write_text("")
    out = {"file": tmp_path / "taken", "below a file": tmp_path / "taken" / "ds"}.get(place, Path(place))
    assert main(command(SMALL, out)) == 1
    told = capsys.readouterr().err
    assert told.startswith("inversynth: error: ")
    assert str(out) in told
    assert told.count("\n") == 1


def test_more_than_the_disk_holds_is_refused_before_anything_is_rendered(tmp_path: Path) -> None:
    with pytest.raises(InversynthError, match=r"10{12} examples need 6.56e\+07 GB more in .* are free"):
        render_dataset(DatasetSettings(count=10**12), tmp_path / "ds")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--num-examples", "0"], "0 examples"),
        (["--num-examples", "-5"], "-5 examples"),
        (["--num-examples", "many"], "invalid int"),
        (["--length", "0"], "length of 0.0 s"),
        (["--length", "-1"], "length of -1.0 s"),
        (["--length", "nan"], "length of nan s"),
        (["--sample-rate", "8000"], "cutoff of 4000 Hz needs more than 8000 Hz"),
        (["--sample-rate", "10"], "sample rate 10 Hz"),
        (["--workers", "0"], "0 workers"),
        (["--workers", "-1"], "-1 workers"),
        (["--workers", "100000"], "100000 workers"),
        (["--hdf5", "manifest.json"], "not the name of an HDF5 file"),
        (["--shard-size", "0"], "shard size of 0"),
        (["--seed", "-1"], "seed -1"),
        (["--seed", str(2**64)], "seed 18446744073709551616"),
        (["--synth", "dx"], "invalid choice"),
        (["--out"], "expected one argument"),
    ],
)
def test_an_impossible_option_is_refused_in_one_line(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["render", "--out", str(tmp_path / "ds"), *words])
    except SystemExit as stop:
        code = int(stop.code or 0)
    error = capsys.readouterr().err
    assert code == 2
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "ds").exists()


# -- damage -------------------------------------------------------------------------------------


def flip(file: Path, at: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


@pytest.mark.parametrize("name", ["audio-000000.npy", "audio-000006.npy", "levels-000003.npy"])
@pytest.mark.parametrize("harm", [Path.unlink, cut])
def test_a_missing_or_truncated_file_is_named_when_the_dataset_is_opened(
    copy: Path, name: str, harm: Callable[[Path], None]
) -> None:
    harm(copy / name)
    with pytest.raises(UsageError, match=f"{name} (is missing|has [0-9]+ bytes, not [0-9]+)"):
        open_dataset(copy)


def test_verifying_names_every_damaged_file(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(copy) == []
    assert main(["data", "verify", str(copy)]) == 0
    capsys.readouterr()
    flip(copy / "audio-000001.npy")
    flip(copy / "audio-000002.npy", 5)
    (copy / "levels-000003.npy").unlink()
    cut(copy / "levels-000004.npy")
    damaged = ["audio-000001.npy", "audio-000002.npy", "levels-000003.npy", "levels-000004.npy"]
    assert [line.split()[0] for line in verify(copy)] == [str(copy / name) for name in damaged]
    assert main(["data", "verify", str(copy)]) == 1
    told = capsys.readouterr().err
    assert all(str(copy / name) in told for name in damaged)
    assert told.count("error:") == 4


def test_rendering_again_repairs_what_is_damaged_and_only_that(copy: Path, whole: Path) -> None:
    flip(copy / "audio-000001.npy")
    (copy / "levels-000003.npy").unlink()
    told: list[tuple[int, ...]] = []
    render_dataset(SMALL, copy, report=lambda *numbers: told.append(numbers))
    assert told[-1] == (50, 50, 16)
    assert contents(copy) == contents(whole)


def test_levels_that_are_not_of_the_space_are_named(copy: Path) -> None:
    file = copy / "levels-000002.npy"
    data = bytearray(file.read_bytes())
    data[-1] = 99
    file.write_bytes(data)
    with pytest.raises(UsageError, match=r"levels-000002\.npy is damaged \(gate_frequency: level 99"):
        open_dataset(copy).read([0])


def test_a_file_lost_after_opening_is_named(copy: Path) -> None:
    dataset = open_dataset(copy)
    (copy / "audio-000000.npy").unlink()
    with pytest.raises(UsageError, match=r"audio-000000\.npy can't be read"):
        dataset.read([0])


def test_what_is_no_dataset_is_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"manifest\.json is not there; it should be the manifest of a dataset"):
        open_dataset(tmp_path / "empty")
    (copy / MANIFEST).unlink()
    with pytest.raises(UsageError, match=r"manifest\.json is not there"):
        verify(copy)


def _without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest.pop(name)


@pytest.mark.parametrize(
    "harm",
    [
        *(_without(name) for name in ("format", "space", "fingerprint", "count", "files", "seconds")),
        lambda m: m.update(format="inversynth dataset 99"),
        lambda m: m.update(fingerprint="0" * 16),
        lambda m: m.update(count=-1),
        lambda m: m.update(count="50"),
        lambda m: m.update(shard_size=0),
        lambda m: m.update(sample_rate=None),
        lambda m: m.update(seconds="long"),
        lambda m: m.update(files=3),
        lambda m: m.update(surprise=1),
        lambda m: m["space"][0].update(levels="x"),
        lambda m: m["space"].pop(),
        lambda m: m.update(synth=[]),
        lambda m: m.update(seed=-1),
        lambda m: m.update(normalise="yes"),
        lambda m: m.update(inversynth=None),
        lambda m: m.update(seconds=float("nan")),
        lambda m: m.update(count=10**30),
        lambda m: m.update(files={}),
        lambda m: m["files"].update({"../../elsewhere": {}}),
    ],
)
def test_a_damaged_manifest_is_refused(copy: Path, harm: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    harm(manifest)
    (copy / MANIFEST).write_text(json.dumps(manifest))
    for use in (open_dataset, verify):
        with pytest.raises(UsageError, match=r"manifest\.json is (not|damaged)"):
            use(copy)


@pytest.mark.parametrize("text", ["", "[]", "3", '"text"', "{", "null", "\x00\x01"])
def test_a_manifest_that_is_no_manifest_is_refused(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    with pytest.raises(UsageError, match=r"manifest\.json is (not|damaged)"):
        open_dataset(copy)


# -- other forms --------------------------------------------------------------------------------


def test_wav_files_hold_the_sounds_as_they_are(whole: Path, tmp_path: Path) -> None:
    import soundfile

    dataset = open_dataset(whole)
    export_wav(dataset, tmp_path / "wav")
    assert [file.name for file in sorted((tmp_path / "wav").iterdir())] == [f"{i:06d}.wav" for i in range(50)]
    for i in (0, 49):
        sound, rate = soundfile.read(tmp_path / "wav" / f"{i:06d}.wav", dtype="float32")
        assert rate == 16384
        assert np.array_equal(sound, dataset.read([i])[0][0])


def test_an_hdf5_file_holds_everything(whole: Path, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    dataset = open_dataset(whole)
    export_hdf5(dataset, tmp_path / "ds.h5")
    with h5py.File(tmp_path / "ds.h5") as file:
        audio, levels = dataset.read(np.arange(50))
        assert np.array_equal(file["audio"][:], audio)
        assert np.array_equal(file["levels"][:], levels)
        assert (file["audio"].dtype, file["levels"].dtype) == (np.float32, np.uint8)
        assert ParamSpace.from_list(json.loads(file.attrs["space"])) == dataset.space
        assert (file.attrs["synth"], file.attrs["seed"], file.attrs["sample_rate"]) == ("paper", 9, 16384)
    assert [file.name for file in tmp_path.iterdir()] == ["ds.h5"]


def test_hdf5_without_h5py_is_refused_before_anything_is_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert main(command(SMALL, tmp_path / "ds", "--hdf5", str(tmp_path / "ds.h5"))) == 2
    assert "pip install h5py" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# -- the command line ---------------------------------------------------------------------------


def test_the_command_renders_what_the_function_renders(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("h5py")
    assert main(command(SMALL, tmp_path / "ds", "--wav", "--hdf5", str(tmp_path / "ds.h5"), "--workers", "1")) == 0
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'ds'}: 50 sounds of paper, seed 9, 0.1 s at 16384 Hz\n"
    assert "rendering: 50 of 50" in told.err
    made = contents(tmp_path / "ds")
    assert {name: made[name] for name in made if not name.startswith("wav/")} == contents(whole)
    assert len(list((tmp_path / "ds" / "wav").glob("*.wav"))) == 50
    assert (tmp_path / "ds.h5").is_file()
    assert main(command(changed(SMALL, seed=1), tmp_path / "ds")) == 2
    assert main(command(changed(SMALL, seed=1), tmp_path / "ds", "--overwrite", "--normalise")) == 0
    assert open_dataset(tmp_path / "ds").manifest.normalise


def test_the_defaults_of_the_command_are_those_of_the_settings(tmp_path: Path) -> None:
    assert main(["render", "--out", str(tmp_path / "ds"), "--synth", "sine"]) == 0
    assert open_dataset(tmp_path / "ds").manifest.count == DatasetSettings().count == 150


def test_info_says_what_a_dataset_holds(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(whole)]) == 0
    told = capsys.readouterr().out
    assert all(word in told for word in ("paper", "50 in 7 shards", "0.1 s at 16384 Hz", "seed         9"))
    assert all(param.name in told for param in synth("paper").space)
    assert main(["data", "info", str(whole / "nowhere")]) == 2


# -- training on a dataset ----------------------------------------------------------------------


def sounds(folder: Path, **fields: Any) -> DatasetSounds:
    settings = dataclasses.replace(Settings(data=str(folder), batch_size=7, validation=10, seed=3), **fields)
    return DatasetSounds(open_dataset(folder), synth(settings.synth), settings)


def test_the_last_items_are_the_validation_set(whole: Path) -> None:
    source = sounds(whole)
    audio, levels = open_dataset(whole).read(np.arange(40, 50))
    assert np.array_equal(source.validation[0], audio)
    assert np.array_equal(source.validation[1], levels)
    assert source.audio == open_dataset(whole).audio
    assert source.space == synth("paper").space


@pytest.mark.parametrize("batch_size", [8, 7])
def test_an_epoch_holds_every_training_item_once_in_another_order_each_time(whole: Path, batch_size: int) -> None:
    dataset = open_dataset(whole)
    batches = sounds(whole, batch_size=batch_size).batches(0)
    rows = [tuple(row) for row in dataset.levels[:40].tolist()]
    seen: list[int] = []
    while len(seen) < 120:
        (audio, levels), cursor = next(batches)
        seen += [rows.index(tuple(row)) for row in levels.tolist()]
        assert np.array_equal(audio, dataset.read(seen[-batch_size:])[0])
        assert cursor == len(seen)
    epochs = [seen[:40], seen[40:80], seen[80:120]]
    assert [sorted(epoch) for epoch in epochs] == [list(range(40))] * 3
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_batches_go_on_from_any_cursor(whole: Path) -> None:
    source, cursor = sounds(whole), 0
    straight = source.batches(0)
    for _ in range(15):
        expected, following = next(straight)
        (audio, levels), after = next(sounds(whole).batches(cursor))
        assert np.array_equal(audio, expected[0])
        assert np.array_equal(levels, expected[1])
        assert after == following == cursor + 7
        cursor = after


def test_the_order_is_of_the_seed(whole: Path) -> None:
    first, other = (next(sounds(whole, seed=seed).batches(0))[0][1] for seed in (3, 4))
    assert not np.array_equal(first, other)


def two_levels() -> Synth:
    """A synth of so few patches (32, 24 to the ear) that a dataset repeats them; v is inert where B is 0."""
    space = ParamSpace(
        [
            Param("v", "v", 100.0, 400.0, levels=2, inert_when=("B", 0)),
            Param("B", "B", 0.5, 1.0, levels=2),
            Param("f", "f", 800.0, 1600.0, levels=4),
            Param("spare", "s", 0.5, 1.0, levels=2),
        ]
    )
    return dataclasses.replace(SYNTHS["sine"], space=space)


def test_no_training_item_sounds_the_patch_of_a_validation_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = two_levels()
    monkeypatch.setitem(SYNTHS, "sine", tiny)
    render_dataset(DatasetSettings("sine", 200, seconds=0.01), tmp_path / "ds")
    source = sounds(tmp_path / "ds", synth="sine", validation=6)
    held = {tuple(row) for row in tiny.space.canonical(source.validation[1]).tolist()}
    batches, seen = source.batches(0), set()
    for _ in range(100):
        seen |= {tuple(row) for row in tiny.space.canonical(next(batches)[0][1]).tolist()}
    assert seen
    assert held.isdisjoint(seen)
    assert len(seen | held) == 24  # nothing else is left out


def test_a_dataset_too_small_for_its_validation_set_and_a_batch_is_refused(whole: Path) -> None:
    assert sounds(whole, validation=43).validation[0].shape == (43, 1638)
    for validation in (44, 50, 60, 2048):
        with pytest.raises(UsageError, match=rf"too small: of its 50 sounds, a validation set of {validation} leaves"):
            sounds(whole, validation=validation)


def test_a_dataset_of_another_synth_or_space_is_refused(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MismatchError, match="holds sounds of paper, not of sine"):
        sounds(whole, synth="sine")
    paper = synth("paper")
    space = ParamSpace([dataclasses.replace(p, levels=8) if p.name == "decay" else p for p in paper.space])
    monkeypatch.setitem(SYNTHS, "paper", dataclasses.replace(paper, space=space))
    with pytest.raises(MismatchError, match="decay: levels is 16, not 8"):
        sounds(whole)


def test_an_open_dataset_can_be_shared(whole: Path) -> None:
    dataset = open_dataset(whole)
    assert isinstance(dataset, Dataset)
    audio, _ = dataset.read([0])
    audio[:] = 0  # a copy: the file is not touched
    assert dataset.read([0])[0].any()
    assert verify(whole) == []
