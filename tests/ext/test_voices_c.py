"""The voices of ext/ by themselves: no sanitizer finds a fault, nor a race between who pushes events and who plays."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from test_engines_c import PLAIN, SANITIZED, built, needs, require

from inversynth import _native, synths
from inversynth.live.play import Voices
from inversynth.synths import sampling
from inversynth.system.simd import simd_target

PAPER = synths.load("paper")
EVENT = np.dtype([("at", "u8"), ("value", "f8"), ("kind", "i4"), ("index", "i4")])


def voices_driver(compiler: str, folder: Path, *options: str) -> Path:
    """The driver; skips where the compiler lacks these options."""
    require(compiler, folder, *options)
    return built(compiler, folder, *options, "-pthread", source="voices_driver.c")


def storm(count: int, samples: int, seed: int = 5) -> NDArray[np.void]:
    """Events of all kinds at random times, several of them at once, more notes than voices."""
    random = np.random.default_rng(seed)
    events = np.zeros(count, EVENT)
    events["at"] = np.sort(random.integers(0, samples, count))
    events["at"][::3] = events["at"][1::3][: len(events[::3])]
    events["at"] = np.sort(events["at"])
    of = _native.Voices
    kinds = [of.NOTE_ON, of.NOTE_OFF, of.SET, of.NOTES_OFF, of.SOUND_OFF, of.BEND]
    events["kind"] = random.choice(kinds, count, p=[0.4, 0.3, 0.18, 0.01, 0.01, 0.1])
    events["index"] = random.integers(40, 90, count)
    events["value"] = random.random(count)
    sets = events["kind"] == _native.Voices.SET
    events["index"][sets] = random.integers(0, len(PAPER.space), sets.sum())
    values = [
        PAPER.space[int(i)].value_of_x(v) for i, v in zip(events["index"][sets], events["value"][sets], strict=True)
    ]
    events["value"][sets] = values
    return events


def driven(
    driver: Path, target: str, events: NDArray[np.void], samples: int, block: int, threads: bool
) -> NDArray[np.float32]:
    """(samples,) what the driver plays of a patch and the events, with four voices at 48 kHz."""
    given = patch().tobytes() + events.tobytes()
    words = [str(driver), "paper", target, *map(str, (samples, 48000, block, 4, int(threads)))]
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(words, input=given, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    return np.frombuffer(done.stdout, np.float32)


def patch() -> NDArray[np.float64]:
    return np.asarray(PAPER.space.values_of_levels(sampling.draw(PAPER.space, 2, 0, 1))[0])


@pytest.mark.parametrize(
    ("compiler", "target", "options"),
    [
        pytest.param("gcc", simd_target().name, (), marks=needs("gcc")),
        pytest.param("clang", "portable", ("-DPLAIN",), marks=needs("clang")),  # without vectors: compiled in no time
    ],
)
def test_sanitizers_find_nothing_and_the_sound_is_the_extensions(
    compiler: str, target: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    driver, samples = voices_driver(compiler, tmp_path, *SANITIZED, *options), 30000
    events = storm(300, samples)
    voices = Voices(PAPER, patch(), 48000, 4, 20 * np.log10(0.25))
    for event in events:
        voices.native.push(*(event[name].item() for name in ("kind", "index", "value", "at")))
    own = voices.process(samples)[:, 0]
    assert np.abs(own).max() > 0.04
    for block in (64, 1000):
        played = driven(driver, target, events, samples, block, threads=False)
        assert np.abs(played - own).max() < (1e-4 if options else 1e-6)


@needs("gcc")
def test_one_thread_may_push_while_another_plays(tmp_path: Path) -> None:
    driver = voices_driver("gcc", tmp_path, *PLAIN, "-DPLAIN", "-g", "-fsanitize=thread", "-fno-sanitize-recover=all")
    events = storm(20000, 100)
    assert np.isfinite(driven(driver, "portable", events, 48000, 256, threads=True)).all()
