"""Networks that others publish as ONNX files: MACs, layers and widths."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from accel_models.precision import Precision
from accel_models.workloads.layer_csv import listed_network
from accel_models.workloads.onnx_file import read_onnx

onnx = pytest.importorskip("onnx")
LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
FILES = sorted(LIGHT.glob("*.onnx"))
DATA_ENV = "DFS_HW_DATA"


def vgg_19() -> int:
    """MACs of configuration E: Simonyan and Zisserman, Very deep convolutional networks for
    large-scale image recognition, ICLR 2015, table 1."""
    total, channels, side = 0, 3, 224
    for depth, width in ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)):
        for _ in range(depth):
            total += side * side * 9 * channels * width
            channels = width
        side //= 2
    return total + 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000


def densenet_121() -> int:
    """MACs of Huang et al., Densely connected convolutional networks, CVPR 2017, table 1, growth
    rate 32."""
    total, channels = 112 * 112 * 49 * 3 * 64, 64
    for layers, side in ((6, 56), (12, 28), (24, 14), (16, 7)):
        for _ in range(layers):
            total += side * side * (channels * 128 + 9 * 128 * 32)
            channels += 32
        if side > 7:  # a transition, before its pool
            total += side * side * channels * (channels // 2)
            channels //= 2
    return total + channels * 1000


MACS = {
    "light_resnet50": listed_network("resnet50").macs,
    "light_vgg19": vgg_19(),
    "light_densenet121": densenet_121(),
}


def macs_by_shapes(path: Path) -> int:
    """MACs as they follow from ONNX's own inference of shapes over the whole file."""
    model = onnx.shape_inference.infer_shapes(onnx.load(str(path)), data_prop=True)
    shapes = {one.name: list(one.dims) for one in model.graph.initializer}
    for info in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        shapes[info.name] = [one.dim_value for one in info.type.tensor_type.shape.dim]
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            weight = shapes[node.input[1]]
            total += math.prod(shapes[node.output[0]]) * math.prod(weight[1:])
        elif node.op_type == "Gemm":
            total += math.prod(shapes[node.input[1]]) * shapes[node.output[0]][0]
    return total


def test_the_package_brings_nine_networks() -> None:
    assert len(FILES) == 9


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_macs_are_those_of_the_shapes(path: Path) -> None:
    workload = read_onnx(path)
    assert workload.macs == macs_by_shapes(path)
    if path.stem in MACS:
        assert workload.macs == MACS[path.stem]
    unpriced = [said for said in workload.assumed if not said.startswith("LRN ")]
    assert not unpriced


def test_resnet_50_is_the_listed_one() -> None:
    read, known = read_onnx(LIGHT / "light_resnet50.onnx"), listed_network("resnet50")
    of_read = [layer for layer in read.layers if layer.on_array]
    of_known = [layer for layer in known.layers if layer.on_array]
    assert sum(layer.macs for layer in of_known) == read.macs
    added = [len(read.operands[layer.name].added) for layer in of_read]
    assert sum(added) == 16  # a residual for each block, none of which is a pass of its own
    assert not [layer for layer in read.layers if layer.operator in ("batch_norm", "sum", "relu")]


@pytest.mark.skipif(DATA_ENV not in os.environ, reason="needs DFS_HW_DATA")
def test_qonnx_states_widths() -> None:
    workload = read_onnx(Path(os.environ[DATA_ENV]) / "qonnx" / "TFC_1W2A.onnx")
    assert [layer.macs for layer in workload.layers] == [784 * 64, 64 * 64, 64 * 64, 64 * 10]
    assert {layer.widths for layer in workload.layers} == {Precision(1, 2)}
    assert not workload.assumed
