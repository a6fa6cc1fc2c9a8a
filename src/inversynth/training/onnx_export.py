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

from .. import __version__
from ..errors import InversynthError, MismatchError, UsageError
from ..evaluation.comparing import heard
from ..spec import AudioFormat, ParamSpace
from ..synths import sampling
from ..synths.render import SYNTHS, Synth, synth
from ..system.devices import quiet
from ..system.files import writing
from .loop import Run, load_arrays

OPSET = 17
BYTES_ZERO = 64
"""What stands for 0 among weights of 7 bits without a sign."""
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
    arrays, best = load_arrays(run / "best.npz")
    if best.get("fingerprint") != space.fingerprint:
        raise MismatchError(
            f"{run / 'best.npz'} was trained for another parameter space ({best.get('fingerprint')}) than "
            f"settings.json describes ({space.fingerprint}); keep both files of one run together"
        )
    metadata = {
        "space": json.dumps(space.to_list()),
        "fingerprint": space.fingerprint,
        "synth": settings.synth,
        "sample_rate": str(audio.sample_rate),
        "samples": str(audio.samples),
        "model": settings.model,
        "version": __version__,
    }
    tell(f"building {settings.model} for {settings.synth}: {len(space)} parameters")
    with _quiet():
        network, temperatures = _keras_model(run, arrays, facts, calibrate)
        trained = {"settings": dataclasses.asdict(settings), "best": best, "temperatures": temperatures}
        metadata["training"] = json.dumps(trained)
        tell("converting to ONNX")
        data = _convert(network, metadata)
    tell("comparing with Keras")
    with writing(out) as temporary:
        temporary.write_bytes(data)
        difference = _difference(network, temporary, space, _sounds(settings.synth, space, audio))
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
    run: Path, arrays: list[NDArray[Any]], facts: Run, calibrate: int
) -> tuple[Any, tuple[tuple[float, float], ...] | None]:
    """The run's network with its weights, ending in one named distribution a parameter, and its temperatures, if any.

    Always channels_last, which every device runs; the weights are the same in both formats.
    """
    from ..networks import build as networks  # isort: skip  (first: it says what to install)
    import keras

    settings, space = facts.settings, facts.space
    if keras.backend.backend() != "tensorflow":
        raise UsageError("export needs Keras on TensorFlow; run it again with KERAS_BACKEND=tensorflow")
    network = networks.build(settings.model, space, facts.audio)
    if [array.shape for array in arrays] != [tuple(weight.shape) for weight in network.weights]:
        raise MismatchError(f"{run / 'best.npz'} holds another network than the {settings.model} of settings.json")
    network.set_weights(arrays)
    heads = networks.Heads(space, sigmoid=settings.loss == "sigmoid")
    if calibrate:
        instrument = _calibrating(facts)
        levels = sampling.draw(space, settings.seed, settings.validation, calibrate, sampling.VALIDATION)
        rows = [levels[at : at + CHUNK] for at in range(0, calibrate, CHUNK)]
        logits = [network.predict_on_batch(instrument.render(space.values_of_levels(part))) for part in rows]
        every = np.concatenate([np.asarray(part) for part in logits])
        heads = heads.calibrated(every, levels, heard(instrument, levels))
    named = [
        keras.layers.Identity(name=param.name, dtype="float32")(head)
        for param, head in zip(space, heads.probabilities(network.outputs[0]), strict=True)
    ]
    return keras.Model(network.inputs, named), heads.temperatures


def _calibrating(facts: Run) -> Synth:
    """The synth whose sounds a run's network is calibrated on; raises `UsageError` where that can't be done."""
    if facts.settings.loss == "sigmoid":
        raise UsageError("a network with the loss sigmoid has no distributions to calibrate; leave --calibrate out")
    instrument = synth(facts.settings.synth)
    instrument.space.require(facts.space, "the run")
    if instrument.format != facts.audio:
        raise UsageError(f"the run heard {facts.audio}, and {instrument.name} is {instrument.format}: not calibrated")
    return instrument


def _convert(network: Any, metadata: dict[str, str]) -> bytes:
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise UsageError(f"export needs tf2onnx ({error}); install it with: pip install 'inversynth[train]'") from None
    try:
        proto, _ = tf2onnx.convert.from_keras(network, opset=OPSET)
        _name_weights(proto.graph, {weight.path: np.asarray(weight) for weight in network.weights})
        _in_bytes(proto.graph)
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


