"""What the export of the network `Atoms` makes of its graph."""

from __future__ import annotations

from typing import Any

import numpy as np

BYTES_ZERO = 64
"""What stands for 0 among weights of 7 bits without a sign."""


def in_bytes(graph: Any) -> None:
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
