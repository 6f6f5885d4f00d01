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
MACS = {
    "light_resnet50": 4_089_184_256,
    "light_vgg19": 19_632_062_464,
    "light_densenet121": 2_834_161_664,
}
"""Of the networks as torchvision has them: 4.09, 19.63 and 2.83 billion in its table of weights."""


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
