"""The benchmarks of the refinement measure what they say."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from rich.console import Console

from inversynth import synths
from inversynth.search.audible import audible
from inversynth.search.refine import refine
from inversynth.synths import sampling

pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")

from inversynth.predict.model import load_model

PAPER = synths.load("paper")


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module(request.param)


@pytest.mark.parametrize("benchmark", ["refine"], indirect=True)
def test_quality_is_measured_by_renders_and_by_seconds(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "SECONDS", (0.05,))
    monkeypatch.setattr(
        benchmark, "BASELINES", {name: benchmark.BASELINES[name] for name in ("network alone", "random search")}
    )
    found = benchmark.measure(3, 5, "paper-c6xl", (1, 400), Console(quiet=True))
    levels = sampling.draw(PAPER.space, 5, 0, 3, sampling.TEST)
    sounds = PAPER.render(PAPER.space.values_of_levels(levels))
    rows = [[row[i] for row in load_model("paper-c6xl").predict(sounds)] for i in range(3)]
    for renders in (1, 400):
        rho = np.mean([refine(PAPER, sounds[i], rows[i], renders=renders).best[0].rho_stft for i in range(3)])
        at = {row["name"]: row for row in found["by_renders"] if row["renders"] == renders}
        assert at[benchmark.SEARCH]["rho_stft_mean"] == pytest.approx(rho)
    first, last = (row for row in found["by_renders"] if row["name"] == benchmark.SEARCH)
    alone = next(row for row in found["by_renders"] if row["name"] == "network alone")
    for figure in ("rho_stft_mean", "log_l1", "exact"):
        assert first[figure] == pytest.approx(alone[figure])
    mode = np.array([[int(row.argmax()) for row in each] for each in rows])
    counted = audible(PAPER, levels)
    assert first["exact"] == pytest.approx((mode == levels)[counted].mean())
    assert last["log_l1"] < first["log_l1"]
    assert found["by_seconds"][0]["longest_s"] >= 0.05
    assert f"{100 * last['rho_stft_mean']:.2f}" in benchmark.markdown(found)


@pytest.mark.parametrize("benchmark", ["objectives"], indirect=True)
def test_objectives_are_compared_on_recordings(benchmark: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        benchmark, "OBJECTIVES", {name: benchmark.OBJECTIVES[name] for name in ("1 - rho", benchmark.CHOSEN)}
    )
    (tmp_path / "a").mkdir()
    time = np.arange(22050) / 22050
    for name, hertz in (("low", 440.0), ("high", 660.0)):
        wave = 0.5 * np.exp(-3 * time) * np.sin(2 * np.pi * hertz * time)
        soundfile.write(tmp_path / "a" / f"{name}.wav", wave, 22050)
    soundfile.write(tmp_path / "a" / "silence.wav", 0 * time, 22050)
    found = benchmark.measure([tmp_path], 50, 300, "paper-c6xl", Console(quiet=True))
    assert found["recordings"] == ["a/high.wav", "a/low.wav"]
    network, correlated, chosen = found["rows"]
    assert network["rho_stft"] < correlated["rho_stft"]
    assert chosen["lsd_db"] < network["lsd_db"]
    assert f"**{benchmark.CHOSEN}**" in benchmark.markdown(found)
