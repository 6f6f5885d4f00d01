"""What operators of ONNX files come to, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

import onnx
from onnx import helper
from onnx_files import floats, node, write_onnx

from accel_models.errors import InputError
from accel_models.precision import Precision
from accel_models.workloads.onnx_file import read_onnx

IMAGE = {"x": (1, 3, 8, 8)}


@pytest.mark.parametrize("opset", [7, 9, 11, 13, 17, 21])
def test_what_follows_a_convolution_is_part_of_it(tmp_path: Path, opset: int) -> None:
    nodes = [
        node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "c s s s s", "n"),
        node("Relu", "n", "r"),
        node("Conv", "r v", "d", auto_pad="SAME_LOWER", strides=[2, 2]),
        node("Conv", "r v", "e", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Add", "d e", "y"),
    ]
    weights = {"w": floats(4, 3, 3, 3), "b": floats(4), "s": floats(4), "v": floats(4, 4, 3, 3)}
    workload = read_onnx(write_onnx(tmp_path / "n.onnx", nodes, IMAGE, ["y"], weights, opset=opset))
    first, second, third = workload.layers
    assert (first.activation, first.reads_image, first.padding) == ("relu", True, (1,) * 4)
    by_name = {layer.name: layer for layer in (second, third)}
    assert by_name["d_"].padding == (1, 0, 1, 0)
    assert by_name["e_"].padding == (0, 1, 0, 1)
    assert workload.operands[third.name].added == (second.name,)
    assert workload.macs == 64 * 4 * 27 + 2 * 16 * 4 * 36


def test_attention_and_a_written_out_norm_and_function(tmp_path: Path) -> None:
    nodes = [
        node("ReduceMean", "x", "mean", axes=[-1]),
        node("Sub", "x mean", "less"),
        node("Pow", "less two", "square"),
        node("ReduceMean", "square", "variance", axes=[-1]),
        node("Add", "variance eps", "more"),
        node("Sqrt", "more", "root"),
        node("Div", "less root", "unit"),
        node("Mul", "unit g", "scaled"),
        node("Reshape", "scaled split", "heads"),
        node("Transpose", "heads", "q", perm=[0, 2, 1, 3]),
        node("Transpose", "heads", "k", perm=[0, 2, 3, 1]),
        node("MatMul", "q k", "scores"),
        node("Softmax", "scores", "chances", axis=-1),
        node("MatMul", "chances q", "context"),
        node("Transpose", "context", "back", perm=[0, 2, 1, 3]),
        node("Reshape", "back joined", "flat"),
        node("MatMul", "flat w", "up"),
        node("Sigmoid", "up", "gate"),
        node("Mul", "up gate", "y"),
    ]
    weights = {
        "two": np.float32(2),
        "eps": np.float32(1e-5),
        "g": floats(8),
        "w": floats(8, 16),
        "split": np.array([0, 0, 2, 4]),
        "joined": np.array([0, 0, -1]),
    }
    arrays = {name: np.asarray(array) for name, array in weights.items()}
    path = write_onnx(tmp_path / "n.onnx", nodes, {"x": ("batch", "seq", 8)}, ["y"], arrays)
    workload = read_onnx(path, {"batch": 1, "seq": 5})
    kinds = [layer.operator for layer in workload.layers]
    assert kinds == ["layer_norm", "matmul", "softmax", "matmul", "conv"]
    assert workload.layers[-1].activation == "silu"
    assert workload.layers[1].groups == 2
    assert workload.macs == 2 * (5 * 8 * 5) + 5 * 8 * 16
    assert not workload.assumed
    with pytest.raises(InputError, match=r"leaves seq open: give --size seq=N"):
        read_onnx(path, {"batch": 1})
    with pytest.raises(InputError, match=r"no size called length: its open sizes are batch, seq"):
        read_onnx(path, {"batch": 1, "length": 5, "seq": 5})
    with pytest.raises(InputError, match=r"size seq is a whole number above 0, got 0"):
        read_onnx(path, {"batch": 1, "seq": 0})


def test_sizes_without_a_name_are_called_after_their_place(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "y")]
    path = write_onnx(tmp_path / "n.onnx", nodes, {"x": ("", 8)}, ["y"], {"w": floats(8, 2)})
    assert read_onnx(path, {"x.0": 3}).macs == 48
    with pytest.raises(InputError, match=r"leaves x\.0 open"):
        read_onnx(path)


def test_shapes_suffice_where_weights_are_missing(tmp_path: Path) -> None:
    weights = {"w": floats(4, 3, 3, 3)}
    path = write_onnx(tmp_path / "n.onnx", [node("Conv", "x w", "y")], IMAGE, ["y"], weights)
    model = onnx.load(str(path))
    onnx.save(model, str(path), save_as_external_data=True, location="gone", size_threshold=0)
    before = read_onnx(path)
    (tmp_path / "gone").unlink()
    assert read_onnx(path) == before
    stored = onnx.load(str(path), load_external_data=False).graph.initializer[0]
    assert stored.data_location == onnx.TensorProto.EXTERNAL
    no_data = write_onnx(tmp_path / "m.onnx", [node("Conv", "x w", "y")], IMAGE, ["y"], weights)
    model = onnx.load(str(no_data))
    model.graph.initializer[0].ClearField("raw_data")
    onnx.save(model, str(no_data))
    assert read_onnx(no_data).layers == before.layers
    inputs = {**IMAGE, "w": (4, 3, 3, 3)}
    listed = write_onnx(tmp_path / "l.onnx", [node("Conv", "x w", "y")], inputs, ["y"])
    assert read_onnx(listed).layers == before.layers
    assert read_onnx(listed).assumed == ("inputs are taken for weights: w",)


def test_quantisers_state_widths(tmp_path: Path) -> None:
    quant = {"domain": "qonnx.custom_op.general"}
    nodes = [
        node("Quant", "w one zero four", "qw", **quant),
        node("Conv", "x qw", "c"),
        node("Relu", "c", "r"),
        node("Quant", "r one zero three", "q", **quant),
        node("MaxPool", "q", "p", kernel_shape=[2, 2]),
        node("BipolarQuant", "v one", "qv", **quant),
        node("Conv", "p qv", "d"),
        node("QuantizeLinear", "d one z8", "i"),
        node("DequantizeLinear", "i one z8", "f"),
        node("DequantizeLinear", "u one z8", "qu"),
        node("Conv", "f qu", "e"),
        node("Conv", "e qv", "y"),
    ]
    weights = {
        "w": floats(4, 3, 1, 1),
        "v": floats(4, 4, 1, 1),
        "u": np.ones((4, 4, 1, 1), np.int8),
        "z8": np.int8(0),
        **{name: np.float32(n) for n, name in ((1, "one"), (0, "zero"), (3, "three"), (4, "four"))},
    }
    arrays = {name: np.asarray(array) for name, array in weights.items()}
    workload = read_onnx(write_onnx(tmp_path / "n.onnx", nodes, IMAGE, ["y"], arrays))
    widths = {layer.name: layer.widths for layer in workload.layers if layer.on_array}
    assert widths == {
        "c_": Precision(4, 8),  # the image
        "d_": Precision(1, 3),
        "e_": Precision(8, 8),
        "y_": Precision(1, 16),
    }
    said = "'y_' states no width of its activations, which are charged at 16 bits"
    assert workload.assumed == (said,)
    with pytest.raises(InputError, match=r"'qw_' quantises to 40 bits: a width is 1 to 32 bits"):
        wide = arrays | {"four": np.asarray(np.float32(40))}
        read_onnx(write_onnx(tmp_path / "m.onnx", nodes, IMAGE, ["y"], wide))


def test_what_nobody_knows_is_named(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "c"),
        node("Softplus", "c", "l"),
        node("Odd", "l", "o", domain="mine"),
        node("Conv", "o v", "y"),
    ]
    weights = {"w": floats(4, 3, 1, 1), "v": floats(4, 4, 1, 1)}
    workload = read_onnx(write_onnx(tmp_path / "n.onnx", nodes, IMAGE, ["y"], weights))
    assert workload.assumed == (
        "'o_' (Odd) is taken to keep its input's shape",
        "Softplus has no cost model and is not priced, in l_",
        "mine.Odd has no cost model and is not priced, in o_",
    )
    assert workload.edges == (("c_", "y_"),)


def test_a_branch_that_is_known_is_taken(tmp_path: Path) -> None:
    branches = {
        f"{word}_branch": helper.make_graph(
            [node("MatMul", f"x {weights}", f"{word}_y")],
            word,
            [],
            [helper.make_tensor_value_info(f"{word}_y", onnx.TensorProto.FLOAT, None)],
        )
        for word, weights in (("then", "w"), ("else", "v"))
    }
    weights = {"w": floats(8, 2), "v": floats(8, 4), "yes": np.asarray(np.bool_(True))}
    nodes = [node("If", "yes", "y", **branches)]
    path = write_onnx(tmp_path / "n.onnx", nodes, {"x": (1, 8)}, ["y"], weights)
    assert read_onnx(path).macs == 16


REFUSED = {
    "circle": ([node("Add", "x b", "a"), node("Relu", "a", "b")], "b", "runs in a circle"),
    "maker": ([node("Relu", "gone", "y")], "y", "'y_' reads 'gone', which nothing makes"),
    "output": ([node("Conv", "x w", "y")], "gone", "the graph reads 'gone'"),
    "channels": ([node("Conv", "x v", "y")], "y", "do not go together"),
    "contents": ([node("NonZero", "x", "y"), node("Cast", "y", "z", to=1)], "z", "not known"),
    "nothing": ([node("Reshape", "x s", "y")], "y", "has no layers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_graphs_that_make_no_sense_are_refused(tmp_path: Path, case: str) -> None:
    nodes, left, why = REFUSED[case]
    weights = {"w": floats(4, 3, 3, 3), "v": floats(4, 5, 3, 3), "s": np.array([-1])}
    path = write_onnx(tmp_path / "n.onnx", nodes, IMAGE, [left], weights)
    with pytest.raises(InputError, match=why):
        read_onnx(path)


def test_files_that_are_none_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "n.onnx"
    with pytest.raises(InputError, match="No such file"):
        read_onnx(path)
    path.write_text("layer, size")
    with pytest.raises(InputError, match="no ONNX file"):
        read_onnx(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="no operators"):
        read_onnx(path)
    old = write_onnx(path, [node("Relu", "x", "y")], IMAGE, ["y"], opset=6)
    with pytest.raises(InputError, match="of opset 6: export it again with opset 7 or later"):
        read_onnx(old)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match=r"pip install 'dfs-hw\[onnx\]'"):
        read_onnx(path)