def _in_bytes(graph: Any) -> None:
    """Products of whole weights with whole numbers that 8 bits hold, in 8 bits: the same numbers in less time.

    These are the matrix products in a graph whose left side is made of whole numbers of at most 7 bits (a processor
    without VNNI adds two products in 16), and whose right side was divided by a step, rounded and clipped to -128..127.
    """
    from onnx import TensorProto, helper, numpy_helper

    makers = {name: node for node in graph.node for name in node.output}
    weights = {weight.name: weight for weight in graph.initializer}
    nodes = list(graph.node)

    def put(at: Any, *new: Any) -> None:
        nodes[nodes.index(at) : nodes.index(at) + 1] = new

    def number(name: str) -> float:
        array = numpy_helper.to_array(weights[name]) if name in weights else np.zeros(0)
        return float(array.reshape(())) if array.size == 1 else np.nan

    def chain(name: str) -> list[Any]:
        """The nodes, from the last back, that clip, round and divide what a tensor is made of; [] if others do."""
        found: list[Any] = []
        ends, node = set(), makers.get(name)
        while node is not None and node.op_type in ("Min", "Max"):
            ends.add(number(node.input[1]))
            found.append(node)
            node = makers.get(node.input[0])
        if ends != {-127.0, 127.0} or node is None or node.op_type != "Round":
            return []
        scaled = makers.get(node.input[0])
        if scaled is None or scaled.op_type not in ("Mul", "Div") or not number(scaled.input[1]) > 0:
            return []
        return [*found, node, scaled]

    def chains(name: str) -> list[list[Any]]:
        """Those of all that a tensor is put together from."""
        node = makers.get(name)
        if node is None or node.op_type not in ("Concat", "Reshape", "Transpose", "Slice", "Neg", "Unsqueeze"):
            return [chain(name)]
        parts = node.input if node.op_type == "Concat" else node.input[:1]
        return [found for part in parts for found in chains(part)]

    for product in [node for node in nodes if node.op_type == "MatMul" and node.input[0] in weights]:
        matrix = numpy_helper.to_array(weights[product.input[0]])
        found = chains(product.input[1])
        if not all(found) or not np.array_equal(matrix, np.clip(np.rint(matrix), -BYTES_ZERO, BYTES_ZERO - 1)):
            continue
        name = product.name
        constants: dict[str, Any] = {"weights_zero": np.uint8(BYTES_ZERO), "zero": np.int8(0)}
        in_bytes = numpy_helper.from_array((matrix + BYTES_ZERO).astype(np.uint8), product.input[0])
        weights[product.input[0]].CopyFrom(in_bytes)
        for each, (last, *others) in enumerate({nodes[0].name: nodes for nodes in found}.values()):
            scaled, step = others[-1], number(others[-1].input[1])
            step = 1 / step if scaled.op_type == "Mul" else step
            constants |= {f"step_{each}": np.float32(step)}
            constants |= {f"least_{each}": np.float32(-127 * step), f"most_{each}": np.float32(127 * step)}
            within = f"{name}/within_{each}"
            limits = [scaled.input[0], f"{name}/least_{each}", f"{name}/most_{each}"]
            whole = [within, f"{name}/step_{each}", f"{name}/zero"]
            put(
                last,
                helper.make_node("Clip", limits, [within], f"{name}/clip_{each}"),
                helper.make_node("QuantizeLinear", whole, last.output, f"{name}/in_bytes_{each}"),
            )
            for gone in others:
                put(gone)
        inputs = [*product.input, f"{name}/weights_zero", f"{name}/zero"]
        sums = helper.make_node("MatMulInteger", inputs, [f"{name}/sums"], f"{name}/product")
        as_floats = helper.make_node("Cast", sums.output, product.output, f"{name}/cast", to=TensorProto.FLOAT)
        put(product, sums, as_floats)
        graph.initializer.extend(numpy_helper.from_array(array, f"{name}/{what}") for what, array in constants.items())
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


def _sounds(name: str, space: ParamSpace, audio: AudioFormat) -> NDArray[np.float32]:
    """(n, samples) silence, noise, and where the synth is at hand, random patches of it."""
    noise = np.random.default_rng(0).uniform(-1, 1, (2, audio.samples)).astype(np.float32)
    sounds = [np.zeros((1, audio.samples), np.float32), noise]
    if name in SYNTHS and SYNTHS[name].space == space:
        levels = sampling.draw(space, 0, 0, CHECKED_SOUNDS, sampling.TEST)
        sounds.append(SYNTHS[name].render(space.values_of_levels(levels), audio.sample_rate, audio.seconds))
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
