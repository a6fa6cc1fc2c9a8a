"""Every benchmark measures what this machine lets it, and says what is missing."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
RIVALS = ("scipy", "cma", "numba", "torch", "jax", "dawdreamer", "torchsynth", "synthax", "keras", "tensorflow", "h5py")
"""What only benchmarks, tests and training need."""


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which none of the `RIVALS` can be imported."""
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({RIVALS}))\n")
    places = (tmp_path / "bare", BENCHMARKS, ROOT / "src")
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places)), "COLUMNS": "300"}


RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "render": (
        "--num-sounds 16 --only numpy numba",
        ("needs scipy: pip install scipy", "needs numba: pip install numba", "Not measured: how exact the bank is"),
    ),
    "scoring": ("--num-sounds 16", ("needs scipy: pip install scipy", "needs torch: pip install torch")),
    "dataset": (
        "--disk . --memory .",
        (
            "Not measured: exporting hdf5: needs h5py: pip install h5py",
            "Not measured: training C1 --data: needs keras: pip install keras",
        ),
    ),
    "refine": ("--num-examples 1 --renders 20", ("Not measured: CMA-ES: needs cma: pip install cma",)),
    "onset": ("--num-examples 4", ("Not measured: causal: needs keras: pip install keras",)),
    "live": ("--periods 512 --seconds 1", ("Not measured: keras.predict: needs keras: pip install keras",)),
    "false_moves": (
        "--hours 0.001 --own 1 --cache nowhere",
        ("Not measured: speech: needs asterisk-core-sounds-en-wav", "Not measured: instruments: needs"),
    ),
    "play": ("", ()),
    "confidence": ("--num-examples 4", ()),
    "objectives": (f"--renders 20 {ROOT / 'demo'}", ()),
}
"""Benchmarks, their shortest runs, and what these say to be missing where there are no rivals."""


@pytest.mark.parametrize("name", RUNS)
def test_without_its_rivals_a_benchmark_measures_the_rest_and_says_what_is_missing(
    name: str, bare: dict[str, str], tmp_path: Path
) -> None:
    options, missing = RUNS[name]
    words = [sys.executable, str(BENCHMARKS / f"{name}.py"), *options.split(), "--quick", "--out", "found.json"]
    done = subprocess.run(words, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in missing:
        assert line in done.stdout
    assert missing or "Not measured" not in done.stdout  # and where nothing is missing, nothing is said to be
    assert json.loads((tmp_path / "found.json").read_text())["machine"]["cores"] >= 1


def test_a_benchmark_of_training_needs_keras_and_says_so_in_one_line(bare: dict[str, str], tmp_path: Path) -> None:
    words = [sys.executable, str(BENCHMARKS / "models.py"), "--quick", "--runs", "runs", "--out", "found.json"]
    done = subprocess.run(words, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.startswith("models: error: training needs Keras")
    assert done.stderr.count("\n") == 1


def test_without_a_compiler_there_is_no_limit_and_the_benchmark_says_why(bare: dict[str, str], tmp_path: Path) -> None:
    words = [sys.executable, str(BENCHMARKS / "limit.py")]
    environment = {**bare, "PATH": str(tmp_path)}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Not measured: needs cc, a C compiler")


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("pages")


WHOLE: dict[str, Any] = {"rate": 2.0}


@pytest.mark.parametrize(
    ("found", "quick", "changed"),
    [
        (WHOLE, False, True),
        (WHOLE, True, False),
        ({**WHOLE, "not_measured": {"the rival": "needs scipy: pip install scipy"}}, False, False),
    ],
    ids=["whole", "quick", "something left out"],
)
def test_only_a_whole_run_changes_the_figures_that_the_docs_show(
    pages: Any, tmp_path: Path, found: dict[str, Any], quick: bool, changed: bool
) -> None:
    from rich.console import Console

    source, page = tmp_path / "it.json", tmp_path / "page.md"
    source.write_text('{"commit": "0000000", "rate": 1.0}')
    page.write_text("<!-- figures of benchmarks/it.json -->\nold\n<!-- end of the figures -->\n")
    args = Namespace(quick=quick, show=False, out=None, source=source)
    settled = pages.settled(args, lambda: found)
    pages.shown(args, Console(quiet=True), settled, [], page, "new")
    assert json.loads(source.read_text())["rate"] == (2.0 if changed else 1.0)
    assert ("new" in page.read_text()) is changed
    assert (f"Measured at commit {settled['commit']}." in page.read_text()) is changed


def test_figures_carry_the_commit_of_the_sources_that_were_measured(
    pages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", tmp_path, *identity, *words], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        git("init", "-q")
    except OSError:
        pytest.skip("git is not installed")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-q", "-m", "one", "--no-verify")
    git("tag", "v1")
    assert pages.commit() == git("rev-parse", "--short=7", "HEAD")
    (tmp_path / "file").write_text("two")
    assert pages.commit() == f"{git('rev-parse', '--short=7', 'HEAD')} with changes"
    monkeypatch.setattr(pages, "ROOT", tmp_path / "nowhere")
    assert pages.commit() == "unknown"
