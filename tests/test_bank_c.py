"""The C of ext/ by itself: strict compilers have nothing to say, and sanitizers find nothing wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from inversynth import sampling
from inversynth.render import SYNTHS

ROOT = Path(__file__).parents[1]
STRICT = ("-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wvla", f"-I{ROOT / 'ext'}")
SANITIZED = ("-g", "-O1", "-fsanitize=address,undefined,float-divide-by-zero", "-fno-sanitize-recover=all")

compilers = pytest.mark.parametrize(
    "compiler",
    [
        pytest.param(name, marks=pytest.mark.skipif(not shutil.which(name), reason=f"{name} is not installed"))
        for name in ("gcc", "clang")
    ],
)


def built(compiler: str, folder: Path, *options: str) -> Path:
    driver = folder / "driver"
    sources = [str(ROOT / "ext" / "bank.c"), str(ROOT / "tests" / "bank_driver.c")]
    subprocess.run([compiler, *STRICT, *options, *sources, "-o", str(driver), "-lm"], check=True)
    return driver


@compilers
@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_the_bank_compiles_without_a_warning(compiler: str, level: str, tmp_path: Path) -> None:
    source, target = str(ROOT / "ext" / "bank.c"), str(tmp_path / "bank.o")
    done = subprocess.run([compiler, *STRICT, level, "-c", source, "-o", target], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@compilers
def test_sanitizers_find_nothing_and_the_sound_is_the_extensions(compiler: str, tmp_path: Path) -> None:
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    command = [compiler, *SANITIZED, str(probe), "-o", str(tmp_path / "probe")]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip(f"{compiler} has no sanitizers here")
    driver = built(compiler, tmp_path, *SANITIZED)
    for name, synth in SYNTHS.items():
        params = len(synth.space)
        levels = np.concatenate(
            [
                np.zeros((1, params), np.int64),
                synth.space.levels[None] - 1,
                np.random.default_rng(0).integers(0, 2, (8, params)) * (synth.space.levels - 1),
                sampling.draw(synth.space, 0, 0, 4),
            ]
        )
        values = synth.space.values_of_levels(levels)
        for samples, rate in ((1, 16384), (127, 8001), (128, 16384), (129, 44100), (12345, 16384), (40001, 48000)):
            done = subprocess.run(
                [str(driver), name, str(len(values)), str(samples), str(rate)],
                input=values.tobytes(),
                capture_output=True,
                env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
            )
            assert (done.returncode, done.stderr.decode()) == (0, "")
            sounds = np.frombuffer(done.stdout, np.float32).reshape(len(values), samples)
            assert np.mean(np.abs(sounds - synth.render(values, rate, samples / rate)) < 1e-5) > 0.995
