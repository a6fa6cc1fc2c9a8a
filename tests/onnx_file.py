"""Writes small ONNX files byte by byte, from onnx.proto's field numbers, without the onnx package.

The network is one product and one softmax a parameter, so that NumPy knows its answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from inversynth.synths.synth import Synth

FLOAT = 1


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def port(name: str, *shape: int | str) -> bytes:
    dims = b"".join(field(1, field(2, size) if isinstance(size, str) else field(1, size)) for size in shape)
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, dims)))


def tensor(name: str, array: NDArray[np.float32], external: bool = False) -> bytes:
    head = b"".join(field(1, size) for size in array.shape) + field(2, FLOAT) + field(8, name)
    if external:
        return head + field(13, field(1, "location") + field(2, "weights.bin")) + field(14, 1)
    return head + field(9, array.tobytes())


def node(operator: str, inputs: list[str], output: str, domain: str = "", attributes: bytes = b"") -> bytes:
    named = b"".join(field(1, name) for name in inputs)
    return named + field(2, output) + field(4, operator) + attributes + field(7, domain)


def metadata(synth: Synth) -> dict[str, str]:
    return {
        "space": json.dumps(synth.space.to_data()),
        "fingerprint": synth.space.fingerprint,
        "synth": synth.name,
        "sample_rate": str(synth.format.sample_rate),
        "samples": str(synth.format.samples),
        "model": "Tiny",
        "version": "0.1.0",
        "training": "{}",
    }


@cache
def weights(synth: Synth) -> list[NDArray[np.float32]]:
    """P matrices (samples, levels)."""
    random = np.random.default_rng(5)
    return [random.normal(0, 0.02, (synth.format.samples, p.levels)).astype(np.float32) for p in synth.space]


def model(
    synth: Synth,
    facts: Mapping[str, str] | None = None,
    domain: str = "",
    external: bool = False,
    attributes: bytes = b"",
    extra: bytes = b"",
    opset: int = 17,
) -> bytes:
    """A model of a synth; `domain` and `attributes` go to each node of its graph, `extra` to the model."""
    samples = synth.format.samples
    graph = field(2, "tiny") + field(11, port("audio", "n", samples))
    for param, matrix in zip(synth.space, weights(synth), strict=True):
        graph += field(5, tensor(f"{param.name}/weights", matrix, external))
        graph += field(
            1, node("MatMul", ["audio", f"{param.name}/weights"], f"{param.name}/logits", domain, attributes)
        )
        graph += field(1, node("Softmax", [f"{param.name}/logits"], param.name, domain))
        graph += field(12, port(param.name, "n", param.levels))
    out = field(1, 8) + field(8, field(1, "") + field(2, opset)) + field(7, graph) + extra
    for key, value in (metadata(synth) if facts is None else facts).items():
        out += field(14, field(1, key) + field(2, value))
    return out
