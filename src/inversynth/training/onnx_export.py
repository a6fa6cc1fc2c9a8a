"""A training run to one ONNX file that describes itself: named outputs, and the space in its metadata."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import synths
from ..errors import InversynthError, MismatchError, UsageError
from ..predict.onnx_file import NOTE
from ..search.audible import audible
from ..synths import sampling
from ..synths.synth import Synth
from ..system.devices import quiet
from ..system.files import writing
from ..version import __version__
from .run import BEST, Run, load_arrays
from .sources import Inputs, inputs_of

OPSET = 17
TOLERANCE = 1e-3
"""The largest difference of a probability between Keras and onnxruntime: sums in another order, which where sound is
rounded to whole numbers may now and then give the next one."""
CHECKED_SOUNDS = 32
CHUNK = 256
"""Sounds that are predicted at a time."""
HEAD = "head_"
"""The prefix of the names of the outputs in Keras, which doesn't accept every text."""


def export(
    run_folder: str | Path,
    out_path: str | Path,
    synth: Synth | None = None,
    report: Callable[[str], None] | None = None,
    calibrate: int = 0,
) -> float:
    """Writes the best network of a training run as one ONNX file, once it was compared with Keras.

    The file takes `audio` (n, samples) float32, and `note` (n, 3) float32 where the network takes the note (see
    `networks.build`), and gives one output a parameter, of its name: (n, levels) float32 probabilities. Its metadata
    holds what `predict.onnx_file.METADATA` lists. synth: the one that the run was trained for, by default the synth of
    the name in its settings. `report` is called after each step. With `calibrate`, its probabilities are calibrated on
    that many fresh sounds (`networks.Heads.calibrated`). Returns the largest difference of a probability from Keras.
    Raises `UsageError` for what isn't a run, and where its synth isn't installed, `MismatchError` where weights,
    settings and synth don't belong together, and `InversynthError` if the conversion fails or differs by more than
    `TOLERANCE`; then nothing is written.
    """
    tell = report or (lambda text: None)
    run, out = Path(run_folder), Path(out_path)
    facts = Run.read(run)
    settings, space, audio = facts.settings, facts.space, facts.audio
    synth = synth or synths.find(settings.synth)
    if synth is None:
        raise UsageError(
            f"{run} was trained on the synth {settings.synth}, which isn't here; name its Python file with --synth"
        )
    settings.require_synth(synth)
    arrays, best = load_arrays(run / BEST)
    if best.get("fingerprint") != space.fingerprint:
        raise MismatchError(
            f"{run / BEST} was trained for another parameter space ({best.get('fingerprint')}) than "
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
    if settings.note:
        metadata[NOTE] = json.dumps(synth.note.to_data())
    tell(f"building {settings.model} for {settings.synth}: {len(space)} parameters")
    with _quiet():
        network, temperatures = _keras_model(run, arrays, facts, synth, calibrate)
        trained = {"settings": dataclasses.asdict(settings), "best": best, "temperatures": temperatures}
        metadata["training"] = json.dumps(trained)
        tell("converting to ONNX")
        data = _convert(network, space.names, metadata, synth.fold_export if settings.model in synth.networks else None)
    tell("comparing with Keras")
    with writing(out) as temporary:
        temporary.write_bytes(data)
        difference = _difference(network, temporary, _inputs(synth, facts))
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
    """The run's network with its weights, ending in one distribution a parameter, and its temperatures, if any.

    Always channels_last, which every device runs; the weights are the same in both formats.
    """
    from ..networks import build as networks  # isort: skip  (first: it says what to install)
    import keras

    settings, space = facts.settings, facts.space
    if keras.backend.backend() != "tensorflow":
        raise UsageError("export needs Keras on TensorFlow; run it again with KERAS_BACKEND=tensorflow")
    network = networks.build(
        settings.model, space, facts.audio, own=synth.networks, window=facts.window, note=settings.note
    )
    if [array.shape for array in arrays] != [tuple(weight.shape) for weight in network.weights]:
        raise MismatchError(f"{run / BEST} holds another network than the {settings.model} of settings.json")
    network.set_weights(arrays)
    heads = networks.Heads(space, sigmoid=settings.loss == "sigmoid")
    if calibrate:
        heads = _calibrated(heads, network, facts, synth, calibrate)
    outputs = [
        keras.layers.Identity(name=f"{HEAD}{i}", dtype="float32")(head)
        for i, head in enumerate(heads.probabilities(network.outputs[0]))
    ]
    return keras.Model(network.inputs, outputs), heads.temperatures


def _calibrated(heads: Any, network: Any, facts: Run, synth: Synth, count: int) -> Any:
    """The heads with the temperatures of fresh sounds; raises `UsageError` where a run can't be calibrated on them."""
    settings = facts.settings
    if settings.loss == "sigmoid":
        raise UsageError("a network with the loss sigmoid has no distributions to calibrate; leave --calibrate out")
    synth.space.require(facts.space, "the run")
    if synth.format != facts.audio:
        raise UsageError(f"the run was trained on {facts.audio}, and {synth.name} is {synth.format}: not calibrated")
    drawn = synth.draw(settings.seed, settings.validation, count, sampling.VALIDATION)
    rendered, logits = np.ones(count, bool), []
    for at in range(0, count, CHUNK):
        rows = slice(at, at + CHUNK)
        notes = None if drawn.notes is None else drawn.notes[rows]
        found = synth.render_all(synth.space.values_of_levels(drawn.levels[rows]), note=notes)
        rendered[at + np.array(list(found.failures), np.int64)] = False
        logits.append(np.asarray(network.predict_on_batch(inputs_of(found.sounds, notes, synth, settings.note))))
    notes = None if drawn.notes is None else drawn.notes[rendered]
    levels = drawn.levels[rendered]
    return heads.calibrated(np.concatenate(logits)[rendered], levels, audible(synth, levels, notes))


def _convert(network: Any, names: Sequence[str], metadata: dict[str, str], fold: Callable[[Any], None] | None) -> bytes:
    """The network as ONNX, with outputs of these names."""
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise UsageError(f"export needs tf2onnx ({error}); install it with: pip install 'inversynth[train]'") from None
    try:
        proto, _ = tf2onnx.convert.from_keras(network, opset=OPSET)
        _name_weights(proto.graph, {weight.path: np.asarray(weight) for weight in network.weights})
        _name_outputs(proto.graph, names)
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


def _name_outputs(graph: Any, names: Sequence[str]) -> None:
    """Gives the outputs their names, in order."""
    others = {port.name: name for port, name in zip(graph.output, names, strict=True)}
    for port in graph.output:
        port.name = others[port.name]
    for node in graph.node:
        node.input[:] = [others.get(name, name) for name in node.input]
        node.output[:] = [others.get(name, name) for name in node.output]


def _inputs(synth: Synth, facts: Run) -> Inputs:
    """Silence, noise, and random patches of the synth, where it still has the space of the run, and their notes."""
    audio, with_note = facts.audio, facts.settings.note
    noise = np.random.default_rng(0).uniform(-1, 1, (2, audio.samples)).astype(np.float32)
    plain = inputs_of(np.concatenate([np.zeros((1, audio.samples), np.float32), noise]), None, synth, with_note)
    if synth.space != facts.space:
        return plain
    drawn = synth.draw(0, 0, CHECKED_SOUNDS, sampling.TEST)
    values = synth.space.values_of_levels(drawn.levels)
    sounds = synth.render_all(values, audio.sample_rate, audio.seconds, note=drawn.notes).sounds
    more = inputs_of(sounds, drawn.notes, synth, with_note)
    if isinstance(plain, list):
        return [np.concatenate(both) for both in zip(plain, more, strict=True)]
    return np.concatenate([plain, np.asarray(more)])


def _difference(network: Any, file: Path, inputs: Inputs) -> float:
    """The largest difference of a probability between a Keras network and its ONNX file, run in onnxruntime."""
    from ..predict.model import load_model

    sounds, notes = inputs if isinstance(inputs, list) else (inputs, None)
    try:
        theirs = load_model(file, "cpu").predict(sounds, notes)
    except UsageError as error:
        raise InversynthError(f"the exported network doesn't run: {error}") from None
    found = network.predict_on_batch(inputs)
    ours = found if isinstance(found, list) else [found]  # Keras gives a single output as it is
    return max(float(np.abs(np.asarray(a) - b).max()) for a, b in zip(ours, theirs, strict=True))
