"""The C of ext/ by itself: no compiler warns, no sanitizer finds a fault, other processors come to the same samples."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inversynth import _native, synths
from inversynth.audio import resampling
from inversynth.predict import onnx_file
from inversynth.predict import shipped as models
from inversynth.spec import Note
from inversynth.synths import sampling
from inversynth.synths.paper import inference as compiled

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "ext").glob("*/*.c"))
STRICT = ("-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wvla", f"-I{ROOT / 'ext'}")
PLAIN = ("-O2", "-ffp-contract=off")
SANITIZERS = ("-fsanitize=address,undefined,float-divide-by-zero", "-fno-sanitize-recover=all")
SANITIZED = ("-g", "-O1", "-ffp-contract=off", *SANITIZERS)
X86 = platform.machine() in ("x86_64", "AMD64")
TARGETS = {name: (number, arithmetic) for number, (name, _, arithmetic) in enumerate(_native.simd_targets())}


def needs(*programs: str) -> pytest.MarkDecorator:
    missing = [program for program in programs if not shutil.which(program)]
    return pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} not installed")


compilers = pytest.mark.parametrize("compiler", [pytest.param(name, marks=needs(name)) for name in ("gcc", "clang")])


def require(compiler: str, folder: Path, *options: str) -> None:
    """Skips where the compiler lacks these options."""
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    if subprocess.run([compiler, *options, str(probe), "-o", str(folder / "probe")], capture_output=True).returncode:
        pytest.skip(f"{compiler} can't do {' '.join(options)} here")


def built(compiler: str, folder: Path, *options: str, source: str = "engine_driver.c") -> Path:
    """A driver from this folder with all of ext/."""
    driver, sources = folder / "driver", [*SOURCES, ROOT / "tests" / "ext" / source]
    objects = [str(folder / f"{source.stem}.o") for source in sources]

    def compile_(source: Path, target: str) -> None:
        subprocess.run([compiler, *STRICT, *options, "-c", str(source), "-o", target], check=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_, sources, objects))
    subprocess.run([compiler, *options, *objects, "-o", str(driver), "-lm"], check=True)
    return driver


def patches(name: str = "paper") -> NDArray[np.float64]:
    """Corners of the space, and random patches; their number fills no vector."""
    space = synths.load(name).space
    corners = [np.zeros((1, len(space)), np.int64), space.levels[None] - 1]
    corners += [np.random.default_rng(0).integers(0, 2, (8, len(space))) * (space.levels - 1)]
    return space.values_of_levels(np.concatenate([*corners, sampling.draw(space, 0, 0, 9)]))


def notes(name: str) -> NDArray[np.float64]:
    """The note of each of `patches`: some end as the synth's own, others earlier or never."""
    rows = Note.rows(synths.load(name).note, len(patches(name))).copy()
    rows[1::3, 2], rows[2::3, 2] = 0.1, np.inf
    return rows


def driven(
    driver: Path,
    what: str,
    target: str,
    rate: int,
    samples: int,
    block: int = 0,
    run: tuple[str, ...] = (),
    name: str = "paper",
) -> NDArray[Any]:
    """What the driver renders of `patches`, or their scores, started by `run` (an emulator)."""
    values = patches(name)
    done = subprocess.run(
        [*run, str(driver), what, name, target, *map(str, (len(values), samples, rate, block))],
        input=values.tobytes() + notes(name).tobytes(),
        capture_output=True,
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
    )
    assert (done.returncode, b"" if run else done.stderr) == (0, b"")  # emulators tell what else they lack
    return np.frombuffer(done.stdout, np.float64 if what == "scores" else np.float32).reshape(len(values), -1)


def own(target: str, rate: int, samples: int, name: str = "paper") -> NDArray[np.float32]:
    """What the extension renders of `patches`."""
    values = patches(name)
    out = np.empty((len(values), samples), np.float32)
    _native.render(name, values, notes(name), out, rate, TARGETS[target][0])
    return out


