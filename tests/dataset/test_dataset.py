"""Datasets: the same bytes however they came about, and nothing read that isn't whole."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
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

from inversynth import _native, synths
from inversynth.cli import main
from inversynth.dataset import (
    MANIFEST,
    PARTIAL,
    Dataset,
    DatasetSettings,
    Manifest,
    open_dataset,
    render_dataset,
    rendering,
    verify,
)
from inversynth.dataset.samples import restore, stored
from inversynth.dataset.stores import store
from inversynth.errors import InversynthError, MismatchError, UsageError
from inversynth.spec import Note, Param, ParamSpace
from inversynth.synths import Synth, sampling
from inversynth.system.files import locked
from inversynth.system.simd import simd_target
from inversynth.training.settings import Settings
from inversynth.training.sources import DatasetSounds

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals and limits")
SMALL = DatasetSettings(synths.load("paper"), count=50, seed=9, seconds=0.1, shard_size=8)
SMALL_INT16 = dataclasses.replace(SMALL, dtype="int16")
KILLS = int(os.environ.get("INVERSYNTH_KILLS", "10"))
DTYPES = ["float32", "float16", "int16"]


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
    """A report that behaves as Ctrl-C would once a number of shards are done."""
    seen = []

    def report(done: int, total: int, rendered: int) -> None:
        seen.append(done)
        if len(seen) == shards:
            raise KeyboardInterrupt

    return report


def command(settings: DatasetSettings, out: Path, *more: str) -> list[str]:
    words = [
        "render",
        "--synth",
        settings.synth.name,
        "--num-examples",
        str(settings.count),
        "--seed",
        str(settings.seed),
    ]
    words += ["--length", str(settings.seconds), "--shard-size", str(settings.shard_size), "--dtype", settings.dtype]
    words += ["--out", str(out)]
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


@pytest.fixture(scope="module")
def whole_int16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished dataset of `SMALL_INT16`, of three files a shard; not to be written to."""
    return render_dataset(SMALL_INT16, tmp_path_factory.mktemp("whole") / "int16").path


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "copy")


@pytest.fixture
def copy_int16(whole_int16: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole_int16, tmp_path / "int16")


# -- what an item is ----------------------------------------------------------------------------


def test_item_i_is_the_draw_of_seed_and_i_and_its_sound(whole: Path) -> None:
    dataset, paper = open_dataset(whole), synths.load("paper")
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
    monkeypatch.setattr(rendering, "BLOCK_BYTES", 1)
    assert contents(render_dataset(SMALL, tmp_path / "ds").path) == contents(whole)


TARGETS = [name for name, _, _ in _native.simd_targets()]
PATHS = pytest.mark.parametrize("path", range(len(TARGETS)), ids=TARGETS)


@PATHS
def test_halves_are_those_of_ieee_754(path: int) -> None:
    """Against NumPy's own: any bits, ties, what is too small to be normal, and what is too large for a half."""
    ranges = [np.arange(4096) * 2.0**-26, 65504 + np.arange(4096) / 100, 1 + np.arange(4096) * 2.0**-13]
    bits = np.random.default_rng(0).integers(0, 2**32, 4096, np.uint32).view(np.float32)
    audio = np.array([*ranges, np.where(np.isnan(bits), np.inf, bits)], np.float32)
    audio = np.concatenate([audio, -audio])
    halves = np.empty(audio.shape, np.uint16)
    _native.to_half(audio, halves, path)
    with np.errstate(over="ignore"):
        assert np.array_equal(halves, audio.astype(np.float16).view(np.uint16))


