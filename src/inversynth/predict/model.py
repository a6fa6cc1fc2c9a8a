"""Audio to the probabilities of each parameter's levels: an exported network in onnxruntime.

A model is one ONNX file that carries its parameter space (see `inversynth.training.onnx_export`). The file is walked
here before the native loader sees it, since that can crash on what it doesn't expect.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import _native
from .._native import Atoms
from ..errors import DamageError, MismatchError, UsageError
from ..spec import AudioFormat, ParamSpace
from ..synths.paper import inference as compiled
from ..synths.render import Synth

DEVICES = ("auto", "cpu", "cuda")
DEFAULT_MODELS = {"paper": "paper"}
"""The shipped model that hears a synth unless another is asked for."""

MAX_BYTES = 1 << 30
METADATA = ("space", "fingerprint", "synth", "sample_rate", "samples", "model", "version", "training")
"""The keys that an export writes into a model's metadata."""

BATCH = 64
WARM_UP_RUNS = 20
TOLERANCE = 5e-3
"""The largest difference of a probability between a network and the same natively; another network is far away."""


# -- shipped models ------------------------------------------------------------------------------


def shipped() -> dict[str, Path]:
    """The models that come with the package: name to folder, which holds `model.onnx` and `card.json`."""
    here = Path(__file__).resolve()
    folders = (here.parents[1] / "models", here.parents[3] / "models")  # in a wheel; in a checkout
    return {file.parent.name: file.parent for folder in folders for file in sorted(folder.glob("*/model.onnx"))}


def default_model(synth: str) -> str:
    """The name of the shipped model for a synth; raises `UsageError` if there is none."""
    if synth not in DEFAULT_MODELS:
        raise UsageError(f"no model for the synth {synth!r} is shipped; name an exported one with --model FILE.onnx")
    return DEFAULT_MODELS[synth]


def find(path_or_name: str | Path) -> Path:
    """The ONNX file of a shipped model's name, a file, or a folder that holds `model.onnx`.

    Raises `UsageError`, naming the shipped models, if it isn't there.
    """
    models = shipped()
    path = models.get(str(path_or_name), Path(path_or_name))
    file = path / "model.onnx" if path.is_dir() else path
    if not file.is_file():
        known = f"the shipped models are {', '.join(models)}" if models else "no models are shipped with this copy"
        wrong = "is not a file" if file.exists() else "is not there"
        raise UsageError(f"no model {str(path_or_name)!r}: {file} {wrong}; {known}")
    return file


def digest(path_or_name: str | Path) -> str:
    """The SHA-256 of a model's file, in hexadecimal: which network it was. Raises `UsageError` if it can't be read."""
    file = find(path_or_name)
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}") from None


