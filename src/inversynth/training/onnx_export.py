"""A training run to one ONNX file that describes itself: named outputs, and the space in its metadata."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import synths
from ..errors import InversynthError, MismatchError, UsageError
from ..search.audible import audible
from ..spec import AudioFormat, ParamSpace
from ..synths import sampling
from ..synths.synth import Synth
from ..system.devices import quiet
from ..system.files import writing
from ..version import __version__
from .loop import Run, load_arrays

OPSET = 17
TOLERANCE = 1e-3
"""The largest difference of a probability between Keras and onnxruntime: sums in another order, which where sound is
rounded to whole numbers may now and then give the next one."""
CHECKED_SOUNDS = 32
CHUNK = 256
"""Sounds that are heard at a time."""


def export(
    run_folder: str | Path, out_path: str | Path, report: Callable[[str], None] | None = None, calibrate: int = 0
) -> float:
    """Writes the best network of a training run as one ONNX file, once it was compared with Keras.

    The file takes `audio` (n, samples) float32 and gives one output a parameter, of its name: (n, levels)
    float32 probabilities. Its metadata holds what `predict.METADATA` lists. `report` is told of each step. With
    `calibrate`, its probabilities are calibrated on so many fresh sounds (`networks.Heads.calibrated`).
    Returns the largest difference of a probability from Keras. Raises `UsageError` for what is no run,
    `MismatchError` where weights and settings don't belong together, and `InversynthError` if the
    conversion fails or differs by more than `TOLERANCE`; then nothing is written.
    """
    tell = report or (lambda text: None)
    run, out = Path(run_folder), Path(out_path)
    facts = Run.read(run)
    settings, space, audio = facts.settings, facts.space, facts.audio
    synth = synths.load(settings.synth)
    arrays, best = load_arrays(run / "best.npz")
    if best.get("fingerprint") != space.fingerprint:
        raise MismatchError(
            f"{run / 'best.npz'} was trained for another parameter space ({best.get('fingerprint')}) than "
            f"settings.json describes ({space.fingerprint}); keep both files of one run together"
        )
    metadata = {
        "space": json.dumps(space.to_data()),
        "fingerprint": space.fingerprint,
        "synth": settings.synth,
        "sample_rate": str(audio.sample_rate),
        "samples": str(audio.samples),
        "model": settings.model,
        "version": __version__,
    }
    tell(f"building {settings.model} for {settings.synth}: {len(space)} parameters")
    with _quiet():
        network, temperatures = _keras_model(run, arrays, facts, synth, calibrate)
        trained = {"settings": dataclasses.asdict(settings), "best": best, "temperatures": temperatures}
        metadata["training"] = json.dumps(trained)
        tell("converting to ONNX")
        data = _convert(network, metadata, synth.fold_export if settings.model in synth.networks else None)
    tell("comparing with Keras")
    with writing(out) as temporary:
        temporary.write_bytes(data)
        difference = _difference(network, temporary, space, _sounds(synth, space, audio))
        if not difference <= TOLERANCE:
            raise InversynthError(
                f"the exported network differs from Keras by {difference:.2g} in a probability, "
                f"more than {TOLERANCE:g}; {out} was not written"
            )
    return difference


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the log lines of TensorFlow's and tf2onnx's native and Python code off the terminal."""
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _keras_model(
    run: Path, arrays: list[NDArray[Any]], facts: Run, synth: Synth, calibrate: int
) -> tuple[Any, tuple[tuple[float, float], ...] | None]:
    """The run's network with its weights, ending in one named distribution a parameter, and its temperatures, if any.

    Always channels_last, which every device runs; the weights are the same in both formats.
    """
    from ..networks import build as networks  # isort: skip  (first: it says what to install)
    import keras

    settings, space = facts.settings, facts.space
    if keras.backend.backend() != "tensorflow":
        raise UsageError("export needs Keras on TensorFlow; run it again with KERAS_BACKEND=tensorflow")
    network = networks.build(settings.model, space, facts.audio, own=synth.networks)
    if [array.shape for array in arrays] != [tuple(weight.shape) for weight in network.weights]:
        raise MismatchError(f"{run / 'best.npz'} holds another network than the {settings.model} of settings.json")
    network.set_weights(arrays)
    heads = networks.Heads(space, sigmoid=settings.loss == "sigmoid")
    if calibrate:
        _check_calibrating(facts, synth)
        drawn = synth.draw(settings.seed, settings.validation, calibrate, sampling.VALIDATION)
        levels = drawn.levels
        rows = [levels[at : at + CHUNK] for at in range(0, calibrate, CHUNK)]
        logits = [network.predict_on_batch(synth.render(space.values_of_levels(part))) for part in rows]
        every = np.concatenate([np.asarray(part) for part in logits])
        heads = heads.calibrated(every, levels, audible(synth, levels))
    named = [
        keras.layers.Identity(name=param.name, dtype="float32")(head)
        for param, head in zip(space, heads.probabilities(network.outputs[0]), strict=True)
    ]
    return keras.Model(network.inputs, named), heads.temperatures


