"""The native network: what onnxruntime computes of the same file, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import onnx_file
from lock import ticks_during

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from inversynth import _native, synths
from inversynth.predict import model as predict
from inversynth.predict.model import Model, load_model
from inversynth.predict.onnx_file import read_facts, read_weights
from inversynth.predict.shipped import find
from inversynth.synths import sampling
from inversynth.synths.paper import inference as compiled

Made = tuple[dict[str, NDArray[Any]], dict[str, Any]]
"""The weights of a file, and what it says of its training."""

PAPER = synths.load("paper")
SAMPLES = PAPER.format.samples


@pytest.fixture(scope="module")
def data() -> bytes:
    return find("paper").read_bytes()


@pytest.fixture(scope="module")
def made(data: bytes) -> Made:
    return read_weights(data), read_facts(data).training


@pytest.fixture(scope="module")
def native() -> Model:
    return load_model("paper", "cpu")


@pytest.fixture(scope="module")
def reference() -> Model:
    return load_model("paper", "cpu", native=False)


def patches(count: int) -> NDArray[np.float32]:
    return PAPER.render(PAPER.space.values_of_levels(sampling.draw(PAPER.space, 5, 0, count, sampling.TEST)))


def assert_infers_the_same(native: Model, reference: Model, sounds: NDArray[np.float32]) -> None:
    """But for what lies between two whole numbers in the demodulated sound: sums in another order decide otherwise."""
    wanted = np.stack(reference.predict(sounds), axis=1)
    worst = [
        float(np.abs(np.array(native.predict_one(s)) - rows).max()) for s, rows in zip(sounds, wanted, strict=True)
    ]
    assert max(worst) < 5e-3
    assert np.median(worst) < 5e-5


def changed(data: bytes, folder: Path, *pairs: tuple[str, str]) -> Path:
    """The file with names replaced by others as long, everywhere."""
    for name, other in pairs:
        assert name.encode() in data
        assert len(name) == len(other)
        data = data.replace(name.encode(), other.encode())
    file = folder / "model.onnx"
    file.write_bytes(data)
    return file


# -- what it infers ------------------------------------------------------------------------------


def test_the_shipped_model_is_computed_natively_on_the_cpu_unless_another_way_is_asked_for(
    native: Model, reference: Model
) -> None:
    assert (native.engine, reference.engine) == ("native", "onnxruntime")


def test_on_a_machine_with_cuda_it_is_so_unless_cuda_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnCuda:
        """A session that is said to run on a GPU."""

        def __init__(self, data: bytes) -> None:
            self._session = make(data, "cpu")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    make = predict._session
    monkeypatch.setattr(
        predict, "_session", lambda data, device, one=None: make(data, device, one) if device == "cpu" else OnCuda(data)
    )
    for device, engine in (("auto", "native"), ("cuda", "onnxruntime")):
        model = load_model("paper", device)
        assert (model.device, model.engine) == ("cuda", engine)


def test_patches_are_inferred_as_by_onnxruntime(native: Model, reference: Model) -> None:
    assert_infers_the_same(native, reference, patches(64))


@pytest.mark.parametrize("audible", [0, 1, 2, 129, 130, 1147, 4096, 6143, 6272, 6273, 6529, 8192, 16383])
def test_the_silence_after_a_sound_may_begin_anywhere(native: Model, reference: Model, audible: int) -> None:
    assert_infers_the_same(native, reference, np.where(np.arange(SAMPLES) < audible, patches(3), np.float32(0)))


@pytest.mark.parametrize("gain", [1e-20, 1e-4, 0.1, 30.0, 1000.0])
def test_sounds_of_any_level_are_inferred_the_same(native: Model, reference: Model, gain: float) -> None:
    assert_infers_the_same(native, reference, np.float32(gain) * patches(3))


def test_what_no_synth_makes_is_inferred_the_same(native: Model, reference: Model) -> None:
    rng, at = np.random.default_rng(1), np.arange(SAMPLES)
    click = np.where(at == 9000, 1.0, 0.0)
    sounds = [rng.normal(0, 0.2, SAMPLES), np.sin(at * 0.3), np.sign(np.sin(at * 0.03)), np.full(SAMPLES, 0.5), click]
    assert_infers_the_same(native, reference, np.array(sounds, np.float32))


def test_a_sound_leaves_nothing_for_the_next(native: Model) -> None:
    long, short = patches(2)
    short = np.where(np.arange(SAMPLES) < 2000, short, np.float32(0))
    first = [row.copy() for row in native.predict_one(short)]
    native.predict_one(long)
    for row, before in zip(native.predict_one(short), first, strict=True):
        np.testing.assert_array_equal(row, before)


def test_without_temperatures_the_probabilities_are_the_softmax_of_the_logits(made: Made) -> None:
    weights, training = made
    plain = compiled.infer_natively(weights, {**training, "temperatures": None})
    hot = compiled.infer_natively(weights, training)
    assert plain is not None
    assert hot is not None
    rows, calibrated = plain.infer(patches(1)[0]), hot.infer(patches(1)[0])
    for row, (offset, slope), other in zip(rows, training["temperatures"], calibrated, strict=True):
        exact = row.astype(np.float64)
        temperature = np.exp(offset - slope * np.sum(exact * np.log(np.maximum(exact, 1e-30))))
        raised = np.maximum(exact, 1e-30) ** (1 / temperature)
        np.testing.assert_allclose(other, raised / raised.sum(), atol=1e-4)


def test_it_lets_other_threads_run(made: Made) -> None:
    network = compiled.infer_natively(*made)
    assert network is not None
    sound = patches(1)[0]

    def infer() -> None:
        for _ in range(50):
            network.infer(sound)

    assert ticks_during(infer) > 1


# -- which files it knows ------------------------------------------------------------------------


def test_weights_are_read_as_they_stand_in_the_file_by_their_names_in_keras(data: bytes) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    right = {
        weight.name: onnx.numpy_helper.to_array(weight) for weight in onnx.load_from_string(data).graph.initializer
    }
    found = read_weights(data)
    assert {"whitened/cosines", "attention_1/asked/kernel", "owners/said/bias", "matched_filters/phasors"} <= set(found)
    for name, array in found.items():
        np.testing.assert_array_equal(array, right[name])
        assert array.dtype == right[name].dtype


def test_a_file_without_the_names_is_left_to_onnxruntime(data: bytes, tmp_path: Path, reference: Model) -> None:
    model = load_model(changed(data, tmp_path, ("last/kernel", "lost/kernel")), "cpu")
    assert model.engine == "onnxruntime"
    assert_infers_the_same(model, reference, patches(2))


def test_a_file_whose_names_mislead_is_left_to_onnxruntime(data: bytes, tmp_path: Path, reference: Model) -> None:
    names = [f"wide_{n}/kernel" for n in (0, 2, 1, 0)]
    swapped = [(names[0], names[1]), (names[2], names[3]), (names[1], names[2])]
    model = load_model(changed(data, tmp_path, *swapped), "cpu")
    assert model.engine == "onnxruntime"
    assert_infers_the_same(model, reference, patches(2))


def test_a_file_of_another_space_is_left_to_onnxruntime(tiny_file: Path) -> None:
    assert load_model(tiny_file, "cpu").engine == "onnxruntime"


def test_a_network_of_other_sizes_or_types_is_none_that_is_known(made: Made) -> None:
    weights, training = made
    assert compiled.parts(weights, training) is not None
    phasors = weights["matched_filters/phasors"]
    for name, array in (
        ("last/kernel", weights["last/kernel"][:, 1:]),
        ("whitened/inverse", weights["whitened/inverse"][0]),
        ("matched_filters/phasors", phasors[:4]),
        ("matched_filters/phasors", phasors.astype(np.float32)),
    ):
        assert compiled.parts({**weights, name: array}, training) is None
    assert compiled.parts({}, training) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"temperatures": [[0.0, 0.0]]},
        {"temperatures": [[0.0], [0.0, 0.0]]},
        {"temperatures": {}},
        {"temperatures": [[10**400, 0.0]] * 23},
        {"settings": None},
        {"settings": []},
        {"settings": {"model": "Atoms", "loss": "sigmoid"}},
        {"settings": {"model": "Conv6XL", "loss": "softmax"}},
    ],
)
def test_whatever_a_file_says_of_its_training_it_is_only_not_known(made: Made, changed: dict[str, Any]) -> None:
    weights, training = made
    assert compiled.parts(weights, {**training, **changed}) is None


@pytest.mark.parametrize(
    ("replaced", "by"),
    [
        (8, onnx_file.field(8, 1 << 35)),
        (9, onnx_file.field(9, 1)),
        (1, b"\x09" + b"\xff" * 8),
        (1, onnx_file.field(1, b"\x01" * 100)),
        (1, onnx_file.field(1, 1) * 100),
        (1, onnx_file.field(1, (1 << 64) - 1)),
        (2, onnx_file.field(2, 99)),
        (9, onnx_file.field(9, b"")),
    ],
)
def test_a_weight_that_is_written_in_another_way_is_left_out(replaced: int, by: bytes) -> None:
    parts = {
        1: onnx_file.field(1, 2),
        2: onnx_file.field(2, 1),
        8: onnx_file.field(8, "a"),
        9: onnx_file.field(9, bytes(8)),
    }

    def weights(fields: dict[int, bytes]) -> dict[str, NDArray[Any]]:
        return read_weights(onnx_file.field(7, onnx_file.field(5, b"".join(fields.values()))))

    np.testing.assert_array_equal(weights(parts)["a"], np.zeros(2, np.float32))
    assert weights({**parts, replaced: by}) == {}


def test_the_kernel_refuses_arrays_and_sounds_of_another_shape(made: Made) -> None:
    parts = compiled.parts(*made)
    assert parts is not None
    arrays, phasors = parts
    with pytest.raises(ValueError, match=r"there must be \d+ arrays and 393216 phasors"):
        _native.Atoms(arrays[1:], phasors, 0)
    with pytest.raises(ValueError, match=r"cosines must be \(128, 80\)"):
        _native.Atoms([arrays[0][1:], *arrays[1:]], phasors, 0)
    network, out = _native.Atoms(arrays, phasors, 0), np.empty((23, 16), np.float32)
    for sound, rows in ((np.zeros(16383, np.float32), out), (np.zeros(16384, np.float32), out[1:])):
        with pytest.raises(ValueError, match=r"audio must be \(16384,\) and out \(23, 16\)"):
            network.infer(sound, rows)
