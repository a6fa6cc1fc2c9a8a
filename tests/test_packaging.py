"""The sdist builds a wheel, and the wheel runs in an empty virtual environment."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build", reason="needs the extra `dev`")

ROOT = Path(__file__).parents[1]


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)  # sdist, then the wheel from the sdist
    return folder


def test_the_sdist_carries_sources_and_no_build_products(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ext").glob("*/*.[ch]")}
    assert {"ext/simd/dispatch.c", "ext/engines/engine.h"} <= sources
    assert {"ext/_native.pyx", *sources, "LICENSE", "README.md", "tests/reference.py"} <= names
    assert not [name for name in names if name.endswith((".so", ".pyc")) or name == "ext/_native.c"]


def test_the_wheel_runs_in_an_empty_environment(built: Path, tmp_path: Path) -> None:
    wheel = next(built.glob("*.whl"))
    shipped = {path.parent.name for path in (ROOT / "models").glob("*/model.onnx")}
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[2] for name in names if name.endswith("model.onnx")} == shipped
    package = ROOT / "src" / "inversynth"
    for pattern in ("midi/profiles/*.toml", "matching/report.html", "matching/report.css", "matching/report.js"):
        files = {f"inversynth/{path.relative_to(package).as_posix()}" for path in package.glob(pattern)}
        assert files
        assert files <= set(names)
    assert not [name for name in names if name.startswith("tests/")]

    venv.create(tmp_path / "env", with_pip=True)
    bin_folder = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin")
    run(bin_folder / "python", "-m", "pip", "install", "-q", wheel, cwd=tmp_path)
    assert run(bin_folder / "inversynth", "--version", cwd=tmp_path).startswith("inversynth ")
    run(bin_folder / "inversynth-render", "--synth", "paper", "--num-examples", "3", "--out", "data", cwd=tmp_path)
    assert "3" in run(bin_folder / "inversynth", "data", "info", "data", cwd=tmp_path)
    listed = run(bin_folder / "python", "-m", "pip", "list", cwd=tmp_path).lower()
    for heavy in ("tensorflow", "keras", "torch", "onnxruntime", "h5py"):
        assert heavy not in listed
