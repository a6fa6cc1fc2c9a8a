"""A training run to ONNX: what the file says, that it answers as Keras does, and that nothing half-made is left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="exporting needs Keras (the extra `train`)")
pytest.importorskip("tf2onnx", reason="exporting needs tf2onnx (the extra `train`)")
pytest.importorskip("onnxruntime", reason="exporting needs onnxruntime (the extra `cpu` or `gpu`)")

import onnx

from inversynth import cli, synths
from inversynth.errors import InversynthError, MismatchError, UsageError
from inversynth.networks import build as networks
from inversynth.predict.model import load_model
from inversynth.synths import sampling
from inversynth.training import onnx_export as module
from inversynth.training import trainer
from inversynth.training.loop import train
from inversynth.training.onnx_export import export
from inversynth.training.run import load_arrays, save_arrays
from inversynth.training.settings import Settings

SINE = synths.load("sine")


@pytest.fixture(scope="module")
def file(sine_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "new" / "sine.onnx"
    assert export(sine_run, path) <= 1e-4
    return path


@pytest.fixture
def run(sine_run: Path, tmp_path: Path) -> Path:
    """A copy of a run to spoil."""
    return Path(shutil.copytree(sine_run, tmp_path / "run"))


def keras_probabilities(folder: Path, audio: np.ndarray, sigmoid: bool = False) -> list[np.ndarray]:
    network = networks.build("C1", SINE.space, SINE.format)
    network.set_weights(load_arrays(folder / "best.npz")[0])
    return [np.asarray(p) for p in networks.Heads(SINE.space, sigmoid).probabilities(network.predict_on_batch(audio))]


def audio(count: int) -> np.ndarray:
    return SINE.render(SINE.space.values_of_levels(sampling.draw(SINE.space, 9, 0, count, sampling.TEST)))


def test_the_file_is_onnx_of_opset_17_with_the_parameters_as_outputs(file: Path) -> None:
    proto = onnx.load(file)
    onnx.checker.check_model(proto, full_check=True)
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 17)]
    assert [port.name for port in proto.graph.input] == ["audio"]
    assert [port.name for port in proto.graph.output] == list(SINE.space.names)
    batch, samples = proto.graph.input[0].type.tensor_type.shape.dim
    assert not batch.dim_value
    assert samples.dim_value == 16384


def test_the_file_carries_its_space_and_its_training(file: Path, sine_run: Path) -> None:
    stored = {entry.key: entry.value for entry in onnx.load(file).metadata_props}
    assert json.loads(stored["space"]) == SINE.space.to_data()
    assert stored["fingerprint"] == SINE.space.fingerprint
    assert (stored["synth"], stored["model"]) == ("sine", "C1")
    assert (stored["sample_rate"], stored["samples"]) == ("16384", "16384")
    training = json.loads(stored["training"])
    assert training["settings"] == json.loads((sine_run / "settings.json").read_text())["settings"]
    assert training["best"]["epoch"] == 1


@pytest.mark.parametrize("model", ["FC2", "HC3"])
def test_networks_with_a_fitted_front_end_are_exported_as_they_were_fitted(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "FITTED", 64)
    train(Settings("sine", model, epochs=1, steps=4, batch_size=16, validation=16), SINE, tmp_path / "run")
    assert export(tmp_path / "run", tmp_path / "model.onnx") <= 1e-4
    probabilities = load_model(tmp_path / "model.onnx", "cpu").predict(audio(16))
    assert max(np.ptp(row, axis=0).max() for row in probabilities) > 1e-3  # it tells sounds apart


@pytest.mark.parametrize("count", [1, 70])
def test_the_file_answers_as_keras_does(file: Path, sine_run: Path, count: int) -> None:
    sounds = audio(count)
    model = load_model(file, "cpu")
    model.require(SINE)
    for mine, theirs in zip(model.predict(sounds), keras_probabilities(sine_run, sounds), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
        np.testing.assert_allclose(mine.sum(axis=1), 1.0, atol=1e-5)


def test_a_calibrated_file_answers_at_the_temperatures_that_it_names(sine_run: Path, tmp_path: Path) -> None:
    assert export(sine_run, tmp_path / "warm.onnx", calibrate=600) <= 1e-4
    model = load_model(tmp_path / "warm.onnx", "cpu")
    temperatures = tuple((a, b) for a, b in model.facts.training["temperatures"])
    assert len(temperatures) == len(SINE.space)
    network = networks.build("C1", SINE.space, SINE.format)
    network.set_weights(load_arrays(sine_run / "best.npz")[0])
    sounds = audio(20)
    heads = networks.Heads(SINE.space, temperatures=temperatures)
    for ours, theirs in zip(heads.probabilities(network.predict_on_batch(sounds)), model.predict(sounds), strict=True):
        np.testing.assert_allclose(theirs, np.asarray(ours), atol=1e-4)


def test_a_run_with_the_papers_loss_is_exported_as_distributions(tmp_path: Path) -> None:
    settings = Settings("sine", "C1", epochs=1, steps=2, batch_size=8, validation=16, warmup_steps=1, loss="sigmoid")
    train(settings, SINE, tmp_path / "run")
    export(tmp_path / "run", tmp_path / "model.onnx")
    sounds = audio(3)
    made = load_model(tmp_path / "model.onnx").predict(sounds)
    for mine, theirs in zip(made, keras_probabilities(tmp_path / "run", sounds, sigmoid=True), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
        np.testing.assert_allclose(mine.sum(axis=1), 1.0, atol=1e-5)


def test_weights_of_another_space_or_network_are_refused(run: Path, tmp_path: Path) -> None:
    arrays, meta = load_arrays(run / "best.npz")
    save_arrays(run / "best.npz", arrays, **{**meta, "fingerprint": "0123456789abcdef"})
    with pytest.raises(MismatchError, match=r"another parameter space \(0123456789abcdef\)"):
        export(run, tmp_path / "out" / "model.onnx")
    save_arrays(run / "best.npz", arrays[:-1], **meta)
    with pytest.raises(MismatchError, match="another network than the C1"):
        export(run, tmp_path / "out" / "model.onnx")
    assert not list(tmp_path.rglob("*.onnx"))


def test_a_network_that_differs_from_keras_is_not_written(
    sine_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(InversynthError, match=r"differs from Keras by .*was not written"):
        export(sine_run, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["settings.json", "best.npz"])
def test_a_run_that_lacks_a_file_or_has_it_damaged_is_refused(run: Path, tmp_path: Path, name: str) -> None:
    whole = (run / name).read_bytes()
    (run / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=rf"{name}.* is damaged"):
        export(run, tmp_path / "model.onnx")
    (run / name).unlink()
    with pytest.raises(UsageError, match=rf"{name} is not there"):
        export(run, tmp_path / "model.onnx")


def test_the_command_writes_beside_the_run_and_overwrites_only_when_asked(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(run)]) == 0
    shown = capfd.readouterr()
    assert "largest difference from Keras" in shown.out
    assert shown.err == ""
    written = (run / "model.onnx").stat().st_mtime_ns
    assert cli.main(["export", str(run)]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert (run / "model.onnx").stat().st_mtime_ns == written
    assert cli.main(["export", str(run), "--overwrite"]) == 0
    assert (run / "model.onnx").stat().st_mtime_ns > written


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["none"], 2),
        (["run", "--out", "model.h5"], 2),
        (["run", "--out", "wall/model.onnx"], 1),
        (["run", "--out", "new.onnx", "--calibrate", "-1"], 2),
        (["empty"], 2),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    monkeypatch.chdir(run.parent)
    Path("wall").write_text("a file where a folder should be")
    Path("empty").mkdir()
    assert cli.main(["export", *words]) == code
    error = capsys.readouterr().err
    assert error.startswith("inversynth: error: ")
    assert error.count("\n") == 1
    assert not list(run.parent.rglob("*.onnx"))
