"""Models in onnxruntime: what they answer, how they are found, and what is refused before a native loader sees it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

import onnx_file

pytest.importorskip("onnxruntime", reason="models need onnxruntime (the extra `cpu` or `gpu`)")

from inversynth import synths
from inversynth.errors import MismatchError, UsageError
from inversynth.predict import model as predict
from inversynth.predict import shipped as shipping
from inversynth.predict.model import Model, load_model
from inversynth.predict.shipped import default_model

SINE = synths.load("sine")


@pytest.fixture(scope="module")
def tiny(tiny_file: Path) -> Model:
    return load_model(tiny_file, "cpu")


def sounds(count: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(count, SINE.format.samples)).astype(np.float32)


def expected(audio: np.ndarray) -> list[np.ndarray]:
    """The softmax of each parameter's product, by NumPy."""
    scores = [np.exp(audio.astype(np.float64) @ matrix) for matrix in onnx_file.weights(SINE)]
    return [row / row.sum(axis=1, keepdims=True) for row in scores]


# -- prediction ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 64, 65])
def test_probabilities_are_those_of_the_network_in_the_order_of_the_space(tiny: Model, count: int) -> None:
    audio = sounds(count)
    made = tiny.predict(audio)
    assert [row.shape for row in made] == [(count, param.levels) for param in SINE.space]
    for mine, right in zip(made, expected(audio), strict=True):
        np.testing.assert_allclose(mine, right, atol=2e-4)


def test_one_window_is_predicted_as_in_a_batch_call_after_call(tiny: Model) -> None:
    audio = sounds(3)
    batch = tiny.predict(audio)
    tiny.warm_up()
    for i in (0, 2, 1, 1):
        for one, many in zip(tiny.predict_one(audio[i]), batch, strict=True):
            assert one.shape == many[i].shape
            np.testing.assert_allclose(one, many[i], atol=1e-5)


def test_a_model_knows_what_it_was_made_for(tiny: Model) -> None:
    assert (tiny.space, tiny.audio, tiny.synth, tiny.device) == (SINE.space, SINE.format, "sine", "cpu")
    assert tiny.name == "sine-tiny"
    tiny.require(SINE)
    with pytest.raises(MismatchError, match=r"the model sine-tiny .* sin_frequency is missing"):
        tiny.require(synths.load("paper"))


@pytest.mark.parametrize("shape", [(16384,), (1, 16383), (2, 2, 16384), (1, 0)])
def test_audio_of_another_shape_is_refused(tiny: Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"must have the shape \(n, 16384\), not "):
        tiny.predict(np.zeros(shape, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_audio_that_is_not_finite_is_refused(tiny: Model, value: float) -> None:
    audio = sounds(1)
    audio[0, 7] = value
    with pytest.raises(UsageError, match="NaN or infinite"):
        tiny.predict(audio)


# -- finding -------------------------------------------------------------------------------------


def test_a_model_is_found_by_its_file_and_its_folder(tiny_file: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(tiny_file.read_bytes())
    assert load_model(tmp_path).space == load_model(str(tiny_file)).space == SINE.space


def test_a_shipped_model_is_found_by_its_name(tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "sine-best"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(tiny_file.read_bytes())
    for module in (predict, shipping):
        monkeypatch.setattr(module, "shipped", lambda: {"sine-best": folder})
    assert load_model("sine-best").name == "sine-best"
    with pytest.raises(UsageError, match=r"no model 'sine-worst': .* the shipped models are sine-best"):
        load_model("sine-worst")


def test_every_shipped_model_opens_and_fits_its_synth() -> None:
    for name, folder in shipping.shipped().items():
        model = load_model(name, "cpu")
        model.require(synths.load(model.synth))
        assert model.name == name
        assert (folder / "card.json").is_file()


def test_a_synth_without_a_shipped_model_says_so() -> None:
    assert default_model(synths.load("paper")) == "paper"
    with pytest.raises(UsageError, match="'sine' is shipped"):
        default_model(synths.load("sine"))


def test_devices(tiny_file: Path) -> None:
    import onnxruntime

    with pytest.raises(UsageError, match="device 'tpu' is not one of auto, cpu, cuda"):
        load_model(tiny_file, "tpu")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("CUDA may be here")
    assert load_model(tiny_file, "auto").device == "cpu"
    with pytest.raises(UsageError, match=r"CUDA is not available.*inversynth\[gpu\]"):
        load_model(tiny_file, "cuda")


def test_without_onnxruntime_both_extras_are_named(tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(UsageError, match=r"inversynth\[cpu\].*inversynth\[gpu\]"):
        load_model(tiny_file)


def test_onnxruntime_sends_nothing_to_its_maker(tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    load_model(tiny_file)
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"


# -- what is refused -----------------------------------------------------------------------------

GOOD = onnx_file.metadata(SINE)
SUBGRAPH = onnx_file.field(5, onnx_file.field(1, "body") + onnx_file.field(6, b""))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a whole ONNX file"),
        (b"this is text, not a network", "not a whole ONNX file"),
        (b"\xff" * 4000, "not a whole ONNX file"),
        (onnx_file.field(7, b"") * 2, "not a whole ONNX file"),
        (onnx_file.model(SINE)[:-1], "not a whole ONNX file"),
        (onnx_file.model(SINE)[:100_000], "not a whole ONNX file"),
        (onnx_file.model(SINE, {}), "no metadata 'space'"),
        (onnx_file.model(SINE, {k: v for k, v in GOOD.items() if k != "samples"}), "no metadata 'samples'"),
        (onnx_file.model(SINE, {**GOOD, "space": "[{}]"}), "damaged"),
        (onnx_file.model(SINE, {**GOOD, "space": "[" * 10_000}), "damaged"),
        (onnx_file.model(SINE, {**GOOD, "space": "7"}), "damaged"),
        (onnx_file.model(SINE, {**GOOD, "fingerprint": "0" * 16}), "damaged"),
        (onnx_file.model(SINE, {**GOOD, "sample_rate": "0"}), "damaged"),
        (onnx_file.model(SINE, {**GOOD, "samples": "-5"}), "damaged"),
        (onnx_file.model(SINE, {**GOOD, "training": "7"}), "damaged"),
        (onnx_file.model(SINE, {**GOOD, "samples": "8192"}), "not those of its own space"),
        (onnx_file.model(SINE, external=True), "another file"),
        (onnx_file.model(SINE, domain="com.evil"), r"custom operator com\.evil\.MatMul"),
        (onnx_file.model(SINE, attributes=SUBGRAPH), "control flow"),
        (onnx_file.model(SINE, extra=onnx_file.field(25, b"")), "functions of its own"),
        (onnx_file.model(SINE, opset=999), "onnxruntime refuses it"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_file_that_is_no_model_of_this_program_is_refused_in_one_line(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=rf"^{re.escape(str(path))} can't be used as a model: [^\n]*{reason}[^\n]*$"):
        load_model(path)


def test_a_file_is_not_read_before_its_size_is_known(tiny_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "MAX_BYTES", 1 << 20)
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        load_model(tiny_file)


def test_a_path_that_is_not_there_or_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(UsageError, match=rf"no model '{re.escape(str(path))}'"):
            load_model(path)