@PATHS
@pytest.mark.parametrize("samples", [1, 7, 4099])
def test_sixteen_bits_are_steps_of_the_peak(path: int, samples: int) -> None:
    audio = np.random.default_rng(0).normal(0, 0.3, (5, samples)).astype(np.float32)
    audio[1], audio[2] = 0, audio[2] * 1e-30
    steps, peaks = np.empty(audio.shape, np.int16), np.empty(5, np.float32)
    _native.to_int16(audio, steps, peaks, path)
    assert np.array_equal(peaks, np.abs(audio).max(axis=1))
    scaled = audio / np.where(peaks > 0, peaks, 1)[:, None].astype(np.float32)
    assert np.array_equal(steps, np.rint(scaled * np.float32(32767)))
    assert np.abs(steps).max(axis=1).tolist() == [32767, 0, 32767, 32767, 32767]


def test_the_shards_are_plain_npy_files(whole: Path) -> None:
    audio, levels = np.load(whole / "audio-000006.npy"), np.load(whole / "levels-000000.npy")
    assert (whole / "levels-000000.npy").stat().st_size == 128 + 8 * 23
    assert (audio.shape, audio.dtype) == ((2, 1638), np.float32)
    assert (levels.shape, levels.dtype) == ((8, 23), np.uint8)
    assert np.array_equal(levels, sampling.draw(synths.load("paper").space, 9, 0, 8))


def test_more_than_256_levels_take_two_bytes(tmp_path: Path) -> None:
    sine = synths.load("sine")
    fine = ParamSpace([dataclasses.replace(param, levels=1000) for param in sine.space])
    dataset = render_dataset(DatasetSettings(dataclasses.replace(sine, space=fine), 20, seconds=0.01), tmp_path / "ds")
    assert np.load(tmp_path / "ds" / "levels-000000.npy").dtype == np.uint16
    assert np.array_equal(dataset.levels, sampling.draw(fine, 0, 0, 20))
    assert dataset.levels.max() > 255


def test_the_manifest_says_all_there_is_to_say(whole: Path) -> None:
    manifest = json.loads((whole / MANIFEST).read_text())
    space = synths.load("paper").space
    assert ParamSpace.from_data(manifest["space"]) == space
    assert manifest["fingerprint"] == space.fingerprint
    given = {"synth": "paper", "count": 50, "seed": 9, "seconds": 0.1, "sample_rate": 16384, "shard_size": 8}
    given |= {"normalise": False, "dtype": "float32", "arithmetic": simd_target().arithmetic}
    given |= {"renderer": "1", "prior": "uniform", "families": False, "fallible": False}
    given |= {"note": {"key": 69.0, "velocity": 100.0, "hold_s": 0.75}, "format": "inversynth dataset 3"}
    assert manifest.items() >= given.items()
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


def test_float16_items_are_the_sounds_rounded(whole: Path, tmp_path: Path) -> None:
    dataset = render_dataset(changed(SMALL, dtype="float16"), tmp_path / "ds")
    exact = open_dataset(whole).read(np.arange(50))[0]
    assert np.load(tmp_path / "ds" / "audio-000000.npy").dtype == np.float16
    audio = dataset.read(np.arange(50))[0]
    assert audio.dtype == np.float32
    assert np.array_equal(audio, exact.astype(np.float16).astype(np.float32))


def test_every_float16_is_read_as_what_it_is() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    read = np.empty(len(finite), np.float32)
    restore(finite, None, read)
    assert read.tobytes() == finite.astype(np.float32).tobytes()


def test_int16_items_are_within_half_a_step_of_their_own_peak(whole: Path, whole_int16: Path) -> None:
    exact = open_dataset(whole).read(np.arange(50))[0]
    peaks = np.abs(exact).max(axis=1)
    assert np.array_equal(np.load(whole_int16 / "peaks-000006.npy"), peaks[48:])
    steps = np.load(whole_int16 / "audio-000006.npy")
    assert (steps.dtype, steps.shape) == (np.int16, (2, 1638))
    assert np.abs(steps).max(axis=1).tolist() == [32767, 32767]
    audio, levels = open_dataset(whole_int16).read(np.arange(50))
    assert audio[48:] == pytest.approx(steps * (peaks[48:, None] / 32767), rel=1e-6)
    assert audio.dtype == np.float32
    wrong_steps = np.abs(audio.astype(float) - exact) / (peaks[:, None] / 32767)
    assert 0.4 < wrong_steps.max() < 0.51  # the hundredth of a step more is the rounding of float32
    assert np.array_equal(levels, open_dataset(whole).levels)


