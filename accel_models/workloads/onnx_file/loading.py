"""An ONNX file opened, its sizes settled, and read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accel_models.errors import InputError, listed
from accel_models.files import read_bytes
from accel_models.workloads.graphs.assembling import assembled
from accel_models.workloads.workload import Workload

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

LEAST_OPSET = 7
"""The first opset whose operators repeat smaller operands as NumPy does, as all later ones do."""
MOST_SIZE = 10**9
MOST_BYTES = 2**31 - 1
"""Size of a file, at most: Protocol Buffers hold no more, larger weights lie beside it."""
NONSENSE = (
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError),
    ValueError,
)
"""What a graph that makes no sense may end in where nothing looks for it."""


def read_onnx(path: str | Path, sizes: Mapping[str, int] | None = None) -> Workload:
    """The layers of an ONNX file.

    Weights need not be there, inside the file or beside it. Layers are called after their nodes.
    What has no cost model is named in `Workload.assumed`. Widths that QONNX's quantisers, QDQ pairs
    and integer operators state are the layers' own (`Layer.widths`).

    Args:
        path: of the file, of opset 7 or later.
        sizes: of dimensions that the file leaves open, by their names; one without a name is called
            after its input and its place, as ``input.0``.

    Raises:
        InputError: if the file cannot be read, its graph makes no sense, a size is open or unknown,
            it has no layers, or the package ``onnx`` is not installed.
    """
    path = Path(path)
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"reading {path} needs the package onnx: pip install 'dfs-hw[onnx]'"
        ) from error
    model = _opened(path)
    opsets = {
        "" if one.domain == "ai.onnx" else one.domain: one.version for one in model.opset_import
    }
    if opsets.get("", LEAST_OPSET) < LEAST_OPSET:
        raise InputError(
            f"{path} is of opset {opsets['']}: export it again with opset {LEAST_OPSET} or later"
        )
    opsets.setdefault("", LEAST_OPSET)
    from accel_models.workloads.onnx_file.reader import OnnxReader
    from accel_models.workloads.onnx_file.widths import with_noted_widths

    try:
        settled = _settled(path, model, sizes or {})
        reader = OnnxReader(opsets, str(path.parent))
        reader.read_model(model, settled)
        return with_noted_widths(assembled(path.stem, reader), model)
    except InputError as error:
        told = str(error)
        raise InputError(told if told.startswith(str(path)) else f"{path}: {told}") from error
    except NONSENSE as error:
        raise InputError(f"{path} makes no sense: {_sentence(error)}") from error


def _opened(path: Path) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(read_bytes(path, MOST_BYTES))
    except InputError:
        raise
    except (DecodeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path} is no ONNX file, or not a whole one") from error
    if not model.graph.node:
        raise InputError(f"{path} has no operators: it is no ONNX file, or an empty one")
    if not model.functions:
        return model
    try:
        from onnx import inliner

        return inliner.inline_local_functions(model)
    except Exception as error:  # what is written in C++ raises classes of its own
        raise InputError(f"{path} has functions that cannot be put in place: {error}") from error


def _settled(path: Path, model: ModelProto, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Shapes of the graph's inputs.

    Raises:
        InputError: if a size is open, unknown or impossible.
    """
    weights = {one.name for one in model.graph.initializer}
    weights |= {one.values.name for one in model.graph.sparse_initializer}
    inputs = [one for one in model.graph.input if one.name not in weights]
    for name, size in sizes.items():
        if not isinstance(size, int) or not 1 <= size <= MOST_SIZE:
            raise InputError(f"{path}: size {name} is a whole number above 0, got {size!r}")
    names = {one.name: _dimensions(path, one) for one in inputs}
    known = dict.fromkeys(
        name for dimensions in names.values() for name in dimensions if isinstance(name, str)
    )
    if unknown := [name for name in sizes if name not in known]:
        has = f"its open sizes are {listed(known)}" if known else "it leaves no size open"
        raise InputError(f"{path} has no size called {listed(unknown)}: {has}")
    if missing := [name for name in known if name not in sizes]:
        wanted = " ".join(f"--size {name}=N" for name in missing)
        raise InputError(f"{path} leaves {listed(missing)} open: give {wanted}, with 1 for a batch")
    return {
        name: tuple(sizes[one] if isinstance(one, str) else one for one in dimensions)
        for name, dimensions in names.items()
    }


def _dimensions(path: Path, given: ValueInfoProto) -> list[Any]:
    """Sizes of an input, or names of those that are open."""
    if not given.type.tensor_type.HasField("shape"):
        raise InputError(
            f"{path}: its input '{given.name}' has no shape: replace it by one that "
            "has, made by onnx.helper.make_tensor_value_info"
        )
    return [
        one.dim_value
        if one.dim_value > 0
        else re.sub(r"\s+", "", one.dim_param) or f"{given.name}.{place}"
        for place, one in enumerate(given.type.tensor_type.shape.dim)
    ]


def _sentence(error: Exception) -> str:
    """The first line of what a library says, without its own marks."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]} ..."


__all__ = ["read_onnx"]
