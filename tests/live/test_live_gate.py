"""What moves the bridge and what doesn't, with the shipped model: pieces of what benchmarks/false_moves.py measures."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from inversynth import synths
from inversynth.live import Estimate, Gate
from inversynth.predict.model import Model, load_model
from inversynth.predict.shipped import default_model, shipped
from inversynth.synths import sampling
from sounds import RATE, join, silence


@pytest.fixture(scope="module")
def model() -> Model:
    pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")
    if default_model(synths.load("paper")) not in shipped():
        pytest.skip("this copy ships no model of the paper's synth")
    return load_model(default_model(synths.load("paper")), "cpu")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("false_moves")


@pytest.mark.parametrize(
    "what", ["an input's own noise", "white noise", "pink noise", "brown noise", "mains hum", "clicks"]
)
def test_what_is_no_note_moves_nothing(what: str, model: Model, benchmark: ModuleType) -> None:
    assert what in benchmark.MADE
    half, later = 4.0, benchmark.PIECE_S / 2  # of a sound that lasts, and of one that begins again and again
    (whole,) = benchmark.made(what, benchmark.PIECE_S)
    at = round(later * RATE)
    piece = join(whole[: round(half / 2 * RATE)], silence(0.5), whole[at : at + round(half * RATE)])
    counts = benchmark.moved(model, iter([piece]), "capture")
    ungated = benchmark.moved(model, iter([piece]), "capture", anything=True)
    assert counts.messages == 0
    if what == "an input's own noise":
        assert (counts.heard, ungated.heard, ungated.messages) == (0, 0, 0)  # there is nothing to refuse
    else:
        assert counts.heard > 5
        assert ungated.messages > 0  # it is the gate that refuses them


def test_the_estimate_whose_patch_resembles_a_sound_most_is_taken_and_it_passes_if_it_is_sure() -> None:
    paper = synths.load("paper")
    levels = sampling.draw(paper.space, 3, 0, 3)
    sound = paper.render(paper.space.values_of_levels(levels[1:2]))[0]
    gate, sure = Gate(paper, paper.format), np.ones(len(paper.space))
    estimates = [Estimate(row, sure) for row in levels]
    assert gate(sound, estimates) == (estimates[1], True)
    assert gate(sound, estimates[:2]) == (estimates[1], True)
    assert gate(sound[:4096], estimates[1:]) == (estimates[1], True)
    assert gate(sound, [estimates[0]]) == (estimates[0], False)
    unsure = [Estimate(row, 0.3 * sure) for row in levels]
    assert gate(sound[:4096], unsure) == (unsure[1], False)
    assert gate(np.zeros_like(sound), estimates) == (estimates[0], False)


def test_sounds_of_the_synth_move_it(model: Model, benchmark: ModuleType) -> None:
    counts = benchmark.moved(model, benchmark.own(10), "capture")
    assert counts.seconds == pytest.approx(10 * 1.4, abs=0.1)
    assert counts.heard >= 37
    assert counts.passed >= 0.7 * counts.heard
    assert counts.messages > 10 * 10


def test_a_steady_note_of_another_instrument_moves_it_when_it_is_known_to_be_one(
    model: Model, benchmark: ModuleType
) -> None:
    turns = 2 * np.pi * 220 * np.arange(2 * RATE) / RATE
    organ = 0.1 * np.sum([np.sin(k * turns) / k for k in (1, 2, 3, 4, 6, 8)], axis=0)
    counts = benchmark.moved(model, iter([join(silence(0.3), organ.astype(np.float32), silence(0.3))]), "capture")
    assert counts.passed >= 2
    assert counts.messages >= 23
