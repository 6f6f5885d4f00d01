"""Modules exported as ONNX by PyTorch, with marks in them.

A mark hands a tensor on as it is. PyTorch's exporter carries it through to the file as a node of a
domain of its own, where whoever put it finds the place again.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from accel_models.errors import InputError
from dfs_hw.modes import evaluating

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

DOMAIN = "dfs_hw"
"""Domain of the marks, which no file that leaves the house has."""


def mark(operator: str, x: Tensor, **about: Any) -> Tensor:
    """A tensor with a mark behind it.

    Args:
        operator: name of the mark's node.
        x: any tensor.
        about: what the mark says, as attributes of the node.
    """
    marked: Tensor = torch.onnx.ops.symbolic(
        f"{DOMAIN}::{operator}", (x,), about, dtype=x.dtype, shape=x.shape, version=1
    )
    return marked


def is_mark(node: NodeProto) -> bool:
    """Whether a node of an exported file is a mark."""
    return bool(node.domain == DOMAIN)


def said_by(node: NodeProto) -> dict[str, Any]:
    """What a mark says."""
    from onnx import helper

    found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return {
        name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()
    }


def exported(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    name: str,
    path: Path,
    opset: int,
    sizes: Mapping[str, Any] | None = None,
) -> ModelProto:
    """The file that PyTorch makes of a module in evaluation; it is left in the modes it was in.

    Args:
        module: with marks or without.
        args: what it is called with.
        kwargs: what it is called with by name.
        name: what errors call the module.
        path: of what is to be written, for errors.
        opset: of ONNX.
        sizes: that stay open, as `torch.onnx.export` takes its ``dynamic_shapes``.

    Raises:
        InputError: if the exporter is missing, or cannot export the module: with its own reason.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(
            f"writing {path} needs the package onnxscript: pip install 'dfs-hw[export]'"
        ) from error
    with evaluating(module), _quiet():
        try:
            program = torch.onnx.export(
                module,
                args,
                kwargs=dict(kwargs),
                dynamic_shapes=None if sizes is None else dict(sizes),
                dynamo=True,
                opset_version=opset,
                verbose=False,
            )
        except Exception as error:  # of many kinds, and many pages
            raise InputError(
                f"{path}: PyTorch does not export {name} as ONNX: {_root(error)}"
            ) from error
    assert program is not None
    model: ModelProto = program.model_proto
    return model


def _root(error: BaseException) -> str:
    """The first line of what an error came of."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what the exporter says on its way."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logger.setLevel(level)


__all__ = ["DOMAIN", "exported", "is_mark", "mark", "said_by"]
