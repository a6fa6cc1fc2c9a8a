"""The benchmark of datasets: that its figures follow from each other, and that it leaves nothing behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="training needs Keras (the extra `train`)")
pytest.importorskip("h5py", reason="HDF5 files need h5py")

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "dataset.py"


def benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=300)


def test_a_quick_run_measures_everything_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    page = SCRIPT.parents[1] / "docs" / "datasets.md"
    before = page.read_bytes()
    places = ["--disk", str(tmp_path / "disk"), "--memory", str(tmp_path / "disk")]
    done = benchmark("--quick", "--out", str(tmp_path / "found.json"), *places)
    assert done.returncode == 0, done.stderr
    assert page.read_bytes() == before
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["disk", "found.json"]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["num_examples"] == 128
    assert set(found["exports"]) == {"wav", "hdf5", "webdataset"}
    assert set(found["training"]) == {"C1 --render", "C1 --data", "C6XL --render"}
    assert all(0 <= at["in_step"] <= 1 and at["sounds_s"] > 0 for at in found["training"].values())
    header, levels, peak = 128 / 128, 23, 4  # all 128 items stand in one shard
    for dtype, item_bytes in (
        ("float32", 4 * 16384 + levels + 2 * header),
        ("float16", 2 * 16384 + levels + 2 * header),
        ("int16", 2 * 16384 + levels + peak + 3 * header),
    ):
        at, cost = found["writing"]["disk"][dtype], found["billion"][dtype]
        assert at["bytes_a_sound"] == pytest.approx(item_bytes, abs=5)
        assert at["render_mb_s"] * 1e6 == pytest.approx(at["render_sounds_s"] * at["bytes_a_sound"], rel=1e-3)
        assert at["share"] == pytest.approx(at["render_mb_s"] / at["plain_mb_s"], rel=1e-3)
        assert cost["bytes"] == pytest.approx(1e9 * at["bytes_a_sound"], rel=1e-3)
        assert cost["hours"] * 3600 * at["render_sounds_s"] == pytest.approx(1e9, rel=1e-3)
        memory = found["writing"]["memory"][dtype]["render_sounds_s"]
        cores = found["machine"]["cores"]
        assert cost["core_hours"] * 3600 * memory / cores == pytest.approx(1e9, rel=1e-3)


def test_a_place_that_is_no_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    done = benchmark("--quick", "--disk", str(tmp_path / "nowhere"), "--out", str(tmp_path / "found.json"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("nowhere is not a folder")