# -- the file ------------------------------------------------------------------------------------

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Field numbers of onnx.proto: ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, StringStringEntryProto.
_MODEL_GRAPH, _MODEL_METADATA, _MODEL_TRAINING, _MODEL_FUNCTIONS = 7, 14, 20, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE = (22, 23)
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW, _TENSOR_EXTERNAL, _TENSOR_LOCATION = 1, 2, 8, 9, 13, 14
_TYPES: dict[Any, np.dtype[Any]] = {1: np.dtype("<f4"), 2: np.dtype("u1")}
MOST_AXES = 4
"""Of a weight that is looked at."""


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number is too long")


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """(number, value) of the fields of a protobuf message: an int, or the bytes of what has a length."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        value: Any
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind in (_FIXED64, _FIXED32, _BYTES):
            size, at = _varint(data, at) if kind == _BYTES else (8 if kind == _FIXED64 else 4, at)
            if at + size > len(data):
                raise ValueError("a field ends behind the end of the file")
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"wire type {kind}")
        yield number, value


def _text(value: Any) -> str:
    if not isinstance(value, memoryview):
        raise ValueError("a number where a text should be")
    return bytes(value).decode()


def _check_tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value):
            raise UsageError("it keeps weights in another file; a model must be one file")


def _check_node(node: memoryview) -> None:
    domain, operator = "", "?"
    for number, value in _fields(node):
        if number == _NODE_DOMAIN:
            domain = _text(value)
        elif number == _NODE_OPERATOR:
            operator = _text(value)
        elif number == _NODE_ATTRIBUTE:
            for inner, part in _fields(value):
                if inner in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS, *_ATTRIBUTE_SPARSE):
                    raise UsageError("it uses control flow or sparse weights, which no exported model has")
                if inner in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                    _check_tensor(part)
    if domain not in ("", "ai.onnx"):
        raise UsageError(f"it uses the custom operator {domain}.{operator}; only ONNX's own are allowed")


def read_metadata(data: bytes) -> dict[str, str]:
    """The metadata of an ONNX file, once all of its structure was walked.

    Raises `UsageError` for what isn't a whole ONNX file, keeps weights outside it, or uses custom
    operators, functions, control flow or sparse weights.
    """
    found: dict[str, str] = {}
    graphs = 0
    try:
        for number, value in _fields(memoryview(data)):
            if number == _MODEL_METADATA:
                entry = dict(_fields(value))
                found[_text(entry[1])] = _text(entry.get(2, memoryview(b"")))
            elif number in (_MODEL_FUNCTIONS, _MODEL_TRAINING):
                raise UsageError("it brings functions of its own; only ONNX's own operators are allowed")
            elif number == _MODEL_GRAPH:
                graphs += 1
                for inner, part in _fields(value):
                    if inner == _GRAPH_NODE:
                        _check_node(part)
                    elif inner == _GRAPH_INITIALIZER:
                        _check_tensor(part)
                    elif inner == _GRAPH_SPARSE:
                        raise UsageError("it uses control flow or sparse weights, which no exported model has")
    except UsageError:
        raise
    except (ValueError, IndexError, TypeError, KeyError):
        graphs = 0
    if graphs != 1:
        raise UsageError("it is not a whole ONNX file; export it or copy it again")
    return found


def read_weights(data: bytes) -> dict[str, NDArray[Any]]:
    """The float32 and uint8 weights, by their names, of an ONNX file that `read_metadata` has walked.

    Those that are written in any way but that of an export are left out.
    """
    graph = next(value for number, value in _fields(memoryview(data)) if number == _MODEL_GRAPH)
    tensors = [_weight(part) for number, part in _fields(graph) if number == _GRAPH_INITIALIZER]
    return dict(tensor for tensor in tensors if tensor is not None)


def _weight(tensor: memoryview) -> tuple[str, NDArray[Any]] | None:
    facts: dict[int, Any] = {}
    shape = []
    for number, value in _fields(tensor):
        facts[number] = value
        if number == _TENSOR_DIMS:
            shape.append(value)
    kind, name, raw = _TYPES.get(facts.get(_TENSOR_TYPE)), facts.get(_TENSOR_NAME), facts.get(_TENSOR_RAW)
    if kind is None or not isinstance(name, memoryview) or not isinstance(raw, memoryview):
        return None
    if len(shape) > MOST_AXES or not all(isinstance(size, int) for size in shape):
        return None
    if not len(raw) == math.prod(shape) * kind.itemsize > 0:
        return None
    return bytes(name).decode(errors="replace"), np.frombuffer(raw, kind).reshape(shape)


@dataclass(frozen=True)
class Facts:
    """What a model's file says of itself; `training` is what the export knew of the run."""

    space: ParamSpace
    audio: AudioFormat
    synth: str
    model: str
    version: str
    training: dict[str, Any]


def read_facts(data: bytes) -> Facts:
    """The facts in an ONNX file; raises `UsageError` for what is not a model of this program."""
    found = read_metadata(data)
    missing = [key for key in METADATA if key not in found]
    if missing:
        raise UsageError(f"it says nothing of its {missing[0]}; only models exported by inversynth have what is needed")
    try:
        space = ParamSpace.from_list(json.loads(found["space"]))
        rate, samples = int(found["sample_rate"]), int(found["samples"])
        audio = AudioFormat(rate, samples / rate)
        training = json.loads(found["training"])
        if found["fingerprint"] != space.fingerprint or audio.samples != samples or not isinstance(training, dict):
            raise ValueError
    except (ValueError, TypeError, ZeroDivisionError, RecursionError):
        raise UsageError("the parameter space or audio format in it is damaged; export it again") from None
    return Facts(space, audio, found["synth"], found["model"], found["version"], training)


# -- the model -----------------------------------------------------------------------------------


