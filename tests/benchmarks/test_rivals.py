"""The rivals of the bank are the same synth, and the benchmark that measures them says what it found."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import reference
from inversynth import synths
from inversynth.synths import sampling
from inversynth.synths.paper.table import NOTE

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RATE = 16384
PAPER = synths.load("paper")


def benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (BENCHMARKS, BENCHMARKS.parent / "src")))}
    script = [sys.executable, str(BENCHMARKS / "render.py")]
    return subprocess.run([*script, *words], capture_output=True, text=True, timeout=300, env=environment)


@pytest.mark.parametrize("samples", [RATE, 5000])
def test_numpy_renders_what_the_definitions_say(samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    rivals = importlib.import_module("rivals")
    render = importlib.import_module("rivals.numpy_").make(rivals.Task(RATE, samples, NOTE.hold_s, 1))
    values = PAPER.space.values_of_levels(sampling.draw(PAPER.space, 3, 0, 12))
    out = np.full((len(values), samples), np.nan, np.float32)
    render(values, out)
    for row, sound in zip(values, out, strict=True):
        expected, _ = reference.paper(dict(zip(PAPER.space.names, row, strict=True)), RATE, samples)
        off = np.abs(sound - expected)
        assert np.mean(off < 1e-3) >= 0.98
        assert np.median(off) < 1e-5


@pytest.mark.parametrize(
    ("name", "package"), [("numba", "numba"), ("torch", "torch"), ("jax", "jax"), ("faust", "dawdreamer")]
)
def test_a_rival_that_is_installed_renders_what_the_definitions_say(name: str, package: str) -> None:
    """In a process of its own: not all of them bear each other."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed; rivals have an environment of their own, see benchmarks/render.py")
    done = benchmark("--contender", name, "--threads", "1", "--num-sounds", "8", "--seconds", "0.01", "--cores", "")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["error"]["within_a_thousandth"] >= 0.98
    assert found["error"]["median"] < 1e-5


def test_a_quick_run_says_what_it_found_and_leaves_the_docs(tmp_path: Path) -> None:
    page = BENCHMARKS.parent / "docs" / "bank.md"
    before, out = page.read_bytes(), tmp_path / "render.json"
    done = benchmark("--quick", "--num-sounds", "16", "--only", "numpy", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert page.read_bytes() == before
    found = json.loads(out.read_text())
    cores = found["machine"]["cores"]
    assert {at["threads"] for at in found["bank"]} >= {1, cores}
    for at in found["bank"]:
        assert 0 < at["median"] <= at["best"]
        assert at["error"]["median"] < 1e-6
    assert [(at["name"], at["threads"]) for at in found["rivals"]] == [("numpy", n) for n in sorted({1, cores})]
    slowest = min(at["best"] for at in found["rivals"])
    assert f"{slowest:,.1f}" in done.stdout
    assert all(at["error"]["within_a_thousandth"] >= 0.98 for at in found["rivals"])
