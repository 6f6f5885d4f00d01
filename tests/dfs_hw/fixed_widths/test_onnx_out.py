"""Networks at fixed widths written as ONNX: run elsewhere, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported_models import Ready, layers_of_many_kinds
from torch import Tensor, nn

from accel_models import InputError, Workload
from accel_models.workloads.onnx_file import read_onnx
from dfs_hw.fixed_widths import FixedWidths, at_widths
from dfs_hw.fixed_widths.onnx_nodes import write_onnx

pytest.importorskip("onnxscript")
pytestmark = pytest.mark.slow

IMAGES = torch.Generator().manual_seed(0)


def batches(*shape: int) -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(4, *shape, generator=IMAGES), torch.zeros(4)) for _ in range(2)]


def many(policy: dict[str, Any], **settings: Any) -> FixedWidths:
    torch.manual_seed(0)
    return at_widths(layers_of_many_kinds(), policy, batches(3, 16, 16), name="net", **settings)


def tokens(policy: dict[str, Any]) -> FixedWidths:
    torch.manual_seed(0)
    return at_widths(Ready().eval(), policy, batches(5, 8), name="net")


def check_read_back(path: Path, known: Workload, sizes: dict[str, int] | None = None) -> None:
    read = read_onnx(path, sizes or {})
    assert not read.assumed
    assert {layer.name: layer for layer in read.layers} == {
        layer.name: layer for layer in known.layers
    }
    assert set(read.edges) == set(known.edges)


def check_alike(network: FixedWidths, x: Tensor, out: np.ndarray) -> None:
    """Within rounding of floats, far below what rounding to widths changes."""
    with torch.no_grad():
        ours, exact = network(x).numpy(), network.model(x).numpy()
    np.testing.assert_allclose(out, ours, rtol=0, atol=1e-5)
    assert abs(ours - exact).max() > 1e-3


@pytest.mark.parametrize("build", [many, tokens])
@pytest.mark.parametrize(
    "policy",
    [{"*": 8}, {"*": 8, "[38]*": "4/8", "*conv2": 16, "9": "full"}],
    ids=["8", "mixed"],
)
def test_pairs_run_in_onnx_runtime_and_are_read_back(
    build: Any, policy: dict[str, Any], tmp_path: Path
) -> None:
    runtime = pytest.importorskip("onnxruntime")
    if build is tokens:
        policy = {name: bits for name, bits in policy.items() if name == "*"} | {"last*": "4/16"}
    network, path = build(policy), tmp_path / "net.onnx"
    write_onnx(network, path)
    session = runtime.InferenceSession(str(path))
    x = network.example[0] if isinstance(network.example, tuple) else network.example
    (out,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    check_alike(network, x, out)
    if build is many:
        check_read_back(path, network.workload)
    else:  # masks, which are free as an option of attention, are sums and choices in a file
        ours, read = (
            {layer.name: layer for layer in one.layers if layer.on_array}
            for one in (network.workload, read_onnx(path))
        )
        assert ours == read


@pytest.mark.parametrize("build", [many, tokens])
def test_a_file_may_take_any_number_of_inputs(build: Any, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    network, path = build({"*": 8}), tmp_path / "net.onnx"
    write_onnx(network, path, any_batch=True)
    session = runtime.InferenceSession(str(path))
    (given,) = session.get_inputs()
    for inputs in (1, 3):
        x = torch.randn(inputs, *given.shape[1:], generator=IMAGES)
        check_alike(network, x, session.run(None, {given.name: x.numpy()})[0])
    if build is many:
        check_read_back(path, network.workload, {"batch": 1})


def test_quant_nodes_run_in_qonnx_and_are_read_back(tmp_path: Path) -> None:
    """At any width, one bit with a sign and without one among them."""
    modelwrapper = pytest.importorskip("qonnx.core.modelwrapper")
    execution = pytest.importorskip("qonnx.core.onnx_exec")
    policy = {"*": 5, "3.squeeze*": "3/7", "3.conv2": "1/2", "8.*": "2/6", "8.out": "4/1"}
    network, path = many(policy, quantizer="lsq"), tmp_path / "net.onnx"
    write_onnx(network, path, "qonnx")
    model = modelwrapper.ModelWrapper(str(path))
    (x,) = network.example
    (out,) = execution.execute_onnx(model, {model.graph.input[0].name: x.numpy()}).values()
    check_alike(network, x, out)
    check_read_back(path, network.workload)


def test_what_a_file_cannot_say_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with pytest.raises(InputError, match="has 3 bits, and QDQ pairs have 4, 8 or 16: write the fo"):
        write_onnx(many({"*": 3}), path)
    for family in ("minmax", "nested"):
        with pytest.raises(InputError, match="give layer '0' the quantiser normal or lsq"):
            write_onnx(many({"*": 8}, quantizer=family), path)
    with pytest.raises(InputError, match="of the form qdq or qonnx, not 'tflite'"):
        write_onnx(many({"*": 8}), path, "tflite")
    with pytest.raises(InputError, match=r"Linear has no widths to write.* at_widths\(model"):
        write_onnx(nn.Linear(4, 4), path)  # type: ignore[arg-type]
    assert not path.exists()


class Unknown(nn.Module):
    """Calls what ONNX has nothing for."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.special.bessel_j0(x))


def test_what_pytorch_cannot_export_is_refused_with_its_reason(tmp_path: Path) -> None:
    network = at_widths(Unknown(), {"fc": 8}, batches(4), name="odd").train()
    modes = [module.training for module in network.modules()]
    with pytest.raises(InputError, match=r"PyTorch does not export odd as ONNX: .*bessel_j0"):
        write_onnx(network, tmp_path / "net.onnx")
    assert [module.training for module in network.modules()] == modes
