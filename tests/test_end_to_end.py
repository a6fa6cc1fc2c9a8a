"""The whole path by its commands: render a dataset, train on it, export, match a sound, run the live bridge."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

pytest.importorskip("keras", reason="training needs Keras (the extra `train`)")
pytest.importorskip("tf2onnx", reason="exporting needs tf2onnx (the extra `train`)")

import inversynth
from inversynth.audio.windows import window
from inversynth.live.tracking import estimate
from inversynth.predict.model import load_model


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs one command of the tour in `folder`; it must succeed without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)], cwd=folder, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the tour up to the export has been made."""
    folder = tmp_path_factory.mktemp("tour")
    run("inversynth render --synth sine --num-examples 4000 --seed 3 --out data", folder)
    run("inversynth data verify data", folder)
    run(
        "inversynth train --synth sine --model C1 --data data --epochs 6 --steps 100 --batch-size 32 --validation 200"
        " --learning-rate 3e-3 --out run",
        folder,
    )
    run("inversynth export run --out sine.onnx", folder)
    return folder


def test_what_was_learned_is_inferred_again(folder: Path) -> None:
    sine = inversynth.synth("sine")
    levels = np.array([[15, 12, 0, 15]])
    sound = sine.render(sine.space.values_of_levels(levels))[0]
    soundfile.write(folder / "target.wav", np.stack([sound, sound], axis=1), sine.format.sample_rate, subtype="FLOAT")
    printed = run("inversynth match target.wav --synth sine --model sine.onnx --out matches", folder).stdout
    assert all(name in printed for name in sine.space.names)

    patch = json.loads((folder / "matches/target/patch.json").read_text())["patch"]
    assert [entry["name"] for entry in patch] == list(sine.space.names)
    assert abs(patch[0]["level"] - 15) <= 1
    assert abs(patch[2]["level"] - 0) <= 1
    values = np.array([[entry["value"] for entry in patch]])
    np.testing.assert_array_equal(sine.space.levels_of_values(values)[0], [entry["level"] for entry in patch])
    made, rate = soundfile.read(folder / "matches/target/match.wav", dtype="float32")
    assert rate == sine.format.sample_rate
    np.testing.assert_allclose(made, sine.render(values)[0], atol=1e-6)
    assert (folder / "matches/target/match.png").read_bytes().startswith(b"\x89PNG")

    options = "--model sine.onnx --confidence 0 --anything --midi-file out.mid"
    run(f"inversynth live --file target.wav --fast --synth sine {options}", folder)
    last = {m.control: m.value for m in mido.MidiFile(folder / "out.mid") if m.type == "control_change"}
    rows = load_model(folder / "sine.onnx", "cpu").predict_one(window(sound, sine.format.sample_rate, sine.format))
    for param, level in zip(sine.space, estimate(sine.space, rows, likeliest=True)[0], strict=True):
        assert last[param.midi] == round(level / (param.levels - 1) * 127)