@pytest.mark.parametrize("dtype", DTYPES)
def test_silence_stays_silent_and_the_faintest_sound_is_kept(dtype: str) -> None:
    audio = np.array([[0, 0, 0], [0, -0.5, 0.25], [2e-6, 0, -1e-6]], np.float32)
    for normalise, expected in ((False, audio.copy()), (True, [[0, 0, 0], [0, -1, 0.5], [1, 0, -0.5]])):
        data, peaks = stored(audio.copy(), dtype, normalise)
        read = np.empty((3, 3), np.float32)
        for i in range(3):
            restore(data[i], None if peaks is None else peaks[i], read[i])
        exact = np.array(expected)
        assert np.array_equal(read == 0, exact == 0)
        assert read == pytest.approx(exact, rel=0.03 if dtype == "float16" and not normalise else 1e-4)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalised_items_of_any_dtype_peak_at_one(dtype: str, whole: Path, tmp_path: Path) -> None:
    dataset = render_dataset(changed(SMALL, normalise=True, dtype=dtype), tmp_path / "ds")
    exact = open_dataset(whole).read(np.arange(50))[0]
    audio = dataset.read(np.arange(50))[0]
    assert np.abs(audio).max(axis=1) == pytest.approx(np.ones(50))
    assert audio == pytest.approx(exact / np.abs(exact).max(axis=1, keepdims=True), abs=6e-4)


@pytest.mark.parametrize(("dtype", "bytes_a_sample"), [("float32", 4), ("float16", 2), ("int16", 2)])
def test_a_shard_is_about_32_mb_unless_it_is_said_otherwise(dtype: str, bytes_a_sample: int) -> None:
    settings = DatasetSettings(synths.load(), dtype=dtype)
    assert settings.items_a_shard * bytes_a_sample * 16384 == 1 << 25
    assert DatasetSettings(synths.load(), seconds=3000.0).items_a_shard == 1
    assert changed(settings, shard_size=7).items_a_shard == 7


def test_other_rates_and_lengths_are_rendered_as_asked(tmp_path: Path) -> None:
    dataset = render_dataset(DatasetSettings(synths.load("paper"), 3, 1, 0.35, 44100), tmp_path / "ds")
    paper = synths.load("paper")
    assert dataset.audio.samples == 15435
    values = paper.space.values_of_levels(dataset.levels)
    assert np.array_equal(dataset.read([0, 1, 2])[0], paper.render(values, 44100, 0.35))


def test_items_are_read_in_any_order_and_number(whole: Path) -> None:
    dataset = open_dataset(whole)
    audio, levels = dataset.read(np.arange(50))
    order = [49, 0, 7, 8, 7, 23]
    assert np.array_equal(dataset.read(order)[0], audio[order])
    assert np.array_equal(open_dataset(whole).read(order)[0], audio[order])
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
    reports: list[tuple[int, ...]] = []
    render_dataset(SMALL, folder, report=lambda *numbers: reports.append(numbers))
    assert reports[-1][:2] == (50, 50)
    assert 0 < reports[-1][2] <= 50 - 8 * shards
    assert contents(folder) == contents(whole)