def own_scores(target: str, rate: int, samples: int) -> NDArray[np.float64]:
    """What `patches` score against the last of them by the extension."""
    values = patches()
    out = np.empty((len(values), 4))
    sound = own(target, rate, samples)[-1]
    _native.Target("paper", sound, notes("paper")[0], rate, TARGETS[target][0]).score(values, out)
    return out


RATES = [(48000, 16384), (44100, 16384), (8000, 16384), (192000, 16384), (32768, 16384), (44100, 48000)]


def noise(rate: int, seconds: float = 0.1) -> NDArray[np.float32]:
    return np.random.default_rng(rate).normal(0, 0.3, round(seconds * rate)).astype(np.float32)


def to_the_end(rate: int, to_rate: int) -> int:
    """Samples of `noise` at another rate."""
    return -(-len(noise(rate)) * to_rate // rate)


def resampled(
    driver: Path, target: str, rate: int, to_rate: int, count: int, run: tuple[str, ...] = ()
) -> NDArray[Any]:
    """What the driver makes of `noise` at another rate."""
    rows, up, down, before = resampling.filter_of(rate, to_rate)
    sound = noise(rate)
    words = [*run, str(driver), "resample", target, *map(str, (up, down, rows.shape[1], before, len(sound), count))]
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(words, input=rows.tobytes() + sound.tobytes(), capture_output=True, env=environment)
    assert (done.returncode, b"" if run else done.stderr) == (0, b"")
    return np.frombuffer(done.stdout, np.float32)


def own_resampled(target: str, rate: int, to_rate: int, count: int) -> NDArray[np.float32]:
    """What the extension makes of `noise` at another rate."""
    out = np.full(count, np.nan, np.float32)
    _native.resample(*resampling.filter_of(rate, to_rate), noise(rate), out, TARGETS[target][0])
    return out


def shipped() -> tuple[list[NDArray[np.float32]], NDArray[np.uint8]]:
    """What the network of the shipped model is made of."""
    data = models.find("paper").read_bytes()
    made = compiled.parts(onnx_file.read_weights(data), onnx_file.read_facts(data).training)
    assert made is not None
    return made


def windows() -> NDArray[np.float32]:
    """What a network may be given: patches, the beginning of one, silence, noise, and what is far too loud."""
    space, random = synths.load("paper").space, np.random.default_rng(0)
    sounds = synths.load("paper").render(space.values_of_levels(sampling.draw(space, 1, 0, 4, sampling.TEST)))
    part = np.where(np.arange(16384) < 1147, sounds[0], 0)
    one = np.where(np.arange(16384) == 16383, 1.0, 0)
    return np.stack([*sounds, part, one, 0 * part, random.normal(0, 0.1, 16384), 1000 * sounds[1]]).astype(np.float32)


def inferred(driver: Path, target: str, run: tuple[str, ...] = ()) -> NDArray[Any]:
    """(n, 23, 16) what the driver infers from `windows`, by the shipped model's network."""
    arrays, phasors = shipped()
    given = b"".join([*(array.tobytes() for array in arrays), phasors.tobytes(), windows().tobytes()])
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    words = [*run, str(driver), "atoms", target, str(len(windows()))]
    done = subprocess.run(words, input=given, capture_output=True, env=environment)
    assert (done.returncode, b"" if run else done.stderr) == (0, b"")
    return np.frombuffer(done.stdout, np.float32).reshape(len(windows()), 23, 16)


def own_inferred(target: str) -> NDArray[np.float32]:
    """What the extension infers from `windows`."""
    network = _native.Atoms(*shipped(), TARGETS[target][0])
    out = np.full((len(windows()), 23, 16), np.nan, np.float32)
    for window, rows in zip(windows(), out, strict=True):
        network.infer(window, rows)
    return out


@compilers
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_the_c_compiles_without_a_warning(compiler: str, level: str, tmp_path: Path) -> None:
    for source in SOURCES:
        command = [compiler, *STRICT, level, "-c", str(source), "-o", str(tmp_path / "object.o")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@compilers
def test_sanitizers_find_nothing_and_the_sound_is_the_extensions(compiler: str, tmp_path: Path) -> None:
    require(compiler, tmp_path, *SANITIZED)
    driver = built(compiler, tmp_path, *SANITIZED)
    for samples, rate in ((1, 16384), (127, 8001), (128, 16384), (129, 44100), (12345, 16384), (40001, 48000)):
        for target in TARGETS:
            assert np.array_equal(driven(driver, "render", target, rate, samples), own(target, rate, samples))
            assert np.array_equal(driven(driver, "render", target, rate, samples, 100), own(target, rate, samples))
            assert np.array_equal(driven(driver, "scores", target, rate, samples), own_scores(target, rate, samples))
            sine = own(target, rate, samples, "sine")
            assert np.array_equal(driven(driver, "render", target, rate, samples, name="sine"), sine)
            assert np.array_equal(driven(driver, "render", target, rate, samples, 100, name="sine"), sine)
    for rates in RATES:
        for target in TARGETS:
            for count in (0, 1, 129, to_the_end(*rates) + 300):
                assert np.array_equal(resampled(driver, target, *rates, count), own_resampled(target, *rates, count))
    for target in TARGETS:
        assert np.array_equal(inferred(driver, target), own_inferred(target))


@pytest.mark.parametrize("rate", [16384, 48000])
def test_the_targets_of_the_same_arithmetic_give_the_same_bits_and_all_the_same_sound(rate: int) -> None:
    reference = own("portable", rate, rate)
    fused = [own(target, rate, rate) for target, (_, arithmetic) in TARGETS.items() if arithmetic == "fma"]
    for sounds in fused:
        assert np.array_equal(sounds, fused[0])
        assert np.abs(sounds - reference).max() < 1e-4


@pytest.mark.parametrize(("rate", "to_rate"), RATES)
def test_the_targets_of_the_same_arithmetic_resample_to_the_same_bits_and_all_to_the_same_sound(
    rate: int, to_rate: int
) -> None:
    count = to_the_end(rate, to_rate)
    reference = own_resampled("portable", rate, to_rate, count)
    fused = [
        own_resampled(target, rate, to_rate, count)
        for target, (_, arithmetic) in TARGETS.items()
        if arithmetic == "fma"
    ]
    for sounds in fused:
        assert np.array_equal(sounds, fused[0])
        assert np.abs(sounds - reference).max() < 1e-6


def test_the_targets_of_the_same_arithmetic_infer_the_same_bits_and_all_the_same_patch() -> None:
    reference = own_inferred("portable")
    fused = [own_inferred(target) for target, (_, arithmetic) in TARGETS.items() if arithmetic == "fma"]
    for rows in fused:
        assert np.array_equal(rows, fused[0])
        assert np.abs(rows - reference).max() < 1e-3


# -- other processors ---------------------------------------------------------------------------


@pytest.mark.skipif("avx2" not in TARGETS, reason="this processor lacks AVX2")
@needs("gcc")
@pytest.mark.parametrize("block", [0, 100])
def test_sixteen_lanes_give_the_bits_of_eight(block: int, tmp_path: Path) -> None:
    """The AVX-512 target, with its instructions in plain C: this processor may lack them."""
    options = ["gcc", "-std=gnu11", "-O1", "-ffp-contract=off", "-mavx2", "-mf16c", "-mfma", "-w", f"-I{ROOT / 'ext'}"]
    emulated, driver, header = tmp_path / "avx512.o", tmp_path / "driver", ROOT / "tests" / "ext" / "avx512_in_c.h"
    source, rest = ROOT / "ext/simd/avx512.c", [file for file in SOURCES if file.name != "avx512.c"]
    command = [*options, "-include", header, "-DNO_TARGET", "-c", source, "-o", emulated]
    subprocess.run(list(map(str, command)), check=True)
    command = [*options, "-DEMULATED", *rest, ROOT / "tests" / "ext" / "engine_driver.c", emulated, "-o", driver, "-lm"]
    subprocess.run(list(map(str, command)), check=True)
    for samples, rate in ((1, 16384), (129, 44100), (16384, 16384)):
        assert np.array_equal(driven(driver, "render", "avx512", rate, samples, block), own("avx2", rate, samples))
        assert np.array_equal(driven(driver, "scores", "avx512", rate, samples), own_scores("avx2", rate, samples))
    for rates in RATES:
        count = to_the_end(*rates)
        assert np.array_equal(resampled(driver, "avx512", *rates, count), own_resampled("avx2", *rates, count))
    assert np.array_equal(inferred(driver, "avx512"), own_inferred("avx2"))


@needs("aarch64-linux-gnu-gcc", "qemu-aarch64")
def test_neon_gives_the_bits_of_the_other_targets_that_fuse_multiply_and_add(tmp_path: Path) -> None:
    driver = built("aarch64-linux-gnu-gcc", tmp_path, *PLAIN, "-static")
    for block in (0, 100):
        sounds = driven(driver, "render", "portable", 16384, 16384, block, run=("qemu-aarch64",))
        if "avx2" in TARGETS:
            assert np.array_equal(sounds, own("avx2", 16384, 16384))
        assert np.abs(sounds - own("portable", 16384, 16384)).max() < 1e-4
    scores = driven(driver, "scores", "portable", 16384, 5000, run=("qemu-aarch64",))
    if "avx2" in TARGETS:
        assert np.array_equal(scores, own_scores("avx2", 16384, 5000))
    assert np.allclose(scores, own_scores("portable", 16384, 5000), rtol=1e-3, atol=1e-4)
    for rates in RATES:
        count = to_the_end(*rates)
        sound = resampled(driver, "portable", *rates, count, run=("qemu-aarch64",))
        if "avx2" in TARGETS:
            assert np.array_equal(sound, own_resampled("avx2", *rates, count))
        assert np.abs(sound - own_resampled("portable", *rates, count)).max() < 1e-6
    rows = inferred(driver, "portable", run=("qemu-aarch64",))
    if "avx2" in TARGETS:
        assert np.array_equal(rows, own_inferred("avx2"))
    assert np.abs(rows - own_inferred("portable")).max() < 1e-3


@pytest.mark.skipif(not X86, reason="emulates processors of this kind")
@needs("gcc", "qemu-x86_64")
@pytest.mark.parametrize(("processor", "target"), [("Nehalem", "portable"), ("Haswell", "avx2")])
def test_a_processor_takes_the_best_target_that_it_can_run(processor: str, target: str, tmp_path: Path) -> None:
    driver = built("gcc", tmp_path, *PLAIN, "-static")
    emulator = ("qemu-x86_64", "-cpu", processor)
    sounds = driven(driver, "render", "", 16384, 16384, run=emulator)
    assert np.array_equal(sounds, driven(driver, "render", target, 16384, 16384, run=emulator))
    if target in TARGETS:
        assert np.array_equal(sounds, own(target, 16384, 16384))


@needs("gcc")
def test_plain_c_with_one_lane_gives_the_sound_of_the_vectors(tmp_path: Path) -> None:
    """For processors that lanes.h knows no vectors of."""
    driver = built("gcc", tmp_path, *PLAIN, "-DPLAIN")
    sounds = driven(driver, "render", "portable", 16384, 16384)
    assert np.abs(sounds - own("portable", 16384, 16384)).max() < 1e-4
    scores = driven(driver, "scores", "portable", 16384, 16384)
    assert np.allclose(scores, own_scores("portable", 16384, 16384), rtol=1e-3, atol=1e-4)
    for rates in RATES:
        count = to_the_end(*rates)
        sound = resampled(driver, "portable", *rates, count)
        assert np.abs(sound - own_resampled("portable", *rates, count)).max() < 1e-6
    assert np.abs(inferred(driver, "portable") - own_inferred("portable")).max() < 1e-3
