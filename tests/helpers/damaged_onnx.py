"""ONNX files of many kinds of operators, of every opset, and what can be wrong with them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
OPSETS = (7, 11, 13, 17, 21, onnx.defs.onnx_opset_version())
SIZES = (0, 1, 2, 7, -1, 2**31 - 1, 2**31, 2**62, -(2**63))
NUMBERS = (0, 1, -1, 2, 3, 255, 2**31, 2**62, -(2**63))
OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas()})


def _model(opset: int, nodes: list[Any], inputs: dict[str, list[Any]], weights: Any) -> bytes:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
        for name, sizes in inputs.items()
    ]
    last = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)
    stored = [numpy_helper.from_array(np.asarray(one), name) for name, one in weights.items()]
    graph = helper.make_graph(nodes, "graph", ends, [last], stored)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("qonnx.custom_op.general", 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())


def _maps(opset: int) -> bytes:
    make, ones = helper.make_node, np.ones
    nodes = [
        make("Quant", ["w", "s", "z", "b"], ["wq"], domain="qonnx.custom_op.general", signed=1),
        make("Conv", ["x", "wq"], ["a"], pads=[1, 1, 1, 1], kernel_shape=[3, 3], name="/a/Conv"),
        make("Relu", ["a"], ["r"]),
        make("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        make("ConvTranspose", ["p", "t"], ["c"], strides=[2, 2]),
        make("LRN", ["c"], ["l"], size=3),
        make("Add", ["l", "r"], ["d"]),
        make("GlobalAveragePool", ["d"], ["g"]),
        make("Shape", ["g"], ["h"]),
        make("Reshape", ["g", "flat"], ["f"]),
        make("Gemm", ["f", "v", "u"], ["y"], transB=1),
    ]
    weights = {
        "w": ones((8, 3, 3, 3), np.float32),
        "t": ones((8, 8, 2, 2), np.float32),
        "v": ones((5, 8), np.float32),
        "u": ones(5, np.float32),
        "flat": np.array([1, -1], np.int64),
        "s": np.float32(0.1),
        "z": np.float32(0),
        "b": np.float32(4),
    }
    return _model(opset, nodes, {"x": [1, 3, 8, 8]}, weights)


def _rows(opset: int) -> bytes:
    make, ones = helper.make_node, np.ones
    nodes = [
        make("MatMul", ["x", "q"], ["a"]),
        make("Transpose", ["a"], ["b"], perm=[0, 2, 1]),
        make("MatMul", ["a", "b"], ["c"]),
        make("Softmax", ["c"], ["e"], axis=2),
        make("Slice", ["e", "from", "to"], ["f"])
        if opset > 9
        else make("Slice", ["e"], ["f"], starts=[0], ends=[1]),
        make("MatMul", ["f", "a"], ["g"]),
        make("LSTM", ["g", "W", "R"], ["h"], hidden_size=2),
        make("Squeeze", ["h", "one"], ["i"])
        if opset > 12
        else make("Squeeze", ["h"], ["i"], axes=[1]),
        make("Erf", ["i"], ["j"]),
        make("Concat", ["j", "j"], ["k"], axis=-1),
        make("Gather", ["k", "one"], ["y"], axis=0),
    ]
    weights = {
        "q": ones((6, 4), np.float32),
        "W": ones((1, 8, 4), np.float32),
        "R": ones((1, 8, 2), np.float32),
        "one": np.array([1], np.int64),
        "from": np.array([0], np.int64),
        "to": np.array([1], np.int64),
    }
    return _model(opset, nodes, {"x": [1, 5, 6]}, weights)


def _pairs(opset: int) -> bytes:
    make = helper.make_node
    inner = helper.make_graph(
        [make("Relu", ["x"], ["t"])],
        "then",
        [],
        [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)],
    )
    other = helper.make_graph(
        [make("Neg", ["x"], ["o"])],
        "else",
        [],
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, None)],
    )
    nodes = [
        make("If", ["yes"], ["i"], then_branch=inner, else_branch=other),
        make("QuantizeLinear", ["i", "s", "z"], ["a"]),
        make("DequantizeLinear", ["a", "s", "z"], ["b"]),
        make("Einsum", ["b", "w"], ["c"], equation="bi,ij->bj"),
        make("Resize", ["c", "", "sizes"], ["e"], mode="linear"),
        make("OwnThing", ["e"], ["y"], domain="nobody"),
    ]
    weights = {
        "yes": np.array(True),
        "s": np.float32(0.1),
        "z": np.int8(0),
        "w": np.ones((4, 4), np.float32),
        "sizes": np.array([1, 2], np.float32),
    }
    return _model(max(13, opset), nodes, {"x": ["batch" if opset == 7 else 2, 4]}, weights)


@cache
def whole_models() -> tuple[bytes, ...]:
    """Files that are whole."""
    own = [make(opset) for opset in OPSETS for make in (_maps, _rows, _pairs)]
    light = ("light_squeezenet", "light_shufflenet")
    return (*own, *((LIGHT / f"{name}.onnx").read_bytes() for name in light))


def damaged_model(whole: bytes, rng: random.Random) -> bytes:
    """A file cut short, with bytes changed, or with something in its graph that makes no sense."""
    how = rng.randrange(10)
    if how == 0:
        return whole[: rng.randrange(len(whole))]
    if how < 3:
        turned = bytearray(whole)
        for _ in range(rng.choice((1, 3, 20))):
            turned[rng.randrange(len(turned))] = rng.randrange(256)
        return bytes(turned)
    model = onnx.load_from_string(whole)
    for _ in range(rng.choice((1, 1, 2, 4))):
        rng.choice(DAMAGES)(model, rng)
    return bytes(model.SerializeToString())


def _other_operator(model: ModelProto, rng: random.Random) -> None:
    rng.choice(model.graph.node).op_type = rng.choice(OPERATORS)


def _other_names(model: ModelProto, rng: random.Random) -> None:
    """Operands that come later, or from nowhere: circles, too."""
    nodes = model.graph.node
    node = rng.choice(nodes)
    if node.input:
        names = [name for one in nodes for name in one.output] + ["nothing", ""]
        node.input[rng.randrange(len(node.input))] = rng.choice(names)


def _other_result(model: ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    node.output[0] = rng.choice([rng.choice(model.graph.node).output[0], "", "y", "x"])


def _no_node(model: ModelProto, rng: random.Random) -> None:
    if len(model.graph.node) > 1:
        del model.graph.node[rng.randrange(len(model.graph.node))]


def _no_weight(model: ModelProto, rng: random.Random) -> None:
    if model.graph.initializer:
        del model.graph.initializer[rng.randrange(len(model.graph.initializer))]


def _other_weight(model: ModelProto, rng: random.Random) -> None:
    if not model.graph.initializer:
        return
    weight = rng.choice(model.graph.initializer)
    how = rng.randrange(5)
    if how == 0:
        weight.data_type = rng.randrange(-1, 30)
    elif how == 1 and weight.dims:
        weight.dims[rng.randrange(len(weight.dims))] = rng.choice(SIZES)
    elif how == 2:
        weight.dims.append(rng.choice(SIZES))
    elif how == 3:
        weight.raw_data = weight.raw_data[: rng.randrange(1 + len(weight.raw_data))]
    else:
        weight.data_location = TensorProto.EXTERNAL
        places = ("/etc/passwd", "../../x", "gone.bin", "", "\0")
        weight.external_data.add(key="location", value=rng.choice(places))


def _other_attribute(model: ModelProto, rng: random.Random) -> None:
    node = rng.choice(model.graph.node)
    if not node.attribute:
        node.attribute.append(helper.make_attribute("axis", rng.choice(NUMBERS)))
        return
    one = rng.choice(node.attribute)
    how = rng.randrange(5)
    if how == 0:
        one.type = rng.randrange(15)
    elif how == 1:
        one.i = rng.choice(NUMBERS)
    elif how == 2 and one.ints:
        one.ints[rng.randrange(len(one.ints))] = rng.choice(NUMBERS)
    elif how == 3:
        one.ints.append(rng.choice(NUMBERS))
    else:
        node.attribute.remove(one)


def _other_input(model: ModelProto, rng: random.Random) -> None:
    if not model.graph.input:
        return
    tensor = rng.choice(model.graph.input).type.tensor_type
    if tensor.shape.dim and rng.random() < 0.7:
        dimension = tensor.shape.dim[rng.randrange(len(tensor.shape.dim))]
        dimension.dim_value = rng.choice(SIZES)
    else:
        tensor.elem_type = rng.randrange(30)


def _other_opset(model: ModelProto, rng: random.Random) -> None:
    model.opset_import[0].version = rng.choice((0, 1, 6, 7, 9, 13, 18, 25, 99, 2**62))


def _other_domain(model: ModelProto, rng: random.Random) -> None:
    domains = ("", "ai.onnx", "com.microsoft", "nobody", "qonnx.custom_op.general", "\0")
    rng.choice(model.graph.node).domain = rng.choice(domains)


def _noted(model: ModelProto, rng: random.Random) -> None:
    """Metadata that says nothing sensible."""
    texts = ("{", "[]", '{"a": 8}', '{"a": []}', '{"a": "skip"}', "null", "[" * 100_000)
    model.metadata_props.add(key="dfs_hw.widths", value=rng.choice(texts))
    scopes = ("['', 'a', 'b']", "[", "[1]", "[]", "(" * 100_000, "['a' * 10**9]")
    node = rng.choice(model.graph.node)
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=rng.choice(scopes))


def _deep(model: ModelProto, rng: random.Random) -> None:
    """A branch inside itself, some times over."""
    for node in model.graph.node:
        for one in node.attribute:
            if one.type == onnx.AttributeProto.GRAPH:
                for _ in range(rng.choice((1, 3, 8))):
                    inner = onnx.NodeProto()
                    inner.CopyFrom(node)
                    del one.g.node[:]
                    one.g.node.append(inner)
                return


DAMAGES: tuple[Callable[[ModelProto, random.Random], None], ...] = (
    *(_other_operator, _other_names, _other_result, _no_node, _no_weight, _other_weight),
    *(_other_attribute, _other_attribute, _other_input, _other_opset, _other_domain, _noted, _deep),
)