def test_a_finished_dataset_is_left_as_it_is(copy: Path) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in copy.glob("*.npy")}
    reports: list[tuple[int, ...]] = []
    render_dataset(SMALL, copy, report=lambda *numbers: reports.append(numbers))
    assert reports[-1] == (50, 50, 0)
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
    ("other", "message"),
    [
        ({"seed": 10}, "seed 9, not 10"),
        ({"synth": synths.load("sine")}, "synth paper, not sine"),
        ({"seconds": 0.2}, "seconds 0.1, not 0.2"),
        ({"sample_rate": 22050}, "sample_rate 16384, not 22050"),
        ({"normalise": True}, "normalise False, not True"),
        ({"shard_size": 9}, "shard_size 8, not 9"),
        ({"dtype": "int16"}, "dtype float32, not int16"),
        ({"count": 49}, "50 examples, more than 49"),
        ({"seed": 1, "seconds": 1.0}, "seed 9, not 1; seconds 0.1, not 1.0"),
    ],
)
@pytest.mark.parametrize("state", ["finished", "interrupted"])
def test_other_settings_are_refused_by_name(copy: Path, other: dict[str, Any], message: str, state: str) -> None:
    if state == "interrupted":
        (copy / MANIFEST).rename(copy / PARTIAL)
    before = contents(copy)
    with pytest.raises(MismatchError) as error:
        render_dataset(changed(SMALL, **other), copy)
    assert message in str(error.value)
    assert contents(copy) == before


def test_a_synth_whose_parameters_changed_is_refused_by_their_names(copy: Path) -> None:
    paper = synths.load("paper")
    space = ParamSpace([dataclasses.replace(p, high=5000.0) if p.name == "cutoff" else p for p in paper.space])
    with pytest.raises(MismatchError, match=r"cutoff: high is 4000\.0, not 5000\.0"):
        render_dataset(changed(SMALL, synth=dataclasses.replace(paper, space=space)), copy)


class Otherwise:
    """A renderer that says other things of itself."""

    def __init__(self, renderer: Any, **says: Any) -> None:
        self._renderer, self._says = renderer, says

    def __getattr__(self, name: str) -> Any:
        return self._says[name] if name in self._says else getattr(self._renderer, name)

    def __call__(self, *args: Any, **more: Any) -> Any:
        return self._renderer(*args, **more)


def saying(settings: DatasetSettings, **says: Any) -> DatasetSettings:
    renderer: Any = Otherwise(settings.synth.renderer, **says)
    return changed(settings, synth=dataclasses.replace(settings.synth, renderer=renderer))


def test_a_dataset_begun_on_a_processor_of_other_arithmetic_is_refused(copy: Path) -> None:
    ours = simd_target().arithmetic
    with pytest.raises(MismatchError, match=f"arithmetic {ours}, not abacus; .* another kind of processor"):
        render_dataset(saying(SMALL, arithmetic="abacus"), copy)
    assert len(open_dataset(copy)) == 50


def test_a_dataset_of_another_version_of_the_renderer_or_the_prior_is_refused(copy: Path) -> None:
    with pytest.raises(MismatchError, match="renderer 1, not 2;"):
        render_dataset(saying(SMALL, version="2"), copy)
    synth = dataclasses.replace(SMALL.synth, prior=sampling.Uniform("narrow"))
    with pytest.raises(MismatchError, match="prior uniform, not narrow;"):
        render_dataset(changed(SMALL, synth=synth), copy)
    synth = dataclasses.replace(SMALL.synth, note=Note(57, 64))
    with pytest.raises(MismatchError, match=r"held 0\.75 s, not key 57, velocity 64, held to the end;"):
        render_dataset(changed(SMALL, synth=synth), copy)
    assert len(open_dataset(copy)) == 50


def test_two_renderings_into_one_folder_at_a_time_are_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(copy)
    with locked(copy):
        assert main(command(SMALL, copy, "--overwrite")) == 1
        output = capsys.readouterr().err
        assert contents(copy) == before
    assert f"error: another process is at work in {copy}; wait until it is done" in output
    assert main(command(SMALL, copy)) == 0


@posix
def test_a_killed_rendering_keeps_no_lock(tmp_path: Path) -> None:
    settings = DatasetSettings(synths.load("paper"), count=10_000, seconds=0.1, shard_size=1)
    process = started(command(settings, tmp_path / "ds"))
    while process.poll() is None and not (tmp_path / "ds" / PARTIAL).exists():
        time.sleep(0.001)
    with pytest.raises(InversynthError, match="another process is at work"):
        render_dataset(settings, tmp_path / "ds")
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(MismatchError, match="seed 0, not 1"):
        render_dataset(changed(settings, seed=1), tmp_path / "ds")


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