def _onnxruntime() -> Any:
    # From 1.31 on it keeps a database of its use in the user's cache and sends it to its maker, unless told not to.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise UsageError(
            "models need onnxruntime; install one of the two (never both): "
            "pip install 'inversynth[cpu]', or 'inversynth[gpu]' for CUDA"
        ) from None
    return onnxruntime


def _session(data: bytes, device: str, one: str | None = None) -> Any:
    """An onnxruntime session with the options of least latency; its first provider is the device it got.

    one: the name of the dimension that is always 1, if there is one: what the graph makes of it is worked out before.
    """
    runtime = _onnxruntime()
    runtime.set_default_logger_severity(4)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if one is not None:
        options.add_free_dimension_override_by_name(one, 1)
    if device != "cpu" and "CUDAExecutionProvider" in runtime.get_available_providers():
        with contextlib.suppress(Exception):  # whatever CUDA lacks is for the check below, or for the CPU
            providers = ["CUDAExecutionProvider", "CPUExecutionProvider"]
            session = runtime.InferenceSession(data, options, providers=providers, enable_fallback=0)
            if session.get_providers()[0] == "CUDAExecutionProvider":
                return session
    if device == "cuda":
        raise UsageError(
            "CUDA is not available here; install it with: pip uninstall onnxruntime, "
            "pip install 'inversynth[gpu]' and NVIDIA's CUDA libraries, or use --device cpu"
        )
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"], enable_fallback=0)


