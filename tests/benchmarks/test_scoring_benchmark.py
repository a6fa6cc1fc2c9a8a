"""The rivals of the scorer compute the same scores, and what the benchmark counts adds up."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def scoring(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("scoring")


@pytest.mark.parametrize("name", ["scorer", "numpy", "scipy"])
def test_a_contender_scores_as_float64_does(scoring: ModuleType, name: str) -> None:
    found = scoring.child(name, threads=1, count=16, seconds=0.01)
    assert found["best"] >= found["median"] > 0
    assert found["error"]["rho_stft"] < 1e-4
    assert found["error"]["others"] < 1e-4


def test_pytorch_scores_as_float64_does() -> None:
    """Uncompiled, in a process of its own."""
    if importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed; it is a rival, see benchmarks/scoring.py")
    places = os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent / "src")])
    words = ["--contender", "torch", "--threads", "1", "--num-sounds", "8", "--seconds", "0.01", "--cores"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "scoring.py"), *words, ""],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": places, "TORCHDYNAMO_DISABLE": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["error"]["rho_stft"] < 1e-4
    assert found["error"]["others"] < 1e-4


def test_the_stages_add_up_to_the_whole(scoring: ModuleType) -> None:
    from inversynth.system.simd import simd_target

    found = scoring.stages(simd_target().name)
    if not found:
        pytest.skip("needs a C compiler, and AVX2 or AVX-512")
    *parts, whole = found
    assert sum(at["instructions"] for at in parts) == pytest.approx(whole["instructions"], rel=0.01)
    assert all(0 < at["us"] < whole["us"] for at in parts)


def test_figures_are_put_between_their_own_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    rewritten = importlib.import_module("pages").rewritten
    page = "".join(f"<!-- figures of {name} -->\nold\n<!-- end of the figures -->\ntext\n" for name in "ab")
    new = rewritten(rewritten(page, "a", "first"), "b", "second")
    assert new == page.replace("old", "first", 1).replace("old", "second", 1)