EAGER = (
    "import sys; from inversynth.dataset import rendering; rendering.SAVE_S = 0; rendering.SAVE_SHARE = 1; "
    "from inversynth.cli import main; sys.exit(main(sys.argv[1:]))"
)
"""The program, writing its partial manifest whenever it can: one that is killed then keeps what it has done."""


@posix
def test_a_rendering_killed_at_any_moment_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    settings = DatasetSettings(synths.load("paper"), count=300, seed=4, seconds=0.1, shard_size=2, dtype="int16")
    random, killed, began = np.random.default_rng(6), 0, time.monotonic()

    def rendering_into(folder: Path) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", EAGER, *command(settings, folder)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    once = rendering_into(tmp_path / "once")
    assert "error" not in once.communicate()[1]
    longest_s, undisturbed = time.monotonic() - began, contents(tmp_path / "once")
    assert len(undisturbed) == 3 * 150 + 1
    while killed < KILLS:
        process = rendering_into(tmp_path / "ds")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0, longest_s))
        process.kill()
        output = process.communicate()[1]
        assert process.returncode in (0, -signal.SIGKILL), output
        killed += process.returncode != 0
        if process.returncode == 0:
            assert contents(tmp_path / "ds") == undisturbed
            shutil.rmtree(tmp_path / "ds")
    render_dataset(settings, tmp_path / "ds")
    assert verify(tmp_path / "ds") == []
    assert contents(tmp_path / "ds") == undisturbed


@posix
def test_ctrl_c_exits_with_130_leaves_no_scraps_and_can_be_gone_on_from(tmp_path: Path) -> None:
    settings = DatasetSettings(synths.load("paper"), count=2000, seconds=4.0, shard_size=1)
    process = started(command(settings, tmp_path / "ds"))
    while process.poll() is None and not (tmp_path / "ds" / "levels-000020.npy").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    out, output = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert output.splitlines()[-1] == "inversynth: interrupted; the same command goes on from here"
    assert "Traceback" not in output
    assert (tmp_path / "ds" / PARTIAL).exists()
    assert list((tmp_path / "ds").glob(".*")) == []
    assert len(Manifest.read(store(tmp_path / "ds"), PARTIAL).files) >= 2


# -- where it can't be written ------------------------------------------------------------------


def limited(size: int) -> Callable[[], None]:
    """What a process does before it starts, so that no file of its may grow beyond `size` bytes."""
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@posix
def test_a_disk_that_takes_no_more_gives_one_line_and_nothing_half_written(whole: Path, tmp_path: Path) -> None:
    process = started(command(SMALL, tmp_path / "ds"), preexec_fn=limited(30_000))
    out, output = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert output.count("\n") == 1
    assert output.startswith(f"inversynth: error: cannot write {tmp_path / 'ds' / 'audio-00000'}")
    assert {file.name for file in (tmp_path / "ds").iterdir()} <= {PARTIAL, "levels-000006.npy", "audio-000006.npy"}
    render_dataset(SMALL, tmp_path / "ds")
    assert contents(tmp_path / "ds") == contents(whole)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@posix