class Model:
    """A network that hears the patch of a sound; made by `load_model`.

    `space`, `audio` (the window it hears), `synth` (a name), `name`, `device` ("cpu" or "cuda": the one
    it got), `facts`. Not for several threads at a time.
    """

    def __init__(
        self,
        name: str,
        facts: Facts,
        session: Any,
        alone: Callable[[], Any],
        natively: Callable[[], Atoms | None] = lambda: None,
    ) -> None:
        self.name, self.facts = name, facts
        self.space, self.audio, self.synth = facts.space, facts.audio, facts.synth
        self.device = "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"
        self._session, self._alone, self._natively = session, alone, natively
        self._window = np.zeros((1, self.audio.samples), np.float32)
        self._one = [np.zeros((1, param.levels), np.float32) for param in self.space]

    def __repr__(self) -> str:
        return f"<Model {self.name} for {self.synth}, {len(self.space)} parameters, on {self.device}>"

    @functools.cached_property
    def _compiled(self) -> tuple[Atoms, NDArray[np.float32], list[NDArray[np.float32]]] | None:
        """The same network natively, what it fills, and the rows of that: if it is one that is known so."""
        network = self._natively()
        filled = np.zeros((_native.PARAMETERS, _native.LEVELS), np.float32)
        return None if network is None else (network, filled, list(filled))

    @property
    def engine(self) -> str:
        """What hears one window: "native" or "onnxruntime"."""
        return "onnxruntime" if self._compiled is None else "native"

    @functools.cached_property
    def _of_one(self) -> tuple[Any, Any]:
        """A session for one sound, and the binding of its outputs."""
        session = self._alone()
        binding = session.io_binding()
        from_numpy = _onnxruntime().OrtValue.ortvalue_from_numpy  # on the CPU it shares the array's memory
        for param, row in zip(self.space, self._one, strict=True):
            binding.bind_ortvalue_output(param.name, from_numpy(row))
        return session, binding

    def predict(self, audio: ArrayLike) -> list[NDArray[np.float32]]:
        """Probabilities of each parameter's levels.

        audio: (n, samples) float32 at `self.audio.sample_rate`. Returns P arrays (n, levels) float32 in
        the order of `space`, rows summing to 1. Raises `UsageError` for another shape or what isn't finite, and
        `DamageError` for a network that then gives what isn't.
        """
        at = np.ascontiguousarray(audio, np.float32)
        if at.ndim != 2 or at.shape[1] != self.audio.samples:
            raise UsageError(
                f"{self.name} hears {self.audio.samples} samples at {self.audio.sample_rate} Hz: "
                f"the sounds must have the shape (n, {self.audio.samples}), not {at.shape}"
            )
        if not np.isfinite(at).all():
            raise UsageError("the sounds hold NaN or infinite samples")
        chunks = [self._session.run(self.space.names, {"audio": at[i : i + BATCH]}) for i in range(0, len(at), BATCH)]
        if not chunks:
            return [np.empty((0, param.levels), np.float32) for param in self.space]
        found = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
        if not all(np.isfinite(rows).all() for rows in found):
            raise DamageError(
                f"the model {self.name} gives NaN for probabilities: it is damaged; export or copy it again"
            )
        return found

    def predict_one(self, window: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """P arrays (levels,) for one window (samples,), without allocation: the next call writes over them.

        For the live path: nothing is checked but the shape.
        """
        self._window[0] = window
        if self._compiled is not None:
            network, filled, rows = self._compiled
            network.hear(self._window[0], filled)
            return rows
        session, binding = self._of_one
        binding.bind_cpu_input("audio", self._window)  # each time: CUDA copies it here
        session.run_with_iobinding(binding)
        return [row[0] for row in self._one]

    def warm_up(self, runs: int = WARM_UP_RUNS) -> None:
        """Predicts the latest window, or silence, again: by default until the time that it takes has settled."""
        for _ in range(runs):
            self.predict_one(self._window[0])

    def require(self, synth: Synth) -> None:
        """Raises `MismatchError`, naming what differs, unless this model predicts the parameters of `synth`."""
        synth.space.require(self.space, f"the model {self.name} (for the synth {self.synth!r})")
        if self.audio != synth.format:
            raise MismatchError(
                f"the model {self.name} hears {self.audio.samples} samples at {self.audio.sample_rate} Hz, "
                f"but {synth.name} is {synth.format.samples} at {synth.format.sample_rate} Hz"
            )


def load_model(path_or_name: str | Path, device: str = "auto", native: bool = True) -> Model:
    """Opens a shipped model by its name, or an exported one by its path (file, or folder of `model.onnx`).

    device: "cpu", "cuda", or "auto" (CUDA where it works); `Model.device` says which it got. native: hear one window at
    a time by the native kernel, where that knows the network (`synths.paper.inference`), unless the device is "cuda".
    Raises `UsageError` for what isn't there, isn't a model of this program, or needs a device that isn't there.
    """
    if device not in DEVICES:
        raise UsageError(f"device {device!r} is not one of {', '.join(DEVICES)}")
    file = find(path_or_name)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise UsageError(f"it is larger than {MAX_BYTES >> 20} MiB")
        data = file.read_bytes()
        facts = read_facts(data)
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}") from None
    except UsageError as error:
        raise UsageError(f"{file} can't be used as a model: {error}") from None
    try:
        session = _session(data, device)
        inputs = {port.name: port.shape[1:] for port in session.get_inputs()}
        outputs = {port.name: port.shape[1:] for port in session.get_outputs()}
    except UsageError:
        raise
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        raise UsageError(f"{file} can't be used as a model: onnxruntime refuses it ({reason})") from None
    if inputs != {"audio": [facts.audio.samples]} or outputs != {p.name: [p.levels] for p in facts.space}:
        raise UsageError(f"{file} can't be used as a model: its inputs and outputs are not those of its own space")
    name = file.parent.name if file.parent in shipped().values() else f"{facts.synth}-{facts.model}".lower()
    count = session.get_inputs()[0].shape[0]

    def alone() -> Any:
        return _session(data, device, count) if isinstance(count, str) else session

    def natively() -> Atoms | None:
        network = _known(data, facts) if native and device != "cuda" else None
        on_cpu = session.get_providers() == ["CPUExecutionProvider"]
        return network if network and _agree(network, session if on_cpu else _session(data, "cpu"), facts) else None

    return Model(name, facts, session, alone, natively)


def _known(data: bytes, facts: Facts) -> Atoms | None:
    """The network of a model natively, if it is one that is known so."""
    levels = facts.space.levels.tolist()
    if facts.audio.samples != _native.SAMPLES or levels != _native.PARAMETERS * [_native.LEVELS]:
        return None
    return compiled.atoms(read_weights(data), facts.training)


def _agree(network: Atoms, session: Any, facts: Facts) -> bool:
    """Whether both hear the same in a sound that ends early: names may mislead."""
    sound = np.random.default_rng(0).normal(0, 0.1, facts.audio.samples).astype(np.float32)
    sound[len(sound) // 3 :] = 0
    heard = np.empty((_native.PARAMETERS, _native.LEVELS), np.float32)
    network.hear(sound, heard)
    wanted = np.concatenate(session.run(facts.space.names, {"audio": sound[None]}))
    return bool(np.abs(heard - wanted).max() <= TOLERANCE)
