"""The benchmark of a model: that its figures are those of the definitions, and that a wrong call is one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import onnx_file
import reference
from inversynth import sampling
from inversynth.render import synth

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "evaluate.py"
COUNT, SEED = 6, 5


def evaluate(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=300)


def test_the_figures_are_those_of_the_definitions(tiny_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "evaluate.json"
    done = evaluate("--model", str(tiny_file), "--num-examples", str(COUNT), "--seed", str(SEED), "--out", str(out))
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    sine = synth("sine")
    levels = sampling.draw(sine.space, SEED, 0, COUNT, sampling.TEST)
    sounds = sine.render(sine.space.values_of_levels(levels)).astype(np.float64)
    scores = [sounds @ matrix for matrix in onnx_file.weights(sine)]
    above = [(s > s[np.arange(COUNT), levels[:, i]][:, None]).sum(axis=1) for i, s in enumerate(scores)]
    assert [row["mpr"] for row in found["parameters"]["masked"]] == pytest.approx(
        [100 * (1 - (rank / 16).mean()) for rank in above]
    )
    predicted = np.stack([s.argmax(axis=1) for s in scores], axis=1)
    matched = sine.render(sine.space.values_of_levels(predicted)).astype(np.float64)
    for key, others in (("sound", matched), ("chance_sound", np.roll(sounds, 1, axis=0))):
        distances = [
            np.linalg.norm(reference.spectrogram(a) - reference.spectrogram(b))
            for a, b in zip(sounds, others, strict=True)
        ]
        assert found[key]["f_delta"]["mean"] == pytest.approx(np.mean(distances))
        assert found[key]["f_delta"]["median"] == pytest.approx(np.median(distances))
    assert found["chance_mpr"] == 53.125
    assert found["machine"]["cores"] >= 1
    for name in sine.space.names:
        assert name in done.stdout


def test_a_wrong_call_is_one_line(tiny_file: Path) -> None:
    for words in (("--model", "none"), ("--model", str(tiny_file), "--num-examples", "1")):
        done = evaluate(*words)
        assert done.returncode == 2
        assert done.stderr.startswith("evaluate: error: ")
        assert done.stderr.count("\n") == 1