def test_a_disk_that_fills_up_stops_it_cleanly_and_with_room_made_it_goes_on(
    whole_int16: Path, small_disk: Path
) -> None:
    folder, ballast = small_disk / "ds", small_disk / "ballast"

    def fill(done: int, total: int, rendered: int) -> None:
        with contextlib.suppress(OSError), open(ballast, "ab", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    with pytest.raises(InversynthError, match=r"cannot write .*: the disk is full; make room and try again"):
        render_dataset(SMALL_INT16, folder, workers=2, report=fill)
    assert (folder / PARTIAL).exists()
    assert list(folder.glob(".*")) == []
    with pytest.raises(UsageError, match="not finished"):
        open_dataset(folder)
    with pytest.raises(InversynthError, match=r"50 examples need .* GB more in .* where [\d.e-]+ GB are free"):
        render_dataset(SMALL_INT16, folder)
    ballast.unlink()
    render_dataset(SMALL_INT16, folder)
    assert contents(folder) == contents(whole_int16)


@pytest.mark.parametrize("place", ["file", "below a file", "/proc/nowhere"])
def test_a_folder_that_cannot_be_made_gives_one_line(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if place.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("no /proc here")
    (tmp_path / "taken").write_text("")
    out = {"file": tmp_path / "taken", "below a file": tmp_path / "taken" / "ds"}.get(place, Path(place))
    assert main(command(SMALL, out)) == 1
    output = capsys.readouterr().err
    assert output.startswith("inversynth: error: ")
    assert str(out) in output
    assert output.count("\n") == 1


def test_more_than_the_disk_holds_is_refused_before_anything_is_rendered(tmp_path: Path) -> None:
    with pytest.raises(InversynthError, match=r"10{12} examples need 6.56e\+07 GB more in .* are free"):
        render_dataset(DatasetSettings(synths.load(), count=10**12), tmp_path / "ds")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num-examples", "0"], "0 examples"),
        (["--num-examples", "-5"], "-5 examples"),
        (["--num-examples", "many"], "invalid int"),
        (["--length", "0"], "length of 0.0 s"),
        (["--length", "-1"], "length of -1.0 s"),
        (["--length", "nan"], "length of nan s"),
        (["--sample-rate", "8000"], "paper needs more than 8000 Hz"),
        (["--sample-rate", "10"], "sample rate 10 Hz"),
        (["--workers", "0"], "0 workers"),
        (["--workers", "-1"], "-1 workers"),
        (["--workers", "100000"], "100000 workers"),
        (["--hdf5", "manifest.json"], "not the name of an HDF5 file"),
        (["--shard-size", "0"], "shard size of 0"),
        (["--dtype", "int8"], "invalid choice"),
        (["--seed", "-1"], "seed -1"),
        (["--seed", str(2**64)], "seed 18446744073709551616"),
        (["--synth", "dx"], "no synth 'dx'"),
        (["--out"], "expected one argument"),
    ],
)
def test_an_impossible_option_is_refused_in_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["render", "--out", str(tmp_path / "ds"), *words])
    except SystemExit as stop:
        code = int(stop.code or 0)
    error = capsys.readouterr().err
    assert code == 2
    assert message in error
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
    output = capsys.readouterr().err
    assert all(str(copy / name) in output for name in damaged)
    assert output.count("error:") == 4


@pytest.mark.parametrize("name", ["audio-000001.npy", "levels-000006.npy", "peaks-000000.npy"])
@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
def test_harm_to_any_file_is_named_keeps_training_away_and_is_repaired(
    copy_int16: Path, whole_int16: Path, name: str, harm: Callable[[Path], None]
) -> None:
    harm(copy_int16 / name)
    assert [line.split()[0] for line in verify(copy_int16)] == [str(copy_int16 / name)]
    with pytest.raises(UsageError, match=name):
        open_dataset(copy_int16).read(np.arange(50))
    with pytest.raises(UsageError, match=name):
        list(itertools.islice(sounds(copy_int16).batches(0), 6))
    reports: list[tuple[int, ...]] = []
    render_dataset(SMALL_INT16, copy_int16, report=lambda *numbers: reports.append(numbers))
    assert reports[-1] == (50, 50, 2 if "000006" in name else 8)
    assert contents(copy_int16) == contents(whole_int16)


def test_a_flipped_byte_is_found_before_anything_of_its_shard_is_used(copy: Path) -> None:
    flip(copy / "audio-000001.npy")
    dataset = open_dataset(copy)
    assert dataset.read([0, 49])[0].shape == (2, 1638)
    for _ in range(2):
        with pytest.raises(UsageError, match=r"audio-000001\.npy is damaged: its SHA-256 is not the manifest's"):
            dataset.read([0, 8])


