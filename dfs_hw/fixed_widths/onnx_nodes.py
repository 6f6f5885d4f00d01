"""Marks of an exported network turned into quantisers: QDQ pairs, or QONNX's ``Quant``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper, save

from accel_models.errors import InputError
from accel_models.files import whole_file
from accel_models.workloads.onnx_file.naming import SCOPES
from accel_models.workloads.onnx_file.widths import WIDTHS_KEY
from dfs_hw.fixed_widths.network import FixedWidths
from dfs_hw.fixed_widths.onnx_marks import OperandGrid, exported_with_marks, grids_of
from dfs_hw.onnx_export import DOMAIN, is_mark, said_by

QONNX = "qonnx.custom_op.general"
FORMS = ("qdq", "qonnx")
OPSET, WIDE_OPSET = 20, 21
"""The second is the first whose pairs of quantise and dequantise have 4 and 16 bits, and name the
type they make."""
OWN = "model."
"""Path of the user's model in what is exported."""
PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum")
TYPES = {
    (4, True): TensorProto.INT4,
    (4, False): TensorProto.UINT4,
    (8, True): TensorProto.INT8,
    (8, False): TensorProto.UINT8,
    (16, True): TensorProto.INT16,
    (16, False): TensorProto.UINT16,
}
"""Types of quantised tensors by their bits and whether they have a sign."""


