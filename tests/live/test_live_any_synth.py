"""The live bridge with a synth as awkward as somebody else's: 150 parameters of all kinds, slow, noisy and fallible."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from test_live import Blocks

import fake_synth
from inversynth import live, synths
from inversynth.live import Gate, Settings
from inversynth.midi import Receiver, TextSink
from inversynth.midi.profiles import default_profile
from inversynth.spec import CATEGORICAL, ORDINAL
from sounds import Sound

FAKE = synths.load(Path(fake_synth.__file__))
RATE = FAKE.format.sample_rate


class Given(Blocks):
    """Blocks at the fake synth's sample rate."""

    def __init__(self, blocks: list[Sound]) -> None:
        super().__init__(blocks)
        self.sample_rate = RATE


class Random:
    """A model that is sure of something else each time."""

    def __init__(self) -> None:
        self.name, self.audio, self.space = "random", FAKE.format, FAKE.space
        self._random = np.random.default_rng(4)

    def predict_one(self, window: Sound) -> list[Sound]:
        levels = [int(self._random.integers(param.levels)) for param in FAKE.space]
        return [np.eye(1, p.levels, level, dtype=np.float32)[0] for p, level in zip(FAKE.space, levels, strict=True)]

    def warm_up(self, runs: int = 1) -> None:
        pass


class Failing(Random):
    """One whose patches can't be rendered."""

    def predict_one(self, window: Sound) -> list[Sound]:
        rows = super().predict_one(window)
        rows[FAKE.space.index("stability")] = np.eye(1, 16, 15, dtype=np.float32)[0]
        return rows


@pytest.fixture(scope="module")
def sound() -> Sound:
    levels = FAKE.draw(3, 0, 4).levels
    levels[:, FAKE.space.index("stability")] = 0
    rest = np.zeros(RATE // 4, np.float32)
    made = FAKE.render(FAKE.space.values_of_levels(levels))
    return np.concatenate([part for each in made for part in (rest, each / np.abs(made).max())]).astype(np.float32)


@pytest.mark.parametrize("mode", live.MODES)
def test_it_is_driven_and_what_has_steps_is_never_between_them(mode: str, sound: Sound) -> None:
    seen = list[live.Status]()
    receiver = Receiver(default_profile(FAKE), TextSink(io.StringIO()))
    blocks = [sound[at : at + 100] for at in range(0, len(sound), 100)]
    settings = Settings(mode, smooth=0.05, confidence=0.0, notes="fixed", note=round(FAKE.note.key))
    bridge = live.Bridge(
        Given(blocks),
        Random(),
        [receiver],
        settings,
        space=FAKE.space,
        report=lambda *_: seen.append(bridge.status()),
    )
    summary = bridge.run(threading.Event())
    assert summary.notes == 4
    assert summary.sent > len(FAKE.space)
    steps = FAKE.space.levels - 1
    stepped = FAKE.space.of_kind(CATEGORICAL) | FAKE.space.of_kind(ORDINAL)
    for status in seen:
        assert status.x is not None
        at = (status.x * steps)[stepped]
        np.testing.assert_allclose(at, np.rint(at), atol=1e-9)
    assert {status.note for status in seen if status.sounding} == {round(FAKE.note.key)}


def test_a_gate_takes_patches_that_fail_for_such_as_are_like_nothing(sound: Sound) -> None:
    bridge = live.Bridge(Given([sound]), Failing(), [], Settings(), Gate(FAKE, FAKE.format), space=FAKE.space)
    summary = bridge.run(threading.Event())
    assert summary.predictions >= 4
    assert summary.refused == summary.predictions