@pytest.mark.parametrize("manifest", [MANIFEST, PARTIAL])
@pytest.mark.parametrize("harm", [flip, cut, Path.unlink])
def test_a_lost_or_damaged_manifest_is_named_and_made_again_with_all_it_held(
    copy_int16: Path, whole_int16: Path, manifest: str, harm: Callable[[Path], None]
) -> None:
    (copy_int16 / MANIFEST).rename(copy_int16 / manifest)
    harm(copy_int16 / manifest)
    flip(copy_int16 / "audio-000002.npy")
    (copy_int16 / "levels-000077.npy").write_bytes(b"of a longer one")
    for use in (open_dataset, verify):
        with pytest.raises(UsageError, match=r"manifest\.json is|not finished"):
            use(copy_int16)
    render_dataset(SMALL_INT16, copy_int16)
    assert contents(copy_int16) == contents(whole_int16)


def test_a_manifest_that_is_missing_beside_shards_is_named_by_the_commands(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / MANIFEST).unlink()
    for words in (["data", "verify"], ["data", "info"], ["train", "--out", str(copy.parent / "run"), "--data"]):
        assert main([*words, str(copy)]) == 2
        output = capsys.readouterr().err
        assert f"{copy / MANIFEST} is missing, though shards are there; render it again with its own command" in output


def test_no_byte_of_a_manifest_changes_unnoticed(copy: Path) -> None:
    size = (copy / MANIFEST).stat().st_size
    for at in np.random.default_rng(1).integers(0, size, 200).tolist():
        flip(copy / MANIFEST, at)
        with pytest.raises(UsageError, match=r"manifest\.json is (not|damaged)"):
            verify(copy)
        flip(copy / MANIFEST, at)
    assert verify(copy) == []


def test_a_manifest_of_another_version_is_refused_and_left_alone(copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST).read_text())
    del manifest["sha256"]
    (copy / MANIFEST).write_text(json.dumps(manifest | {"format": "inversynth dataset 1"}))
    before = contents(copy)
    for use in (open_dataset, verify, lambda folder: render_dataset(SMALL, folder)):
        with pytest.raises(UsageError, match="is not of this version of the program but of 'inversynth dataset 1'"):
            use(copy)
    assert contents(copy) == before


def test_rendering_again_repairs_what_is_damaged_and_only_that(copy: Path, whole: Path) -> None:
    flip(copy / "audio-000001.npy")
    (copy / "levels-000003.npy").unlink()
    reports: list[tuple[int, ...]] = []
    render_dataset(SMALL, copy, report=lambda *numbers: reports.append(numbers))
    assert reports[-1] == (50, 50, 16)
    assert contents(copy) == contents(whole)


def test_levels_that_are_not_of_the_space_are_named(copy: Path) -> None:
    file = copy / "levels-000002.npy"
    data = bytearray(file.read_bytes())
    data[-1] = 99
    file.write_bytes(data)
    with pytest.raises(UsageError, match=r"levels-000002\.npy is damaged"):
        _ = open_dataset(copy).levels


def test_a_file_lost_after_opening_is_named(copy: Path) -> None:
    dataset = open_dataset(copy)
    (copy / "audio-000000.npy").unlink()
    with pytest.raises(UsageError, match=r"audio-000000\.npy is missing"):
        dataset.read([0])