def write_onnx(
    network: FixedWidths, path: str | Path, form: str = "qdq", *, any_batch: bool = False
) -> None:
    """Write a network at its widths as an ONNX file, for inputs like the first it was calibrated
    on.

    `accel_models.workloads.onnx_file.read_onnx` reads it back as the same layers at the same
    widths: those of layers that nothing in the file rounds are noted beside its graph.

    Args:
        network: as `at_widths` makes it.
        path: of the file.
        form: ``qdq``, pairs of QuantizeLinear and DequantizeLinear, of 4, 8 or 16 bits, which
            ONNX Runtime runs; or ``qonnx``, nodes ``Quant`` and ``BipolarQuant`` of any width.
        any_batch: whether the file takes any number of inputs at once, as a size that is called
            ``batch``; by default it takes one.

    Raises:
        InputError: if the form or a width is none of these, a package is missing, PyTorch cannot
            export the model, or the file cannot be written.
    """
    if form not in FORMS:
        raise InputError(f"an ONNX file is of the form {' or '.join(FORMS)}, not '{form}'")
    if not isinstance(network, FixedWidths):
        raise InputError(
            f"{type(network).__name__} has no widths to write: make a network of it by "
            "at_widths(model, widths, batches)"
        )
    path = Path(path)
    grids = grids_of(network)
    if form == "qdq":
        _check_widths(grids.values())
    wide = form == "qdq" and any(grid.bits != 8 for grid in grids.values())
    opset = WIDE_OPSET if wide else OPSET
    model = exported_with_marks(network, grids, path, opset, any_batch)
    _Writer(model.graph, grids, form, opset).rewrite()
    kept = [one for one in model.opset_import if one.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    if form == "qonnx":
        model.opset_import.append(helper.make_opsetid(QONNX, 1))
    widths = {layer.name: str(layer.widths) for layer in network.workload.layers if layer.widths}
    model.metadata_props.add(key=WIDTHS_KEY, value=json.dumps(widths))
    with whole_file(path) as partial:
        save(model, str(partial))


def _check_widths(grids: Iterable[OperandGrid]) -> None:
    for grid in grids:
        if (grid.bits, grid.signed) not in TYPES:
            raise InputError(
                f"layer '{grid.layer}' has {grid.bits} bits, and QDQ pairs have 4, 8 or 16: write "
                "the form qonnx, whose quantisers have any width"
            )


class _Writer:
    """Puts quantisers where marks are, in place."""

    def __init__(
        self, graph: GraphProto, grids: Mapping[tuple[str, int], OperandGrid], form: str, opset: int
    ) -> None:
        self.graph, self.grids, self.form, self.opset = graph, grids, form, opset
        self.readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.constants: list[TensorProto] = []

    def rewrite(self) -> None:
        """Replace all marks, name layers' nodes, and drop weights that nothing reads any more."""
        layers = {id(node): self._layer(node) for node in self.graph.node if is_mark(node)}
        nodes: list[NodeProto] = []
        for node in self.graph.node:
            if not is_mark(node):
                _name_path(node)
                nodes.append(node)
        named = {id(one): layer for one, layer in layers.values() if one is not None}
        for node in nodes:
            if id(node) in named:
                _call(node, named[id(node)])
        made = [part for node in self.graph.node for part in self._replaced(node)]
        del self.graph.node[:]
        self.graph.node.extend(made)
        self.graph.initializer.extend(self.constants)
        read = {name for node in self.graph.node for name in node.input}
        read |= {one.name for one in self.graph.output}
        kept = [one for one in self.graph.initializer if one.name in read]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)

    def _layer(self, mark: NodeProto) -> tuple[NodeProto | None, str]:
        """The node that multiplies what a mark hands on, and the name of its layer."""
        name = str(said_by(mark)["layer"])
        waiting, seen = list(mark.output), set[str]()
        while waiting:
            tensor = waiting.pop(0)
            for node in self.readers.get(tensor, []):
                if node.op_type in PRODUCTS:
                    return node, name
                if node.output[0] not in seen:
                    seen.add(node.output[0])
                    waiting.append(node.output[0])
        return None, name

    def _replaced(self, node: NodeProto) -> Sequence[NodeProto]:
        if not is_mark(node):
            return [node]
        about = said_by(node)
        grid = self.grids.get((str(about["layer"]), int(about["place"])))
        given, made = node.input[0], node.output[0]
        if grid is None:
            return [helper.make_node("Identity", [given], [made], name=f"{made}/as_is")]
        return (self._qdq if self.form == "qdq" else self._qonnx)(grid, given, made)

    def _qdq(self, grid: OperandGrid, given: str, made: str) -> list[NodeProto]:
        kind = TYPES[grid.bits, grid.signed]
        grids = [self._constant(f"{made}/scale", np.float32(grid.step))]
        # ONNX Runtime puts pairs of its own beside reshapes, whose type is that of a zero point
        # before opset 21 and of nothing but `output_dtype` from there on: elsewise it rounds wrong.
        named: dict[str, Any] = {"output_dtype": kind}
        if self.opset < WIDE_OPSET:
            grids.append(self._integers(f"{made}/zero", np.zeros((), np.int32), kind))
            named = {}
        if grid.values is not None:
            whole = self._integers(f"{made}/values", grid.values, kind)
            return [_node("DequantizeLinear", [whole, *grids], made)]
        parts = []
        if grid.signed:  # the type has one level more below zero
            least = self._constant(f"{made}/least", np.float32(grid.low * grid.step))
            parts.append(_node("Clip", [given, least], f"{made}/clipped"))
            given = f"{made}/clipped"
        whole = f"{made}/whole"
        parts.append(_node("QuantizeLinear", [given, *grids], whole, **named))
        return [*parts, _node("DequantizeLinear", [whole, *grids], made)]

    def _qonnx(self, grid: OperandGrid, given: str, made: str) -> list[NodeProto]:
        step = np.float32(grid.step)
        scale = self._constant(f"{made}/scale", step)
        if grid.values is not None:
            given = self._constant(f"{made}/values", grid.values.astype(np.float32) * step)
        if not grid.has_zero:
            return [_node("BipolarQuant", [given, scale], made, domain=QONNX)]
        zero = self._constant(f"{made}/zero", np.float32(0))
        bits = self._constant(f"{made}/bits", np.float32(grid.bits))
        attributes = {"signed": int(grid.signed), "narrow": int(grid.signed)}
        return [
            _node(
                "Quant",
                [given, scale, zero, bits],
                made,
                domain=QONNX,
                rounding_mode="ROUND",
                **attributes,
            )
        ]

    def _constant(self, name: str, value: np.ndarray | np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def _integers(self, name: str, values: np.ndarray, kind: int) -> str:
        self.constants.append(helper.make_tensor(name, kind, values.shape, values.ravel()))
        return name


def _node(operator: str, reads: Sequence[str], makes: str, **more: Any) -> NodeProto:
    return helper.make_node(operator, reads, [makes], name=f"{makes}/{operator}", **more)


def _name_path(node: NodeProto) -> None:
    """Leave the path of the user's own model in what says which module a node is of."""
    for one in node.metadata_props:
        if one.key == SCOPES:
            one.value = one.value.replace(f"'{OWN}", "'").replace("'model', ", "")


def _call(node: NodeProto, layer: str) -> None:
    """Say that a node is the layer of a name."""
    for one in list(node.metadata_props):
        if one.key == SCOPES:
            node.metadata_props.remove(one)
    node.metadata_props.add(key=SCOPES, value=repr(["", layer, node.op_type]))


__all__ = ["FORMS", "write_onnx"]
