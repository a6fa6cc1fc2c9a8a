"""The benchmark of the networks: that it trains each as long, keeps what is finished, and says what it found."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("keras", reason="training needs Keras (the extra `train`)")
pytest.importorskip("tf2onnx", reason="exporting needs tf2onnx (the extra `train`)")
pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")

from inversynth.synths.paper import published as paper

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("models")


def test_what_is_finished_is_neither_trained_nor_tested_again(
    benchmark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--quick", "--sounds", "192", "--test-sounds", "20", "--only", "C1", "--runs", str(tmp_path / "runs")]
    assert benchmark.main([*words, "--out", str(tmp_path / "first.json")]) == 0
    first = json.loads((tmp_path / "first.json").read_text())
    assert first["models"]["C1"]["curve"]["sounds"] == [192]
    assert first["models"]["chance"]["mpr"] == pytest.approx(53.12, abs=0.01)
    weights = (tmp_path / "runs" / "C1" / "last.npz").read_bytes()
    monkeypatch.setattr(benchmark, "measure", lambda *_: pytest.fail("it was measured already"))
    assert benchmark.main([*words, "--out", str(tmp_path / "second.json")]) == 0
    assert (tmp_path / "runs" / "C1" / "last.npz").read_bytes() == weights
    assert json.loads((tmp_path / "second.json").read_text()) == first


@pytest.mark.parametrize("sounds", [64, 1000, 16000, 16064, 400_000])
def test_every_network_is_trained_on_about_as_many_sounds_as_were_asked_for(benchmark: Any, sounds: int) -> None:
    settings = benchmark.settings_of("C1", sounds, "float32")
    trained_on = settings.epochs * settings.steps * settings.batch_size
    assert 0.98 * sounds - 64 <= trained_on <= sounds
    assert settings.patience >= settings.epochs  # none ends before


def test_the_papers_fourteen_networks_are_those_that_it_gives_a_figure_for(benchmark: Any) -> None:
    assert sorted(benchmark.FOURTEEN) == sorted(paper.MEAN_MPRS)
    assert set(paper.SOUNDS) < set(paper.MEAN_MPRS)


def test_an_unknown_network_is_refused_in_one_line(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.main(["--quick", "--only", "C1,C7", "--runs", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("models: error: no model 'C7'; there are C1")


def test_the_tables_of_the_models_page_are_those_of_the_benchmark(benchmark: Any) -> None:
    file = ROOT / "benchmarks" / "models.json"
    if not file.exists():
        pytest.skip("the networks have not been measured yet: benchmarks/models.py writes benchmarks/models.json")
    markdown = benchmark.markdown(json.loads(file.read_text()))
    assert markdown in (ROOT / "docs" / "models.md").read_text()