def test_what_is_no_dataset_is_refused(copy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        open_dataset(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"manifest\.json is not there; it should be the manifest of a dataset"):
        open_dataset(tmp_path / "empty")


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
        lambda m: m.update(renderer=None),
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


# -- the command line ---------------------------------------------------------------------------


def test_the_command_renders_what_the_function_renders(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(SMALL, tmp_path / "ds", "--workers", "1")) == 0
    output = capsys.readouterr()
    assert output.out == f"{tmp_path / 'ds'}: 50 sounds of paper, seed 9, 0.1 s at 16384 Hz\n"
    assert "rendering: 50 of 50" in output.err
    assert contents(tmp_path / "ds") == contents(whole)
    assert main(command(changed(SMALL, seed=1), tmp_path / "ds")) == 2
    assert main(command(changed(SMALL, seed=1), tmp_path / "ds", "--overwrite", "--normalise")) == 0
    assert open_dataset(tmp_path / "ds").manifest.normalise


def test_the_defaults_of_the_command_are_those_of_the_settings(tmp_path: Path) -> None:
    assert main(["render", "--out", str(tmp_path / "ds"), "--synth", "sine"]) == 0
    assert open_dataset(tmp_path / "ds").manifest.count == DatasetSettings(synths.load()).count == 150


def test_info_says_what_a_dataset_holds(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(whole)]) == 0
    output = capsys.readouterr().out
    assert all(word in output for word in ("paper", "50 in 7 shards", "0.1 s at 16384 Hz", "seed         9"))
    assert all(param.name in output for param in synths.load("paper").space)
    assert main(["data", "info", str(whole / "nowhere")]) == 2


# -- training on a dataset ----------------------------------------------------------------------


def sounds(folder: Path, synth: Synth = SMALL.synth, **fields: Any) -> DatasetSounds:
    settings = Settings(synth.name, data=str(folder), batch_size=7, validation=10, seed=3)
    return DatasetSounds(open_dataset(folder), synth, dataclasses.replace(settings, **fields))


def test_the_last_items_are_the_validation_set(whole: Path) -> None:
    source = sounds(whole)
    audio, levels = open_dataset(whole).read(np.arange(40, 50))
    assert np.array_equal(source.validation[0], audio)
    assert np.array_equal(source.validation[1], levels)
    assert source.audio == open_dataset(whole).audio
    assert source.space == synths.load("paper").space


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
    return dataclasses.replace(synths.load("sine"), space=space)


def test_no_training_item_sounds_the_patch_of_a_validation_item(tmp_path: Path) -> None:
    tiny = two_levels()
    render_dataset(DatasetSettings(tiny, 200, seconds=0.01), tmp_path / "ds")
    source = sounds(tmp_path / "ds", tiny, validation=6)
    held = {tuple(row) for row in tiny.space.canonical(source.validation[1]).tolist()}
    batches, seen = source.batches(0), set()
    for _ in range(100):
        seen |= {tuple(row) for row in tiny.space.canonical(next(batches)[0][1]).tolist()}
    assert seen
    assert held.isdisjoint(seen)
    assert len(seen | held) == 24  # nothing else is left out


def test_a_dataset_too_small_for_its_validation_set_and_a_batch_is_refused(whole: Path) -> None:
    assert np.shape(sounds(whole, validation=43).validation[0]) == (43, 1638)
    for validation in (44, 50, 60, 2048):
        with pytest.raises(UsageError, match=rf"too small: of its 50 sounds, a validation set of {validation} leaves"):
            sounds(whole, validation=validation)


def test_a_dataset_of_another_synth_or_space_is_refused(whole: Path) -> None:
    with pytest.raises(MismatchError, match="holds sounds of paper, not of sine"):
        sounds(whole, synths.load("sine"))
    paper = synths.load("paper")
    space = ParamSpace([dataclasses.replace(p, levels=8) if p.name == "decay" else p for p in paper.space])
    with pytest.raises(MismatchError, match="decay: levels is 16, not 8"):
        sounds(whole, dataclasses.replace(paper, space=space))


def test_an_open_dataset_can_be_shared(whole: Path) -> None:
    dataset = open_dataset(whole)
    assert isinstance(dataset, Dataset)
    audio, _ = dataset.read([0])
    audio[:] = 0  # a copy: the file is not touched
    assert dataset.read([0])[0].any()
    assert verify(whole) == []
