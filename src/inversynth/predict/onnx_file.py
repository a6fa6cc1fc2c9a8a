"""The facts in an ONNX file, checked before a native loader reads it, which can crash on invalid data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..spec import AudioFormat, Note, ParamSpace

METADATA = ("space", "fingerprint", "synth", "sample_rate", "samples", "model", "version", "training")
"""The keys that an export writes into a model's metadata."""
NOTE = "note"
"""One more key, of a network that takes the note: the note to use where none is given (`spec.Note.to_data`)."""

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
"""The most axes of a weight that is read."""


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
    """What a model's file says of itself.

    `training` is what the export knew of the run; `note`: the note to use where none is given, or None for a network
    without a note input.
    """

    space: ParamSpace
    audio: AudioFormat
    synth: str
    model: str
    version: str
    training: dict[str, Any]
    note: Note | None = None

    @property
    def inputs(self) -> dict[str, list[int]]:
        """The inputs of the network and their shapes, without the number of sounds."""
        note = {} if self.note is None else {"note": [3]}
        return {"audio": [self.audio.samples], **note}


def read_facts(data: bytes) -> Facts:
    """The facts in an ONNX file; raises `UsageError` for what is not a model of this program."""
    found = read_metadata(data)
    missing = [key for key in METADATA if key not in found]
    if missing:
        raise UsageError(f"it has no metadata {missing[0]!r}; give a model exported by inversynth")
    try:
        space = ParamSpace.from_data(json.loads(found["space"]))
        rate, samples = int(found["sample_rate"]), int(found["samples"])
        audio = AudioFormat(rate, samples / rate)
        training = json.loads(found["training"])
        note = Note.from_data(json.loads(found[NOTE])) if NOTE in found else None
        if found["fingerprint"] != space.fingerprint or audio.samples != samples or not isinstance(training, dict):
            raise ValueError
    except (ValueError, TypeError, ZeroDivisionError, RecursionError):
        raise UsageError("the parameter space or audio format in it is damaged; export it again") from None
    return Facts(space, audio, found["synth"], found["model"], found["version"], training, note)