def _check_calibrating(facts: Run, synth: Synth) -> None:
    """Raises `UsageError` where a run's network can't be calibrated on sounds of its synth."""
    if facts.settings.loss == "sigmoid":
        raise UsageError("a network with the loss sigmoid has no distributions to calibrate; leave --calibrate out")
    synth.space.require(facts.space, "the run")
    if synth.format != facts.audio:
        raise UsageError(f"the run heard {facts.audio}, and {synth.name} is {synth.format}: not calibrated")


def _convert(network: Any, metadata: dict[str, str], fold: Callable[[Any], None] | None) -> bytes:
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise UsageError(f"export needs tf2onnx ({error}); install it with: pip install 'inversynth[train]'") from None
    try:
        proto, _ = tf2onnx.convert.from_keras(network, opset=OPSET)
        _name_weights(proto.graph, {weight.path: np.asarray(weight) for weight in network.weights})
        if fold is not None:
            fold(proto.graph)
        del proto.opset_import[:]
        proto.opset_import.extend([onnx.helper.make_opsetid("", OPSET)])
        proto.producer_name, proto.producer_version = "inversynth", __version__
        onnx.helper.set_model_props(proto, metadata)
        onnx.checker.check_model(proto, full_check=True)
    except Exception as error:
        raise InversynthError(f"the conversion to ONNX failed: {str(error)[:200]}") from None
    return bytes(proto.SerializeToString())


def _name_weights(graph: Any, weights: dict[str, NDArray[Any]]) -> None:
    """Gives weights the names that they have in Keras, as far as the graph holds them as they are there."""
    from onnx import numpy_helper

    paths = {(array.dtype, array.shape, array.tobytes()): path for path, array in reversed(weights.items())}
    names: dict[str, str] = {}
    for weight in graph.initializer:
        array = numpy_helper.to_array(weight)
        path = paths.pop((array.dtype, array.shape, array.tobytes()), None)
        if path is not None:
            names[weight.name] = path
            weight.name = path
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def _sounds(synth: Synth, space: ParamSpace, audio: AudioFormat) -> NDArray[np.float32]:
    """(n, samples) silence, noise, and random patches of the synth, where it still has that space."""
    noise = np.random.default_rng(0).uniform(-1, 1, (2, audio.samples)).astype(np.float32)
    sounds = [np.zeros((1, audio.samples), np.float32), noise]
    if synth.space == space:
        drawn = synth.draw(0, 0, CHECKED_SOUNDS, sampling.TEST)
        values = space.values_of_levels(drawn.levels)
        sounds.append(synth.render_all(values, audio.sample_rate, audio.seconds, note=drawn.notes).sounds)
    return np.concatenate(sounds)


def _difference(network: Any, file: Path, space: ParamSpace, sounds: NDArray[np.float32]) -> float:
    """The largest difference of a probability between a Keras network and its ONNX file, run in onnxruntime."""
    from ..predict.model import load_model

    try:
        theirs = load_model(file, "cpu").predict(sounds)
    except UsageError as error:
        raise InversynthError(f"the exported network doesn't run: {error}") from None
    ours = network.predict_on_batch(sounds)
    return max(float(np.abs(np.asarray(a) - b).max()) for a, b in zip(ours, theirs, strict=True))
